"""Learning-rate schedules: pure functions of the step (a plateau alone keeps a state, part of the run's).

`SCHEDULES` are the ones that a run names; `Warmup`, `Join`, `Cooldown` and `Plateau` go around any schedule.
"""

from kft import tables

SCHEDULES = {
    "constant": "kft.schedules.constant:Constant",
    "cosine": "kft.schedules.cosine:Cosine",
    "cosine_restarts": "kft.schedules.cosine:CosineRestarts",
    "exponential": "kft.schedules.exponential:Exponential",
    "inverse_time": "kft.schedules.inverse_time:InverseTime",
    "linear": "kft.schedules.polynomial:Linear",
    "one_cycle": "kft.schedules.one_cycle:OneCycle",
    "polynomial": "kft.schedules.polynomial:Polynomial",
    "rsqrt": "kft.schedules.rsqrt:Rsqrt",
    "step": "kft.schedules.step:Step",
    "triangular": "kft.schedules.triangular:Triangular",
}

_PUBLIC = {place.partition(":")[2]: place for place in SCHEDULES.values()} | {
    "Cooldown": "kft.schedules.cooldown:Cooldown",
    "Join": "kft.schedules.joined:Join",
    "Lowered": "kft.schedules.lowered:Lowered",
    "Plateau": "kft.schedules.plateau:Plateau",
    "PlateauCallback": "kft.schedules.plateau:PlateauCallback",
    "Schedule": "kft.schedules.schedule:Schedule",
    "ScheduleSettings": "kft.schedules.recipes:ScheduleSettings",
    "Warmup": "kft.schedules.warmup:Warmup",
    "bit_hyper_rule": "kft.schedules.recipes:bit_hyper_rule",
    "join": "kft.schedules.joined:join",
    "make_schedule": "kft.schedules.make:make_schedule",
    "picture": "kft.schedules.plot:picture",
    "text_recipe": "kft.schedules.recipes:text_recipe",
}

__getattr__ = tables.lazy_attributes(__name__, _PUBLIC)

"""Learning-rate schedules: pure functions of the step (a plateau alone keeps a state, part of the run's).

`SCHEDULES` are the ones that a run names; `Warmup`, `Join`, `Cooldown` and `Plateau` go around any schedule.
"""

from kft import tables

SCHEDULES = {
    "constant": "kft.schedules.constant:Constant",
    "cosine": "kft.schedules.cosine:Cosine",
    "cosine_restarts": "kft.schedules.cosine:CosineRestarts",
    "linear": "kft.schedules.polynomial:Linear",
    "polynomial": "kft.schedules.polynomial:Polynomial",
}

_PUBLIC = {place.partition(":")[2]: place for place in SCHEDULES.values()} | {
    "Cooldown": "kft.schedules.cooldown:Cooldown",
    "Join": "kft.schedules.joined:Join",
    "Schedule": "kft.schedules.schedule:Schedule",
    "Warmup": "kft.schedules.warmup:Warmup",
    "join": "kft.schedules.joined:join",
    "make_schedule": "kft.schedules.make:make_schedule",
}

__getattr__ = tables.lazy_attributes(__name__, _PUBLIC)

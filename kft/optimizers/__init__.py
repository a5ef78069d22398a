"""Update rules, one documented rule per file, and how they are named."""

import inspect
from collections.abc import Mapping
from typing import Any

from kft import errors, tables

OPTIMIZERS = {
    "gradient_descent": "kft.optimizers.gradient_descent:GradientDescent",
    "momentum": "kft.optimizers.momentum:Momentum",
    "adagrad": "kft.optimizers.adagrad:Adagrad",
    "rmsprop": "kft.optimizers.rmsprop:RMSProp",
    "adadelta": "kft.optimizers.adadelta:Adadelta",
    "adam": "kft.optimizers.adam:Adam",
    "adamw": "kft.optimizers.adamw:AdamW",
    "lamb": "kft.optimizers.lamb:LAMB",
    "lars": "kft.optimizers.lars:LARS",
    "radam": "kft.optimizers.radam:RAdam",
    "lookahead": "kft.optimizers.lookahead:Lookahead",
    "sam": "kft.optimizers.sam:SAM",
    # Keras' own, as they are: no scales, no steps per variable, no exact accumulation.
    "adafactor": "keras.optimizers:Adafactor",
    "adamax": "keras.optimizers:Adamax",
    "ftrl": "keras.optimizers:Ftrl",
    "lion": "keras.optimizers:Lion",
    "muon": "keras.optimizers:Muon",
    "nadam": "keras.optimizers:Nadam",
    "schedule_free_adamw": "keras.optimizers:ScheduleFreeAdamW",
}


def make_optimizer(
    name: str,
    *,
    learning_rate: Any,
    weight_decay: float = 0.0,
    clip_global_norm: float | None = None,
    scales: Any = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """The optimizer of a name in `OPTIMIZERS`.

    Args:
      name: such as "adamw".
      learning_rate: float > 0, or a LearningRateSchedule of the number of updates.
      weight_decay: float >= 0, coupled or decoupled as the rule says.
      clip_global_norm: float > 0, bound of the norm over all gradients; None is no bound.
      scales: ParamScales; refused for the rules that are Keras' own.
      options: what the rule takes beyond this, such as {"bias_correction": False}.

    Returns: a keras.optimizers.Optimizer.
    Raises: InputError for an unknown name or option, and for scales on a rule of Keras'.

    Example:
      >>> make_optimizer("adamw", learning_rate=1e-3, weight_decay=0.01, options={"beta_2": 0.98}).beta_2
      0.98
    """
    settings = {"weight_decay": weight_decay, "global_clipnorm": clip_global_norm}
    if is_ours(name):
        settings["scales"] = scales
    elif scales is not None:
        raise errors.InputError(
            f"Got scales with optimizer {name!r}, which is Keras' own and has one rate for all variables. Expected no "
            f"scales, or one of {', '.join(map(repr, filter(is_ours, OPTIMIZERS)))}. Leave the scales out, or change "
            "the optimizer."
        )
    optimizer = make_rule(name, learning_rate=learning_rate, options=options, **settings)
    if is_ours(name):
        optimizer.bfloat16_slots()  # which refuses what would be found out in `build` only
    return optimizer


def make_rule(name: str, *, learning_rate: Any, options: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """The class of a name in `OPTIMIZERS`, called with options that are checked and settings that are not."""
    rule = tables.lookup(OPTIMIZERS, name, what="optimizer")
    options = dict(options or {})
    known = set(_parameters(rule)) - {"learning_rate", "name", *settings}
    for option in options:
        if option not in known:
            raise errors.unknown_name(f"option of optimizer {name!r},", option, known)
    return rule(learning_rate, **settings, **options)


def is_ours(name: str) -> bool:
    """Whether the rule has scales, a step for each variable and exact accumulation."""
    return OPTIMIZERS.get(name, "").startswith("kft.")


def _parameters(rule: type) -> list[str]:
    """The names of all arguments of a class and of the classes it hands its own on to."""
    names = []
    for cls in rule.__mro__:
        if "__init__" in vars(cls) and cls.__module__.startswith(("kft.", "keras.src.optimizers.")):
            parameters = inspect.signature(cls.__init__).parameters.values()
            names += [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return names


__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "Optimizer": "kft.optimizers.base:Optimizer",
        "ParamScales": "kft.optimizers.scales:ParamScales",
        "layerwise_decay": "kft.optimizers.scales:layerwise_decay",
        "no_decay_on_bias_and_norm": "kft.optimizers.scales:no_decay_on_bias_and_norm",
    },
)

"""From the name of a schedule and its options to the schedule."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from kft import errors, schedules, tables
from kft.duration import Duration
from kft.schedules.cooldown import Cooldown
from kft.schedules.schedule import Schedule
from kft.schedules.warmup import Warmup

COOLDOWN = "cooldown_steps"


def make_schedule(
    name: str,
    *,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    options: Mapping[str, Any] | None = None,
    steps_per_epoch: int | None = None,
    global_batch_size: int | None = None,
) -> Schedule:
    """The schedule of a whole run, by name.

    A schedule with `decay_steps` decays over what the warm-up leaves of the run. The options are its other
    arguments; `cooldown_steps` goes with every schedule and lowers the rate to 0 over the last steps.

    Args:
      name: one of `kft.schedules.SCHEDULES`.
      learning_rate: float >= 0, the peak.
      total_steps: int >= 1, updates of the whole run.
      warmup_steps: int in [0, total_steps), length of the linear warm-up in front.
      options: option -> value. A value may be a text, as from a flag: it is read as the argument's type. A number
        of steps may be a Duration or its text, such as "2 epochs" or "10 percent"; boundaries count from the
        start of the run.
      steps_per_epoch: int >= 1, needed for lengths in epochs.
      global_batch_size: int >= 1, needed for lengths in examples.

    Returns: a function of the step.
    Raises: InputError for an unknown name or option, or a value out of range.

    Example:
      >>> make_schedule("cosine", learning_rate=0.1, total_steps=100, warmup_steps=10).schedule.decay_steps
      90
    """
    cls = tables.lookup(schedules.SCHEDULES, name, what="schedule")
    _check_lengths(total_steps, warmup_steps)
    options = dict(options or {})
    types = {field.name: typing.get_type_hints(cls)[field.name] for field in dataclasses.fields(cls)}
    allowed = {**{key: kind for key, kind in types.items() if key != "learning_rate"}, COOLDOWN: int}
    for option in options:
        if option not in allowed:
            raise errors.unknown_name(f"option of schedule {name!r}", option, allowed)
    lengths = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "global_batch_size": global_batch_size}
    values = {option: _read(option, value, allowed[option], lengths) for option, value in options.items()}
    cooldown_steps = values.pop(COOLDOWN, 0)
    if "boundaries" in values:
        values["boundaries"] = _after_warmup(values["boundaries"], warmup_steps)
    for option, value in _defaults(total_steps, warmup_steps).items():
        if option in types:
            values.setdefault(option, value)
    _check_required(name, cls, values)
    schedule = cls(learning_rate=learning_rate, **values)
    if warmup_steps:
        schedule = Warmup(schedule, warmup_steps)
    if cooldown_steps:
        schedule = Cooldown(schedule, total_steps - cooldown_steps, cooldown_steps=cooldown_steps)
    return schedule


def _defaults(total_steps: int, warmup_steps: int) -> dict[str, int]:
    """What the run decides, for the schedules that have such an argument."""
    rest = total_steps - warmup_steps
    defaults = {"decay_steps": rest, "total_steps": rest}
    if warmup_steps:
        defaults["timescale_steps"] = warmup_steps
    return defaults


def _after_warmup(boundaries: tuple[int, ...], warmup_steps: int) -> tuple[int, ...]:
    if any(boundary <= warmup_steps for boundary in boundaries):
        raise errors.InputError(
            f"Got boundaries {boundaries!r} with a warm-up of {warmup_steps} steps. Expected each boundary behind the "
            "warm-up. Make the warm-up shorter, or the boundaries later."
        )
    return tuple(boundary - warmup_steps for boundary in boundaries)


def _check_lengths(total_steps: int, warmup_steps: int) -> None:
    if total_steps < 1 or not 0 <= warmup_steps < total_steps:
        raise errors.InputError(
            f"Got warmup_steps={warmup_steps!r} in total_steps={total_steps!r}. Expected 0 <= warmup_steps < "
            "total_steps. Make the warm-up shorter, or the run longer."
        )


def _check_required(name: str, cls: type, values: Mapping[str, Any]) -> None:
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.name not in ("learning_rate", *values):
            raise errors.InputError(
                f"Got schedule {name!r} without {field.name!r}. Expected it among the options. "
                f"Add it, such as {field.name}='10 percent'."
            )


def _read(option: str, value: Any, kind: Any, lengths: Mapping[str, int | None]) -> Any:
    """The value as its argument's type; a text is read, and a length with a unit becomes steps."""
    if kind == tuple[int, ...] or kind == tuple[float, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        item = typing.get_args(kind)[0]
        return tuple(_read(option, part, item, lengths) for part in parts)
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, Duration):
        return _steps(option, value, lengths)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if (kind is float and isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, kind):
        return kind(value)
    raise errors.InputError(f"Got option {option}={value!r}. Expected {kind.__name__}. Correct the option.")


def _number(text: str) -> float | str | Duration:
    """A text as a number or as a length, whichever it is."""
    try:
        return float(text)
    except ValueError:
        return text if text.strip().isidentifier() else Duration.parse(text)


def _steps(option: str, length: Duration, lengths: Mapping[str, int | None]) -> int:
    needed = {"epochs": "steps_per_epoch", "examples": "global_batch_size"}.get(length.unit)
    if needed and not lengths[needed]:
        raise errors.InputError(
            f"Got option {option}='{length}' without {needed}. Expected steps or percent, or {needed} beside it. "
            f"Give make_schedule the argument {needed}."
        )
    return length.to_steps(
        steps_per_epoch=lengths["steps_per_epoch"] or 1,
        global_batch_size=lengths["global_batch_size"] or 1,
        total_steps=lengths["total_steps"],
    )

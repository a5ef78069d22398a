"""RunConfig: everything that a run is told, frozen, nested by room."""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from typing import Any

from kft import errors
from kft.run import settings
from kft.run.data_settings import DataSettings
from kft.run.setting import Leaf


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run, complete: the only place where a default is written.

    Args:
      run, data, models, optimizers, schedules, execution: the settings of each room.

    Example:
      >>> config = from_flat({"backbone": "resnet50", "length": "3 epochs"})
      >>> config.models.backbone
      'resnet50'
    """

    run: settings.RunSettings = settings.RunSettings()
    data: DataSettings = DataSettings()
    models: settings.ModelSettings = settings.ModelSettings()
    optimizers: settings.OptimizerSettings = settings.OptimizerSettings()
    schedules: settings.ScheduleSettings = settings.ScheduleSettings()
    execution: settings.ExecutionSettings = settings.ExecutionSettings()


LEAVES: dict[str, Leaf] = {
    field.name: Leaf.of(room.name, field)
    for room in dataclasses.fields(RunConfig)
    for field in dataclasses.fields(room.type)
}
ROOMS: dict[str, str] = {room.name: room.type.__doc__ for room in dataclasses.fields(RunConfig)}


def flat(config: RunConfig) -> dict[str, Any]:
    """Every setting by its own name, without the rooms."""
    return {name: getattr(getattr(config, leaf.room), name) for name, leaf in LEAVES.items()}


def from_flat(values: Mapping[str, Any], *, base: RunConfig | None = None) -> RunConfig:
    """A config from settings by name; what is not named is as in `base`.

    Args:
      values: name -> value, of the setting's type; a list stands for a tuple, a whole number for a float.
      base: RunConfig; the defaults if None.

    Raises: InputError for unknown names (with the nearest one) and values of another type, all in one text.
    """
    base = base or RunConfig()
    problems, rooms = [], {}
    for name, value in values.items():
        if name not in LEAVES:
            problems.append(unknown_setting(name))
            continue
        leaf = LEAVES[name]
        try:
            rooms.setdefault(leaf.room, {})[name] = leaf.convert(value)
        except errors.InputError as error:
            problems.append(str(error))
    if problems:
        raise errors.InputError("\n".join(problems))
    return dataclasses.replace(
        base, **{room: dataclasses.replace(getattr(base, room), **changes) for room, changes in rooms.items()}
    )


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The config with the places of files made absolute, so that it holds in any folder.

    Changed are settings of data ("folder:DIR") and of weights, and a backbone's folder, if the place is there.
    """
    changes = {}
    for name, leaf in LEAVES.items():
        value = getattr(getattr(config, leaf.room), name)
        if leaf.metadata["unit"] in ("data", "backbone"):
            kind, colon, place = value.partition(":")
        elif name in ("backbone_weights", "warm_start", "data_root"):
            kind, colon, place = "", "", value
        else:
            continue
        if place and kind != "python" and os.path.exists(place):
            changes[name] = f"{kind}{colon}{os.path.abspath(place)}"
    return from_flat(changes, base=config)


def unknown_setting(name: str, prefix: str = "") -> str:
    """The text for a setting that does not exist: like `errors.unknown_name`, without the list of all names."""
    near = difflib.get_close_matches(name, LEAVES, n=1)
    help_with = f"Did you mean {prefix + near[0]!r}?" if near else "Leave it out."
    return f"Got {prefix + name!r}. Expected one of the settings that --help lists. {help_with}"

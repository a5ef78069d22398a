"""The task of a run: from its settings, and from what the data decided."""

import re
from collections.abc import Sequence
from typing import Any

from kft import data, errors, tasks
from kft.run.config import LEAVES, RunConfig, flat

BALANCED = "balanced"


def make_task(
    config: RunConfig,
    label_names: Sequence[str],
    *,
    images: bool = False,
    class_weights: Sequence[float] | None = None,
    calibration: dict[str, Any] | None = None,
) -> tasks.Task:
    """The task of a run, with those settings that it takes.

    Args:
      config: of the run.
      label_names: of the classes.
      images: whether the examples are images, for a task that takes texts too.
      class_weights: those that the training data gave, instead of the config's.
      calibration: what the evaluation data chose, or None.

    Raises: InputError for a setting that the task does not take and that is not what it is by default.
    """
    name = config.data.task
    settings = flat(config)
    options = {option: settings[option] for option in tasks.OPTIONS[name] if option in settings}
    for option in sorted({option for taken in tasks.OPTIONS.values() for option in taken} & settings.keys()):
        if option not in options and settings[option] != LEAVES[option].default:
            takers = ", ".join(sorted(task for task, taken in tasks.OPTIONS.items() if option in taken))
            raise errors.InputError(
                f"Got --{option}={settings[option]!r} for the task {name!r}. Expected it with one of: {takers}. "
                "Leave it out."
            )
    if "images" in tasks.OPTIONS[name]:
        options["images"] = images
    if not options.get("window_overlap", 1):
        del options["window_overlap"]  # 0: the task's own
    if class_weights is not None:
        options["class_weights"] = class_weights
    elif "class_weights" in options:
        options["class_weights"] = read_class_weights(options["class_weights"])
    task = tasks.make_task(name, label_names=label_names, **options)
    return task.calibrated(calibration) if calibration else task


def label_kind(config: RunConfig) -> str:
    """What the labels in the data have to be: a key of `kft.data.text_labels.READERS`."""
    return "sets" if config.data.multi_label else tasks.LABEL_KINDS.get(config.data.task, "classes")


def class_weights_of(config: RunConfig, train: data.Source) -> tuple[float, ...] | None:
    """Those by which all classes of the training data count the same, where the config asks for them; else None.

    Raises: InputError for data without classes.
    """
    if config.data.class_weights != BALANCED or "class_weights" not in tasks.OPTIONS[config.data.task]:
        return None
    counts = {} if train.targets is not None else train.num_examples_per_class()
    if not any(counts.values()):
        raise errors.InputError(
            f"Got class_weights={BALANCED!r} for {train.name!r}. Expected examples that have one class each. Give the "
            "weights as numbers."
        )
    return tasks.balanced_class_weights(counts)


def read_class_weights(text: str) -> tuple[float, ...] | dict[str, float]:
    """Weights as they are written: numbers in the order of the classes, or NAME=number.

    Raises: InputError for anything else.

    Example:
      >>> read_class_weights("B-person=2, O=0.5"), read_class_weights("1,2.5")
      ({'B-person': 2.0, 'O': 0.5}, (1.0, 2.5))
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = [re.fullmatch(r"(?:(.+)=)?([0-9.eE+-]+)", part) for part in parts]
    try:
        pairs = [(match[1], float(match[2])) for match in found]
    except (TypeError, ValueError):
        pairs = [(None, 0.0), ("?", 0.0)]
    names = [name and name.strip() for name, _ in pairs]
    if any(names) and (None in names or len(set(names)) < len(names)):
        raise errors.InputError(
            f"Got class_weights={text!r}. Expected 'balanced', numbers in the order of the classes, or NAME=number "
            "with commas between, each name once. Correct it."
        )
    if any(names):
        return {name: weight for name, (_, weight) in zip(names, pairs, strict=True)}
    return tuple(weight for _, weight in pairs)

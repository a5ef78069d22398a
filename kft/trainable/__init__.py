"""What trains when: phases as data, and recipes of phases."""

import re
from collections.abc import Sequence
from typing import Any

from kft import errors, tables

RECIPES = {
    "all": "kft.trainable.recipes:everything",
    "head": "kft.trainable.recipes:head",
    "top_blocks": "kft.trainable.recipes:top_blocks",
    "lp_ft": "kft.trainable.recipes:lp_ft",
    "gradual": "kft.trainable.recipes:gradual",
    "chain_thaw": "kft.trainable.recipes:chain_thaw",
    "bias_only": "kft.trainable.recipes:bias_only",
    "norm_only": "kft.trainable.recipes:norm_only",
    "patterns": "kft.trainable.recipes:patterns",
}

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "TrainableCallback": "kft.trainable.callback:TrainableCallback",
        "Phase": "kft.trainable.schedule:Phase",
        "TrainableSchedule": "kft.trainable.schedule:TrainableSchedule",
        "epochs_of_phases": "kft.trainable.schedule:epochs_of_phases",
        "validate": "kft.trainable.schedule:validate",
    },
)


def make_trainable_schedule(recipe: str, blocks: Sequence[str]) -> Any:
    """The phases of a recipe.

    Args:
      recipe: a name of RECIPES, with arguments in brackets where it takes any, such as "lp_ft(5 epochs)".
      blocks: patterns over variable paths, bottom to top, the head last.

    Returns: a TrainableSchedule.
    Raises: InputError for an unknown recipe or arguments it does not take.

    Example:
      >>> [str(phase.start) for phase in make_trainable_schedule("lp_ft(5 epochs)", ["body/.*", "head/.*"])]
      ['0 steps', '5 epochs']
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", recipe)
    if not match:
        raise errors.InputError(f"Got trainable {recipe!r}. Expected a name, or name(arguments). See {list(RECIPES)}.")
    make = tables.lookup(RECIPES, match[1], what="trainable")
    arguments = [argument.strip() for argument in (match[2] or "").split(",") if argument.strip()]
    try:
        return make(tuple(blocks), *arguments)
    except TypeError as error:
        raise errors.InputError(
            f"Got trainable {recipe!r} with {len(arguments)} arguments. Expected: {make.__doc__.splitlines()[0]} "
            "Correct the arguments."
        ) from error

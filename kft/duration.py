"""Lengths of training in the unit that a person thinks in."""

import dataclasses
import math
import re

from kft import errors

UNITS = ("steps", "epochs", "examples", "percent", "minutes")


@dataclasses.dataclass(frozen=True)
class Duration:
    """A length of training.

    Args:
      amount: float >= 0.
      unit: "steps" (optimizer updates), "epochs", "examples", "percent" of the whole run, or "minutes".

    Raises: InputError if the unit is unknown or the amount is negative or not finite.
    """

    amount: float
    unit: str

    def __post_init__(self):
        if self.unit not in UNITS:
            raise errors.unknown_name("unit", self.unit, UNITS)
        if not math.isfinite(self.amount) or self.amount < 0:
            raise errors.InputError(
                f"Got a length of {self.amount!r} {self.unit}. Expected a number >= 0. Use 0 or more."
            )

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Reads "10 epochs", "500 steps", "10 percent", "10%", "1 epoch".

        Example:
          >>> Duration.parse("10 epochs")
          Duration(amount=10.0, unit='epochs')
        """
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+|%)\s*", text)
        if not match:
            raise errors.InputError(
                f"Got length {text!r}. Expected a number and a unit, such as '10 epochs'; "
                f"the units are {', '.join(UNITS)}."
            )
        unit = {"%": "percent"}.get(match[2], match[2].lower())
        if unit not in UNITS and unit + "s" in UNITS:
            unit += "s"
        return cls(float(match[1]), unit)

    def to_steps(self, *, steps_per_epoch: int, global_batch_size: int, total_steps: int | None = None) -> int:
        """The length in optimizer steps, rounded to the nearest one, at least 1 where the amount is not 0.

        Args:
          steps_per_epoch: int >= 1.
          global_batch_size: int >= 1, examples of one step.
          total_steps: int, steps of the whole run; needed for "percent".

        Raises: InputError for minutes, which are no number of steps, and for percent without a total.
        """
        if self.unit == "minutes" or (self.unit == "percent" and total_steps is None):
            raise errors.InputError(
                f"Got a length of '{self}'. Expected steps, epochs or examples here. Give it in one of these."
            )
        steps = self.amount * {
            "steps": 1.0,
            "epochs": float(steps_per_epoch),
            "examples": 1.0 / global_batch_size,
            "percent": (total_steps or 0) / 100.0,
        }.get(self.unit, math.nan)
        return max(1, round(steps)) if self.amount > 0 else 0

    def __str__(self) -> str:
        unit = self.unit[:-1] if self.amount == 1 and self.unit.endswith("s") else self.unit
        return f"{self.amount:g} {unit}"

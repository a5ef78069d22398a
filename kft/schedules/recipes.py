"""Published rules from the size of the data to the settings of a run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kft.duration import Duration
from kft.schedules.schedule import check_range, check_steps


@dataclasses.dataclass(frozen=True)
class ScheduleSettings:
    """What a run needs to know about its learning rate.

    Args:
      name: one of `kft.schedules.SCHEDULES`.
      learning_rate: float > 0, the peak.
      length: Duration of the run.
      warmup: Duration of the warm-up.
      options: for `make_schedule`.
    """

    name: str
    learning_rate: float
    length: Duration
    warmup: Duration
    options: Mapping[str, Any]


def bit_hyper_rule(
    num_examples: int, *, global_batch_size: int = 512, learning_rate: float = 0.003
) -> ScheduleSettings:
    """The schedule of BiT for images: its length is decided by the number of examples alone.

        num_examples < 20,000:   500 steps;   the rate falls by 10 at 200, 300 and 400, after 100 of warm-up
        num_examples < 500,000:  10,000 steps;    at 3,000, 6,000 and 9,000, after 500 of warm-up
        else:                    20,000 steps;    at 6,000, 12,000 and 18,000, after 500 of warm-up
        learning_rate * global_batch_size / 512

    It is made for SGD with momentum 0.9, no weight decay and images of about 448 pixels.

    Args:
      num_examples: int >= 1, of the training data.
      global_batch_size: int >= 1.
      learning_rate: float > 0, for a batch of 512.
    Raises: InputError if an argument is out of range.
    Example:
      >>> print(bit_hyper_rule(3_670).length)
      500 steps

    Reference: Kolesnikov et al. 2020 (Big Transfer), which says 30, 60 and 90 % of the steps. The
      boundaries of the short run and the warm-ups are those of the authors' published code (google-research/
      big_transfer, bit_hyperrule.py), whose rate falls one step later than ours.
    """
    check_steps("num_examples", num_examples)
    check_steps("global_batch_size", global_batch_size)
    check_range("learning_rate", learning_rate, 0.0, above=True)
    if num_examples < 20_000:
        warmup_steps, *boundaries, total_steps = 100, 200, 300, 400, 500
    elif num_examples < 500_000:
        warmup_steps, *boundaries, total_steps = 500, 3_000, 6_000, 9_000, 10_000
    else:
        warmup_steps, *boundaries, total_steps = 500, 6_000, 12_000, 18_000, 20_000
    return ScheduleSettings(
        name="step",
        learning_rate=learning_rate * global_batch_size / 512,
        length=Duration(total_steps, "steps"),
        warmup=Duration(warmup_steps, "steps"),
        options={"boundaries": tuple(boundaries), "decay_rate": 0.1},
    )


def text_recipe(num_examples: int, *, learning_rate: float = 2e-5) -> ScheduleSettings:
    """The schedule of Mosbach et al. and Zhang et al. for BERT: more epochs where data is scarce.

        num_examples < 10,000:  20 epochs
        else:                   3 epochs
        warm-up over the first 10 percent of the steps, then linearly to 0

    It is made for Adam with bias correction; without it, small data sets end in degenerate runs.

    Args:
      num_examples: int >= 1, of the training data.
      learning_rate: float > 0.
    Raises: InputError if an argument is out of range.
    Example:
      >>> print(text_recipe(2_490).length)
      20 epochs

    Reference: Mosbach et al. 2021, section 6 (20 epochs, 2e-5, 10 %); Zhang et al. 2021 for what counts as few (under
      10,000 examples) and for longer training; Devlin et al. 2019, appendix A.3, for 3 epochs.
    """
    check_steps("num_examples", num_examples)
    check_range("learning_rate", learning_rate, 0.0, above=True)
    return ScheduleSettings(
        name="linear",
        learning_rate=learning_rate,
        length=Duration(20 if num_examples < 10_000 else 3, "epochs"),
        warmup=Duration(10, "percent"),
        options={},
    )

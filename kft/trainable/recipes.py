"""Recipes of phases, from the blocks of a model."""

from kft import duration, errors
from kft.trainable import schedule

START = duration.Duration(0, "steps")


def everything(blocks: tuple[str, ...]) -> schedule.TrainableSchedule:
    """all: every block trains from the start to the end.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
    """
    return (schedule.Phase(START, blocks),)


def head(blocks: tuple[str, ...]) -> schedule.TrainableSchedule:
    """head: only the head trains, a linear probe where it has no hidden units.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
    """
    return (schedule.Phase(START, blocks[-1:]),)


def lp_ft(
    blocks: tuple[str, ...], probe: str = "25 percent", probe_learning_rate_scale: str = "5"
) -> schedule.TrainableSchedule:
    """lp_ft(LENGTH, SCALE): a probe of LENGTH at SCALE times the learning rate, then everything.

    The head is fitted before anything else moves, so its random start does not distort what was pretrained.
    The learning-rate schedule begins anew when everything trains.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
      probe: length of the first phase, such as "5 epochs".
      probe_learning_rate_scale: number > 0.

    Reference: Kumar et al. 2022, LP-FT, section 4.
    """
    try:
        scale = float(probe_learning_rate_scale)
    except ValueError:
        raise errors.InputError(
            f"Got probe_learning_rate_scale={probe_learning_rate_scale!r} in lp_ft. Expected a number. "
            "Write it as in lp_ft(5 epochs, 10)."
        ) from None
    return (
        schedule.Phase(START, blocks[-1:], learning_rate_scale=scale),
        schedule.Phase(duration.Duration.parse(probe), blocks, restart_schedule=True),
    )

"""Recipes of phases, from the blocks of a model."""

import itertools

from kft import duration, errors
from kft.trainable import schedule

START = duration.Duration(0, "steps")
BIASES = r"(?:.*/)?(?:bias|beta)"
NORMS = r"(?:.*/)?(?:gamma|beta|scale)"
# From the top to the bottom of ULMFiT's four groups of layers, each 2.6 times slower than the one above.
GRADUAL_RANGE = 2.6**-3


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


def top_blocks(blocks: tuple[str, ...], count: str) -> schedule.TrainableSchedule:
    """top_blocks(N): the top N blocks of the backbone and the head train.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
      count: int in [0, number of blocks below the head].
    """
    number = _count("N", count, "top_blocks(3)", at_least=0, at_most=len(blocks) - 1)
    return (schedule.Phase(START, blocks[len(blocks) - 1 - number :]),)


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


def gradual(blocks: tuple[str, ...], each: str = "1 epoch", groups: str = "") -> schedule.TrainableSchedule:
    """gradual(LENGTH, GROUPS): the head alone, and after each LENGTH one group of blocks more, from the top.

        phase k trains the head and the top k groups
        learning rate of a block = learning_rate * layer_decay ** (blocks between it and the head, itself included)

    The rate falls by 2.6 ** 3 over all blocks, however many there are.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
      each: length of each phase but the last, such as "1 epoch".
      groups: int >= 1, parts of about equal numbers of blocks; as many as there are blocks if left out.

    Reference: Howard and Ruder 2018 (ULMFiT), sections 3.2 and 3.3. Differs: 2.6 is their factor between two of
      four layers; the range is theirs, spread evenly over the blocks.
    """
    parts = _groups(blocks[:-1], groups, "gradual(1 epoch, 4)")
    decay = GRADUAL_RANGE ** (1 / max(len(blocks) - 1, 1))
    return tuple(
        schedule.Phase(start, sum(parts[len(parts) - number :], ()) + blocks[-1:], layer_decay=decay)
        for number, start in enumerate(_starts(each, len(parts) + 1))
    )


def chain_thaw(blocks: tuple[str, ...], each: str = "1 epoch", groups: str = "") -> schedule.TrainableSchedule:
    """chain_thaw(LENGTH, GROUPS): the head, then each group of blocks alone from the bottom, then everything.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
      each: length of each phase but the last, such as "1 epoch".
      groups: int >= 1, parts of about equal numbers of blocks; as many as there are blocks if left out.

    Reference: Felbo et al. 2017 (DeepMoji), section 3.3. Differs: a phase has a length, it does not wait for the
      validation loss to converge.
    """
    trained = [blocks[-1:], *_groups(blocks[:-1], groups, "chain_thaw(1 epoch, 4)"), blocks]
    return tuple(
        schedule.Phase(start, patterns) for start, patterns in zip(_starts(each, len(trained)), trained, strict=True)
    )


def bias_only(blocks: tuple[str, ...]) -> schedule.TrainableSchedule:
    """bias_only: the biases, the shifts of norms, and the head (BitFit).

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.

    Reference: Ben Zaken et al. 2022 (BitFit), section 3.
    """
    return (schedule.Phase(START, (BIASES, blocks[-1])),)


def norm_only(blocks: tuple[str, ...]) -> schedule.TrainableSchedule:
    """norm_only: the scales and shifts of norms, and the head.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.

    Reference: Frankle et al. 2021, "Training BatchNorm and only BatchNorm". Differs: the head trains too.
    """
    return (schedule.Phase(START, (NORMS, blocks[-1])),)


def patterns(blocks: tuple[str, ...], *wanted: str) -> schedule.TrainableSchedule:
    """patterns(PATTERN, ...): what matches one of the patterns trains, from the start to the end; name the head too.

    Args:
      blocks: patterns over variable paths, bottom to top, the head last.
      wanted: regular expressions over the whole of a variable's path, without commas.
    """
    del blocks
    return (schedule.Phase(START, wanted),)


def _starts(each: str, count: int) -> list[duration.Duration]:
    length = duration.Duration.parse(each)
    return [START, *(duration.Duration(length.amount * number, length.unit) for number in range(1, count))]


def _groups(blocks: tuple[str, ...], groups: str, example: str) -> list[tuple[str, ...]]:
    """Blocks in parts of about equal size, bottom to top."""
    if not groups:
        return [(block,) for block in blocks]
    count = _count("GROUPS", groups, example, at_least=1, at_most=len(blocks))
    ends = [round(len(blocks) * number / count) for number in range(count + 1)]
    return [blocks[begin:end] for begin, end in itertools.pairwise(ends)]


def _count(name: str, text: str, example: str, *, at_least: int, at_most: int) -> int:
    if not text.isdecimal() or not at_least <= int(text) <= at_most:
        raise errors.InputError(
            f"Got {name}={text!r}. Expected a whole number from {at_least} to {at_most}, of blocks below the head. "
            f"Write it as in {example}."
        )
    return int(text)

"""Phases: when which variables train."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from kft import duration, errors, paths


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a training in which the same variables train.

    Args:
      start: when it begins, from the start of the run; rounded up to a whole epoch.
      trainable: patterns for `re.fullmatch` over variable paths; what matches one of them trains.
      learning_rate_scale: float > 0, factor on the run's learning rate in this phase.
      restart_schedule: whether the learning-rate schedule, warm-up included, begins anew over this phase; without
        it the phase goes on in the schedule of the one before.
      layer_decay: float in (0, 1], factor from each block's learning rate to that of the block below it; the same in
        all phases.

    `learning_rate_scale`, `restart_schedule` and `layer_decay` take effect where the optimizer is made, as in
    `kft.run`: by `kft.training.phase_learning_rate` and `kft.optimizers.layerwise_decay`.
    """

    start: duration.Duration
    trainable: tuple[str, ...]
    learning_rate_scale: float = 1.0
    restart_schedule: bool = False
    layer_decay: float = 1.0

    def __post_init__(self):
        if not self.trainable:
            raise errors.InputError("Got a phase in which nothing trains. Expected one pattern at least. Add one.")
        if not self.learning_rate_scale > 0:
            raise errors.InputError(
                f"Got learning_rate_scale={self.learning_rate_scale!r}. Expected a number > 0. "
                "To freeze layers, leave them out of `trainable`."
            )
        if not 0 < self.layer_decay <= 1:
            raise errors.InputError(
                f"Got layer_decay={self.layer_decay!r}. Expected a number in (0, 1]. Use 1 for none."
            )


TrainableSchedule = tuple[Phase, ...]


def validate(schedule: Sequence[Phase], variable_paths: Iterable[str]) -> None:
    """Checks phases against the variables of a model.

    Raises: InputError if there is no phase, the first does not start at 0, a pattern matches no variable, or phases
      differ in `layer_decay`.
    """
    if not schedule or schedule[0].start.amount != 0:
        raise errors.InputError(f"Got phases {list(schedule)!r}. Expected the first to start at 0. Set its start.")
    decays = sorted({phase.layer_decay for phase in schedule})
    if len(decays) > 1:
        raise errors.InputError(
            f"Got phases with layer_decay {decays}. Expected one for all, as the optimizer's scales do not change. "
            "Use one."
        )
    variable_paths = list(variable_paths)
    for phase in schedule:
        paths.select(variable_paths, phase.trainable, what="trainable")


def epochs_of_phases(
    schedule: Sequence[Phase], *, epochs: int, steps_per_epoch: int, global_batch_size: int
) -> list[tuple[int, int, Phase]]:
    """The first epoch of each phase and the one after its last.

    Args:
      schedule: phases.
      epochs: int >= 1, epochs of the whole run; "percent" is of these.
      steps_per_epoch: int >= 1.
      global_batch_size: int >= 1, for starts in examples.

    Raises: InputError if the phases are not in order, or one of them would have no epoch.
    """
    firsts = []
    for phase in schedule:
        steps = phase.start.to_steps(
            steps_per_epoch=steps_per_epoch, global_batch_size=global_batch_size, total_steps=epochs * steps_per_epoch
        )
        firsts.append(math.ceil(steps / steps_per_epoch))
    ends = [*firsts[1:], epochs]
    for first, end, phase in zip(firsts, ends, schedule, strict=True):
        if end <= first:
            raise errors.InputError(
                f"Got a phase that starts at {phase.start} (epoch {first + 1}) and ends with epoch {end}, in a run of "
                f"{epochs} epochs. Expected each phase to have an epoch at least. Train longer, or start it elsewhere."
            )
    return list(zip(firsts, ends, schedule, strict=True))

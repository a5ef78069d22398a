"""How fast each variable learns and decays, by first-match rules over paths."""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

from kft import errors
from kft.paths import Rules

EVERYTHING: Rules[float] = ((".*", 1.0),)
_BIAS_AND_NORM = r"(?:.*/)?(?:bias|gamma|beta)"


@dataclasses.dataclass(frozen=True)
class ParamScales:
    """What multiplies the learning rate and the weight decay of each variable.

        learning_rate(variable) = learning_rate * scales.learning_rate[variable.path]
        weight_decay(variable) = weight_decay * scales.weight_decay[variable.path]

    The learning-rate scale reaches the decay too, as every rule multiplies its decay by the learning rate.

    Args:
      learning_rate: (pattern for `re.fullmatch` on the path, factor > 0); the first match wins; they cover
        every variable that the optimizer is built with.
      weight_decay: the same, factors >= 0; 0 leaves a variable without decay.

    Raises: InputError for a factor out of range.

    Example:
      >>> scales = ParamScales(learning_rate=[("head/.*", 1.0), (".*", 0.1)])
    """

    learning_rate: Rules[float] = EVERYTHING
    weight_decay: Rules[float] = EVERYTHING

    def __post_init__(self):
        for field in ("learning_rate", "weight_decay"):
            rules = tuple((str(pattern), float(value)) for pattern, value in getattr(self, field))
            object.__setattr__(self, field, rules)
        for pattern, value in self.learning_rate:
            if not (math.isfinite(value) and value > 0):
                raise errors.InputError(
                    f"Got learning-rate scale {value!r} for {pattern!r}. Expected a number > 0. "
                    "To freeze layers, use kft.trainable."
                )
        for pattern, value in self.weight_decay:
            if not (math.isfinite(value) and value >= 0):
                raise errors.InputError(
                    f"Got weight-decay scale {value!r} for {pattern!r}. Expected a number >= 0. "
                    "Use 0 for no decay and 1 for the optimizer's weight_decay."
                )


def layerwise_decay(blocks: Sequence[str], rate: float) -> Rules[float]:
    """Learning-rate scales that fall from the top to the bottom: `rate ** depth_from_the_top`.

    Args:
      blocks: path patterns, bottom to top, the head last; the last one gets 1.
      rate: in (0, 1]; 1 gives every block the same rate.

    Returns: rules for `ParamScales.learning_rate`.
    Raises: InputError for a rate out of range.

    Example:
      >>> layerwise_decay(["stem/.*", "block_1/.*", "head/.*"], 0.5)
      (('stem/.*', 0.25), ('block_1/.*', 0.5), ('head/.*', 1.0))

    Reference: Howard and Ruder 2018 (ULMFiT), section 3.2, discriminative fine-tuning with rate 1 / 2.6;
      Clark et al. 2020 (ELECTRA), appendix A, per layer.
    """
    if not 0 < rate <= 1:
        raise errors.InputError(f"Got layer decay {rate!r}. Expected a number in (0, 1]. Use 1 for no decay.")
    return tuple((block, float(rate ** (len(blocks) - 1 - depth))) for depth, block in enumerate(blocks))


def no_decay_on_bias_and_norm(paths: Iterable[str]) -> Rules[float]:
    """Weight-decay scales that leave out biases and the scales and shifts of norms.

    Args:
      paths: the paths of the variables that the optimizer is built with. A rule that takes none of them is
        left out, as it would be an error.

    Returns: rules for `ParamScales.weight_decay`.

    Example:
      >>> no_decay_on_bias_and_norm(["dense/kernel", "dense/bias"])
      (('(?:.*/)?(?:bias|gamma|beta)', 0.0), ('.*', 1.0))

    Reference: He et al. 2019 (Bag of Tricks), section 3.1; Devlin et al. 2019 (BERT), released code.
    """
    excluded = [re.fullmatch(_BIAS_AND_NORM, path) is not None for path in paths]
    rules = []
    if any(excluded):
        rules.append((_BIAS_AND_NORM, 0.0))
    if not all(excluded):
        rules.append((".*", 1.0))
    return tuple(rules)

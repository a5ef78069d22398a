"""Mixup and cutmix: each training image is mixed with a partner, and so is what is learned of it."""

import dataclasses
from typing import TYPE_CHECKING

from kft import errors

if TYPE_CHECKING:
    import tensorflow as tf

# Added to an example's seed, so that mixing draws numbers of its own; see kft.data.augment.
_DRAWS, _GAMMA, _UNIFORM = (5, 0), (6, 0), (7, 0)


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How examples are mixed; where both are asked for, a draw decides for each example which one.

    With share = Beta(alpha, alpha) of the example itself, the rest of its partner:

        mixup:   image = share * image + (1 - share) * partner
        cutmix:  a box of (1 - share) of the area, its middle anywhere, shows the partner's pixels; what of it lies
                 outside is cut off, and share becomes the part that is left of the image
        target = share * target + (1 - share) * partner's target

    The partner is another example of the whole epoch (`kft.data.order.partners_of`), as augmented in that epoch; with
    balanced sampling what is at another place of the balanced order, so that each class is as often the partner. So
    what an example becomes is a function of (seed, epoch, example), and of how often it came before where it comes
    several times, and the same for every batch size and number of replicas; no example is mixed with the padding of a
    last batch.

    Args:
      mixup: alpha of mixup, >= 0; 0 for none.
      cutmix: alpha of cutmix, >= 0; 0 for none.

    Raises: InputError if an alpha is out of range.
    Reference: Zhang et al. 2018, eq. 1; Yun et al. 2019, eq. 1 and 2. Differs: each example of a batch has a share of
      its own, and its partner need not be in its batch.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self):
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise errors.InputError(
                    f"Got {name}={getattr(self, name)!r}. Expected a number >= 0. Use 0 for none, or 0.2."
                )

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def mix(
        self,
        image: "tf.Tensor",
        partner: "tf.Tensor",
        target: "tf.Tensor",
        partner_target: "tf.Tensor",
        seed: "tf.Tensor",
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """One mixed image and its target; a graph function.

        Args:
          image, partner: encoded.
          target, partner_target: float32, of one shape.
          seed: of the image, as that of its augmentation.

        Shapes: images (height, width, channels) float32.
        """
        import tensorflow as tf

        draws = tf.random.stateless_uniform((3,), seed + _DRAWS)
        ways = [way for way in ("mixup", "cutmix") if getattr(self, way)]
        branches = [lambda way=way: self._mixed(way, image, partner, seed, draws[1:]) for way in ways]
        mixed, share = branches[0]() if len(ways) == 1 else tf.cond(draws[0] < 0.5, *branches)
        return tf.ensure_shape(mixed, image.shape), share * target + (1 - share) * partner_target

    def _mixed(self, way, image, partner, seed, draws):
        import tensorflow as tf

        share = _beta(getattr(self, way), seed + _GAMMA)
        if way == "mixup":
            return share * image + (1 - share) * partner, share
        sides = tf.cast(tf.shape(image)[:2], tf.float32)
        half = tf.sqrt(1 - share) * sides / 2
        middle = draws * sides
        begin, end = (tf.clip_by_value(tf.round(place), 0.0, sides) for place in (middle - half, middle + half))
        rows, columns = (tf.range(side, dtype=tf.float32) for side in tf.unstack(sides))
        inside = ((rows >= begin[0]) & (rows < end[0]))[:, None] & ((columns >= begin[1]) & (columns < end[1]))[None]
        share = 1 - tf.reduce_prod(end - begin) / tf.reduce_prod(sides)
        return tf.where(inside[..., None], partner, image), share


def _beta(alpha: float, seed: "tf.Tensor") -> "tf.Tensor":
    """A draw of Beta(alpha, alpha), () float32."""
    import tensorflow as tf

    # Gamma(alpha) = Gamma(alpha + 1) * uniform ** (1 / alpha), by logarithms, as a small alpha makes it tiny.
    larger = tf.random.stateless_gamma((2,), seed, tf.constant(alpha + 1, tf.float64), dtype=tf.float64)
    uniform = 1 - tf.random.stateless_uniform((2,), seed + _UNIFORM, dtype=tf.float64)
    first, second = tf.unstack(tf.math.log(larger) + tf.math.log(uniform) / alpha)
    return tf.cast(tf.sigmoid(first - second), tf.float32)

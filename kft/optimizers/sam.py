"""SAM."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from kft import errors
from kft.optimizers import gradients as gradients_lib
from kft.optimizers.base import check_range
from kft.optimizers.wrapper import Wrapper


class SAM(Wrapper):
    """Any rule, with the gradient taken where the loss near by is highest: sharpness-aware minimisation.

    For parameters w with loss L:

        g = gradient of L at w
        g = gradient of L at w + radius * g / norm(all g)
        w = the rule's update with g, from the old w

    It needs two gradients a step, both over the whole batch, so a train step that knows about it:

        optimizer.ascend(gradients(), variables, weight)          # w -> w + radius * g / norm
        optimizer.apply_sums(gradients(), variables, weight)      # back to the old w, exactly, then the rule

    FineTuneModel makes these calls; `compile` and `fit` of a plain Keras model raise.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; that of the rule inside.
      rule: a name in `kft.optimizers.OPTIMIZERS`, one of ours.
      rule_options: what the rule inside takes beyond rate and decay.
      radius: float > 0, rho of the paper.
      **settings: see `Optimizer`.
    Shapes: old has the shape and dtype of w; besides the slots of the rule.
    Raises: InputError if an argument is out of range, or in a train step without the first gradient.
    Reference: Foret et al. 2021, algorithm 1 and eq. 3. Differs: the norm is that of the gradient over all replicas,
      not of each replica's part (m-sharpness), so that the result does not depend on their number.
    """

    needs_ascend = True

    def __init__(self, learning_rate=0.01, *, rule="momentum", radius=0.05, **settings):
        super().__init__(learning_rate, rule=rule, **settings)
        self.radius = check_range("radius", radius, 0.0, float("inf"), include_low=False)

    def slots(self):
        return super().slots() | {"old": 0.0}

    def ascend(
        self,
        gradients: Sequence[tf.Tensor | tf.IndexedSlices],
        variables: Sequence[keras.Variable],
        weight: tf.Tensor,
    ) -> tf.Tensor:
        """Moves the variables to where the second gradient is taken; called like `apply_sums`, right before it.

        Returns: float32 scalar, the global norm of the mean gradient at w. Where it is 0 or not finite, nothing moves.
        """

        def ascend_one_device(indices, gradients, weight):
            norm = gradients_lib.global_norm(gradients)
            pairs = [(index, self._trainable_variables[index].value) for index in indices]
            for index, w in pairs:
                self.slot_variables["old"][index].value.assign(w)

            def move():
                for (_, w), gradient in zip(pairs, gradients):
                    w.assign_add(gradients_lib.dense(gradients_lib.times(gradient, self.radius / norm), w.shape))
                return True

            tf.cond(tf.math.is_finite(norm) & (norm > 0.0), move, lambda: False)
            return tf.math.divide_no_nan(norm, weight)

        return self._reduce_and_call(ascend_one_device, gradients, variables, tf.cast(weight, tf.float32))

    def apply_sums(self, gradients, variables, weight):
        """Puts the old values back, then updates; see `Optimizer.apply_sums`."""

        def descend_one_device(indices, gradients, weight):
            for index in indices:
                old = self.slot_variables["old"][index].value
                self._trainable_variables[index].value.assign(old)
            return self._update_one_device(indices, gradients, weight)

        return self._reduce_and_call(descend_one_device, gradients, variables, tf.cast(weight, tf.float32))

    def apply(self, grads, trainable_variables=None):
        raise errors.InputError(
            "Got optimizer 'sam' in a train step of Keras. Expected one that takes two gradients. Use a model from "
            "kft.training.build_model, or call ascend and apply_sums in a train step of your own."
        )

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}

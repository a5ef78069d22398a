"""What every rule of ours shares: reduce, divide, clip, decay, and update with the variable's own rate and step."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kft import errors, paths
from kft.optimizers import gradients as gradients_lib
from kft.optimizers.scales import ParamScales


class Optimizer(keras.optimizers.Optimizer):
    """The base of the rules. A rule is `slots`, `coefficients` where it has any, `update` and `get_config`.

    One update, for gradients that are sums over the examples of a replica:

        gradients, weight = sum over replicas
        g = gradients / weight                                  no update at all where weight is 0 or the norm not finite
        g = g * min(1, global_clipnorm / norm(all g))           or each by its own norm (clipnorm), or value (clipvalue)
        rate = learning_rate * scales.learning_rate[path]
        decay = weight_decay * scales.weight_decay[path]
        g = g + decay * w                                       coupled rules
        w = w - rate * decay * w                                decoupled rules, such as AdamW
        step[path] += 1
        update(w, g), with rate and step[path]

    Build it once over every variable that will ever train; give each call those that train now. The others keep
    values, slots and steps, and one that joins later starts with step 1.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule of the number of updates.
      weight_decay: float >= 0.
      clipvalue: float > 0, bound of each element of the mean gradient.
      clipnorm: float > 0, bound of the norm of each variable's gradient.
      global_clipnorm: float > 0, bound of the norm over all variables (elsewhere max_grad_norm). One of the three.
      scales: ParamScales; None is 1 for all.
      name: str.
    Raises: InputError if an argument is out of range.
    """

    decoupled_decay = False

    def __init__(
        self,
        learning_rate,
        *,
        weight_decay=0.0,
        clipvalue=None,
        clipnorm=None,
        global_clipnorm=None,
        scales: ParamScales | None = None,
        name=None,
    ):
        if isinstance(learning_rate, (int, float)):
            learning_rate = check_range("learning_rate", learning_rate, 0.0, math.inf)
        clips = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        for argument, value in clips.items():
            if value is not None:
                check_range(argument, value, 0.0, math.inf, include_low=False)
        if sum(value is not None for value in clips.values()) > 1:
            raise errors.InputError(f"Got {clips}. Expected at most one of the three. Set the others to None.")
        weight_decay = check_range("weight_decay", weight_decay or 0.0, 0.0, math.inf)
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **clips)
        self.scales = ParamScales(**scales) if isinstance(scales, dict) else scales or ParamScales()

    def slots(self) -> dict[str, float]:
        """Name -> initial value of what the rule remembers for each variable."""
        return {}

    def coefficients(self, step: tf.Tensor, learning_rate: tf.Tensor) -> dict[str, tf.Tensor]:
        """What depends on step and rate alone, for all variables at once.

        Args:
          step: float64 (num_variables,), the variables' own steps, from 1.
          learning_rate: float64 (num_variables,), with scales.

        Returns: name -> float64 (num_variables,); `update` gets one element of each, in the variable's dtype.
        """
        return {"learning_rate": learning_rate}

    def update(self, w: tf.Variable, g: tf.Tensor, slot: dict[str, tf.Variable], c: dict[str, tf.Tensor]) -> None:
        """Moves one variable. g is dense, in the dtype of w; c is what `coefficients` gave for it."""
        raise NotImplementedError

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the slots of all variables that any phase will train, and looks up their scales."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        names = [getattr(variable, "path", variable.name) for variable in variables]
        for name, variable in zip(names, variables):
            if tf.as_dtype(variable.dtype).size < 4:
                raise errors.InputError(
                    f"Got variable {name!r} in {variable.dtype}. Expected float32 or float64, as small updates "
                    "are lost in less. For speed use a mixed precision, which keeps the variables in float32."
                )
        rate_scales = paths.assign(names, self.scales.learning_rate, what="learning-rate scale")
        decay_scales = paths.assign(names, self.scales.weight_decay, what="weight-decay scale")
        self._rate_scales = np.array([rate_scales[name] for name in names])
        self._decays = self.weight_decay * np.array(
            [decay_scales[name] * self._use_weight_decay(v) for name, v in zip(names, variables)]
        )
        self._steps = self.add_variable((len(variables),), dtype="int64", name="steps")
        self._slots = {
            slot: [
                self.add_variable_from_reference(variable, name=slot, initializer=_constant(initial))
                for variable in variables
            ]
            for slot, initial in self.slots().items()
        }

    def apply(self, grads, trainable_variables=None) -> None:
        """Updates with mean gradients, those that are summed over replicas: what Keras' `fit` calls."""
        grads = list(grads)
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if not self.built:
            self.build(variables)
        self._check_variables_are_known(variables)
        grads, variables = self._filter_empty_gradients(grads, variables)
        self._reduce_and_update(grads, variables, None)

    def apply_sums(
        self,
        gradients: Sequence[tf.Tensor | tf.IndexedSlices],
        variables: Sequence[keras.Variable],
        weight: tf.Tensor,
    ) -> tf.Tensor:
        """Updates with sums over examples; called in replica context, outside XLA where there are several replicas.

        Args:
          gradients: of the sum over this replica's examples of weight * loss; one for each variable.
          variables: those that train now; the optimizer is built with them and maybe more.
          weight: scalar, the sum of this replica's example weights.

        Returns: float32 scalar, the global norm of the mean gradient before clipping. It is one more read of
          the gradients. Where it is not finite, or the weight of all replicas is 0, nothing was changed.
        """
        self._check_variables_are_known(variables)
        return self._reduce_and_update(list(gradients), list(variables), tf.cast(weight, tf.float32))

    def _reduce_and_update(self, gradients, variables, weight):
        """From replica context to one call of `_update_checked` on each device."""
        indices = [self._get_variable_index(variable) for variable in variables]
        reduced = gradients_lib.sum_over_replicas(gradients if weight is None else [*gradients, weight])
        weight = None if weight is None else reduced.pop()
        gradients = [
            tf.cast(gradients_lib.dense(gradient, variable.shape[0] if variable.shape else 1), variable.dtype)
            for gradient, variable in zip(reduced, variables)
        ]

        def on_each_device(strategy, gradients, weight):
            def on_device(_, gradients, weight):
                return self._update_checked(indices, gradients, weight)

            norms = strategy.extended.update(self._steps.value, on_device, args=(gradients, weight), group=False)
            return tf.nest.flatten(norms)[0]  # the same on all devices

        if not tf.distribute.has_strategy():
            return self._update_checked(indices, gradients, weight)
        return tf.__internal__.distribute.interim.maybe_merge_call(
            on_each_device, tf.distribute.get_strategy(), gradients, weight
        )

    def _update_checked(self, indices, gradients, weight):
        """Divides and updates, where there is something to divide by and the gradient is finite."""
        if weight is None:
            norm = gradients_lib.global_norm(gradients) if self.global_clipnorm else None
            self._update_all(indices, gradients, None, norm)
            return norm
        factor = tf.math.divide_no_nan(1.0, weight)
        norm = gradients_lib.global_norm(gradients) * factor

        def update():
            self._update_all(indices, gradients, factor, norm)
            return True

        tf.cond(tf.math.is_finite(norm) & (weight > 0.0), update, lambda: False)
        return norm

    def _update_all(self, indices, gradients, factor, norm):
        """One update of the variables at these indices of the build."""
        if self.global_clipnorm:
            clip = gradients_lib.clip_factor(norm, self.global_clipnorm)
            factor = clip if factor is None else factor * clip
        joined = np.bincount(indices, minlength=len(self._trainable_variables))
        self._steps.value.assign_add(joined)
        step = tf.cast(tf.gather(self._steps.value, indices), tf.float64)
        learning_rate = tf.cast(self._get_current_learning_rate(), tf.float64) * self._rate_scales[indices]
        vectors = self.coefficients(step, learning_rate) | {"decay": learning_rate * self._decays[indices]}
        scalars = _unstack(vectors, [gradient.dtype for gradient in gradients])
        for index, gradient, c in zip(indices, gradients, scalars):
            variable = self._trainable_variables[index]
            w = variable.value
            self._update_one(index, w, self._scaled_and_clipped(gradient, factor), c)
            if variable.constraint is not None:
                w.assign(variable.constraint(w))
        self._iterations.value.assign_add(1)

    def _update_one(self, index, w, g, c):
        decay = c.pop("decay")
        if self._decays[index] and self.decoupled_decay:
            w.assign_sub(decay * w)
        elif self._decays[index]:
            g += tf.constant(self._decays[index], w.dtype) * w
        self.update(w, g, {name: slot[index].value for name, slot in self._slots.items()}, c)

    def _scaled_and_clipped(self, gradient, factor):
        if factor is not None:
            gradient *= tf.cast(factor, gradient.dtype)
        if self.clipnorm:
            gradient = tf.clip_by_norm(gradient, self.clipnorm)
        if self.clipvalue:
            gradient = tf.clip_by_value(gradient, -self.clipvalue, self.clipvalue)
        return gradient

    def get_config(self):
        """What the same optimizer can be made from, without its state."""
        config = super().get_config()
        names = ("name", "learning_rate", "weight_decay", "clipvalue", "clipnorm", "global_clipnorm")
        scales = {"learning_rate": self.scales.learning_rate, "weight_decay": self.scales.weight_decay}
        return {**{name: config[name] for name in names}, "scales": scales}


def check_range(name: str, value: float, low: float, high: float, *, include_low: bool = True) -> float:
    """The value as a float, if it lies in [low, high), or (low, high) with include_low=False."""
    if not (low <= value < high) or (value == low and not include_low):
        bracket = "[" if include_low else "("
        raise errors.InputError(f"Got {name}={value!r}. Expected a number in {bracket}{low:g}, {high:g}). Change it.")
    return float(value)


def _constant(value):
    return keras.initializers.Constant(value) if value else "zeros"


def _unstack(vectors, dtypes):
    """Name -> (n,) float64 to n dicts of scalars, each in its variable's dtype."""
    columns = {}
    for name, vector in vectors.items():
        by_dtype = {dtype: tf.unstack(tf.cast(vector, dtype)) for dtype in set(dtypes)}
        columns[name] = [by_dtype[dtype][i] for i, dtype in enumerate(dtypes)]
    return [{name: column[i] for name, column in columns.items()} for i in range(len(dtypes))]

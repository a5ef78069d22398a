"""What every rule of ours shares: reduce, divide, clip, decay, and update with the variable's own rate and step."""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from kft import errors
from kft.optimizers import gradients as gradients_lib
from kft.optimizers import penalties, state
from kft.optimizers import slots as slots_lib
from kft.optimizers import update as update_lib
from kft.optimizers.scales import ParamScales
from kft.paths import Rules


class Optimizer(keras.optimizers.Optimizer):
    """The base of the rules. A rule is `slots`, `coefficients` where it has any, `update` and `get_config`.

    One update, for gradients that are sums over the examples of a replica:

        g, weight = sum over replicas, and over accumulate_steps calls
        g = g / (weight * loss_scale)                     nothing happens where weight is 0 or the norm is not finite
        g = g + l2[path] * w + l1[path] * sign(w)
        g = g * min(1, global_clipnorm / norm(all g))     or each by its own norm (clipnorm), or by value (clipvalue)
        step[path] = step[path] + 1
        rate = learning_rate * scales.learning_rate[path]
        decay = weight_decay * scales.weight_decay[path]
        g = g + decay * (w - start)                       coupled rules; start is 0, or see decay_to_start
        w = w - rate * decay * (w - start)                decoupled rules, such as AdamW
        w = the rule's update, with g, rate and step[path]
        average = ema_momentum * average + (1 - ema_momentum) * w          with use_ema; average = w where step is 1

    Build it once over every variable that will ever train; give each call those that train now. The others keep
    values, slots, averages and steps, and one that joins later starts with step 1.

    In a stranger's `compile` and `fit` all of this works but for one thing: Keras divides each micro-batch by its
    own size, so that accumulation equals the large batch only where all are equal, and what is left at the
    end waits for `flush`. FineTuneModel hands over sums and calls `flush`.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule of the number of updates.
      weight_decay: float >= 0.
      clipvalue: float > 0, bound of each element of the mean gradient.
      clipnorm: float > 0, bound of the norm of each variable's gradient.
      global_clipnorm: float > 0, bound of the norm over all variables (elsewhere max_grad_norm). One of the three.
      scales: ParamScales; None is 1 for all.
      accumulate_steps: int >= 1, calls for one update. Needs one more copy of the variables.
      use_ema: whether to keep an average of each variable; `finalize_variable_values` puts it in its place.
      ema_momentum: float in [0, 1).
      loss_scale_factor: float > 0 that `scale_loss` multiplies the loss with, or "dynamic": from 2**15, halved
        at an update that is not finite and is left out, doubled after 2,000 good ones. At 1, the smallest, such an
        update is an error (in Keras' train step only where XLA does not compile it).
      l1: float >= 0, or rules over paths, of the penalty l1 * sum(abs(w)); see `penalty`.
      l2: the same, of the penalty l2 / 2 * sum(w ** 2).
      decay_to_start: path patterns of the variables that decay towards the value they are built with, not to 0 (L2-SP).
      slot_dtype: "bfloat16" keeps means of gradients (m, velocity) in half the memory, rounded to 8 bits after each
        update, which itself goes by what was not rounded. Means of squares stay as they are: with beta_2 = 0.999 most
        of what they change by in a step is less than bfloat16 can tell apart. "float32": all have the variable's dtype.
      name: str.
    Raises: InputError if an argument is out of range.
    Reference: Pascanu et al. 2013, algorithm 1, for the global norm; Li et al. 2018 (L2-SP), eq. 2;
      Micikevicius et al. 2018, section 3.2, for the loss scale. Differs from Keras, which clips before the sum over
      replicas, counts one step for all variables and decays every rule decoupled.
    """

    averages_are_in_place = False  # between two calls of `exchange_averages`
    takes_slices = False  # whether `update` can do with IndexedSlices, where nothing else needs all rows
    decay_form = "coupled"  # or "decoupled"; or "own": the rule reads c["weight_decay"], a float

    def __init__(
        self,
        learning_rate,
        *,
        weight_decay: float = 0.0,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        scales: ParamScales | None = None,
        accumulate_steps: int = 1,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        loss_scale_factor: float | str | None = None,
        l1: float | Rules[float] = 0.0,
        l2: float | Rules[float] = 0.0,
        decay_to_start: Sequence[str] = (),
        slot_dtype: str = "float32",
        name: str | None = None,
    ):
        if isinstance(learning_rate, (int, float)):
            learning_rate = check_range("learning_rate", learning_rate, 0.0, math.inf)
        clips = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        for argument, value in clips.items():
            if value is not None:
                check_range(argument, value, 0.0, math.inf, include_low=False)
        if sum(value is not None for value in clips.values()) > 1:
            raise errors.InputError(f"Got {clips}. Expected at most one of the three. Set the others to None.")
        if not (isinstance(accumulate_steps, int) and accumulate_steps >= 1):
            raise errors.InputError(f"Got accumulate_steps={accumulate_steps!r}. Expected an int >= 1. Use 1 for none.")
        if loss_scale_factor is not None and loss_scale_factor != "dynamic":
            check_range("loss_scale_factor", loss_scale_factor, 0.0, math.inf, include_low=False)
        weight_decay = check_range("weight_decay", weight_decay or 0.0, 0.0, math.inf)
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **clips)
        self.scales = ParamScales(**scales) if isinstance(scales, Mapping) else scales or ParamScales()
        self.accumulate_steps = accumulate_steps
        self.use_ema = bool(use_ema)
        self.ema_momentum = check_range("ema_momentum", ema_momentum, 0.0, 1.0)
        self.loss_scale_factor = loss_scale_factor
        self.l1, self.l2 = penalties.rules("l1", l1), penalties.rules("l2", l2)
        self.decay_to_start = tuple(decay_to_start)
        if slot_dtype not in slots_lib.SLOT_DTYPES:
            raise errors.unknown_name("slot_dtype", slot_dtype, slots_lib.SLOT_DTYPES)
        self.slot_dtype = slot_dtype
        # Called while `apply_sums` is traced, with indices of variables and the squared norms of their mean gradients.
        self.gradient_listener = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # So that Keras can load a model that was saved with the rule, as "kft>Adam".
        keras.saving.register_keras_serializable(package=cls.__module__.partition(".")[0])(cls)

    def slots(self) -> dict[str, float]:
        """Name -> initial value of what the rule remembers for each variable; "variable": the variable's own."""
        return {}

    def first_moments(self) -> dict[str, float]:
        """Name -> decay of those slots that are means of gradients; what `slot_dtype` is about."""
        return {}

    def bfloat16_slots(self) -> frozenset[str]:
        """The slots that are kept in bfloat16; InputError where `slot_dtype` asks for what cannot be."""
        return slots_lib.in_bfloat16(self)

    def bytes_kept(self, variables: Sequence[keras.Variable]) -> int:
        """The memory that it will take once it is built with these variables."""
        return slots_lib.bytes_kept(self, variables)

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
        if not self.built:
            use_ema, self.use_ema = self.use_ema, False  # else Keras makes averages of its own, which nothing uses
            super().build(list(variables))
            self.use_ema = use_ema
            slots_lib.make(self, list(variables))

    def apply(self, grads, trainable_variables=None) -> None:
        """Updates with mean gradients, those that are summed over replicas: what Keras' `fit` calls."""
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        self.build(variables)
        self._reduce_and_call(self._update_one_device, grads, variables, None)

    def apply_sums(
        self,
        gradients: Sequence[tf.Tensor | tf.IndexedSlices],
        variables: Sequence[keras.Variable],
        weight: tf.Tensor,
    ) -> tf.Tensor:
        """Updates with sums over examples; called in replica context, outside XLA where there are several replicas.

        Args:
          gradients: of the sum over this replica's examples of weight * scale_loss(loss); one for each variable.
          variables: those that train now; the optimizer is built with them and maybe more.
          weight: scalar, the sum of this replica's example weights.

        Returns: float32 scalar, the global norm of this call's mean gradient, without penalties and before the clip.
          It costs one read of the gradients. Where it is not finite, or no replica has any weight, nothing
          was changed.
        """
        return self._reduce_and_call(self._update_one_device, gradients, variables, tf.cast(weight, tf.float32))

    def _update_one_device(self, indices, gradients, weight):
        return update_lib.update(self, indices, gradients, weight)

    def _reduce_and_call(self, function, gradients, variables, weight):
        """From replica context to one call of function(indices, gradients, weight) on each device, with the sums."""
        self._check_variables_are_known(variables)
        gradients, variables = self._filter_empty_gradients(gradients, variables)
        indices = [self._get_variable_index(variable) for variable in variables]
        reduced = gradients_lib.sum_over_replicas(gradients if weight is None else [*gradients, weight])
        weight = None if weight is None else reduced.pop()
        if tf.distribute.has_strategy():
            reduced = [gradients_lib.dense(gradient, v.shape) for gradient, v in zip(reduced, variables)]
        gradients = [tf.cast(gradient, variable.dtype) for gradient, variable in zip(reduced, variables)]
        if not tf.distribute.has_strategy():
            return function(indices, gradients, weight)

        def on_devices(_, gradients, weight):
            return self._on_devices(lambda _, *args: function(indices, *args), (gradients, weight))

        return tf.__internal__.distribute.interim.maybe_merge_call(
            on_devices, self._distribution_strategy, gradients, weight
        )

    def slices_will_do(self) -> bool:
        """Whether rows without a gradient stay as they are."""
        return self.takes_slices and not (self.clipvalue or self.clipnorm or self.weight_decay or self._has_penalties())

    def _has_penalties(self):
        return any(value for _, value in (*self.l1, *self.l2))

    def _on_devices(self, function, args=()):
        """Calls the function on each device that holds the variables; the result of the first."""
        results = self._distribution_strategy.extended.update(self.steps.value, function, args=args, group=False)
        return tf.nest.flatten(results)[0]  # the same on all

    def flush(self, variables: Sequence[keras.Variable]) -> None:
        """Updates with what is accumulated and waits, if anything: the last, shorter part of an epoch or a phase.

        Called outside of `strategy.run`, eagerly or in a tf.function.

        Args:
          variables: those that were trained since the last update.
        """
        if self.accumulate_steps > 1:
            indices = [self._get_variable_index(variable) for variable in variables]
            with self._distribution_strategy.scope():
                self._on_devices(lambda _: update_lib.flush(self, indices))

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss times the loss scale, to take the gradients of."""
        if self.loss_scale_factor is None:
            return loss
        return loss * tf.cast(slots_lib.loss_scale(self), loss.dtype)

    def penalty(self, variables: Sequence[keras.Variable]) -> tf.Tensor | float:
        """The penalties on these variables: what is descended besides the loss whose gradients are given.

        FineTuneModel adds them to the training loss that it shows. Keras' own train step does not, and no evaluation
        does, as it is of the data.
        """
        if not self._has_penalties():
            return 0.0
        indices = [self._get_variable_index(variable) for variable in variables]
        return penalties.value(variables, self.l1_penalties[indices], self.l2_penalties[indices])

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Puts the averages in place of the variables given, each its own; those never trained stay."""
        if self.use_ema and not self.averages_are_in_place:
            state.exchange_averages(self, var_list, keep=False)

    def exchange_averages(self) -> None:
        """Swaps variables and averages, to evaluate with the averages; the second call swaps back, exactly."""
        state.exchange_averages(self, self._trainable_variables, keep=True)
        self.averages_are_in_place = not self.averages_are_in_place

    def state(self) -> dict[str, keras.Variable]:
        """Everything that the next update depends on, by name: "iteration", "steps", "m/dense/kernel", ..."""
        return state.named(self)

    def save_own_variables(self, store) -> None:
        state.save(self, store)

    def load_own_variables(self, store) -> None:
        """Raises: InputError that lists what is missing, left over or of another shape; nothing is loaded then."""
        state.load(self, store)

    def get_config(self):
        """What the same optimizer can be made from, without its state."""
        config = super().get_config()
        names = ("name", "learning_rate", "weight_decay", "clipvalue", "clipnorm", "global_clipnorm")
        own = ("accumulate_steps", "use_ema", "ema_momentum", "loss_scale_factor", "l1", "l2", "decay_to_start")
        return {
            **{name: config[name] for name in names},
            **{name: getattr(self, name) for name in (*own, "slot_dtype")},
            "scales": {"learning_rate": self.scales.learning_rate, "weight_decay": self.scales.weight_decay},
        }


def check_range(name: str, value: float, low: float, high: float, *, include_low: bool = True) -> float:
    """The value as a float, if it lies in [low, high), or (low, high) with include_low=False."""
    if not (low <= value < high) or (value == low and not include_low):
        bracket = "[" if include_low else "("
        raise errors.InputError(f"Got {name}={value!r}. Expected a number in {bracket}{low:g}, {high:g}). Change it.")
    return float(value)

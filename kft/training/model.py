"""A Keras model whose train, test and predict functions are exact over padding, replicas and frozen parts."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.models.functional import operation_fn

from kft import errors, paths
from kft.training import (
    bad_numbers,
    fitting,
    frozen,
    measures,
    precision,
    r_drop,
    remat,
    step_groups,
    step_parts,
    weighted,
    workers,
)


class FineTuneModel(keras.Model):
    """A functional model that `fit`, `evaluate` and `predict` treat exactly.

    For the examples i of a global batch with weights weight_i:

        loss     = sum_i(weight_i * loss_i) / sum_i(weight_i) + penalties
        gradient = d loss / d variable, summed over all replicas before it is clipped
        metrics  over the examples with weight_i > 0

    so examples of weight 0 (the padding of a last batch) change nothing, and several replicas give what one
    gives. The penalties are those of layers and, in training, those of the optimizer (`l1`, `l2`). What does not
    train runs in inference mode, dropout and BatchNorm included. Made by `kft.training.build_model`; nothing but
    `compile` and `fit` is needed to use it.

    Differs from Keras: the loss is divided by the sum of the weights, not by the number of examples;
    `metrics=` leave out examples of weight 0; XLA (`jit_compile=True`) compiles forward and backward of
    one replica and leaves the reduction, the update and the metrics outside, so it works under a strategy.

    Args:
      inputs, outputs: as of `keras.Model`.
      blocks: patterns over variable paths, bottom to top, the head last; together they cover every variable.
      batchnorm: "frozen", BatchNorm always uses its moving statistics; "train", where its parameters train it
        normalises by the batch and updates them; "synchronized", the same by the batch of all replicas.
      name: of the model.
    """

    def __init__(self, inputs, outputs, blocks: Sequence[str] = (), batchnorm: str = "frozen", name=None):
        super().__init__(inputs, outputs, name=name)
        self.blocks = tuple(blocks)
        self.batchnorm = step_parts.prepare_batchnorm(self, batchnorm)
        self.trainable = True
        self.parameters = tuple(self.trainable_variables)
        self._inference: frozenset[int] = frozenset()
        self._traced_for: tuple[str, ...] | None = None
        self._entry: str | None = None
        self.r_drop, self.mixout = 0.0, None  # see kft.training.r_drop and mixout
        self.remat = False  # see kft.training.remat
        self._jitted: list[Any] = []
        self.step_hooks: list[Callable[[], None]] = []
        self.test_hooks: list[Callable[[], None]] = []
        self.place, self.watch, self.checkpoint = fitting.Place(), bad_numbers.Watch(), None
        self.measures = measures.Measures()
        self.groups = step_groups.StepGroups()

    def set_trainable(self, patterns: Sequence[str]) -> None:
        """Lets exactly the parameters train whose paths match one of the patterns.

        Acts from the next `fit` on, or at once where a callback calls `make_train_function(force=True)`.

        Args:
          patterns: for `re.fullmatch` on variable paths, such as those of `blocks`.

        Raises: InputError for a pattern that matches no parameter.
        """
        chosen = set(paths.select([v.path for v in self.parameters], patterns, what="trainable"))
        for variable in self.parameters:
            variable.trainable = variable.path in chosen

    def inference_operations(self) -> frozenset[int]:
        """The operations that run in inference mode with what trains now, by `id`."""
        return frozen.inference_operations(
            self, self.trainable_variables, parameters=self.parameters, freeze_batchnorm=self.batchnorm == "frozen"
        )

    def set_entry(self, name: str, suffix: Callable[..., Any]) -> None:
        """Lets batches {name: values} enter the graph above its inputs; all others enter as ever.

        Args:
          name: says at which cut; another one for each.
          suffix: function (values, training=...) -> the model's outputs.
        """
        self._entry, self._suffix = name, suffix

    @property
    def num_compilations(self) -> int:
        """How often XLA compiled a train, test or predict function so far, where shapes are static."""
        return sum(function.experimental_get_tracing_count() for function in self._jitted)

    num_planned_compilations = property(lambda self: len(self._jitted), doc="One for each such function.")

    # Forward.

    def call(self, inputs, training=None, mask=None):
        def operation(op):
            return operation_fn(op, training=False if id(op) in self._inference else training)

        inputs = self._standardize_inputs(inputs)
        if self.remat and training:
            outputs = remat.run_through_graph(self, inputs, operation)
        else:
            outputs = self._run_through_graph(inputs, operation_fn=operation)
        return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs

    def _forward(self, x: Any, training: bool) -> Any:
        if isinstance(x, dict) and self._entry in x:
            return self._suffix(x[self._entry], training=training)
        return self(x, training=training)

    # What Keras calls.

    def compile(self, optimizer="rmsprop", *args, **kwargs):
        """As `keras.Model.compile`; in float16, an optimizer of kft gets a dynamic loss scale if it has none.

        `steps_per_execution=0` chooses by measuring; see `kft.training.StepGroups`. It is for training alone.

        Raises: InputError for an optimizer that is built without a loss scale, for a model in float16.
        """
        self.groups = step_groups.StepGroups(kwargs.pop("steps_per_execution", 1))
        if hasattr(optimizer, "apply_sums"):
            precision.scale_loss_if_needed(self, optimizer)
            kwargs["auto_scale_loss"] = False
        super().compile(optimizer, *args, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        """As `keras.Model.fit`; a data set of `kft.data.batches` gives the order of each epoch by its number.

        Raises: NonFiniteError at the step whose gradient, loss or input is NaN or infinite, with the first bad tensor
          and the examples.
        """
        x = workers.shared(self, x)
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"], steps = workers.one_epoch(self, kwargs["validation_data"])
            kwargs.setdefault("validation_steps", steps)
        with workers.losing_peers(self.distribute_strategy):
            return fitting.fit(self, super().fit, x, args, kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`; of several workers each reads its share, and all get the result."""
        if not kwargs.get("_use_cached_eval_dataset"):
            x, steps = workers.one_epoch(self, x)
            kwargs = kwargs if steps is None else {"steps": steps, **kwargs}
        with workers.losing_peers(self.distribute_strategy):
            return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`; of several workers each reads its share, and all get all predictions."""
        x, steps = workers.one_epoch(self, x)
        with workers.losing_peers(self.distribute_strategy):
            return super().predict(x, *args, **(kwargs if steps is None else {"steps": steps, **kwargs}))

    def resume_within_epoch(self, steps_done: int, restore_metrics: Callable[[], None]) -> None:
        """Lets the next `fit` begin within its first epoch, with what the metrics were there.

        Args:
          steps_done: int >= 0, steps of that epoch that are done.
          restore_metrics: called when Keras has reset the metrics at the begin of the epoch.
        """
        self.place.steps_to_skip, self.place.restore_metrics = steps_done, restore_metrics

    def make_train_function(self, force=False):
        trains = tuple(variable.path for variable in self.trainable_variables)
        if self.train_function is not None and not force and trains == self._traced_for:
            return
        if not trains:
            raise errors.InputError("Got no variable that trains. Expected one at least. Use `set_trainable`.")
        variables = self.trainable_variables
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(variables)
        step_parts.check_compiled(self)
        self._inference = self.inference_operations()
        self._traced_for = trains
        forward_backward = self._maybe_jit(self._forward_backward(variables))

        def step(data):
            x, y, weight = step_parts.unpack(data)
            gradients, loss_sum, weight_sum, y_pred = forward_backward(x, y, weight)
            if hasattr(self.optimizer, "penalty"):  # what it descends besides the loss; the gradient is its own
                loss_sum += self.optimizer.penalty(step_parts.present(gradients, variables)[1]) * weight_sum
            if getattr(self.optimizer, "needs_ascend", False):  # SAM: the gradient of another place, for the same batch
                self.optimizer.ascend(*step_parts.present(gradients, variables), weight_sum)
                gradients = forward_backward(x, y, weight)[0]
            seen = {"the input": x, "the targets": y, "the outputs": y_pred, "the loss": loss_sum}
            good = step_parts.apply(self, gradients, variables, weight_sum, x, seen)
            self._update_metrics(y, y_pred, weight, loss_sum, weight_sum)
            return good

        run = step_groups.train_function(self, step)
        traced = [variable.trainable for variable in self.parameters]

        def train_function(iterator):
            if traced != [variable.trainable for variable in self.parameters]:
                raise step_parts.drift(self.parameters, traced)
            place = self.place
            iterator = place.iterator or iterator
            if place.steps_to_skip:  # Keras counts the steps of an epoch from its begin
                place.calls += 1
                if place.restore_metrics is not None:
                    step_parts.build_losses_and_metrics(self, step_parts.replica_spec(iterator.element_spec))
                    place.restore_metrics()
                place.steps_to_skip, place.restore_metrics = place.steps_to_skip - 1, None
                return self._get_metrics_result_or_logs({})
            return run(iterator)

        self.train_function = train_function

    def make_test_function(self, force=False):
        if self.test_function is not None and not force:
            return

        def forward(x, y, weight):
            y_pred = self._forward(x, training=False)
            return *self._loss_sums(y, y_pred, weight), y_pred

        forward, tells = self._maybe_jit(forward), self.measures.tells_outputs

        def step(data):
            x, y, weight = step_parts.unpack(data)
            loss_sum, weight_sum, y_pred = forward(x, y, weight)
            self._update_metrics(y, y_pred, weight, loss_sum, weight_sum)
            return (y, y_pred, weight) if tells else None

        run = step_parts.step_function(self, step)

        def test_function(iterator):
            logs, outputs = run(iterator)
            self.measures.tell(self.distribute_strategy, outputs)
            for hook in self.test_hooks:
                hook()
            return logs

        self.test_function = test_function

    def make_predict_function(self, force=False):
        if self.predict_function is not None and not force:
            return
        forward = self._maybe_jit(lambda x: self._forward(x, training=False))

        def step(data):
            x, _, weight = keras.utils.unpack_x_y_sample_weight(data)
            y_pred = forward(x)
            return y_pred if weight is None else weighted.drop_padding(weight, y_pred)[1]

        def predict_function(batches):
            parts = [self.distribute_strategy.run(step, args=(data,)) for data in batches]
            rows = [workers.of_all_replicas(self.distribute_strategy, part) for part in parts]
            return keras.tree.map_structure(lambda *tensors: tf.concat(tensors, 0), *rows)

        self.predict_function = predict_function if self.run_eagerly else step_parts.graph(predict_function)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to build: a functional model is built, losses and metrics are built from the data's spec."""
        if self.place.begins:  # `fit`, not `evaluate`
            self.place.begins = False
            self.groups.enumerate(self, iterator)

    def _get_metrics_result_or_logs(self, logs):
        with self.distribute_strategy.scope():
            return self.get_metrics_result()

    # Parts of a step.

    def _forward_backward(self, variables: Sequence[keras.Variable]) -> Callable[..., tuple]:
        values = [variable.value for variable in variables]

        def forward_backward(x, y, weight):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                y_pred, loss_sum, weight_sum = r_drop.forward(self, x, y, weight)
                scaled = self.optimizer.scale_loss(loss_sum)
            return tape.gradient(scaled, values), loss_sum, weight_sum, y_pred

        return forward_backward

    def _loss_sums(self, y, y_pred, weight) -> tuple[tf.Tensor, tf.Tensor]:
        loss_sum, weight_sum = weighted.loss_sums(self._compile_loss._flat_losses, y, y_pred, weight)
        # Each replica adds its share, so that after the division by the global weight penalties count once.
        for penalty in self.losses:
            loss_sum += tf.cast(tf.reduce_sum(penalty), tf.float32) * weight_sum
        return loss_sum, weight_sum

    def _update_metrics(self, y, y_pred, weight, loss_sum, weight_sum) -> None:
        self._loss_tracker.update_state(tf.math.divide_no_nan(loss_sum, weight_sum), sample_weight=weight_sum)
        if self._compile_metrics is not None:
            weight, y, y_pred = weighted.drop_padding(weight, y, y_pred)
            self._compile_metrics.update_state(y, y_pred, weight)

    def _maybe_jit(self, function: Callable) -> Callable:
        on_tpu = isinstance(self.distribute_strategy, tf.distribute.TPUStrategy)  # which compiles the whole step
        if not self.jit_compile or self.run_eagerly or on_tpu:
            return function
        jitted = step_parts.graph(function, jit_compile=True)
        self._jitted.append(jitted)
        return jitted

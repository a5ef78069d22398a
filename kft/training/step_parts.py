"""What the train, test and predict functions of FineTuneModel are put together from."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kft import errors
from kft.training import bad_numbers, measures


def graph(function: Callable, **kwargs) -> Callable:
    """A graph function without rewriting of Python control flow: errors keep their type, tracing is quicker."""
    return tf.function(function, autograph=False, **kwargs)


def unpack(data: Any) -> tuple[Any, Any, tf.Tensor]:
    """x, y, and a weight for every example: 1 where the data has none."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    if y is None:
        raise errors.InputError("Got batches without targets. Expected (x, y) or (x, y, weight). Add y.")
    if keras.tree.is_nested(weight):
        raise errors.InputError("Got a structure of sample weights. Expected one for each example. Use a vector.")
    if weight is None:
        weight = tf.ones(tf.shape(keras.tree.flatten(x)[0])[:1])
    return x, y, tf.cast(weight, tf.float32)


def unpack_spec(spec: Any) -> tuple[Any, Any, Any]:
    """x, y and weight of the spec of a data set."""
    return keras.utils.unpack_x_y_sample_weight(spec if isinstance(spec, tuple) else tuple(spec))


def replica_spec(spec: Any) -> Any:
    """The spec of what one replica gets."""
    first = lambda s: getattr(s, "_value_specs", (s,))[0]  # noqa: E731
    return keras.tree.map_structure(first, spec)


def present(gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> tuple[list, list]:
    """The gradients that are there, and their variables."""
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    return [gradient for gradient, _ in pairs], [variable for _, variable in pairs]


def scaled(gradient: Any, scale: tf.Tensor) -> Any:
    """gradient * scale, also for IndexedSlices."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


def apply(model, gradients, variables, weight_sum, x, seen) -> tf.Tensor:
    """Updates, unless a number is not finite, which ends the step with an error; whether all is good."""
    gradients, variables = present(gradients, variables)
    by_path = {variable.path: gradient for variable, gradient in zip(variables, gradients, strict=True)}
    # What is stored of a frozen part was computed from inputs that are not here.
    is_good = tf.constant(True) if isinstance(x, dict) and model._entry in x else bad_numbers.are_finite(x)
    if hasattr(model.optimizer, "apply_sums"):
        # A dynamic loss scale leaves such a step out, and is lowered, while it can be.
        scale = model.optimizer.loss_scale.value > 1.0 if model.optimizer.loss_scale_factor == "dynamic" else None
        norm = model.optimizer.apply_sums(gradients, variables, weight_sum)
        is_good &= tf.math.is_finite(norm) if scale is None else tf.math.is_finite(norm) | scale
        return model.watch.check(is_good, seen, by_path, stop=False)
    total = weight_sum
    if model.distribute_strategy.num_replicas_in_sync > 1:
        total = tf.distribute.get_replica_context().all_reduce("SUM", weight_sum)
    scale = tf.math.divide_no_nan(1.0, total)
    if not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):  # which leaves such a step out
        is_good &= bad_numbers.are_finite([*by_path.values()])
    checked = model.watch.check(is_good, seen, by_path, stop=True)
    with tf.control_dependencies([checked]):
        gradients = [scaled(gradient, scale) for gradient in gradients]
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return checked


def prepare_batchnorm(model: keras.Model, batchnorm: str) -> str:
    """Lets BatchNorm layers see all replicas where asked for; "frozen" or "train", how they are treated.

    Raises: InputError for another word.
    """
    if batchnorm not in ("frozen", "train", "synchronized"):
        raise errors.unknown_name("batchnorm", batchnorm, ("frozen", "train", "synchronized"))
    if batchnorm == "synchronized":
        for layer in _batchnorms(model):
            layer.synchronized = True
    return "frozen" if batchnorm == "frozen" else "train"


def _batchnorms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def check_compiled(model: keras.Model) -> None:
    """Raises InputError for what `compile` was given and would be wrong here."""
    optimizer = model.optimizer
    synchronized = any(layer.synchronized for layer in _batchnorms(model)) and model.batchnorm == "train"
    if model.distribute_strategy.num_replicas_in_sync > 1 and synchronized and (model.jit_compile or model.remat):
        raise errors.InputError(
            "Got synchronized BatchNorm on several replicas with XLA or remat. Expected neither, as the replicas "
            "exchange statistics within the forward pass. Use --xla=off without --remat, or --batchnorm=train."
        )
    clips = [getattr(optimizer, name, None) for name in ("clipnorm", "clipvalue", "global_clipnorm")]
    several = model.distribute_strategy.num_replicas_in_sync > 1
    if several and not hasattr(optimizer, "apply_sums") and any(clip is not None for clip in clips):
        raise errors.InputError(
            f"Got {optimizer.name!r} of Keras with clipping, on several replicas. Expected an optimizer that clips "
            "after the reduction; this one clips before it, which gives another result. Use one of kft.optimizers."
        )


def drift(parameters: Sequence[keras.Variable], traced: Sequence[bool]) -> errors.InputError:
    """The error for parameters whose `trainable` is no longer what the step was traced for."""
    drifted = [v.path for v, trained in zip(parameters, traced, strict=True) if v.trainable != trained]
    return errors.InputError(
        f"Got another `trainable` for {', '.join(map(repr, drifted[:5]))} ({len(drifted)} in all) in the middle of "
        "a `fit`, which goes on to train what it began with. Expected no change until its end. Use phases of "
        "`fine_tune`, or kft.trainable.TrainableCallback."
    )


def step_function(
    model: keras.Model, step: Callable[[Any], Any], waited: tf.Variable | None = None
) -> Callable[[Any], tuple[dict[str, tf.Tensor], Any]]:
    """The function of an iterator, or of batches, that runs a step on every replica.

    Args:
      model: compiled.
      step: of a batch, in replica context.
      waited: see `measures.next_batch`.

    Returns: the metrics so far, and what the step returns on each replica.
    """
    strategy = model.distribute_strategy

    def one_step(data):
        with strategy.scope():
            outputs = strategy.run(step, args=(data,))
            return model.get_metrics_result(), outputs

    def from_iterator(iterator):
        return one_step(measures.next_batch(iterator, waited))

    if not model.run_eagerly:
        one_step, from_iterator = graph(one_step), graph(from_iterator)

    def function(iterator):
        if is_iterator(iterator):
            if not are_built(model):
                build_losses_and_metrics(model, replica_spec(iterator.element_spec))
            return from_iterator(iterator)
        data = tuple(part for part in next(iterator) if part is not None)
        data = keras.tree.map_structure(tf.convert_to_tensor, data)
        build_losses_and_metrics(model, data)
        return one_step(data)

    return function


def is_iterator(iterator: Any) -> bool:
    """Whether a graph can read it; `train_on_batch` gives a generator of one batch."""
    return isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator)


def are_built(model: keras.Model) -> bool:
    """Whether `build_losses_and_metrics` has nothing to do: asked in each step, so it has to be quick."""
    return model._compile_loss.built and (model._compile_metrics is None or model._compile_metrics.built)


def build_losses_and_metrics(model: keras.Model, spec: Any) -> None:
    """Keras resolves words such as "accuracy" by the shapes of targets and outputs."""
    symbolic = lambda s: keras.KerasTensor(s.shape, s.dtype.name)  # noqa: E731
    y = keras.tree.map_structure(symbolic, unpack_spec(spec)[1])
    y_pred = model.outputs[0] if len(model.outputs) == 1 else model._outputs_struct
    with model.distribute_strategy.scope():
        if not model._compile_loss.built:
            model._compile_loss.build(y, y_pred)
        if model._compile_metrics is not None and not model._compile_metrics.built:
            model._compile_metrics.build(y, y_pred)

"""What layers compute in, and what stays in float32 whatever that is."""

import contextlib
from collections.abc import Iterator

import keras

from kft import errors

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
HALF = ("bfloat16", "float16")


@contextlib.contextmanager
def precision_scope(name: str) -> Iterator[None]:
    """Layers made in this scope compute in a precision; their variables are float32.

    Make backbone and model in it; afterwards it does not matter. With "mixed_float16", `FineTuneModel.compile` gives an
    optimizer of kft a dynamic loss scale, and wraps one of Keras in a LossScaleOptimizer.

    Args:
      name: of PRECISIONS.

    Raises: InputError for another name.
    Example:
      >>> with precision_scope("mixed_bfloat16"):
      ...     keras.layers.Dense(3).compute_dtype
      'bfloat16'
    """
    if name not in PRECISIONS:
        raise errors.unknown_name("precision", name, PRECISIONS)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def keep_in_float32(model: keras.Model) -> None:
    """Sets what must not be computed in half precision, in a model whose layers compute in it; else changes nothing.

    Softmax of attention is float32, as are norms by Keras' own doing. Rows of an embedding are cast after they are
    looked up: Keras casts the whole table in each step, and adds up the gradients of a row in half precision.
    """
    for layer in model._flatten_layers():
        if layer.compute_dtype not in HALF:
            continue
        if isinstance(layer, keras.layers.MultiHeadAttention) and hasattr(layer, "_softmax"):
            layer._softmax.dtype_policy = "float32"
        elif isinstance(layer, keras.layers.Softmax):
            layer.dtype_policy = "float32"
        elif isinstance(layer, keras.layers.Embedding) and layer.built and hasattr(layer, "_embeddings"):
            layer._embeddings._autocast = False


def precision_of(model: keras.Model) -> str:
    """The name in PRECISIONS of what most of a model computes in: half precision if any of its layers does."""
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()}
    return next((f"mixed_{dtype}" for dtype in HALF if dtype in dtypes), "float32")


def scale_loss_if_needed(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Gives an optimizer of kft a dynamic loss scale if the model computes in float16 and it has none.

    Raises: InputError if it is built without one.
    """
    if precision_of(model) != "mixed_float16" or optimizer.loss_scale_factor is not None:
        return
    if optimizer.built:
        raise errors.InputError(
            f"Got optimizer {optimizer.name!r}, built without a loss scale, for a model in float16. Expected one with "
            "a loss scale, as small gradients vanish in float16. Make it with loss_scale_factor='dynamic'."
        )
    optimizer.loss_scale_factor = "dynamic"

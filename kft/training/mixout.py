"""Mixout: in each training step a random part of the weights is that of the start."""

import math
import re
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kft import errors
from kft.models import heads


class Mixout:
    """Mixes the kernels of a backbone with those of the start, anew in each step.

    For each element of a kernel w that trains, with its value s when this was made:

        mixed = ((s with probability p, else w) - p * s) / (1 - p)

    whose mean over the draws is w. The forward pass sees the mixed weights, and the gradient goes to w; in evaluation
    there is w alone. Vectors, embeddings and the head are left as they are.

    Args:
      model: FineTuneModel, with the pretrained weights, before its first step and before a checkpoint is restored.
      p: float in [0, 1).

    Raises: InputError if p is out of range, or the model has no such kernel.
    Reference: Lee et al. 2020, equation 4, of which this is the case that starts at pretrained weights.
    """

    def __init__(self, model: keras.Model, p: float):
        if not 0 <= p < 1:
            raise errors.InputError(f"Got mixout={p!r}. Expected a number in [0, 1). Use 0 for none, or 0.7.")
        self.p = float(p)
        kernels = [variable for variable in model.parameters if p and _is_kernel(variable)]
        if p and not kernels:
            raise errors.InputError(
                f"Got mixout={p!r} for {model.name!r}, whose backbone has no kernel. Expected one. Use mixout=0."
            )
        self._pairs = [(variable, tf.identity(variable.value)) for variable in kernels]

    @property
    def bytes(self) -> int:
        """What the values of the start take."""
        return sum(math.prod(start.shape) * start.dtype.size for _, start in self._pairs)

    def mapping(self, seed: tf.Tensor) -> list[tuple[keras.Variable, tf.Tensor]]:
        """The kernels that train, each with its mixed value."""
        mixed = []
        for index, (variable, start) in enumerate(self._pairs):
            if variable.trainable:
                own_seed = tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), index)
                taken = tf.random.stateless_uniform(start.shape, own_seed) < self.p
                w = tf.convert_to_tensor(variable.value)
                value = (tf.where(taken, tf.cast(start, w.dtype), w) - self.p * start) / (1 - self.p)
                mixed.append((variable, value))
        return mixed


def use_mixout(model: Any, p: float) -> None:
    """Lets a model train with mixout, from its weights as they are now; see `Mixout`. With p = 0 without.

    Args:
      model: FineTuneModel.
      p: see `Mixout`.
    """
    made = Mixout(model, p)
    if p:
        model.mixout, model.mixout_seed = made, keras.random.SeedGenerator(name="mixout")
    else:
        model.mixout = None


def forward(model: Any, call: Callable[[], Any]) -> Any:
    """What `call`, a forward pass in training, gives with mixed weights, if the model has them."""
    if model.mixout is None:
        return call()
    with keras.StatelessScope(state_mapping=model.mixout.mapping(model.mixout_seed.next())) as scope:
        outputs = call()
    parameters = {id(variable) for variable in model.parameters}
    for variable in model.variables:  # seeds and statistics moved within the scope alone
        value = None if id(variable) in parameters else scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
    return outputs


def _is_kernel(variable: keras.Variable) -> bool:
    embedding = variable.path.endswith(("/embeddings", "/rel_embedding"))
    return len(variable.shape) >= 2 and not embedding and not re.fullmatch(heads.HEAD_BLOCK, variable.path)

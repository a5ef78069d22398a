"""Norms of gradients, weights and updates, of each block and of all."""

import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.inspection import summary


class BlockMeasures:
    """Measures single updates of a model; all it costs at other steps is one small vector that the step writes.

        gradient_norm = norm of the mean gradient, before the clip; with accumulation that of the last batch
        weight_norm   = norm of the weights before the update
        update_ratio  = norm(weights after - weights before) / weight_norm

    Each over what trains of a block, and, as block "all", over all that trains.

    Args:
      model: with `parameters` and `blocks`, such as FineTuneModel; its optimizer is told to listen where it can.
      keep_updates: whether `updates` has, of each block, how far each weight went in the update that was measured last.
    """

    def __init__(self, model: keras.Model, *, keep_updates: bool = False):
        self.model, self.optimizer = model, model.optimizer
        self.keep_updates, self.updates = keep_updates, {}
        self.blocks = tuple(summary.block_name(block) for block in model.blocks) or ("other",)
        self._block_of = {variable.path: self._name(variable.path) for variable in model.parameters}
        self._squares: tf.Variable | None = None
        self._before: list[tf.Tensor] = []
        self._trained: list[keras.Variable] = []

    def _name(self, path: str) -> str:
        return next((name for name, p in zip(self.blocks, self.model.blocks) if re.fullmatch(p, path)), "other")

    def listen(self) -> None:
        """Lets the optimizer tell the norms of its gradients, from the next train function on."""
        if hasattr(self.model.optimizer, "gradient_listener"):
            with self.model.distribute_strategy.scope():
                self._squares = tf.Variable(
                    tf.fill([len(self.model.parameters)], float("nan")),
                    trainable=False,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
            self.model.optimizer.gradient_listener = self._gradients

    def trained_blocks(self) -> dict[str, list[keras.Variable]]:
        """Block -> its variables that train now, if any."""
        found: dict[str, list[keras.Variable]] = {}
        for variable in self.model.parameters:
            if variable.trainable:
                found.setdefault(self._block_of[variable.path], []).append(variable)
        return found

    def weights(self) -> dict[str, np.ndarray]:
        """Block -> the numbers of all its variables that train now."""
        return {
            block: np.concatenate([variable.numpy().ravel() for variable in variables])
            for block, variables in self.trained_blocks().items()
        }

    def before_update(self) -> None:
        """Keeps a copy of what trains."""
        self._trained = [variable for variable in self.model.parameters if variable.trainable]
        self._before = [tf.identity(variable.value) for variable in self._trained]

    def after_update(self) -> dict[str, float]:
        """Tag -> value, of the update since `before_update`."""
        squares = [
            (tf.nn.l2_loss(old), tf.nn.l2_loss(variable.value - old))
            for variable, old in zip(self._trained, self._before, strict=True)
        ]
        old, moved = 2.0 * np.array([[float(part) for part in pair] for pair in squares], np.float64).T
        gradients = self._gradient_squares()
        groups: dict[str, list[int]] = {"all": list(range(len(self._trained)))}
        for place, variable in enumerate(self._trained):
            groups.setdefault(self._block_of[variable.path], []).append(place)
        if self.keep_updates:
            moves = [(v.value - old).numpy().ravel() for v, old in zip(self._trained, self._before, strict=True)]
            self.updates = {
                block: np.concatenate([moves[place] for place in places])
                for block, places in groups.items()
                if block != "all"
            }
        self._before = []
        values = {}
        for block, places in groups.items():
            norm = float(np.sqrt(old[places].sum()))
            values[f"weight_norm/{block}"] = norm
            values[f"update_ratio/{block}"] = float(np.sqrt(moved[places].sum())) / max(norm, 1e-12)
            if gradients is not None:
                values[f"gradient_norm/{block}"] = float(np.sqrt(gradients[places].sum()))
        return values

    def _gradients(self, indices: Any, squares: tf.Tensor) -> None:
        """Called while the step is traced: the squared norm of each gradient, by the optimizer's index."""
        places = tf.constant(np.asarray(indices, np.int32)[:, None])
        self._squares.assign(tf.scatter_nd(places, squares, self._squares.shape))

    def _gradient_squares(self) -> np.ndarray | None:
        if self._squares is None:
            return None
        told = self._squares.numpy()
        index = self.model.optimizer._get_variable_index
        squares = np.array([told[index(variable)] for variable in self._trained], np.float64)
        return squares if np.isfinite(squares).all() else None

"""NaN and Inf in a step: seen within the graph, at no cost to speak of, and traced to the tensor and the examples."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import errors, files

NOT_FINITE = "kft: not finite"


class Watch:
    """Looks at the numbers of each step; what it saw of a bad one stays in `seen`, by replica."""

    def __init__(self):
        self.seen: dict[int, dict[str, Any]] = {}

    def check(
        self, is_good: tf.Tensor, tensors: Mapping[str, Any], gradients: Mapping[str, Any], *, stop: bool
    ) -> tf.Tensor:
        """Notes what is bad unless all is good; in replica context. When the step is done, call `raise_error`.

        Args:
          is_good: scalar bool.
          tensors: name -> tensors of the step, in the order in which they are computed: inputs first. Those with
            a first axis are looked at example by example.
          gradients: path -> gradient, bottom to top.
          stop: whether to end the step at once, as what waits for this does not look at it.

        Returns: what an update has to wait for.
        """
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        floats = _floats(tensors)
        dense = {path: getattr(gradient, "values", gradient) for path, gradient in gradients.items()}

        def record(replica, gradient_flags, *tensor_flags):
            self.seen[int(replica)] = {
                "tensors": dict(zip(floats, tensor_flags, strict=True)),
                "gradients": [path for path, good in zip(dense, gradient_flags, strict=True) if not good],
            }
            return np.int32(0)

        def report():
            gradient_flags = [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in dense.values()]
            flags = [rows_are_finite(tensor) for tensor in floats.values()]
            recorded = tf.numpy_function(record, [replica, tf.stack(gradient_flags), *flags], tf.int32)
            with tf.control_dependencies([recorded]):
                if stop:
                    tf.debugging.Assert(False, [NOT_FINITE])
                return tf.constant(False)

        return tf.cond(is_good, lambda: tf.constant(True), report)

    def raise_error(self) -> None:
        """Raises an error that holds NOT_FINITE if a step was bad; all replicas have noted what they have by then."""
        if self.seen:
            raise tf.errors.InvalidArgumentError(None, None, NOT_FINITE)

    def forget(self) -> None:
        """Before a new training."""
        self.seen = {}


def rows_are_finite(tensor: tf.Tensor) -> tf.Tensor:
    """For each example whether all its numbers are finite; of a scalar whether it is."""
    good = tf.math.is_finite(tensor)
    return tf.reduce_all(good, axis=range(1, tensor.shape.rank)) if tensor.shape.rank else good


def are_finite(tensors: Any) -> tf.Tensor:
    """Whether all floats of a structure are finite."""
    flags = [
        tf.reduce_all(tf.math.is_finite(tensor))
        for tensor in keras.tree.flatten(tensors)
        if tf.as_dtype(tensor.dtype).is_floating
    ]
    return tf.reduce_all(tf.stack(flags)) if flags else tf.constant(True)


def _floats(tensors: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Name -> tensor, of all floats in these structures; several of one structure are told apart by their place."""
    found = {}
    for name, structure in tensors.items():
        flat = keras.tree.flatten_with_path(structure)
        for path, tensor in flat:
            if getattr(tensor, "dtype", None) is not None and tf.as_dtype(tensor.dtype).is_floating:
                found[name if len(flat) == 1 else f"{name} {'/'.join(map(str, path))!r}"] = tensor
    return found


@dataclasses.dataclass(frozen=True)
class Finding:
    """Where the numbers of a step first went wrong.

    Args:
      step: of the optimizer, from 1.
      epoch, batch: from 1; None where the length of an epoch is not known.
      tensor: the first bad tensor, in the order inputs, targets, outputs, loss, gradients from the top down.
      rows: of the global batch that are bad in it; empty where that cannot be told.
      examples: what the examples of the whole batch are called, row by row.
      gradients: paths of all variables whose gradient is bad.
    """

    step: int
    epoch: int | None
    batch: int | None
    tensor: str
    rows: tuple[int, ...]
    examples: tuple[str, ...]
    gradients: tuple[str, ...]

    def bad_examples(self) -> list[str]:
        """Names of the examples that are bad in the first bad tensor; of the whole batch where that cannot be told."""
        rows = self.rows or range(len(self.examples))
        return list(dict.fromkeys(self.examples[row] for row in rows if row < len(self.examples)))

    def __str__(self) -> str:
        where = f"step {self.step}" + (f" (epoch {self.epoch}, batch {self.batch})" if self.epoch else "")
        names = self.bad_examples()
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        those = f", of {shown}" if self.rows else f", in a batch with {shown}"
        return f"NaN or Inf in {where}: first in {self.tensor}{those}"


def finding(
    seen: Mapping[int, Mapping[str, Any]],
    *,
    replicas: int,
    step: int,
    epoch: int | None,
    batch: int | None,
    names: Callable[[], Any],
) -> Finding:
    """What a `Watch` saw, put together.

    Args:
      seen: of the watch.
      replicas: how many share a batch.
      step, epoch, batch: as of `Finding`.
      names: gives what the examples of the batch are called, row by row; empty if that is not known.
    """
    parts = [seen[replica] for replica in sorted(seen)]
    gradients = tuple(dict.fromkeys(path for part in parts for path in part["gradients"]))
    examples = tuple(names())
    for name in parts[0]["tensors"] if parts else ():
        flags = {replica: np.asarray(part["tensors"][name]) for replica, part in seen.items()}
        if any(not good.all() for good in flags.values()):
            rows, size = (), max(good.size for good in flags.values())
            if all(good.ndim for good in flags.values()) and len(examples) in (0, size * replicas):
                found = (replica * size + np.flatnonzero(~good) for replica, good in sorted(flags.items()))
                rows = tuple(int(row) for part in found for row in part)
            examples = examples or tuple(f"row {row}" for row in range(max(rows, default=-1) + 1))
            return Finding(step, epoch, batch, name, rows, examples, gradients)
    tensor = f"the gradient of {gradients[-1]!r}" if gradients else "the norm of the gradient"
    return Finding(step, epoch, batch, tensor, (), examples, gradients)


def note(file: pathlib.Path, found: Finding, *, newest: pathlib.Path | None) -> list[str]:
    """Writes a finding as JSON; sentences for the error.

    Args:
      file: in a folder that is made.
      found: as of `finding`.
      newest: the newest checkpoint.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    content = dataclasses.asdict(found) | {"bad_examples": found.bad_examples()}
    files.write_whole(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    kept = [f"The last good checkpoint is {str(newest)!r}."] if newest else []
    return [*kept, f"The batch is listed in {str(file)!r}."]


def error(found: Finding, notes: Sequence[str] = ()) -> errors.NonFiniteError:
    """The error that ends the run."""
    return errors.NonFiniteError(
        " ".join(
            [
                f"Got {found}. Expected finite numbers.",
                *notes,
                "Look for such numbers in the data, or lower the learning rate.",
            ]
        )
    )

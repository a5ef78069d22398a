"""Names of layers, optimizers and variables that do not depend on what else the process has made."""

import collections
import contextlib
import re
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state
from keras.src.utils.naming import to_snake_case

_ATTRIBUTE = "object_name_uids"


@contextlib.contextmanager
def counted_anew() -> Iterator[None]:
    """Within it, Keras counts the names it gives from the start, and afterwards goes on where it was.

    Keras names what the user does not ("dense_7", "adam_w_1") by counting through the process. Weights are stored,
    and digests made, by name; so a second run, or loading a model after training it, would find other ones.
    """
    before = global_state.get_global_attribute(_ATTRIBUTE)
    global_state.set_global_attribute(_ATTRIBUTE, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(_ATTRIBUTE, before)


def number_given(operation: keras.Operation) -> tuple[str, int] | None:
    """("conv2d", 7) for a layer that Keras named "conv2d_7"; None for one that was named by who made it."""
    kind = to_snake_case(type(operation).__name__)
    match = re.fullmatch(rf"{re.escape(kind)}(?:_(\d+))?", operation.name)
    return (kind, int(match[1] or 0)) if match else None


def rename_numbered(model: keras.Model, *, prefix: str, counted: str = "") -> None:
    """Gives what Keras named by counting a name that tells where in the model it is.

    A layer with weights gets "STAGE_KIND_INDEX", and so does the path of its variables; any other operation gets
    "PREFIX_KIND_INDEX". The index counts from 1, within the stage, in the order in which the layers were made.

    Args:
      model: flat, made within `counted_anew`, so that numbers tell the order.
      prefix: of operations without weights.
      counted: the stages in that order, each with the number of its layers of one kind: "stem 5, mixed0 7".
    """
    stages = [word.split() for word in counted.split(",") if word]
    places = [f"{stage}_{{}}_{index + 1}" for stage, count in stages for index in range(int(count))]
    kinds = collections.defaultdict(list)
    for operation in model.operations:
        numbered = number_given(operation)
        if numbered and not isinstance(operation, keras.layers.InputLayer):
            kinds[numbered[0], bool(getattr(operation, "weights", ()))].append((numbered[1], operation))
    for (kind, has_weights), found in kinds.items():
        for rank, (_, operation) in enumerate(sorted(found, key=lambda item: item[0])):
            operation.name = places[rank].format(kind) if has_weights else f"{prefix}_{kind}_{rank + 1}"
            for weight in getattr(operation, "weights", ()):
                weight._path = f"{operation.name}/{weight.path.rpartition('/')[2]}"
    for weight in model.weights:
        folder, _, name = weight.path.rpartition("/")
        if re.fullmatch(r"variable(_\d+)?", name):  # ConvNeXt's LayerScale, which calls it gamma in its code
            weight._path = f"{folder}/gamma"

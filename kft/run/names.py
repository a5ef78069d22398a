"""Names of layers and optimizers that do not depend on what else the process has made."""

import contextlib
from collections.abc import Iterator

from keras.src.backend.common import global_state

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

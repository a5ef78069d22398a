"""What callbacks remember, as arrays: those with `get_state` and `set_state`, and those of Keras."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

# What Keras' own callbacks go on from; weights are a list of arrays, the rest are numbers or nothing.
OF_KERAS = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best", "epochs_since_last_save"),
}


def stateful(callbacks: Iterable[Any]) -> list[tuple[str, Any]]:
    """The callbacks that remember something, each with a name: its class, and a number where there are several."""
    found, counts = [], {}
    for callback in callbacks:
        if (hasattr(callback, "get_state") and hasattr(callback, "set_state")) or _attributes(callback):
            name = type(callback).__name__
            counts[name] = counts.get(name, -1) + 1
            found.append((f"{name}/{counts[name]}" if counts[name] else name, callback))
    return found


def get_state(callback: Any) -> dict[str, np.ndarray]:
    """What it remembers, by name."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    state, numbers = {}, {}
    for name in _attributes(callback):
        value = getattr(callback, name, None)
        if isinstance(value, (list, tuple)):
            state |= {f"{name}/{index}": np.asarray(array) for index, array in enumerate(value)}
        else:
            numbers[name] = None if value is None else float(value)
    return state | {"numbers": text_array(json.dumps(numbers))}


def set_state(callback: Any, state: Mapping[str, np.ndarray]) -> None:
    """Goes on from what `get_state` gave."""
    if hasattr(callback, "set_state"):
        callback.set_state(dict(state))
        return
    for name, value in json.loads(array_text(state["numbers"])).items():
        whole = value is not None and np.isfinite(value) and name != "best" and value == int(value)
        setattr(callback, name, int(value) if whole else value)
    for name in _attributes(callback):
        parts = [key for key in state if key.startswith(f"{name}/")]
        if parts:
            setattr(callback, name, [state[f"{name}/{index}"] for index in range(len(parts))])


def text_array(text: str) -> np.ndarray:
    """A text as an array of bytes, for a file that holds arrays alone."""
    return np.frombuffer(text.encode(), np.uint8)


def array_text(array: np.ndarray) -> str:
    """The text that `text_array` was given."""
    return array.tobytes().decode()


def _attributes(callback: Any) -> tuple[str, ...]:
    return next((names for kind, names in OF_KERAS.items() if isinstance(callback, kind)), ())

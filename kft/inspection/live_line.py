"""A training in a terminal: one line that is alive, or one line for each epoch."""

import sys
import time
from typing import Any, TextIO

import keras

_SECONDS = 0.25


class LiveLine(keras.callbacks.Callback):
    """Says how far a training is.

    In a terminal the last line is written again and again while an epoch runs: epoch, step, loss, first metric,
    learning rate, examples per second and the time that is left; at the end of an epoch it becomes the line of that
    epoch. Where the output is no terminal only these are written. The numbers are read four times a second at most.

    Args:
      epochs: int >= 1, of all phases.
      steps_per_epoch: int >= 1.
      num_examples: int >= 1, of an epoch.
      stream: where to; standard output if None.
      alive: whether to write while an epoch runs; None for whether the stream is a terminal.
    """

    is_progress_bar = True

    def __init__(
        self,
        *,
        epochs: int,
        steps_per_epoch: int,
        num_examples: int,
        stream: TextIO | None = None,
        alive: bool | None = None,
    ):
        super().__init__()
        self.epochs, self.steps_per_epoch, self.num_examples = epochs, steps_per_epoch, num_examples
        self.stream = sys.stdout if stream is None else stream
        self.alive = self.stream.isatty() if alive is None else alive
        self._width = 0
        self._steps = self._done = 0
        self._seconds = 0.0
        self._hooked = False

    def on_train_begin(self, logs=None):
        if self.alive and hasattr(self.model, "step_hooks") and not self._hooked:
            self.model.step_hooks.append(self._after_step)
            self._hooked = True

    def on_train_end(self, logs=None):
        if self._hooked:
            self.model.step_hooks = [hook for hook in self.model.step_hooks if hook != self._after_step]
            self._hooked = False

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._steps = epoch, 0
        self._began = self._said = time.monotonic()
        self._evaluation = 0.0

    def on_test_begin(self, logs=None):
        self._test_began = time.monotonic()
        if self.alive:
            self._live(f"epoch {self._epoch + 1}/{self.epochs}  evaluating")

    def on_test_end(self, logs=None):
        self._evaluation += time.monotonic() - self._test_began

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self._began
        self._seconds, self._done = self._seconds + seconds, self._done + 1
        left = self._seconds / self._done * (self.epochs - epoch - 1)
        parts = [f"epoch {epoch + 1}/{self.epochs}"]
        parts += [f"{name} {value:.4f}" for name, value in (logs or {}).items() if name != "learning_rate"]
        parts.append(f"rate {self._rate():.3g}")
        parts.append(f"{self.num_examples / max(seconds - self._evaluation, 1e-9):.0f} examples/s")
        parts.append(clock(seconds) + (f", {clock(left)} left" if left else ""))
        self._clear()
        print("  ".join(parts), file=self.stream, flush=True)

    def _after_step(self) -> None:
        self._steps += self.model.place.steps
        now = time.monotonic()
        if now - self._said >= _SECONDS:
            self._said = now
            self._live(self._line(now))

    def _line(self, now: float) -> str:
        per_second = self._steps / max(now - self._began, 1e-9)
        steps_left = (self.epochs - self._epoch) * self.steps_per_epoch - self._steps
        parts = [f"epoch {self._epoch + 1}/{self.epochs}", f"step {self._steps}/{self.steps_per_epoch}"]
        parts += [f"{name} {float(value):.4f}" for name, value in list(self._metrics().items())[:2]]
        parts.append(f"rate {self._rate():.3g}")
        parts.append(f"{per_second * self.num_examples / self.steps_per_epoch:.0f} examples/s")
        parts.append(f"{clock(steps_left / per_second)} left")
        return "  ".join(parts)

    def _metrics(self) -> dict[str, Any]:
        with self.model.distribute_strategy.scope():
            metrics = self.model.get_metrics_result()
        return dict(sorted(metrics.items(), key=lambda item: item[0] != "loss"))

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _live(self, line: str) -> None:
        self._clear()
        print(line, end="", file=self.stream, flush=True)
        self._width = len(line)

    def _clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=self.stream)
            self._width = 0


def clock(seconds: float) -> str:
    """Seconds in few signs.

    Example:
      >>> clock(7), clock(75), clock(7300)
      ('7 s', '1:15', '2:01:40')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

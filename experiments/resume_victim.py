"""The process that `prove_resume` breaks off: it runs experiments.finetune and tells what it does, to a file.

Everything after -- are flags of experiments.finetune.

Example:
  python -m experiments.resume_victim --stage_file=FILE -- --train_data=digits: --workdir=DIR
"""

import contextlib
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags, step_digests

STAGES = ("importing", "starting", "tracing", "training", "saving", "validating", "scoring")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    argv = list(sys.argv if argv is None else argv)
    place = argv.index("--")

    def run(config, flag_values):
        return _run(flag_values, argv[place + 1 :])

    return flags.app_run(run, description=__doc__, names=(), define=_define, argv=argv[:place])


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("stage_file", "", "Of one byte: the number of what the process does.", **define)
    absl_flags.DEFINE_string("digests", "", "File for the digests of each step; empty: none.", **define)
    absl_flags.DEFINE_integer("stop_after", 0, "End by SIGKILL after so many steps. 0: never.", 0, **define)
    absl_flags.DEFINE_string("leave_out", "", "The saved item to leave out when a run goes on.", **define)


def _run(flag_values: Any, given: Sequence[str]) -> int:
    threading.Thread(target=_tell_stage, args=(flag_values.stage_file,), daemon=True).start()
    from experiments import finetune

    with contextlib.ExitStack() as stack:
        if flag_values.leave_out:
            stack.enter_context(leaving_out(flag_values.leave_out))
        if flag_values.stop_after:
            _kill_after(flag_values.stop_after)
        if flag_values.digests:
            step_digests.keep(flag_values.digests)
        return finetune.main(["finetune", *given])


def _tell_stage(file: str) -> None:
    """Writes what the process is doing into a file that outlives it, every few milliseconds."""
    with open(file, "r+b") as stream, mmap.mmap(stream.fileno(), 1) as shared:
        own = threading.get_ident()
        while True:
            shared[0] = STAGES.index(_stage_of({i: f for i, f in sys._current_frames().items() if i != own}))
            time.sleep(0.005)


def _stage_of(frames: dict[int, Any]) -> str:
    main = set()
    for identifier, frame in frames.items():
        names = set()
        while frame is not None:
            names.add(frame.f_code.co_name)
            if frame.f_code.co_filename.endswith("checkpoint_files.py") and frame.f_code.co_name == "save":
                return "saving"
            frame = frame.f_back
        if identifier == threading.main_thread().ident:
            main = names
    for name, stage in (
        ("func_graph_from_py_func", "tracing"),
        ("score", "scoring"),
        ("save_model", "scoring"),
        ("evaluate", "validating"),
        ("fit", "training"),
        ("train_and_evaluate", "starting"),
    ):
        if name in main:
            return stage
    return "importing"


def _kill_after(steps: int) -> None:
    from kft.training import checkpoint

    after_step, done = checkpoint.Checkpoint._after_step, [0]

    def counted(self):
        after_step(self)
        done[0] += self.model.place.steps
        if done[0] >= steps:
            self._writer.join()
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.Checkpoint._after_step = counted


@contextlib.contextmanager
def leaving_out(item: str) -> Iterator[None]:
    """As if one item had never been saved: after a restore it is what it is in a new process.

    Args:
      item: the begin of saved names, such as "seed/" or "optimizer/m/"; "metric/"; "callback/" and a name of a
        callback's class; or "position" for the position in the epoch.
    """
    from kft.training import callback_state, checkpoint_files, training_state

    restore, restore_metrics = training_state.restore, training_state.restore_metrics
    set_state, load_newest = callback_state.set_state, checkpoint_files.load_newest

    def without_variables(model, saved, folder):
        fresh = {n: v.numpy() for n, v in training_state.variables(model).items() if n.startswith(item)}
        restore(model, saved, folder)
        for name, value in fresh.items():
            training_state.variables(model)[name].assign(value)

    def without_callback(callback, state):
        if item != f"callback/{type(callback).__name__}":
            set_state(callback, state)

    def without_position(folder):
        saved = load_newest(folder)
        if saved is not None:
            saved.facts["step"] = 0
        return saved

    try:
        if item == "position":
            checkpoint_files.load_newest = without_position
        elif item.startswith("metric/"):
            training_state.restore_metrics = lambda model, saved: None
        elif item.startswith("callback/"):
            callback_state.set_state = without_callback
        else:
            training_state.restore = without_variables
        yield
    finally:
        training_state.restore, training_state.restore_metrics = restore, restore_metrics
        callback_state.set_state, checkpoint_files.load_newest = set_state, load_newest


if __name__ == "__main__":
    sys.exit(main())

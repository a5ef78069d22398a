"""Starts several workers on this machine, and all of them again, from the last checkpoint, when one is lost.

Example:
  python -m experiments.launch --num_workers=2 -- --flagfile=experiments/recipes/flowers_mobilenet_v2.flags \
    --train_data=folder:flowers/train --eval_data=folder:flowers/val --workdir=runs/flowers

What follows -- are flags of experiments.finetune, which it adds --strategy=multi_worker to. On a cluster each machine
runs experiments.finetune itself; see docs/distribution.md.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags as absl_flags

from experiments import flags

GRACE_SECONDS = 30.0  # in which the others end by themselves


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or that of the worker that ended first and cannot be helped."""
    argv = list(sys.argv if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    own, rest = argv[:place], argv[place + 1 :]
    flag_values = absl_flags.FlagValues()
    _define(flag_values)
    if {"-h", "-help", "--help"} & set(own[1:]):
        print(flags.help_text(__doc__, flag_values), end="")
        return 0
    try:
        flag_values(own)
    except absl_flags.Error as error:
        print(f"launch: Got {error}. Expected --num_workers, --max_restarts, and -- before the rest.", file=sys.stderr)
        return flags.EXIT_INPUT_ERROR
    return launch(rest, num_workers=flag_values.num_workers, max_restarts=flag_values.max_restarts)


def _define(flag_values):
    absl_flags.DEFINE_integer("num_workers", 2, "Processes to start.", 1, 64, flag_values=flag_values)
    absl_flags.DEFINE_integer(
        "max_restarts", 3, "How often all are started again when one is lost.", 0, 100, flag_values=flag_values
    )


def launch(arguments: Sequence[str], *, num_workers: int, max_restarts: int = 3) -> int:
    """Runs experiments.finetune in several processes until all have finished.

    Args:
      arguments: flags of experiments.finetune.
      num_workers: int >= 1.
      max_restarts: int >= 0. Input errors and numbers that are not finite would come again, and are not tried again.

    Returns: the exit code.
    """
    hopeless = (flags.EXIT_INPUT_ERROR, flags.EXIT_NON_FINITE)
    for attempt in range(max_restarts + 1):
        code = _run_once(arguments, num_workers)
        if code == 0 or code in hopeless or code == -signal.SIGTERM:
            return code if code >= 0 else 128 - code
        if attempt < max_restarts:
            print(f"launch: ended with exit code {code}; start {attempt + 2} of {max_restarts + 1}", flush=True)
    print(f"launch: gave up after {max_restarts + 1} starts", file=sys.stderr, flush=True)
    return code if code > 0 else 128 - code


def _run_once(arguments: Sequence[str], num_workers: int) -> int:
    """0 if all finished; else the exit code of the first that did not."""
    workers = _addresses(num_workers)
    command = [sys.executable, "-m", "experiments.finetune", *arguments, "--strategy=multi_worker"]
    processes = []
    for index in range(num_workers):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": workers}, "task": task})
        output = None if index == 0 else subprocess.DEVNULL
        processes.append(subprocess.Popen(command, env={**os.environ, "TF_CONFIG": config}, stdout=output))
    before = signal.signal(signal.SIGTERM, lambda number, _: _terminate(processes, number))
    try:
        return _wait(processes)
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen]) -> int:
    first, deadline = None, None
    while True:
        codes = [process.poll() for process in processes]
        bad = [code for code in codes if code]
        if bad and first is None:
            first, deadline = bad[0], time.monotonic() + GRACE_SECONDS
        if all(code is not None for code in codes) or (deadline is not None and time.monotonic() > deadline):
            return first or 0
        time.sleep(0.2)


def _terminate(processes: Sequence[subprocess.Popen], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _addresses(count: int) -> list[str]:
    """Ports of this machine that are free, also 1,000 above, where the chief listens for the others."""
    found: list[str] = []
    while len(found) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port + 1000 >= 2**16:
                continue
            try:
                second.bind(("127.0.0.1", port + 1000))
            except OSError:
                continue
        if f"127.0.0.1:{port}" not in found:
            found.append(f"127.0.0.1:{port}")
    return found


def cli() -> None:
    """The command `kft-launch`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()

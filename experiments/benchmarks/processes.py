"""A measurement in a process of its own."""

import json
import os
import subprocess
import sys
from typing import Any

from absl import flags as absl_flags


def measure_in_new_process(module: str, only: str, flag_values: absl_flags.FlagValues) -> dict[str, Any]:
    """Calls a benchmark again with the flags that were given and --only, and prints its line.

    Args:
      module: of the benchmark, whose last line is JSON with --only.
      only: what it measures.
      flag_values: of this call.

    Returns: the line.
    Raises: RuntimeError if the process fails.
    """
    given = [
        line for name in flag_values if flag_values[name].present for line in flag_values[name].serialize().splitlines()
    ]
    command = [sys.executable, "-m", module, *given, f"--only={only}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ})
    if done.returncode:
        raise RuntimeError(f"The measurement of {only!r} ended with exit code {done.returncode}; its error is above.")
    line = done.stdout.splitlines()[-1]
    print(line, flush=True)
    return json.loads(line)

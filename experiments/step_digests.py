"""A digest of every variable after every step, in a file, and where two runs began to differ by such files."""

import json
import os
import pathlib
import zlib

import numpy as np

SHOWN = 12


def keep(file: str | os.PathLike) -> None:
    """Lets every training of this process append to the file, at each return to Python: the step and its digests.

    Digested are the weights, the optimizer, seed generators and metrics, each by a CRC of its bytes.
    """
    from kft.training import checkpoint, training_state

    after_step, path, named = checkpoint.Checkpoint._after_step, pathlib.Path(file), []

    def digested(self):
        arrays = training_state.copy(training_state.variables(self.model) | training_state.metrics(self.model))
        row = [int(self.model.optimizer.iterations.numpy())]
        row += [zlib.crc32(np.ascontiguousarray(array).tobytes()) for array in arrays.values()]
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in ([row] if named else [list(arrays), row]))
        named[:] = [True]
        after_step(self)

    checkpoint.Checkpoint._after_step = digested


def first_difference(first: str | os.PathLike, second: str | os.PathLike) -> str:
    """A sentence: after which step, and of which process, the second run was no longer equal to the first, and in what.

    Args:
      first: file of `keep` of one process.
      second: the same of one or several processes, one after the other.
    """
    expected = {step: digests for _, step, digests in _read(first)}
    begun, equal = {}, 0
    for process, step, digests in _read(second):
        begun.setdefault(process, step)
        if step not in expected:
            continue
        names = [name for name, digest in digests.items() if expected[step].get(name) != digest]
        if names:
            shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            return (
                f"After step {step} it was no longer equal, after step {equal} it still was; in process {process}, "
                f"whose first step was {begun[process]}; {len(names)} of {len(digests)} differ: {shown}"
            )
        equal = step
    return "No step that both have a digest of differs"


def _read(file: str | os.PathLike) -> list[tuple[int, int, dict[str, int]]]:
    """Process, from 1, step and name -> digest; a line that was cut off is left out."""
    rows, process, names = [], 0, []
    for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines():
        for text in (line, line[max(line.rfind('["'), 0) :]):  # behind what was cut off another process goes on
            try:
                row = json.loads(text)
            except json.JSONDecodeError:
                continue
            if isinstance(row[0], str):
                process, names = process + 1, row
            else:
                rows.append((process, row[0], dict(zip(names, row[1:], strict=True))))
            break
    return rows

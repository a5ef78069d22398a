"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib


def write_whole(file: str | os.PathLike, content: str | bytes | memoryview, *, sync: bool = False) -> None:
    """Writes beside the file and renames, so that whoever reads it finds the old content or the new one.

    Args:
      file: in a folder that is there.
      content: text is written as UTF-8.
      sync: whether to wait until the disk has it.

    Raises: OSError; then the file is as it was, and nothing is left beside it.
    """
    file = pathlib.Path(file)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(beside, file)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise

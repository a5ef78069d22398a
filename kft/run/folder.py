"""Whether a folder is new, of a run to go on with, or finished."""

import atexit
import os
import pathlib
import shutil
import tempfile

from kft import errors


def prepare_folder(workdir: str | os.PathLike, *, resume: str = "never") -> pathlib.Path:
    """Makes a run folder, or takes the one of an unfinished run.

    Folders without files in them, which a run leaves that was refused before its first step, are nothing.

    Args:
      workdir: the folder.
      resume: "never" refuses a folder with files in it; "auto" and "force" take one of an unfinished run.

    Raises: InputError for a folder that is finished, or is none of a run: nothing that was saved is overwritten.
    """
    if not str(workdir):
        raise errors.InputError("Got no workdir. Expected a folder for the run. Give --workdir=DIR.")
    workdir = pathlib.Path(workdir)
    got = f"Got workdir={str(workdir)!r}, which"
    if workdir.is_dir() and any(not path.is_dir() for path in workdir.rglob("*")):
        if (workdir / "result.json").is_file():
            raise errors.InputError(
                f"{got} has a finished run. Expected a new folder. Read its result.json, or name another."
            )
        if resume == "never":
            raise errors.InputError(f"{got} is not empty. Expected a new or empty folder. Name another, or resume.")
        if not any(workdir.glob("config.json")) and not any(workdir.glob("seed_*/config.json")):
            raise errors.InputError(f"{got} is no run folder. Expected a new or empty one. Name another.")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InputError(f"{got} cannot be made: {error}. Expected a folder that can. Name another.") from error
    return workdir


def scratch_folder() -> pathlib.Path:
    """A folder for what a worker writes that is not the chief; it is removed at the end of the process."""
    made = tempfile.mkdtemp(prefix="kft_worker_")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return pathlib.Path(made)

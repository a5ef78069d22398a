"""Paths that come out of files may not leave their folder."""

import os

from kft import errors


def safe_path(root: str | os.PathLike, path: str) -> str:
    """A path inside of a folder.

    Args:
      root: the folder.
      path: as it stands in a file: relative to the folder, or absolute and in it.

    Returns: root joined with the path, as the user wrote both.
    Raises: InputError for a path that leaves the folder, by "..", by a link or as an absolute one, or that is none.

    Example:
      >>> safe_path("photos", "cat/1.jpg")
      'photos/cat/1.jpg'
    """
    joined = os.path.join(root, path)
    try:
        whole, top = os.path.realpath(joined), os.path.realpath(root)
    except ValueError as error:  # of a byte 0
        raise errors.InputError(f"Got the path {path!r}: {error}. Expected a path in {str(root)!r}.") from error
    if os.path.commonpath([whole, top]) != top or not path or whole == top:
        raise errors.InputError(
            f"Got the path {path!r}, which is not inside of {str(root)!r}. Expected one that is. Correct it, or name "
            "the folder that holds all with data_root."
        )
    return os.path.normpath(joined)

"""Photos in folders, one folder a class; and photos without labels, for prediction."""

import collections
import difflib
import os
import pathlib
from collections.abc import Iterable, Sequence

from kft import errors
from kft.data import image_file, image_source
from kft.data.source import Finding, Source


def image_folder(directory: str, *, label_names: Sequence[str] | None = None) -> Source:
    """Images in class folders: DIRECTORY/daisy/1.jpg, DIRECTORY/rose/2.png.

    A class is a folder right below the directory; its images may lie in folders of their own. Classes are sorted by
    name, images by path. Names that start with a dot are passed over. JPEG, PNG, BMP and GIF (its first frame), by
    ending, in capitals or not. Only headers are read here; `kft.data.check` decodes every file.

    Args:
      directory: a path.
      label_names: the classes of the training data, so that the labels of other data mean the same. Folders that are
        not among them become further classes, which the pre-flight refuses.

    Returns: a source of files. Empty class folders and ignored files are noted in it, for the pre-flight.
    Raises: InputError if the directory does not exist.
    """
    root = _existing_folder(directory)
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    names = tuple(label_names or ())
    names += tuple(name for name in folders if name not in names)
    paths, labels, ignored, problems = [], [], _images_in(root, deep=False)[1], []
    for folder in folders:
        images, others = _images_in(root / folder)
        ignored += others
        paths += images
        labels += [names.index(folder)] * len(images)
        if not images:
            problems.append(
                Finding(
                    "empty class folder",
                    str(root / folder),
                    "Got a class folder without images. Expected at least one file "
                    f"that ends in {', '.join(image_file.ENDINGS)}.",
                    "Add images, or remove the folder.",
                )
            )
    if not folders:
        problems.append(
            Finding(
                "no class folders",
                str(root),
                "Got a folder without folders in it. Expected one folder for each class.",
                "Move the images of each class into a folder with the name of the class.",
            )
        )
    return image_source.source_of_files(
        f"folder:{directory}", paths, names, labels, problems=tuple(problems), warnings=_ignored_files(ignored)
    )


def image_files(paths: Iterable[str]) -> Source:
    """Images without labels, for prediction.

    Args:
      paths: files, in their order whatever their endings; and folders, each taken as its images, also those in
        folders below, sorted by path.

    Returns: a source without label names.
    Raises: InputError for a path that does not exist.
    """
    files, ignored = [], []
    for path in map(str, paths):
        if os.path.isfile(path):
            files.append(path)
        else:
            images, others = _images_in(_existing_folder(path))
            files += images
            ignored += others
    return image_source.source_of_files("files", files, (), [-1] * len(files), warnings=_ignored_files(ignored))


def _existing_folder(path: str) -> pathlib.Path:
    folder = pathlib.Path(path)
    if folder.is_dir():
        return folder
    text = f"Got {path!r}, which is {'not a folder' if folder.exists() else 'not there'}. Expected a folder of images."
    parent = folder.parent
    near = difflib.get_close_matches(folder.name, os.listdir(parent), n=1) if parent.is_dir() else []
    raise errors.InputError(f"{text} Did you mean {str(parent / near[0])!r}?" if near else f"{text} Correct the path.")


def _images_in(folder: pathlib.Path, *, deep: bool = True) -> tuple[list[str], list[str]]:
    """The images and the other files below a folder, each sorted by path; none of a name that starts with a dot."""
    images, others = [], []
    for directory, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        for name in files:
            is_image = deep and name.lower().endswith(image_file.ENDINGS) and not name.startswith(".")
            (images if is_image else others).append(os.path.join(directory, name))
    return sorted(images), sorted(others)


def _ignored_files(paths: list[str]) -> tuple[Finding, ...]:
    """One warning for each ending among the files that are passed over."""
    by_ending = collections.defaultdict(list)
    for path in paths:
        by_ending[pathlib.Path(path).suffix.lower() or os.path.basename(path)].append(path)
    endings = ", ".join(image_file.ENDINGS)
    return tuple(
        Finding(
            "ignored files",
            files[0],
            f"Got {len(files)} of the ending {ending}, which are ignored. Expected {endings} in class folders.",
            "Convert what is an image.",
            count=len(files),
        )
        for ending, files in sorted(by_ending.items())
    )

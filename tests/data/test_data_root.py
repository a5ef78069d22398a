import os

import pytest

from kft import data, errors


@pytest.fixture
def root(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos-of-others").mkdir()
    return tmp_path / "photos"


@pytest.mark.parametrize("path", ["cat/1.jpg", "./cat/1.jpg", "cat/../cat/1.jpg"])
def test_paths_inside_are_taken_from_the_root(root, path):
    assert data.safe_path(root, path) == str(root / "cat" / "1.jpg")
    assert data.safe_path(root, str(root / "cat" / "1.jpg")) == str(root / "cat" / "1.jpg")


@pytest.mark.parametrize(
    "path", ["../1.jpg", "cat/../../1.jpg", "/etc/passwd", "../photos-of-others/1.jpg", "", ".", "a\0b"]
)
def test_paths_that_leave_the_root_are_refused(root, path):
    with pytest.raises(errors.InputError, match="Got the path .* Expected "):
        data.safe_path(root, path)


def test_a_link_does_not_leave_the_root_either(root):
    os.symlink(root.parent / "photos-of-others", root / "link")
    with pytest.raises(errors.InputError, match="link/1.jpg.*data_root"):
        data.safe_path(root, "link/1.jpg")
    os.symlink(root / "cat", root / "same")
    assert data.safe_path(root, "same/1.jpg") == str(root / "same" / "1.jpg")

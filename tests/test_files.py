"""A file is written whole or not at all."""

import pytest

from kft import files


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(("content", "expected"), [("é\n", b"\xc3\xa9\n"), (b"\x00\r\n", b"\x00\r\n")])
def test_the_new_content_takes_the_place_of_the_old(tmp_path, content, expected, sync):
    (tmp_path / "a").write_bytes(b"old")
    files.write_whole(tmp_path / "a", content, sync=sync)
    assert (tmp_path / "a").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_written_leaves_the_old_and_nothing_beside(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def replace(source, target):
        raise OSError("no")

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(OSError, match="no"):
        files.write_whole(tmp_path / "a", "new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]

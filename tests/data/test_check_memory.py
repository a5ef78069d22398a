import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from kft import data
from kft.data import check_memory, image_file


@pytest.fixture
def decoded(monkeypatch):
    """The places of all files that are decoded from now on."""
    places, examine = [], image_file.examine

    def counted(where, *arguments, **named):
        places.append(where)
        return examine(where, *arguments, **named)

    monkeypatch.setattr(image_file, "examine", counted)
    return places


def check(photos, cache, **arguments):
    return data.check(data.load(f"folder:{photos}"), cache=cache, **arguments)


def test_the_second_start_decodes_nothing_and_says_the_same(photos, noise, encoded, tmp_path, decoded):
    exif = (turned := noise(30, 20)).getexif()
    exif[0x0112] = 6
    (photos / "cat" / "turned.jpg").write_bytes(encoded(turned, "JPEG", exif=exif))
    (photos / "dog" / "ink.jpg").write_bytes(encoded(noise(8, 8).convert("CMYK"), "JPEG"))
    noisy = encoded(noise(16, 16), "JPEG")
    (photos / "dog" / "noisy.jpg").write_bytes(noisy[:-2] + bytes(9) + noisy[-2:])
    first = check(photos, tmp_path / "cache")
    assert first.counts == {"EXIF rotation applied": 1, "CMYK converted": 1, "corrupt JPEG data": 1}
    assert len(decoded) == 9 + 1  # the noisy one alone, once more
    decoded.clear()
    assert check(photos, tmp_path / "cache") == first and decoded == []
    assert check(photos, None) == first and len(decoded) == 10


def test_what_changed_is_decoded_again(photos, noise, encoded, tmp_path, decoded):
    check(photos, tmp_path)
    decoded.clear()
    changed, replaced, new = photos / "cat" / "1.jpg", photos / "cat" / "3.png", photos / "dog" / "new.png"
    changed.write_bytes(changed.read_bytes()[:-40])
    status = os.stat(replaced)
    replaced.write_bytes(encoded(noise(20, 30, 77), "PNG")[: status.st_size].ljust(status.st_size, b"\0"))
    os.utime(replaced, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    new.write_bytes(encoded(noise(9, 9, 5), "PNG"))
    report = check(photos, tmp_path)
    assert sorted(decoded) == sorted(map(str, (changed, replaced, new)))
    assert [problem.where for problem in report.problems] == [str(changed)]
    decoded.clear()
    check(photos, tmp_path)
    assert decoded == [str(changed)]  # bad ones are never kept


def test_a_lower_limit_of_pixels_holds_for_what_is_known(photos, tmp_path):
    assert check(photos, tmp_path).ok
    report = check(photos, tmp_path, max_megapixels=0.0005)
    assert report.counts == {"too many pixels": 6}
    assert check(photos, tmp_path).ok


def test_headers_come_from_the_memory(photos, tmp_path, monkeypatch):
    check(photos, tmp_path)
    monkeypatch.setattr(image_file, "read_header", lambda path: pytest.fail(f"read {path}"))
    source = data.load(f"folder:{photos}")
    data.check(source, cache=tmp_path)
    assert [source.load(index)["image_header"].numpy().tolist() for index in (0, 2)] == [[20, 30, 1], [20, 30, 0]]


def test_parts_of_one_file_are_told_apart(photos, tmp_path, decoded):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install kft[text]")
    from pyarrow import parquet

    contents = [path.read_bytes() for path in sorted(photos.glob("*/*.*"))]
    parquet.write_table(pyarrow.table({"image": contents, "label": list("ababa")}), tmp_path / "photos.parquet")
    for expected in (5, 0):
        source = data.load(f"parquet:{tmp_path}/photos.parquet", image_format=data.ImageFormat())
        assert data.check(source, cache=tmp_path / "cache").ok
        assert len(decoded) == expected
        decoded.clear()


@pytest.mark.parametrize("content", [b"", b"no array", b"\x80\x04N."])
def test_a_memory_that_does_not_read_is_made_anew(photos, tmp_path, decoded, content):
    check(photos, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(content)
    decoded.clear()
    assert check(photos, tmp_path).ok and len(decoded) == 6
    decoded.clear()
    assert check(photos, tmp_path).ok and decoded == []


def test_pickled_objects_are_not_read(photos, tmp_path, decoded):
    check(photos, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    decoded.clear()
    assert check(photos, tmp_path).ok and len(decoded) == 6


def test_a_folder_that_cannot_be_written_only_takes_longer(photos, tmp_path):
    (tmp_path / "file").write_text("")
    assert check(photos, tmp_path / "file").ok


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert check_memory.default_folder() == tmp_path / "kft" / "preflight"


def test_a_user_without_a_home_has_none(monkeypatch, photos):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pathlib.Path, "home", no_home)
    assert check_memory.default_folder() is None
    assert check(photos, check_memory.default_folder()).ok


def test_a_subset_is_examined_as_its_source(photos, tmp_path, decoded):
    Image.new("RGB", (4, 4)).save(photos / "cat" / "0.png")
    source = data.load(f"folder:{photos}")
    (photos / "dog" / "2.bmp").write_bytes(b"")
    report = data.check(data.subset(source, [5, 1, 0, 4]), cache=tmp_path)
    assert [(problem.where, problem.index) for problem in report.problems] == [(source.keys[5], 0)]
    assert data.check(data.subset(source, [6, 1, 0, 4]), cache=tmp_path).ok
    assert len(decoded) == 4 + 1

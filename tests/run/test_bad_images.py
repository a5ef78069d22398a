"""What each kind of bad image and label gets: through the run, before anything is written, and through `kft-check`."""

import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from experiments import check
from kft import errors
from kft.run import from_flat, train_and_evaluate
from tests.run import digit_photos
from tests.run.conftest import TINY


@pytest.fixture
def folders(tmp_path):
    for name, first in (("train", 0), ("val", 4)):
        digit_photos.write(tmp_path / name, first=first, count=4)
    return tmp_path


def settings(folder, **changes):
    return {
        **TINY,
        "train_data": f"folder:{folder}/train",
        "eval_data": f"folder:{folder}/val",
        "length": "1 epoch",
        "trainable": "head",
        "preflight_cache": "off",
        **changes,
    }


def checked(given, tmp_path):
    """Exit code and report of the command."""
    names = ("train_data", "eval_data", "task", "data_root", "multi_label", "on_bad_example", "max_megapixels")
    flags = [f"--{name}={given[name]}" for name in names if name in given]
    code = check.main(["check", *flags, "--preflight_cache=off", f"--output={tmp_path}/report.json"])
    return code, json.loads((tmp_path / "report.json").read_text())


def photo(folder, name="0000.png", label="one"):
    return folder / "train" / label / name


def zero_bytes(folder):
    photo(folder).write_bytes(b"")


def not_an_image(folder):
    photo(folder, "note.jpg").write_text("a note, not a photo")


def truncated(folder):
    Image.effect_noise((90, 90), 50).save(photo(folder, "cut.jpg"))
    content = photo(folder, "cut.jpg").read_bytes()
    photo(folder, "cut.jpg").write_bytes(content[: len(content) // 2])


def too_many_pixels(folder):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 6000, 8, 2, 0, 0, 0))
    photo(folder).write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def empty_class_folder(folder):
    (folder / "train" / "unicorn").mkdir()


def class_missing_in_train(folder):
    shutil.rmtree(folder / "train" / "two")


def no_examples(folder):
    for path in (folder / "val").glob("*/*"):
        path.unlink()


def one_class(folder):
    for name in ("train", "val"):
        for label in digit_photos.CLASSES[1:]:
            shutil.rmtree(folder / name / label)


def same_bytes(folder):
    shutil.copy(next((folder / "train" / "one").iterdir()), folder / "val" / "one" / "copy.png")


def same_pixels(folder):
    Image.open(next((folder / "train" / "one").iterdir())).save(folder / "val" / "one" / "copy.bmp")


FOLDERS = {
    "zero bytes": zero_bytes,
    "not an image": not_an_image,
    "truncated": truncated,
    "too many pixels": too_many_pixels,
    "empty class folder": empty_class_folder,
    "class missing in train": class_missing_in_train,
    "empty data set": no_examples,
    "too few classes": one_class,
    "leak": same_bytes,
    "leak, pixels": same_pixels,
}
LABELS = {
    "label out of range": "9",
    "label missing": "",
    "label missing, nan": "nan",
    "fractional label": "1.5",
    "path outside the data root": None,
}


def refused(given, kind, folder):
    code, report = checked(given, folder)
    assert code == 2 and not report["ok"]
    assert kind.partition(",")[0] in {problem["kind"] for problem in report["problems"]}
    with pytest.raises(errors.InputError, match=f"Problem: {kind.partition(',')[0]}"):
        train_and_evaluate(from_flat(settings(folder) | given), folder / "run", verbose=0)
    assert not list((folder / "run").glob("*")), "something was written before the pre-flight"


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_wrong_in_folders_ends_the_run_before_it_begins(kind, folders):
    FOLDERS[kind](folders)
    given = settings(folders)
    refused({name: given[name] for name in ("train_data", "eval_data")}, kind, folders)


@pytest.mark.parametrize("kind", LABELS)
def test_what_is_wrong_in_a_table_ends_the_run_before_it_begins(kind, folders):
    rows = [("image", "label")]
    for number, label in enumerate(digit_photos.CLASSES):
        rows += [(path.relative_to(folders).as_posix(), str(number)) for path in (folders / "train" / label).iterdir()]
    bad = (rows[1][0], LABELS[kind]) if LABELS[kind] is not None else ("../../etc/hostname", "0")
    (folders / "train.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    (folders / "bad.csv").write_text("\n".join(map(",".join, [*rows[:1], *rows[2:], bad])) + "\n")
    given = {"train_data": f"csv:{folders}/bad.csv", "eval_data": f"csv:{folders}/train.csv"}
    if kind == "label out of range":
        np.savez(folders / "train.npz", x=np.zeros((4, 9, 9), np.uint8), y=[0, 1, 0, 2], label_names=["a", "b"])
        given = {"train_data": f"arrays:{folders}/train.npz", "eval_data": f"arrays:{folders}/train.npz"}
    refused(given, kind, folders)


def test_two_examples_are_the_fewest(folders):
    for label in digit_photos.CLASSES:
        for path in sorted((folders / "train" / label).iterdir())[label == "one" :]:
            path.unlink()
    given = settings(folders)
    refused({name: given[name] for name in ("train_data", "eval_data")}, "too few examples", folders)


@pytest.mark.parametrize("xla", ["off", "on"])
def test_what_is_remarkable_is_counted_and_trained_on(folders, xla, capfd):
    def save(name, image, **options):
        image.save(photo(folders, name), **options)
        return photo(folders, name)

    def noise(*size):
        return Image.fromarray(np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8))

    (turned := noise(21, 20)).getexif()[0x0112] = 6
    save("turned.jpg", turned, exif=turned.getexif())
    save("ink.jpg", noise(22, 20).convert("CMYK"))
    save("clear.png", noise(23, 20).convert("RGBA"))
    save("deep.png", noise(24, 20).convert("I;16"))
    noisy = save("noisy.jpg", noise(25, 20))
    content = noisy.read_bytes()
    noisy.write_bytes(content[:-2] + bytes(9) + content[-2:])
    photo(folders, "note.txt").write_text("a note")
    view = noise(6, 6).resize((60, 60), Image.Resampling.BICUBIC)
    save("view.png", view)
    view.save(folders / "val" / "one" / "view.jpg", quality=70)
    for number in range(40):
        Image.fromarray(np.random.default_rng(number + 99).integers(0, 256, (9, 8, 3), np.uint8)).save(
            photo(folders, f"more{number}.png")
        )
    expected = {
        "EXIF rotation applied": 1,
        "CMYK converted": 1,
        "transparency": 1,
        "16-bit converted": 1,
        "corrupt JPEG data": 1,
        "ignored files": 1,
        "near-duplicates": 1,
        "unequal classes": 1,
    }
    given = settings(folders)
    code, report = checked({name: given[name] for name in ("train_data", "eval_data")}, folders)
    assert code == 0 and report["ok"] and report["counts"] == expected
    train_and_evaluate(from_flat({**given, "xla": xla}), folders / "run", verbose=1)
    decided = json.loads((folders / "run" / "run.json").read_text())
    assert decided["findings"] == expected
    printed = capfd.readouterr().out
    assert "noisy.jpg" in printed and "calls corrupt" in printed


def test_bad_examples_are_skipped_counted_and_listed(folders, capfd):
    not_an_image(folders)
    truncated(folders)
    given = settings(folders, on_bad_example="skip")
    names = ("train_data", "eval_data", "on_bad_example")
    code, report = checked({name: given[name] for name in names}, folders)
    assert code == 0 and report["skipped"]["train"] == [4, 5] and report["facts"]["train"]["num_examples"] == 20
    assert report["counts"] == {"not an image": 1, "truncated": 1}
    assert "note.jpg" in capfd.readouterr().out


def test_a_larger_limit_lets_a_large_image_in(folders):
    Image.new("L", (600, 500)).save(photo(folders))
    given = settings(folders, max_megapixels=0.25)
    names = ("train_data", "eval_data", "max_megapixels")
    assert checked({name: given[name] for name in names}, folders)[1]["counts"] == {"too many pixels": 1}
    assert checked({name: given[name] for name in names[:2]}, folders)[0] == 0

"""The page about a run: what it says, that it needs nothing from outside, and that nothing in it can run."""

import pathlib
import re
import shutil
import subprocess

import pytest

from kft import errors, inspection
from kft.inspection import report
from tests.inspection import run_folders
from tests.inspection.test_markup import ATTACKS, seen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def texts(page: str) -> str:
    return " ".join(" ".join(seen(page.partition("</style>")[2]).texts).split())


def test_it_says_what_happened(tmp_path):
    folder = run_folders.write(tmp_path / "run")
    page = inspection.write_report(folder).read_text()
    said = texts(page)
    for part in (
        "image classification with tiny, trained on folder:photos",
        "0.8 0.584 to 0.919 (95 %, 20 examples)",  # Wilson's interval of 16 of 20
        "0123abcd",
        "3 of 4",
        "The model of epoch 3 was kept",
        "Expected calibration error",
        "Wrong, and most sure of it cat 85% is dog (15.0%)",
        "12 s",
        "reading and checking the data 2 s 13.8%",
        "--length=4 epochs",
        "CPU, 2 cores",
    ):
        assert part in said, part
    assert page.count("<polyline") == 3  # train and evaluation on one chart, and the learning rate
    assert page.count("<img") == 1 + 20


def test_it_needs_nothing_from_outside(tmp_path):
    page = inspection.write_report(run_folders.write(tmp_path / "run")).read_text()
    found = seen(page)
    policy = dict(found.attributes)["content"]
    assert "script" not in found.tags and "link" not in found.tags and "iframe" not in found.tags
    assert any("default-src 'none'" in value for name, value in found.attributes if name == "content"), policy
    for name, value in found.attributes:
        if name in ("src", "href"):
            assert value.startswith(("data:image/", "#"))
    assert "http" not in page.replace("http-equiv", "")
    assert "loading" not in dict(found.attributes), "what is loaded when it is scrolled to is not on paper"


@pytest.mark.parametrize("attack", ATTACKS)
def test_untrusted_text_stays_text(tmp_path, attack):
    """Names of classes and files, texts, settings and flags, wherever they are shown."""
    names = (attack, "dog")
    decisions = {"warnings": [attack], "findings": {attack: 1}, "device": attack}
    for number, examples in enumerate(
        (
            [{"part": "eval", "index": 0, "key": attack, "truth": attack, "text": attack}],
            [{"part": "train", "index": 0, "key": attack, "truth": attack, "image": f"data:image/png;base64,{attack}"}],
            [{"part": "train", "index": 0, "key": attack, "truth": attack, "image": attack}],
        )
    ):
        folder = run_folders.write(
            tmp_path / f"run{number}", names=names, source=attack, run=decisions, examples=examples, flags=attack
        )
        pages = [inspection.write_report(folder).read_text()]
        pages.append(inspection.write_comparison([folder, folder], tmp_path / f"{number}.html").read_text())
        for page in pages:
            found = seen(page)
            assert "script" not in found.tags
            assert not [name for name, _ in found.attributes if name.startswith("on")]
            assert not any(value and value.startswith("data:image/png;base64,<") for _, value in found.attributes)
            assert page.count("</style>") == 1
        card = (folder / report.CARD).read_text()
        outside_of_flags = re.sub(r"(?ms)^(`{3,})$.*?^\1$", "", card)
        assert "<" not in outside_of_flags and "dog" in outside_of_flags


def test_flags_cannot_leave_their_block_in_the_card(tmp_path):
    folder = run_folders.write(tmp_path / "run", flags="--workdir=x\n```\n<script>alert(1)</script>\n")
    inspection.write_report(folder)
    card = (folder / report.CARD).read_text()
    assert re.search(r"(?ms)^````$.*<script>.*^````$", card)


def test_what_is_missing_or_broken_is_left_out(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert "This run has not finished." in texts(inspection.write_report(folder).read_text())
    for name in ("run.json", "result.json", "eval_predictions.jsonl", "examples.jsonl"):
        (folder / name).write_text('{"data": [1, {"train": null}], "metrics": 3, "phases": {"a": 1}')
    (folder / "tensorboard" / "train").mkdir(parents=True)
    (folder / "tensorboard" / "train" / "events.out.tfevents.1").write_bytes(b"\xff" * 100)
    inspection.write_report(folder)
    with pytest.raises(errors.InputError, match="no config.json"):
        inspection.write_report(tmp_path)


def test_other_tasks_show_what_is_not_the_truth(tmp_path):
    rows = [
        {"file": "row 1", "words": ["to", "Rome"], "tags": ["O", "B-x"], "entities": [1], "truth": ["O", "B-x"]},
        {"file": "row 2", "words": ["to", "Paris"], "tags": ["O", "O"], "entities": [], "truth": ["O", "B-x"]},
    ]
    examples = [{"part": "eval", "index": 1, "key": "row 2", "truth": None, "text": "to Paris"}]
    folder = run_folders.write(tmp_path / "run", eval_predictions=rows, examples=examples)
    said = texts(inspection.write_report(folder).read_text())
    assert "1 of 2 predictions are not the truth" in said and "row 2 to Paris O, B-x O, O" in said


def test_several_runs_are_compared(tmp_path):
    first = run_folders.write(tmp_path / "first")
    second = run_folders.write(tmp_path / "second", config={"optimizers": {"learning_rate": 0.5}})
    page = inspection.write_comparison([first, second], tmp_path / "page.html").read_text()
    said = texts(page)
    assert "2 runs compared" in said and "No winner: the difference of 0" in said
    assert "learning_rate 0.5" in said and "F1 of each class" in said
    assert page.count("<polyline") == 4


def test_seeds_of_a_folder_count_one_by_one(tmp_path):
    for seed in (2, 10):
        run_folders.write(tmp_path / f"seed_{seed}")
    said = texts(inspection.write_comparison([tmp_path], tmp_path / "page.html").read_text())
    assert said.index("seed_2") < said.index("seed_10")
    with pytest.raises(errors.InputError, match="with 2 runs"):
        inspection.write_report(tmp_path)


def browse(page: pathlib.Path, profile: pathlib.Path, *options: str) -> str:
    """Chromium without a network, on one page."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += [
        "--disable-background-networking",
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    command += [f"--user-data-dir={profile}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt-get install chromium")
def test_a_browser_shows_it_and_runs_nothing(tmp_path):
    """An attack that ran would change the title; on a phone nothing is wider than the screen."""
    from PIL import Image

    attack = "<img src=x onerror=\"document.title='RUN'\"><script>document.title='RUN'</script>"
    folder = run_folders.write(tmp_path / "run", names=(attack, "dog"), source=attack, flags=attack)
    page = inspection.write_report(folder)
    shown = browse(page, tmp_path / "a", "--dump-dom")
    assert "<title>run – kft</title>" in shown and "RUN</title>" not in shown
    assert "Refused to" not in shown and "violates" not in shown
    picture = tmp_path / "phone.png"
    browse(page, tmp_path / "b", "--window-size=500,900", f"--screenshot={picture}")
    with Image.open(picture) as shown:
        assert shown.size == (500, 900) and len(shown.convert("L").getcolors(256)) > 20

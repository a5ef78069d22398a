"""Several seeds: mean, interval, runs that learned nothing, and comparisons that name no winner inside the noise."""

import json
import math

import numpy as np
import pytest

from kft import errors
from kft.run import compare, from_flat, seeds, train_seeds

T_2 = 4.302652729911275  # Student's 97.5 percent point with 2 degrees of freedom


@pytest.fixture(scope="module")
def blind(tiny, tmp_path_factory):
    """Three seeds of a model that sees nothing: workdir, what was returned, what was printed."""
    import contextlib
    import io

    workdir, printed = tmp_path_factory.mktemp("blind"), io.StringIO()
    settings = {"backbone": "python:tests.run.tiny_models:make_blind", "length": "1 epoch", "trainable": "head"}
    config = from_flat({**tiny, **settings, "seed": 5, "seeds": 3, "learning_rate": 1e-2})
    with contextlib.redirect_stdout(printed):
        result = train_seeds(config, workdir)
    return workdir, result, printed.getvalue()


def test_each_seed_has_a_folder_and_a_result_of_its_own(blind):
    workdir, result, _ = blind
    assert [run["seed"] for run in result["runs"]] == [5, 6, 7]
    for run in result["runs"]:
        assert json.loads((workdir / f"seed_{run['seed']}" / "result.json").read_text()) == run
    assert json.loads((workdir / "result.json").read_text()) == result
    assert len({run["variables_sha256"] for run in result["runs"]}) == 3


def test_mean_and_interval_are_students(blind):
    _, result, printed = blind
    for part in ("metrics", "test_metrics"):
        losses = [run[part]["loss"] for run in result["runs"]]
        got, half = result[part]["loss"], T_2 * np.std(losses, ddof=1) / math.sqrt(3)
        assert got["values"] == losses
        assert got["mean"] == pytest.approx(np.mean(losses))
        assert (got["low"], got["high"]) == pytest.approx((np.mean(losses) - half, np.mean(losses) + half))
    assert "(3 runs)" in printed


def test_runs_no_better_than_the_largest_class_are_counted_and_named(blind):
    _, result, printed = blind
    assert [run["metrics"]["accuracy"] for run in result["runs"]] == pytest.approx([0.2] * 3)
    assert "Degenerate runs, no better than the largest class: 3 of 3 (seeds 5, 6, 7)." in printed


def test_a_run_that_learned_is_not_degenerate(finished):
    assert "egenerate" not in finished.printed


def several(folder, accuracies, *, first_seed=0):
    folder.mkdir()
    runs = [{"seed": first_seed + i, "metrics": {"accuracy": a, "loss": 1 - a}} for i, a in enumerate(accuracies)]
    (folder / "result.json").write_text(json.dumps({"runs": runs}))
    return folder


def single(folder, right):
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"seed": 0, "metrics": {"accuracy": float(np.mean(right))}}))
    rows = [
        {"file": f"/{folder.name}/val/a/{i}.png", "truth": "a", "label": "a" if r else "b"} for i, r in enumerate(right)
    ]
    (folder / "eval_predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder  # fmt: skip


def test_seeds_that_differ_within_the_noise_have_no_winner(tmp_path):
    text = compare(several(tmp_path / "a", [0.80, 0.84, 0.82]), several(tmp_path / "b", [0.85, 0.80, 0.83]))
    assert "No winner" in text and "better" not in text


def test_seeds_that_differ_beyond_the_noise_have_a_winner(tmp_path):
    a, b = several(tmp_path / "a", [0.80, 0.82, 0.81]), several(tmp_path / "b", [0.84, 0.85, 0.86])
    assert f"{b} is better than {a} by 0.04" in compare(a, b)
    assert f"{b} is better than {a} by 0.04" in compare(b, a)
    assert f"{b} is better than {a}" in compare(a, b, metric="loss"), "a lower loss is better"


def test_only_seeds_that_both_have_are_paired(tmp_path):
    a = several(tmp_path / "a", [0.1, 0.80, 0.82, 0.81])
    b = several(tmp_path / "b", [0.84, 0.85, 0.86, 0.99], first_seed=1)
    assert "3 pairs" in compare(a, b)
    with pytest.raises(errors.InputError, match="common seed"):
        compare(a, several(tmp_path / "c", [0.5], first_seed=9))


def test_two_single_runs_are_paired_by_example(tmp_path):
    """McNemar: 10 against 0 is p = 2 / 2**10, 6 against 4 is p = 0.75."""
    a = single(tmp_path / "a", [1] * 10 + [0] * 10)
    assert "p = 0.002" in compare(a, single(tmp_path / "b", [1] * 20))
    text = compare(a, single(tmp_path / "c", [1] * 4 + [0] * 6 + [1] * 4 + [0] * 6))
    assert "No winner" in text and "p = 0.75" in text


def test_files_of_one_name_in_several_folders_are_several_examples(tmp_path):
    for name, label in (("a", "x"), ("b", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text('{"metrics": {}}')
        rows = [{"file": f"val/{k}/sub/1.png", "truth": k, "label": label} for k in "xyz"]
        (tmp_path / name / "eval_predictions.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert "3 pairs" in compare(tmp_path / "a", tmp_path / "b")


def test_data_of_the_same_names_but_other_content_is_not_paired(tmp_path):
    a, b = single(tmp_path / "a", [1, 0]), single(tmp_path / "b", [1, 1])
    for folder in (a, b):
        (folder / "run.json").write_text(json.dumps({"digests": {"eval examples": folder.name}}))
    with pytest.raises(errors.InputError, match="evaluated on different data"):
        compare(a, b)


def test_a_real_run_is_compared_with_itself(finished):
    text = compare(finished.workdir, finished.workdir)
    assert "No winner" in text and "45 pairs" in text


@pytest.mark.parametrize(
    ("folders", "metric", "words"),
    [
        (("a", "none"), "accuracy", "no result.json"),
        (("a", "one"), "accuracy", "of which one has several seeds"),
        (("a", "a"), "acuracy", "Did you mean 'accuracy'"),
        (("one", "bare"), "accuracy", "eval_predictions.jsonl"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, folders, metric, words):
    several(tmp_path / "a", [0.8, 0.9])
    single(tmp_path / "one", [1, 0])
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "result.json").write_text('{"metrics": {}}')
    with pytest.raises(errors.InputError, match=words):
        compare(*(tmp_path / name for name in folders), metric=metric)


@pytest.mark.parametrize(
    ("rows", "right"),
    [
        ([{"labels": ["b", "a"], "truth": ["a", "b"]}, {"labels": [], "truth": ["a"]}], [True, False]),
        ([{"tags": ["O", "B-x"], "truth": ["O", "B-x"]}, {"tags": ["O"], "truth": ["B-x"]}], [True, False]),
        ([{"answer": "The river", "truth": ["river", "x"]}, {"answer": "", "truth": ["x"]}], [True, False]),
    ],
)
def test_what_is_right_in_text(tmp_path, rows, right):
    file = tmp_path / "eval_predictions.jsonl"
    file.write_text("".join(json.dumps({"file": f"a.txt, line {i}", **row}) + "\n" for i, row in enumerate(rows)))
    assert list(seeds._read_correct(file).values()) == right


def test_numbers_are_neither_right_nor_wrong(tmp_path):
    file = tmp_path / "eval_predictions.jsonl"
    file.write_text(json.dumps({"file": "a.txt, line 1", "value": 1.0, "truth": 1.5}) + "\n")
    with pytest.raises(errors.InputError, match="several seeds"):
        seeds._read_correct(file)

"""A run on text, from files to predictions, with a small BERT of random weights."""

import json
import pathlib

import keras
import numpy as np
import pytest

from kft import data, errors
from kft.run import evaluate, from_flat, load_model, predict, train_and_evaluate
from tests.run import tiny_text

pytest.importorskip("keras_nlp", reason="keras-nlp is not installed: pip install kft[text]")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    return {
        "backbone": tiny_text.write_bert(folder / "bert"),
        "train_data": tiny_text.write_questions(folder / "train.txt", 90, 1),
        "eval_data": tiny_text.write_questions(folder / "eval.txt", 31, 2),
        "test_data": tiny_text.write_questions(folder / "test.txt", 17, 3),
    }


def config(files, **changes):
    settings = {
        "task": "text_classification",
        "line_format": "{label}:{fine} {text}",
        "trainable": "all",
        "length": "2 epochs",
        "global_batch_size": 8,
        "learning_rate": 1e-2,
        "head_dropout": 0.0,
        "pooling": "max",
        "schedule": "linear",
        "keep": "last",
        **files,
        **changes,
    }
    return from_flat(settings)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "text"
    return workdir, train_and_evaluate(config(files, length="6 epochs"), workdir, verbose=0)


def test_it_learns_and_scores(run):
    _, result = run
    assert result["metrics"]["accuracy"] > 0.45 < result["test_metrics"]["accuracy"]
    assert {"loss", "accuracy", "macro_f1", "micro_f1", "matthews"} <= result["metrics"].keys()
    assert result["steps"] == 6 * 12


def test_lengths_and_compilations_are_reported(run):
    workdir, _ = run
    decided = json.loads((workdir / "run.json").read_text())
    train, evaluation = decided["tokens"]
    assert (train["data"], train["rows"], evaluation["rows"]) == ("train", 90, 31)
    assert 0 <= train["padding"] < 0.2 and train["truncated"] == 0 and train["longest"] <= 32
    assert decided["compilations"] == decided["planned_compilations"] == 0


def test_evaluate_gives_the_scores_of_the_run_to_the_last_digit(run, files):
    workdir, result = run
    assert evaluate(workdir, files["eval_data"]) == result["metrics"]
    assert evaluate(workdir, files["test_data"]) == result["test_metrics"]


def test_predict_takes_a_file_of_lines_and_keeps_their_order(run, files, tmp_path):
    workdir, _ = run
    lines = pathlib.Path(files["eval_data"].partition(":")[2]).read_text().splitlines()
    (tmp_path / "lines.txt").write_text("\n".join(line.partition(" ")[2] for line in lines) + "\n")
    rows = list(predict(workdir, [tmp_path / "lines.txt"]))
    stored = [json.loads(line) for line in (workdir / "eval_predictions.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == [f"{tmp_path}/lines.txt, line {number}" for number in range(1, 32)]
    assert [row["probabilities"] for row in rows] == [row["probabilities"] for row in stored]
    assert [row["truth"] for row in stored] == [line.partition(":")[0] for line in lines]
    assert list(predict(workdir, [files["eval_data"]])) == [
        {name: value for name, value in row.items() if name != "truth"} for row in stored
    ]


def test_the_kept_model_needs_no_other_folder(run, files, tmp_path):
    workdir, _ = run
    folder = pathlib.Path(files["backbone"].partition(":")[2])
    folder.rename(tmp_path / "away")
    try:
        kept = load_model(workdir)
    finally:
        (tmp_path / "away").rename(folder)
    assert kept.backbone.tokenizer.encode(["who is"]).token_ids.tolist() == [5, 8]


@pytest.mark.slow
def test_xla_has_few_lengths_and_one_trace_for_each_function(files, tmp_path):
    result = train_and_evaluate(config(files, xla="on", length="1 epoch"), tmp_path / "xla", verbose=0)
    decided = json.loads((tmp_path / "xla" / "run.json").read_text())
    assert decided["compilations"] == decided["planned_compilations"] == 2
    for part in decided["tokens"]:
        assert part["shapes"] <= 6 and all(int(length) % 8 == 0 for length in part["batch lengths"].split(", "))
    assert evaluate(tmp_path / "xla", files["eval_data"]) == result["metrics"]


def test_scores_choose_the_epoch_and_leaks_are_scored_without(files, tmp_path):
    train = pathlib.Path(files["train_data"].partition(":")[2]).read_text()
    evaluation = pathlib.Path(files["eval_data"].partition(":")[2]).read_text()
    (tmp_path / "leaky.txt").write_text(evaluation + train.upper().splitlines()[0].replace(":X", ":x") + "\n")
    changes = {"monitor": "val_macro_f1", "keep": "best", "eval_data": f"lines:{tmp_path}/leaky.txt"}
    with pytest.raises(errors.InputError, match="leak"):
        train_and_evaluate(config(files, **changes), tmp_path / "no", verbose=0)
    result = train_and_evaluate(config(files, **changes, allow_leakage=True), tmp_path / "run", verbose=0)
    assert result["best_epoch"] in (1, 2) and result["metrics_without_leaked"]["leaked"] == 1


def test_batches_by_tokens(files, tmp_path):
    result = train_and_evaluate(config(files, tokens_per_batch=128), tmp_path / "run", verbose=0)
    assert np.isfinite(result["metrics"]["loss"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sequence_length": 64}, "Got sequence_length=64. Expected at most 32"),
        ({"train_data": "digits:"}, "Got 'digits:.*for the task 'text_classification'. Expected text"),
        ({"task": "image_classification"}, "for the task 'image_classification'. Expected images"),
        ({"encoding": "utf-9"}, "Got encoding='utf-9'"),
        ({"text_columns": ("question",)}, "Got column 'question'.*text_columns"),
        ({"monitor": "val_macro_f2"}, "Did you mean 'val_macro_f1'"),
    ],
)
def test_what_does_not_fit(files, tmp_path, changes, message):
    drop = {"eval_data": "", "test_data": ""} if "train_data" in changes else {}
    with pytest.raises(errors.InputError, match=message):
        train_and_evaluate(config(files, **{**changes, **drop}), tmp_path / "run", verbose=0)


def test_texts_that_lose_tokens_are_counted_and_warned_of(files, tmp_path, capsys):
    changes = {"sequence_length": 10, "length": "1 epoch", "global_batch_size": 91}
    train_and_evaluate(config(files, **changes), tmp_path / "run", verbose=1)
    assert "texts (" in (text := capsys.readouterr().out) and "sequence_length" in text
    assert "Got global_batch_size=91 with 90 examples" in text
    assert json.loads((tmp_path / "run" / "run.json").read_text())["tokens"][0]["truncated"] > 45


def test_tokens_that_the_model_does_not_have(files, tmp_path, monkeypatch):
    from kft.run import text

    monkeypatch.setattr(text, "vocabulary_size", lambda backbone: 20)
    with pytest.raises(errors.InputError, match="token id outside the vocabulary: .*train.txt, line 1: Got token id"):
        train_and_evaluate(config(files), tmp_path / "run", verbose=0)


def test_held_out_parts_keep_equal_texts_together():
    texts = [f"text {number}" for number in range(50)]
    train, evaluation = data.split(data.from_texts([*texts, *(text.upper() for text in texts)], ["a", "b"] * 50))
    sides = [{part.records.text(index).lower() for index in range(part.num_examples)} for part in (train, evaluation)]
    assert not sides[0] & sides[1] and train.num_examples + evaluation.num_examples == 100


def test_a_run_with_another_vocabulary_is_not_gone_on_with(files, tmp_path, monkeypatch):
    """And one with the same goes on to the same weights."""
    from kft import training

    class Cut(Exception):
        pass

    class AfterOneEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise Cut

    whole = train_and_evaluate(config(files), tmp_path / "whole", verbose=0)
    fine_tune = training.fine_tune
    with monkeypatch.context() as patch:
        cut = lambda *args, callbacks, **rest: fine_tune(*args, callbacks=[*callbacks, AfterOneEpoch()], **rest)  # noqa: E731
        patch.setattr(training, "fine_tune", cut)
        with pytest.raises(Cut):
            train_and_evaluate(config(files), tmp_path / "cut", verbose=0)
    file = pathlib.Path(files["backbone"].partition(":")[2]) / "vocab.txt"
    words = file.read_text()
    file.write_text(words.replace("river", "brook"))
    try:
        with pytest.raises(errors.InputError, match="vocabulary"):
            train_and_evaluate(config(files), tmp_path / "cut", verbose=0)
    finally:
        file.write_text(words)
    assert (
        train_and_evaluate(config(files), tmp_path / "cut", verbose=0)["variables_sha256"] == whole["variables_sha256"]
    )


def test_few_balanced_texts(files, tmp_path):
    settings = {"max_examples": "30", "sampling": "balanced", "length": "1 epoch"}
    train_and_evaluate(config(files, **settings), tmp_path / "few", verbose=0)
    decided = json.loads((tmp_path / "few" / "run.json").read_text())
    assert sum(decided["data"]["train"]["num_examples_per_class"].values()) == 30
    with pytest.raises(errors.InputError, match="tokens_per_batch=200 with balanced"):
        train_and_evaluate(config(files, **settings, tokens_per_batch=200), tmp_path / "tokens", verbose=0)

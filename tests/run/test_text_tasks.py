"""Each task of text through a run, an evaluation and a prediction, with a small BERT of random weights."""

import gc
import json
import weakref

import numpy as np
import pytest

from kft import errors, training
from kft.run import evaluate, from_flat, load_model, predict, setup, task_settings, train_and_evaluate
from kft.training import prediction
from tests.run import tiny_text

pytest.importorskip("keras_nlp", reason="keras-nlp is not installed: pip install kft[text]")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny_text.write_bert(tmp_path_factory.mktemp("text") / "bert")


def run(task, workdir, backbone, **changes):
    settings = {
        "task": task,
        "backbone": backbone,
        "trainable": "all",
        "length": "3 epochs",
        "global_batch_size": 8,
        "learning_rate": 1e-2,
        "head_dropout": 0.0,
        **changes,
    }
    return train_and_evaluate(from_flat(settings), workdir, verbose=0)


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_sentences(file, count, seed):
    """Sentences of 3 to 40 words, in which every number is an entity."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        words = rng.choice([*tiny_text.WORDS, "1", "2"], rng.integers(3, 41))
        lines += [f"{word}\t{'B-number' if word.isdigit() else 'O'}" for word in words] + [""]
    file.write_text("\n".join(lines) + "\n")
    return f"conll:{file}"


def test_token_classification(tmp_path, backbone):
    train, evaluation = (write_sentences(tmp_path / f"{seed}.conll", 64, seed) for seed in (1, 2))
    options = {"train_data": train, "eval_data": evaluation, "window_overlap": 6}
    result = run("token_classification", tmp_path / "run", backbone, length="8 epochs", **options)
    assert result["metrics"]["f1"] > 0.7 and result["best_epoch"]
    assert evaluate(tmp_path / "run", evaluation) == result["metrics"]
    stored = rows_of(tmp_path / "run" / "eval_predictions.jsonl")
    assert max(len(row["tags"]) for row in stored) > 30, "some sentences have several windows"
    assert all(len(row["tags"]) == len(row["truth"]) for row in stored)
    (tmp_path / "lines.txt").write_text("who was 1, of\nhow many\n")
    first, second = predict(tmp_path / "run", [tmp_path / "lines.txt"])
    assert first["words"] == ["who", "was", "1", ",", "of"] and first["tags"][2] == "B-number"
    assert second["entities"] == []
    assert (first["entities"][0]["start"], first["entities"][0]["end"]) == (8, 9)


def write_questions(file, count, seed, unanswerable=0):
    """The answer is the only number of the context, which is longer than the model takes."""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for index in range(count):
        words = rng.choice(tiny_text.WORDS, 40).tolist()
        answer, answers = str(rng.integers(0, 10)), []
        if index >= unanswerable:
            place = int(rng.integers(0, 40))
            words[place] = answer
            answers = [{"answer_start": len(" ".join(words[:place])) + (place > 0), "text": answer}]
        question = {"id": f"q{index}", "question": "how many ?", "answers": answers}
        paragraphs.append({"context": " ".join(words), "qas": [question]})
    file.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return f"squad:{file}"


def test_question_answering(tmp_path, backbone):
    train = write_questions(tmp_path / "train.json", 80, 1, unanswerable=20)
    evaluation = write_questions(tmp_path / "eval.json", 40, 2, unanswerable=10)
    options = {"train_data": train, "eval_data": evaluation, "window_overlap": 4, "max_answer_length": 2}
    result = run("question_answering", tmp_path / "run", backbone, length="10 epochs", **options)
    assert result["metrics"]["f1"] > 0.5
    assert isinstance(result["calibration"]["no_answer_threshold"], float)
    assert evaluate(tmp_path / "run", evaluation) == result["metrics"]
    stored = rows_of(tmp_path / "run" / "eval_predictions.jsonl")
    official = json.loads((tmp_path / "run" / "eval_predictions.json").read_text())
    assert official == {row["id"]: row["answer"] for row in stored} and len(official) == 40
    predicted = list(predict(tmp_path / "run", [evaluation]))
    assert [row["answer"] for row in predicted] == [row["answer"] for row in stored]


def test_several_labels_with_thresholds_that_are_kept(tmp_path, backbone):
    rng = np.random.default_rng(0)
    lines = []
    for index in range(120):
        words = rng.choice(tiny_text.WORDS[4:], 6).tolist()
        labels = [word for word in ("river", "city", "man") if word in words]
        lines.append(json.dumps({"text": " ".join([*words, *str(index)]), "label": labels}))
    (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n")
    options = {
        "multi_label": True,
        "length": "8 epochs",
        "train_data": f"jsonl:{tmp_path}/texts.jsonl",
        "pooling": "max",
    }
    result = run("text_classification", tmp_path / "run", backbone, **options)
    assert result["metrics"]["micro_f1"] > 0.5
    assert result["calibration"]["thresholds"].keys() == {"river", "city", "man"}
    kept = load_model(tmp_path / "run")
    assert kept.task.calibration == result["calibration"]


def test_regression(tmp_path, backbone):
    rng = np.random.default_rng(0)
    lines = ["text,label"]
    for _ in range(100):
        words = rng.choice(["river", "long", "old"], rng.integers(1, 9))
        lines.append(f"{' '.join(words)} {len(lines) % 10} {len(lines) // 10},{(words == 'river').mean()}")
    (tmp_path / "texts.csv").write_text("\n".join(lines) + "\n")
    options = {"train_data": f"csv:{tmp_path}/texts.csv", "pooling": "mean", "length": "8 epochs"}
    result = run("regression", tmp_path / "run", backbone, **options)
    assert result["metrics"]["pearson"] > 0.3
    assert result["metrics"]["mean_squared_error"] == pytest.approx(result["metrics"]["loss"], rel=1e-5)


def test_pairs(tmp_path, backbone):
    rng = np.random.default_rng(0)
    rows = [(*rng.choice(["river", "city", "man"], 2), index) for index in range(120)]
    lines = ["one,two,same"]
    lines += [f"the {a},a {b} {' '.join(str(index))},{'yes' if a == b else 'no'}" for a, b, index in rows]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    options = {"train_data": f"csv:{tmp_path}/pairs.csv", "text_columns": ("one", "two"), "label_column": "same"}
    result = run("text_classification", tmp_path / "run", backbone, **options)
    assert {"accuracy", "macro_f1", "matthews"} <= result["metrics"].keys()
    (tmp_path / "lines.txt").write_text("the river\ta river 1\nthe river\ta man 2\n")
    rows = list(predict(tmp_path / "run", [tmp_path / "lines.txt"]))
    assert [row["label"] in ("yes", "no") for row in rows] == [True, True]
    assert rows[0]["probabilities"] != rows[1]["probabilities"]


def test_balanced_class_weights_are_kept_with_the_model(tmp_path, backbone):
    lines = [f"NUM:x how many {index % 10} {index // 10} ?" for index in range(40)]
    lines += [f"LOC:x where is {index} {index} ?" for index in range(10)]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    options = {"line_format": "{label}:{fine} {text}", "class_weights": "balanced", "focal_gamma": 1.0}
    train = f"lines:{tmp_path}/texts.txt"
    result = run(
        "text_classification",
        tmp_path / "run",
        backbone,
        train_data=train,
        eval_data=train,
        allow_leakage=True,
        **options,
    )
    assert load_model(tmp_path / "run").task.loss.class_weights == (50 / (2 * 10), 50 / (2 * 40))
    assert evaluate(tmp_path / "run", train) == result["metrics"]


@pytest.mark.parametrize("written", ["1,b=2", "b=2,b=3", "b=x", "many"])
def test_class_weights_that_do_not_read(written):
    with pytest.raises(errors.InputError, match="class_weights"):
        task_settings.read_class_weights(written)


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("regression", {"class_weights": "1,2"}),
        ("image_classification", {"max_answer_length": 9}),
        ("question_answering", {"focal_gamma": 2.0}),
    ],
)
def test_a_setting_that_the_task_does_not_take(task, changes):
    with pytest.raises(errors.InputError, match=f"{next(iter(changes))}.*{task}.*Expected it with one of"):
        task_settings.make_task(from_flat({"task": task, **changes}), ())


def test_predicting_again_traces_nothing(tmp_path, backbone):
    options = {"train_data": write_sentences(tmp_path / "a.conll", 16, 1), "length": "1 epoch", "keep": "last"}
    run("token_classification", tmp_path / "run", backbone, **options)
    kept, calls = load_model(tmp_path / "run"), []
    for seed in (2, 3):
        source = setup.load_data(kept.config, write_sentences(tmp_path / f"{seed}.conll", 9, seed))
        batches = setup.make_batches(kept.config, kept.backbone, kept.task)(source)
        training.predict(kept.model, batches, per_token=True)
        calls += [function.experimental_get_tracing_count() for function in prediction._FORWARD[kept.model].values()]
    assert calls == [1, 1]
    del batches
    model = weakref.ref(kept.model)
    del kept
    gc.collect()
    assert model() is None

"""The texts before and after training say what they must, from plain data and without TensorFlow."""

import subprocess
import sys

from kft import inspection

RESULT = {
    "metrics": {"loss": 0.5, "accuracy": 0.9},
    "test_metrics": {"loss": 0.6, "accuracy": 0.8},
    "majority_share": 0.25,
    "best_epoch": 3,
    "epochs": 10,
    "steps": 1150,
    "train_seconds": 65.25,
    "wall_seconds": 605.0,
    "examples_per_second": 123.4,
    "peak_memory_bytes": 3 * 2**29,
    "num_trainable_parameters": 410208,
    "precision": "float32",
    "seed": 7,
}


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_before_training_everything_decided_is_there():
    text = lines(
        inspection.before(
            data=[{"data": "train", "source": "folder:photos", "examples": 3670}],
            classes={"train": {"daisy": 633, "rose": 3037}, "eval": {"rose": 12}},
            phases=[{"phase": 1, "epochs": "1 to 3", "trains": "head", "parameters": 6405, "learning rate": "0.001"}],
            settings={"steps": 1150, "device": "1 x CPU", "precision": "float32", "xla": False},
            warnings=["2 files were left out."],
        )
    )
    assert "train folder:photos 3,670" in text
    assert "daisy 633 0" in text and "rose 3,037 12" in text
    assert "1 1 to 3 head 6,405 0.001" in text
    assert "steps 1,150" in text and "device 1 x CPU" in text and "xla no" in text
    assert text[-1] == "Warning: 2 files were left out."


def test_a_thousand_classes_are_not_a_thousand_lines():
    text = inspection.before(data=[], classes={"train": {f"class {i}": 1 for i in range(1000)}}, phases=[], settings={})
    assert len(text.splitlines()) == 22
    assert text.splitlines()[-1] == "... and 980 more"


def test_columns_are_aligned_over_all_rows():
    text = inspection.table(
        [{"name": "a", "number": 1, "rate": 0.001}, {"name": "long", "number": 12345, "rate": None}]
    )
    assert text.splitlines() == ["name  number   rate", "a          1  0.001", "long  12,345"]


def test_after_training_the_result_and_where_to_look():
    text = lines(inspection.after(RESULT, workdir="runs/a"))
    assert "metric eval test" in text and "accuracy 0.9 0.8" in text
    assert "best epoch 3 of 10" in text and "steps 1,150" in text
    assert "training 65.2 s" in text and "whole run 10 min 5 s" in text
    assert "peak memory 1.50 GiB" in text and "trainable parameters 410,208" in text
    assert text[-2:] == ["Run folder: runs/a", "Curves: tensorboard --host 127.0.0.1 --logdir runs/a/tensorboard"]
    assert not any("Degenerate" in line for line in text)


def test_a_run_that_learned_nothing_is_called_so():
    text = inspection.after(RESULT | {"metrics": {"accuracy": 0.25}, "test_metrics": None}, workdir="runs/a")
    assert "Degenerate: an accuracy of 0.25" in text
    assert inspection.after({}, workdir="runs/a").startswith("Run folder")


def test_seeds_give_mean_interval_and_degenerate_runs():
    """s = 0.1 and t(0.975, 2) = 4.303: half of the interval is 4.303 * 0.1 / sqrt(3) = 0.25."""
    results = [RESULT | {"seed": seed, "metrics": {"accuracy": 0.25 + seed / 10}} for seed in range(3)]
    text = lines(inspection.after_seeds(results))
    assert "eval accuracy 0.35 ± 0.25 (3 runs) 0.25 0.35 0.45" in text
    assert "test accuracy 0.8 ± 0 (3 runs) 0.8 0.8 0.8" in text
    assert text[-1] == "Degenerate runs, no better than the largest class: 1 of 3 (seeds 0)."


def test_a_seed_without_a_finite_metric_is_seen():
    results = [RESULT | {"metrics": {"accuracy": value}, "test_metrics": None} for value in (0.5, float("nan"))]
    assert "eval accuracy 0.5 (one run, no interval) 0.5 nan" in lines(inspection.after_seeds(results))


def test_variables_with_when_they_train_and_how_fast():
    rows = [
        {"path": "conv/kernel", "shape": (3, 3, 3, 16), "block": "stem", "trains": None, "learning_rates": None},
        {
            "path": "head/kernel",
            "shape": (16, 5),
            "block": "head",
            "trains": "from epoch 1",
            "learning_rates": (0.0, 0.001, 5e-5),
        },
        {"path": "scale", "shape": (), "block": "stem", "trains": None, "learning_rates": None},
    ]
    text = lines(inspection.variable_table(rows))
    assert text[0] == "variable shape parameters block trains start middle end"
    assert text[1] == "conv/kernel 3 x 3 x 3 x 16 432 stem never"
    assert text[2] == "head/kernel 16 x 5 80 head from epoch 1 0 0.001 5e-05"
    assert text[3] == "scale scalar 1 stem never"
    assert text[-1] == "3 variables, 513 parameters, of which 80 train."


def test_no_tensorflow_is_needed():
    program = (
        "import sys; from kft import inspection; inspection.after({}, workdir='w'); inspection.is_degenerate(1, 0); "
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

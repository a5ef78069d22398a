"""The table and the picture of backbones that were measured."""

from kft.inspection import backbones


def row(name, mean, speed, **more):
    made = {"backbone": name, "weights": "imagenet", "image_size": (64, 64), "metric": "accuracy", "mode": "max"}
    made |= {"values": [mean - 0.01, mean + 0.01], "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
    return made | {"parameters": 7, "megabytes": 3.0, "images_per_second": speed, "seconds_per_epoch": 1.0} | more


ROWS = [row("slow", 0.9, 10.0), row("beaten", 0.8, 50.0), row("quick", 0.85, 100.0), row("tiny", 0.6, 900.0)]


def test_not_beaten_is_what_no_other_is_better_and_quicker_than():
    assert [row["backbone"] for row in backbones.not_beaten(ROWS)] == ["slow", "quick", "tiny"]
    errors = [row | {"mode": "min"} for row in ROWS]
    assert [row["backbone"] for row in backbones.not_beaten(errors)] == ["tiny"]


def test_the_best_comes_first_and_files_are_told_by_their_names():
    lines = backbones.backbone_table([*ROWS, row("own", 0.95, 1.0, weights="/data/own.weights.h5")]).splitlines()
    assert [line.split()[1] for line in lines[1:] if line.startswith("*")] == ["own", "slow", "quick", "tiny"]
    assert "own.weights.h5" in lines[1] and "/data" not in lines[1]


def test_the_picture_names_each(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    named = []
    annotate = Axes.annotate
    monkeypatch.setattr(
        Axes, "annotate", lambda self, text, *a, **k: (named.append(text), annotate(self, text, *a, **k))
    )
    one_seed = row("random", 0.2, 30.0, low=None, high=None, weights="none")
    path = backbones.backbone_picture([*ROWS, one_seed, {"backbone": "absent", "error": "x"}], str(tmp_path / "a.png"))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted(named) == ["beaten", "quick", "random (random)", "slow", "tiny"]
    assert backbones.backbone_picture([{"backbone": "absent", "error": "x"}], str(tmp_path / "b.png")) is None

"""The same run with several seeds, and what the seeds tell of a difference."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import keras

from kft import distribute, errors, inspection, tasks
from kft.run import execution, folder
from kft.run import run as one_run
from kft.run.config import RunConfig


def train_seeds(config: RunConfig, workdir: str | os.PathLike, *, verbose: int = 1) -> dict[str, Any]:
    """Runs `config.run.seeds` times, with seed, seed + 1 and so on, each in a folder of its own.

    Args:
      config: every setting.
      workdir: the folder for `seed_0/`, `seed_1/`, ... and the result.json of all.
      verbose: as of `train_and_evaluate`.

    Returns: what is in result.json: "runs", the result of each seed, and "metrics" and "test_metrics" with mean,
      ends of the 95 percent interval and values of each metric.
    """
    workdir = folder.prepare_folder(workdir, resume=config.run.resume)
    results = []
    for seed in range(config.run.seed, config.run.seed + config.run.seeds):
        keras.backend.clear_session()
        finished = workdir / f"seed_{seed}" / "result.json"
        if finished.is_file() and config.run.resume != "never":
            results.append(_read_result(finished.parent))
            continue
        single = dataclasses.replace(config, run=dataclasses.replace(config.run, seed=seed, seeds=1))
        results.append(one_run.train_and_evaluate(single, workdir / f"seed_{seed}", verbose=verbose))
    result = {part: _intervals([run[part] for run in results]) for part in ("metrics", "test_metrics")}
    if not distribute.is_chief(execution.make_strategy(config)):
        return {**result, "runs": results}
    one_run.write_json(workdir / "result.json", {**result, "runs": results})
    if verbose:
        print("\n" + inspection.after_seeds(results), flush=True)
    return {**result, "runs": results}


def compare(folder_a: str | os.PathLike, folder_b: str | os.PathLike, *, metric: str = "accuracy") -> str:
    """Says whether run B is better than run A, or that this cannot be said.

    Folders of several seeds are compared over the seeds that both have, single runs over the examples that both
    predicted.

    Args:
      folder_a, folder_b: run folders of the same kind and the same evaluation data.
      metric: of `metrics`, for several seeds; single runs are compared by what they got right.

    Raises: InputError for a folder without a result, or two that have nothing in common.
    """
    folders = pathlib.Path(folder_a), pathlib.Path(folder_b)
    names = str(folder_a), str(folder_b)
    results = [_read_result(folder) for folder in folders]
    if all("runs" in result for result in results):
        for metrics in results[0]["runs"][0]["metrics"], results[1]["runs"][0]["metrics"]:
            if metric not in metrics:
                raise errors.unknown_name("metric", metric, metrics)
        values = [{run["seed"]: run["metrics"][metric] for run in result["runs"]} for result in results]
        first, second = _common(values, names, "seed")
        comparison = inspection.compare_seeds(first, second)
    elif not any("runs" in result for result in results):
        _check_same_data(folders)
        correct = [_read_correct(folder / "eval_predictions.jsonl") for folder in folders]
        first, second = _common(correct, names, "example")
        comparison = inspection.compare_predictions(first, second)
    else:
        raise errors.InputError(
            f"Got {names[0]!r} and {names[1]!r}, of which one has several seeds. Expected two of a kind. Compare "
            "with the folder of one seed."
        )
    rows = [
        {"run": name, "mean": sum(part) / len(part), "pairs": len(part)}
        for name, part in zip(names, (first, second), strict=True)
    ]
    lower = metric.endswith("loss") and "runs" in results[0]
    return f"{inspection.table(rows)}\n\n{inspection.verdict(comparison, names=names, higher_is_better=not lower)}"


def _intervals(metrics: list[dict[str, float] | None]) -> dict[str, Any] | None:
    if not metrics[0]:
        return None
    intervals = {}
    for name in metrics[0]:
        values = [run[name] for run in metrics]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        interval = dataclasses.asdict(inspection.mean_interval(finite)) if finite else {"mean": None}
        intervals[name] = interval | {"values": values}
    return intervals


def _read_result(folder: pathlib.Path) -> dict[str, Any]:
    file = folder / "result.json"
    if not file.is_file():
        raise errors.InputError(
            f"Got {str(folder)!r}, which has no result.json. Expected the folder of a finished run. Finish it first."
        )
    return json.loads(file.read_text(encoding="utf-8"))


def _check_same_data(folders: tuple[pathlib.Path, pathlib.Path]) -> None:
    """Raises InputError for runs that were evaluated on other data, whatever its files are called."""
    files = [folder / "run.json" for folder in folders]
    decided = [json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {} for file in files]
    first, second = (part.get("digests", {}).get("eval examples") for part in decided)
    if first and second and first != second:
        raise errors.InputError(
            f"Got {str(folders[0])!r} and {str(folders[1])!r}, which were evaluated on different data. Expected the "
            "same examples. Evaluate both on one set."
        )


def _read_correct(file: pathlib.Path) -> dict[tuple[str, str], bool]:
    """Whether each example was right, by its true label and its file, seen from the folder that holds all of them."""
    if not file.is_file():
        raise errors.InputError(f"Got no {str(file)!r}. Expected the folder of a finished run. Name another.")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    top = os.path.commonpath([os.path.dirname(row["file"]) for row in rows])
    return {(json.dumps(row["truth"]), os.path.relpath(row["file"], top)): _is_right(row, file) for row in rows}


def _is_right(row: dict[str, Any], file: pathlib.Path) -> bool:
    """One label, all labels, all tags of a sentence, or one of the answers."""
    truth = row["truth"]
    if "label" in row:
        return row["label"] == truth
    if "labels" in row:
        return set(row["labels"]) == set(truth)
    if "tags" in row:
        return row["tags"] == truth
    if "answer" in row:
        return tasks.is_exact_answer(row["answer"], truth)
    raise errors.InputError(
        f"Got {str(file)!r}, whose examples are neither right nor wrong. Expected labels, tags or answers. Compare "
        "runs over several seeds."
    )


def _common(parts: list[dict[Any, Any]], names: tuple[str, str], what: str) -> tuple[list, list]:
    keys = [key for key in parts[0] if key in parts[1]]
    if not keys:
        raise errors.InputError(
            f"Got {names[0]!r} and {names[1]!r} without a common {what}. Expected some. Run both on the same {what}s."
        )
    return tuple([part[key] for key in keys] for part in parts)

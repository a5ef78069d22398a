"""A model card in Markdown, made from a run folder."""

import re
from typing import Any

from kft.inspection import classes, report_elements
from kft.inspection.run_folder import RunFolder


def model_card(run: RunFolder) -> str:
    """What a model is, what it was trained on, and how well it does, as far as the run folder tells.

    Text from outside is written so that it is neither Markdown nor HTML.
    """
    lines = [f"# {plain(run.name)}", ""]
    task = str(run.setting("task", "")).replace("_", " ")
    lines += [f"{plain(run.setting('backbone'))}, fine-tuned for {plain(task)} with kft.", ""]
    lines += ["What it may be used for, and what not, is for those to write here who know.", ""]
    lines += _data(run) + _metrics(run) + _classes(run) + _training(run)
    return "\n".join(lines).rstrip() + "\n"


def plain(given: Any) -> str:
    """Text in which nothing is markup, on one line.

    Example:
      >>> print(plain("<b>*a*|"))
      &lt;b&gt;\\*a\\*\\|
    """
    text = str(report_elements.value(given)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"[\s\x00-\x1f]+", " ", text.encode("utf-8", "replace").decode("utf-8"))
    return re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", text)


def _table(rows: list[list[Any]], head: list[str]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows] + [""]


def _data(run: RunFolder) -> list[str]:
    parts, digests = run.decisions.get("data"), run.decisions.get("digests")
    if not isinstance(parts, dict):
        return []
    digests = digests if isinstance(digests, dict) else {}
    rows = [
        [role, part.get("source"), part.get("num_examples"), digests.get(f"{role} examples")]
        for role, part in parts.items()
        if isinstance(part, dict)
    ]
    train = parts.get("train")
    counts = train.get("num_examples_per_class") if isinstance(train, dict) else None
    lines = ["## Data", "", *_table(rows, ["part", "source", "examples", "fingerprint"])]
    if isinstance(counts, dict) and counts:
        named = ", ".join(f"{plain(name)} ({plain(count)})" for name, count in list(counts.items())[:50])
        more = f" and {len(counts) - 50:,} more" if len(counts) > 50 else ""
        lines += [f"Classes, with their training examples: {named}{more}.", ""]
    return lines


def _metrics(run: RunFolder) -> list[str]:
    parts = {"eval": run.result.get("metrics"), "test": run.result.get("test_metrics")}
    parts = {name: metrics for name, metrics in parts.items() if isinstance(metrics, dict)}
    names = list(dict.fromkeys(name for metrics in parts.values() for name in metrics))
    if not names:
        return []
    rows = [[name, *(metrics.get(name) for metrics in parts.values())] for name in names]
    lines = ["## Results", "", *_table(rows, ["metric", *parts])]
    found = classes.classified(run.predictions)
    if found is not None:
        low, high = classes.wilson(int(found.correct.sum()), len(found.truth))
        error = classes.calibration(found.confidence, found.correct).expected_error
        lines += [
            f"The 95 percent interval of the accuracy over {len(found.truth):,} evaluation examples is {low:.3f} to "
            f"{high:.3f}. The expected calibration error is {error:.3f}.",
            "",
        ]
        if run.setting("keep") == "best":
            lines += ["The evaluation data chose the epoch that was kept; only the test data was not seen before.", ""]
    return lines


def _classes(run: RunFolder) -> list[str]:
    found = classes.classified(run.predictions)
    if found is None:
        return []
    rows = []
    for row in classes.scores_of_classes(found.confusion(), found.label_names)[:100]:
        given = [row["precision"], row["recall"]]
        scores = [f"{score[0]:.3f} ({score[1]:.2f} to {score[2]:.2f})" if score else "" for score in given]
        rows.append([row["class"], row["examples"], *scores, f"{row['f1'][0]:.3f}" if row["f1"] else ""])
    return ["## Each class", "", *_table(rows, ["class", "examples", "precision", "recall", "F1"])]


def _training(run: RunFolder) -> list[str]:
    result = run.result
    phases = run.decisions.get("phases")
    lines = ["## Training", ""]
    for row in phases if isinstance(phases, list) else []:
        if isinstance(row, dict):
            lines.append(f"- {plain(', '.join(f'{name} {report_elements.value(part)}' for name, part in row.items()))}")
    facts = {
        "device": run.decisions.get("device"),
        "precision": run.decisions.get("precision"),
        "time": report_elements.duration(result.get("wall_seconds")),
        "seed": result.get("seed"),
        "versions": result.get("versions"),
    }
    lines += [f"- {name}: {plain(part)}" for name, part in facts.items() if part is not None]
    if run.flags:
        fence = "`" * (max((len(ticks) for ticks in re.findall(r"`+", run.flags)), default=2) + 1)
        fence = max(fence, "```", key=len)
        lines += ["", "Flags to repeat it:", "", fence, run.flags.rstrip(), fence]
    return lines

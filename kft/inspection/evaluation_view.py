"""What TensorBoard shows of the predictions of an evaluation: confusion, calibration, precision, recall, the worst."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kft.inspection import classes, event_writer, examples, pictures, projector

_WORST, _MOST_CURVES, _THRESHOLDS = 16, 20, 101


class Evaluation:
    """Collects what the test function saw and writes it at the end of an epoch.

    Args:
      batches: of the evaluation data, of one label for each example, not shuffled.
    """

    def __init__(self, batches: Any):
        self.batches = batches
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, y: Any, y_pred: Any, weight: Any) -> None:
        """A batch of labels, logits and weights."""
        self.parts.append((y, y_pred, weight))

    def clear(self) -> None:
        """Forgets what was collected."""
        self.parts = []

    def classified(self) -> classes.Classified | None:
        """The predictions in the order of the data; None where they are not of one label for each example."""
        if not self.parts or any(np.ndim(y) != 1 or np.ndim(logits) != 2 for y, logits, _ in self.parts):
            return None
        y, logits, weight = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*self.parts))
        kept = weight > 0
        y, logits = y[kept], logits[kept]
        order, names = projector.row_order(self.batches), self.batches.source.label_names
        if len(y) != len(order) or len(names) != logits.shape[1] or not np.isfinite(logits).all():
            return None
        places = np.argsort(order)
        keys = [str(index) for index in range(len(order))]
        return classes.from_logits(logits[places], y[places], names, keys)

    def write(self, writer: event_writer.EventWriter, step: int) -> None:
        """Writes everything with this step."""
        found = self.classified()
        self.clear()
        if found is None:
            return
        measured = classes.calibration(found.confidence, found.correct)
        writer.scalar("eval", "evaluation/expected_calibration_error", measured.expected_error, step)
        writer.scalar("eval", "evaluation/mean_confidence", float(found.confidence.mean()), step)
        matrix = pictures.confusion(found.confusion(), found.label_names)
        writer.image("eval", "evaluation/confusion", matrix, step)
        writer.image(
            "eval", "evaluation/calibration", pictures.reliability(measured.bins, measured.expected_error), step
        )
        self._worst(found, writer, step)
        for k, name in enumerate(found.label_names[:_MOST_CURVES]):
            curve = precision_recall(found.truth == k, found.probabilities[:, k])
            writer.tensor("eval", f"precision_recall/{_tag(name)}", curve, step, _metadata(name))

    def _worst(self, found: classes.Classified, writer: event_writer.EventWriter, step: int) -> None:
        worst = found.highest_losses(_WORST)
        lines = [_lines(found, index) for index in worst]
        if examples.are_images(self.batches):
            picture = pictures.grid(examples.pixels(self.batches, worst), lines)
            writer.image("eval", "examples/worst", picture, step)
        elif examples.are_texts(self.batches):
            table = getattr(self.batches, "table", None)
            rows = ["| text | predicted | truth | loss |", "|---|---|---|---|"]
            for index in worst:
                record = int(index) if table is None else int(table.record[index])
                said = markdown(examples.text_of(self.batches.source.records[record])[:300])
                names = found.label_names
                rows.append(
                    f"| {said} | {markdown(names[found.predicted[index]])} | {markdown(names[found.truth[index]])} "
                    f"| {found.losses[index]:.3f} |"
                )
            writer.text("eval", "examples/worst", "\n".join(rows), step)


def precision_recall(is_class: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """What TensorBoard's pr_curves plugin reads: (6, thresholds), true and false positives and negatives and so on.

    Args:
      is_class: (n,) bool.
      scores: (n,) in [0, 1]; an example is taken for one of the class at thresholds up to its score.
    """
    thresholds = np.linspace(0.0, 1.0, _THRESHOLDS)
    taken = scores[:, None] >= thresholds
    tp, fp = (taken & is_class[:, None]).sum(0), (taken & ~is_class[:, None]).sum(0)
    fn, tn = is_class.sum() - tp, (~is_class).sum() - fp
    precision, recall = tp / np.maximum(tp + fp, 1), tp / np.maximum(tp + fn, 1)
    return np.stack([tp, fp, tn, fn, precision, recall]).astype(np.float32)


def markdown(given: Any) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(str(given).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def _metadata(name: str) -> Any:
    from tensorboard.plugins.pr_curve import metadata

    return metadata.create_summary_metadata(display_name=name, description="", num_thresholds=_THRESHOLDS)


def _tag(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in name)


def _lines(found: classes.Classified, index: int) -> Sequence[tuple[str, bool]]:
    names, truth, predicted = found.label_names, int(found.truth[index]), int(found.predicted[index])
    lines = [(f"{names[predicted]} {found.confidence[index]:.0%}", False)]
    lines.append((f"is {names[truth]}", True) if truth != predicted else ("right", False))
    return [*lines, (f"loss {found.losses[index]:.2f}", False)]

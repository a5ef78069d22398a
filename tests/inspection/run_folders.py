"""Run folders made by hand, with whatever in them."""

import json
import pathlib

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def write(folder: pathlib.Path, *, names=("cat", "dog"), source="folder:photos", **changes) -> pathlib.Path:
    """A finished run of 2 phases and 4 epochs over 20 evaluation examples, every fifth of them wrong."""
    folder.mkdir(parents=True)
    config = {
        "run": {"seed": 0, "keep": "best", "workdir": "x"},
        "data": {"task": "image_classification", "train_data": source},
        "models": {"backbone": "tiny"},
    }
    decisions = {
        "data": {
            "train": {"source": source, "num_examples": 40, "num_examples_per_class": dict.fromkeys(names, 20)},
            "eval": {"source": source, "num_examples": 20, "num_examples_per_class": dict.fromkeys(names, 10)},
        },
        "digests": {"train examples": "0123abcd"},
        "phases": [
            {"phase": 1, "epochs": "1 to 2", "steps": 10, "trains": "the head", "learning rate": "0.1 .. 0"},
            {"phase": 2, "epochs": "3 to 4", "steps": 10, "trains": "everything", "learning rate": "0.1 .. 0"},
        ],
        "blocks": [
            {"name": "head", "parameters": 10, "epochs": [[0, 4]]},
            {"name": "body", "parameters": 90, "epochs": [[2, 4]]},
        ],
        "epochs": 4,
        "steps_per_epoch": 5,
        "device": "CPU, 2 cores",
    }
    result = {
        "metrics": {"loss": 0.5, "accuracy": 0.8},
        "test_metrics": None,
        "best_epoch": 3,
        "epochs": 4,
        "steps": 20,
        "train_seconds": 12.5,
        "wall_seconds": 20.0,
        "examples_per_second": 12.8,
        "seconds": {"reading and checking the data": 2.0, "training": 12.5},
        "majority_share": 0.5,
        "seed": 0,
        "versions": {"kft": "1"},
    }
    predictions, examples = [], [{"part": "train", "index": 0, "key": "t.png", "truth": names[0], "image": PIXEL}]
    for index in range(20):
        truth = index % 2
        label = truth ^ (index % 5 == 0)
        sure = 0.55 + 0.02 * index
        probabilities = {names[label]: sure, names[1 - label]: 1 - sure}
        key = f"photos/{names[truth]}/{index}.png"
        predictions.append(
            {"file": key, "label": names[label], "probabilities": {n: probabilities[n] for n in names}}
            | {"truth": names[truth]}
        )
        examples.append({"part": "eval", "index": index, "key": key, "truth": names[truth], "image": PIXEL})
    files = {"config.json": config, "run.json": decisions, "result.json": result}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content | changes.get(name.removesuffix(".json"), {})))
    for name, lines in {"eval_predictions.jsonl": predictions, "examples.jsonl": examples}.items():
        lines = changes.get(name.removesuffix(".jsonl"), lines)
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = changes.get("flags", f"--train_data={source}\n--length=4 epochs\n")
    (folder / "run.flags").write_bytes(flags.encode("utf-8", "surrogatepass"))
    for writer, values in {"train": (1.0, 0.7, 0.5, 0.4), "eval": (0.9, 0.8, 0.5, 0.55)}.items():
        events = EventFileWriter(str(folder / "tensorboard" / writer))
        for epoch, value in enumerate(values):
            events.add_event(_scalar("metrics/loss", value, 5 * (epoch + 1)))
            events.add_event(_scalar("training/learning_rate", 0.1 - 0.02 * epoch, 5 * epoch))
        events.close()
    return folder


def _scalar(tag: str, value: float, step: int) -> event_pb2.Event:
    """As tf.summary.scalar writes it."""
    tensor = tensor_pb2.TensorProto(dtype=1, tensor_shape=tensor_shape_pb2.TensorShapeProto(), float_val=[value])
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor)])
    return event_pb2.Event(step=step, summary=summary)

"""How steps are computed where that is left open, and whether they are compiled no more often than planned."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


@dataclasses.dataclass(frozen=True)
class Machine:
    """What of a machine the choices depend on.

    Args:
      num_gpus: int.
      has_bfloat16: whether the CPU multiplies bfloat16.
    """

    num_gpus: int
    has_bfloat16: bool


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Args:
      precision: of `kft.training.precision.PRECISIONS`.
      xla: whether XLA compiles the steps.
      reasons: "precision" and "xla" -> a sentence.
      timings: what was measured -> milliseconds of a forward and backward pass.
    """

    precision: str
    xla: bool
    reasons: dict[str, str]
    timings: dict[str, float] = dataclasses.field(default_factory=dict)


def this_machine() -> Machine:
    """The machine that this process runs on."""
    import tensorflow as tf

    return Machine(len(tf.config.list_physical_devices("GPU")), has_bfloat16())


def has_bfloat16(cpuinfo: str | pathlib.Path = "/proc/cpuinfo") -> bool:
    """Whether Linux tells of AVX512-BF16 or AMX-BF16; False elsewhere."""
    try:
        text = pathlib.Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return any(flag in flags for flag in BFLOAT16_FLAGS)


def choose(*, precision: str, xla: str, encodes_text: bool, machine: Machine) -> Choice:
    """Fills in what is "auto", by what is known; nothing is measured.

        precision   mixed_bfloat16 for an encoder of text on a CPU that has it; else float32
        xla         on with a GPU; off without

    Args:
      precision: "auto", or a precision.
      xla: "auto", "on" or "off".
      encodes_text: whether the backbone is an encoder of text, such as BERT.
      machine: where it runs.

    Example:
      >>> choose(precision="auto", xla="auto", encodes_text=True, machine=Machine(0, True)).precision
      'mixed_bfloat16'
    """
    reasons = {"precision": "asked for", "xla": "asked for"}
    if precision == "auto":
        precision, reasons["precision"] = _precision(encodes_text, machine)
    if xla == "auto":
        reasons["xla"] = (
            "a GPU computes"
            if machine.num_gpus
            else "on a CPU, compiled convolutions were slower, and texts are compiled for each length"
        )
    return Choice(precision, xla == "on" or (xla == "auto" and machine.num_gpus > 0), reasons)


def _precision(encodes_text: bool, machine: Machine) -> tuple[str, str]:
    if machine.num_gpus:
        return "float32", "lower precisions were not measured on a GPU"
    if not machine.has_bfloat16:
        return "float32", "the CPU has no instructions for bfloat16"
    if not encodes_text:
        return "float32", "on a CPU, bfloat16 was measured for encoders of text only"
    return "mixed_bfloat16", "the CPU multiplies bfloat16, in which encoders of text were measured to be faster"


class CompilationsAsPlanned(keras.callbacks.Callback):
    """Ends a training at the end of an epoch in which XLA compiled more often than planned, once for each function."""

    def on_epoch_end(self, epoch, logs=None):
        check_compilations(self.model)


def check_compilations(model: Any) -> None:
    """Raises RuntimeError that names the functions that were traced more than once, and for what."""
    traced, planned = model.num_compilations, model.num_planned_compilations
    if traced > planned:
        again = [function for function in model._jitted if function.experimental_get_tracing_count() > 1]
        raise RuntimeError(
            f"Got {traced} traces for XLA. Expected {planned}, one for each function. Give batches of one rank and "
            f"type, and of one shape or an open one. Traced for:\n{_signatures(again)}"
        )


def _signatures(functions: Sequence[Any]) -> str:
    return "\n".join(function.pretty_printed_concrete_signatures() for function in functions)[:2000]

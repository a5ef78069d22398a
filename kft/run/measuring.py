"""Precision and XLA by measuring: some forward and backward passes each way, before the run's own model is made."""

import contextlib
import dataclasses
import json
import pathlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from tensorflow.python.eager import context

from kft import data, paths, trainable, training
from kft.models import names
from kft.run import execution, run_length, setup
from kft.run.config import RunConfig

FILE = "execution.json"
SHARE = 0.05  # of the estimated run, at most
FEWEST_STEPS = 1500  # a trace takes as long as some 15 to 60 steps
TIMES_COMPILING = 4.0  # as long as tracing, about
WORTH = 0.95
SEED_GENERATOR = "global_seed_generator"


def decide(config: RunConfig, train: data.Source, workdir: pathlib.Path) -> training.Choice:
    """Precision and XLA of a run: as asked for, as this run began, by what is known, or as measured.

    Measured is where `auto` leaves a choice on a CPU: one device, enough steps. It takes at most about a twentieth of
    the estimated run, and changes no variable, seed or name.

    Args:
      config: validated.
      train: the training data.
      workdir: the run folder; what a run that is gone on with has decided is in it.
    """
    known = execution.choose(config)
    asked = [config.execution.precision, config.execution.xla]
    kept = workdir / FILE
    if kept.is_file():
        values = json.loads(kept.read_text(encoding="utf-8"))
        if values.pop("asked") == asked:
            return training.Choice(**values)
    machine = training.this_machine()
    replicas = execution.make_strategy(config).num_replicas_in_sync
    if "auto" not in asked or machine.num_gpus or replicas > 1:
        return known
    if asked[0] == "auto" and asked[1] != "auto" and not machine.has_bfloat16:
        return known
    with leaving_no_trace():
        return _Measuring(config, train, known, machine.has_bfloat16).choice()


def write(workdir: pathlib.Path, config: RunConfig, choice: training.Choice) -> None:
    """Keeps a choice for when the run is gone on with."""
    values = {"asked": [config.execution.precision, config.execution.xla]} | dataclasses.asdict(choice)
    (workdir / FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def leaving_no_trace() -> Iterator[None]:
    """Names, seeds and random numbers of Python, NumPy, Keras and TensorFlow are afterwards what they were."""
    python, numpy = random.getstate(), np.random.get_state()
    generator = global_state.get_global_attribute(SEED_GENERATOR)
    seed, draws = context.context()._seed, getattr(context.context(), "_rng", None)
    drawn = None if draws is None else draws.getstate()
    global_state.set_global_attribute(SEED_GENERATOR, None)
    try:
        with names.counted_anew():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        global_state.set_global_attribute(SEED_GENERATOR, generator)
        if draws is not None:
            context.context()._set_global_seed(seed)
            context.context()._rng.setstate(drawn)


class _Measuring:
    """One after the other, as far as the budget reaches: as it is known to go, in bfloat16, compiled."""

    def __init__(self, config, train, known, has_bfloat16):
        self.config, self.train, self.known, self.has_bfloat16 = config, train, known, has_bfloat16
        self.began, self.timings = time.perf_counter(), {}

    def choice(self) -> training.Choice:
        config, reasons = self.config, dict(self.known.reasons)
        precision = config.execution.precision
        lower = precision == "auto" and self.has_bfloat16
        precision = "float32" if precision == "auto" else precision
        xla = config.execution.xla == "on"
        model, backbone, task = self._model(precision)
        batches = setup.make_batches(config, backbone, task)(self.train, train=True)
        lengths = training.update_lengths(batches, config.optimizers.accumulate_steps)
        steps = run_length.epochs_of(config.run.length, lengths) * batches.steps_per_epoch
        compiled = config.execution.xla == "auto"
        if compiled and any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model._flatten_layers()):
            compiled, reasons["xla"] = False, "on a CPU, compiled depthwise convolutions were many times slower"
        if not (lower or compiled):
            return dataclasses.replace(self.known, reasons=reasons)
        if steps < FEWEST_STEPS:
            for name in (["precision"] * lower) + (["xla"] * compiled):
                reasons[name] += f"; not measured, as there are only {steps} steps"
            return dataclasses.replace(self.known, reasons=reasons)
        batch = _middle_batch(batches)
        best = self._time(precision, xla, lambda: model, batch)
        budget = SHARE * steps * best.seconds
        if lower:
            other = self._within(budget, 1.0, "mixed_bfloat16", xla, lambda: self._model("mixed_bfloat16")[0], batch)
            if other is None:
                precision = self.known.precision
                reasons["precision"] += "; not measured, as that would take more than a twentieth of the run"
            else:
                faster = other.seconds < WORTH * best.seconds
                reasons["precision"] = _told(best, other, "mixed_bfloat16")
                precision, best = ("mixed_bfloat16", other) if faster else ("float32", best)
        if compiled:
            model = model if precision == training.precision_of(model) else self._model(precision)[0]
            lengths, padding = self._static(batches, backbone, task)
            other = self._within(budget, TIMES_COMPILING, precision, True, lambda: model, batch)
            if other is None:
                reasons["xla"] += "; not measured, as that would take more than a twentieth of the run"
            else:
                saved = steps * (best.seconds - padding * other.seconds)
                xla = padding * other.seconds < WORTH * best.seconds and saved > lengths * other.first_seconds
                reasons["xla"] = _told(
                    best, other, "compiled", f", {lengths} compilations, {padding:.2f} times the tokens"
                )
        return training.Choice(precision, xla, reasons, self.timings)

    def _model(self, precision):
        """What the run would make, training what the longest of its phases trains."""
        config = _with(self.config, precision=precision)
        task, backbone, model, _ = setup.make_model(config, self.train, warm_start=False)  # whatever the weights are
        phases = trainable.make_trainable_schedule(config.schedules.trainable, model.blocks)
        largest = max(phases, key=lambda phase: len(_trained(model, phase)))
        model.set_trainable(largest.trainable)
        model.compile(loss=task.loss, jit_compile=False)
        return model, backbone, task

    def _within(self, budget, times, precision, xla, make: Callable[[], Any], batch):
        """A timing, or None where what was spent so far says that it would take too long."""
        spent = time.perf_counter() - self.began
        if spent * (1.0 + times) > budget:
            return None
        return self._time(precision, xla, make, batch)

    def _time(self, precision, xla, make, batch):
        timing = training.time_step(make(), batch, xla=xla)
        self.timings[f"{precision}, {'compiled' if xla else 'not compiled'}"] = round(1e3 * timing.seconds, 2)
        return timing

    def _static(self, batches, backbone, task):
        """How many shapes XLA would compile, and how many times the tokens there would be."""
        plan = batches.plan
        if plan.row_lengths is None:
            return 1, 1.0
        static = setup.make_batches(_with(self.config, xla="on"), backbone, task)(self.train, train=True).plan.epoch(0)
        open_shapes = plan.epoch(0)
        tokens = [float((each.counts * each.lengths).sum()) for each in (static, open_shapes)]
        return len(set(np.asarray(static.lengths).tolist())), tokens[0] / tokens[1]


def _trained(model, phase):
    return paths.select([variable.path for variable in model.parameters], phase.trainable, what="trainable")


def _middle_batch(batches):
    """The first batch, or of several lengths one of the median."""
    step = 0
    if batches.plan.row_lengths is not None:
        lengths = np.asarray(batches.plan.epoch(0).lengths)
        step = int(np.argsort(lengths, kind="stable")[len(lengths) // 2])
    return next(iter(batches.from_epoch(0, step).take(1)))


def _told(best, other, name, more=""):
    return f"measured: {1e3 * best.seconds:.1f} ms a step, {1e3 * other.seconds:.1f} ms {name}{more}"


def with_choice(config: RunConfig, choice: training.Choice) -> RunConfig:
    """The config with what was decided in the place of "auto"."""
    return _with(config, precision=choice.precision, xla="on" if choice.xla else "off")


def _with(config, **execution):
    return dataclasses.replace(config, execution=dataclasses.replace(config.execution, **execution))

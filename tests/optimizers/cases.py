"""Every rule of ours with its independent reference, and a small problem to run it on."""

import functools

import keras
import numpy as np
import tensorflow as tf

from kft import optimizers
from tests.references import optimizers as reference

DECAY = 0.01

# case -> (name in the table, options, learning rate, reference, how the reference takes the weight decay)
CASES = {
    "gradient_descent": ("gradient_descent", {}, 0.01, reference.gradient_descent, "weight_decay"),
    "momentum": ("momentum", {}, 0.01, reference.momentum, "weight_decay"),
    "nesterov": (
        "momentum",
        {"nesterov": True},
        0.01,
        functools.partial(reference.momentum, nesterov=True),
        "weight_decay",
    ),
    "adagrad": ("adagrad", {}, 0.05, reference.adagrad, "weight_decay"),
    "rmsprop": ("rmsprop", {}, 0.003, reference.rmsprop, "weight_decay"),
    "rmsprop_centered": (
        "rmsprop",
        {"centered": True, "momentum": 0.9, "rho": 0.95, "epsilon": 1e-4},
        0.001,
        functools.partial(reference.rmsprop, centered=True, mu=0.9, rho=0.95, epsilon=1e-4),
        "weight_decay",
    ),
    "adadelta": ("adadelta", {}, 1.0, reference.adadelta, "weight_decay"),
    "adam": ("adam", {}, 0.01, reference.adam, "weight_decay"),
    "adam_uncorrected": (
        "adam",
        {"bias_correction": False},
        0.01,
        functools.partial(reference.adam, corrected=False),
        "weight_decay",
    ),
    "amsgrad": ("adam", {"amsgrad": True}, 0.01, functools.partial(reference.adam, amsgrad=True), "weight_decay"),
    "adamw": ("adamw", {}, 0.01, reference.adam, "decoupled"),
    "lamb": ("lamb", {}, 0.01, reference.lamb, "weight_decay"),
    "lars": ("lars", {}, 1.0, reference.lars, "weight_decay"),
    "radam": ("radam", {}, 0.01, reference.radam, "weight_decay"),
    "lookahead": ("lookahead", {"sync_period": 5}, 0.01, functools.partial(reference.lookahead, k=5), "decoupled"),
}

# SAM is the one rule that `apply` refuses: it has its own tests beside the ones that run every case.
NAMES = [*CASES, "sam"]


def make(case, **settings):
    """The optimizer of a case; settings overwrite its own."""
    name, options, rate, *_ = CASES.get(case, ("sam", {"rule": "momentum"}, 0.01))
    options = {**options, **settings.pop("options", {})}
    return optimizers.make_optimizer(name, **{"learning_rate": rate, **settings}, options=options)


def expected(case, w, gradients, *, rate=None, weight_decay=0.0, **arguments):
    """The float64 parameter after all gradients."""
    _, _, case_rate, rule, decay = CASES[case]
    w, gradients = np.asarray(w, "float64"), [np.asarray(g, "float64") for g in gradients]
    return rule(w, gradients, case_rate if rate is None else rate, **{decay: weight_decay}, **arguments)


def variables(seed=0):
    """An embedding, a kernel and a bias."""
    random = np.random.RandomState(seed)
    shapes = {"embedding": (7, 4), "kernel": (4, 3), "bias": (3,)}
    return [keras.Variable(random.randn(*shape).astype("float32"), name=name) for name, shape in shapes.items()]


def batch(size=10, seed=0):
    """Ids with repetitions, targets and weights, of which the last is 0."""
    random = np.random.RandomState(seed)
    ids = random.randint(0, 7, (size, 3))
    targets = random.randn(size, 3).astype("float32")
    weights = random.uniform(0.5, 1.5, size).astype("float32")
    weights[-1] = 0.0
    return ids, targets, weights


def sums(members, ids, targets, weights, scale_loss=lambda loss: loss):
    """Gradients of the weighted sum of losses; that of the embedding is IndexedSlices."""
    embedding, kernel, bias = (v.value for v in members)
    with tf.GradientTape() as tape:
        hidden = tf.tanh(tf.reduce_mean(tf.gather(embedding, ids), axis=1))
        losses = tf.reduce_sum((hidden @ kernel + bias - targets) ** 2, axis=1)
        loss = scale_loss(tf.reduce_sum(weights * losses))
    return tape.gradient(loss, [embedding, kernel, bias])


def step(optimizer, members, ids, targets, weights):
    """One call in replica context, of every rule, SAM too."""
    gradients = functools.partial(sums, members, ids, targets, weights, optimizer.scale_loss)
    if getattr(optimizer, "needs_ascend", False):
        optimizer.ascend(gradients(), members, tf.reduce_sum(weights))
    return optimizer.apply_sums(gradients(), members, tf.reduce_sum(weights))


def values(members):
    return [v.numpy() for v in members]

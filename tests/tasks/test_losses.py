"""Cross-entropy with its factors against the definitions in float64."""

import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.tasks.losses import SigmoidCrossentropy, SmoothedCrossentropy, SquaredError

LOGITS = np.random.default_rng(0).normal(scale=4, size=(6, 5))
LABELS = np.array([0, 1, 2, 3, 4, 0])
CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0])


def reference(labels, logits, label_smoothing):
    """Szegedy et al. 2016, section 7: cross-entropy with the smoothed one-hot target."""
    target = (1 - label_smoothing) * np.eye(logits.shape[1])[labels] + label_smoothing / logits.shape[1]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(target * log_p).sum(axis=1)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_loss_is_cross_entropy_with_the_smoothed_target(label_smoothing):
    loss = SmoothedCrossentropy(label_smoothing)
    expected = reference(LABELS, LOGITS, label_smoothing)
    np.testing.assert_allclose(loss.call(LABELS, LOGITS.astype("float32")), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(LABELS, LOGITS), expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradient_is_softmax_minus_target(label_smoothing):
    logits = tf.Variable(LOGITS, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(SmoothedCrossentropy(label_smoothing).call(LABELS, logits))
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    target = (1 - label_smoothing) * np.eye(5)[LABELS] + label_smoothing / 5
    np.testing.assert_allclose(tape.gradient(loss, logits), softmax - target, atol=2e-6)


def test_large_logits_stay_finite():
    loss = SmoothedCrossentropy(0.1).call(np.array([0]), np.array([[-1e4, 0.0, 1e4]], "float32"))
    np.testing.assert_allclose(loss, [0.9 * 2e4 + 0.1 * 1e4], rtol=1e-6)


def test_class_weights_multiply_the_loss_of_their_class():
    loss = SmoothedCrossentropy(0.1, class_weights=CLASS_WEIGHTS).call(LABELS.astype("float32"), LOGITS)
    np.testing.assert_allclose(loss, CLASS_WEIGHTS[LABELS] * reference(LABELS, LOGITS, 0.1), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_of_lin_et_al(gamma):
    """Eq. 5: -alpha * (1 - p) ** gamma * log(p)."""
    p = np.exp(-reference(LABELS, LOGITS, 0.0))
    expected = -CLASS_WEIGHTS[LABELS] * (1 - p) ** gamma * np.log(p)
    loss = SmoothedCrossentropy(class_weights=CLASS_WEIGHTS, focal_gamma=gamma).call(LABELS, LOGITS)
    np.testing.assert_allclose(loss, expected, rtol=1e-3, atol=1e-6)


def test_the_focal_gradient_of_a_sure_prediction_is_finite():
    logits = tf.Variable([[100.0, 0.0], [-100.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(SmoothedCrossentropy(focal_gamma=0.5).call(np.array([0, 0]), logits))
    assert np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_smoothing_out_of_range(value):
    with pytest.raises(errors.InputError, match="label_smoothing"):
        SmoothedCrossentropy(value)


def test_gamma_out_of_range():
    with pytest.raises(errors.InputError, match="focal_gamma"):
        SmoothedCrossentropy(focal_gamma=-1.0)


TARGETS = np.array(
    [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1], [1, 0, 1, 0, 1]]
)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_sigmoid_loss_is_the_mean_of_binary_cross_entropies(label_smoothing):
    p, t = 1 / (1 + np.exp(-LOGITS)), TARGETS * (1 - label_smoothing) + label_smoothing / 2
    expected = CLASS_WEIGHTS * -(t * np.log(p) + (1 - t) * np.log(1 - p))
    loss = SigmoidCrossentropy(label_smoothing, CLASS_WEIGHTS).call(TARGETS.astype("float32"), LOGITS.astype("float32"))
    np.testing.assert_allclose(loss, expected.mean(1), rtol=1e-5)


def test_sigmoid_focal_loss_of_lin_et_al():
    p = 1 / (1 + np.exp(-LOGITS))
    p = np.where(TARGETS, p, 1 - p)
    loss = SigmoidCrossentropy(focal_gamma=2.0).call(TARGETS.astype("float32"), LOGITS.astype("float32"))
    np.testing.assert_allclose(loss, (-((1 - p) ** 2) * np.log(p)).mean(1), rtol=1e-4)


def test_sigmoid_loss_of_large_logits_is_finite():
    loss = SigmoidCrossentropy().call(np.array([[1.0, 0.0]], "float32"), np.array([[-1e4, -1e4]], "float32"))
    np.testing.assert_allclose(loss, [5e3])


def test_squared_error():
    np.testing.assert_allclose(SquaredError().call(np.array([1.0, -2.0]), np.array([[3.0], [-2.5]])), [4, 0.25])


SHARES = np.random.default_rng(1).dirichlet(np.ones(5), 6)


@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"class_weights": CLASS_WEIGHTS}, {"focal_gamma": 2.0},
    {"label_smoothing": 0.2, "class_weights": CLASS_WEIGHTS, "focal_gamma": 1.0},
])  # fmt: skip
def test_the_loss_of_shares_is_the_shares_of_the_losses(options):
    loss = SmoothedCrossentropy(**options)
    logits = LOGITS.astype("float32")
    of_each = np.stack([loss.call(np.full(6, label), logits) for label in range(5)], 1)
    np.testing.assert_allclose(loss.call(SHARES.astype("float32"), logits), (SHARES * of_each).sum(1), rtol=1e-4)
    np.testing.assert_allclose(
        loss.call(np.eye(5, dtype="float32")[LABELS], logits), loss.call(LABELS, logits), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"focal_gamma": 2.0}])
def test_the_loss_of_a_label_between_lies_between(options):
    loss = SigmoidCrossentropy(**options)
    logits = LOGITS.astype("float32")
    ends = [loss.call(np.full((6, 5), end, "float32"), logits).numpy() for end in (0, 1)]
    between = loss.call(np.full((6, 5), 0.3, "float32"), logits)
    np.testing.assert_allclose(between, 0.7 * ends[0] + 0.3 * ends[1], rtol=1e-4)

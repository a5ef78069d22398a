"""What the base class promises: division, clips, accumulation, averages, penalties, loss scale, steps of their own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kft import optimizers
from kft.optimizers import ParamScales
from tests.optimizers import cases
from tests.references import optimizers as reference


def variable(values, name="w"):
    return keras.Variable(np.asarray(values, "float32"), name=name)


def built(name, members, **settings):
    optimizer = optimizers.make_optimizer(name, **{"learning_rate": 1.0, **settings})
    optimizer.build(members)
    return optimizer


def moves(w, optimizer, gradient, weight=1.0):
    """How far the variable goes for a gradient."""
    before = w.numpy()
    optimizer.apply_sums([tf.constant(gradient, "float32")], [w], weight)
    return before - w.numpy()


@functools.cache
def _descent():
    w = variable(np.zeros(5))
    return w, built("gradient_descent", [w])


def descent():
    """One variable at 0, and gradient descent with rate 1, made once."""
    w, optimizer = _descent()
    w.assign(np.zeros(5))
    return w, optimizer


GRADIENTS = hnp.arrays("float32", 5, elements=st.floats(-100, 100, width=32, allow_subnormal=False))


@settings(max_examples=15, deadline=None)
@given(gradient=GRADIENTS, weight=st.floats(0.125, 64, width=32))
def test_sums_are_divided_by_the_weight(gradient, weight):
    w, optimizer = descent()
    got = moves(w, optimizer, gradient, weight)
    np.testing.assert_allclose(got, gradient / np.float32(weight), rtol=1e-6, atol=1e-30)


@settings(max_examples=15, deadline=None)
@given(gradient=GRADIENTS, bound=st.floats(0.125, 100))
def test_clips_keep_the_bound_and_norms_the_direction(gradient, bound):
    norm = float(np.linalg.norm(gradient.astype("float64")))
    for clip in ("global_clipnorm", "clipnorm", "clipvalue"):
        w, optimizer = descent()
        setattr(optimizer, clip, bound)
        got = moves(w, optimizer, gradient)
        setattr(optimizer, clip, None)
        if clip == "clipvalue":
            np.testing.assert_array_equal(got, np.clip(gradient, -np.float32(bound), np.float32(bound)))
        else:
            wanted = gradient * min(1.0, bound / norm) if norm else gradient
            np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-30)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), min_size=2, max_size=2, unique=True), seed=st.integers(0, 100))
def test_accumulated_parts_equal_the_whole_batch(cuts, seed):
    """Parts of any size: sums and weights are added up, so that no part counts more than its examples do."""
    ids, targets, weights = cases.batch(12, seed)
    results = []
    for parts in ([slice(None)], [slice(a, b) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 12])]):
        members = cases.variables(seed)
        options = {"accumulate_steps": len(parts), "l2": 0.1}
        optimizer = built("adamw", members, learning_rate=0.01, clip_global_norm=0.5, weight_decay=0.1, options=options)
        for part in parts:
            cases.step(optimizer, members, ids[part], targets[part], weights[part])
        results.append(cases.values(members))
        assert int(optimizer.iterations) == 1
    for whole, accumulated in zip(*results):
        np.testing.assert_allclose(accumulated, whole, atol=1e-6)


@pytest.mark.parametrize("case", cases.NAMES)
def test_zero_gradient_moves_nothing_without_decay(case):
    members = cases.variables()
    optimizer = cases.make(case)
    optimizer.build(members)
    before = cases.values(members)
    zeros = [tf.zeros(v.shape) for v in members]
    if case == "sam":
        optimizer.ascend(zeros, members, 1.0)
    optimizer.apply_sums(zeros, members, 1.0)
    for variable, value in zip(members, before):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("case", cases.NAMES)
def test_nothing_changes_without_weight_or_with_a_gradient_that_is_not_finite(case):
    members = cases.variables()
    optimizer = cases.make(case, weight_decay=0.1)
    optimizer.build(members)
    ids, targets, weights = cases.batch()
    cases.step(optimizer, members, ids, targets, weights)
    before = cases.values([*members, *(v for n, v in optimizer.state().items() if not n.startswith("old/"))])
    assert cases.step(optimizer, members, ids, targets, 0 * weights) == 0
    assert not np.isfinite(cases.step(optimizer, members, ids, targets * np.nan, weights))
    assert not np.isfinite(cases.step(optimizer, members, ids, targets * np.inf, weights))
    after = cases.values([*members, *(v for n, v in optimizer.state().items() if not n.startswith("old/"))])
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a, b)


def test_norm_sums_repeated_ids():
    """FACTS 39: three rows of one id make 3 times the gradient; others report the square root of 3."""
    w = variable(np.zeros((4, 1)))
    optimizer = built("gradient_descent", [w], clip_global_norm=1.0)
    slices = tf.IndexedSlices(tf.ones((3, 1)), tf.constant([2, 2, 2]), tf.constant([4, 1]))
    assert float(optimizer.apply_sums([slices], [w], 1.0)) == pytest.approx(3.0)
    np.testing.assert_allclose(w.numpy()[:, 0], [0, 0, -1, 0], rtol=1e-6)


def test_slices_and_dense_gradients_move_the_same():
    slices = tf.IndexedSlices(tf.constant([[1.0], [2.0]]), tf.constant([2, 2]), tf.constant([4, 1]))
    for name in ("gradient_descent", "adam"):
        results = []
        for gradient in (slices, tf.constant([[0.0], [0.0], [3.0], [0.0]])):
            w = variable(np.ones((4, 1)))
            built(name, [w]).apply([gradient], [w])
            results.append(w.numpy())
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("case", cases.CASES)
def test_a_variable_that_joins_at_step_1000_makes_the_same_moves(case):
    """FACTS 3: Keras' Adam would move it up to 5 times too far."""
    random = np.random.RandomState(0)
    start = random.randn(6).astype("float32")
    gradients = random.randn(100, 6).astype("float32")
    early, late, other = variable(start, "early"), variable(start, "late"), variable(start, "other")
    apart, together = cases.make(case, weight_decay=0.01), cases.make(case, weight_decay=0.01)
    apart.build([early])
    together.build([other, late])

    @tf.function(autograph=False)
    def run(optimizer, members, gradients):
        for gradient in gradients:
            optimizer.apply([gradient] * len(members), members)

    step = tf.function(lambda: together.apply([tf.ones(6)], [other]), autograph=False)
    for _ in range(1000):
        step()
    np.testing.assert_array_equal(late.numpy(), start)
    apart_step = tf.function(lambda g: apart.apply([g], [early]), autograph=False)
    joint_step = tf.function(lambda g: together.apply([g, g], [other, late]), autograph=False)
    for gradient in gradients:
        apart_step(tf.constant(gradient))
        joint_step(tf.constant(gradient))
        np.testing.assert_allclose(late.numpy() - start, early.numpy() - start, rtol=2e-5, atol=1e-7)
    np.testing.assert_array_equal(together.steps, [1100, 100])


def test_a_constraint_holds_after_each_update():
    w = keras.Variable(np.array([0.5, -0.5], "float32"), name="w")
    w.constraint = keras.constraints.NonNeg()
    optimizer = built("adam", [w])
    optimizer.apply_sums([tf.constant([1.0, -1.0])], [w], 1.0)
    np.testing.assert_allclose(w.numpy(), [0.0, 0.5], rtol=1e-6)


def test_flush_applies_the_last_part_and_ticks_once():
    w = variable([0.0])
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 10.0])
    optimizer = built("gradient_descent", [w], learning_rate=schedule, options={"accumulate_steps": 3})
    for gradient in (3.0, 3.0, 3.0, 6.0):
        optimizer.apply_sums([tf.constant([gradient])], [w], 1.0)
    np.testing.assert_allclose(w.numpy(), [-3.0])
    optimizer.flush([w])
    np.testing.assert_allclose(w.numpy(), [-63.0])
    optimizer.flush([w])
    np.testing.assert_allclose(w.numpy(), [-63.0])
    assert int(optimizer.iterations) == 2
    for weight in (0.0, 0.0, 1.0):
        optimizer.apply_sums([tf.constant([weight])], [w], weight)
    np.testing.assert_allclose(w.numpy(), [-73.0])


def test_averages_go_to_their_own_variables():
    """FACTS 33: Keras gives the head the average of a frozen layer of the same shape."""
    frozen, head = variable([5.0], "frozen"), variable([1.0], "head")
    optimizer = built("gradient_descent", [frozen, head], options={"use_ema": True, "ema_momentum": 0.5})
    for _ in range(3):
        optimizer.apply([tf.constant([1.0])], [head])
    # The values are 0, -1 and -2; the average starts at the first of them.
    optimizer.exchange_averages()
    assert frozen.numpy() == 5.0 and head.numpy() == pytest.approx(0.5 * (0.5 * 0 - 0.5 * 1) - 0.5 * 2)
    optimizer.exchange_averages()
    assert frozen.numpy() == 5.0 and head.numpy() == -2.0
    optimizer.finalize_variable_values([head])
    assert head.numpy() == pytest.approx(-1.25) and frozen.numpy() == 5.0


def test_penalties_by_rules_count_before_the_clip():
    kernel, bias = variable([2.0, -3.0], "kernel"), variable([2.0, -3.0], "bias")
    options = {"l1": [("kernel", 0.5), (".*", 0.0)], "l2": [("kernel", 0.1), (".*", 0.0)]}
    optimizer = built("gradient_descent", [kernel, bias], options=options)
    norm = optimizer.apply_sums([tf.ones(2)] * 2, [kernel, bias], 1.0)
    np.testing.assert_allclose(kernel.numpy(), [2 - (1 + 0.5 + 0.2), -3 - (1 - 0.5 - 0.3)], rtol=1e-6)
    np.testing.assert_allclose(bias.numpy(), [1.0, -4.0])
    assert float(norm) == pytest.approx(2.0)
    w = variable([2.0, -3.0])
    clipped = built("gradient_descent", [w], clip_global_norm=0.5, options={"l1": 0.5, "l2": 0.1})
    whole = np.array([1 + 0.5 + 0.2, 1 - 0.5 - 0.3])
    np.testing.assert_allclose(moves(w, clipped, [1.0, 1.0]), 0.5 * whole / np.linalg.norm(whole), rtol=1e-6)


def test_the_value_of_the_penalties_is_what_is_descended():
    kernel, bias = variable([2.0, -3.0], "kernel"), variable([2.0, -3.0], "bias")
    options = {"l1": [("kernel", 0.5), (".*", 0.0)], "l2": 0.1}
    optimizer = built("gradient_descent", [kernel, bias], options=options)
    assert float(optimizer.penalty([kernel, bias])) == pytest.approx(0.5 * 5 + 2 * 0.1 / 2 * 13)
    assert float(optimizer.penalty([bias])) == pytest.approx(0.1 / 2 * 13)
    with tf.GradientTape() as tape:
        penalty = optimizer.penalty([kernel, bias])
    wanted = tape.gradient(penalty, [kernel.value, bias.value])
    before = cases.values([kernel, bias])
    optimizer.apply_sums([tf.zeros(2)] * 2, [kernel, bias], 1.0)
    for old, new, gradient in zip(before, cases.values([kernel, bias]), wanted):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-6)
    assert built("adam", [variable([1.0])]).penalty([]) == 0.0


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_decay_to_the_start(name):
    """L2-SP: a kernel is drawn to its pretrained value, the head to 0."""
    random = np.random.RandomState(0)
    start = random.randn(4).astype("float32")
    gradients = random.randn(50, 4).astype("float32")
    kernel, head = variable(start, "kernel"), variable(start, "head")
    options = {"decay_to_start": ["kernel"]}
    optimizer = built(name, [kernel, head], learning_rate=0.01, weight_decay=0.5, options=options)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)] * 2, [kernel, head])
    decay = {"weight_decay": 0.5} if name == "adam" else {"decoupled": 0.5}
    for member, towards in ((kernel, start.astype("float64")), (head, 0.0)):
        wanted = reference.adam(
            start.astype("float64"), list(gradients.astype("float64")), 0.01, start=towards, **decay
        )
        np.testing.assert_allclose(member.numpy(), wanted, rtol=2e-5, atol=2e-5)


def test_dynamic_loss_scale_halves_skips_and_doubles(monkeypatch):
    from kft.optimizers import update

    monkeypatch.setattr(update, "GOOD_UPDATES_TO_DOUBLE", 3)
    w = variable([1.0])
    optimizer = built("gradient_descent", [w], options={"loss_scale_factor": "dynamic"})
    assert float(optimizer.scale_loss(tf.constant(2.0))) == 2.0**16
    assert moves(w, optimizer, [2.0**15]) == 1.0
    assert moves(w, optimizer, [np.inf]) == 0.0
    assert float(optimizer.loss_scale) == 2.0**14 and int(optimizer.skipped_updates) == 1
    for _ in range(3):
        assert moves(w, optimizer, [2.0**14]) == 1.0
    assert float(optimizer.loss_scale) == 2.0**15


@pytest.mark.parametrize("jit", [None, False, True])
def test_a_gradient_that_is_not_finite_at_the_smallest_loss_scale_is_an_error(jit):
    """XLA has no errors: there it changes nothing, as ever."""
    w = variable([1.0])
    optimizer = built("gradient_descent", [w], options={"loss_scale_factor": "dynamic"})
    optimizer.loss_scale.assign(2.0)
    step = lambda gradient: optimizer.apply([gradient], [w])  # noqa: E731
    step = step if jit is None else tf.function(step, jit_compile=jit)
    step(tf.constant([np.inf]))
    assert float(optimizer.loss_scale) == 1.0
    if jit:
        step(tf.constant([np.nan]))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="not finite at loss scale 1"):
            step(tf.constant([np.nan]))
    assert w.numpy() == 1.0 and float(optimizer.loss_scale) == 1.0
    step(tf.constant([0.5]))
    assert w.numpy() == 0.5


def test_a_strangers_fit(mirrored_pair):
    """Nothing else of kft: scales, clip and steps work in `compile` and `fit`, on one device and on two."""
    ids, targets, _ = cases.batch(8)
    results = []
    for strategy in (tf.distribute.get_strategy(), mirrored_pair):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            layers = [keras.layers.Embedding(7, 4), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
            model = keras.Sequential([keras.Input((3,), dtype="int32"), *layers])
            scales = ParamScales(learning_rate=[(".*embedding.*", 0.1), (".*", 1.0)])
            optimizer = optimizers.make_optimizer(
                "adamw", learning_rate=0.1, weight_decay=0.1, clip_global_norm=0.5, scales=scales
            )
            model.compile(optimizer, loss="mse", jit_compile=False)
        model.fit(ids, targets, batch_size=8, epochs=3, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for one, two in zip(*results):
        np.testing.assert_allclose(two, one, atol=1e-6)


def test_a_keras_file_keeps_the_optimizer(tmp_path):
    ids, targets, _ = cases.batch(8)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), loss="mse")
    model.fit(ids, targets, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # Keras gives the variables of a loaded Sequential other paths.
    for (name, value), again in zip(model.optimizer.state().items(), loaded.optimizer.state().values()):
        np.testing.assert_array_equal(again.numpy(), value.numpy(), err_msg=name)


def test_a_tensorflow_checkpoint_keeps_the_optimizer(tmp_path):
    def new():
        members = cases.variables()
        return members, built("adamw", members, weight_decay=0.1, options={"decay_to_start": ["kernel"]})

    members, optimizer = new()
    cases.step(optimizer, members, *cases.batch())
    path = tf.train.Checkpoint(optimizer=optimizer).write(str(tmp_path / "state"))
    _, loaded = new()
    tf.train.Checkpoint(optimizer=loaded).read(path).assert_consumed()
    for name, value in optimizer.state().items():
        np.testing.assert_array_equal(loaded.state()[name].numpy(), value.numpy(), err_msg=name)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "adamw"}, r"missing 'rule\|AdamW'.*left over 'rule\|Adam'"),
        ({"name": "rmsprop"}, r"missing 'mean_square\|0\|embedding'"),
        ({"options": {"use_ema": True}}, r"missing 'average\|0\|embedding'"),
        ({"members": 2}, r"left over 'm\|2\|bias'.*'steps' of shape \(3,\) instead of \(2,\)"),
    ],
)
def test_state_of_another_optimizer_is_refused(change, message):
    """FACTS 26: Keras loads Adam's state into AdamW without a word."""
    optimizer = built("adam", cases.variables())
    store = {}
    optimizer.save_own_variables(store)
    members = cases.variables()[: change.pop("members", 3)]
    other = built(change.pop("name", "adam"), members, **change)
    with pytest.raises(ValueError, match=message):
        other.load_own_variables(store)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="Got variable 'w' in bfloat16.*Expected float32 or float64"):
        built("adam", [keras.Variable(np.zeros(2), dtype="bfloat16", name="w")])
    with pytest.raises(ValueError, match="several variables of the same path: 'w'"):
        built("adam", [variable([1.0]), variable([2.0])])
    with pytest.raises(ValueError, match="at most one of the three"):
        optimizers.make_optimizer("adam", learning_rate=1.0, clip_global_norm=1.0, options={"clipvalue": 1.0})
    w = variable([1.0])
    sam = built("sam", [w])
    with pytest.raises(ValueError, match="Got optimizer 'sam' in a train step of Keras"):
        sam.apply([tf.ones(1)], [w])
    for options, message in (
        ({"beta_1": 1.0}, r"Got beta_1=1.0. Expected a number in \[0, 1\)"),
        ({"beta1": 0.9}, "Did you mean 'beta_1'"),
        ({"accumulate_steps": 0}, "Got accumulate_steps=0"),
        ({"l2": -1.0}, "Got l2 -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizers.make_optimizer("adam", learning_rate=0.1, options=options)
    with pytest.raises(ValueError, match="Did you mean 'momentum'"):
        optimizers.make_optimizer("momentun", learning_rate=0.1)
    with pytest.raises(ValueError, match="option of optimizer 'lamb'"):
        optimizers.make_optimizer("lamb", learning_rate=0.1, options={"amsgrad": True})


def test_sam_takes_the_second_gradient_where_the_loss_is_higher():
    curvature = np.array([1.0, 4.0, 9.0])
    w = variable([1.0, -1.0, 0.5])
    optimizer = built("sam", [w], learning_rate=0.05)
    for _ in range(50):
        optimizer.ascend([tf.constant(curvature, "float32") * w.value], [w], 1.0)
        optimizer.apply_sums([tf.constant(curvature, "float32") * w.value], [w], 1.0)
    wanted = reference.sam(np.array([1.0, -1.0, 0.5]), lambda w: curvature * w, 0.05, 50)
    np.testing.assert_allclose(w.numpy(), wanted, rtol=1e-4, atol=1e-5)

"""What every rule of the table must do."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import optimizers
from kft.optimizers import ParamScales
from tests.optimizers import cases
from tests.optimizers.cases import CASES, DECAY, NAMES


def test_every_rule_of_ours_has_a_case():
    assert {name for name in optimizers.OPTIMIZERS if optimizers.is_ours(name)} == {
        *(case[0] for case in CASES.values()),
        "sam",
    }


@pytest.mark.parametrize("case", CASES)
def test_reference_over_200_steps(case):
    """R17, with decay, and scales on rate and decay alike; float64 shows the rule, float32 the rounding."""
    random = np.random.RandomState(0)
    names = [
        f"{kind}_{size:g}_{dtype}"
        for dtype in ("float32", "float64")
        for size in (1e-4, 1e-2, 1.0, 1e2)
        for kind in ("full", "half", "bias")
    ]
    starts = {name: random.randn(5).astype("float32") * 0.5 for name in names}
    starts |= {
        name: start.reshape(5, 1) * np.ones((1, 3), "float32") for name, start in starts.items() if "full" in name
    }
    gradients = [{n: random.randn(*starts[n].shape) * float(n.split("_")[1]) for n in names} for _ in range(200)]
    gradients = [{n: g.astype("float32") for n, g in step.items()} for step in gradients]
    members = [keras.Variable(starts[n].astype(n.split("_")[2]), dtype=n.split("_")[2], name=n) for n in names]
    scales = ParamScales(
        learning_rate=[("half.*", 0.5), (".*", 1.0)],
        weight_decay=[("bias.*", 0.0), ("half.*", 3.0), (".*", 1.0)],
    )
    optimizer = cases.make(case, weight_decay=DECAY, scales=scales)
    optimizer.build(members)
    specs = [tf.TensorSpec(v.shape, v.dtype) for v in members]

    @tf.function(input_signature=[specs], autograph=False)
    def apply(g):
        optimizer.apply(g, members)

    for step in gradients:
        apply([tf.constant(step[n], v.dtype) for n, v in zip(names, members)])
    assert apply.experimental_get_tracing_count() == 1
    for name, variable in zip(names, members):
        rate = CASES[case][2] * (0.5 if "half" in name else 1.0)
        decay = DECAY * (0.0 if "bias" in name else 3.0 if "half" in name else 1.0)
        wanted = cases.expected(case, starts[name], [g[name] for g in gradients], rate=rate, weight_decay=decay)
        assert variable.dtype == name.split("_")[2]
        if variable.dtype == "float64":
            moved = np.abs(wanted - starts[name]).max()
            assert np.abs(variable.numpy() - wanted).max() <= 2e-5 * moved, name
        else:
            assert np.abs(variable.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max(), name


PARABOLA, ROSENBROCK = [1.0, -2.0, 3.0, -1.5], [-1.2, 1.0]
RATES = {  # (parabola, Rosenbrock) where the rate of the case is not right for these
    "gradient_descent": (0.1, 1e-3),
    "momentum": (0.05, 2e-4),
    "nesterov": (0.05, 2e-4),
    "adagrad": (0.5, 0.5),
    "adadelta": (1.0, 1.0),
    "lars": (0.1, 2e-4),
    "sam": (0.05, 2e-4),
}


# RAdam's first steps are those of plain momentum, too long on Rosenbrock without a clip.
OPTIONS = {"sam": {"radius": 1e-4}, "radam": {"clipnorm": 1.0}}


@pytest.mark.parametrize("case", NAMES)
def test_converges_on_a_parabola_and_on_rosenbrock(case):
    """2,000 steps compiled by XLA; the minimum of both functions is 0."""
    x, y = (keras.Variable(np.array(v, "float32"), name=n) for v, n in ((PARABOLA, "x"), (ROSENBROCK, "y")))
    rates = RATES.get(case, (CASES[case][2] if case in CASES else 0.01,) * 2)
    scales = ParamScales(learning_rate=[("x", rates[0]), ("y", rates[1])])
    optimizer = cases.make(case, learning_rate=1.0, scales=scales, options=OPTIONS.get(case, {}))
    optimizer.build([x, y])

    def losses():
        curvature = tf.constant([1.0, 2.0, 5.0, 10.0])
        a, b = y.value[0], y.value[1]
        return 0.5 * tf.reduce_sum(curvature * x.value**2), (1.0 - a) ** 2 + 100.0 * (b - a**2) ** 2

    def gradients():
        with tf.GradientTape() as tape:
            loss = sum(losses())
        return tape.gradient(loss, [x.value, y.value])

    @tf.function(jit_compile=True)
    def run():
        for _ in tf.range(2000):
            if case == "sam":
                optimizer.ascend(gradients(), [x, y], 1.0)
            optimizer.apply_sums(gradients(), [x, y], 1.0)
        return losses()

    first = [float(loss) for loss in losses()]
    last = [float(loss) for loss in run()]
    assert last[0] <= 1e-3 * first[0]
    assert last[1] <= 0.1 * first[1]


@pytest.mark.parametrize("case", NAMES)
def test_config_round_trip(case):
    settings = {
        "global_clipnorm": 1.0,
        "accumulate_steps": 2,
        "use_ema": True,
        "l2": [("kernel", 0.1), (".*", 0.0)],
        "loss_scale_factor": "dynamic",
        "decay_to_start": ["kernel"],
    }
    scales = ParamScales(learning_rate=[("kernel", 0.5), (".*", 1.0)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    clip = settings.pop("global_clipnorm")
    optimizer = cases.make(
        case, learning_rate=schedule, weight_decay=0.1, clip_global_norm=clip, scales=scales, options=settings
    )
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.scales == scales and again.l2 == optimizer.l2


def _after_steps(case, *, jit=None, strategy=None, steps=6, **settings):
    """Values and state after some steps, on one device or on two with uneven parts of the batch."""
    scales = ParamScales(learning_rate=[("kernel", 0.5), (".*", 1.0)], weight_decay=[("bias", 0.0), (".*", 1.0)])
    with strategy.scope() if strategy else tf.device(None):
        members = cases.variables()
        optimizer = cases.make(case, weight_decay=DECAY, scales=scales, **settings)
        optimizer.build(members)
    ids, targets, weights = cases.batch()

    def part(array, context):
        first = context.replica_id_in_sync_group == 0
        return tf.constant(array[:7] if first else array[7:])

    if strategy:
        data = [
            strategy.experimental_distribute_values_from_function(lambda c, array=array: part(array, c))
            for array in (ids, targets, weights)
        ]
        call = lambda *data: strategy.run(lambda *d: cases.step(optimizer, members, *d), args=data)  # noqa: E731
    else:
        data = [tf.constant(array) for array in (ids, targets, weights)]
        call = lambda *data: cases.step(optimizer, members, *data)  # noqa: E731
    if jit is not None or strategy:
        call = tf.function(call, jit_compile=jit, autograph=False)
    for _ in range(steps):
        call(*data)
    optimizer.flush(members)
    if optimizer.use_ema:
        optimizer.finalize_variable_values(members)
    return cases.values(members), {name: v.numpy() for name, v in optimizer.state().items()}


def _assert_close(got, wanted, tolerance):
    for a, b in zip(got[0], wanted[0]):
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())
    assert got[1].keys() == wanted[1].keys()
    for name in wanted[1]:
        if not np.issubdtype(wanted[1][name].dtype, np.floating):
            np.testing.assert_array_equal(got[1][name], wanted[1][name], err_msg=name)


EVERYTHING = {
    "clip_global_norm": 0.5,
    "options": {"accumulate_steps": 2, "use_ema": True, "loss_scale_factor": 1024.0, "l2": 0.01},
}
SETTINGS = {
    "plain": {},
    "clip": {"clip_global_norm": 0.5},
    "accumulate": {"options": {"accumulate_steps": 4}},
    "ema": {"options": {"use_ema": True, "ema_momentum": 0.9}},
    "loss scale": {"options": {"loss_scale_factor": "dynamic"}},
}


@pytest.mark.parametrize("case", NAMES)
def test_xla_and_two_replicas_equal_eager(case, mirrored_pair):
    """R12 and R14 for the optimizer, with everything on: an embedding whose ids repeat, a weight of 0, uneven parts."""
    eager = _after_steps(case, **EVERYTHING)
    assert all(np.isfinite(v).all() for v in eager[0])
    assert eager[1]["iteration"] == 3
    _assert_close(_after_steps(case, jit=True, **EVERYTHING), eager, 1e-6)
    _assert_close(_after_steps(case, strategy=mirrored_pair, **EVERYTHING), eager, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", NAMES)
def test_two_replicas_equal_one_for_20_steps(case, setting, mirrored_pair):
    one = _after_steps(case, jit=False, steps=20, **SETTINGS[setting])
    _assert_close(_after_steps(case, strategy=mirrored_pair, steps=20, **SETTINGS[setting]), one, 1e-6)


@pytest.mark.parametrize("case", NAMES)
def test_saved_and_loaded_goes_on_as_if_never_stopped(case):
    """In the middle of an accumulation, bit by bit; and frozen variables keep everything."""
    data = [tf.constant(array) for array in cases.batch()]

    def new():
        members = cases.variables()
        optimizer = cases.make(case, weight_decay=DECAY, clip_global_norm=0.5, options=EVERYTHING["options"])
        optimizer.build(members)
        return members, optimizer

    def run(members, optimizer, steps):
        for _ in range(steps):
            cases.step(optimizer, members, *data)

    members, optimizer = new()
    run(members, optimizer, 3)
    store = {}
    optimizer.save_own_variables(store)
    saved = cases.values(members)
    run(members, optimizer, 3)
    again, loaded = new()
    for variable, value in zip(again, saved):
        variable.assign(value)
    loaded.load_own_variables(store)
    run(again, loaded, 3)
    for a, b in zip(cases.values(members), cases.values(again)):
        np.testing.assert_array_equal(a, b)
    for name, variable in optimizer.state().items():
        np.testing.assert_array_equal(variable, loaded.state()[name], err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_frozen_is_bit_equal(case):
    """Variables that are built but not given keep value, slots, average and step."""
    members = cases.variables()
    optimizer = cases.make(case, weight_decay=DECAY, options={"use_ema": True})
    optimizer.build(members)
    before = [v.numpy() for v in [*members[:2], *optimizer.variables]]
    states = optimizer.state()
    gradient = tf.ones((3,))
    for _ in range(3):
        optimizer.apply([gradient], [members[2]])
    optimizer.finalize_variable_values(members)
    for variable, value in zip([*members[:2], *optimizer.variables], before):
        name = next((n for n, v in states.items() if v is variable), "")
        if name not in ("iteration", "steps") and not name.endswith("/bias"):
            np.testing.assert_array_equal(variable, value, err_msg=name)
    np.testing.assert_array_equal(optimizer.steps, [0, 0, 3])
    assert np.abs(members[2].numpy()).min() > 0


@pytest.mark.parametrize("case", NAMES)
def test_what_is_excluded_from_decay_is_bit_equal(case):
    """R17: by a scale of 0, and by the name as Keras does it."""
    results = []
    for decay, exclude in ((0.0, False), (0.1, False), (0.1, True)):
        members = cases.variables()
        scales = ParamScales(weight_decay=[(".*", 1.0)] if exclude else [("bias", 0.0), (".*", 1.0)])
        optimizer = cases.make(case, weight_decay=decay, scales=scales)
        if exclude:
            optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(members)
        for seed in range(3):  # gradients that do not depend on the other variables
            random = np.random.RandomState(seed)
            gradients = [tf.constant(random.randn(*v.shape).astype("float32")) for v in members]
            if case == "sam":
                optimizer.ascend(gradients, members, 1.0)
            optimizer.apply_sums(gradients, members, 1.0)
        results.append(cases.values(members))
    plain, scaled, excluded = results
    np.testing.assert_array_equal(scaled[2], plain[2])
    np.testing.assert_array_equal(excluded[2], plain[2])
    assert (scaled[1] != plain[1]).any() and (excluded[1] != plain[1]).any()


@pytest.mark.parametrize("name", [name for name in optimizers.OPTIMIZERS if not optimizers.is_ours(name)])
def test_rules_of_keras_are_made_and_refuse_scales(name):
    optimizer = optimizers.make_optimizer(name, learning_rate=0.01, clip_global_norm=1.0)
    assert isinstance(optimizer, keras.optimizers.Optimizer) and optimizer.global_clipnorm == 1.0
    with pytest.raises(ValueError, match=f"Got scales with optimizer '{name}'.*one of 'gradient_descent'"):
        optimizers.make_optimizer(name, learning_rate=0.01, scales=ParamScales())

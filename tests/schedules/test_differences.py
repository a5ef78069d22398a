"""Where our form differs from the paper's or Keras', and by how much."""

import keras
import numpy as np

from kft import schedules
from tests.references import schedules as reference


def test_slanted_triangular_is_the_papers_where_its_cut_is_whole():
    steps = np.arange(1001)
    paper = reference.slanted_triangular(steps, learning_rate=0.01, total_steps=1000, cut_frac=0.1, ratio=32)
    np.testing.assert_allclose(schedules.Triangular(0.01, 1000)(steps), paper, rtol=0, atol=1e-8)


def test_slanted_triangular_of_19_steps_is_below_0_in_the_paper_and_not_here():
    steps = np.arange(19)
    paper = reference.slanted_triangular(steps, learning_rate=1.0, total_steps=19, cut_frac=0.1, ratio=32)
    assert round(paper[-1], 3) == -0.83
    assert schedules.Triangular(1.0, 19)(steps).numpy().min() >= 1 / 32


def test_step_falls_one_step_before_keras():
    steps = np.arange(6)
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay([3], [1.0, 0.5])
    assert [float(theirs(step)) for step in steps] == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    assert schedules.Step(1.0, (3,), decay_rate=0.5)(steps).numpy().tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]


def test_restarts_are_those_of_keras_where_its_cycles_fill_the_run():
    theirs = keras.optimizers.schedules.CosineDecayRestarts(0.4, 100, t_mul=2.0, m_mul=0.5)
    ours = schedules.CosineRestarts(0.4, 700, num_cycles=3, peak_scale=0.5)
    steps = np.arange(700)
    np.testing.assert_allclose(ours(steps), theirs(steps), rtol=0, atol=4e-6)


def test_restarts_are_exact_at_the_first_step_of_every_cycle():
    starts = 100 * (2 ** np.arange(16) - 1)
    ours = schedules.CosineRestarts(1.0, 100 * (2**16 - 1), num_cycles=16)
    np.testing.assert_array_equal(ours(starts), 1.0)
    np.testing.assert_allclose(ours(starts[1:] - 1), 0.0, rtol=0, atol=3e-4)


def test_cosine_with_warm_up_is_that_of_keras():
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=900, alpha=0.1, warmup_target=0.4, warmup_steps=100
    )
    ours = schedules.Warmup(schedules.Cosine(0.4, 900, end_scale=0.1), 100)
    steps = np.arange(1200)
    np.testing.assert_allclose(ours(steps), [theirs(step) for step in steps], rtol=0, atol=4e-7)

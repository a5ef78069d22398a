"""Every schedule of the table with options and its reference."""

import numpy as np

from tests.references import schedules as reference

LEARNING_RATE = 0.3
TOTAL_STEPS = 7000
STEPS = np.concatenate([np.arange(10_001), [2**31]])

# name of the case: (name in the table, options, reference, what the reference needs beyond the learning rate)
CASES = {
    "constant": ("constant", {}, reference.constant, {}),
    "cosine": ("cosine", {"end_scale": 0.1}, reference.cosine, {"decay_steps": 7000, "end_scale": 0.1}),
    "cosine_restarts": (
        "cosine_restarts",
        {"num_cycles": 3, "length_scale": 2.0, "peak_scale": 0.5, "end_scale": 0.01},
        reference.sgdr,
        {"first_cycle": 1000, "length_scale": 2, "num_cycles": 3, "peak_scale": 0.5, "end_scale": 0.01},
    ),
    "exponential": ("exponential", {}, reference.exponential, {"decay_steps": 7000, "decay_rate": 0.1}),
    "exponential_staircase": (
        "exponential",
        {"decay_steps": 98, "decay_rate": 0.94, "staircase": True},
        reference.exponential,
        {"decay_steps": 98, "decay_rate": 0.94, "staircase": True},
    ),
    "inverse_time": (
        "inverse_time",
        {"decay_rate": 9.0},
        reference.inverse_time,
        {"decay_steps": 7000, "decay_rate": 9},
    ),
    "inverse_time_staircase": (
        "inverse_time",
        {"decay_steps": 49, "staircase": True},
        reference.inverse_time,
        {"decay_steps": 49, "decay_rate": 1, "staircase": True},
    ),
    "linear": ("linear", {"end_scale": 0.2}, reference.linear, {"decay_steps": 7000, "end_scale": 0.2}),
    "one_cycle": (
        "one_cycle",
        {},
        reference.one_cycle,
        {"total_steps": 7000, "rise_fraction": 0.3, "start_scale": 0.04, "end_scale": 1e-5, "shape": "cosine"},
    ),
    "one_cycle_linear": (
        "one_cycle",
        {"shape": "linear", "rise_fraction": 0.45},
        reference.one_cycle,
        {"total_steps": 7000, "rise_fraction": 0.45, "start_scale": 0.04, "end_scale": 1e-5, "shape": "linear"},
    ),
    "polynomial": (
        "polynomial",
        {"power": 0.9, "end_scale": 0.05},
        reference.polynomial,
        {"decay_steps": 7000, "power": 0.9, "end_scale": 0.05},
    ),
    "rsqrt": ("rsqrt", {"timescale_steps": 500}, reference.rsqrt, {"timescale_steps": 500}),
    "step": (
        "step",
        {"boundaries": (2100, 4200, 6300), "decay_rate": 0.1},
        reference.step,
        {"boundaries": (2100, 4200, 6300), "decay_rate": 0.1},
    ),
    "triangular": (
        "triangular",
        {},
        reference.triangular,
        {"total_steps": 7000, "rise_fraction": 0.1, "end_scale": 1 / 32},
    ),
}

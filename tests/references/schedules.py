"""Learning-rate schedules in float64, written from the papers: each takes whole steps and gives the rates."""

import fractions
import math

import numpy as np


def constant(steps, *, learning_rate):
    return np.full(len(steps), learning_rate)


def exponential(steps, *, learning_rate, decay_steps, decay_rate, staircase=False):
    exponents = [step // decay_steps if staircase else step / decay_steps for step in steps.tolist()]
    return np.array([learning_rate * math.exp(exponent * math.log(decay_rate)) for exponent in exponents])


def step(steps, *, learning_rate, boundaries, decay_rate):
    rates = np.full(len(steps), learning_rate)
    for boundary in boundaries:
        rates[steps >= boundary] *= decay_rate
    return rates


def inverse_time(steps, *, learning_rate, decay_steps, decay_rate, staircase=False):
    times = [step // decay_steps if staircase else fractions.Fraction(step, decay_steps) for step in steps.tolist()]
    return np.array([float(learning_rate / (1 + decay_rate * float(time))) for time in times])


def polynomial(steps, *, learning_rate, decay_steps, power, end_scale):
    """DeepLab's poly policy, (1 - iter / max_iter) ** power, above a floor."""
    end = learning_rate * end_scale
    left = np.clip(decay_steps - steps, 0, None) / decay_steps
    return end + (learning_rate - end) * left**power


def linear(steps, *, learning_rate, decay_steps, end_scale):
    return np.interp(steps, [0, decay_steps], [learning_rate, learning_rate * end_scale])


def cosine(steps, *, learning_rate, decay_steps, end_scale):
    """SGDR eq. 5 for one cycle: eta_min + (eta_max - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2."""
    eta_min = learning_rate * end_scale
    done = np.minimum(steps, decay_steps)
    return eta_min + (learning_rate - eta_min) * (1 + np.cos(np.pi * done / decay_steps)) / 2


def sgdr(steps, *, learning_rate, first_cycle, length_scale, num_cycles, peak_scale=1.0, end_scale=0.0):
    """SGDR eq. 5, cycle by cycle, with whole T_0 and T_mult."""
    rates = np.full(len(steps), np.nan)
    start, length, peak = 0, first_cycle, learning_rate
    for _ in range(num_cycles):
        inside = steps >= start
        rates[inside] = cosine(steps[inside] - start, learning_rate=peak, decay_steps=length, end_scale=end_scale)
        start, length, peak = start + length, length * length_scale, peak * peak_scale
    return rates


def rsqrt(steps, *, learning_rate, timescale_steps):
    return learning_rate / np.sqrt(1 + steps / timescale_steps)


def transformer(steps, *, warmup_steps):
    """Vaswani et al. eq. 3 with d_model = 1, for steps >= 1."""
    return np.minimum(steps**-0.5, steps * warmup_steps**-1.5)


def slanted_triangular(steps, *, learning_rate, total_steps, cut_frac, ratio):
    """ULMFiT eq. 3, for steps up to the end of the run."""
    cut = math.floor(total_steps * cut_frac)
    p = np.where(steps < cut, steps / cut, 1 - (steps - cut) / (cut * (1 / cut_frac - 1)))
    return learning_rate * (1 + p * (ratio - 1)) / ratio


def triangular(steps, *, learning_rate, total_steps, rise_fraction, end_scale):
    end = learning_rate * end_scale
    return np.interp(steps, [0, rise_fraction * total_steps, total_steps], [end, learning_rate, end])


def one_cycle(steps, *, learning_rate, total_steps, rise_fraction, start_scale, end_scale, shape):
    knots = [0, rise_fraction * total_steps, total_steps]
    if shape == "linear":
        return np.interp(steps, knots, np.multiply(learning_rate, [start_scale, 1, end_scale]))
    phase = np.interp(steps, knots, [0, np.pi, 2 * np.pi])
    low = np.where(steps < knots[1], start_scale, end_scale)
    return learning_rate * (low + (1 - low) * (1 - np.cos(phase)) / 2)


def warmup(steps, after, *, peak, warmup_steps, start_scale=0.0):
    """Goyal et al. section 2.2: a constant increment per step up to the peak; then `after`, from its own step 0."""
    rising = peak * (start_scale + (1 - start_scale) * steps / warmup_steps)
    return np.where(steps < warmup_steps, rising, after(np.maximum(steps - warmup_steps, 0)))

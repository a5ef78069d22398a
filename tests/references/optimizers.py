"""Update rules in NumPy float64, written from the papers and not from kft.

Each function takes the start and the list of gradients and returns the parameter after the last of them.
`rate` is a float, or a list with one for each step.
"""

import numpy as np


def _rates(rate, count):
    return [rate] * count if np.isscalar(rate) else list(rate)


def gradient_descent(w, gradients, rate, *, weight_decay=0.0):
    for g, eta in zip(gradients, _rates(rate, len(gradients))):
        w = w - eta * (g + weight_decay * w)
    return w


def momentum(w, gradients, rate, *, mu=0.9, nesterov=False, weight_decay=0.0):
    """Sutskever et al. 2013, eq. 1-2 with the rate outside; with Nesterov in the form of Bengio et al. 2013, eq. 7."""
    v = np.zeros_like(w)
    for g, eta in zip(gradients, _rates(rate, len(gradients))):
        g = g + weight_decay * w
        v = mu * v + g
        w = w - eta * (g + mu * v if nesterov else v)
    return w


def adagrad(w, gradients, rate, *, delta=1e-10, weight_decay=0.0):
    """Duchi et al. 2011, figure 1."""
    s = np.zeros_like(w)
    for g, eta in zip(gradients, _rates(rate, len(gradients))):
        g = g + weight_decay * w
        s = s + g**2
        w = w - eta * g / (delta + np.sqrt(s))
    return w


def rmsprop(w, gradients, rate, *, rho=0.9, mu=0.0, epsilon=1e-7, centered=False, weight_decay=0.0):
    """Graves 2013, eq. 38-41."""
    n, mean, delta = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for g, eta in zip(gradients, _rates(rate, len(gradients))):
        g = g + weight_decay * w
        n = rho * n + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g if centered else mean
        delta = mu * delta - eta * g / np.sqrt(n - mean**2 + epsilon)
        w = w + delta
    return w


def adadelta(w, gradients, rate, *, rho=0.95, epsilon=1e-6, weight_decay=0.0):
    """Zeiler 2012, algorithm 1."""
    square, square_delta = np.zeros_like(w), np.zeros_like(w)
    for g, eta in zip(gradients, _rates(rate, len(gradients))):
        g = g + weight_decay * w
        square = rho * square + (1 - rho) * g**2
        delta = -np.sqrt(square_delta + epsilon) / np.sqrt(square + epsilon) * g
        square_delta = rho * square_delta + (1 - rho) * delta**2
        w = w + eta * delta
    return w


def adam(
    w,
    gradients,
    rate,
    *,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    corrected=True,
    amsgrad=False,
    weight_decay=0.0,
    decoupled=0.0,
    start=0.0,
):
    """Kingma and Ba 2015, algorithm 1; Reddi et al. 2018; Loshchilov and Hutter 2019, algorithm 2; Li et al. 2018."""
    m, v, highest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, (g, eta) in enumerate(zip(gradients, _rates(rate, len(gradients))), 1):
        g = g + weight_decay * (w - start)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        highest = np.maximum(highest, v)
        m_hat = m / (1 - beta_1**t) if corrected else m
        v_hat = (highest if amsgrad else v) / (1 - beta_2**t if corrected else 1)
        w = w - eta * (m_hat / (np.sqrt(v_hat) + epsilon) + decoupled * (w - start))
    return w


def lamb(w, gradients, rate, *, beta_1=0.9, beta_2=0.999, epsilon=1e-6, weight_decay=0.0):
    """You et al. 2020, algorithm 2; vectors without adaptation."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (g, eta) in enumerate(zip(gradients, _rates(rate, len(gradients))), 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        r = m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        u = r + weight_decay * w
        trust = np.linalg.norm(w) / np.linalg.norm(u) if w.ndim > 1 else 1.0
        w = w - eta * trust * u
    return w


def lars(w, gradients, rate, *, mu=0.9, eta=0.001, weight_decay=0.0):
    """You et al. 2017, algorithm 1; vectors without adaptation."""
    v = np.zeros_like(w)
    for g, gamma in zip(gradients, _rates(rate, len(gradients))):
        size = np.linalg.norm(w)
        trust = eta * size / (np.linalg.norm(g) + weight_decay * size) if w.ndim > 1 else 1.0
        v = mu * v + gamma * trust * (g + weight_decay * w)
        w = w - v
    return w


def radam(w, gradients, rate, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Liu et al. 2020, algorithm 2, with epsilon added to the root."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    rho_inf = 2 / (1 - beta_2) - 1
    for t, (g, alpha) in enumerate(zip(gradients, _rates(rate, len(gradients))), 1):
        g = g + weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat = m / (1 - beta_1**t)
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        if rho > 4:
            top, bottom = (rho - 4) * (rho - 2) * rho_inf, (rho_inf - 4) * (rho_inf - 2) * rho
            w = w - alpha * np.sqrt(top / bottom) * m_hat / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        else:
            w = w - alpha * m_hat
    return w


def lookahead(w, gradients, rate, *, k=6, alpha=0.5, decoupled=0.0):
    """Zhang et al. 2019, algorithm 1, around AdamW, whose moments go on at a synchronisation."""
    m, v, slow = np.zeros_like(w), np.zeros_like(w), w
    for t, (g, eta) in enumerate(zip(gradients, _rates(rate, len(gradients))), 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - eta * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + decoupled * w)
        if t % k == 0:
            slow = slow + alpha * (w - slow)
            w = slow
    return w


def sam(w, gradient, rate, count, *, radius=0.05, mu=0.9):
    """Foret et al. 2021, algorithm 1, around momentum; `gradient` is a function of w."""
    v = np.zeros_like(w)
    for _ in range(count):
        g = gradient(w)
        g = gradient(w + radius * g / np.linalg.norm(g))
        v = mu * v + g
        w = w - rate * v
    return w

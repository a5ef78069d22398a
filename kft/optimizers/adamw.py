"""AdamW."""

from kft.optimizers.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay.

    For a parameter w with gradient g at its own step t = 1, 2, ...:

        w = w - learning_rate * weight_decay * w
        w = w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)          m_hat and v_hat as in `Adam`, from g alone

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      weight_decay: float >= 0; biases and norms are left out with `no_decay_on_bias_and_norm`.
      **settings: see `Adam` and `Optimizer`.
    Shapes: m and v have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Loshchilov and Hutter 2019, algorithm 2. Differs: the schedule is part of learning_rate, which
      multiplies the decay too, as in PyTorch and Keras; epsilon as in `Adam`.
    """

    decay_form = "decoupled"

    def __init__(self, learning_rate=0.001, *, weight_decay=0.01, **settings):
        super().__init__(learning_rate, weight_decay=weight_decay, **settings)

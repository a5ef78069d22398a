"""Lookahead."""

import tensorflow as tf

from kft import errors
from kft.optimizers.base import check_range
from kft.optimizers.wrapper import Wrapper


class Lookahead(Wrapper):
    """Any rule, drawn back every few steps towards where it came from.

    For a parameter w, at its own step t = 1, 2, ...; slow starts at w as it is when the optimizer is built:

        w = the rule's update
        slow = slow + slow_step * (w - slow); w = slow          where t is a multiple of sync_period

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; that of the rule inside.
      rule: a name in `kft.optimizers.OPTIMIZERS`, one of ours.
      rule_options: what the rule inside takes beyond rate and decay.
      sync_period: int >= 1, k of the paper, in updates of the variable.
      slow_step: float in (0, 1), alpha of the paper.
      **settings: see `Optimizer`.
    Shapes: slow has the shape and dtype of w; besides the slots of the rule.
    Raises: InputError if an argument is out of range.
    Reference: Zhang et al. 2019, algorithm 1; the rule keeps its slots at a synchronisation, as in section 3.
    """

    def __init__(self, learning_rate=0.001, *, sync_period=6, slow_step=0.5, **settings):
        super().__init__(learning_rate, **settings)
        if not (isinstance(sync_period, int) and sync_period >= 1):
            raise errors.InputError(f"Got sync_period={sync_period!r}. Expected an int >= 1. The paper uses 5 to 10.")
        self.sync_period = sync_period
        self.slow_step = check_range("slow_step", slow_step, 0.0, 1.0, include_low=False)

    def slots(self):
        return super().slots() | {"slow": "variable"}

    def coefficients(self, step, learning_rate):
        synchronise = tf.where(tf.math.floormod(step, float(self.sync_period)) == 0.0, 1.0, 0.0)
        return super().coefficients(step, learning_rate) | {"synchronise": synchronise}

    def update(self, w, g, slot, c):
        super().update(w, g, slot, c)
        slow = slot["slow"]

        def synchronise():
            share = tf.constant(self.slow_step, w.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=slow.handle, alpha=share, delta=slow - w)
            w.assign(slow)
            return True

        tf.cond(c["synchronise"] > 0.0, synchronise, lambda: False)

    def get_config(self):
        return {**super().get_config(), "sync_period": self.sync_period, "slow_step": self.slow_step}

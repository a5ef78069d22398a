"""A rule around another rule."""

from collections.abc import Mapping
from typing import Any

from kft import optimizers
from kft.optimizers.base import Optimizer


class Wrapper(Optimizer):
    """The base of rules that change what another rule does; the other one gives slots, coefficients and update.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; that of the rule inside.
      rule: a name in `kft.optimizers.OPTIMIZERS`, one of ours.
      rule_options: what the rule inside takes beyond rate and decay, such as {"beta_1": 0.95}.
      **settings: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        *,
        rule: str = "adamw",
        rule_options: Mapping[str, Any] | None = None,
        **settings,
    ):
        super().__init__(learning_rate, **settings)
        self.rule = rule
        self.rule_options = dict(rule_options or {})
        self.inside = optimizers.make_rule(rule, learning_rate=1.0, options=self.rule_options)
        self.decay_form = self.inside.decay_form

    def slots(self):
        return self.inside.slots()

    def first_moments(self):
        return self.inside.first_moments()

    def coefficients(self, step, learning_rate):
        return self.inside.coefficients(step, learning_rate)

    def update(self, w, g, slot, c):
        self.inside.update(w, g, slot, c)

    def get_config(self):
        return {**super().get_config(), "rule": self.rule, "rule_options": dict(self.rule_options)}

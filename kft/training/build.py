"""Backbone + task -> the model that trains."""

import re
from typing import Any

import keras

from kft import errors
from kft.models import heads
from kft.training import model as model_module
from kft.training import precision
from kft.training import r_drop as r_drop_module


def build_model(
    backbone: Any, task: Any, *, batchnorm: str = "frozen", batchnorm_momentum: float | None = None, r_drop: float = 0.0
) -> model_module.FineTuneModel:
    """Puts the task's head on a backbone.

    Call it within `strategy.scope()`, and within the `precision_scope` that the backbone was made in. The backbone's
    variables are shared, not copied; everything may train until `FineTuneModel.set_trainable` or a trainable schedule
    says otherwise.

    Args:
      backbone: `kft.models.Backbone`.
      task: `kft.tasks.Task`.
      batchnorm: "frozen", "train" or "synchronized"; see `FineTuneModel`.
      batchnorm_momentum: in [0, 1), of all BatchNorm layers of the backbone, which are changed; None leaves them as
        they are. The statistics follow the last 1 / (1 - momentum) steps or so. Those of keras.applications are made
        for long trainings: MobileNetV2's 0.999 lags 1,000 steps behind the weights.

      r_drop: >= 0, how strongly the outputs under two draws of dropout are drawn together; see `kft.training.r_drop`.

    Returns: a model from the backbone's inputs to logits, whose `blocks` are the backbone's, as far as they are
      used, and the head's.
    Raises: InputError if the backbone has a layer whose name the head needs, or an argument is out of range.
    """
    taken = [layer.name for layer in backbone.model.layers if layer.name.startswith("head")]
    if taken:
        raise errors.InputError(
            f"Got a backbone with layers {taken!r}. Expected no layer whose name starts with 'head'. Rename them."
        )
    if batchnorm_momentum is not None:
        if not 0 <= batchnorm_momentum < 1:
            raise errors.InputError(
                f"Got batchnorm_momentum={batchnorm_momentum!r}. Expected a number in [0, 1). Use 0.9 for short runs."
            )
        for layer in backbone.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batchnorm_momentum
    struct = backbone.model.output
    logits = task.head(backbone.features(struct))
    model = model_module.FineTuneModel(
        backbone.model.input, logits, batchnorm=batchnorm, name=re.sub(r"[^\w.-]", "_", backbone.name)
    )
    # A block that the head does not look at, such as a pooler, is not in the model.
    paths = [weight.path for weight in model.weights]
    used = [block for block in backbone.blocks if any(re.fullmatch(block, path) for path in paths)]
    model.r_drop = r_drop_module.check(task, r_drop)
    model.blocks = (*used, heads.HEAD_BLOCK)
    precision.keep_in_float32(model)
    return model

"""New random weights for a part of a pretrained model."""

from collections.abc import Sequence

import keras

from kft import errors, paths


def reinitialize(model: keras.Model, patterns: Sequence[str]) -> list[str]:
    """Gives weights the random values that their layers begin with; the next of the global seed.

    The top blocks of a pretrained model are the most special to what it was trained on; with few examples, to begin
    them anew can be better, and steadier over seeds. BatchNorm statistics in these blocks begin at mean 0 and
    variance 1, so let them train, or recalibrate them.

    Args:
      model: functional; called before its first step.
      patterns: for `re.fullmatch` on variable paths, such as those of the top blocks.

    Returns: the paths of the weights that are new.
    Raises: InputError for a pattern that matches no weight, and for a layer that cannot be made from its config.
    Reference: Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning", section 4.
    """
    chosen = set(paths.select([weight.path for weight in model.weights], patterns, what="reinitialize"))
    for layer in model.layers:
        weights = [weight for weight in layer.weights if weight.path in chosen]
        if not weights:
            continue
        fresh = _fresh_copy(layer)
        for old, new in zip(layer.weights, fresh.weights, strict=True):
            if old.path in chosen:
                old.assign(new)
    return sorted(chosen)


def _fresh_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    try:
        fresh = type(layer).from_config(layer.get_config())
        fresh.build_from_config(layer.get_build_config())
    except Exception as error:
        raise errors.InputError(
            f"Got layer {layer.name!r} to begin anew, which cannot be made from its config: {error}. Expected "
            "get_config, and a build that takes the input's shape. Reinitialize other blocks."
        ) from error
    shapes = [[tuple(weight.shape) for weight in one.weights] for one in (layer, fresh)]
    if shapes[0] != shapes[1]:
        raise errors.InputError(
            f"Got layer {layer.name!r} to begin anew, whose copy has weights of shapes {shapes[1]}. Expected "
            f"{shapes[0]}. Reinitialize other blocks."
        )
    return fresh

"""The layers up to the first convolution, made anew: for another number of channels, and reading their own weights."""

from collections.abc import Sequence

import keras
import numpy as np

from kft.models import graph

NUM_COLOURS = 3


def adapted_kernel(kernel: np.ndarray, num_channels: int) -> np.ndarray:
    """The kernel of a first convolution over red, green and blue, for another number of channels.

        mean = mean of the kernel over its three channels
        kernel[channel] = 3 / num_channels * (kernel[channel] if channel < 3 <= num_channels else mean)

    So the first three channels keep their filters, and images whose channels are all equal give what they gave before:
    the kernels add up to the same sum.

    Args:
      kernel: (height, width, 3, filters).
      num_channels: >= 1.

    Shapes: (height, width, num_channels, filters).
    Reference: Wang et al. 2016 (temporal segment networks), section 3.2, take the mean for each channel; Carreira and
      Zisserman 2017, section 2.4, repeat and divide, so that what is constant gives the same. Differs from both: red,
      green and blue stay what they are.
    """
    mean = kernel.mean(axis=2, keepdims=True)
    own = kernel if num_channels >= NUM_COLOURS else kernel[:, :, :0]
    more = np.repeat(mean, num_channels - own.shape[2], axis=2)
    return np.concatenate([own, more], axis=2) * (NUM_COLOURS / num_channels)


def extended(values: Sequence[float], num_channels: int) -> list[float]:
    """Constants of three channels for another number: those behind the third get the mean, and so do all below three.

    Example:
      >>> extended((1.0, 2.0, 6.0), 4), extended((1.0, 2.0, 6.0), 1)
      ([1.0, 2.0, 6.0, 3.0], [3.0])
    """
    values = list(map(float, values))
    own = values if num_channels >= NUM_COLOURS else []
    return own + [sum(values) / len(values)] * (num_channels - len(own))


class Normalization(keras.layers.Normalization):
    """(x - mean) / max(sqrt(variance), epsilon), by its weights.

    Keras' layer computes with copies of its weights, which only its own loading and `adapt` renew: after an assignment
    to the weights, as from a checkpoint, it goes on with what was there before.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """The normalized inputs."""
        if self.input_mean is not None:
            return super().call(inputs)
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        mean, variance = (keras.ops.cast(weight, inputs.dtype) for weight in (self.adapt_mean, self.adapt_variance))
        return (inputs - mean) / keras.ops.maximum(keras.ops.sqrt(variance), keras.config.epsilon())


def made_anew(model: keras.Model, num_channels: int) -> keras.Model:
    """The model with an input of so many channels: new layers up to the first convolution, the others its own.

    Args:
      model: flat, of one image of three channels, which goes through normalizing layers to one first convolution.
      num_channels: >= 1.
    """
    done = False

    def instead(operation: keras.Operation) -> keras.Operation:
        nonlocal done
        if done:
            return operation
        if isinstance(operation, keras.layers.Conv2D):
            done = True
            return keras.layers.Conv2D.from_config(operation.get_config())
        if isinstance(operation, keras.layers.Normalization):
            constants = operation.input_mean, operation.input_variance
            if constants[0] is None:
                return Normalization(name=operation.name)
            mean, variance = (extended(np.ravel(values), num_channels) for values in constants)
            return Normalization(mean=mean, variance=variance, name=operation.name)
        if isinstance(operation, keras.layers.Rescaling) and np.ndim(operation.scale):
            scale = extended(np.ravel(operation.scale), num_channels)
            return keras.layers.Rescaling(scale, operation.offset, name=operation.name)
        return operation

    image = keras.Input((*model.inputs[0].shape[1:3], num_channels), name="image")
    made = keras.Model(image, graph.run_again(model, [image], instead=instead)[0], name=model.name)
    for new in made.layers:
        for weight, old in zip(new.weights, model.get_layer(new.name).weights, strict=True):
            weight._path = old.path  # of a layer that was in a model within the model
    return made


def adapt(made: keras.Model, model: keras.Model) -> None:
    """Gives the new layers of what `made_anew` made of a model the weights of its own, for their channels."""
    for new in made.layers:
        old = model.get_layer(new.name)
        if new is old or not new.weights:
            continue
        if isinstance(new, Normalization):
            mean, variance, count = old.get_weights()
            num_channels = new.adapt_mean.shape[0]
            constants = [np.array(extended(values, num_channels)) for values in (mean, variance)]
            new.set_weights([*constants, count])
        else:
            kernel, *bias = old.get_weights()
            new.set_weights([adapted_kernel(kernel, new.kernel.shape[2]), *bias])

"""Quantization-aware training with TF-MOT: a copy of a network that rounds weights and activations as int8 does."""

import warnings

import numpy as np

_QUANTIZED_LAYERS = ("QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2")


class QatError(ValueError):
    """A network cannot be trained quantization-aware; the message says what is in the way."""


def quantization_aware(network, preserve_sparsity: bool = False, calibration: np.ndarray | None = None):
    """Return a copy of `network` with fake quantization, weights copied, not compiled; `network` stays as it is.

    Train it with `model.fit` and convert it with `quantize.to_tflite(model, "int8")`, without calibration: the copy
    holds the range of every tensor. With `preserve_sparsity` the weights that are zero now stay zero, in the trained
    copy and in the file (Default8BitPrunePreserveQuantizeScheme); without it training fills them again. `network`
    must be stripped of pruning wrappers. With `calibration`, features [n, frames, bands, 1] of training clips, the
    ranges of the activations start at those of these clips.

    What TF-MOT does and does not do:
    - Without `calibration` ranges of activations start at -6 to 6, whatever the network does, and follow the data by
      0.1 % a training step: after 500 steps 60 % of the start is left. Those of weights are exact from the first step.
    - Weights are rounded before batch normalisation, which the converter folds only into the file. Convolutions get a
      scale for each output channel. A depthwise convolution is trained with one scale for all channels (folding makes
      it one each), and dense layers have one scale in the file too.
    - Its prune-preserving scheme leaves out depthwise convolutions. Here they are kept sparse as well.
    - The copy saved as .keras does not load again; .h5 does, within `tfmot.quantization.keras.quantize_scope()`.

    Raises QatError for pruning wrappers, a network that is quantization-aware already, and what TF-MOT refuses, such as
    normalisation layers in the network, LayerNormalization, Conv1D, GRU, nested models.
    """
    import tensorflow_model_optimization as tfmot

    if is_quantization_aware(network):
        raise QatError(f"network {network.name!r} is quantization-aware already; give the network it was made from")
    wrapped = [layer.name for layer in network.layers if type(layer).__name__.startswith("Prune")]
    if wrapped:
        raise QatError(f"layer {wrapped[0]!r} is still wrapped for pruning: strip the network first")
    tools = tfmot.quantization.keras
    scheme = {"scheme": _prune_preserving_scheme()} if preserve_sparsity else {}
    try:
        with warnings.catch_warnings(), tools.quantize_scope():
            warnings.filterwarnings("error", "Lambda layers", UserWarning)  # would be left in float
            aware = tools.quantize_apply(tools.quantize_annotate_model(network), **scheme)
    except (ValueError, RuntimeError, UserWarning) as error:
        raise QatError(f"TF-MOT cannot quantize network {network.name!r}: {error}") from None
    if calibration is not None:
        _settle_ranges(aware, np.asarray(calibration, np.float32))
    return aware


def is_quantization_aware(model) -> bool:
    """Whether `model` comes from `quantization_aware`, or from the functions of TF-MOT behind it."""
    return any(type(layer).__name__ in _QUANTIZED_LAYERS for layer in model.layers)


def _settle_ranges(aware, features) -> None:
    """Set the ranges of weights and activations to those that a training step on `features` sees.

    A step moves the range of an activation by 1 / 1000 towards that of the batch, which is solved for the latter. A
    tensor before it may still be cut off at 6, so that it takes several passes until all have settled. The ranges of
    weights, and that of the input (the widest seen), a step sets at once.
    """
    moving = ("activation_min:0", "activation_max:0", "output_min:0", "output_max:0")
    for _ in aware.layers:
        before = [np.copy(weight) for weight in aware.get_weights()]  # what it gives may be a view
        aware(features, training=True)
        after, changes = aware.get_weights(), []
        for number, weight in enumerate(aware.weights):
            if not weight.name.endswith(("_min:0", "_max:0")):
                after[number] = before[number]  # batch normalisation moved
            elif weight.name.endswith(moving):
                after[number] = before[number] + 1000 * (after[number] - before[number])
                changes.append(abs(after[number] - before[number]) / max(abs(after[number]), 1e-6))
        aware.set_weights(after)
        if max(changes) < 0.05:  # dropout never lets it be 0
            break


def _prune_preserving_scheme():
    """TF-MOT's scheme, with depthwise convolutions treated like the others."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    stock_scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme

    class Registry(type(stock_scheme().get_quantize_registry())):
        def get_quantize_config(self, layer):
            config = super().get_quantize_config(layer)
            if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
                config.weight_quantizer = self._config_quantizer_map["Default8BitConvQuantizeConfig"]
            return config

    class Scheme(stock_scheme):
        def get_quantize_registry(self):
            return Registry()

    return Scheme()

"""From a Keras model to a .tflite file in every format, with a calibration on training clips where one is needed."""

import warnings
from collections.abc import Sequence

import numpy as np

from kwslib import qat
from kwslib.interpreters import captured_stderr

FORMATS = ("float32", "float16", "dynamic", "int8", "int8_per_tensor", "int16x8")
CALIBRATED = ("int8", "int8_per_tensor", "int16x8")
_FEWEST_CLIPS = 10  # below, the ranges of the activations depend on single clips


class QuantizeError(ValueError):
    """A model cannot be converted as asked; the message says what is needed."""


def calibration_clips(labels: Sequence[str], per_class: int, seed: int, classes: Sequence[str] = ()) -> np.ndarray:
    """Draw rows for the calibration: `per_class` training clips of every class, int64 sorted row numbers.

    `labels` are those of the training clips, never of validation or test clips. `classes` are the labels that
    must be there; by default those that occur. A class with fewer clips gives all it has.

    Raises QuantizeError if a class has no clip.
    """
    labels = np.asarray(labels, object)
    if not (isinstance(per_class, int | np.integer) and per_class >= 1):
        raise QuantizeError(f"per_class = {per_class!r}: allowed is a whole number from 1")
    rng = np.random.default_rng(seed)
    rows = []
    for name in classes or sorted(set(labels)):
        members = np.flatnonzero(labels == name)
        if not len(members):
            raise QuantizeError(f"class {name!r} has no training clip: the calibration needs clips of every class")
        rows.append(rng.permutation(members)[:per_class])
    if not rows:
        raise QuantizeError("no labels: the calibration needs training clips of every class")
    return np.sort(np.concatenate(rows))


def to_tflite(model, fmt: str = "int8", calibration: np.ndarray | None = None) -> bytes:
    """Convert a tf_keras model to the content of a .tflite file.

    - "float32": everything stays float32.
    - "float16": weights and biases are stored as float16 and widened at run time; activations stay float32.
    - "dynamic": weights are int8 (for each output channel); input, output and activations stay float32, and each
      activation is quantized at run time. The converter leaves weights of fewer than 1,024 elements in float32.
    - "int8": weights (for each output channel), activations, input and output are int8, biases int32.
    - "int8_per_tensor": the same with one scale for a whole weight tensor.
    - "int16x8": activations, input and output are int16, weights int8 (for each output channel), biases int64. An
      operator without such a kernel is an error, never float.

    The three integer formats need `calibration`, float32 features [n, frames, bands, 1] of training clips (the last
    axis may be left out), from which the converter takes the range of every tensor; for the others it must be None.
    A network that was trained quantization-aware (see `qat`) holds its ranges: fmt "int8", calibration None.

    The file takes one clip at a time. Batch normalisation is folded into the convolution before it, and dense layers
    are quantized, by the converter. TensorFlow Lite Micro runs all but "float16" and "dynamic".
    Raises QuantizeError for missing, too few, NaN or wrongly shaped calibration data, and for a format that a
    quantization-aware network cannot have. What the converter raises passes through, with its messages on stderr,
    which is quiet otherwise.
    """
    import tensorflow as tf

    if fmt not in FORMATS:
        raise QuantizeError(f"fmt = {fmt!r}: allowed is {', '.join(map(repr, FORMATS))}")
    aware = qat.is_quantization_aware(model)
    if aware and fmt != "int8":
        raise QuantizeError(
            f"fmt {fmt!r} of a network trained quantization-aware: its ranges are those of int8 tensors; "
            f"convert it as 'int8', or the network before that training as {fmt!r}"
        )
    clips = None
    if fmt in CALIBRATED and not aware:
        clips = _checked(calibration, fmt, tuple(model.input_shape[1:]))
    elif calibration is not None:
        of_what = "a network trained quantization-aware" if aware else f"fmt {fmt!r}"
        raise QuantizeError(f"calibration data with {of_what}: nothing is calibrated there, leave it out")
    # With an open batch dimension a Reshape layer becomes SHAPE, STRIDED_SLICE, PACK and RESHAPE. The names end up
    # in the file: fixed ones give the same bytes again. From a function, as a model is first saved whole, in seconds.
    one_clip = tf.Module(name="one_clip")
    one_clip.weights = model.weights
    features = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, "features")
    predict = tf.function(lambda features: model(features, training=False)).get_concrete_function(features)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([predict], one_clip)
    if fmt != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if fmt == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if fmt in CALIBRATED:
        converter.inference_input_type = tf.int16 if fmt == "int16x8" else tf.int8
        converter.inference_output_type = converter.inference_input_type
        converter._experimental_disable_per_channel = fmt == "int8_per_tensor"
    if clips is not None:
        int8, int16 = "TFLITE_BUILTINS_INT8", "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tf.lite.OpsSet[int16 if fmt == "int16x8" else int8]]
        converter.representative_dataset = lambda: ([clip[None]] for clip in clips)
    with captured_stderr(), warnings.catch_warnings():
        # The converter asks for QAT statistics before it looks at the representative data set.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        return converter.convert()


def _checked(calibration, fmt, shape) -> np.ndarray:
    """Calibration data as float32 [n, *shape], or QuantizeError."""
    needed = f"needed are features of {_FEWEST_CLIPS} training clips or more, [n, {', '.join(map(str, shape))}]"
    if calibration is None:
        raise QuantizeError(f"{fmt} without calibration data: {needed}; see calibration_clips")
    clips = np.asarray(calibration, np.float32)
    if clips.shape[1:] == shape[:-1] and shape[-1] == 1:
        clips = clips[..., None]
    if clips.shape[1:] != shape:
        raise QuantizeError(f"calibration data of shape {clips.shape}: {needed}")
    if len(clips) < _FEWEST_CLIPS:
        raise QuantizeError(f"{len(clips)} calibration clips: {needed}; see calibration_clips")
    if not np.isfinite(clips).all():
        raise QuantizeError(f"calibration data hold NaN or infinite values: {needed}; check the recordings")
    return clips

"""A trained network made smaller: pruned, fine-tuned, quantized, converted; each step is done once and cached."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from kwslib import artifacts, cache, finetune, material, pruning, qat, quantize, removal, study, training
from kwslib.config import ConfigError, check
from kwslib.finetune import TuneConfig
from kwslib.pruning import PruneConfig
from kwslib.training import Experiment

VERSION = 1  # raise it when the same settings give another network or file


@dataclass(frozen=True)
class Variant:
    """One compressed network: a training, a pruning with its fine-tuning (None: dense, as trained), and a format.

    `fmt` is one of `quantize.FORMATS`; "qat": int8 after quantization-aware training by `qat_tune` that keeps the zeros
    of a pruned network; or "qat_plain": the same without keeping them. Raises ConfigError for another `fmt`, and if
    `tune` or `qat_tune` is needed and missing.
    """

    experiment: Experiment
    prune: PruneConfig | None = None
    tune: TuneConfig | None = None
    fmt: str = "int8"
    qat_tune: TuneConfig | None = None

    def __post_init__(self):
        formats = (*quantize.FORMATS, "qat", "qat_plain")
        check(self, "fmt", ", ".join(map(repr, formats)), choices=formats)
        for needed, name in ((self.prune, "tune"), (self.is_aware, "qat_tune")):
            if needed and getattr(self, name) is None:
                raise ConfigError(f"Variant.{name} is missing: give a TuneConfig, as recipes.tune makes it")

    @property
    def is_aware(self) -> bool:
        """Whether it is trained quantization-aware."""
        return self.fmt in ("qat", "qat_plain")

    @property
    def pruning(self) -> str:
        """Name of the pruning in tables: "dense", "element-80", ..."""
        return self.prune.label if self.prune else "dense"

    @property
    def name(self) -> str:
        """File name of the model: task, network, pruning (or training, for a dense one), seed, format unless int8."""
        parts = [study.model_name(self.experiment)]
        if self.prune:
            experiment = self.experiment
            parts = [experiment.task.name, experiment.label, self.pruning.replace(":", "of"), f"s{experiment.seed}"]
        return "_".join(parts + [self.fmt] * (self.fmt != "int8"))

    def to_dict(self) -> dict:
        """Return the settings that matter as JSON types."""
        settings = {"experiment": self.experiment.to_dict(), "fmt": self.fmt}
        if self.prune:
            settings |= {"prune": self.prune.to_dict(), "tune": self.tune.to_dict()}
        if self.is_aware:
            settings["qat_tune"] = self.qat_tune.to_dict()
        return settings


def network(variant: Variant, data: str):
    """The trained network, pruned and fine-tuned, filters removed: a plain tf_keras model, before any quantization.

    Raises PruneError if a mask was lost on the way.
    """
    import tf_keras

    run = training.train(variant.experiment, data)
    if variant.prune is None:
        return run.model()
    path = _cached(run, variant, ".h5", fmt=False)
    if path.is_file():
        return tf_keras.models.load_model(path, compile=False)
    tf_keras.utils.set_random_seed(variant.experiment.seed)
    features, labels = finetune.targets(run, data, variant.tune)
    wrapped = pruning.prune(run.model(), variant.prune, finetune.steps(features, variant.tune))
    finetune.fit(wrapped, features, labels, variant.tune, [_mask_update()])
    small = pruning.strip(wrapped)
    pruning.check_sparsity(small, variant.prune)
    if variant.prune.granularity == "filter":
        small = removal.remove_filters(small, variant.prune.round_to)
    with cache.replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
        small.save(temporary, save_format="h5", include_optimizer=False)
    return small


def tflite(variant: Variant, data: str) -> bytes:
    """The content of the .tflite file of a variant, calibrated on training clips of every class."""
    run = training.train(variant.experiment, data)
    path = _cached(run, variant, ".tflite", fmt=True)
    if not path.is_file():
        model = network(variant, data)
        if variant.is_aware:
            model = _quantization_aware(model, variant, run, data)
        fmt = "int8" if variant.is_aware else variant.fmt
        experiment, calibration = variant.experiment, None
        if variant.fmt in quantize.CALIBRATED:
            calibration = material.recordings(data, experiment.task, experiment.features).calibration
        content = quantize.to_tflite(model, fmt, calibration)
        with cache.replacing(path) as temporary:
            temporary.write_bytes(content)
    return path.read_bytes()


def save(variant: Variant, data: str, row, results: str | Path) -> str:
    """Write the .tflite file and its .json under `results/models`; returns the path below `results`.

    `row` (mapping) holds dataset, n_test, accuracy, ci_low and ci_high of this file.
    """
    experiment = variant.experiment
    facts = {key: row[key] for key in ("dataset", "accuracy", "ci_low", "ci_high")}
    facts |= variant.to_dict() | {
        "n_test": int(row["n_test"]),
        "seed": experiment.seed,
        "format": variant.fmt,
        "labels": list(experiment.task.labels),
        "task": experiment.task.to_dict(),
        "features": training.train(experiment, data).front_end.to_dict(),
        "train": experiment.train.to_dict(),
        "network": {"builder": experiment.model, "options": experiment.options},
    }
    del facts["experiment"], facts["fmt"]  # said by the keys above
    path = artifacts.save_model(Path(results) / "models", variant.name, tflite(variant, data), facts)
    return str(path.relative_to(results))


def _cached(run, variant, suffix, fmt):
    settings = {"weights": run.weights.stem, "version": VERSION} | variant.to_dict()
    del settings["experiment"]  # its key is the weights' name
    if not fmt:  # the same network for all formats
        del settings["fmt"]
        settings.pop("qat_tune", None)
    return cache.data_folder() / "cache" / "compressed" / f"{cache.cache_key(settings)}{suffix}"


def _quantization_aware(model, variant, run, data):
    import tf_keras

    tf_keras.utils.set_random_seed(variant.experiment.seed)
    experiment, keep = variant.experiment, variant.prune is not None and variant.fmt == "qat"
    calibration = material.recordings(data, experiment.task, experiment.features).calibration
    aware = qat.quantization_aware(model, preserve_sparsity=keep, calibration=calibration)
    finetune.fit(aware, *finetune.targets(run, data, variant.qat_tune), variant.qat_tune)
    return aware


def _mask_update():
    import tensorflow_model_optimization as tfmot

    return tfmot.sparsity.keras.UpdatePruningStep()

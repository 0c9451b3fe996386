"""Train a trained network a little more, while it is pruned or quantized: examples made once and used by every point.

Altered clips cost more than the training of a small network, and a sweep fine-tunes hundreds: a bank of a few epochs
is drawn once for a task, features and seed, and kept in the cache.
"""

import math
from dataclasses import dataclass

import numpy as np

from kwslib import augment, cache
from kwslib.config import ConfigError, Settings, check
from kwslib.material import recordings
from kwslib.training import Experiment, Run, make_variables, train

_VERSION = 1  # raise it when the same settings give another bank
_PREDICT = 500  # clips at a time


@dataclass(frozen=True)
class TuneConfig(Settings):
    """How a network is fine-tuned: Adam, cosine down to 0; the outputs of a teacher are part of the target."""

    epochs: int = 8
    bank_epochs: int = 8  # different epochs in the bank; after them it starts again
    batch_size: int = 100
    learning_rate: float = 1e-3
    teacher_share: float = 0.5  # part of the target that is the output of the teacher, see `targets`

    def __post_init__(self):
        self._fix_types()
        check(self, "epochs", "1 to 1000", low=1, high=1000)
        check(self, "bank_epochs", "1 to 100", low=1, high=100)
        check(self, "batch_size", "1 to 10000", low=1, high=10000)
        check(self, "learning_rate", "1e-7 to 1", low=1e-7, high=1)
        check(self, "teacher_share", "0 to 1", low=0, high=1)


def bank(experiment: Experiment, data: str, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples of `epochs` epochs, drawn as `experiment` draws them, from the cache if they were drawn before.

    Returns features float16 [epochs, n, frames, bands, 1] (they are normalised: 3 digits are enough) and classes
    int64 [epochs, n].
    """
    material = recordings(data, experiment.task, experiment.features)
    settings = {"task": experiment.task.to_dict(), "features": experiment.features.to_dict(), "epochs": epochs}
    settings |= {"train": experiment.train.to_dict(), "seed": experiment.seed, "recordings": material.digest}
    settings |= {"version": _VERSION}

    def build():
        made = augment.Epochs(material.pool, experiment.task, material.front_end, experiment.train, experiment.seed)
        parts = [[made.batch(epoch, number) for number in range(made.batches)] for epoch in range(epochs)]
        features = np.stack([np.concatenate([x for x, _ in part]).astype(np.float16) for part in parts])
        return features, {"classes": [np.concatenate([y for _, y in part]).argmax(1).tolist() for part in parts]}

    features, notes = cache.cached_array(cache.data_folder() / "cache" / "banks", settings, build)
    return features, np.array(notes["classes"])


def targets(run: Run, data: str, tune: TuneConfig) -> tuple[np.ndarray, np.ndarray]:
    """Bank features and float32 targets [epochs, n, classes] that a copy of the trained network `run` is tuned on.

    The target is the smoothed label mixed with the output of the teacher that the network learned from; a network
    without one learns from itself as it was before it was compressed.
    """
    experiment = run.experiment
    features, classes = bank(experiment, data, tune.bank_epochs)
    count = len(experiment.task.labels)
    smoothing = experiment.train.label_smoothing
    labels = np.eye(count, dtype=np.float32)[classes] * (1 - smoothing) + smoothing / count
    if not tune.teacher_share:
        return features, labels
    teacher = train(experiment.teacher, data) if experiment.teacher else run
    settings = {"teacher": teacher.weights.stem, "experiment": experiment.to_dict(), "epochs": tune.bank_epochs}

    def teach():
        network = teacher.model()
        flat = features.reshape(-1, *features.shape[2:])
        parts = [network(flat[n : n + _PREDICT].astype(np.float32)).numpy() for n in range(0, len(flat), _PREDICT)]
        return np.concatenate(parts).reshape(*features.shape[:2], -1), {}

    taught, _ = cache.cached_array(cache.data_folder() / "cache" / "banks", settings | {"version": _VERSION}, teach)
    return features, (1 - tune.teacher_share) * labels + tune.teacher_share * taught


def steps(features: np.ndarray, tune: TuneConfig) -> int:
    """Optimizer steps of a fine-tuning on `features` [epochs, n, ...]."""
    return tune.epochs * math.ceil(features.shape[1] / tune.batch_size)


def fit(network, features: np.ndarray, labels: np.ndarray, tune: TuneConfig, callbacks=()) -> None:
    """Fine-tune `network` in place on features [epochs, n, frames, bands, 1] and targets [epochs, n, classes].

    The last epoch counts, where the rate has gone down to 0: nothing is chosen, so nothing can be chosen on test.
    Raises ConfigError if the arrays do not fit together.
    """
    import tf_keras

    if features.shape[:2] != labels.shape[:2]:
        raise ConfigError(f"features {features.shape} and targets {labels.shape}: needed are the same epochs and clips")
    batches = math.ceil(features.shape[1] / tune.batch_size)

    class Bank(tf_keras.utils.Sequence):
        epoch = 0

        def __len__(self):
            return batches

        def __getitem__(self, number):
            part = slice(number * tune.batch_size, (number + 1) * tune.batch_size)
            epoch = self.epoch % len(features)
            return features[epoch, part].astype(np.float32), labels[epoch, part]

        def on_epoch_end(self):
            self.epoch += 1

    rate = tf_keras.optimizers.schedules.CosineDecay(tune.learning_rate, steps(features, tune))
    network.compile(tf_keras.optimizers.Adam(rate), "categorical_crossentropy")
    make_variables(network)
    network.fit(Bank(), epochs=tune.epochs, verbose=0, callbacks=list(callbacks), shuffle=False)

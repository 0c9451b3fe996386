"""Train networks on epochs drawn afresh, keep the best epoch on validation, and remember every run.

A run is an `Experiment`; its weights and history lie in the cache, keyed by all its settings and the content of its
recordings, so that a sweep can be broken off and taken up again.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import augment, cache, models
from kwslib.config import FeatureConfig, TaskConfig, TrainConfig
from kwslib.material import Recordings, recordings
from kwslib.parallel import run_parallel

_VERSION = 2  # raise it when the same settings train another network
_BATCH = 500  # clips at a time for prediction


@dataclass(frozen=True)
class Experiment:
    """One network to train: `options` are keyword arguments of its builder in `models`.

    With a `teacher` (of the same task and features) the network learns from its outputs too, by
    `train.teacher_share` (knowledge distillation, Hinton et al. 2015).
    """

    model: str
    task: TaskConfig
    features: FeatureConfig
    train: TrainConfig
    seed: int = 0
    options: dict = field(default_factory=dict)
    teacher: "Experiment | None" = None

    @property
    def label(self) -> str:
        """Name in tables and files: the builder, with the width if it has one."""
        width = self.options.get("width")
        return self.model if width is None else f"{self.model}_w{width:g}"

    def build(self):
        """The network with new weights: a tf_keras model."""
        return models.build(self.model, self.features.shape, len(self.task.labels), **self.options)

    def to_dict(self) -> dict:
        """Return the settings as JSON types."""
        parts = {"task": self.task.to_dict(), "features": self.features.to_dict(), "train": self.train.to_dict()}
        if self.teacher:
            parts["teacher"] = self.teacher.to_dict()
        return {"model": self.model, "options": self.options, "seed": self.seed} | parts


@dataclass(frozen=True)
class Run:
    """A trained network: `history` has one row an epoch (loss, accuracy, val_loss, val_accuracy, seconds)."""

    experiment: Experiment
    front_end: FeatureConfig
    dataset: str
    weights: Path
    history: pd.DataFrame
    best_epoch: int
    seconds: float

    def model(self):
        """Build the network and load the weights of the best epoch."""
        network = self.experiment.build()
        network.load_weights(self.weights)
        return network

    def test(self, data: str) -> tuple[np.ndarray, np.ndarray]:
        """Test features float32 [n, frames, bands, 1] and classes int [n] of the run's task."""
        return recordings(data, self.experiment.task, self.experiment.features).evaluation["testing"]


def train(experiment: Experiment, data: str) -> Run:
    """Train one network, or return the run from the cache.

    The epoch with the best validation accuracy (then the lowest loss) is kept; test clips are never touched.
    """
    material = recordings(data, experiment.task, experiment.features)
    settings = experiment.to_dict() | {"version": _VERSION, "recordings": material.digest}
    folder = cache.data_folder() / "cache" / "runs"
    weights = folder / f"{cache.cache_key(settings)}.h5"
    summary_path = weights.with_suffix(".json")
    if not (weights.is_file() and summary_path.is_file()):
        started = time.perf_counter()
        teacher = train(experiment.teacher, data).model() if experiment.teacher else None
        network, history, best_epoch = _fit(experiment, material, teacher)
        seconds = time.perf_counter() - started
        with cache.replacing(weights) as temporary:
            network.save_weights(temporary)
        summary = {"settings": settings, "seconds": seconds, "best_epoch": best_epoch, "history": history}
        with cache.replacing(summary_path) as temporary:
            temporary.write_text(json.dumps(summary))
    summary = json.loads(summary_path.read_text())
    history = pd.DataFrame(summary["history"])
    front_end, seconds = material.front_end, summary["seconds"]
    return Run(experiment, front_end, material.dataset, weights, history, summary["best_epoch"], seconds)


def train_all(experiments: Sequence[Experiment], data: str, n_jobs: int = 2) -> list[Run]:
    """Train several networks, `n_jobs` at a time, one thread each, teachers first; prints a line for each.

    Runs that are in the cache are not trained again: a sweep that was broken off goes on where it stopped.
    """
    teachers = {json.dumps(e.teacher.to_dict()): e.teacher for e in experiments if e.teacher}
    if teachers:
        train_all(list(teachers.values()), data, n_jobs)
    for task, front_end in {(experiment.task, experiment.features): None for experiment in experiments}:
        recordings(data, task, front_end)  # made and cached once, before several processes want them
    runs = {}
    for number, run in run_parallel(train, [(experiment, data) for experiment in experiments], n_jobs):
        runs[number] = run
        settings, best = run.experiment, run.history.iloc[run.best_epoch]
        print(
            f"[{len(runs)}/{len(experiments)}] {settings.task.name} {settings.label} {settings.train.name} "
            f"seed {settings.seed}: {len(run.history)} epochs, {run.seconds:.0f} s, "
            f"validation {100 * best.val_accuracy:.1f} % in epoch {run.best_epoch + 1}",
            flush=True,
        )
    return [runs[number] for number in range(len(experiments))]


def make_variables(network) -> None:
    """Make the variables of a compiled network's optimizer, loss and metrics now.

    Left to the first batch, Keras would trace the training step a second time, which takes seconds.
    """
    import tensorflow as tf

    network.optimizer.build(network.trainable_variables)
    outputs = tf.zeros((1, *network.output_shape[1:]))
    network.compiled_loss.build(outputs)
    network.compiled_metrics.build(outputs, outputs)


def histories(runs: Sequence[Run]) -> pd.DataFrame:
    """The epochs of all runs one below the other, with dataset, task, model, training, seed and epoch (from 1)."""
    parts = []
    for run in runs:
        facts = {"dataset": run.dataset, "task": run.experiment.task.name, "model": run.experiment.label}
        facts |= {"training": run.experiment.train.name, "seed": run.experiment.seed}
        parts.append(run.history.assign(**facts, epoch=run.history.index + 1))
    return pd.concat(parts, ignore_index=True)


def _fit(experiment: Experiment, material: Recordings, teacher):
    """Returns the network with the best weights, the history as a list of dicts, and the best epoch's number."""
    import tf_keras

    config = experiment.train
    tf_keras.utils.set_random_seed(experiment.seed)
    epochs = augment.Epochs(material.pool, experiment.task, material.front_end, config, experiment.seed)
    network = experiment.build()
    loss = tf_keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
    network.compile(_optimizer(config, epochs.batches), loss, metrics=["accuracy"])
    make_variables(network)
    keeper = _keep_best(network, material.evaluation["validation"], config)
    batches = _sequence(epochs, teacher, config)
    network.fit(batches, epochs=config.epochs, verbose=0, callbacks=[keeper])
    network.set_weights(keeper.weights)
    return network, keeper.rows, keeper.best_epoch


def _optimizer(config: TrainConfig, steps: int):
    """Adam, or AdamW with decay on kernels only; rate constant, or a linear rise and half a cosine down to 0."""
    import tf_keras

    rate = config.learning_rate
    if config.schedule == "cosine":
        warmup = config.warmup_epochs * steps
        rate = tf_keras.optimizers.schedules.CosineDecay(
            rate / 100, config.epochs * steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    if not config.weight_decay:
        return tf_keras.optimizers.Adam(rate)
    optimizer = tf_keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _sequence(epochs: augment.Epochs, teacher, config: TrainConfig):
    """The batches as a Keras sequence, with the teacher's outputs in the labels; one thread prepares them."""
    import tensorflow as tf
    import tf_keras

    teach = teacher and tf.function(lambda batch: teacher(batch, training=False))

    class Batches(tf_keras.utils.Sequence):
        epoch = 0

        def __len__(self):
            return epochs.batches

        def __getitem__(self, number):
            batch, labels = epochs.batch(self.epoch, number)
            if teach:
                taught = teach(tf.constant(batch)).numpy()
                labels = (1 - config.teacher_share) * labels + config.teacher_share * taught
            return batch, labels

        def on_epoch_end(self):
            self.epoch += 1

    return Batches()


def _keep_best(network, validation, config: TrainConfig):
    """A callback: average the weights, judge each epoch on validation, keep the best, stop when it gets no better."""
    import tensorflow as tf
    import tf_keras

    average = [tf.Variable(weight, trainable=False) for weight in network.weights]

    @tf.function
    def update(momentum):
        for mean, weight in zip(average, network.weights, strict=True):
            mean.assign(mean * momentum + weight * (1 - momentum))

    class KeepBest(tf_keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.rows, self.steps, self.best, self.best_epoch = [], 0, (-1.0, 0.0), -1
            update(tf.constant(0.0))  # compiles it, so that the first batch is not slow

        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            momentum = min(config.average_momentum, self.steps / (self.steps + 10))  # forget the random start
            update(tf.constant(momentum if config.average_momentum else 0.0))

        def on_epoch_end(self, epoch, logs=None):
            current = network.get_weights()
            averaged = [weight.numpy() for weight in average]
            network.set_weights(averaged)
            accuracy, loss = judge(network, *validation)
            network.set_weights(current)
            seconds = time.perf_counter() - self.started
            row = {"loss": logs["loss"], "accuracy": logs["accuracy"], "val_loss": loss, "val_accuracy": accuracy}
            self.rows.append({name: float(value) for name, value in (row | {"seconds": seconds}).items()})
            if (accuracy, -loss) > self.best:
                self.best, self.best_epoch, self.weights = (accuracy, -loss), epoch, averaged
            self.model.stop_training = epoch - self.best_epoch >= config.patience_epochs

    return KeepBest()


def judge(network, x: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Accuracy (fraction) and mean cross entropy of a network on features [n, frames, bands, 1] and labels [n]."""
    probabilities = network.predict(x, batch_size=_BATCH, verbose=0)
    cross_entropy = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-9))
    return float((probabilities.argmax(axis=1) == truth).mean()), float(cross_entropy.mean())

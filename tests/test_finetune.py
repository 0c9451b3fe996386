"""The bank of examples, the targets, and the fine-tuning itself."""

import dataclasses

import numpy as np
import pytest

from kwslib import augment, finetune, material
from kwslib.config import ConfigError
from kwslib.finetune import TuneConfig

TUNE = TuneConfig(epochs=3, bank_epochs=2, batch_size=64, learning_rate=1e-3)


def test_the_bank_holds_the_examples_that_training_draws(small_run, speech_folder):
    experiment = small_run.experiment
    features, classes = finetune.bank(experiment, str(speech_folder), 2)
    recorded = material.recordings(str(speech_folder), experiment.task, experiment.features)
    drawn = augment.Epochs(recorded.pool, experiment.task, recorded.front_end, experiment.train, experiment.seed)
    x, y = drawn.batch(1, 0)
    assert features.dtype == np.float16 and features.shape[0] == 2 and features.shape[2:] == experiment.features.shape
    assert np.allclose(features[1, : len(x)].astype(np.float32), x, atol=5e-3)
    assert (classes[1, : len(y)] == y.argmax(axis=1)).all()
    assert not np.array_equal(features[0, : len(x)], features[1, : len(x)])
    assert isinstance(finetune.bank(experiment, str(speech_folder), 2)[0], np.memmap)  # from the cache


def test_targets_mix_the_label_with_the_network_itself(small_run, speech_folder):
    data = str(speech_folder)
    features, half = finetune.targets(small_run, data, TUNE.replace(teacher_share=0.5))
    _, labels = finetune.targets(small_run, data, TUNE.replace(teacher_share=0.0))
    _, taught = finetune.targets(small_run, data, TUNE.replace(teacher_share=1.0))
    assert half.shape == (*features.shape[:2], 6)
    assert np.allclose(half, (labels + taught) / 2, atol=1e-6)
    assert np.allclose(half.sum(axis=-1), 1, atol=1e-5)
    own = small_run.model().predict(features[1, :50].astype(np.float32), verbose=0)
    assert np.allclose(taught[1, :50], own, atol=1e-4)
    assert (labels.argmax(axis=-1) == finetune.bank(small_run.experiment, data, 2)[1]).all()


def test_a_network_with_a_teacher_learns_from_it_again(small_run, speech_folder):
    pupil = dataclasses.replace(small_run.experiment, seed=3, teacher=small_run.experiment)
    run = dataclasses.replace(small_run, experiment=pupil, weights=small_run.weights.with_stem("not_there"))
    features, taught = finetune.targets(run, str(speech_folder), TUNE.replace(teacher_share=1.0))
    teacher = small_run.model().predict(features[0, :50].astype(np.float32), verbose=0)
    assert np.allclose(taught[0, :50], teacher, atol=1e-4)


def test_fitting_goes_through_the_bank_and_learns(small_run, speech_folder):
    features, labels = finetune.targets(small_run, str(speech_folder), TUNE.replace(teacher_share=0.0))
    network = small_run.model()
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.normal(0, 0.2, w.shape) * (w.ndim > 1) for w in network.get_weights()])
    x, truth = features[0].astype(np.float32), labels[0].argmax(axis=1)
    before = (network.predict(x, verbose=0).argmax(axis=1) == truth).mean()
    finetune.fit(network, features, labels, TUNE)
    after = (network.predict(x, verbose=0).argmax(axis=1) == truth).mean()
    assert int(network.optimizer.iterations) == finetune.steps(features, TUNE)
    assert after > before + 0.05


def test_wrong_settings_and_shapes_are_refused(small_run):
    with pytest.raises(ConfigError, match=r"TuneConfig.teacher_share = 2.0: allowed is 0 to 1"):
        TuneConfig(teacher_share=2)
    with pytest.raises(ConfigError, match="the same epochs and clips"):
        finetune.fit(small_run.model(), np.zeros((2, 5, 30, 40, 1)), np.zeros((2, 4, 6)), TUNE)

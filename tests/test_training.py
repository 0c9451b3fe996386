"""Training on a small synthetic data set: it learns, repeats, remembers, and never sees a test clip."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from kwslib import augment, cache, config, dataset, training

CHANCE = 1 / 6


def run_files():
    return {path: path.stat().st_mtime_ns for path in (cache.data_folder() / "cache" / "runs").glob("*")}


def short(experiment, seed=0, **changes):
    """The experiment with two epochs and other settings."""
    changes = {"epochs": 2, "name": "short"} | changes
    return dataclasses.replace(experiment, seed=seed, train=experiment.train.replace(**changes))


def digests(clips):
    return [hashlib.sha256(np.ascontiguousarray(clip)).hexdigest() for clip in clips]


@pytest.fixture(scope="module")
def data(speech_folder, few_words):
    return str(speech_folder)


def recordings_of(experiment, data):
    return training.recordings(data, experiment.task, experiment.features)


@pytest.fixture(scope="module")
def material(data, small_experiment):
    return recordings_of(small_experiment, data)


@pytest.fixture(scope="module")
def short_run(data, small_experiment):
    return training.train(short(small_experiment), data)


def test_it_learns(small_run):
    history = small_run.history
    assert len(history) == small_run.experiment.train.epochs
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(history.columns)
    assert np.isfinite(history.to_numpy()).all()
    assert history.val_accuracy.max() > 3 * CHANCE
    assert history.loss.iloc[-1] < 0.7 * history.loss.iloc[0]
    assert small_run.dataset.startswith("small_speech (") and "files" in small_run.dataset


@pytest.mark.parametrize("early", [True, False])
def test_the_step_is_traced_once_where_its_variables_are_there(early, small_experiment):
    network = small_experiment.build()
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    if early:
        training.make_variables(network)
    traced, step = [], network.train_step
    network.train_step = lambda batch: (traced.append(1), step(batch))[1]
    x = np.zeros((8, *network.input_shape[1:]), np.float32)
    network.fit(x, np.eye(6, dtype=np.float32)[[0] * 8], batch_size=4, verbose=0)
    assert len(traced) == (1 if early else 2)


def test_the_best_epoch_is_kept(small_run, material):
    history = small_run.history
    best = history[history.val_accuracy == history.val_accuracy.max()]
    assert small_run.best_epoch == best.val_loss.idxmin()
    accuracy, loss = training.judge(small_run.model(), *material.evaluation["validation"])
    assert accuracy == pytest.approx(history.val_accuracy[small_run.best_epoch], abs=1e-9)
    assert loss == pytest.approx(history.val_loss[small_run.best_epoch], rel=1e-4)


def test_the_best_epoch_may_be_an_early_one(data, small_experiment, material):
    """With a learning rate that wrecks the network later epochs are worse, and training stops early."""
    wild = short(small_experiment, epochs=12, patience_epochs=2, learning_rate=1.0, schedule="constant")
    run = training.train(wild, data)
    accuracy = run.history.val_accuracy
    assert run.best_epoch == run.history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).index[0]
    assert len(accuracy) == min(12, run.best_epoch + 3) < 12
    kept, _ = training.judge(run.model(), *material.evaluation["validation"])
    assert kept == pytest.approx(accuracy.max(), abs=1e-9)


def test_a_run_is_remembered(short_run, data, small_experiment):
    before = run_files()
    assert short_run.weights in before and len(before) % 2 == 0
    again = training.train(short(small_experiment), data)
    assert again.seconds == short_run.seconds and run_files() == before
    assert again.history.equals(short_run.history) and again.best_epoch == short_run.best_epoch
    other = training.train(short(small_experiment, gain_db=3.0), data)
    assert other.weights != short_run.weights and len(run_files()) == len(before) + 2
    for path in run_files():
        assert path.suffix in (".h5", ".json")
    settings = json.loads(short_run.weights.with_suffix(".json").read_text())["settings"]
    assert settings["train"]["epochs"] == 2 and settings["seed"] == 0


def test_the_same_seed_gives_the_same_weights(short_run, data, small_experiment, monkeypatch, tmp_path):
    recordings_of(small_experiment, data)  # in memory, so that the new cache holds nothing but the run
    monkeypatch.setenv("KWS_CACHE", str(tmp_path))
    again = training.train(short(small_experiment), data)
    assert again.weights != short_run.weights and again.weights.parent.parent.parent == tmp_path
    for one, other in zip(short_run.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    different = training.train(short(small_experiment, seed=1), data)
    kernels = [
        (one, other)
        for one, other in zip(short_run.model().get_weights(), different.model().get_weights(), strict=True)
        if one.ndim > 1
    ]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in kernels)


def test_recordings_of_each_split(material, small_experiment):
    labels = small_experiment.task.labels
    assert np.bincount(material.evaluation["testing"][1], minlength=6).tolist() == [5] * 6
    assert np.bincount(material.evaluation["validation"][1], minlength=6).tolist() == [5] * 6
    for x, truth in material.evaluation.values():
        assert x.shape == (30, 30, 40, 1) and x.dtype == np.float32 and len(truth) == 30
    pool = material.pool
    assert np.bincount(pool.labels[~pool.synthetic], minlength=6)[:4].tolist() == [40] * 4
    assert set(pool.words[pool.synthetic]) >= {"yes", "left"}
    for word, label in zip(pool.words, pool.labels, strict=True):
        assert labels[label] == (word if word in small_experiment.task.keywords else "unknown")
    assert material.calibration.shape[1:] == (30, 40, 1) and len(material.calibration) > 60


def test_no_test_or_validation_clip_is_in_the_training_material(data, material, small_experiment):
    task, front_end = small_experiment.task, small_experiment.features
    index = dataset.load_index(data, task, front_end)
    pool = digests(material.pool.clips)
    training_clips, _, _ = dataset.load_clips(index[index.split == "training"], front_end)
    assert set(digests(training_clips)) & set(pool)
    calibration = digests(material.calibration)
    for split in ("validation", "testing"):
        held_back = index[index.split == split]
        clips, rows, _ = dataset.load_clips(held_back, front_end)
        assert len(rows) == len(held_back) >= 30
        assert not set(digests(clips)) & set(pool)
        assert not set(digests(material.evaluation[split][0])) & set(calibration)
        speakers = set(held_back[held_back.label != "silence"].speaker)
        assert speakers and not speakers & set(index[index.split == "training"].speaker)
    # nor a part of the noise that the silence of validation and test is cut from
    silent = index[(index.label == "silence") & (index.split != "training")]
    clips, _, _ = dataset.load_clips(silent, front_end)
    noise = material.pool.noise.tobytes()
    assert len(clips) and not any(np.ascontiguousarray(clip[:200]).tobytes() in noise for clip in clips)


def test_training_needs_no_test_clips_and_knows_its_recordings(data, material, small_experiment, monkeypatch):
    without = dataclasses.replace(material, evaluation={"validation": material.evaluation["validation"]})
    monkeypatch.setattr(training, "recordings", lambda *_: without)
    experiment = short(small_experiment, epochs=1, warmup_epochs=0)
    run = training.train(experiment, data)
    assert len(run.history) == 1
    with pytest.raises(KeyError, match="testing"):
        run.test(data)
    without = dataclasses.replace(without, digest="other recordings")
    assert training.train(experiment, data).weights != run.weights  # the run depends on the recordings


def test_an_interrupted_run_leaves_nothing_behind(data, small_experiment, monkeypatch):
    experiment, before = short(small_experiment, seed=7), run_files()
    true_judge, true_batch, epochs, drawn = training.judge, augment.Epochs.batch, [], []

    def judge(*arguments):
        epochs.append(len(epochs))
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return true_judge(*arguments)

    def batch(self, epoch, number):
        drawn.append((epoch, number))
        return true_batch(self, epoch, number)

    with monkeypatch.context() as patch:
        patch.setattr(training, "judge", judge)
        with pytest.raises(KeyboardInterrupt):
            training.train(experiment, data)
    assert len(epochs) == 2 and run_files() == before
    monkeypatch.setattr(augment.Epochs, "batch", batch)
    assert len(training.train(experiment, data).history) == 2
    assert len(run_files()) == len(before) + 2
    first, second = ({number for epoch, number in drawn if epoch == wanted} for wanted in (0, 1))
    assert first == second == set(range(len(first))) and len(first) > 5  # each epoch draws its own batches


def test_features_that_are_normalised_per_band(data, small_experiment):
    front_end = config.MFCC_FEATURES
    experiment = dataclasses.replace(short(small_experiment, epochs=1, warmup_epochs=0), features=front_end)
    settled = recordings_of(experiment, data)
    assert len(settled.front_end.mean) == 10 and settled.front_end.replace(mean=(), std=()) == front_end
    run = training.train(experiment, data)
    assert run.front_end == settled.front_end
    accuracy, _ = training.judge(run.model(), *settled.evaluation["validation"])
    assert accuracy == pytest.approx(run.history.val_accuracy.max(), abs=1e-9)
    x = settled.evaluation["testing"][0]
    assert np.abs(x.mean(axis=(0, 1, 3))).max() < 1.5 and 0.3 < x.std() < 3


def test_training_as_the_paper_did(data, small_experiment):
    plain = config.AS_PAPER.replace(epochs=2)
    run = training.train(dataclasses.replace(small_experiment, model="paper_cnn", options={}, train=plain), data)
    assert len(run.history) == 2 and run.history.loss[1] < run.history.loss[0]


def test_a_student_learns_from_its_teacher(data, small_experiment, short_run):
    teacher = short(small_experiment)
    student = dataclasses.replace(short(small_experiment, teacher_share=1.0), options={"width": 0.25}, teacher=teacher)
    before = run_files()
    run = training.train(student, data)
    assert len(run_files()) == len(before) + 2  # the teacher was there already
    assert run.experiment.to_dict()["teacher"] == teacher.to_dict()
    settings = json.loads(run.weights.with_suffix(".json").read_text())["settings"]
    assert settings["teacher"]["options"] == {"width": 0.5}
    alone = training.train(dataclasses.replace(student, teacher=None), data)
    assert alone.weights != run.weights
    assert abs(alone.history.loss[0] - run.history.loss[0]) > 1e-3


def test_many_runs_come_back_in_order(parallel_runs, capsys):
    experiments, runs, said = parallel_runs
    assert [run.experiment for run in runs] == experiments
    assert all(run.dataset == "synthetic (3007 files)" for run in runs)
    lines = said.splitlines()
    assert [line[:5] for line in lines] == ["[1/2]", "[2/2]"]
    assert all("paper6 tc_resnet_w0.5 short" in line and "1 epochs" in line for line in lines)
    assert {"seed 4:", "seed 5:"} == {found for line in lines for found in ("seed 4:", "seed 5:") if found in line}
    again = training.train_all(experiments, "synthetic", n_jobs=1)
    assert [run.seconds for run in again] == [run.seconds for run in runs]  # they were remembered
    assert all(len(run.model().get_weights()) for run in again)


def test_names_and_settings_of_experiments(small_experiment):
    assert small_experiment.label == "tc_resnet_w0.5"
    assert dataclasses.replace(small_experiment, model="ds_cnn", options={}).label == "ds_cnn"
    settings = small_experiment.to_dict()
    assert json.loads(json.dumps(settings, sort_keys=True))["options"] == {"width": 0.5}
    assert settings["model"] == "tc_resnet" and settings["seed"] == 0
    assert config.TaskConfig.from_dict(settings["task"]) == small_experiment.task
    assert config.FeatureConfig.from_dict(settings["features"]) == small_experiment.features


def test_missing_recordings_are_named(small_experiment, tmp_path):
    with pytest.raises(dataset.DatasetError, match="no_such_folder"):
        training.train(small_experiment, str(tmp_path / "no_such_folder"))


def test_judge_by_hand():
    class Network:
        def predict(self, x, **_):
            return np.array([[0.5, 0.25, 0.25], [0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])

    accuracy, loss = training.judge(Network(), np.zeros((3, 1, 1, 1)), np.array([0, 1, 1]))
    assert accuracy == pytest.approx(2 / 3)
    assert loss == pytest.approx((-np.log(0.5) - np.log(0.8) - np.log(1e-9)) / 3)

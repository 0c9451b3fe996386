"""Shared by all tests: a cache folder of their own, a small synthetic data set, and one small trained network."""

import contextlib
import dataclasses
import functools
import io
import types

import pytest

from kwslib import config, material, synthetic, training

N_CLIPS = 600  # 50 of every keyword: 40 for training, 5 for validation, 5 for test
SMALL_TRAINING = config.OURS.replace(
    name="small",
    epochs=10,
    batch_size=16,
    learning_rate=5e-3,
    warmup_epochs=1,
    average_momentum=0.8,
    label_smoothing=0.0,
    shift_ms=50.0,
    speed_probability=0.3,
    noise_probability=0.3,
    time_masks=0,
    band_masks=0,
)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or writes `data/`: everything cached goes to a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KWS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory):
    """A small data set in the Speech Commands layout, made by the synthesiser."""
    return synthetic.make_dataset(tmp_path_factory.mktemp("speech") / "small_speech", n_clips=N_CLIPS)


@pytest.fixture(scope="session")
def few_words():
    """The synthetic words that `material` joins to real recordings: 12 words instead of hundreds."""
    few = functools.partial(
        synthetic.make_words,
        words=("yes", "left", *synthetic.EXTRA_WORDS[40:50]),
        n_speakers=12,
        clips_per_word=3,
        clips_per_keyword=6,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(material, "synthetic", types.SimpleNamespace(make_words=few))
        yield


@pytest.fixture(scope="session")
def small_experiment():
    """A small network on the four keywords of the paper, trained in seconds."""
    return training.Experiment(
        "tc_resnet", config.PAPER6, config.PAPER_FEATURES, SMALL_TRAINING, options={"width": 0.5}
    )


@pytest.fixture(scope="session")
def small_run(small_experiment, speech_folder, few_words):
    """`small_experiment` trained on `speech_folder`."""
    return training.train(small_experiment, str(speech_folder))


@pytest.fixture(scope="session")
def parallel_runs(small_experiment):
    """Two short trainings side by side on the embedded data set, and what `train_all` printed."""
    train = SMALL_TRAINING.replace(name="short", epochs=1, warmup_epochs=0, batch_size=64)
    experiments = [dataclasses.replace(small_experiment, seed=seed, train=train) for seed in (5, 4)]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        runs = training.train_all(experiments, "synthetic", n_jobs=2)
    return experiments, runs, said.getvalue()

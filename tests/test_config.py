"""Settings: JSON there and back, and every wrong value refused with the field, the value and what is allowed."""

import dataclasses
import json
import math
import re

import pytest

from kwslib import config
from kwslib.config import ConfigError, FeatureConfig, TaskConfig, TrainConfig

READY_MADE = {name: value for name, value in vars(config).items() if dataclasses.is_dataclass(type(value))}
PER_BAND = config.MFCC_FEATURES.replace(mean=(0.5,) * 10, std=(1.5,) * 10)
NUMBERS = [
    (cls, field.name, field.type)
    for cls in (FeatureConfig, TaskConfig, TrainConfig)
    for field in dataclasses.fields(cls)
    if field.type in (int, float)
]


def test_ready_made_settings():
    assert {"PAPER_FEATURES", "MFCC_FEATURES", "PAPER6", "KWS10", "AS_PAPER", "OURS"} <= set(READY_MADE)
    assert config.PAPER_FEATURES.shape == (30, 40, 1)
    assert config.MFCC_FEATURES.shape == (49, 10, 1)
    assert config.PAPER6.labels == ("yes", "no", "left", "right", "unknown", "silence")
    assert len(config.KWS10.labels) == 10
    assert config.AS_PAPER.name != config.OURS.name


@pytest.mark.parametrize("settings", [*READY_MADE.values(), PER_BAND], ids=lambda settings: settings.name)
def test_json_there_and_back(settings):
    cls = type(settings)
    again = cls.from_dict(json.loads(settings.to_json()))
    assert again == settings and hash(again) == hash(settings)
    assert cls.from_dict(settings.to_dict()) == settings
    assert list(json.loads(settings.to_json())) == sorted(settings.to_dict())


def test_json_keeps_changes_and_fills_in_defaults():
    changed = FeatureConfig().replace(hop_samples=256, mel_low_hz=50)
    assert FeatureConfig.from_dict(json.loads(changed.to_json())).hop_samples == 256
    assert FeatureConfig.from_dict({"hop_samples": 256}) == FeatureConfig(hop_samples=256)
    whole_number = FeatureConfig.from_dict({"mel_low_hz": 50})
    assert isinstance(whole_number.mel_low_hz, float) and whole_number.mel_low_hz == 50


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.PAPER_FEATURES.hop_samples = 1


@pytest.mark.parametrize("value", [math.nan, -1e12])
@pytest.mark.parametrize("cls, field, _", NUMBERS, ids=[f"{cls.__name__}.{field}" for cls, field, _ in NUMBERS])
def test_no_number_may_be_anything(cls, field, _, value):
    """A field may be refused under the name of another one that it bounds: both names are in the message."""
    with pytest.raises(ConfigError, match="allowed is") as error:
        cls(**{field: value})
    assert field in str(error.value) and cls.__name__ in str(error.value) and repr(value) in str(error.value)


@pytest.mark.parametrize("cls, field, kind", NUMBERS, ids=[f"{cls.__name__}.{field}" for cls, field, _ in NUMBERS])
def test_numbers_of_the_wrong_type_are_refused(cls, field, kind):
    wrong = ["12", None, True, [1]] + ([2.5] if kind is int else [])
    for value in wrong:
        with pytest.raises(ConfigError, match="allowed is") as error:
            cls.from_dict({field: value})
        assert f"{cls.__name__}.{field} = {value!r}" in str(error.value)


@pytest.mark.parametrize(
    "cls, field, value, allowed",
    [
        (FeatureConfig, "kind", "mel", "'log_mel' or 'mfcc'"),
        (FeatureConfig, "sample_rate_hz", 3999, "4000 to 48000 Hz"),
        (FeatureConfig, "sample_rate_hz", 48001, "4000 to 48000 Hz"),
        (FeatureConfig, "fft_size", 1000, "a power of two"),
        (FeatureConfig, "fft_size", 32, "a power of two"),
        (FeatureConfig, "window_samples", 1025, "16 to fft_size (1024)"),
        (FeatureConfig, "window_samples", 15, "16 to fft_size (1024)"),
        (FeatureConfig, "hop_samples", 0, "1 to fft_size (1024)"),
        (FeatureConfig, "hop_samples", 1025, "1 to fft_size (1024)"),
        (FeatureConfig, "clip_samples", 1023, "fft_size (1024) to 10000000"),
        (FeatureConfig, "mel_bands", 0, "1 to 256"),
        (FeatureConfig, "mel_bands", 257, "1 to 256"),
        (FeatureConfig, "mel_low_hz", 8000.0, "0 up to mel_high_hz"),
        (FeatureConfig, "mel_high_hz", 8000.5, "half the sample rate (8000.0)"),
        (FeatureConfig, "coefficients", 10, "0 for log_mel"),
        (FeatureConfig, "floor_db", 1.0, "-200 to 0 dB"),
        (FeatureConfig, "floor_db", -201.0, "-200 to 0 dB"),
        (FeatureConfig, "normalisation", "peak", "'window', 'per_band' or 'none'"),
        (TaskConfig, "unknown_share", 20.5, "0 to 20"),
        (TaskConfig, "silence_share", -0.5, "0 to 20"),
        (TaskConfig, "seed", 2**31, "0 to 2**31 - 1"),
        (TrainConfig, "epochs", 0, "1 to 1000"),
        (TrainConfig, "batch_size", 0, "1 to 10000"),
        (TrainConfig, "learning_rate", 0, "1e-6 to 1"),
        (TrainConfig, "learning_rate", 2, "1e-6 to 1"),
        (TrainConfig, "schedule", "linear", "'cosine' or 'constant'"),
        (TrainConfig, "warmup_epochs", 1001, "0 to epochs"),
        (TrainConfig, "weight_decay", 1.5, "0 to 1"),
        (TrainConfig, "label_smoothing", 0.6, "0 to 0.5"),
        (TrainConfig, "average_momentum", 1.0, "0 to 0.9999"),
        (TrainConfig, "patience_epochs", 0, "1 to 1000"),
        (TrainConfig, "unknown_share", 21, "0 to 20"),
        (TrainConfig, "silence_share", 21, "0 to 20"),
        (TrainConfig, "synthetic_share", 1.1, "0 to 1"),
        (TrainConfig, "splice_share", 1.1, "0 to 1"),
        (TrainConfig, "shift_ms", 501, "0 to 500 ms"),
        (TrainConfig, "speed_probability", 1.1, "0 to 1"),
        (TrainConfig, "speed_percent", 51, "0 to 50 %"),
        (TrainConfig, "noise_probability", 1.1, "0 to 1"),
        (TrainConfig, "snr_low_db", 101, "-20 up to snr_high_db"),
        (TrainConfig, "snr_high_db", 101, "100 dB"),
        (TrainConfig, "gain_db", 41, "0 to 40 dB"),
        (TrainConfig, "time_masks", 101, "0 to 100"),
        (TrainConfig, "band_mask_bands", 101, "0 to 100"),
    ],
)
def test_wrong_values_are_refused_by_name(cls, field, value, allowed):
    with pytest.raises(ConfigError) as error:
        cls(**{field: value})
    message = str(error.value)
    name, _, rest = message.partition(" = ")
    shown, _, range_shown = rest.partition(": allowed is ")
    assert name == f"{cls.__name__}.{field}" and allowed in range_shown
    assert shown in (repr(value), repr(tuple(value) if isinstance(value, list) else value), f"{value}.0")
    with pytest.raises(ConfigError, match=re.escape(allowed)):
        cls.from_dict({field: value})
    with pytest.raises(ConfigError, match=re.escape(allowed)):
        cls().replace(**{field: value})


def test_the_ends_of_the_ranges_are_allowed():
    features = FeatureConfig(hop_samples=1024, window_samples=16, mel_bands=256, mel_high_hz=8000.0, floor_db=0.0)
    assert features.frames == 15 and features.bands == 256
    assert FeatureConfig(clip_samples=1024).frames == 1
    assert TaskConfig(unknown_share=0, silence_share=20, seed=2**31 - 1).silence_share == 20
    assert TrainConfig(epochs=1, warmup_epochs=0, synthetic_share=0.5, splice_share=0.5).epochs == 1
    assert TrainConfig(snr_low_db=10, snr_high_db=10).snr_low_db == 10


@pytest.mark.parametrize("coefficients", [0, 41])
def test_mfcc_needs_one_coefficient_for_each_band_at_most(coefficients):
    with pytest.raises(ConfigError, match=rf"coefficients = {coefficients}: allowed is 1 to mel_bands \(40\)"):
        FeatureConfig(kind="mfcc", coefficients=coefficients)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"normalisation": "per_band", "mean": (0.0,) * 40}, "40 and 0 values: allowed is 0 or 40"),
        ({"normalisation": "per_band", "mean": (0.0,) * 39, "std": (1.0,) * 39}, "39 and 39 values"),
        ({"mean": (0.0,) * 40, "std": (1.0,) * 40}, "allowed is 0 each for normalisation 'window'"),
        ({"normalisation": "per_band", "mean": (0.0,) * 40, "std": (0.0,) * 40}, "above 0"),
        ({"normalisation": "per_band", "mean": (0.0,) * 40, "std": (math.nan,) * 40}, "above 0"),
        ({"normalisation": "per_band", "mean": (0.0,) * 40, "std": (math.inf,) * 40}, "finite values above 0"),
        ({"normalisation": "per_band", "mean": (math.nan,) * 40, "std": (1.0,) * 40}, "finite values"),
        ({"normalisation": "per_band", "mean": ("a",) * 40, "std": (1.0,) * 40}, "mean = .* values of type float"),
        ({"normalisation": "per_band", "mean": (0.0,) * 40, "std": ("a",) * 40}, "std = .* values of type float"),
        ({"normalisation": "per_band", "mean": (True,) * 40, "std": (1.0,) * 40}, "mean = .* values of type float"),
    ],
)
def test_mean_and_std_must_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**changes)


def test_whole_numbers_of_mean_and_std_become_floats():
    whole = FeatureConfig(normalisation="per_band", mean=[0] * 40, std=[1] * 40)
    assert whole.mean == (0.0,) * 40 and {type(value) for value in whole.mean + whole.std} == {float}


@pytest.mark.parametrize(
    "keywords, message",
    [
        ((), "one or more different words"),
        (("yes", "yes"), "one or more different words"),
        (("yes", ""), "one or more different words"),
        (("yes", 3), "values of type str"),
        (("yes", "unknown"), "'unknown'"),
        (("silence",), "'silence'"),
    ],
)
def test_keywords_must_be_words(keywords, message):
    with pytest.raises(ConfigError, match=r"TaskConfig\.keywords.*allowed is") as error:
        TaskConfig(keywords=keywords)
    assert message in str(error.value)


def test_shares_of_unknown_are_at_most_all():
    with pytest.raises(ConfigError, match=r"synthetic_share \+ splice_share: allowed is at most 1"):
        TrainConfig(synthetic_share=0.7, splice_share=0.4)


@pytest.mark.parametrize("cls", [FeatureConfig, TaskConfig, TrainConfig])
def test_unknown_fields_and_wrong_names_are_refused(cls):
    with pytest.raises(ConfigError, match=f"{cls.__name__} has no field 'colour': allowed is name, "):
        cls.from_dict({"colour": 1})
    with pytest.raises(ConfigError, match=rf"{cls.__name__}\.name = 5"):
        cls.from_dict({"name": 5})


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (TrainConfig, "epochs", 2.5),
        (FeatureConfig, "hop_samples", 512.5),
        (FeatureConfig, "clip_samples", float("inf")),
        (FeatureConfig, "window_samples", True),
        (TaskConfig, "keywords", "yes"),
    ],
)
def test_a_wrong_type_is_refused_by_the_constructor(cls, field, value):
    with pytest.raises(ConfigError, match=rf"{cls.__name__}\.{field} = .*: allowed is a value of type"):
        cls(**{field: value})

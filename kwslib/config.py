"""Settings: what a feature is, what the task is, how a model is trained. Frozen, checked, JSON in and out."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass

CLOCK_HZ = 216_000_000  # of the board's core


def milliseconds(cycles):
    """Time of a number (or an array) of core cycles on the board, in milliseconds."""
    return 1e3 * cycles / CLOCK_HZ


class ConfigError(ValueError):
    """A setting has a wrong value; the message names the field, the value and what is allowed."""


def check(config, field, allowed, *, low=None, high=None, choices=None):
    """Refuse `config.field` outside `[low, high]` or `choices`; `allowed` is the text shown to the user."""
    value = getattr(config, field)
    if choices is not None:
        good = value in choices
    else:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and value == value and (low is None or value >= low) and (high is None or value <= high)
    if not good:
        raise ConfigError(f"{type(config).__name__}.{field} = {value!r}: allowed is {allowed}")


class Settings:
    """JSON in and out for dataclasses of settings; unknown fields and wrong types are refused by name."""

    def to_dict(self) -> dict:
        """Return the settings as a dict of JSON types."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return the settings as JSON text with sorted keys, fit for a cache key."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def _fix_types(self):
        """Give every field its declared type (a list becomes a tuple, 1 becomes 1.0), or raise ConfigError."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(type(self), field.name, getattr(self, field.name)))

    @classmethod
    def from_dict(cls, values: dict):
        """Build the settings from a dict; raises ConfigError for unknown fields, wrong types and wrong values."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ConfigError(f"{cls.__name__} has no field {unknown[0]!r}: allowed is {', '.join(fields)}")
        return cls(**values)

    def replace(self, **changes):
        """Return a copy with some fields changed (checked again)."""
        return dataclasses.replace(self, **changes)


def _typed(cls, name, value):
    """Return `value` as the type that field `name` declares (lists become tuples), or raise ConfigError."""
    declared = typing.get_type_hints(cls)[name]
    kind, allowed, items = typing.get_origin(declared) or declared, "a value", [value]
    many = kind is tuple and isinstance(value, (list, tuple))
    if many:
        kind, allowed, items = typing.get_args(declared)[0], "values", value
    if kind is float:
        items = [float(item) if type(item) is int else item for item in items]
    if not all(isinstance(item, kind) and (kind is bool or not isinstance(item, bool)) for item in items):
        raise ConfigError(f"{cls.__name__}.{name} = {value!r}: allowed is {allowed} of type {kind.__name__}")
    return tuple(items) if many else items[0]


@dataclass(frozen=True)
class FeatureConfig(Settings):
    """The front end: from a clip of samples to a [frames, bands] array.

    Every frame is causal: frame t covers samples `t * hop_samples` to `t * hop_samples + fft_size - 1`
    and nothing is padded, as a microcontroller sees the signal.
    """

    name: str = "paper"
    kind: str = "log_mel"  # "log_mel" or "mfcc"
    sample_rate_hz: int = 16000
    clip_samples: int = 16000
    window_samples: int = 1024  # length of the Hann window, centred in the FFT frame
    hop_samples: int = 512
    fft_size: int = 1024
    mel_bands: int = 40  # Slaney scale and area normalisation, librosa's default
    mel_low_hz: float = 0.0
    mel_high_hz: float = 8000.0
    coefficients: int = 0  # MFCC kept after the DCT; 0 for log_mel
    floor_db: float = -80.0  # a fixed floor: librosa's top_db needs the whole clip and is not causal
    normalisation: str = "window"  # "window": zero mean, unit variance per clip; "per_band": mean and std; "none"
    mean: tuple[float, ...] = ()  # for "per_band": of the training clips, empty until `features.fit_normalisation`
    std: tuple[float, ...] = ()

    def __post_init__(self):
        self._fix_types()
        check(self, "kind", "'log_mel' or 'mfcc'", choices=("log_mel", "mfcc"))
        check(self, "sample_rate_hz", "4000 to 48000 Hz", low=4000, high=48000)
        check(self, "fft_size", "a power of two from 64 to 8192", choices=[2**n for n in range(6, 14)])
        check(self, "window_samples", f"16 to fft_size ({self.fft_size})", low=16, high=self.fft_size)
        check(self, "hop_samples", f"1 to fft_size ({self.fft_size})", low=1, high=self.fft_size)
        check(self, "clip_samples", f"fft_size ({self.fft_size}) to 10000000", low=self.fft_size, high=10**7)
        check(self, "mel_bands", "1 to 256", low=1, high=256)
        half = self.sample_rate_hz / 2
        check(self, "mel_low_hz", f"0 up to mel_high_hz ({self.mel_high_hz})", low=0, high=self.mel_high_hz - 1)
        check(self, "mel_high_hz", f"above mel_low_hz up to half the sample rate ({half})", low=1, high=half)
        if self.kind == "mfcc":
            check(self, "coefficients", f"1 to mel_bands ({self.mel_bands})", low=1, high=self.mel_bands)
        else:
            check(self, "coefficients", "0 for log_mel", choices=(0,))
        check(self, "floor_db", "-200 to 0 dB", low=-200, high=0)
        check(self, "normalisation", "'window', 'per_band' or 'none'", choices=("window", "per_band", "none"))
        allowed = (0, self.bands) if self.normalisation == "per_band" else (0,)
        if len(self.mean) not in allowed or len(self.std) != len(self.mean):
            raise ConfigError(
                f"FeatureConfig.mean and std have {len(self.mean)} and {len(self.std)} values: allowed is "
                f"{' or '.join(map(str, allowed))} each for normalisation {self.normalisation!r}"
            )
        if not all(map(math.isfinite, self.mean)):
            raise ConfigError(f"FeatureConfig.mean = {self.mean!r}: allowed is finite values")
        if not all(0 < value < math.inf for value in self.std):
            raise ConfigError(f"FeatureConfig.std = {self.std!r}: allowed is finite values above 0")

    @property
    def frames(self) -> int:
        """Number of feature columns in one clip."""
        return 1 + (self.clip_samples - self.fft_size) // self.hop_samples

    @property
    def bands(self) -> int:
        """Number of values in one column."""
        return self.coefficients or self.mel_bands

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a model's input: (frames, bands, 1)."""
        return self.frames, self.bands, 1


# Wang & Li 2022: Hann 1024, hop 512, 40 Slaney mel bands 0-8 kHz, 10*log10, floor -80 dB, per-window normalisation.
PAPER_FEATURES = FeatureConfig()
# MLPerf Tiny keyword spotting: 30 ms window, 20 ms hop, 40 mel bands 20-4000 Hz, 10 MFCC.
MFCC_FEATURES = FeatureConfig(
    name="mfcc",
    kind="mfcc",
    window_samples=480,
    hop_samples=320,
    fft_size=512,
    mel_low_hz=20.0,
    mel_high_hz=4000.0,
    coefficients=10,
    normalisation="per_band",
)


@dataclass(frozen=True)
class TaskConfig(Settings):
    """Which words are keywords, and how many unknown and silence clips stand beside them.

    The shares are multiples of the mean number of clips a keyword has; with ten keywords 1.0 is the
    "10 percent unknown, 10 percent silence" of the Speech Commands reference code.
    """

    name: str = "kws10"
    keywords: tuple[str, ...] = ("yes", "no", "up", "down", "left", "right", "stop", "go")
    unknown_share: float = 1.0
    silence_share: float = 1.0
    seed: int = 59185  # draws unknown and silence clips for validation and test, the same for every model

    def __post_init__(self):
        self._fix_types()
        words = self.keywords
        if not words or len(set(words)) != len(words) or not all(words):
            raise ConfigError(f"TaskConfig.keywords = {words!r}: allowed is one or more different words")
        for word in ("unknown", "silence"):
            if word in words:
                raise ConfigError(f"TaskConfig.keywords holds {word!r}: allowed is any word but 'unknown', 'silence'")
        check(self, "unknown_share", "0 to 20", low=0, high=20)
        check(self, "silence_share", "0 to 20", low=0, high=20)
        check(self, "seed", "0 to 2**31 - 1", low=0, high=2**31 - 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs: the keywords, unknown, silence."""
        return (*self.keywords, "unknown", "silence")


PAPER6 = TaskConfig(name="paper6", keywords=("yes", "no", "left", "right"))
KWS10 = TaskConfig()


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a model is trained. Shares are multiples of the mean number of training clips a keyword has."""

    name: str = "ours"
    epochs: int = 80
    batch_size: int = 100
    learning_rate: float = 4e-3  # peak
    schedule: str = "cosine"  # after a linear rise over warmup_epochs; "constant" for no schedule
    warmup_epochs: int = 2
    weight_decay: float = 0.02  # decoupled (AdamW), on kernels only
    label_smoothing: float = 0.1
    average_momentum: float = 0.99  # moving average of the weights, used for validation and the saved model; 0: none
    teacher_share: float = 0.5  # part of the target that is the teacher's output, where an experiment has a teacher
    patience_epochs: int = 30  # early stopping on validation accuracy; the best epoch is kept
    unknown_share: float = 2.0  # unknown clips drawn for an epoch
    silence_share: float = 1.0
    synthetic_share: float = 0.35  # part of the unknown clips that is synthetic speech
    splice_share: float = 0.15  # part of the unknown clips that is cut together from two training clips
    shift_ms: float = 70.0  # largest shift to either side
    speed_probability: float = 0.5  # share of the clips that change speed
    speed_percent: float = 8.0  # largest change of speed (and pitch) to either side
    noise_probability: float = 0.6
    snr_low_db: float = 5.0
    snr_high_db: float = 40.0
    gain_db: float = 10.0  # largest change to either side
    time_masks: int = 1  # SpecAugment
    time_mask_frames: int = 3
    band_masks: int = 1
    band_mask_bands: int = 6

    def __post_init__(self):
        self._fix_types()
        check(self, "epochs", "1 to 1000", low=1, high=1000)
        check(self, "batch_size", "1 to 10000", low=1, high=10000)
        check(self, "learning_rate", "1e-6 to 1", low=1e-6, high=1)
        check(self, "schedule", "'cosine' or 'constant'", choices=("cosine", "constant"))
        check(self, "warmup_epochs", f"0 to epochs - 1 ({self.epochs - 1})", low=0, high=self.epochs - 1)
        check(self, "weight_decay", "0 to 1", low=0, high=1)
        check(self, "label_smoothing", "0 to 0.5", low=0, high=0.5)
        check(self, "average_momentum", "0 to 0.9999", low=0, high=0.9999)
        check(self, "patience_epochs", "1 to 1000", low=1, high=1000)
        for field in ("unknown_share", "silence_share"):
            check(self, field, "0 to 20", low=0, high=20)
        for field in ("teacher_share", "synthetic_share", "splice_share", "speed_probability", "noise_probability"):
            check(self, field, "0 to 1", low=0, high=1)
        if self.synthetic_share + self.splice_share > 1:
            raise ConfigError("TrainConfig.synthetic_share + splice_share: allowed is at most 1 together")
        check(self, "shift_ms", "0 to 500 ms", low=0, high=500)
        check(self, "speed_percent", "0 to 50 %", low=0, high=50)
        check(self, "snr_low_db", f"-20 up to snr_high_db ({self.snr_high_db})", low=-20, high=self.snr_high_db)
        check(self, "snr_high_db", "snr_low_db up to 100 dB", low=self.snr_low_db, high=100)
        check(self, "gain_db", "0 to 40 dB", low=0, high=40)
        for field in ("time_masks", "band_masks", "time_mask_frames", "band_mask_bands"):
            check(self, field, "0 to 100", low=0, high=100)


# Wang & Li 2022: Adam, batch 12, 40 epochs, cross entropy, nothing else.
AS_PAPER = TrainConfig(
    name="as_paper",
    epochs=40,
    batch_size=12,
    learning_rate=1e-3,
    schedule="constant",
    warmup_epochs=0,
    weight_decay=0.0,
    label_smoothing=0.0,
    average_momentum=0.0,
    patience_epochs=40,
    unknown_share=1.0,
    synthetic_share=0.0,
    splice_share=0.0,
    shift_ms=0.0,
    speed_probability=0.0,
    noise_probability=0.0,
    gain_db=0.0,
    time_masks=0,
    band_masks=0,
)
OURS = TrainConfig()

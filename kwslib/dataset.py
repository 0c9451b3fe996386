"""One index for every source of recordings, the official split by speaker, and clips loaded with a report.

An index is a pandas DataFrame, a row a clip:

- `path`: the file; `start`: first sample of the clip in it (not 0 only for silence cut from long noise recordings)
- `word`: the folder's name; `label`: the class in the task (a keyword, "unknown" or "silence")
- `speaker`: the part of the file name that names the speaker; `split`: "training", "validation" or "testing"
"""

import functools
import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kwslib import cache
from kwslib.audio import AudioError, read_audio, read_clip
from kwslib.config import FeatureConfig, TaskConfig

SPLITS = ("training", "validation", "testing")
NOISE_WORD = "_background_noise_"
SILENCE_WORD = "_silence_"
NOISE_REMEDY = f"put recordings of 10 s or more into {NOISE_WORD}/"
# Share of every noise recording, from its start, that belongs to training; validation and test follow.
NOISE_SHARES = {"training": (0.0, 0.8), "validation": (0.8, 0.9), "testing": (0.9, 1.0)}
_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}
_SUFFIXES -= {".raw"}  # no header: soundfile cannot know the sample rate


class DatasetError(ValueError):
    """A data source cannot be used; the message names the folder or setting and the remedy."""


def speaker_of(filename: str) -> str:
    """Speaker of a Speech Commands file: the name up to `_nohash_`, or the whole stem."""
    return Path(filename).stem.split("_nohash_")[0]


def which_set(filename: str) -> str:
    """Split of a file by the hash of its speaker, the rule of the Speech Commands README (`which_set`).

    80 percent of the speakers are in training, 10 each in validation and testing. Every clip of a speaker falls into
    the same split, whatever clips are added later.
    """
    clips_per_class = 2**27 - 1
    digest = hashlib.sha1(speaker_of(filename).encode()).hexdigest()
    percent = int(digest, 16) % (clips_per_class + 1) * (100.0 / clips_per_class)
    if percent < 10:
        return "validation"
    return "testing" if percent < 20 else "training"


def scan_folder(folder: str | Path) -> pd.DataFrame:
    """Index a folder in the Speech Commands layout: a sub-folder a word, any format that libsndfile reads.

    `validation_list.txt` and `testing_list.txt`, where present, have the last word on the split; other files
    follow `which_set`. Noise recordings (`_background_noise_`) have split "" and are cut up by `select`.

    Returns columns path, start, word, speaker, split, sorted by path. Raises DatasetError if there is nothing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give a Speech Commands folder (one sub-folder for each word)")
    listed = {}
    for split in ("validation", "testing"):
        path = folder / f"{split}_list.txt"
        if path.is_file():
            lines = filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines()))
            listed |= {Path(line).with_suffix("").as_posix(): split for line in lines}
    rows = []
    for path in sorted(folder.glob("*/*")):
        word = path.parent.name
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith(".") or word.startswith("."):
            continue
        if word == NOISE_WORD:
            split = ""
        else:
            default = "testing" if word == SILENCE_WORD else which_set(path.name)
            split = listed.get(f"{word}/{path.stem}", default)
        rows.append((str(path), 0, word, speaker_of(path.name), split))
    if not rows:
        raise DatasetError(f"{folder}: no recordings found; expected files such as {folder.name}/yes/NAME.wav")
    return pd.DataFrame(rows, columns=["path", "start", "word", "speaker", "split"])


def load_index(source: str | Path, task: TaskConfig, features: FeatureConfig) -> pd.DataFrame:
    """Index any source for a task.

    `source` is "synthetic" (made on first use), "speech_commands_v0.01" or "speech_commands_v0.02" (downloaded on
    first use), or a folder in that layout. Returns the columns of the module docstring; `index.attrs["dataset"]`
    names the source and its number of files.

    Raises DatasetError for a missing folder or a keyword without clips in a split.
    """
    from kwslib import download, synthetic

    if str(source) == "synthetic":
        folder = synthetic.make_dataset(cache.data_folder() / "synthetic")
    elif str(source) in download.VERSIONS:
        folder = download.fetch(str(source), cache.data_folder())
    else:
        folder = Path(source)
    scanned = scan_folder(folder)
    index = label_index(scanned, task, features)
    name = str(source) if str(source) in (*download.VERSIONS, "synthetic") else folder.resolve().name
    index.attrs["dataset"] = f"{name} ({len(scanned)} files)"
    return index


def label_index(scanned: pd.DataFrame, task: TaskConfig, features: FeatureConfig) -> pd.DataFrame:
    """Add `label` for a task and cut noise recordings into silence clips where a split has none of its own.

    Raises DatasetError for a keyword without clips in a split; "unknown" and "silence" may have none.
    """
    scanned = scanned.copy()
    for keyword in task.keywords:
        splits = set(scanned.loc[scanned.word == keyword, "split"])
        for split in SPLITS:
            if split not in splits:
                raise DatasetError(
                    f"keyword {keyword!r} has no {split} clips; add recordings of more speakers or choose other words"
                )
    scanned["label"] = "unknown"
    is_keyword = scanned.word.isin(task.keywords)
    scanned.loc[is_keyword, "label"] = scanned.word[is_keyword]
    scanned.loc[scanned.word.isin([SILENCE_WORD, NOISE_WORD]), "label"] = "silence"
    parts = [scanned[scanned.word != NOISE_WORD]]
    for split in SPLITS:
        if not ((scanned.label == "silence") & (scanned.split == split)).any():
            parts.append(_silence_rows(scanned[scanned.word == NOISE_WORD], split, features))
    index = pd.concat(parts, ignore_index=True)
    noise = scanned.loc[scanned.word == NOISE_WORD, "path"].tolist()
    index.attrs["noise"] = noise
    return index[["path", "start", "word", "label", "speaker", "split"]]


def count_table(index: pd.DataFrame) -> pd.DataFrame:
    """Clips of each label in each split (rows by label, then a total)."""
    table = index.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=SPLITS, fill_value=0)
    table = table.sort_index()
    table.loc["total"] = table.sum()
    return table.rename_axis(columns=None)


def _silence_rows(noise: pd.DataFrame, split: str, features: FeatureConfig) -> pd.DataFrame:
    """Cut the share of `split` of every noise recording into clips that overlap by half."""
    first, last = NOISE_SHARES[split]
    clip_samples, sample_rate_hz = features.clip_samples, features.sample_rate_hz
    rows = []
    for row in noise.itertuples():
        try:
            file = soundfile.info(row.path)
        except soundfile.LibsndfileError:
            continue  # load_noise names it
        samples = file.frames * sample_rate_hz // file.samplerate
        starts = range(int(samples * first), int(samples * last) - clip_samples + 1, clip_samples // 2)
        rows += [(row.path, start, row.word, row.speaker, split, "silence") for start in starts]
    return pd.DataFrame(rows, columns=["path", "start", "word", "speaker", "split", "label"])


def select(index: pd.DataFrame, task: TaskConfig, split: str) -> pd.DataFrame:
    """The clips of a split that a model is judged on: every keyword clip, and a fixed draw of unknown and silence.

    Unknown clips go round the words, one of each in turn, so that rare words count as much as frequent ones, as
    in the official test set, where all words are about equally frequent. The draw depends on `task.seed` only.
    """
    rows = index[index.split == split]
    keywords = rows[rows.label.isin(task.keywords)]
    per_keyword = len(keywords) / len(task.keywords)
    rng = np.random.default_rng(task.seed)
    unknown = rows[rows.label == "unknown"]
    unknown = unknown.iloc[rng.permutation(len(unknown))]
    turn = unknown.groupby("word").cumcount()
    unknown = unknown.iloc[np.argsort(turn.to_numpy(), kind="stable")][: round(task.unknown_share * per_keyword)]
    silence = rows[rows.label == "silence"]
    silence = silence.iloc[rng.permutation(len(silence))][: round(task.silence_share * per_keyword)]
    return pd.concat([keywords, unknown, silence]).sort_index()


def load_clips(index: pd.DataFrame, config: FeatureConfig):
    """Load every clip of an index, from the cache if it was loaded before.

    Returns `(clips, good, report)`: `clips` int16 [n_good, clip_samples] (16-bit recordings unchanged, finer ones
    rounded; a read-only memory map), `good` the rows of the index that could be loaded, in order, and `report` a
    DataFrame (path, problem) of every file that was padded, cut, mixed to mono, clamped or left out.
    One bad file never stops the run.
    """
    return map_clips("clips", None, {}, index, config)


def map_clips(kind, transform, depends_on: dict, index, config, *, resample=False, refresh=False):
    """Load every clip and apply `transform` (int16 [n, clip_samples] to an array [n, ...]; None: nothing) in two
    processes, with a cache in the folder `kind`; `depends_on` (JSON types) is what `transform` depends on. With
    `resample` recordings of another sample rate are converted and reported, not left out.

    Returns the array, the rows and the report as `load_clips` does.
    """

    def build():
        chunks = np.array_split(np.arange(len(index)), max(1, len(index) // 250))
        jobs = (
            delayed(_load_chunk)(index.path.iloc[c], index.start.iloc[c], config, resample, transform) for c in chunks
        )
        loaded = Parallel(n_jobs=2, return_as="generator")(jobs)
        few = len(chunks) < 100  # done in a moment, no bar needed
        loaded = list(tqdm(loaded, f"reading {kind}", len(chunks), leave=False, disable=few))
        good = [bool(ok) for _, flags, _ in loaded for ok in flags]
        problems = [problem for _, _, found in loaded for problem in found]
        return np.concatenate([values for values, _, _ in loaded]), {"good": good, "problems": problems}

    settings = _settings(index, config, resample) | depends_on
    values, notes = cache.cached_array(cache.data_folder() / "cache" / kind, settings, build, refresh)
    report = pd.DataFrame(notes["problems"], columns=["path", "problem"])
    return values, index[np.array(notes["good"], bool)], report


def _settings(index: pd.DataFrame, config: FeatureConfig, resample: bool) -> dict:
    """What loaded clips depend on: the content of every file in order, where the clip starts, and how it is read."""
    paths = list(dict.fromkeys(index.path))
    position = {path: number for number, path in enumerate(paths)}
    layout = np.array([index.path.map(position), index.start], np.int64).tobytes()
    return {
        "clip_samples": config.clip_samples,
        "sample_rate_hz": config.sample_rate_hz,
        "resample": resample,
        "content": cache.content_digest(paths),
        "layout": hashlib.sha256(layout).hexdigest(),
        "names": hashlib.sha256("\n".join(paths).encode()).hexdigest(),
    }


def _load_chunk(paths, starts, config, resample, transform):
    """Worker: returns transformed clips, a flag for each path, and (path, problem) pairs."""
    clips, flags, problems = [], [], []
    noise = None, None  # the last noise recording and its samples: the next clip mostly comes from the same one
    for path, start in zip(paths, starts, strict=True):
        try:
            if Path(path).parent.name == NOISE_WORD:
                if noise[0] != path:
                    noise = path, read_audio(path, config.sample_rate_hz, resample=resample)
                samples, notes = noise[1]
                samples = samples[start : start + config.clip_samples]
                if len(samples) < config.clip_samples:
                    raise AudioError(f"{path}: ends before sample {start + config.clip_samples}; load the index again")
            else:
                clip = read_clip(path, config.sample_rate_hz, config.clip_samples, resample=resample)
                samples, notes = clip.samples, clip.notes
        except AudioError as error:
            flags.append(False)
            problems.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        flags.append(True)
        problems += [(path, note) for note in notes]
        clips.append(np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16))
    clips = np.array(clips, np.int16).reshape(len(clips), config.clip_samples)
    return clips if transform is None else transform(clips), flags, problems


def load_noise(index: pd.DataFrame, split: str, config: FeatureConfig) -> np.ndarray:
    """The share of the background noise recordings that belongs to a split, end to end: int16 [samples].

    Recordings that cannot be read, or have another sample rate, are left out; one line says so. Raises DatasetError
    if less than one clip of noise is left.
    """
    first, last = NOISE_SHARES[split]
    parts, faults = [], []
    for path in index.attrs["noise"]:
        try:
            samples, _ = read_audio(path, config.sample_rate_hz)
        except AudioError as error:
            faults.append(str(error))
            continue
        parts.append(samples[int(len(samples) * first) : int(len(samples) * last)])
    if sum(map(len, parts)) < config.clip_samples:
        raise DatasetError("; ".join([f"less than one clip of {split} noise: {NOISE_REMEDY}", *faults]))
    if faults:
        tell(f"{len(faults)} of {len(index.attrs['noise'])} noise recordings left out: {faults[0]}")
    return np.round(np.concatenate(parts) * 32767).astype(np.int16)


@functools.cache
def tell(line: str) -> None:
    """Print a line, once, and only in the main process: the workers of a sweep load the same recordings."""
    if multiprocessing.current_process().name == "MainProcess":
        print(line, flush=True)

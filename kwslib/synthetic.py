"""The embedded data set: words spoken by a synthesiser, in the Speech Commands layout (16 kHz, 16 bit, 1 s).

It needs no download and shows that everything works; it says little about accuracy on people's voices.
"""

import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from kwslib.cache import PROJECT_FOLDER
from kwslib.config import KWS10
from kwslib.dataset import NOISE_WORD, DatasetError, which_set
from kwslib.download import building
from kwslib.espeak import ENGLISH, FOREIGN, Engine, SpeechError, timbres

VERSION = 1  # raise it when the same settings make other clips
RATE_HZ = 16000
KEYWORDS = KWS10.keywords
_WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
EXTRA_WORDS = tuple(_WORDS)  # KEYWORDS, the other 27 words of Speech Commands, common words of one to three syllables
_COMMANDS = EXTRA_WORDS[:35]  # the words of Speech Commands
_BABBLE = EXTRA_WORDS[len(KEYWORDS) :]
UNKNOWN_WORDS = _COMMANDS[len(KEYWORDS) :] + EXTRA_WORDS[35::30]
NOISES = ("white", "pink", "brown", "mains_hum", "babble", "clicks", "running_tap")
NOISE_SECONDS = 20
_SEED = 0  # of every draw
_CHUNKS = 4  # fixed, so that the clips do not depend on the number of processors
_SPLIT_CYCLE = ("training",) * 4 + ("validation",) + ("training",) * 4 + ("testing",)


@dataclass(frozen=True)
class Speaker:
    """A synthetic speaker; `key` (8 hex digits) is the speaker part of the file names."""

    key: str
    voice: str  # accent and variant, such as "en-us+f2"
    speed_wpm: int
    pitch: int  # 0 to 100
    pitch_range: int  # 0 to 100


def make_dataset(folder: str | Path, *, n_clips: int = 3000) -> Path:
    """Make the embedded data set: two thirds keywords, one third other words, and noise recordings of 20 s.

    120 speakers, split 80/10/10 percent; no timbre is in two splits. The same settings give the same bytes.
    A complete folder of the same settings is returned at once.

    Raises DatasetError for too few clips or a folder that was not made here, SpeechError without the synthesiser.
    """
    if n_clips < 120:
        raise DatasetError(f"n_clips = {n_clips}: allowed is 120 or more, so that every keyword is in every split")
    counts = dict.fromkeys(KEYWORDS, n_clips // 12)
    n_unknown = n_clips - 8 * (n_clips // 12)
    for number in range(n_unknown):
        word = UNKNOWN_WORDS[number % len(UNKNOWN_WORDS)]
        counts[word] = counts.get(word, 0) + 1
    return _make(Path(folder), counts, draw_speakers(120), NOISES)


def make_words(
    folder: str | Path,
    words: Sequence[str] = EXTRA_WORDS,
    *,
    n_speakers: int = 300,
    clips_per_word: int = 8,
    clips_per_keyword: int = 60,
) -> Path:
    """Make many different words as extra training material beside real recordings: all speakers are in training.

    Every third speaker has a foreign accent, and says none of the 35 words of Speech Commands. Same layout,
    guarantees and errors as `make_dataset`, without noise recordings.
    """
    if not words or min(n_speakers, clips_per_word, clips_per_keyword) < 1:
        raise DatasetError("make_words needs at least one word, one clip for each and one speaker")
    counts = {word: clips_per_keyword if word in KEYWORDS else clips_per_word for word in words}
    return _make(Path(folder), counts, draw_speakers(n_speakers, splits=("training",), foreign=True), ())


def draw_speakers(n: int, *, splits: Sequence[str] = _SPLIT_CYCLE, foreign: bool = False) -> list[Speaker]:
    """Draw `n` speakers whose splits (by `dataset.which_set`) go round `splits`; a family of timbres keeps its split.

    With `foreign` every third speaker has a voice of another language.
    """
    rng = np.random.default_rng([_SEED, n])
    families = timbres()
    names = sorted(families)
    rng.shuffle(names)
    pools = {split: [] for split in splits}
    for position, name in enumerate(names):
        pools[splits[position % len(splits)]] += families[name]
    speakers, used = [], {split: 0 for split in splits}
    for number in range(n):
        split = splits[number % len(splits)]
        variant = pools[split][used[split] % len(pools[split])]
        accent = rng.choice(FOREIGN if foreign and number % 3 == 2 else ENGLISH)
        used[split] += 1
        settings = (f"{accent}+{variant}", *(int(v) for v in rng.integers((95, 20, 20), (200, 80, 90))))
        attempt = 0
        while which_set(key := _key(_SEED, number, settings, attempt)) != split:
            attempt += 1
        speakers.append(Speaker(key, *settings))
    return speakers


def _key(*parts) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _make(folder: Path, counts: dict[str, int], speakers: list[Speaker], noises: Sequence[str]) -> Path:
    """Speak `counts[word]` clips of every word into a folder beside `folder`, then put it in place."""
    settings = {
        "made_by": "kwslib.synthetic",
        "version": VERSION,
        "seed": _SEED,
        "words": counts,
        "speakers": [asdict(speaker) for speaker in speakers],
        "noises": list(noises),
    }
    if _is_complete(folder, settings):
        return folder
    with building(folder) as part:
        _speak_all(part, counts, speakers, noises)
        (part / "manifest.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return folder


def _is_complete(folder: Path, settings: dict) -> bool:
    """Tell whether `folder` holds exactly these clips; refuse a folder that is not ours."""
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found == settings:
        return True
    if folder.exists() and found.get("made_by") != settings["made_by"] and any(folder.iterdir()):
        raise DatasetError(
            f"{folder}: exists and was not made by kwslib.synthetic; move it away or name another folder"
        )
    return False


def _speak_all(part: Path, counts: dict[str, int], speakers: list[Speaker], noises: Sequence[str]):
    """Share the clips out to speakers and the speakers to fresh processes, and show the progress."""
    from tqdm.auto import tqdm

    tasks = [[] for _ in speakers]
    turn = 0
    for word, count in counts.items():
        (part / word).mkdir()
        if word in KEYWORDS:
            turn = 0  # blocks of ten speakers hold every split, so that every keyword is in every split
        for _ in range(count):
            while word in _COMMANDS and speakers[turn % len(speakers)].voice.split("+")[0] in FOREIGN:
                turn += 1
            tasks[turn % len(speakers)].append(word)
            turn += 1
    talks = [[asdict(speaker), words] for speaker, words in zip(speakers, tasks, strict=True) if words]
    chunks = [talks[first::_CHUNKS] for first in range(min(_CHUNKS, len(talks)))]
    jobs = [{"folder": str(part), "noises": [], "speakers": chunk} for chunk in chunks]
    if noises:
        (part / NOISE_WORD).mkdir()
        talkers = [[asdict(speaker), []] for speaker in speakers[:12]]
        jobs.insert(0, {"folder": str(part), "noises": list(noises), "speakers": talkers})
    with (
        tqdm(total=sum(counts.values()), desc="synthetic speech", unit="clip") as progress,
        ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1))) as pool,
    ):
        for done in pool.map(_run_worker, jobs):
            progress.update(done)


def _run_worker(job: dict) -> int:
    """Run one job in a fresh process; returns the number of clips."""
    path = os.pathsep.join(filter(None, [str(PROJECT_FOLDER), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-m", "kwslib.synthetic"],
        check=False,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise SpeechError(f"synthetic speech failed: {last.removeprefix('kwslib.espeak.SpeechError: ')}")
    return sum(len(words) for _, words in job["speakers"])


def _work(job: dict):
    """Worker process: speak the clips of some speakers, and make the noise recordings if asked for."""
    engine = Engine()
    folder = Path(job["folder"])
    for fields, words in job["speakers"]:
        speaker = Speaker(**fields)
        for position, word in enumerate(words):
            rng = np.random.default_rng([_SEED, int(speaker.key, 16), zlib.crc32(word.encode()), position])
            clip = _make_clip(_speak(engine, speaker, word, rng), rng)
            name = f"{speaker.key}_nohash_{words[:position].count(word)}.wav"
            soundfile.write(folder / word / name, clip, RATE_HZ, subtype="PCM_16")
    talkers = [Speaker(**fields) for fields, _ in job["speakers"]]
    for number, kind in enumerate(job["noises"]):
        noise = _make_noise(kind, engine, talkers, np.random.default_rng([_SEED, number]))
        soundfile.write(folder / NOISE_WORD / f"{kind}.wav", noise, RATE_HZ, subtype="PCM_16")


def _speak(engine: Engine, speaker: Speaker, word: str, rng: np.random.Generator) -> np.ndarray:
    """Speak a word with the speaker's small variations: float32 at 16 kHz without silence at the ends, under 1 s."""
    import soxr

    pitch = int(np.clip(speaker.pitch + rng.integers(-8, 9), 0, 100))
    speed_wpm = int(speaker.speed_wpm * rng.uniform(0.88, 1.12))
    for _ in range(4):
        engine.set_voice(speaker.voice, speed_wpm=speed_wpm, pitch=pitch, pitch_range=speaker.pitch_range)
        samples = soxr.resample(engine.say(word), engine.rate_hz, RATE_HZ)
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
        if not len(loud) or np.abs(samples).max() < 0.01:
            raise SpeechError(f"voice {speaker.voice!r} says {word!r} without a sound; take the voice out")
        samples = samples[max(0, loud[0] - 160) : loud[-1] + 160]
        if len(samples) <= 0.95 * RATE_HZ:
            return samples
        speed_wpm = int(speed_wpm * 1.25)
    return samples[: int(0.95 * RATE_HZ)]


def _make_clip(word: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a word into one second, with a random place, colour, room, level and noise: float32 [16000]."""
    clip = np.zeros(RATE_HZ, np.float32)
    start = int(rng.integers(RATE_HZ - len(word) + 1))
    clip[start : start + len(word)] = word
    clip = np.convolve(clip, [1.0, rng.uniform(-0.7, 0.4)])[:RATE_HZ]  # a microphone's tilt
    if rng.random() < 0.5:  # a room: noise that decays, 0.1 to 0.5 s for 60 dB
        decay = np.exp(-6.9 * np.arange(4000) / (rng.uniform(0.1, 0.5) * RATE_HZ))
        room = rng.standard_normal(4000) * decay * rng.uniform(0.02, 0.12)
        room[0] = 1.0
        clip = np.fft.irfft(np.fft.rfft(clip, 32768) * np.fft.rfft(room, 32768))[:RATE_HZ]
    clip *= 10 ** (rng.uniform(-22, -1) / 20) / np.abs(clip).max()  # peak level
    noise = _coloured(RATE_HZ, rng.uniform(0, 2), rng)
    clip += noise * np.std(clip) * 10 ** (-rng.uniform(15, 50) / 20)
    return np.clip(clip, -1, 1).astype(np.float32)


def _coloured(n: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance whose power falls as 1 / f**slope (0 white, 1 pink, 2 brown) above 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum * np.maximum(hz, 20) ** (-slope / 2) * (hz >= 20), n)
    return noise / noise.std()


def _make_noise(kind: str, engine: Engine, talkers: list[Speaker], rng: np.random.Generator) -> np.ndarray:
    """A background recording of 20 s: float32 [320000], RMS about -26 dB."""
    n = NOISE_SECONDS * RATE_HZ
    seconds = np.arange(n) / RATE_HZ
    if kind in ("white", "pink", "brown"):
        noise = _coloured(n, {"white": 0, "pink": 1, "brown": 2}[kind], rng)
    elif kind == "mains_hum":
        tones = (
            np.sin(2 * np.pi * (50 * k * seconds + rng.random())) / k ** rng.uniform(0.5, 1.5) for k in range(1, 13)
        )
        noise = sum(tones) + 0.1 * _coloured(n, 1, rng)
    elif kind == "babble":
        noise = np.zeros(n)
        for talker in talkers:
            place = 0
            while place < n:
                word = _speak(engine, talker, str(rng.choice(_BABBLE)), rng)[: n - place]
                noise[place : place + len(word)] += word / np.std(word)
                place += len(word) + int(rng.integers(RATE_HZ // 4))
    else:
        rate, length, slope = {"clicks": (3, 400, 0), "running_tap": (60, 1600, 0.5)}[kind]
        noise = 0.03 * _coloured(n, 1, rng) if kind == "clicks" else 0.5 * _coloured(n, slope, rng)
        for place in rng.integers(0, n - length, int(rate * NOISE_SECONDS)):
            ring = np.sin(2 * np.pi * rng.uniform(400, 5000) * np.arange(length) / RATE_HZ)
            noise[place : place + length] += (
                rng.exponential() * ring * np.exp(-np.arange(length) / rng.uniform(20, length / 5))
            )
    return np.clip(0.05 * noise / noise.std(), -1, 1).astype(np.float32)


if __name__ == "__main__":
    _work(json.load(sys.stdin))

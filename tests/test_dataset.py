"""The index, the official split, the draw of unknown and silence clips, loading with a report, and the cache."""

import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from kwslib import cache, dataset
from kwslib.config import FeatureConfig, TaskConfig

RATE_HZ = 16000
TASK = TaskConfig(name="two", keywords=("yes", "no"))
FEATURES = FeatureConfig()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KWS_CACHE", str(folder))
    with joblib.parallel_config(backend="sequential"):  # in this process, where a test may watch
        yield folder


def names(split, count):
    """File names whose speakers fall into a split by the hash rule."""
    found = (f"{number:08x}_nohash_0.wav" for number in range(100_000))
    found = (name for name in found if dataset.which_set(name) == split)
    return [next(found) for _ in range(count)]


def write(path, seconds=1.0, seed=0, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng([seed, *path.name.encode()]).integers(-3000, 3000, int(seconds * RATE_HZ))
    soundfile.write(path, samples.astype(np.int16), settings.pop("rate_hz", RATE_HZ), **settings)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two keywords (10/4/4 clips), three other words (16/6/6 and twice 8/3/3), noise of 20 and 30 s: 94 files."""
    root = tmp_path / "speech"
    for word, counts in {
        "yes": (10, 4, 4),
        "no": (10, 4, 4),
        "bed": (16, 6, 6),
        "cat": (8, 3, 3),
        "dog": (8, 3, 3),
    }.items():
        for split, count in zip(dataset.SPLITS, counts, strict=True):
            for name in names(split, count):
                write(root / word / name, seed=len(word) + ord(word[0]))
    write(root / dataset.NOISE_WORD / "fan.wav", 20)
    write(root / dataset.NOISE_WORD / "tap.flac", 30)
    return root


def test_which_set_on_clips_of_the_official_lists():
    for name in ("23ad12d8_nohash_0.wav", "264f471d_nohash_0.wav", "2a89ad5c_nohash_0.wav"):
        assert dataset.which_set(name) == "validation"
    for name in ("0c540988_nohash_0.wav", "87070229_nohash_3.wav", "cd85758f_nohash_4.wav"):
        assert dataset.which_set(name) == "testing"
    for name in ("012c8314_nohash_0.wav", "012c8314_nohash_7.wav", "yes/012c8314_nohash_1.flac"):
        assert dataset.which_set(name) == "training"


def test_which_set_shares():
    splits = pd.Series([dataset.which_set(f"{number:08x}_nohash_0.wav") for number in range(4000)])
    shares = splits.value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"training": 0.8, "validation": 0.1, "testing": 0.1}, abs=0.02)


@pytest.mark.skipif(
    not os.environ.get("KWS_TEST_SPEECH_COMMANDS"), reason="set KWS_TEST_SPEECH_COMMANDS to a Speech Commands folder"
)
def test_which_set_agrees_with_every_official_list():
    root = Path(os.environ["KWS_TEST_SPEECH_COMMANDS"])
    scanned = dataset.scan_folder(root)
    words = scanned[~scanned.word.str.startswith("_")]
    assert len(words) > 10_000
    assert [dataset.which_set(path) for path in words.path] == words.split.tolist()
    assert len(words[["speaker", "split"]].drop_duplicates()) == words.speaker.nunique()
    listed = set((root / "testing_list.txt").read_text().split())
    testing = words[words.split == "testing"].path.map(lambda path: "/".join(Path(path).parts[-2:]))
    assert set(testing) == {line for line in listed if not line.startswith("_")}


def test_scan_reads_any_format_and_leaves_out_the_rest(folder):
    before = len(dataset.scan_folder(folder))
    write(folder / "yes" / "ab_nohash_1.FLAC")
    write(folder / "yes" / "ab_nohash_2.aif", format="AIFF")
    write(folder / "yes" / "ab_nohash_3.ogg")
    write(folder / "yes" / "._ab_nohash_0.wav")
    write(folder / ".git" / "ab_nohash_0.wav")
    write(folder / "stray.wav")
    (folder / "yes" / "notes.txt").write_text("not a recording")
    (folder / "yes" / "ab_nohash_4.raw").write_bytes(bytes(32000))
    (folder / "LICENSE").write_text("CC BY 4.0")
    scanned = dataset.scan_folder(folder)
    assert len(scanned) == before + 3
    assert set(scanned.columns) == {"path", "start", "word", "speaker", "split"}
    assert scanned.path.is_monotonic_increasing
    assert (scanned[scanned.speaker == "ab"].word == "yes").all()
    assert set(scanned[scanned.word == dataset.NOISE_WORD].split) == {""}


def test_official_lists_have_the_last_word(folder):
    clips = dataset.scan_folder(folder)
    moved = clips[(clips.word == "yes") & (clips.split == "training")].iloc[0]
    name = Path(moved.path).name
    (folder / "testing_list.txt").write_text(f"yes/{name}\n")
    (folder / "validation_list.txt").write_text(f"no/{Path(name).with_suffix('.flac')}\nmissing/a.wav\n")
    after = dataset.scan_folder(folder).set_index("path").split
    assert after[moved.path] == "testing"
    assert after[str(folder / "no" / name)] == "validation"  # another format than the list says
    changed = after[after != clips.set_index("path").split]
    assert len(changed) == 2


def test_names_in_lists_may_hold_blanks_and_any_letter(folder):
    for word in ("ice cream", "crème"):
        write(folder / word / names("training", 1)[0])
    lines = "".join(f"{word}/{names('training', 1)[0]} \n\n" for word in ("ice cream", "crème"))
    (folder / "testing_list.txt").write_text(lines, encoding="utf-8")
    scanned = dataset.scan_folder(folder)
    assert set(scanned[scanned.word.isin(["ice cream", "crème"])].split) == {"testing"}


def test_folders_without_recordings_are_refused(tmp_path):
    with pytest.raises(dataset.DatasetError, match="no such folder; give a Speech Commands folder"):
        dataset.scan_folder(tmp_path / "missing")
    (tmp_path / "yes").mkdir()
    with pytest.raises(dataset.DatasetError, match="no recordings found; expected files such as"):
        dataset.scan_folder(tmp_path)


def test_missing_keyword_is_named_with_its_split(folder):
    with pytest.raises(dataset.DatasetError, match="keyword 'left' has no training clips"):
        dataset.load_index(folder, TASK.replace(keywords=("yes", "left")), FEATURES)
    for name in names("testing", 4):
        (folder / "no" / name).unlink()
    with pytest.raises(dataset.DatasetError, match="keyword 'no' has no testing clips"):
        dataset.load_index(folder, TASK, FEATURES)


def test_labels_and_silence_of_separate_parts(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    assert index.attrs["dataset"] == "speech (94 files)"
    assert sorted(Path(path).name for path in index.attrs["noise"]) == ["fan.wav", "tap.flac"]
    assert index.groupby("label").word.unique().map(sorted).to_dict() == {
        "no": ["no"],
        "silence": [dataset.NOISE_WORD],
        "unknown": ["bed", "cat", "dog"],
        "yes": ["yes"],
    }
    silence = index[index.label == "silence"]
    for path, rows in silence.groupby("path"):
        length = soundfile.info(path).frames
        spans = {
            split: (part.start.min(), part.start.max() + FEATURES.clip_samples) for split, part in rows.groupby("split")
        }
        assert set(spans) == set(dataset.SPLITS)
        assert 0 == spans["training"][0] < spans["training"][1] <= spans["validation"][0]
        assert spans["validation"][1] <= spans["testing"][0]
        assert spans["testing"][1] <= length


def test_recorded_silence_is_preferred(folder):
    for name in ("1024.wav", "1037.wav"):
        write(folder / dataset.SILENCE_WORD / name)
    index = dataset.load_index(folder, TASK, FEATURES)
    silence = index[index.label == "silence"]
    assert set(silence[silence.split == "testing"].word) == {dataset.SILENCE_WORD}
    assert len(silence[silence.split == "testing"]) == 2
    assert set(silence[silence.split == "training"].word) == {dataset.NOISE_WORD}


def test_selection_is_balanced_and_the_same_every_time(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    chosen = dataset.select(index, TASK.replace(unknown_share=1.5), "testing")
    assert chosen.label.value_counts().to_dict() == {"yes": 4, "no": 4, "unknown": 6, "silence": 4}
    assert chosen[chosen.label == "unknown"].word.value_counts().to_dict() == {"bed": 2, "cat": 2, "dog": 2}
    assert set(chosen.split) == {"testing"}
    assert not chosen.index.duplicated().any()
    again = dataset.select(dataset.load_index(folder, TASK, FEATURES), TASK.replace(unknown_share=1.5), "testing")
    pd.testing.assert_frame_equal(chosen, again)
    other = dataset.select(index, TASK.replace(unknown_share=1.5, seed=1), "testing")
    assert set(other.index) != set(chosen.index)
    none = dataset.select(index, TASK.replace(unknown_share=0.0, silence_share=0.0), "validation")
    assert none.label.value_counts().to_dict() == {"yes": 4, "no": 4}


def faulty(folder):
    """Spoil five training clips of "yes" and make one usable with a note; returns file name to problem."""
    paths = [folder / "yes" / name for name in names("training", 6)]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:5000])
    soundfile.write(paths[2], np.array([0.0, np.nan]), RATE_HZ, subtype="FLOAT")
    write(paths[3], rate_hz=8000)
    write(paths[4], seconds=0.5)
    paths[5].write_bytes(np.random.default_rng(0).bytes(3000))
    problems = ("not readable", "truncated", "NaN", "8000 Hz instead of 16000 Hz", "padded", "not readable")
    return dict(zip((str(path) for path in paths), problems, strict=True))


def test_report_names_every_bad_file_and_the_others_are_loaded(folder):
    expected = faulty(folder)
    index = dataset.load_index(folder, TASK, FEATURES)
    index = index[index.label != "silence"]
    clips, good, report = dataset.load_clips(index, FEATURES)
    assert dict.fromkeys(report.path) == dict.fromkeys(sorted(expected))
    for path, problem in report.itertuples(index=False):
        assert expected[path] in problem
    assert len(clips) == len(good) == len(index) - 5
    assert (clips.dtype, clips.shape[1]) == (np.int16, FEATURES.clip_samples)
    for clip, path in zip(clips, good.path, strict=True):
        samples = soundfile.read(path, dtype="int16")[0]
        assert np.array_equal(clip[: len(samples)], samples)
        assert not clip[len(samples) :].any()


def test_a_source_of_bad_files_only_gives_no_clips(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    index = pd.DataFrame({"path": [str(path), str(tmp_path / "missing.wav")], "start": [0, 0]})
    clips, good, report = dataset.load_clips(index, FEATURES)
    assert (clips.shape, len(good), len(report)) == ((0, FEATURES.clip_samples), 0, 2)


def test_silence_clips_are_the_part_that_the_index_says(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    silence = index[(index.label == "silence") & (index.split == "validation")]
    clips, good, _ = dataset.load_clips(silence, FEATURES)
    assert len(good) == len(silence) > 0
    write(folder / dataset.NOISE_WORD / "fan.wav", 20, seed=99)
    clips, good, _ = dataset.load_clips(silence, FEATURES)  # a changed recording is read again
    for clip, row in zip(clips, good.itertuples(), strict=True):
        assert np.array_equal(clip, soundfile.read(row.path, dtype="int16")[0][row.start : row.start + len(clip)])


def test_silence_cut_from_noise_is_no_problem_to_report_but_a_shortened_recording_is(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    silence = index[(index.label == "silence") & index.path.str.endswith("fan.wav")]
    assert 0 in set(silence.start)
    assert dataset.load_clips(silence, FEATURES)[2].empty
    write(folder / dataset.NOISE_WORD / "fan.wav", 1.7)
    clips, good, report = dataset.load_clips(silence, FEATURES)
    assert len(clips) == len(good) < len(silence)
    assert len(report) >= len(silence) - len(good)
    assert set(report.path) == {str(folder / dataset.NOISE_WORD / "fan.wav")}


def test_noise_of_the_splits_is_disjoint_and_complete(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    parts = {split: dataset.load_noise(index, split, FEATURES) for split in dataset.SPLITS}
    assert [len(part) for part in parts.values()] == [50 * RATE_HZ * share // 10 for share in (8, 1, 1)]
    fan = soundfile.read(folder / dataset.NOISE_WORD / "fan.wav", dtype="int16")[0]
    assert np.abs(parts["training"][: 16 * RATE_HZ] - fan[: 16 * RATE_HZ].astype(int)).max() <= 1
    assert np.abs(parts["validation"][: 2 * RATE_HZ] - fan[16 * RATE_HZ : 18 * RATE_HZ].astype(int)).max() <= 1


def test_noise_that_is_missing_or_short_is_refused(folder):
    index = dataset.load_index(folder, TASK, FEATURES)
    index.attrs["noise"] = [str(folder / "gone.wav")]
    said = r"less than one clip of training noise: put recordings of 10 s or more into _background_noise_/; .*gone\.wav"
    with pytest.raises(dataset.DatasetError, match=said):
        dataset.load_noise(index, "training", FEATURES)
    index.attrs["noise"] = [str(write(folder / "short.wav", 9.9))]
    assert len(dataset.load_noise(index, "training", FEATURES)) == int(0.8 * 9.9 * RATE_HZ)
    with pytest.raises(dataset.DatasetError, match=r"less than one clip of testing noise: [^;]*$"):
        dataset.load_noise(index, "testing", FEATURES)


def test_noise_of_another_rate_is_left_out_as_clips_are(folder, capsys):
    path = write(folder / dataset.NOISE_WORD / "hum.wav", 20, rate_hz=8000)
    index = dataset.load_index(folder, TASK, FEATURES)
    assert len(dataset.load_noise(index, "testing", FEATURES)) == 5 * RATE_HZ
    said = capsys.readouterr().out
    assert said.startswith(f"1 of 3 noise recordings left out: {path}: 8000 Hz instead of 16000 Hz; convert it")
    dataset.load_noise(index, "testing", FEATURES)
    assert said.count("\n") == 1 and capsys.readouterr().out == ""  # said once
    silence = index[(index.label == "silence") & (index.split == "testing")]
    _, good, report = dataset.load_clips(silence, FEATURES)
    assert set(report.path) == {str(path)} and set(good.path) == set(silence.path) - {str(path)}


def test_cache_is_hit_until_a_file_changes(folder, own_cache, monkeypatch):
    index = dataset.load_index(folder, TASK, FEATURES)
    index = index[index.label == "yes"]
    reads = []
    real = dataset.read_clip
    monkeypatch.setattr(dataset, "read_clip", lambda path, *a, **k: reads.append(path) or real(path, *a, **k))
    first, _, _ = dataset.load_clips(index, FEATURES)
    assert len(reads) == len(index)
    again, good, _ = dataset.load_clips(index, FEATURES)
    assert len(reads) == len(index)
    assert np.array_equal(first, again)
    assert good.equals(index)
    with pytest.raises(ValueError, match="read-only"):
        again[0, 0] = 1

    changed = Path(index.path.iloc[3])
    write(changed, seed=99)
    after, _, _ = dataset.load_clips(index, FEATURES)
    assert len(reads) == 2 * len(index)
    assert [bool((a != b).any()) for a, b in zip(first, after, strict=True)] == [i == 3 for i in range(len(index))]

    dataset.load_clips(index.iloc[::-1], FEATURES)
    assert len(reads) == 3 * len(index)  # another order is another entry
    entries = sorted(path.suffix for path in (own_cache / "cache" / "clips").iterdir())
    assert entries == [".json"] * 3 + [".npy"] * 3


def test_interrupted_cache_leaves_no_entry(tmp_path, monkeypatch):
    array = np.arange(12).reshape(3, 4)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached_array(tmp_path, {"a": 1}, interrupted)
    assert list(tmp_path.iterdir()) == []

    def half(path, values, **_):
        Path(path).write_bytes(b"\x93NUMPY half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", half)
        with pytest.raises(OSError, match="No space left"):
            cache.cached_array(tmp_path, {"a": 1}, lambda: (array, {"n": 3}))
    assert [path for path in tmp_path.iterdir() if path.suffix == ".npy"] == []
    built, notes = cache.cached_array(tmp_path, {"a": 1}, lambda: (array, {"n": 3}))
    assert np.array_equal(built, array)
    assert notes == {"n": 3}


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("keep", [0, 7, -3])
def test_damaged_cache_entry_is_built_again(tmp_path, suffix, keep):
    array = np.arange(12).reshape(3, 4)
    cache.cached_array(tmp_path, {"a": 1}, lambda: (array, {"n": 3}))
    [path] = tmp_path.glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:keep])
    built, notes = cache.cached_array(tmp_path, {"a": 1}, lambda: (array + 1, {"n": 4}))
    assert np.array_equal(built, array + 1)
    assert notes == {"n": 4}
    assert len(list(tmp_path.iterdir())) == 2


def test_replacing_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), cache.replacing(path) as temporary:
        temporary.write_text("new, ha")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    with cache.replacing(path) as temporary:
        temporary.write_text("new")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.txt", "new")]

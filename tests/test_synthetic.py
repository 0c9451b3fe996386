"""Synthetic speech: the layout, the split by speaker, equal bytes from equal settings, and what goes wrong."""

import hashlib
import json
import sys

import numpy as np
import pytest
import soundfile

from kwslib import dataset, espeak, synthetic

N_CLIPS = 240


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return synthetic.make_dataset(tmp_path_factory.mktemp("synthetic") / "speech", n_clips=N_CLIPS)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_clip_is_one_second_and_heard(made):
    index = dataset.scan_folder(made)
    clips = index[index.word != dataset.NOISE_WORD]
    assert len(clips) == N_CLIPS
    seen = set()
    for path in clips.path:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, 16000, "PCM_16")
        samples = soundfile.read(path, dtype="int16")[0]
        assert np.abs(samples.astype(int)).max() > 1000
        seen.add(samples.tobytes())
    assert len(seen) == N_CLIPS


def test_keywords_are_in_every_split_and_speakers_and_timbres_in_one(made):
    index = dataset.scan_folder(made)
    index = index[index.word != dataset.NOISE_WORD]
    for keyword in synthetic.KEYWORDS:
        shares = index[index.word == keyword].split.value_counts(normalize=True)
        assert shares["training"] == pytest.approx(0.8)
        assert shares["validation"] == pytest.approx(0.1)
        assert shares["testing"] == pytest.approx(0.1)
    assert (index.groupby("speaker").split.nunique() == 1).all()
    assert (index.split == [dataset.which_set(path) for path in index.path]).all()

    family = {variant: name for name, variants in espeak.timbres().items() for variant in variants}
    splits = {}
    for speaker in synthetic.draw_speakers(120):
        splits.setdefault(family[speaker.voice.split("+")[1]], set()).add(dataset.which_set(f"{speaker.key}_nohash_0"))
    assert all(len(found) == 1 for found in splits.values())


def test_default_data_set_is_big_enough():
    assert len(set(synthetic.UNKNOWN_WORDS)) == len(synthetic.UNKNOWN_WORDS) >= 40
    assert not set(synthetic.UNKNOWN_WORDS) & set(synthetic.KEYWORDS)
    assert len(set(synthetic.EXTRA_WORDS)) == len(synthetic.EXTRA_WORDS) >= 400
    speakers = synthetic.draw_speakers(120)
    assert len({speaker.key for speaker in speakers}) == 120
    assert len({speaker.voice for speaker in speakers}) >= 60


def test_noise_recordings(made):
    paths = sorted((made / dataset.NOISE_WORD).glob("*.wav"))
    assert sorted(path.stem for path in paths) == sorted(synthetic.NOISES)
    for path in paths:
        samples, rate_hz = soundfile.read(path)
        assert (len(samples), rate_hz) == (20 * 16000, 16000)
        assert 0.02 < samples.std() < 0.1
    colours = {}
    for name in ("white", "pink", "brown"):
        power = np.abs(np.fft.rfft(soundfile.read(made / dataset.NOISE_WORD / f"{name}.wav")[0])) ** 2
        low, high = power[20 * 200 : 20 * 400].mean(), power[20 * 2000 : 20 * 4000].mean()  # bins of 1/20 Hz
        colours[name] = 10 * np.log10(low / high)
    # ten times the frequency: 0, 10 and 20 dB less
    assert colours == pytest.approx({"white": 0, "pink": 10, "brown": 20}, abs=0.7)


def test_equal_settings_give_equal_bytes(made, tmp_path):
    again = synthetic.make_dataset(tmp_path / "again", n_clips=N_CLIPS)
    assert digests(again) == digests(made)


def test_complete_folder_is_returned_and_other_settings_replace_it(tmp_path):
    folder = synthetic.make_words(
        tmp_path / "words", ["cat", "go"], n_speakers=3, clips_per_word=2, clips_per_keyword=3
    )
    index = dataset.scan_folder(folder)
    assert index.word.value_counts().to_dict() == {"go": 3, "cat": 2}
    assert set(index.split) == {"training"}
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    synthetic.make_words(folder, ["cat", "go"], n_speakers=3, clips_per_word=2, clips_per_keyword=3)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    synthetic.make_words(folder, ["dog"], n_speakers=1, clips_per_word=1)
    assert [path.parent.name for path in folder.glob("*/*")] == ["dog"]
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_commands_are_never_said_with_a_foreign_accent(tmp_path):
    folder = synthetic.make_words(
        tmp_path / "words", ["yes", "bed", "glass"], n_speakers=6, clips_per_word=8, clips_per_keyword=8
    )
    speakers = json.loads((folder / "manifest.json").read_text())["speakers"]
    accents = {speaker["key"]: speaker["voice"].split("+")[0] for speaker in speakers}
    said = {word: {accents[path.name[:8]] for path in (folder / word).iterdir()} for word in ("yes", "bed", "glass")}
    assert not (said["yes"] | said["bed"]) & set(espeak.FOREIGN)
    assert said["glass"] & set(espeak.FOREIGN)


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    good = synthetic.draw_speakers
    refused = lambda *args, **settings: [  # noqa: E731
        synthetic.Speaker(speaker.key, "en-gb+f1", 170, 50, 50) for speaker in good(*args, **settings)
    ]
    monkeypatch.setattr(synthetic, "draw_speakers", refused)
    with pytest.raises(espeak.SpeechError, match=r"voice 'en-gb\+f1' is refused"):
        synthetic.make_words(tmp_path / "words", ["cat"], n_speakers=1, clips_per_word=1)
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing_and_a_second_call_works(tmp_path, monkeypatch):
    real = synthetic._run_worker
    calls = []

    def interrupted(job):
        calls.append(real(job))  # clips are on disk when the interruption comes
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "_run_worker", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthetic.make_words(tmp_path / "words", ["cat"], n_speakers=1, clips_per_word=1)
    assert calls
    assert list(tmp_path.iterdir()) == []
    folder = synthetic.make_words(tmp_path / "words", ["cat"], n_speakers=1, clips_per_word=1)
    assert len(list(folder.glob("cat/*.wav"))) == 1


def test_settings_and_folders_that_are_refused(tmp_path):
    with pytest.raises(dataset.DatasetError, match="n_clips = 119: allowed is 120 or more"):
        synthetic.make_dataset(tmp_path / "few", n_clips=119)
    with pytest.raises(dataset.DatasetError, match="at least one word"):
        synthetic.make_words(tmp_path / "none", [])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not delete")
    with pytest.raises(dataset.DatasetError, match=r"was not made by kwslib\.synthetic; move it away"):
        synthetic.make_dataset(tmp_path / "mine", n_clips=120)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_missing_synthesiser_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(espeak.SpeechError, match="pip install espeakng-loader"):
        espeak.Engine()


def test_voiced_pitch_follows_the_setting():
    import librosa

    engine = espeak.Engine()
    found = []
    for pitch in (10, 90):
        engine.set_voice("en-us+m3", speed_wpm=120, pitch=pitch, pitch_range=0)
        found.append(np.nanmedian(librosa.yin(engine.say("learn"), fmin=50, fmax=500, sr=engine.rate_hz)))
    assert found[1] > 1.3 * found[0]

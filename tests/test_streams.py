"""Long streams: seeded, labelled where the words are, noise as loud as asked, nothing of another split."""

import numpy as np
import pytest

from kwslib import config, dataset, streams
from kwslib.config import PAPER_FEATURES
from kwslib.streams import StreamError

TASK = config.PAPER6


@pytest.fixture(scope="module")
def stream(speech_folder):
    return streams.make_stream(str(speech_folder), TASK, PAPER_FEATURES, "testing", 4, seed=1)


def test_the_same_seed_gives_the_same_stream(stream, speech_folder):
    make = lambda **changes: streams.make_stream(  # noqa: E731
        str(speech_folder), TASK, PAPER_FEATURES, **({"split": "testing", "minutes": 4, "seed": 1} | changes)
    )
    again = make()
    assert again.digest == stream.digest and again.words.equals(stream.words) and again.scenes.equals(stream.scenes)
    assert len({s.digest for s in (stream, make(seed=2), make(split="validation"))}) == 3


def test_length_and_scenes(stream):
    assert stream.audio.dtype == np.int16 and len(stream.audio) == 4 * 60 * 16000 and stream.hours == 4 / 60
    assert stream.scenes.kind.tolist() == ["keywords", "words", "keywords", "noise"] * 2
    assert stream.scenes.start.tolist() == [30 * 16000 * n for n in range(8)]
    assert set(stream.scenes.snr_db) <= set(streams.SNRS_DB)


def test_words_are_apart_and_in_their_scenes(stream):
    words = stream.words
    assert (words.start < words.end).all() and words.end.max() < len(stream.audio)
    assert (words.start.to_numpy()[1:] - words.end.to_numpy()[:-1]).min() >= streams.GAP_MS[0] * 16
    kind = stream.scenes.kind.to_numpy()[words.start // (30 * 16000)]
    keyword = words.label.isin(TASK.keywords)
    assert set(kind[keyword]) == {"keywords"} and set(kind) == {"keywords", "words"}
    assert 0.2 < keyword[kind == "keywords"].mean() < 0.8
    assert len(stream.keywords(TASK)) == keyword.sum() and not (words.label == "silence").any()
    counts = words[keyword].word.value_counts()
    assert set(counts.index) == set(TASK.keywords) and counts.max() - counts.min() <= 1  # in turn


def test_labels_are_where_the_words_are(stream, speech_folder):
    """In quiet scenes the labelled stretch is much louder than what is around it."""
    quiet = stream.words[stream.words.snr_db == max(streams.SNRS_DB)]
    assert len(quiet)
    power = lambda first, last: np.mean(stream.audio[first:last].astype(float) ** 2)  # noqa: E731
    for word in quiet.itertuples():
        assert np.sqrt(power(word.start, word.end)) == pytest.approx(streams.LEVEL, rel=0.15)
        assert power(word.start, word.end) > 30 * power(word.end + 8000 - 400, word.end + 8000)


def test_noise_is_as_loud_as_asked(stream):
    for scene in stream.scenes[stream.scenes.kind == "noise"].itertuples():
        piece = stream.audio[scene.start : scene.start + 30 * 16000].astype(float)
        found = 20 * np.log10(streams.LEVEL / np.sqrt(np.mean(piece**2)))
        assert found == pytest.approx(scene.snr_db, abs=0.2)


def test_clips_come_from_the_split(speech_folder, monkeypatch):
    asked = []
    load = dataset.load_clips

    def watched(index, *arguments, **options):
        asked.append(set(index.split))
        return load(index, *arguments, **options)

    monkeypatch.setattr(dataset, "load_clips", watched)
    streams.make_stream(str(speech_folder), TASK, PAPER_FEATURES, "validation", 0.5)
    assert asked == [{"validation"}]


def test_spoken_part():
    clip = np.zeros(16000, np.int16)
    clip[4000:8000] = 5000
    clip[8000:12000] = 100  # 34 dB below
    assert streams.spoken_part(clip) == (4000, 8000)
    assert streams.spoken_part(np.ones(16000, np.int16)) == (0, 16000)
    assert streams.spoken_part(np.zeros(16000, np.int16)) == (0, 16000)


def test_impossible_streams_are_named(speech_folder):
    for changes, text in (({"split": "test"}, "split 'test'"), ({"minutes": 0}, "minutes = 0")):
        with pytest.raises(StreamError, match=text):
            streams.make_stream(
                str(speech_folder), TASK, PAPER_FEATURES, **({"split": "testing", "minutes": 1} | changes)
            )


@pytest.mark.parametrize(
    ("folders", "missing"), [(TASK.keywords, "words that are no keywords"), (("house",), "keywords")]
)
def test_a_split_without_words_is_named(speech_folder, monkeypatch, folders, missing):
    """Also where recordings are there, but cannot be read."""
    load = dataset.load_clips
    monkeypatch.setattr(dataset, "load_clips", lambda index, config: load(index[index.word.isin(folders)], config))
    with pytest.raises(StreamError, match=rf"small_speech .*: no testing clips of {missing} can be read; add"):
        streams.make_stream(str(speech_folder), TASK, PAPER_FEATURES, "testing", 1)

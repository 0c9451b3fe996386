"""False alarms, misses, delay and thresholds on made-up scores; scores of networks over a stream against TFLM."""

import json

import numpy as np
import pandas as pd
import pytest
from small_models import small_tflite

from kwslib import artifacts, config, interpreters, stream_scores, streaming, streams
from kwslib.config import PAPER_FEATURES
from kwslib.frontend_host import HostFrontend
from kwslib.interpreters import _Tflm
from kwslib.stream_scores import FastNetwork
from kwslib.streaming import StreamingError
from kwslib.streams import Stream
from kwslib.tflite_graph import describe

TASK, HOP = config.PAPER6, 512
FACTS = {"task": "paper6", "model": "m", "granularity": "dense", "sparsity": 0.0, "data_type": "int8", "accuracy": 0.9}
FACTS |= {"model_file": "m.tflite", "sha256": "1234"}


def made_up(words, hops=3000):
    """A silent stream with `words`: (label, start hop, end hop)."""
    rows = [(label, label, first * HOP, last * HOP, 20) for label, first, last in words]
    table = pd.DataFrame(rows, columns=["word", "label", "start", "end", "snr_db"])
    return Stream("made up", "testing", 16000, np.zeros(hops * HOP, np.int16), table, pd.DataFrame())


def peaks(*places, hops=3000, width=5):
    """Scores that are 0 but for `places`: (class, hop, probability)."""
    scores = np.full((hops, len(TASK.labels)), -128, np.int8)
    for number, hop, probability in places:
        scores[hop : hop + width, number] = round(256 * probability) - 128
    return scores


STREAM = made_up([("yes", 100, 120), ("bird", 150, 170), ("no", 200, 210), ("yes", 300, 320), ("left", 400, 420)])
SCORES = peaks((0, 110, 0.9), (1, 160, 0.6), (1, 215, 0.8), (0, 311, 0.5), (3, 405, 0.7), (0, 1000, 0.4))


def rates(threshold, stream=STREAM, scores=SCORES):
    return streaming.rates(stream, TASK, scores, streaming.settings(TASK, 32, 1, threshold), HOP)


def test_hits_misses_and_false_alarms():
    found = rates(0.3)
    assert (found["keywords"], found["missed"], found["false_alarms"]) == (4, 1, 3)  # "left" was taken for "right"
    assert found["frr"] == 0.25 and found["fa_per_hour"] == pytest.approx(3 / (3000 * 0.032 / 3600))
    # after hops 110, 215 and 311, at their ends: 9 hops before the end of the word, 6 after it, 8 before
    assert found["delay_ms"] == pytest.approx(-8 * 32)
    assert {key: rates(0.65)[key] for key in ("missed", "false_alarms")} == {"missed": 2, "false_alarms": 1}
    nothing = rates(0.95)
    assert (nothing["frr"], nothing["fa_per_hour"]) == (1, 0) and np.isnan(nothing["delay_ms"])


@pytest.mark.parametrize(
    ("hop", "hit"), [(98, False), (99, True), (142, True), (143, False), (500, False)], ids=lambda value: str(value)
)
def test_a_hit_lies_between_the_start_of_a_word_and_a_while_after_its_end(hop, hit):
    """The end of hop 99 is the first sample of the word; 750 ms are 23.4 hops."""
    index = streaming.match(STREAM, TASK, np.array([hop]), np.array([0]), HOP)
    assert index.tolist() == [0 if hit else -1]


def test_a_late_detection_counts_for_the_word_before():
    stream = made_up([("yes", 100, 120), ("no", 135, 150)])
    match = lambda *pairs: streaming.match(  # noqa: E731
        stream, TASK, *(np.array(part) for part in zip(*pairs, strict=True)), HOP
    ).tolist()
    assert match((138, 0), (140, 1)) == [0, 1]
    assert match((110, 0), (138, 0), (140, 1)) == [0, -1, 1]  # the same word again is a false alarm
    assert match((110, 1)) == [-1] and match((110, 5)) == [-1]


def test_a_stream_without_keywords():
    stream = made_up([("bird", 150, 170)])
    found = rates(0.3, stream)
    assert found["keywords"] == 0 and np.isnan(found["frr"]) and found["false_alarms"] == 6


def test_curves_and_the_choice_of_a_point(monkeypatch):
    monkeypatch.setattr(streaming, "THRESHOLDS", (0.3, 0.45, 0.55, 0.85))
    points = streaming.curve(STREAM, TASK, SCORES, [1], HOP)
    assert points.frr.tolist() == [0.25, 0.25, 0.5, 0.75] and points.smoothing_hops.unique() == [1]
    assert points.false_alarms.tolist() == [3, 2, 2, 0]
    assert streaming.choose(points, 0.25).threshold == 0.45
    assert streaming.choose(points, 0.6).threshold == 0.45  # as few false alarms as at 0.55, and fewer missed
    assert streaming.choose(points, 0.8).threshold == 0.85
    assert streaming.choose(points, 0.2) is None


def test_threshold_comes_from_the_validation_stream_and_figures_from_the_test_stream():
    weak = np.where(SCORES > -128, SCORES - 30, SCORES).astype(np.int8)
    (row, none), points = streaming.operating_points(
        FACTS, TASK, (STREAM, SCORES), (STREAM, weak), (1, 4), HOP, (0.25, 0.1)
    )
    assert 0.45 < row["threshold"] / 65536 <= 0.5 and row["validation_frr"] == row["frr_target"] == 0.25
    assert row["frr"] == 0.5  # "yes" at 0.5 is now under the threshold
    assert row["fa_low"] < row["fa_per_hour"] < row["fa_high"] and row["release"] < row["threshold"]
    assert list(row) == list(none) == streaming.COLUMNS and row["format"] == "int8"
    assert np.isnan(none["threshold"]) and np.isnan(none["fa_per_hour"]) and none["validation_frr"] == 0.25
    assert len(points) == len(streaming.THRESHOLDS) and points.frr.max() == 1


def test_more_averaging_is_chosen_where_it_removes_short_alarms():
    scores = peaks((0, 110, 0.9), (1, 205, 0.9), (0, 310, 0.9), (2, 410, 0.9), width=20)
    scores[1000:2000:50, 0] = 127
    points = streaming.curve(STREAM, TASK, scores, (1, 8), HOP)
    assert streaming.choose(points[points.smoothing_hops == 1], 0).false_alarms == 20
    best = streaming.choose(points, 0)
    assert (best.smoothing_hops, best.false_alarms) == (8, 0)


def test_an_excerpt_shows_what_is_detected_hop_by_hop():
    config = streaming.settings(TASK, 32, 2, 0.3)
    piece = streams.cut(STREAM, 90 * HOP / 16000, 140 * HOP / 16000)
    assert piece.words.label.tolist() == ["yes", "bird", "no"] and len(piece.audio) == 140 * HOP
    assert piece.words.start.tolist() == [10 * HOP, 60 * HOP, 110 * HOP]
    table = streaming.excerpt(piece, TASK, SCORES[90:230], config, HOP)
    found = table[table.detected != ""]
    assert found.index.tolist() == [20, 70, 125] and found.detected.tolist() == ["yes", "no", "no"]
    assert found.hit.tolist() == [True, False, True] and len(table) == 140
    assert table.yes.max() == pytest.approx(0.9, abs=0.01) and table.time_s[20] == pytest.approx(21 * 0.032)
    with pytest.raises(streams.StreamError, match="the stream has 96 s"):
        streams.cut(STREAM, 90, 10)


def test_poisson_interval():
    assert streaming.poisson_interval(0, 1.0) == pytest.approx((0, 3.689), abs=1e-3)
    assert streaming.poisson_interval(10, 2.0) == pytest.approx((4.795 / 2, 18.390 / 2), abs=1e-3)


def test_scores_of_another_stream_are_refused():
    with pytest.raises(StreamingError, match="2999 hops of scores for a stream of 3000"):
        rates(0.3, scores=SCORES[:-1])


@pytest.fixture(scope="module")
def short(speech_folder):
    return streams.make_stream(str(speech_folder), TASK, PAPER_FEATURES, "testing", 0.5)


@pytest.mark.parametrize("fmt", ["int8", "float32"])
def test_fast_networks_answer_as_tflm_does(fmt, short):
    tflite = small_tflite(fmt)
    network, info = FastNetwork(tflite, "small"), describe(tflite)
    inputs = np.concatenate(list(stream_scores.windows(short.audio, PAPER_FEATURES, info.input)))
    assert inputs.shape == (937, 30, 40) and inputs.dtype == info.input.dtype
    found, tflm = network.run(inputs), _Tflm(tflite)
    for window, values in zip(inputs[::5], found[::5], strict=True):
        tflm.invoke(window[None, :, :, None])
        if fmt == "int8":
            assert (tflm.output().ravel() == values).all()
        else:
            np.testing.assert_allclose(values, tflm.output().ravel(), rtol=1e-5, atol=1e-7)


def test_windows_are_those_of_the_front_end_and_know_nothing_later(short):
    """A window over a whole clip has the clip's features but for the order of sums; a cut changes nothing before it."""
    tensor = describe(small_tflite("float32")).input
    whole = np.concatenate(list(stream_scores.windows(short.audio, PAPER_FEATURES, tensor)))
    first = 200 * HOP
    expected = HostFrontend(PAPER_FEATURES).features(short.audio[None, first : first + 16000])[0]
    np.testing.assert_allclose(whole[200 + 30], expected, atol=1e-5)
    part = np.concatenate(list(stream_scores.windows(short.audio[: 300 * HOP + 100], PAPER_FEATURES, tensor)))
    assert len(part) == 300 and (part == whole[:300]).all()


def test_scores_of_a_saved_model_come_from_the_cache(short, tmp_path, monkeypatch):
    meta = {"labels": list(TASK.labels), "task": TASK.to_dict(), "features": PAPER_FEATURES.to_dict()}
    meta |= {"dataset": "none", "train": {}, "seed": 0, "format": "int8", "accuracy": 0.5, "ci_low": 0, "ci_high": 1}
    path = artifacts.save_model(tmp_path, "small", small_tflite(), meta | {"n_test": 1})
    assert json.loads(path.with_suffix(".json").read_text())["name"] == "small"
    found = stream_scores.scores(path, short)
    assert found.shape == (937, 6) and found.dtype == np.int8 and len(np.unique(found)) > 3
    monkeypatch.setattr(stream_scores, "FastNetwork", None)  # would fail if it were computed again
    again = stream_scores.all_scores([path, path], short)
    assert all((scores == found).all() for scores in again)


def test_other_formats_are_rounded_to_int8():
    info = describe(small_tflite())
    assert stream_scores.as_int8(np.array([[-128, 127]], np.int8), info.output).tolist() == [[-128, 127]]
    floats = describe(small_tflite("float32")).output
    values = np.array([[0, 0.5, 1.0, 0.001]], np.float32)
    assert stream_scores.as_int8(values, floats).tolist() == [[-128, 0, 127, -128]]
    assert interpreters.dequantize_output(np.array([0], np.int8), info.output) == 0.5

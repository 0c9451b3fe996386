"""The firmware's decision code on this computer, against the same rules written down in Python, and on the board."""

import numpy as np
import pytest
from firmware_tree import FirmwareTree

from kwslib import decision
from kwslib.decision import ONE, Decision, DecisionConfig, DecisionError
from kwslib.machine import Firmware, Machine

PROGRAM = """
#include "board.h"
#include "../decision/decision.c"
#define HOPS 400
int8_t scores[HOPS][6];
int32_t detected[HOPS];
int main(void)
{
    static decision_t state;
    const decision_config_t config = {6, 7, 30000, 20000, 12, 0xf};
    decision_start(&state, &config);
    for (int32_t n = 0; n < HOPS; n++) {
        detected[n] = decision_step(&state, scores[n]);
    }
    return 0;
}
"""
BOARD = DecisionConfig(6, (0, 1, 2, 3), smoothing=7, threshold=30000, release=20000, refractory=12)


def config(**changes):
    settings = {"classes": 3, "keywords": (0, 1), "smoothing": 2, "threshold": ONE // 2, "release": ONE // 4}
    return DecisionConfig(**(settings | {"refractory": 0} | changes))


def score(*probabilities):
    """Scores of hops from the probability of the first class; the second has none, the third the rest."""
    return np.array([(round(256 * p) - 128, -128, round(256 * (1 - p)) - 129) for p in probabilities], np.int8)


def wander(hops, classes, seed=0):
    """Scores that rise and fall slowly, as those of a stream: int8 [hops, classes]."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(size=(hops, classes)), axis=0)
    power = np.exp(steps - steps.max(axis=1, keepdims=True))
    return (np.clip(np.rint(256 * power / power.sum(axis=1, keepdims=True)), 0, 255) - 128).astype(np.int8)


def by_rules(settings, scores):
    """The rules of decision.h, hop by hop, with the last hops kept in a list."""
    probability = scores.astype(int) + 128
    past = np.zeros((settings.smoothing, settings.classes), int)
    ready, quiet_until, found = set(settings.keywords), 0, []
    for hop, values in enumerate(probability):
        past = np.vstack([past[1:], values])
        average = past.sum(axis=0) * 256 // settings.smoothing
        ready |= {k for k in settings.keywords if average[k] < settings.release}
        over = [k for k in sorted(ready) if average[k] >= settings.threshold]
        if over and hop >= quiet_until:
            best = max(over, key=lambda k: (average[k], -k))
            found.append((hop, best))
            ready -= {best}
            quiet_until = hop + settings.refractory + 1
    return found


@pytest.mark.parametrize("seed", range(6))
def test_random_scores_follow_the_rules(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 13))
    scores = wander(5000, classes, seed)
    threshold = int(rng.integers(ONE // 4, ONE))
    settings = DecisionConfig(
        classes,
        tuple(range(classes - 1)),
        smoothing=int(rng.integers(1, 65)),
        threshold=threshold,
        release=int(rng.integers(1, threshold + 1)),
        refractory=int(rng.integers(0, 40)),
    )
    hops, found = decision.detections(settings, scores)
    assert list(zip(hops, found, strict=True)) == by_rules(settings, scores) != []


def test_steps_and_whole_runs_agree_and_runs_start_afresh():
    scores = wander(2000, 6)
    state = Decision(BOARD)
    detected = np.array([state.step(values) for values in scores])
    for _ in range(2):
        hops, found = decision.detections(BOARD, scores)
        assert (np.flatnonzero(detected >= 0) == hops).all() and (detected[hops] == found).all()


def test_scores_are_averaged_over_the_newest_hops():
    state = Decision(config(smoothing=4))
    seen = []
    for values in score(0.75, 0, 0, 0, 0.25, 0.25):
        state.step(values)
        seen.append(state.score(0))
    assert seen == [value * ONE // 16 for value in (3, 3, 3, 3, 1, 2)]
    averaged = decision.averaged(config(smoothing=4), score(0.5, 0.5, 0.5, 0.5, 0.5))
    assert averaged[:, 0].tolist() == [ONE // 8, ONE // 4, 3 * ONE // 8, ONE // 2, ONE // 2]
    assert not averaged[:, 1].any() and state.score(-1) == state.score(3) == 0


def test_a_keyword_that_stays_is_detected_once_until_it_falls_below_release():
    scores = score(*[0.8] * 10, *[0.3] * 5, *[0.8] * 5, *[0.1] * 3, *[0.8] * 3)
    assert decision.detections(config(), scores)[0].tolist() == [1, 24]
    assert decision.detections(config(release=ONE // 2), scores)[0].tolist() == [1, 15, 24]


def test_nothing_is_detected_in_the_refractory_time():
    scores = np.full((40, 3), -128, np.int8)
    scores[0:4, 0], scores[6:30, 1] = 100, 100
    settings = config(smoothing=1, refractory=10)
    assert [part.tolist() for part in decision.detections(settings, scores)] == [[0, 11], [0, 1]]
    assert [part.tolist() for part in decision.detections(config(smoothing=1), scores)] == [[0, 6], [0, 1]]


def test_only_keywords_are_detected():
    scores = np.full((20, 3), -128, np.int8)
    scores[:, 2] = 127
    assert not len(decision.detections(config(), scores)[0])
    assert decision.detections(config(keywords=(2,)), scores)[1].tolist() == [2]


def test_the_board_decides_the_same(tmp_path, monkeypatch):
    scores = wander(400, 6, seed=3)
    machine = Machine(Firmware.load(FirmwareTree(tmp_path, monkeypatch).build(PROGRAM) / "kws.elf"))
    assert machine.run(until="main") == "until"
    machine.write("scores", scores.tobytes())
    assert machine.run(seconds=1) == "idle"
    detected = np.frombuffer(machine.read("detected", 1600), np.int32)
    hops, found = decision.detections(BOARD, scores)
    assert len(hops) > 3
    assert (np.flatnonzero(detected >= 0) == hops).all() and (detected[hops] == found).all()


def test_settings_and_scores_that_do_not_fit_are_named():
    for changes, text in (
        ({"smoothing": 65}, "smoothing = 65: needed is 1 to 64"),
        ({"classes": 17}, "classes = 17"),
        ({"threshold": 0, "release": 0}, "threshold = 0"),
        ({"release": ONE}, "release"),
        ({"refractory": -1}, "refractory"),
        ({"keywords": (3,)}, "keywords"),
        ({"keywords": ()}, "keywords"),
    ):
        with pytest.raises(DecisionError, match=text):
            config(**changes)
    with pytest.raises(DecisionError, match=r"int8 \[hops, classes\]"):
        decision.detections(config(), np.zeros((5, 4), np.int8))
    with pytest.raises(DecisionError, match="float64"):
        Decision(config()).step(np.zeros(3))


def test_c_holds_settings_inside_their_range():
    """What the board is given by mistake neither overruns its memory nor divides by zero."""
    ffi, library = decision._load()
    state = ffi.new("decision_t *")
    wild = {"classes": 99, "smoothing": 0, "threshold": 0, "release": 9, "refractory": -5, "keywords": 0xFFFFFFFF}
    library.decision_start(state, ffi.new("decision_config_t *", wild))
    held = [getattr(state.config, name) for name in wild]
    assert held == [decision.MOST_CLASSES, 1, 1, 1, 0, 0xFFFF]
    library.decision_start(state, ffi.new("decision_config_t *", wild | {"smoothing": 999, "classes": -1}))
    assert (state.config.smoothing, state.config.classes) == (decision.MOST_SMOOTHING, 1)

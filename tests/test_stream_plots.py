"""Figures of notebook 08: what they draw is what the tables say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kwslib import stream_plots
from kwslib.config import CLOCK_HZ
from kwslib.streams import Stream


@pytest.fixture
def axis():
    plt.switch_backend("agg")
    fig, axis = plt.subplots()
    yield axis
    fig.canvas.draw()
    plt.close(fig)


def test_waveform_with_its_words(axis):
    words = pd.DataFrame({"word": ["yes", "bird"], "label": ["yes", "unknown"], "start": [1000, 9000]})
    words = words.assign(end=[5000, 12000], snr_db=20)
    audio = np.linspace(-8000, 8000, 16000).astype(np.int16)
    stream_plots.draw_waveform(axis, Stream("none", "testing", 16000, audio, words, pd.DataFrame()), ("yes",))
    assert [text.get_text() for text in axis.texts] == ["yes", "bird"]
    (shade,) = axis.patches  # the keyword only
    assert shade.get_x() == pytest.approx(1000 / 16000) and axis.get_xlim() == (0, 1)


def test_columns_lie_on_the_time_axis(axis):
    columns = np.arange(50 * 40, dtype=np.float32).reshape(50, 40)
    stream_plots.draw_columns(axis, columns, 0.032)
    (image,) = axis.images
    assert image.get_extent() == pytest.approx((0, 1.6, 0, 40)) and image.get_array().shape == (40, 50)


def test_decisions_filled_for_hits_and_open_for_false_alarms(axis):
    piece = pd.DataFrame({"time_s": [0.1, 0.2, 0.3], "yes": [0.2, 0.7, 0.6], "no": [0.1, 0.1, 0.8]})
    piece = piece.assign(detected=["", "yes", "no"], hit=[False, True, False])
    stream_plots.draw_decisions(axis, piece, ("yes", "no"), 0.5)
    marks = [line for line in axis.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_markerfacecolor() == "none") for line in marks] == [
        (0.2, False),
        (0.3, True),
    ]
    assert axis.lines[-1].get_ydata()[0] == 0.5


def test_curves_tell_granularity_and_sparsity(axis):
    rows = [("dense", 0.0, 0.3, 10, 0.1), ("dense", 0.0, 0.6, 0, 0.5), ("element", 0.8, 0.3, 20, 0.2)]
    rows += [("dense", 0.0, 0.1, 90, 0.4)]  # misses more than at 0.3, though the threshold is lower
    table = pd.DataFrame(rows, columns=["granularity", "sparsity", "threshold", "fa_per_hour", "frr"])
    stream_plots.draw_curves(axis, table)
    dense, element = axis.lines
    assert dense.get_xdata().tolist() == [10]  # no place for 0 on a logarithmic axis
    assert element.get_ydata().tolist() == [20] and element.get_label() == "element 80%"
    assert dense.get_color() != element.get_color() and dense.get_linestyle() != element.get_linestyle()


def test_false_alarms_leave_out_what_has_no_point(axis):
    table = pd.DataFrame({"model": "paper_cnn", "granularity": "element", "sparsity": [0.8, 0.5, 0.9]})
    table = table.assign(fa_per_hour=[20.0, 10.0, np.nan], fa_low=[15.0, 7.0, np.nan], fa_high=[26.0, 14.0, np.nan])
    stream_plots.draw_false_alarms(axis, table)
    assert not axis.patches
    (bars,) = axis.containers
    assert bars[0].get_xdata().tolist() == [50, 80] and bars[0].get_ydata().tolist() == [10, 20]


def test_false_alarms_of_the_dense_network_are_a_band(axis):
    row = {
        "model": "paper_cnn",
        "granularity": "dense",
        "sparsity": 0.0,
        "fa_per_hour": 9.0,
        "fa_low": 4,
        "fa_high": 17,
    }
    stream_plots.draw_false_alarms(axis, pd.DataFrame([row]))
    (band,) = axis.patches
    assert (band.get_y(), band.get_height()) == (4, 13)


def test_budget_bars_fill_the_hop(axis):
    cycles = {"frontend_cycles": 1, "inference_cycles": 4, "other_cycles": 0.5}
    row = {name: value * CLOCK_HZ / 1e3 for name, value in cycles.items()}
    row |= {"model": "paper6_m", "period_ms": 32.0, "cpu_load_percent": 17.2}
    engines = [row | {"engine": engine} for engine in ("static, best", "TFLM, cmsis_nn")]
    table = pd.DataFrame([*engines, row | {"model": "paper6_n", "engine": "static, best"}])
    stream_plots.draw_budget(axis, table)
    first = [bar for bar in axis.patches if bar.get_y() < 0.5]
    assert [round(bar.get_width(), 6) for bar in first] == [1, 4, 0.5, 26.5]
    said = [text.get_text() for text in axis.texts]
    assert said[0] == "5.50 ms, 17.2 % load" and "measured by them" in said[-1]
    assert [label.get_text() for label in axis.get_legend().get_texts()][-1] == "idle"
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["m\nstatic, best", "m\nTFLM, cmsis_nn", "n"]

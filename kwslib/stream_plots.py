"""Figures of notebook 08: a stretch of stream as the firmware hears it, curves, false alarms, the budget of a hop."""

import numpy as np
import pandas as pd

from kwslib.config import milliseconds
from kwslib.listen import STAGES
from kwslib.plotting import COLOURS, MARKERS, PALETTE, log_scale
from kwslib.streams import Stream

PAPER_MS = 37  # from one answer to the next, features included: Wang & Li 2022, measured by them
_STAGE_COLOURS = dict(zip(STAGES, PALETTE[1:], strict=False))
_LEVELS = {0.0: "-", 0.5: "-", 0.8: "--", 0.9: ":"}  # line styles by sparsity


def draw_waveform(axis, stream: Stream, keywords) -> None:
    """Draw the samples of a short stream over seconds, keywords shaded and named, other words named in grey."""
    rate, step = stream.sample_rate_hz, 8
    samples = stream.audio[::step] / 32768
    axis.plot(np.arange(len(samples)) * step / rate, samples, color="#777777", linewidth=0.4)
    top = 1.35 * np.abs(samples).max()
    for word in stream.words.itertuples():
        called = word.word in keywords
        if called:
            axis.axvspan(word.start / rate, word.end / rate, color="#dddddd", zorder=0)
        style = {"color": "black" if called else "#888888", "fontsize": 6, "ha": "center", "va": "top"}
        axis.text((word.start + word.end) / 2 / rate, top, word.word, **style)
    axis.set(ylabel="samples", ylim=(-top / 1.35, top), xlim=(0, len(stream.audio) / rate))
    axis.grid(False)


def draw_columns(axis, columns: np.ndarray, seconds_a_hop: float) -> None:
    """Draw the front end's columns [hops, bands], in dB, over seconds."""
    extent = (0, len(columns) * seconds_a_hop, 0, columns.shape[1])
    axis.imshow(columns.T, extent=extent, interpolation="nearest", vmin=np.quantile(columns, 0.05))
    axis.set(ylabel="mel band")
    axis.grid(False)


def draw_decisions(axis, piece: pd.DataFrame, keywords, threshold: float) -> None:
    """Draw the averaged score of each keyword over time, and detections: filled if right, open if a false alarm.

    `piece` is what `streaming.excerpt` gives.
    """
    for number, name in enumerate(keywords):
        colour = PALETTE[(number + 1) % len(PALETTE)]
        axis.plot(piece.time_s, piece[name], color=colour, linewidth=1, label=name)
        for hit, rows in piece[piece.detected == name].groupby("hit"):
            axis.plot(rows.time_s, rows[name], "o", mec=colour, mfc=colour if hit else "none", markersize=6)
    axis.axhline(threshold, color="black", linestyle=":", linewidth=1)
    axis.set(ylabel="averaged score", ylim=(0, 1.05))
    axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))


def draw_curves(axis, curves: pd.DataFrame) -> None:
    """Draw percent of keywords missed over false alarms an hour, a line for each granularity and sparsity.

    Thresholds so low that more keywords are missed again, as scores never fall below release, are left out.
    """
    for (granularity, sparsity), line in curves.groupby(["granularity", "sparsity"], sort=False):
        lowest = line.threshold[line.frr == line.frr.min()].max()
        line = line[(line.fa_per_hour > 0) & (line.threshold >= lowest)].sort_values("threshold")
        label = granularity if granularity == "dense" else f"{granularity} {sparsity:.0%}"
        style = {"color": COLOURS[granularity], "linestyle": _LEVELS.get(round(sparsity, 2), "-."), "label": label}
        axis.plot(line.fa_per_hour, 100 * line.frr, linewidth=1.2, **style)
    axis.set(xlabel="false alarms an hour", xscale="log")
    axis.xaxis.set_major_formatter("{x:g}")


def draw_false_alarms(axis, table: pd.DataFrame) -> None:
    """Draw false alarms an hour, with intervals, over sparsity: rows of `streaming.csv` of one network and target.

    The interval of the dense network is a band over the whole width.
    """
    for granularity, line in table[table.fa_per_hour.notna()].groupby("granularity", sort=False):
        line = line.sort_values("sparsity")
        bars = [line.fa_per_hour - line.fa_low, line.fa_high - line.fa_per_hour]
        style = {"color": COLOURS[granularity], "label": granularity, "marker": MARKERS[line.model.iloc[0]]}
        if granularity == "dense":
            axis.axhspan(line.fa_low.iloc[0], line.fa_high.iloc[0], color="#eeeeee", zorder=0)
        axis.errorbar(100 * line.sparsity, line.fa_per_hour, bars, markersize=3.5, capsize=2, linewidth=1, **style)
    axis.set_xlabel("weights or filters removed (%)")
    log_scale(axis, "y")


def draw_budget(axis, table: pd.DataFrame) -> None:
    """Draw the stages of a hop in ms as a bar for each row of `realtime.csv`, idle time up to the period in white."""
    for place, row in enumerate(table.itertuples()):
        left = 0.0
        for stage, colour in _STAGE_COLOURS.items():
            width = milliseconds(getattr(row, f"{stage}_cycles"))
            axis.barh(place, width, left=left, height=0.6, color=colour, label="" if place else STAGES[stage])
            left += width
        rest = {"color": "white", "edgecolor": "#999999", "linewidth": 0.6, "label": "" if place else "idle"}
        axis.barh(place, row.period_ms - left, left=left, height=0.6, **rest)
        axis.text(left + 0.4, place, f"{left:.2f} ms, {row.cpu_load_percent:.1f} % load", fontsize=7, va="center")
    axis.axvline(PAPER_MS, color="black", linestyle=":", linewidth=1)
    axis.text(PAPER_MS, -0.6, f"{PAPER_MS} ms: Wang & Li, measured by them ", fontsize=6, ha="right")
    names = table.model.str.removeprefix("paper6_")
    if names.duplicated().any():
        names = names.where(~names.duplicated(keep=False), names + "\n" + table.engine)
    axis.set_yticks(range(len(table)), names, fontsize=7)
    axis.set(xlabel="ms of a hop, estimated cycles at 216 MHz", xlim=(0, PAPER_MS + 1), ylim=(len(table) - 0.4, -1))
    axis.grid(False, axis="y")
    axis.legend(fontsize=7, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))

"""What a user of an always-on network feels: false alarms an hour, keywords missed, and the delay of detections."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2

from kwslib import decision
from kwslib.config import TaskConfig
from kwslib.decision import DecisionConfig
from kwslib.streams import Stream

TOLERANCE_MS = 750  # after the end of a keyword in which its detection still counts
REFRACTORY_MS = 500
RELEASE_SHARE = 0.8  # of the threshold
# Probabilities, close together near 1, where the few false alarms are.
THRESHOLDS = np.unique(np.concatenate([np.linspace(0.04, 0.9, 44), np.linspace(0.9, 0.996, 17)]))
COLUMNS = ["dataset", "task", "model", "granularity", "sparsity", "format", "frr", "fa_per_hour", "delay_ms"]
COLUMNS += ["threshold", "hours", "fa_low", "fa_high", "keywords", "missed", "false_alarms", "validation_frr"]
COLUMNS += [
    "fa_per_hour_curve",
    "fa_per_hour_curve_10",
    "smoothing_hops",
    "release",
    "refractory_hops",
    "accuracy",
    "model_file",
]


class StreamingError(ValueError):
    """Scores and stream do not belong together; the message says what is needed."""


def settings(task: TaskConfig, hop_ms: float, smoothing: int, threshold: float) -> DecisionConfig:
    """Decision of a task: `threshold` is a probability, `smoothing` is in hops of `hop_ms`."""
    units = max(1, round(threshold * decision.ONE))
    return DecisionConfig(
        classes=len(task.labels),
        keywords=tuple(range(len(task.keywords))),
        smoothing=smoothing,
        threshold=units,
        release=max(1, round(units * RELEASE_SHARE)),
        refractory=round(REFRACTORY_MS / hop_ms),
    )


def match(stream: Stream, task: TaskConfig, hops: np.ndarray, classes: np.ndarray, hop_samples: int) -> np.ndarray:
    """Tell which keyword each detection hits: int [detections], rows of `stream.keywords(task)`; -1 is a false alarm.

    A detection, at the end of its hop, is a hit if its keyword began before it and ended at most TOLERANCE_MS before
    it, and no detection hit that keyword before.
    """
    spoken = stream.keywords(task)
    starts, ends = spoken.start.to_numpy(), spoken.end.to_numpy()
    labels = spoken.label.map(task.labels.index).to_numpy()
    times = (hops + 1) * hop_samples
    found = np.full(len(hops), -1)
    if not len(spoken):
        return found
    last = np.searchsorted(starts, times, side="right") - 1
    for index in (last - 1, last):  # a late detection may come after the next keyword began
        place = np.maximum(index, 0)
        fits = (index >= 0) & (labels[place] == classes)
        fits &= times <= ends[place] + TOLERANCE_MS * stream.sample_rate_hz // 1000
        found = np.where(fits, index, found)
    first = np.unique(found, return_index=True)[1]
    found[np.setdiff1d(np.arange(len(found)), first)] = -1
    return found


def rates(stream: Stream, task: TaskConfig, scores: np.ndarray, config: DecisionConfig, hop_samples: int) -> dict:
    """Score a decision on a stream: keywords, missed, frr, false_alarms, fa_per_hour, and delay_ms.

    False alarms count over the whole length of the stream. `delay_ms` is the median over hits of the time from the end
    of the keyword to the end of the hop; NaN without hits. Raises StreamingError for scores of another stream.
    """
    if len(scores) != len(stream.audio) // hop_samples:
        raise StreamingError(f"{len(scores)} hops of scores for a stream of {len(stream.audio) // hop_samples} hops")
    hops, classes = decision.detections(config, scores)
    index = match(stream, task, hops, classes, hop_samples)
    spoken, hit = stream.keywords(task), index >= 0
    late = (hops[hit] + 1) * hop_samples - spoken.end.to_numpy()[index[hit]]
    keywords, hits, alarms = len(spoken), int(hit.sum()), int((~hit).sum())
    return {
        "keywords": keywords,
        "missed": keywords - hits,
        "frr": 1 - hits / keywords if keywords else np.nan,
        "false_alarms": alarms,
        "fa_per_hour": alarms / stream.hours,
        "delay_ms": 1000 * float(np.median(late)) / stream.sample_rate_hz if hits else np.nan,
    }


def curve(
    stream: Stream,
    task: TaskConfig,
    scores: np.ndarray,
    smoothing: int,
    hop_samples: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> pd.DataFrame:
    """Give `rates` for each of many thresholds (a DET curve): columns threshold and those of `rates`."""
    hop_ms = 1000 * hop_samples / stream.sample_rate_hz
    rows = []
    for threshold in thresholds:
        config = settings(task, hop_ms, smoothing, float(threshold))
        rows.append({"threshold": float(threshold)} | rates(stream, task, scores, config, hop_samples))
    return pd.DataFrame(rows)


def choose(points: pd.DataFrame, frr: float) -> float:
    """Highest threshold of a curve that misses at most the share `frr` of the keywords; NaN if none does."""
    return points.threshold[points.frr <= frr].max()


def fa_at(points: pd.DataFrame, frr: float) -> float:
    """Fewest false alarms an hour among the points of a curve that miss at most `frr`; NaN if none does."""
    return points.fa_per_hour[points.frr <= frr].min()


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """Exact 95 % interval of a rate an hour from a count."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return low / hours, chi2.ppf(0.975, 2 * count + 2) / 2 / hours


def smoothing_table(
    stream: Stream, task: TaskConfig, scores: np.ndarray, candidates: Sequence[int], hop_samples: int, frr: float
) -> pd.DataFrame:
    """False alarms and delay at the threshold for `frr`, for each number of averaged hops.

    Columns: smoothing_hops, and those of `curve`, NaN where `frr` is not reached.
    """
    rows = []
    for smoothing in candidates:
        points = curve(stream, task, scores, smoothing, hop_samples)
        best = points[points.threshold == choose(points, frr)]
        rows.append({"smoothing_hops": smoothing} | (best.iloc[0].to_dict() if len(best) else {}))
    return pd.DataFrame(rows).reindex(columns=["smoothing_hops", *points.columns])


def operating_point(
    facts: Mapping,
    task: TaskConfig,
    validation: tuple[Stream, np.ndarray],
    testing: tuple[Stream, np.ndarray],
    smoothing: int,
    hop_samples: int,
    frr: float,
) -> tuple[dict, pd.DataFrame]:
    """One row of `streaming.csv` and the curve of the test stream.

    `validation` and `testing` are a stream and the scores of the model over it. The threshold is chosen on the
    validation stream at `frr`; the row holds what the test stream gives with it: frr, fa_per_hour with its 95 %
    interval, delay_ms; NaN where no threshold reaches `frr`. `fa_per_hour_curve` is read off the curve of the test
    stream at `frr`, `fa_per_hour_curve_10` at 10 % missed. `facts` are columns of `kernel_study.saved_models`.
    """
    chosen = curve(*(validation[0], task, validation[1], smoothing, hop_samples))
    threshold, (stream, scores) = choose(chosen, frr), testing
    points = curve(stream, task, scores, smoothing, hop_samples)
    row = {name: facts[name] for name in ("task", "model", "granularity", "sparsity", "accuracy", "model_file")}
    row |= {"dataset": stream.dataset, "format": facts["data_type"], "hours": stream.hours}
    row |= {"smoothing_hops": smoothing, "fa_per_hour_curve": fa_at(points, frr)}
    row["fa_per_hour_curve_10"] = fa_at(points, 0.1)
    if np.isfinite(threshold):
        config = settings(task, 1000 * hop_samples / stream.sample_rate_hz, smoothing, threshold)
        row |= rates(stream, task, scores, config, hop_samples)
        row["fa_low"], row["fa_high"] = poisson_interval(row["false_alarms"], stream.hours)
        row |= {"threshold": config.threshold, "release": config.release, "refractory_hops": config.refractory}
        row["validation_frr"] = chosen.frr[chosen.threshold == threshold].iloc[0]
    return {name: row.get(name, np.nan) for name in COLUMNS}, points


def misses_by_snr(
    stream: Stream, task: TaskConfig, scores: np.ndarray, config: DecisionConfig, hop_samples: int
) -> pd.DataFrame:
    """Keywords missed at each signal-to-noise ratio: snr_db, keywords, missed, frr."""
    spoken = stream.keywords(task)
    index = match(stream, task, *decision.detections(config, scores), hop_samples)
    spoken["missed"] = ~spoken.index.isin(index)
    return spoken.groupby("snr_db").missed.agg(keywords="size", missed="sum", frr="mean").reset_index()


def excerpt(
    stream: Stream,
    task: TaskConfig,
    scores: np.ndarray,
    config: DecisionConfig,
    hop_samples: int,
    start_s: float,
    seconds: float,
) -> pd.DataFrame:
    """A piece of a stream hop by hop: time_s (end of the hop), the averaged probability of each keyword in a column of
    its name, detected ("" or a keyword) and hit.
    """
    seconds_a_hop = hop_samples / stream.sample_rate_hz
    first, last = round(start_s / seconds_a_hop), round((start_s + seconds) / seconds_a_hop)
    last = min(last, len(scores))
    averaged = decision.averaged(config, scores[:last])[first:] / decision.ONE
    table = pd.DataFrame(averaged[:, : len(task.keywords)], columns=task.keywords)
    table.insert(0, "time_s", np.arange(first + 1, last + 1) * seconds_a_hop)
    hops, classes = decision.detections(config, scores[:last])
    hit = match(stream, task, hops, classes, hop_samples) >= 0
    inside = hops >= first
    table["detected"], table["hit"] = "", False
    table.loc[hops[inside] - first, "detected"] = [task.labels[number] for number in classes[inside]]
    table.loc[hops[inside] - first, "hit"] = hit[inside]
    return table

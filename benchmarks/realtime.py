"""The live firmware on the emulated board: budget of a hop, load, overruns, and its detections beside the host's.

    python benchmarks/realtime.py [--data FOLDER] [--minutes 10] [--engine static tflm] [--results results]

FOLDER is in the Speech Commands layout; without it the synthetic set is used. Writes RESULTS/tables/realtime.csv. All
firmwares hear the same stream of test clips (kwslib/streams.py) and decide as notebook 08 chose for their model; the
estimated cycles of a hop are at 216 MHz. The table is written after each model; a model that the table has with the
same firmware, sound and decision (column `key`) is not run again. Engine tflm needs TFLM_ROOT.
"""

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, engine_c, live_build, plotting, stream_scores, tflm_library
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.decision import ONE, detections
from kwslib.listen import budget, listen
from kwslib.streams import make_stream

MODELS = {  # and the kernels
    "paper6_paper_cnn_ours_s0": "best",
    "paper6_paper_cnn_element-80_s0": "element",
    "paper6_tc_resnet_w2_ours_s0": "best",
    "paper6_tc_resnet_w2_element-80_s0": "element",
}
FIRMWARE = cache.PROJECT_FOLDER / "firmware_tflm"
FOLDERS = ("boards", "decision", "frontend", "kernels", "live", "tflm")  # of the sources of kws_live


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), metavar="NAME", help="some only")
    parser.add_argument("--engine", nargs="*", choices=live_build.ENGINES, default=["static"], help="what runs them")
    parser.add_argument("--results", type=Path, default=cache.PROJECT_FOLDER / "results")
    arguments = parser.parse_args()
    path = arguments.results / "tables" / "realtime.csv"
    known = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    rows = {(row["model"], row["engine"]): row for row in known.to_dict("records")}
    for name, engine in itertools.product(arguments.models, arguments.engine):
        ran = engine_name(name, engine)
        row = rows[name, ran] = measure(name, engine, ran, arguments.data, arguments.minutes, rows.get((name, ran), {}))
        print(pd.Series(row).to_string(), end="\n\n", flush=True)
        table = pd.DataFrame(sorted(rows.values(), key=lambda row: list(MODELS).index(row["model"])))
        plotting.save_table(table, "realtime", arguments.results)  # after each: a long run may be interrupted


def engine_name(name: str, engine: str) -> str:
    """What runs the network, for people."""
    if engine == "static":
        return f"static, {MODELS[name]}"
    return f"TFLM, {tflm_library.find(live_build.tflm_root()).kernels}"


def measure(name: str, engine: str, ran: str, data: str, minutes: float, known: dict) -> dict:
    """A row: one firmware over one stream; `known`, the row that the table has, if it is of the same key."""
    model = cache.PROJECT_FOLDER / "results" / "models" / f"{name}.tflite"
    _, meta = artifacts.load_model(model)
    task, features = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    stream = make_stream(data, task, features, "testing", minutes)
    decision, origin = live_build.default_decision(model)
    sources = cache.content_digest(path for folder in FOLDERS for path in sorted((FIRMWARE / folder).rglob("*.[chS]")))
    kernels = MODELS[name] if engine == "static" else None
    network = engine_c.texts(live_build.plan(model, kernels)[0]) if kernels else [meta["sha256"], ran]
    key = {"network": network, "sources": sources, "stream": stream.digest, "decision": asdict(decision)}
    key = cache.cache_key(key)
    if known.get("key") == key:
        print(f"{name}, {ran}: in the table already")
        return known
    print(f"{name}, {ran}: {decision.smoothing} hops averaged, threshold {decision.threshold / ONE:.2f}, {origin}")
    elf = live_build.build(model, kernels, decision, engine=engine)
    heard = listen(elf, stream.audio, progress=True)
    if heard.reason != "audio":
        raise SystemExit(f"{name}: the run ended early: {heard.reason}; {'; '.join(heard.notes)}")
    hops, classes = detections(decision, stream_scores.scores(model, stream))
    period_ms = 1000 * features.hop_samples / features.sample_rate_hz
    host = [(round((hop + 1) * period_ms), task.labels[label]) for hop, label in zip(hops, classes, strict=True)]
    board = list(zip(heard.detections.time_ms, heard.detections.keyword, strict=True))
    return {
        "firmware": "kws_live",
        "engine": ran,
        **budget(name, heard.statistics, period_ms),
        "detections": len(board),
        "detections_host": len(host),
        "detections_equal_host": bool(np.array_equal(board, host)),
        "smoothing_hops": decision.smoothing,
        "threshold": decision.threshold,
        "dataset": stream.dataset,
        "minutes": len(stream.audio) / stream.sample_rate_hz / 60,
        "times_real_time": heard.seconds / heard.host_seconds,
        "key": key,
    }


if __name__ == "__main__":
    main()

"""The live firmware on the emulated board: budget of a hop, load, overruns, and its detections beside the host's.

    python benchmarks/realtime.py [--data FOLDER] [--minutes 10] [--results results]

FOLDER is in the Speech Commands layout; without it the synthetic set is used. Writes RESULTS/tables/realtime.csv. All
firmwares hear the same stream of test clips (kwslib/streams.py); the estimated cycles of a hop are at 216 MHz.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, live_build, stream_scores
from kwslib import decision as decisions
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.kernel_study import CLOCK_HZ
from kwslib.listen import listen
from kwslib.streams import make_stream

MODELS = {  # and the kernels
    "paper6_paper_cnn_ours_s0": "best",
    "paper6_paper_cnn_element-80_s0": "element",
    "paper6_tc_resnet_w2_ours_s0": "best",
    "paper6_tc_resnet_w2_element-80_s0": "element",
}
STAGES = ("frontend", "inference", "other")


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), metavar="NAME", help="some only")
    parser.add_argument("--results", type=Path, default=cache.PROJECT_FOLDER / "results")
    arguments = parser.parse_args()
    path = arguments.results / "tables" / "realtime.csv"
    rows = []
    for name in arguments.models:
        rows.append(measure(name, arguments.data, arguments.minutes))
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
        with cache.replacing(path) as temporary:  # after each: a long run may be interrupted
            pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.6g")


def measure(name: str, data: str, minutes: float) -> dict:
    """A row: one firmware over one stream."""
    model = cache.PROJECT_FOLDER / "results" / "models" / f"{name}.tflite"
    _, meta = artifacts.load_model(model)
    task, features = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    stream = make_stream(data, task, features, "testing", minutes)
    decision = live_build.default_decision(meta)
    elf = live_build.build(model, MODELS[name], decision)
    heard = listen(elf, stream.audio, progress=True)
    if heard.reason != "audio":
        raise SystemExit(f"{name}: the run ended early: {heard.reason}; {'; '.join(heard.notes)}")
    hops, classes = decisions.detections(decision, stream_scores.scores(model, stream))
    period_ms = 1000 * features.hop_samples / features.sample_rate_hz
    host = [(round((hop + 1) * period_ms), task.labels[label]) for hop, label in zip(hops, classes, strict=True)]
    board = list(zip(heard.detections.time_ms, heard.detections.keyword, strict=True))
    sums = heard.statistics
    cycles = {f"{stage}_cycles": sums[f"{stage}_mean"] for stage in STAGES}
    most = sum(sums[f"{stage}_most"] for stage in STAGES)
    return {
        "firmware": "kws_live",
        "model": name,
        "engine": f"static, {MODELS[name]}",
        **cycles,
        "hop_ms": sum(cycles.values()) / CLOCK_HZ * 1e3,
        "most_hop_ms": most / CLOCK_HZ * 1e3,
        "period_ms": period_ms,
        "cpu_load_percent": sums["load"],
        "overruns": sums["overruns"],
        "stack_bytes": sums["stack_bytes"],
        "detections": len(board),
        "detections_host": len(host),
        "detections_equal_host": bool(np.array_equal(board, host)),
        "dataset": stream.dataset,
        "minutes": len(stream.audio) / stream.sample_rate_hz / 60,
        "times_real_time": heard.seconds / heard.host_seconds,
    }


if __name__ == "__main__":
    main()

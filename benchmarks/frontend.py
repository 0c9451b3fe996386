"""The front end in C: parity with librosa stage by stage, cycles of a hop, accuracy of models that it feeds.

    python benchmarks/frontend.py [--data FOLDER] [--clips 200] [--results results]

FOLDER is in the Speech Commands layout; without it the synthetic set is used. Writes RESULTS/tables/
frontend_parity.csv (on this computer and on the emulated board), frontend_speed.csv (instructions exact, cycles
estimated, on the emulated board) and frontend_accuracy.csv (all test clips, on this computer).
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, dataset, features, frontend_board, frontend_parity, interpreters
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.frontend_host import HostFrontend
from kwslib.tflite_graph import describe

MODELS = [
    cache.PROJECT_FOLDER / "results" / "models" / f"{name}.json"
    for name in ("paper6_paper_cnn_ours_s0", "kws10_ds_cnn_ours_s0")
]


def main() -> None:
    """Make the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--clips", type=int, default=200, help="clips of the parity")
    parser.add_argument("--results", type=Path, default=cache.PROJECT_FOLDER / "results")
    arguments = parser.parse_args()
    parity, speed, accuracy = [], [], []
    for path, elf in zip(MODELS, frontend_board.build(MODELS), strict=True):
        tflite, meta = artifacts.load_model(path.with_suffix(".tflite"))
        config, task = FeatureConfig.from_dict(meta["features"]), TaskConfig.from_dict(meta["task"])
        index = dataset.load_index(arguments.data, task, config)
        name = index.attrs["dataset"]
        index = dataset.select(index, task, "testing")
        clips, good, _ = dataset.load_clips(index, config)
        few = clips[np.linspace(0, len(clips) - 1, min(arguments.clips, len(clips))).astype(int)]
        for target, front in (
            ("host", HostFrontend(config)),
            ("emulated", frontend_board.BoardFrontend(elf, config)),
        ):
            table = frontend_parity.compare(front, few, describe(tflite).input)
            parity.append(_labelled(table, dataset=name, clips=len(few), setting=config.name, target=target))
        costs = frontend_board.BoardFrontend(elf, config, recorder=True).costs(few[0])
        speed.append(_labelled(costs, setting=config.name))
        accuracy.append(
            {
                "dataset": name,
                "model": meta["name"],
                "setting": config.name,
                **_judge(tflite, task, clips, good, config),
            }
        )
    for file, table in (
        ("frontend_parity.csv", pd.concat(parity)),
        ("frontend_speed.csv", pd.concat(speed)),
        ("frontend_accuracy.csv", pd.DataFrame(accuracy)),
    ):
        print(f"\n{file}\n{table.to_string(index=False)}")
        with cache.replacing(arguments.results / "tables" / file) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")


def _labelled(table, **labels):
    for column, value in reversed(labels.items()):
        table.insert(0, column, value)
    return table


def _judge(tflite, task, clips, good, config):
    """Accuracy of a model on the same clips, fed by librosa and by the C code."""
    true = good.label.map(task.labels.index).to_numpy()
    waves = (clip.astype(np.float32) / np.float32(32768) for clip in clips)
    by_librosa = np.stack([features.librosa_features(wave, config) for wave in waves])
    classes = [
        interpreters.predict(tflite, inputs).argmax(axis=1)
        for inputs in (by_librosa, HostFrontend(config).features(clips))
    ]
    percent = [100 * np.mean(found == true) for found in classes]
    return {
        "clips": len(clips),
        "librosa_percent": percent[0],
        "c_percent": percent[1],
        "difference_points": percent[1] - percent[0],
        "same_class_percent": 100 * np.mean(classes[0] == classes[1]),
    }


if __name__ == "__main__":
    main()

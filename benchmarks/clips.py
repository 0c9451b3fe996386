"""How many clips of each keyword are enough: networks trained on ever fewer of them, judged on the same test clips.

    python benchmarks/clips.py --data FOLDER [--clips 10 30 100 300] [--seeds 0 1 2] [--results results]

FOLDER is in the Speech Commands layout. Of every keyword CLIPS training clips are drawn, anew for each seed, and
validation clips in proportion; all else of the folder, and every test clip, stays. The last row of each seed has all
clips. Training is that of notebook 02 without its teacher network, and with up to four times as many epochs where
there are fewer clips. Writes RESULTS/tables/clips.csv: int8 in TFLM. Points are cached, so the run may be killed.
"""

import argparse
import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import cache, config, dataset, plotting, points, recipes, sweep
from kwslib.compress import Variant

NETWORKS = ("paper_cnn", "tc_resnet_w2")
MOST_EPOCHS = 4  # times those of the recipe
COLUMNS = ["dataset", "task", "model", "clips", "speakers", "validation_clips", "seed", "epochs"]
COLUMNS += ["n_test", "accuracy", "ci_low", "ci_high"]


def thin(source: Path, keywords: tuple[str, ...], clips: int, seed: int, folder: Path) -> pd.DataFrame:
    """Make `folder` a copy of `source`, by links, with `clips` training clips of each keyword.

    Validation clips are thinned by the same factor, to one at least. Returns the index of the keywords' clips that are
    left, as `dataset.scan_folder` has it. Raises DatasetError for a keyword that has fewer training clips.
    """
    scanned, rng = dataset.scan_folder(source), np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for entry in sorted(source.iterdir()):
        if entry.name not in keywords:
            (folder / entry.name).symlink_to(entry.resolve())
    kept = []
    for keyword in keywords:
        words = scanned[scanned.word == keyword]
        parts = {split: words[words.split == split] for split in dataset.SPLITS}
        if clips > len(parts["training"]):
            raise dataset.DatasetError(
                f"{source}: {keyword!r} has {len(parts['training'])} training clips, not {clips}"
            )
        fewer = max(1, round(clips * len(parts["validation"]) / len(parts["training"])))
        for split, count in (("training", clips), ("validation", fewer)):
            parts[split] = parts[split].iloc[np.sort(rng.permutation(len(parts[split]))[:count])]
        kept += parts.values()
        (folder / keyword).mkdir()
        for path in map(Path, pd.concat(parts.values()).path):
            (folder / keyword / path.name).symlink_to(path.resolve())
    return pd.concat(kept, ignore_index=True)


def point(clips: int, seed: int, effort: recipes.Effort, source: str) -> list[dict]:
    """Rows of both networks, trained on `clips` clips of each keyword; 0 stands for all."""
    task, folder = config.PAPER6, Path(source)
    scanned = dataset.scan_folder(folder)
    every = scanned[scanned.word.isin(task.keywords)]
    left = every
    if clips:
        folder = cache.data_folder() / "clips" / f"{clips}_{seed}"
        left = thin(Path(source), task.keywords, clips, seed, folder)
    counts = left.groupby("split").size() / len(task.keywords)
    longer = min(MOST_EPOCHS, (every.split == "training").sum() / (left.split == "training").sum())
    training = left[left.split == "training"]
    facts = {
        "dataset": f"{Path(source).resolve().name} ({len(scanned)} files)",
        "clips": counts["training"],
        "speakers": training.groupby("word").speaker.nunique().mean(),
        "validation_clips": counts["validation"],
        "seed": seed,
    }
    rows = []
    for name in NETWORKS:
        experiment = recipes.experiment(name, task, effort, seed)
        train = experiment.train
        times = {key: round(longer * getattr(train, key)) for key in ("epochs", "warmup_epochs", "patience_epochs")}
        experiment = dataclasses.replace(experiment, teacher=None, train=train.replace(**times))
        rows.append(points.pruned(Variant(experiment), str(folder)) | facts | {"epochs": times["epochs"]})
    return [{name: row[name] for name in COLUMNS} for row in rows]


def measure(source: str, clips: list[int], seeds: list[int], effort: recipes.Effort) -> pd.DataFrame:
    """The table: COLUMNS, a row for each network, number of clips and seed."""
    grid = sweep.grid(clips=[*clips, 0], seed=seeds, effort=effort)
    names = "\n".join(str(path) for path in dataset.scan_folder(source).path)
    digest = hashlib.sha256(names.encode()).hexdigest()
    folder = cache.data_folder() / "cache" / "sweeps"
    table = sweep.run(point, grid, folder, version=1, data=digest, fixed={"source": source}, title="clips")
    return table[[*COLUMNS, "error"]] if table.error.astype(bool).any() else table[COLUMNS]


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--clips", nargs="*", type=int, default=[10, 30, 100, 300], help="training clips of a keyword")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=cache.PROJECT_FOLDER / "results")
    arguments = parser.parse_args()
    table = measure(arguments.data, arguments.clips, arguments.seeds, recipes.FULL)
    print(table.to_string(index=False))
    if "error" in table:
        raise SystemExit("some points failed; run it again")
    plotting.save_table(table, "clips", arguments.results)


if __name__ == "__main__":
    main()

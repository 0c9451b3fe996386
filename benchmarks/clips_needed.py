"""How many clips of a word are enough: a network trained on ever more of them, judged on the same test clips.

    python benchmarks/clips_needed.py --data FOLDER [--keywords up,down,stop,go] [--clips 25 100 400]

FOLDER is in the Speech Commands layout. Of each keyword the first clips of the training part are kept, and an eighth as
many of the validation part; other words, noise and the test part stay whole. Writes
--results/tables/clips_needed.csv.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from kwslib import cache, config, dataset, plotting, recipes, study, training
from kwslib.training import Experiment


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--keywords", default="up,down,stop,go")
    parser.add_argument("--clips", type=int, nargs="+", default=[25, 100, 400], help="of a word, for training")
    parser.add_argument("--results", type=Path, default=cache.PROJECT_FOLDER / "results")
    arguments = parser.parse_args()
    task, rows = recipes.task(arguments.keywords), []
    for clips in arguments.clips:
        rows.append(measure(Path(arguments.data).resolve(), task, clips))
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    plotting.save_table(pd.DataFrame(rows), "clips_needed", arguments.results)


def measure(data: Path, task: config.TaskConfig, clips: int) -> dict:
    """A row: `tc_resnet_w1` without a teacher, which would have to be trained on as few clips."""
    recipe = config.OURS.replace(epochs=recipes.FULL.short_epochs)
    experiment = Experiment("tc_resnet", task, config.PAPER_FEATURES, recipe, 0, {"width": 1.0})
    with tempfile.TemporaryDirectory() as folder:
        few = fewer(data, Path(folder) / data.name, task, {"training": clips, "validation": max(2, clips // 8)})
        run = training.train(experiment, str(few))
        table, predicted = study.assess(run, str(few), folder)
        unknown = study.recalls([run], [predicted], str(few)).set_index("label").recall["unknown"]
    int8 = table[table.format == "int8"].iloc[0]
    facts = {"dataset": data.name, "keywords": " ".join(task.keywords), "model": experiment.label, "clips": clips}
    facts |= {name: int8[name] for name in ("accuracy", "ci_low", "ci_high", "n_test")}
    return facts | {"recall_unknown": unknown, "minutes": round(run.seconds / 60, 1)}


def fewer(data: Path, folder: Path, task: config.TaskConfig, most: dict[str, int]) -> Path:
    """A folder of links to `data` with at most so many clips of each keyword in some of the splits."""
    index = dataset.scan_folder(data)
    turn = index.groupby(["word", "split"]).cumcount()
    limit = index.split.map(most).where(index.word.isin(task.keywords)).fillna(len(index))
    for path in map(Path, index.path[turn < limit]):
        link = folder / path.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    for name in ("validation_list.txt", "testing_list.txt"):
        if (data / name).is_file():
            (folder / name).symlink_to(data / name)
    return folder


if __name__ == "__main__":
    main()

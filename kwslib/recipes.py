"""Which network is trained how, in one place, so that every notebook finds the trained networks of notebook 02."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kwslib import config
from kwslib.config import ConfigError, TaskConfig
from kwslib.finetune import TuneConfig
from kwslib.training import Experiment

TASKS = {task.name: task for task in (config.PAPER6, config.KWS10)}
# What the board will run: levels of each granularity.
BOARD_LEVELS = {
    "element": (0.5, 0.7, 0.8, 0.9, 0.95),
    "block4": (0.5, 0.7, 0.8, 0.9),
    "vector": (0.5, 0.8),
    "filter": (0.5, 0.75),
}


@dataclass(frozen=True)
class Effort:
    """Epochs of each kind of training, and the seeds.

    Fine-tuning epochs are for `paper_cnn`, which trains fast and needs more, and for the other networks.
    """

    epochs: int = 50  # of our own training
    short_epochs: int = 40  # of the slow and of the small network
    teacher_epochs: int = 60
    paper_epochs: int = 40  # of the paper's training
    tune_epochs_paper: int = 20
    tune_epochs: int = 5
    bank_epochs: int = 8  # different epochs of examples for all fine-tunings
    qat_epochs: int = 3
    seeds: tuple[int, ...] = (0, 1, 2)


FULL = Effort()
QUICK = Effort(
    epochs=5,
    short_epochs=6,
    teacher_epochs=4,
    paper_epochs=4,
    tune_epochs_paper=3,
    tune_epochs=2,
    bank_epochs=2,
    qat_epochs=1,
    seeds=(0,),
)


def experiment(label: str, task: TaskConfig, effort: Effort, seed: int, *, as_paper: bool = False) -> Experiment:
    """The training of one network: "paper_cnn", "ds_cnn", or "tc_resnet_w2" (any width).

    `ds_cnn` sees MFCC and has no teacher; the others see the paper's features and learn from a `tc_resnet` of width 3
    that was trained with the first seed. `as_paper` is the paper's own training. Raises ConfigError for another label.
    """
    ours = config.OURS.replace(epochs=effort.epochs)
    if label == "ds_cnn":
        return Experiment(label, task, config.MFCC_FEATURES, ours.replace(epochs=effort.short_epochs), seed)
    found = re.fullmatch(r"(paper_cnn)|(tc_resnet)_w(\d+(?:\.\d+)?)", label)
    if not found:
        raise ConfigError(f"network {label!r}: allowed is 'paper_cnn', 'ds_cnn' or 'tc_resnet_w' and a width")
    teach = config.OURS.replace(epochs=effort.teacher_epochs)
    teacher = Experiment("tc_resnet", task, config.PAPER_FEATURES, teach, effort.seeds[0], {"width": 3.0})
    if found[1]:
        recipe = ours.replace(learning_rate=2e-3)  # no batch normalisation to keep it stable
        if as_paper:
            recipe, teacher = config.AS_PAPER.replace(epochs=effort.paper_epochs), None
        return Experiment(label, task, config.PAPER_FEATURES, recipe, seed, {}, teacher)
    width = float(found[3])
    recipe = ours if width >= 2 else ours.replace(epochs=effort.short_epochs)
    return Experiment("tc_resnet", task, config.PAPER_FEATURES, recipe, seed, {"width": width}, teacher)


def experiments(networks: dict[str, Sequence[str]], effort: Effort) -> list[Experiment]:
    """The trainings of `networks`, task name to labels, for every seed."""
    asked = [(label, TASKS[task]) for task, labels in networks.items() for label in labels]
    return [experiment(label, task, effort, seed) for label, task in asked for seed in effort.seeds]


def tune(label: str, effort: Effort) -> TuneConfig:
    """The fine-tuning of a network while it is pruned."""
    epochs = effort.tune_epochs_paper if label == "paper_cnn" else effort.tune_epochs
    return TuneConfig(epochs=epochs, bank_epochs=effort.bank_epochs, learning_rate=2e-3)


def qat_tune(effort: Effort) -> TuneConfig:
    """The fine-tuning under quantization: gentle, the network is nearly there."""
    return TuneConfig(epochs=effort.qat_epochs, bank_epochs=effort.bank_epochs, learning_rate=2e-4)

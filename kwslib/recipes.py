"""Which network is trained how, in one place, so that every notebook finds the trained networks of notebook 02.

Keywords and a network of one's own stand in the place of the paper's: `task` and `network` take them from parameters.
"""

import ast
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kwslib import config, models
from kwslib.cache import PROJECT_FOLDER
from kwslib.config import ConfigError, TaskConfig
from kwslib.finetune import TuneConfig
from kwslib.training import Experiment

TASKS = {task.name: task for task in (config.PAPER6, config.KWS10)}  # and those that `task` makes
_OWN_SOURCES = {}  # label to the text of the file, of networks that `network` has read
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


def task(keywords: str) -> TaskConfig:
    """The task of keywords such as "yes,no,left,right": `PAPER6` or `KWS10` where they are theirs, or one of their own.

    Its name is "own", the number of classes (with unknown and silence) and a digest of the words, such as "own6_3fa1".
    Raises ConfigError for words twice and none.
    """
    words = tuple(filter(None, (word.strip() for word in keywords.split(","))))
    for known in (config.PAPER6, config.KWS10):
        if words == known.keywords:
            return known
    digest = hashlib.sha256(",".join(words).encode()).hexdigest()[:4]
    own = TaskConfig(name=f"own{len(words) + 2}_{digest}", keywords=words)
    TASKS[own.name] = own
    return own


def network(name: str) -> str:
    """The label of the network that the notebooks walk through: "paper_cnn", or FUNCTION of "FILE.py:FUNCTION".

    `FUNCTION(shape, classes)` returns a tf_keras model that maps features [*shape] to probabilities [classes], with the
    layers that `removal` knows, a dense one called "logits" and a softmax at its end; FILE (from the project's folder
    unless absolute) imports packages only. Its text is part of the settings: a changed file is another network.
    Raises ConfigError for another name, a file that cannot be read and one without the function.
    """
    if name == "paper_cnn":
        return name
    file, _, label = name.rpartition(":")
    if not file.endswith(".py") or not label.isidentifier():
        raise ConfigError(f"network {name!r}: allowed is 'paper_cnn' or FILE.py:FUNCTION")
    if label in models.BUILDERS or label.startswith("tc_resnet_w"):
        raise ConfigError(f"network {name!r}: {label} is one of ours; give the function another name")
    try:
        source = (PROJECT_FOLDER / file).read_text(encoding="utf-8")
        defined = [part.name for part in ast.parse(source).body if isinstance(part, ast.FunctionDef)]
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(f"network {name!r}: {file} cannot be read ({error})") from None
    if label not in defined:
        raise ConfigError(f"network {name!r}: {file} defines {', '.join(defined) or 'no function'}, not {label}")
    _OWN_SOURCES[label] = source
    return label


def experiment(label: str, task: TaskConfig, effort: Effort, seed: int, *, as_paper: bool = False) -> Experiment:
    """The training of one network: "paper_cnn", "ds_cnn", "tc_resnet_w2" (any width), or what `network` returned.

    `ds_cnn` sees MFCC and has no teacher; the others see the paper's features and learn from a `tc_resnet` of width 3
    that was trained with the first seed. A network of one's own is trained as `paper_cnn` is. `as_paper` is the paper's
    own training. Raises ConfigError for another label.
    """
    ours = config.OURS.replace(epochs=effort.epochs)
    if label == "ds_cnn":
        return Experiment(label, task, config.MFCC_FEATURES, ours.replace(epochs=effort.short_epochs), seed)
    own = {"source": _OWN_SOURCES[label]} if label in _OWN_SOURCES else {}
    found = re.fullmatch(r"tc_resnet_w(\d+(?:\.\d+)?)", label)
    if not (found or own or label == "paper_cnn"):
        raise ConfigError(f"network {label!r}: allowed is 'paper_cnn', 'ds_cnn' or 'tc_resnet_w' and a width")
    teach = config.OURS.replace(epochs=effort.teacher_epochs)
    teacher = Experiment("tc_resnet", task, config.PAPER_FEATURES, teach, effort.seeds[0], {"width": 3.0})
    if not found:
        recipe = ours.replace(learning_rate=2e-3)  # no batch normalisation to keep it stable
        if as_paper:
            recipe, teacher = config.AS_PAPER.replace(epochs=effort.paper_epochs), None
        return Experiment(label, task, config.PAPER_FEATURES, recipe, seed, own, teacher)
    width = float(found[1])
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

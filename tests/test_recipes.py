"""Recipes name every network of the notebooks and differ where the notebooks say so."""

import pytest

from kwslib import config, recipes
from kwslib.config import ConfigError


def test_networks_and_their_teachers():
    compact = recipes.experiment("tc_resnet_w2", config.KWS10, recipes.FULL, 1)
    assert (compact.model, compact.options, compact.seed, compact.label) == (
        "tc_resnet",
        {"width": 2.0},
        1,
        "tc_resnet_w2",
    )
    assert compact.teacher.options == {"width": 3.0} and compact.teacher.seed == recipes.FULL.seeds[0]
    assert compact.teacher.task == compact.task
    slow = recipes.experiment("ds_cnn", config.PAPER6, recipes.FULL, 0)
    assert slow.teacher is None and slow.features == config.MFCC_FEATURES
    assert slow.train.epochs == recipes.FULL.short_epochs


def test_the_papers_training_is_the_papers():
    as_paper = recipes.experiment("paper_cnn", config.PAPER6, recipes.FULL, 0, as_paper=True)
    ours = recipes.experiment("paper_cnn", config.PAPER6, recipes.FULL, 0)
    assert as_paper.train == config.AS_PAPER and as_paper.teacher is None
    assert ours.train.name == "ours" and ours.teacher and ours.train.learning_rate < config.OURS.learning_rate


def test_names_of_own_tasks_tell_words_apart():
    names = [recipes.task(words).name for words in ("one,two,three,four", "one,two,three,five", "four,one,two,three")]
    assert names[0] == "own6_7bb6" and len(set(names)) == 3
    assert all(recipes.TASKS[name].name == name for name in names)


def test_effort_sets_the_epochs():
    for effort in (recipes.FULL, recipes.QUICK):
        assert recipes.experiment("tc_resnet_w2", config.PAPER6, effort, 0).train.epochs == effort.epochs
        assert recipes.experiment("tc_resnet_w1", config.PAPER6, effort, 0).train.epochs == effort.short_epochs
        assert recipes.tune("paper_cnn", effort).epochs == effort.tune_epochs_paper
        assert recipes.tune("tc_resnet_w2", effort).epochs == effort.tune_epochs
        assert recipes.qat_tune(effort).learning_rate < recipes.tune("paper_cnn", effort).learning_rate
    assert recipes.QUICK.epochs < recipes.FULL.epochs


@pytest.mark.parametrize("label", ["tc_resnet", "paper_cnn_w2", "ds_cnnx", "", "tc_resnet_wide"])
def test_unknown_networks_are_refused(label):
    with pytest.raises(ConfigError, match="allowed is 'paper_cnn'"):
        recipes.experiment(label, config.PAPER6, recipes.QUICK, 0)

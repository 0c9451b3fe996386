"""The panel draws what is chosen, also without a browser."""

import pandas as pd

from kwslib import panels

TABLE = pd.DataFrame({"model": ["a", "a", "b"], "sparsity": [0.0, 0.5, 0.9], "accuracy": [0.9, 0.8, 0.7]})


def test_rows_are_selected_by_names_and_ranges():
    assert panels.select(TABLE, {"model": ["a"]}).index.tolist() == [0, 1]
    assert panels.select(TABLE, {"sparsity": (0.4, 0.95)}).index.tolist() == [1, 2]
    assert panels.select(TABLE, {"model": ("b",), "sparsity": (0.0, 0.5)}).empty


def test_the_figure_is_drawn_at_once_and_after_every_change():
    drawn = []
    panel = panels.explore(TABLE, lambda rows: drawn.append(rows.index.tolist()), "model", "sparsity")
    panel.update()
    assert drawn[-1] == [0, 1, 2]
    names, levels = panel.children[:2]
    names.value = ("a",)
    assert drawn[-1] == [0, 1]
    levels.value = (0.3, 0.9)
    assert drawn[-1] == [1]
    count = len(drawn)
    names.value = ()
    assert len(drawn) == count  # nothing chosen: a line, no figure


def test_one_level_still_makes_a_slider():
    panel = panels.explore(TABLE[:1], lambda rows: None, "sparsity")
    assert panel.children[0].value == (0.0, 0.0)


def test_limits_are_answered_at_once_and_after_every_change(capsys):
    asked = []
    panel = panels.limits(lambda **values: asked.append(values), max_ms=(0.0, 10.0, 0.5, 1.0), least=(0, 100, 1, 88))
    panel.update()
    assert asked[-1] == {"max_ms": 1.0, "least": 88.0}
    panel.children[0].value = 2.5
    assert asked[-1] == {"max_ms": 2.5, "least": 88.0}

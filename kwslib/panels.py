"""Panels for notebooks: choose rows of a results table and see the figure drawn again; move limits, see the answer."""

from collections.abc import Callable

import pandas as pd


def explore(table: pd.DataFrame, draw: Callable[[pd.DataFrame], None], *columns: str):
    """Show a selector for each of `columns` and call `draw(rows)` with the rows chosen, now and after every change.

    A column of text gets a list for several choices, a column of numbers a slider for a range. Without a running
    kernel the figure drawn first stays. Returns the ipywidgets box. Raises KeyError for a column the table lacks.
    """
    import ipywidgets

    def redraw(**chosen):
        rows = select(table, chosen)
        if len(rows):
            draw(rows)
        else:
            print("no row has these values: choose more")

    return ipywidgets.interactive(redraw, **{name: _selector(table[name], name) for name in columns})


def limits(answer: Callable, **ranges: tuple[float, float, float, float]):
    """Show a slider (low, high, step, start) for each name and print `answer(**values)`, now and after every change.

    Returns the ipywidgets box.
    """
    import ipywidgets

    def ask(**values):
        print(answer(**values))

    sliders = {}
    for name, (low, high, step, start) in ranges.items():
        layout = {"description": name, "style": {"description_width": "9em"}, "readout_format": "g"}
        sliders[name] = ipywidgets.FloatSlider(min=low, max=high, step=step, value=start, **layout)
    return ipywidgets.interactive(ask, **sliders)


def select(table: pd.DataFrame, chosen: dict) -> pd.DataFrame:
    """Rows whose columns lie in the chosen values: a tuple (low, high) of numbers, or a collection of names."""
    keep = pd.Series(True, index=table.index)
    for name, values in chosen.items():
        if pd.api.types.is_numeric_dtype(table[name]):
            keep &= table[name].between(*values)
        else:
            keep &= table[name].isin(values)
    return table[keep]


def _selector(values: pd.Series, name: str):
    import ipywidgets

    layout = {"description": name, "style": {"description_width": "8em"}}
    if pd.api.types.is_numeric_dtype(values):
        low, high = float(values.min()), float(values.max())
        step = (high - low) / 100 or 1.0
        return ipywidgets.FloatRangeSlider(
            value=(low, high), min=low, max=high, step=step, readout_format=".2f", **layout
        )
    options = list(values.unique())
    return ipywidgets.SelectMultiple(options=options, value=options, rows=min(8, len(options)), **layout)

"""What all figures of a paper share: widths, fonts, and looks that differ in grey as well as in colour."""

import numpy as np
import pandas as pd

from kwslib import plotting

COLUMN_INCHES, PAGE_INCHES = 3.5, 7.16  # one column and both of a page of the IEEE
STYLE = {"font.size": 8, "axes.titlesize": 8, "legend.fontsize": 6.5, "xtick.labelsize": 7, "ytick.labelsize": 7}
STYLE |= {"lines.linewidth": 1.1, "lines.markersize": 3.5, "hatch.linewidth": 0.5}
# Beside the colours of `plotting`: marker of each granularity and format, line of each granularity, hatch of each part.
GREY = {"dense": "o", "element": "o", "vector": "s", "kernel": "D", "block2": "v", "block4": "^", "2:4": "P"}
GREY |= {"filter": "<", "float16": "v", "dynamic": "D", "int8": "o", "int8_per_tensor": "s", "int16x8": "^", "qat": "X"}
_DASHES = {"vector": "--", "kernel": "-.", "block2": ":", "block4": "--", "filter": ":", "2:4": "none"}
_HATCHES = ("", "////", "....", "xxxx", "", "\\\\\\\\", "oooo", "----", "++++")
_FILLS = ("#0072b2", "#cce4f2", "#e69f00", "#ffffff", "#f0e442", "#999999", "#cc79a7", "#56b4e9", "#d55e00")


def canvas(wide: bool, panels: int = 1, height: float = 2.3, **options):
    """A figure of `panels` axes, `height` inches each: side by side over a page, or below each other in a column.

    Returns the figure and axes [1, panels] or [panels, 1].
    """
    import matplotlib.pyplot as plt

    if wide:
        return plt.subplots(1, panels, figsize=(PAGE_INCHES, height + 0.3), squeeze=False, **options)
    return plt.subplots(panels, 1, figsize=(COLUMN_INCHES, height * panels + 0.5), squeeze=False, **options)


def legend(fig, axes, wide: bool, most: int = 7) -> None:
    """One legend below all axes, each name once, in at most `most` columns (half as many in a narrow figure)."""
    found = {}
    for axis in np.ravel(axes):
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    columns = most if wide else max(2, most // 2)
    fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), columns))


def line_of(axis, name: str, x, y, bars=None, **style) -> None:
    """Draw the line of a granularity or format in its colour, marker and dashes, with error bars."""
    look = {"color": plotting.COLOURS[name], "marker": GREY[name], "linestyle": _DASHES.get(name, "-"), "label": name}
    axis.errorbar(x, y, bars, capsize=1.5, elinewidth=0.7, **(look | style))


def stack(axis, names, parts: pd.DataFrame, order) -> None:
    """Horizontal bars, a row of `parts` (columns: some of `order`) each; fill and hatch by the place in `order`."""
    left = np.zeros(len(parts))
    for number, part in enumerate(order):
        if part in parts:
            style = {"color": _FILLS[number], "hatch": _HATCHES[number], "edgecolor": "black", "label": part}
            axis.barh(names, parts[part], left=left, height=0.6, linewidth=0.4, **style)
            left += parts[part].to_numpy()
    axis.set_xlim(0, 1.03 * left.max())
    axis.invert_yaxis()
    axis.grid(False, axis="y")


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first task of a table, and of its two networks with the most granularities or formats."""
    rows = table[table.task == table.task.iloc[0]]
    kinds = "granularity" if "granularity" in rows else "format"
    most = rows.groupby("model", sort=False)[kinds].nunique().sort_values(ascending=False, kind="stable")
    return rows[rows.model.isin(most.index[:2])]

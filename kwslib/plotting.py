"""Figures in one style: each saved as PDF and PNG with the CSV of its data beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from kwslib.cache import replacing

# One colour for each network in every figure (Okabe & Ito's palette, distinct for colour-blind readers).
COLOURS = {
    "paper_cnn": "#000000",
    "ds_cnn": "#0072b2",
    "tc_resnet_w1": "#e69f00",
    "tc_resnet_w2": "#d55e00",
    "tc_resnet_w3": "#cc79a7",
    "float32": "#999999",
    "int8": "#009e73",
}


def use_style() -> None:
    """Apply `kws.mplstyle` to matplotlib."""
    import matplotlib.pyplot as plt

    plt.style.use(Path(__file__).with_name("kws.mplstyle"))


def save_figure(fig, name: str, data: pd.DataFrame, folder: str | Path) -> None:
    """Write `folder/figures/NAME.pdf`, `.png` and `.csv`; the CSV holds the numbers that the figure shows."""
    figures = Path(folder) / "figures"
    for suffix in (".pdf", ".png"):
        # no creation date: the same data give the same file
        metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
        with replacing(figures / f"{name}{suffix}") as temporary:
            fig.savefig(temporary, metadata=metadata)
    with replacing(figures / f"{name}.csv") as temporary:
        data.to_csv(temporary, index=False, float_format="%.6g")


def save_table(table: pd.DataFrame, name: str, folder: str | Path) -> pd.DataFrame:
    """Write `folder/tables/NAME.csv` and return the table."""
    with replacing(Path(folder) / "tables" / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return table


def draw_features(axis, features: np.ndarray, config, title: str):
    """Draw [frames, bands] with time on the x axis; returns the image for a colour bar."""
    seconds = config.frames * config.hop_samples / config.sample_rate_hz
    image = axis.imshow(features.T, extent=(0, seconds, 0, config.bands), interpolation="nearest")
    axis.set(title=title, xlabel="time (s)", ylabel="MFCC" if config.kind == "mfcc" else "mel band")
    axis.set_yticks(range(0, config.bands + 1, max(1, config.bands // 4)))
    axis.grid(False)
    return image


def draw_confusion(axis, confusion: pd.DataFrame, title: str) -> None:
    """Draw a confusion table (rows true, columns predicted) as shares of each row, with the counts as text."""
    share = confusion.to_numpy() / np.maximum(confusion.to_numpy().sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal", origin="upper")
    axis.set_xticks(range(len(confusion.columns)), confusion.columns, rotation=60, ha="right")
    axis.set_yticks(range(len(confusion.index)), confusion.index)
    axis.set(title=title, xlabel="predicted", ylabel="spoken")
    axis.grid(False)
    for row, column in np.ndindex(share.shape):
        if confusion.iloc[row, column]:
            colour = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, confusion.iloc[row, column], ha="center", va="center", fontsize=6, color=colour)

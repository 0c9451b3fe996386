"""Figures in one style: each saved as PDF and PNG with the CSV of its data beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from kwslib.cache import replacing
from kwslib.config import milliseconds

# Okabe & Ito's palette, distinct for colour-blind readers: one colour for each network, granularity and format.
PALETTE = ("#000000", "#0072b2", "#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9")
NETWORKS = {
    "paper_cnn": "#000000",
    "ds_cnn": "#0072b2",
    "tc_resnet_w1": "#e69f00",
    "tc_resnet_w2": "#d55e00",
    "tc_resnet_w3": "#cc79a7",
}
GRANULARITIES = {
    "dense": "#999999",
    "element": "#0072b2",
    "vector": "#56b4e9",
    "kernel": "#009e73",
    "block2": "#e69f00",
    "block4": "#d55e00",
    "2:4": "#cc79a7",
    "filter": "#000000",
}
FORMATS = {
    "float32": "#999999",
    "float16": "#56b4e9",
    "dynamic": "#e69f00",
    "int8": "#009e73",
    "int8_per_tensor": "#cc79a7",
    "int16x8": "#0072b2",
    "qat": "#d55e00",
}
ENGINES = {
    "reference": "#999999",
    "cmsis_nn": "#0072b2",
    "cmsis_nn, ours (plain)": "#009e73",
    "cmsis_nn, ours (simd)": "#d55e00",
}
PARTS = {
    "weights": "#0072b2",
    "kernels": "#009e73",
    "interpreter": "#e69f00",
    "front end": "#f0e442",
    "libc": "#cc79a7",
    "board and start-up": "#999999",
    "application": "#000000",
    "arena": "#56b4e9",
    "stack": "#d55e00",
}


class _Styles(dict):
    """Styles by name; a network of one's own, which has no entry, gets `own`."""

    def __init__(self, names: dict[str, str], own: str):
        super().__init__(names)
        self.own = own

    def __missing__(self, name: str) -> str:
        return self.own


COLOURS = _Styles(NETWORKS | GRANULARITIES | FORMATS | ENGINES | PARTS, own="#009e73")
# of kernel sets in one figure
LINES = {"mixed": "-", "best": "-", "skip": ":", "weight_first_skip": "--", "weight_first_registers_skip": "-."}
MARKERS = _Styles({"paper_cnn": "o", "ds_cnn": "s", "tc_resnet_w1": "v", "tc_resnet_w2": "^"}, own="D")


def use_style() -> None:
    """Apply `kws.mplstyle` to matplotlib."""
    import matplotlib.pyplot as plt

    plt.style.use(Path(__file__).with_name("kws.mplstyle"))


def save_figure(fig, name: str, data: pd.DataFrame, folder: str | Path) -> None:
    """Write `folder/figures/NAME.pdf`, `.png` and `.csv`; the CSV holds the numbers that the figure shows."""
    figures = Path(folder) / "figures"
    draw_files(fig, figures / name)
    with replacing(figures / f"{name}.csv") as temporary:
        data.to_csv(temporary, index=False, float_format="%.6g")


def draw_files(fig, path_without_suffix: Path) -> None:
    """Write PATH.pdf and PATH.png."""
    for suffix in (".pdf", ".png"):
        # no creation date: the same data give the same file
        metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
        with replacing(path_without_suffix.with_name(path_without_suffix.name + suffix)) as temporary:
            fig.savefig(temporary, metadata=metadata)


def save_table(table: pd.DataFrame, name: str, folder: str | Path) -> pd.DataFrame:
    """Write `folder/tables/NAME.csv` and return the table; whole numbers keep all digits, others six."""
    exact = table.copy()
    for column, values in table.select_dtypes("float").items():
        if (values.dropna() % 1 == 0).all():  # counts that became float beside a missing value
            exact[column] = values.astype("Int64")
    with replacing(Path(folder) / "tables" / f"{name}.csv") as temporary:
        exact.to_csv(temporary, index=False, float_format="%.6g")
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


def draw_spread(axis, table: pd.DataFrame, x: str, y: str, by: str, level: str = "", scale: float = 1.0, **style):
    """Draw a line for each value of column `by`: mean of `y` over seeds at mean `x`, bars of one standard deviation.

    Rows that agree in `by` and `level` (default: `x`) are the seeds of one point; y is multiplied by `scale`.
    Returns what is drawn as a table: `by`, `level`, x, mean, std, seeds.
    """
    parts = []
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        points = rows.groupby(level or x).agg(x=(x, "mean"), mean=(y, "mean"), std=(y, "std"), seeds=(y, "count"))
        points = points.sort_values("x").reset_index(names="level")
        colour, marker = COLOURS.get(name, PALETTE[number % len(PALETTE)]), MARKERS.get(name, "o")
        if by == "model":  # one without an entry is a network of one's own
            colour, marker = COLOURS[name], MARKERS[name]
        line = {"color": colour, "marker": marker, "label": name, "markersize": 3.5, "capsize": 2}
        axis.errorbar(points.x, scale * points["mean"], scale * points["std"].fillna(0), **(line | style))
        parts.append(points.assign(**{by: name}))
    return pd.concat(parts, ignore_index=True)[[by, "level", "x", "mean", "std", "seeds"]]


def draw_layers(axis, table: pd.DataFrame) -> None:
    """Draw accuracy over the sparsity of one layer at a time: columns layer, sparsity, validation_accuracy."""
    import matplotlib.pyplot as plt

    lines = table.pivot(index="sparsity", columns="layer", values="validation_accuracy")[table.layer.unique()]
    for number, (layer, line) in enumerate(lines.items()):
        colour = plt.cm.viridis(number / len(lines.columns))
        axis.plot(100 * line.index, 100 * line, color=colour, linewidth=1, label=layer)
    axis.set_xlabel("sparsity of one layer (%)")
    axis.legend(fontsize=5, loc="lower left")


def draw_changes(axis, table: pd.DataFrame) -> None:
    """Draw the change that every format makes on every pruning: columns pruning, format, points_mean, points_std."""
    prunings = list(table.pruning.unique())
    formats = list(table.format.unique())
    for number, fmt in enumerate(formats):
        line = table[table.format == fmt]
        places = [prunings.index(name) + 0.13 * (number - (len(formats) - 1) / 2) for name in line.pruning]
        style = {"fmt": "o", "markersize": 3, "capsize": 2, "color": COLOURS[fmt], "label": fmt}
        axis.errorbar(places, line.points_mean, line.points_std.fillna(0), **style)
    axis.axhline(0, color="#999999", linewidth=0.7)
    axis.set_xticks(range(len(prunings)), prunings, rotation=30, ha="right", fontsize=7)


def log_scale(axis, which: str) -> None:
    """Logarithmic axis `which` ("x" or "y") with plain numbers at 1, 2 and 5."""
    from matplotlib import ticker

    getattr(axis, f"set_{which}scale")("log")
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ticks.set_major_formatter("{x:g}")
    ticks.set_minor_formatter(ticker.NullFormatter())


def draw_cost(axis, table: pd.DataFrame, cost: str, value: str, front: pd.DataFrame) -> None:
    """Draw `value` over `cost` in thousands, a point a row, coloured by column format, with the front of the best."""
    for (model, fmt), rows in table.groupby(["model", "format"], sort=False):
        style = {"color": COLOURS[fmt], "marker": MARKERS.get(model, "o"), "s": 12, "label": f"{model}, {fmt}"}
        axis.scatter(rows[cost] / 1e3, 100 * rows[value], **style)
    line = {"color": "#bbbbbb", "zorder": 0, "drawstyle": "steps-post"}
    axis.plot(front[cost] / 1e3, 100 * front[value], **line)
    log_scale(axis, "x")


def draw_times(axis, table: pd.DataFrame) -> None:
    """Draw estimated ms of each model and kernels, low to high: columns model, kernels, est_ms_216mhz, cycles."""
    models = list(table.model.unique())
    for number, (kernels, rows) in enumerate(table.groupby("kernels", sort=False)):
        places = [models.index(name) + 0.2 * (number - (table.kernels.nunique() - 1) / 2) for name in rows.model]
        ranges = [milliseconds(rows.est_cycles - rows.low), milliseconds(rows.high - rows.est_cycles)]
        colour = COLOURS.get(kernels, PALETTE[number % len(PALETTE)])
        axis.errorbar(places, rows.est_ms_216mhz, ranges, fmt="o", capsize=2, color=colour, label=kernels)
    axis.set(yscale="log", ylabel="estimated ms at 216 MHz")
    axis.set_xticks(range(len(models)), models, rotation=20, ha="right", fontsize=6)
    axis.legend(fontsize=6)


def draw_parts(axis, table: pd.DataFrame, column: str, title: str) -> None:
    """Draw kB of each program as a bar of its parts: columns program, group, and `column` (bytes); no legend."""
    parts = table.pivot(index="program", columns="group", values=column)
    parts = parts.loc[table.program.unique(), table.group.unique()] / 1e3
    left = np.zeros(len(parts))
    for group in parts.columns:
        axis.barh(parts.index, parts[group], left=left, color=COLOURS.get(group), label=group, height=0.6)
        left += parts[group].to_numpy()
    axis.set(title=title, xlabel="kB")
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=6)


def draw_ladder(axis, rows: pd.DataFrame, published: pd.DataFrame) -> None:
    """Draw milliseconds of each kernel set of one data type, low to high as bars; published times dotted.

    `rows` has data_type, kernel, est_ms_216mhz and low, high in cycles; `published` name and ms.
    """
    low, high = milliseconds(rows.low), milliseconds(rows.high)
    style = {"color": COLOURS[rows.data_type.iloc[0]], "capsize": 2}
    axis.barh(rows.kernel, rows.est_ms_216mhz, xerr=[rows.est_ms_216mhz - low, high - rows.est_ms_216mhz], **style)
    for line in published.itertuples():
        axis.axvline(line.ms, color="black", linestyle=":", linewidth=1)
        axis.text(line.ms, -0.7, f" {line.name} ", fontsize=6, ha="right" if "SMLAD" in line.name else "left")
    axis.set_ylabel(rows.data_type.iloc[0])
    axis.invert_yaxis()
    log_scale(axis, "x")


def draw_latency(axis, rows: pd.DataFrame) -> None:
    """Draw milliseconds over sparsity: each granularity on its best kernels, single weights on others too."""
    shown = rows[rows.kernel.isin(["mixed", "best"]) | (rows.granularity == "element")]
    for (granularity, kernel), line in shown[shown.kernel.isin(LINES)].groupby(["granularity", "kernel"], sort=False):
        style = {"color": COLOURS[granularity], "linestyle": LINES[kernel], "label": f"{granularity}, {kernel}"}
        line = line.sort_values("sparsity")
        axis.plot(100 * line.sparsity, line.est_ms_216mhz, marker="o", markersize=3, **style)
    axis.set_xlabel("weights or filters removed (%)")
    log_scale(axis, "y")


def draw_pareto(axis, rows: pd.DataFrame, cost: str, front: pd.DataFrame, scale: float = 1.0) -> None:
    """Draw accuracy over `scale` times `cost`, coloured by granularity, with the front of the best."""
    for (model, granularity), points in rows.groupby(["model", "granularity"], sort=False):
        style = {"color": COLOURS[granularity], "marker": MARKERS[model], "label": f"{model}, {granularity}"}
        axis.scatter(scale * points[cost], 100 * points.accuracy, s=14, **style)
    axis.plot(scale * front[cost], 100 * front.accuracy, color="#bbbbbb", zorder=0, drawstyle="steps-post")
    log_scale(axis, "x")

"""The figures of a paper about accuracy, and the headline: each from tables of results alone."""

import numpy as np

from kwslib import plotting, study
from kwslib.catalogue import Entry, entries
from kwslib.headline import MEASURED
from kwslib.paper_style import COLUMN_INCHES, GREY, PAGE_INCHES, canvas, legend, line_of, main_rows

FIGURES: dict[str, Entry] = {}


def _figure(*tables):
    return entries(FIGURES, *tables)


@_figure("accuracy")
def networks(accuracy, wide):
    """Test accuracy of the int8 networks in TFLM against multiply-accumulates and bytes of the file: mean and
    standard deviation over seeds. Open: task {task}, filled: the second task, where there is one."""
    table = study.summarise(accuracy[accuracy.format == "int8"])
    fig, axes = canvas(wide, 2, sharey=True)
    for axis, (cost, label) in zip(
        axes.flat, {"macs": "MACs", "model_bytes": "bytes of the file"}.items(), strict=True
    ):
        for row in table.itertuples():
            colour = plotting.COLOURS[row.model]
            style = {"color": colour, "mfc": "white" if row.task == table.task[0] else colour, "linestyle": "none"}
            style["marker"] = "D" if row.training == "as_paper" else plotting.MARKERS[row.model]
            name = f"{row.model}, {row.task}" + (", as in the paper" if row.training == "as_paper" else "")
            axis.errorbar(getattr(row, cost) / 1e3, 100 * row.mean, 100 * row.std, capsize=2, label=name, **style)
        axis.set(xlabel=f"{label} (thousands)", ylabel="accuracy (%)")
        plotting.log_scale(axis, "x")
    legend(fig, axes, wide, 3)
    return fig, table


@_figure("clips")
def clips(table, wide):
    """Test accuracy of int8 networks in TFLM against the number of training clips of each keyword, drawn anew for each
    seed: mean and standard deviation over seeds ({task}). The points at the right have all clips."""
    spread = study.spread(table, ["model", "clips"], ["accuracy", "speakers", "epochs"])
    fig, axes = canvas(wide)
    axis = axes[0, 0]
    for name, rows in spread.groupby("model", sort=False):
        rows = rows.sort_values("clips")
        look = {"color": plotting.COLOURS[name], "marker": plotting.MARKERS[name], "capsize": 1.5, "elinewidth": 0.7}
        axis.errorbar(rows.clips, 100 * rows.accuracy_mean, 100 * rows.accuracy_std, label=name, **look)
    axis.set(xlabel="training clips of each keyword", ylabel="accuracy (%)")
    plotting.log_scale(axis, "x")
    legend(fig, axes, wide)
    return fig, spread


@_figure("sensitivity")
def sensitivity(table, wide):
    """Points of validation accuracy that are lost when the smallest weights of one layer alone are set to zero,
    without fine-tuning ({task}, one seed)."""
    rows = table[table.task == table.task.iloc[0]]
    fig, axes = canvas(wide, rows.model.nunique(), 2.6)
    for axis, (name, part) in zip(axes.flat, rows.groupby("model", sort=False), strict=True):
        grid = (
            100 * part.pivot(index="layer", columns="sparsity", values="validation_accuracy").loc[part.layer.unique()]
        )
        lost = grid[[0.0]].to_numpy() - grid.drop(columns=0.0)
        image = axis.imshow(lost, cmap="Greys", vmin=0, vmax=60, aspect="auto", origin="upper")
        for y, x in np.ndindex(lost.shape):
            value = lost.iloc[y, x]
            colour = "white" if value > 35 else "black"
            axis.text(x, y, f"{value:.0f}".replace("-0", "0"), ha="center", va="center", fontsize=6, color=colour)
        axis.set_xticks(range(lost.shape[1]), [f"{100 * level:.0f}" for level in lost.columns])
        axis.set_yticks(range(len(lost)), lost.index)
        axis.set(title=name, xlabel="zero weights of the layer (%)")
        axis.grid(False)
    fig.colorbar(image, ax=list(axes.flat), label="points lost", shrink=0.8)
    return fig, rows


@_figure("pruning")
def sparsity(pruning, wide):
    """Test accuracy of pruned and fine-tuned int8 networks against the share of weights or filters removed: mean
    and standard deviation over seeds ({task}). Dotted: dense. Some points lie below the axis."""
    return _against(pruning, wide, pruning.target_sparsity, "removed (%)")


@_figure("pruning")
def macs_left(pruning, wide):
    """Test accuracy of pruned and fine-tuned int8 networks against the multiply-accumulates that meet a non-zero
    weight: mean and standard deviation over seeds ({task}). Dotted: dense. Some points lie below the axis."""
    return _against(
        pruning, wide, pruning.nonzero_macs / pruning.macs.groupby(pruning.model).transform("max"), "MACs left (%)"
    )


def _against(pruning, wide, x, label):
    rows = main_rows(pruning.assign(x=100 * x))
    table = study.spread(rows, ["model", "granularity", "target_sparsity"], ["accuracy", "x"])
    fig, axes = canvas(wide, table.model.nunique())
    for axis, (name, part) in zip(axes.flat, table.groupby("model", sort=False), strict=True):
        for granularity, line in part[part.granularity != "dense"].groupby("granularity", sort=False):
            line = line.sort_values("x_mean")
            line_of(axis, granularity, line.x_mean, 100 * line.accuracy_mean, 100 * line.accuracy_std)
        dense = 100 * part.accuracy_mean[part.granularity == "dense"].iloc[0]
        axis.axhline(dense, color="black", linestyle=":", linewidth=0.8)
        axis.set(title=name, xlabel=label, ylabel="accuracy (%)", ylim=(dense - 12, dense + 2))
    legend(fig, axes, wide)
    return fig, table


@_figure("quantization")
def formats(table, wide):
    """Change of the test accuracy by each format against the float32 network with the same pruning: mean and
    standard deviation over seeds ({task})."""
    wide_table = table.pivot_table(index=["model", "pruning", "seed"], columns="format", values="accuracy", sort=False)
    change = 100 * wide_table.drop(columns="float32").sub(wide_table.float32, axis=0)
    change = change.stack().rename("points").reset_index()
    change = study.spread(change, ["model", "pruning", "format"], ["points"])
    fig, axes = canvas(wide, change.model.nunique(), sharey=True)
    for axis, (name, rows) in zip(axes.flat, change.groupby("model", sort=False), strict=True):
        prunings = list(rows.pruning.unique())
        kinds = list(rows.format.unique())
        for number, kind in enumerate(kinds):
            line = rows[rows.format == kind]
            places = np.arange(len(prunings)) + 0.13 * (number - (len(kinds) - 1) / 2)
            line_of(axis, kind, places, line.points_mean, line.points_std, linestyle="none")
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_xticks(range(len(prunings)), prunings)
        axis.set(title=name, ylabel="points against float32")
    legend(fig, axes, wide)
    return fig, change


@_figure("headline")
def headline(table, wide):
    """Above: accuracy on {task} against the time of one inference, this study on the emulated board (216 MHz,
    estimated; mean and standard deviation over seeds; int8, else f32: float32, i16: int16x8; dense networks on our
    best kernels, on plain loops, and in TFLM). Grey line: points that no other one beats. Below: times that others
    measured on their boards and published, of other tasks and accuracies."""
    import matplotlib.pyplot as plt

    size = (PAGE_INCHES, 3.6) if wide else (COLUMN_INCHES, 4.2)
    fig, (top, below) = plt.subplots(2, 1, figsize=size, sharex=True, height_ratios=(3.2, 1))
    ours = table[(table.kind != MEASURED) & (table.task == table.task.iloc[0])]
    first = ours.model.iloc[0]
    for (model, granularity, engine), rows in ours.groupby(["model", "granularity", "engine"], sort=False):
        colour = plotting.COLOURS[granularity]
        style = {"color": colour, "mfc": "white" if model == first else colour, "linestyle": "none"}
        style["marker"] = "p" if engine == "TFLM" else GREY[granularity] if granularity != "dense" else "D"
        top.errorbar(rows.ms, 100 * rows.accuracy_mean, 100 * rows.accuracy_std, elinewidth=0.5, **style)
    for row in ours[ours.data_type != "int8"].itertuples():
        name, height = ("f32", 13) if row.data_type == "float32" else ("i16", -14)  # height in points
        style = {"textcoords": "offset points", "xytext": (0, height), "ha": "center", "fontsize": 5}
        top.annotate(name, (row.ms, 100 * row.accuracy_mean), **style)
    front = ours[ours.front].sort_values("ms")
    top.plot(front.ms, 100 * front.accuracy_mean, color="#bbbbbb", zorder=0, drawstyle="steps-post")
    _published(below, table[table.kind == MEASURED].sort_values("ms", ascending=False))
    top.set_ylabel("accuracy (%)")
    below.set_xlabel("one inference (ms)")
    plotting.log_scale(below, "x")
    fig.legend(handles=_looks(ours), loc="outside lower center", ncols=8 if wide else 3)
    return fig, table


def _published(axis, rows):
    """A line for each published time: its source, then a star."""
    for place, row in enumerate(rows.itertuples()):
        name = row.source + (f", {row.kernel}" if isinstance(row.kernel, str) else "")
        axis.plot(row.ms, place, "*", color="black", markersize=5)
        axis.text(0.93 * row.ms, place, name, fontsize=5.5, ha="right", va="center")
    axis.set(ylim=(-0.8, len(rows) - 0.2), yticks=[])
    axis.set_ylabel("published", fontsize=6.5)


def _looks(rows):
    """Entries of the headline's legend: colour and marker of each granularity, open for the first network."""
    from matplotlib.lines import Line2D

    def entry(label, **look):
        return Line2D([], [], linestyle="none", label=label, **({"marker": "o", "color": "#666666"} | look))

    pruned = [name for name in rows.granularity.unique() if name != "dense"]
    found = [entry("dense", marker="D", color=plotting.COLOURS["dense"])]
    if "TFLM" in set(rows.engine):
        found += [entry("dense, TFLM", marker="p", color=plotting.COLOURS["dense"])]
    found += [entry(name, marker=GREY[name], color=plotting.COLOURS[name]) for name in pruned]
    networks = list(rows.model.unique())
    return [*found, entry(networks[0], mfc="white"), *(entry(name) for name in networks[1:])]

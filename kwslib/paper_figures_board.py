"""The figures of a paper about the board: each from tables of results alone."""

from kwslib import kernel_study, plotting
from kwslib.catalogue import Entry, entries
from kwslib.config import CLOCK_HZ, milliseconds
from kwslib.paper_style import canvas, legend, line_of, stack

FIGURES: dict[str, Entry] = {}


def _figure(*tables):
    return entries(FIGURES, *tables)


@_figure("frontend_speed")
def front_end(speed, wide):
    """Estimated time of one hop of the front end on the emulated board at 216 MHz, by part; equal to librosa's
    features up to rounding. log-mel: a column each 32 ms, MFCC: each 20 ms."""
    rows = speed[speed.part.isin(["ring", "window, FFT, power", "mel", "log", "dct"])]
    parts = rows.pivot(index="setting", columns="part", values="cycles")[rows.part.unique()].fillna(0)
    parts = parts.loc[rows.setting.unique()] / (CLOCK_HZ / 1e6)
    fig, axes = canvas(wide, height=1.4)
    names = {"paper": "log-mel, 40 bands", "mfcc": "MFCC, 10 values"}
    stack(axes[0, 0], [names.get(name, name) for name in parts.index], parts, list(parts))
    axes[0, 0].set_xlabel("one hop (µs, estimated)")
    legend(fig, axes, wide)
    return fig, rows


@_figure("kernels")
def ladder(kernels, wide):
    """One inference of the dense {network} on the emulated board at 216 MHz, from plain loops to the best kernels
    (estimated, bars from low to high). Dotted: published by Wang & Li for their board."""
    name = kernels.model.iloc[0]
    rows = kernels[(kernels.model == name) & (kernels.granularity == "dense")]
    rows = rows[rows.machine_setting == "ours"]
    groups = list(rows.groupby("data_type", sort=False))
    fig, axes = canvas(wide, len(groups), 2.2, sharex=True)
    points = kernel_study.paper_points(name)
    for axis, (data_type, part) in zip(axes.flat, groups, strict=True):
        plotting.draw_ladder(axis, part, points[points.data_type == data_type])
        axis.set(title=data_type, ylabel="")
        axis.tick_params(axis="y", labelsize=6)
    fig.supxlabel("one inference (ms, estimated)", fontsize=8)
    return fig, rows


@_figure("kernels")
def latency(kernels, wide):
    """One inference of int8 networks on the emulated board (216 MHz, estimated) against the share of weights or
    filters removed, each granularity on its fastest kernels. Dotted: dense, on the best dense kernels."""
    rows = kernels[(kernels.machine_setting == "ours") & (kernels.data_type == "int8")]
    fastest = rows.loc[rows.groupby("model_file", sort=False).est_cycles.idxmin()]
    fig, axes = canvas(wide, fastest.model.nunique())
    for axis, (name, part) in zip(axes.flat, fastest.groupby("model", sort=False), strict=True):
        for granularity, line in part[part.granularity != "dense"].groupby("granularity", sort=False):
            line = line.sort_values("sparsity")
            bars = [line.est_ms_216mhz - milliseconds(line.low), milliseconds(line.high) - line.est_ms_216mhz]
            line_of(axis, granularity, 100 * line.sparsity, line.est_ms_216mhz, bars)
        dense = part.est_ms_216mhz[part.granularity == "dense"].iloc[0]
        axis.axhline(dense, color="black", linestyle=":", linewidth=0.8)
        axis.set(title=name, xlabel="removed (%)", ylabel="one inference (ms, estimated)")
        plotting.log_scale(axis, "y")
    legend(fig, axes, wide)
    return fig, fastest


@_figure("break_even")
def break_even(table, wide):
    """Estimated time of kernels that skip zeros against the share of zero weights (paper_cnn, int8, weights thinned
    without training), and of four dense kernels (horizontal): where the lines cross, zeros begin to pay."""
    fig, axes = canvas(wide, height=2.6)
    axis = axes[0, 0]
    looks = zip("vs^o", (":", "--", "-.", "-"), ("#999999", "#e69f00", "#009e73", "#0072b2"), strict=True)
    for (name, line), (marker, dashes, colour) in zip(table.groupby("kernel", sort=False), looks, strict=False):
        line = line[line.against == line.against.iloc[0]].sort_values("sparsity")
        look = {"marker": marker, "linestyle": dashes, "color": colour, "label": name}
        axis.plot(100 * line.sparsity, milliseconds(line.est_cycles), **look)
    places = {"plain": "bottom", "weight_first": "top"}  # their lines lie close together
    for rival, line in table.groupby("against", sort=False):
        height = milliseconds(line.dense_cycles.iloc[0])
        axis.axhline(height, color="black", linewidth=0.7)
        axis.text(101, height, f"dense, {rival}", fontsize=6, va=places.get(rival, "center"))
    axis.set(xlabel="zero weights (%)", ylabel="one inference (ms, estimated)", xlim=(0, 100))
    plotting.log_scale(axis, "y")
    legend(fig, axes, wide, 4)
    return fig, table


@_figure("tflm_memory")
def memory(table, wide):
    """Flash and RAM set aside by TensorFlow Lite Micro on the board with the dense paper_cnn (int8), by kernels and
    part; from the linker's map."""
    rows = table[table.model == table.model.iloc[0]]
    fig, axes = canvas(wide, 2, 1.7)
    for axis, column in zip(axes.flat, ("flash", "ram"), strict=True):
        parts = rows.pivot(index="kernels", columns="group", values=column).loc[rows.kernels.unique()] / 1e3
        parts = parts[[group for group in rows.group.unique() if parts[group].max() > 0.25]]
        stack(axis, parts.index, parts, list(rows.group.unique()))
        axis.set_xlabel(f"{'RAM' if column == 'ram' else column} (kB)")
    legend(fig, axes, wide, 5)
    return fig, rows


@_figure("streaming")
def streaming(table, wide):
    """False alarms an hour of int8 networks on the test stream, threshold chosen on the validation stream, against
    the share of weights or filters removed. Bars: 95 % interval of the count (Poisson). Levels that no threshold
    reaches on the validation stream are left out."""
    rows = table[table.format == "int8"].dropna(subset="fa_per_hour")
    rows = rows[rows.frr_target == rows.frr_target.max()]
    fig, axes = canvas(wide, rows.model.nunique(), sharey=True)
    for axis, (name, part) in zip(axes.flat, rows.groupby("model", sort=False), strict=True):
        for granularity, line in part.groupby("granularity", sort=False):
            line = line.sort_values("sparsity")
            bars = [line.fa_per_hour - line.fa_low, line.fa_high - line.fa_per_hour]
            line_of(axis, granularity, 100 * line.sparsity, line.fa_per_hour, bars)
        axis.set(title=name, xlabel="removed (%)", ylabel="false alarms an hour", xlim=(-5, 100))
        plotting.log_scale(axis, "y")
    legend(fig, axes, wide)
    return fig, rows


@_figure("realtime")
def hop_budget(table, wide):
    """What the always-on firmware computes in each hop of 32 ms on the emulated board at 216 MHz (estimated)."""
    names = {"frontend_cycles": "front end", "inference_cycles": "network", "other_cycles": "decision and the rest"}
    parts = milliseconds(table[list(names)]).rename(columns=names)
    fig, axes = canvas(wide, height=1.6)
    labels = table.model.str.replace(r"^(own\d+_[0-9a-f]{4}|[^_]+)_|_s\d+$", "", regex=True)  # no task, no seed
    labels = labels.str.replace("_ours", ", dense").str.replace(r"_(?=[^_]+-\d+$)", ", ", regex=True)
    labels = labels.where(~labels.duplicated(keep=False), labels + ", " + table.engine)
    stack(axes[0, 0], labels, parts, list(parts))
    for place, load in enumerate(table.cpu_load_percent):
        axes[0, 0].text(parts.sum(axis=1).iloc[place], place, f" {load:g} %", va="center", fontsize=6.5)
    axes[0, 0].set(xlabel="ms of each 32 ms (number: CPU load)", xlim=(0, 1.15 * parts.sum(axis=1).max()))
    legend(fig, axes, wide)
    return fig, table


@_figure("cycle_validation")
def cycles(table, wide):
    """Estimated against measured latency of images that Bosch submitted to MLPerf Tiny for this board, measured by
    the submitter. Bars: low to high of the model. Filled: constants were fitted on it; open: held out; half: looked
    at."""
    fig, axes = canvas(wide, height=2.3)
    axis = axes[0, 0]
    fills = {"fitted": "full", "held out": "none", "looked at": "left"}
    for place, row in enumerate(table.itertuples()):
        bounds = [100 * (value / row.measured_ms - 1) for value in (row.low_ms, row.high_ms)]
        error = row.error_percent
        style = {"fillstyle": fills[row.role.split(" (")[0]], "color": "black", "marker": "o", "capsize": 2}
        axis.errorbar(place, error, [[error - bounds[0]], [bounds[1] - error]], linewidth=0.7, **style)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xticks(
        range(len(table)), table["round"] + " " + table.test.str.replace("_performance", ""), rotation=40, ha="right"
    )
    axis.set_ylabel("error (%)")
    return fig, table

"""The panel of the study: choose a network, a pruning, a format and kernels; see what they cost; queue what is missing.

    explorer.Panel("results", "synthetic", recipes.QUICK)

Choices come from the tables of notebooks 03 to 07 and from points of one's own (`explored`).
"""

import base64
import html
import io
import threading
from pathlib import Path

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kwslib import explored, kernel_study, plotting, points, study
from kwslib.config import ConfigError, milliseconds
from kwslib.explored import KEYS, Point, PointError
from kwslib.point_queue import Job, PointQueue
from kwslib.recipes import Effort

_CHOICES = {"task": "task", "model": "network", "granularity": "granularity", "data_type": "format"}
_CHOICES |= {"kernel": "kernels"}
_STEPS = 20  # of the slider, beside the levels of the tables
_FORCED = {"dense": 0.0, "2:4": 0.5}  # granularities with one sparsity only
_CHOSEN = {"color": "#f0e442", "markeredgecolor": "black", "marker": "*", "markersize": 13, "zorder": 5}
_CHOSEN |= {"ecolor": "black", "capsize": 2, "linestyle": "none"}
_OWN = {"marker": "o", "markerfacecolor": "none", "color": "black", "markersize": 7, "linestyle": "none"}


def accuracies(results: str | Path) -> pd.DataFrame:
    """Accuracy of every network in `pruning.csv` and `quantization.csv`, a row a seed.

    Columns: KEYS, dataset, seed, n_test, accuracy, ci_low, ci_high. Raises PointError for a table that is missing.
    """
    pruned = _read(results, "pruning", points.PRUNING_COLUMNS)
    formats = _read(results, "quantization", points.QUANTIZATION_COLUMNS)
    pruned = pruned[pruned.scope.fillna("layer") != "global"].rename(columns={"target_sparsity": "sparsity"})
    formats = formats[~formats.pruning.str.endswith("-global")].rename(columns={"format": "data_type"})
    formats[["granularity", "sparsity"]] = [_parts(label) for label in formats.pruning]
    table = pd.concat([pruned.assign(data_type="int8"), formats], ignore_index=True)
    table = table.drop_duplicates([*KEYS, "seed"])
    return table[[*KEYS, "dataset", "seed", "n_test", "accuracy", "ci_low", "ci_high"]]


def known(results: str | Path) -> pd.DataFrame:
    """A row a network (first seed) and kernel set that it ran on: accuracy with its interval, and costs on the board.

    `kernel` is empty for a network that was not on the board; `own` marks the rows of `explored.csv`, which come last.
    Raises PointError for a table that is missing.
    """
    judged = accuracies(results)
    judged = judged[judged.groupby([*KEYS, "dataset"]).seed.transform("min") == judged.seed]
    board = _read(results, "kernels", kernel_study.KERNELS_COLUMNS)
    board = board[board.machine_setting == "ours"].drop(columns=["accuracy", "n_test"])
    table = judged.merge(board, how="left", on=[*KEYS, "dataset"])
    table["kernel"] = table.kernel.fillna("")
    own = explored.table(results)
    parts = [table.assign(own=False), own.assign(own=True)] if len(own) else [table.assign(own=False)]
    return pd.concat(parts, ignore_index=True)


def _read(results, name, columns):
    path = Path(results) / "tables" / f"{name}.csv"
    if not path.is_file():
        raise PointError(f"{path}: missing; run notebooks 02 to 07 with these results first")
    table = pd.read_csv(path)
    if lacking := [column for column in columns if column not in table]:
        raise PointError(f"{path}: has no column {lacking[0]!r}; run the notebook that writes it again")
    return table


def _parts(label: str) -> tuple[str, float]:
    """Granularity and sparsity of a name such as "element-80"."""
    granularity, _, percent = label.rpartition("-")
    return (granularity, float(percent) / 100) if granularity else (label, _FORCED[label])


class Panel(ipywidgets.VBox):
    """Drop-downs, a slider, what is known of the choice in words and two figures, and a queue of points of one's own.

    `data` and `effort` are what queued points are trained with. A viewer without widgets shows the figures. Raises
    PointError where the tables of `results` are missing.
    """

    def __init__(self, results: str | Path, data: str, effort: Effort):
        self.queue = PointQueue(results, data, effort, self._heard)
        self._drawing = threading.Lock()  # the queue has a thread of its own
        self.table, self.seeds = known(results), accuracies(results)
        front = study.front(self._fastest(self.table[self.table.data_type == "int8"]), "est_cycles", "accuracy")
        start = front.iloc[len(front) // 2]
        self.choices = {name: self._dropdown(name, start[name]) for name in _CHOICES}
        levels = sorted({*(step / _STEPS for step in range(_STEPS)), *self.table.sparsity.round(4)})
        self.sparsity = ipywidgets.SelectionSlider(
            options=[(f"{level:.0%}", level) for level in levels], value=start.sparsity, description="sparsity"
        )
        self.facts, self.jobs = ipywidgets.HTML(), ipywidgets.HTML()
        self.figure = ipywidgets.Image(format="png", layout={"max_width": "760px"})
        self.add = ipywidgets.Button(description="Queue this point", button_style="primary")
        self.stop = ipywidgets.Button(description="Cancel the running point", layout={"width": "auto"})
        self.stop_all = ipywidgets.Button(description="Cancel all")
        self.add.on_click(lambda _: self.queue.submit(Point(**self.chosen)))
        self.stop.on_click(lambda _: [self.queue.cancel(job) for job in self.queue.jobs if job.state == "running"])
        self.stop_all.on_click(lambda _: self.queue.cancel())
        for widget in (*self.choices.values(), self.sparsity):
            widget.observe(lambda _: self.show(), "value")
        chosen = ipywidgets.GridBox(
            [*self.choices.values(), self.sparsity], layout={"grid_template_columns": "repeat(2, 330px)"}
        )
        buttons = ipywidgets.HBox([self.add, self.stop, self.stop_all])
        super().__init__([chosen, self.facts, self.figure, buttons, self.jobs])
        self.show()

    def _repr_mimebundle_(self, **words):
        shown = super()._repr_mimebundle_(**words)
        return shown | {"image/png": base64.b64encode(self.figure.value).decode()}

    def _dropdown(self, name, value):
        options = [option for option in self.table[name].unique() if option]
        return ipywidgets.Dropdown(options=options, value=value, description=_CHOICES[name])

    @property
    def chosen(self) -> dict:
        """What is chosen: KEYS and kernel."""
        return {name: box.value for name, box in self.choices.items()} | {"sparsity": self.sparsity.value}

    def show(self) -> None:
        """Say and draw what is known of the chosen point; the button is for those that are not and can be."""
        forced = _FORCED.get(self.choices["granularity"].value)
        self.sparsity.disabled = forced is not None
        if forced is not None and self.sparsity.value != forced:
            self.sparsity.value = forced  # comes back here
            return
        network = self._rows(KEYS)
        on_board = network[network.kernel == self.choices["kernel"].value]
        self.add.disabled = bool(len(on_board)) or self._refusal() is not None
        self.facts.value = self._words(network, on_board)
        with self._drawing:
            self.figure.value = self._draw(network, on_board)

    def _rows(self, names):
        keep = pd.Series(True, index=self.table.index)
        for name in names:
            keep &= self.table[name] == self.chosen[name]
        return self.table[keep]

    def _words(self, network: pd.DataFrame, on_board: pd.DataFrame) -> str:
        """What is known of the chosen point, as HTML."""
        lines, kernel = [], self.choices["kernel"].value
        if len(network):
            row = (on_board if len(on_board) else network).iloc[-1]
            interval = f"95 % interval {100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"
            where = f"{row.n_test:.0f} test clips of {html.escape(row.dataset)}, seed {row.seed:.0f}"
            lines = [f"<b>{100 * row.accuracy:.1f} %</b> accuracy ({interval}; {where})"]
        if len(on_board):
            span = f"{milliseconds(row.low):.2f} to {milliseconds(row.high):.2f}"
            lines.append(f"<b>{row.est_ms_216mhz:.2f} ms</b> for one inference (estimated, {span})")
            lines.append(f"<b>{row.flash_bytes / 1e3:.1f} kB</b> flash, <b>{row.ram_bytes / 1e3:.1f} kB</b> RAM")
            lines.append("outputs equal TFLM's " + ("bit by bit" if row.bit_exact else "but for rounding"))
            return "<br>".join(lines)
        ran = ", ".join(sorted(set(network.kernel) - {""}))
        ran = f" (known: {ran})" if ran else ""
        where = f"was not run on the board with kernels {kernel}{ran}" if lines else "is not in the tables"
        return "<br>".join([*lines, f"This point {where}. {self._offer()}"])

    def _refusal(self) -> str | None:
        """Why the chosen point cannot be queued, if it cannot."""
        try:
            Point(**self.chosen)
        except ConfigError as error:
            return str(error)
        return None

    def _offer(self) -> str:
        """What happens when the chosen point is queued."""
        if refusal := self._refusal():
            return f"It cannot be queued: {html.escape(refusal)}"
        variant, data = Point(**self.chosen).variant(self.queue.effort), html.escape(Path(self.queue.data).name)
        if explored.saved(variant, self.queue.results).is_file():
            return "Queue it: its saved model runs on the emulated board."
        epochs = variant.experiment.train.epochs
        return f"Queue it: it is trained on {data}, {epochs} epochs, unless it was already."

    def _fastest(self, table: pd.DataFrame) -> pd.DataFrame:
        """Each network on the fastest of its kernels."""
        ran = table[table.kernel != ""]
        return ran.loc[ran.groupby([*KEYS, "dataset"]).est_cycles.idxmin()]

    def _draw(self, network: pd.DataFrame, on_board: pd.DataFrame) -> bytes:
        """Accuracy over sparsity and over latency, the chosen point marked: a PNG."""
        chosen, figure = self.chosen, Figure(figsize=(7.2, 3.4))
        left, right = figure.subplots(1, 2, sharey=True)
        of_task = self.table[self.table.task == chosen["task"]]
        alike = ["task", "model", "data_type"]
        lines = self.seeds[(self.seeds[alike] == [chosen[name] for name in alike]).all(axis=1)]
        fastest, own = self._fastest(of_task), of_task[of_task.own]
        if len(lines):
            style = {"markersize": 3, "linewidth": 1, "elinewidth": 0.8}
            lines = lines.assign(percent=100 * lines.sparsity)
            plotting.draw_spread(left, lines, "percent", "accuracy", "granularity", scale=100, **style)
        if len(fastest):
            front = study.front(fastest[~fastest.own], "est_ms_216mhz", "accuracy")
            plotting.draw_pareto(right, fastest, "est_ms_216mhz", front)
        else:
            right.text(0.5, 0.5, "nothing was run on the board yet", transform=right.transAxes, ha="center")
            right.set_xticks([])
        mine = own[(own[alike] == [chosen[name] for name in alike]).all(axis=1)]
        left.plot(100 * mine.sparsity, 100 * mine.accuracy, **_OWN)
        right.plot(own.est_ms_216mhz, 100 * own.accuracy, **_OWN)
        left.axvline(100 * chosen["sparsity"], color="#777777", linestyle=":", linewidth=1, zorder=0)
        _mark(left, network, 100 * chosen["sparsity"])
        if len(on_board):
            row = on_board.iloc[-1]
            _mark(right, on_board, row.est_ms_216mhz, (milliseconds(row.low), milliseconds(row.high)))
        left.set_title(f"{chosen['model']}, {chosen['data_type']}: mean of the seeds", fontsize=8)
        left.set(xlim=(-5, 100), xlabel="weights or filters removed (%)", ylabel="test accuracy (%)")
        right.set_title(f"{chosen['task']}: first seed, fastest kernels", fontsize=8)
        right.set_xlabel("one inference (ms, estimated)")
        figure.legend(handles=_legend(of_task, own), loc="outside lower center", ncols=6, fontsize=6)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=110)
        return png.getvalue()

    def _heard(self, job: Job) -> None:
        """Show the queue; a new row in the table as well."""
        if job.state == "done":
            try:
                self.table = known(self.queue.results)
            except PointError as error:
                job.state, job.error = "failed", str(error)
            self.show()
        lines = self.queue.status()
        seconds = [f"{line.seconds} s" if line.seconds else "" for line in lines.itertuples()]
        cells = lines.assign(seconds=seconds)[["point", "state", "stage", "seconds", "error"]]
        self.jobs.value = cells.to_html(index=False, border=0, header=False)


def _mark(axis, rows: pd.DataFrame, x: float, ends: tuple[float, float] | None = None) -> None:
    """A star at the last row's accuracy with its interval, and that of x if it has one."""
    if len(rows):
        row = rows.iloc[-1]
        y = [[100 * (row.accuracy - row.ci_low)], [100 * (row.ci_high - row.accuracy)]]
        axis.errorbar([x], [100 * row.accuracy], y, ends and [[x - ends[0]], [ends[1] - x]], **_CHOSEN)


def _legend(rows: pd.DataFrame, own: pd.DataFrame) -> list[Line2D]:
    """A colour a granularity, a marker a network, the star, and what is one's own if there is any."""
    dot = {"linestyle": "none", "markersize": 4}
    kinds = [name for name in plotting.GRANULARITIES if name in set(rows.granularity)]
    entries = [Line2D([], [], marker="o", color=plotting.COLOURS[name], label=name, **dot) for name in kinds]
    for name in rows.model.unique():
        entries.append(Line2D([], [], marker=plotting.MARKERS[name], color="#777777", label=name, **dot))
    star = {name: value for name, value in _CHOSEN.items() if name not in ("ecolor", "capsize")}
    entries.append(Line2D([], [], label="chosen, with its interval", **star | {"markersize": 8}))
    others = set(own.dataset) - set(rows.dataset[~rows.own])
    whose = "your own points" + f" ({'; '.join(sorted(others))})" * bool(others)
    return entries + [Line2D([], [], label=whose, **_OWN | {"markersize": 5})] * bool(len(own))

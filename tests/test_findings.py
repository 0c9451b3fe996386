"""results/FINDINGS.md says what the tables in results/tables say."""

import pandas as pd

from kwslib import study
from kwslib.cache import PROJECT_FOLDER

TABLES = PROJECT_FOLDER / "results" / "tables"
TEXT = (PROJECT_FOLDER / "results" / "FINDINGS.md").read_text(encoding="utf-8")


def test_results_are_those_of_the_table():
    table = pd.read_csv(TABLES / "accuracy.csv")
    assert list(table.columns) == study.COLUMNS
    for row in study.summarise(table[table.format == "int8"]).itertuples():
        line = f"| {row.task} | {row.model} | {row.training} | {100 * row.mean:.1f} ± {100 * row.std:.1f} |"
        assert line in TEXT, line
        assert str(row.n_test) in TEXT and row.seeds == 3


def test_clips_that_are_enough_are_those_of_the_table():
    readme = (PROJECT_FOLDER / "README.md").read_text(encoding="utf-8")
    table = pd.read_csv(TABLES / "clips.csv")
    spread = study.spread(table, ["model", "clips"], ["accuracy", "speakers", "validation_clips"])
    assert (spread.seeds == 3).all() and spread.model.nunique() == 2
    percent = 100 * spread.accuracy_mean
    spread["said"] = [f"{100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f}" for row in spread.itertuples()]
    for model, rows in spread.groupby("model"):
        assert f"| {model}, accuracy, % | {' | '.join(rows.said)} |" in readme
    for clips, rows in spread.groupby("clips"):
        counts = f"{rows.speakers_mean.iloc[0]:.0f} | {rows.validation_clips_mean.iloc[0]:.0f}"
        assert f"| {clips:.0f} | {counts} | {' | '.join(rows.said)} |" in TEXT
    compact = percent[spread.model == "tc_resnet_w2"].to_numpy()
    assert compact[-1] - compact[2] < 3 and compact[2] > percent[spread.model == "paper_cnn"].max()


def test_pruned_networks_are_those_of_the_table():
    table = pd.read_csv(TABLES / "pruning.csv")
    names = ["task", "model", "granularity", "target_sparsity"]
    found = 0
    for row in study.spread(table, names, ["accuracy"]).itertuples():
        start = f"| {row.model} | {row.granularity} | {row.target_sparsity:.0%} |"
        if row.task == "paper6" and start in TEXT:
            found += 1
            assert f"{start} {100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f} |" in TEXT and row.seeds == 3
    assert found == TEXT.count(" | element | ") + TEXT.count(" | filter | ") + TEXT.count(" | dense | ") + sum(
        TEXT.count(f" | {name} | ") for name in ("block4", "vector", "2:4")
    )


def test_pruned_networks_with_eight_keywords_are_those_of_the_table():
    table = pd.read_csv(TABLES / "pruning.csv")
    rows = study.spread(table[table.task == "kws10"], ["granularity", "target_sparsity"], ["accuracy"])
    part = TEXT[TEXT.index("| kws10 | int8 accuracy") : TEXT.index("## Formats")]
    found = 0
    for row in rows.itertuples():
        name = "dense" if row.granularity == "dense" else f"{row.granularity}, {row.target_sparsity:.0%}"
        if f"\n| {name} |" in part:
            found += 1
            assert (
                f"| {name} | {100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f} |" in part and row.seeds == 3
            )
    assert found == part.count("\n|") - 1


def test_validation_of_the_cycles_is_that_of_the_table():
    table = pd.read_csv(TABLES / "cycle_validation.csv")
    assert len(table) == 9
    for row in table.itertuples():
        line = f"| {row.round} {row.test} | {row.measured_ms:.2f} | {row.estimated_ms:.2f} | {row.error_percent:+.1f} |"
        assert line in TEXT, line
    errors = table.error_percent.abs()
    assert errors.max() <= 5 and errors.mean() <= 2.5
    assert f"{errors.max():.1f} %" in TEXT and f"{errors.mean():.1f} %" in TEXT


def test_costs_of_the_front_end_are_those_of_the_table():
    table = pd.read_csv(TABLES / "frontend_speed.csv")
    hops = table[table.part == "hop"].set_index("setting")
    paper, mfcc = hops.loc["paper"], hops.loc["mfcc"]
    assert f"| one hop, instructions | {paper.instructions:,.0f} | {mfcc.instructions:,.0f} |" in TEXT
    line = f"| one hop, estimated cycles | {paper.cycles:,.0f} (0.16 of 32 ms) | {mfcc.cycles:,.0f} (0.08 of 20 ms) |"
    assert line in TEXT and paper.cycles <= 60_000 and mfcc.cycles <= 40_000


def kernel_rows(**wanted):
    """Rows of kernels.csv for `paper_cnn` on our machine."""
    table = pd.read_csv(TABLES / "kernels.csv")
    for name, value in ({"model": "paper_cnn", "machine_setting": "ours"} | wanted).items():
        table = table[table[name] == value]
    return table


def test_dense_networks_on_the_board_are_those_of_the_table():
    for data_type in ("int8", "int16x8", "float32"):
        (row,) = kernel_rows(granularity="dense", data_type=data_type, kernel="best").itertuples()
        low, high = row.low / 216e3, row.high / 216e3
        times = f"{row.est_ms_216mhz:.2f} ({low:.2f} to {high:.2f})"
        assert f"| paper_cnn, {data_type} | {times} | {row.cycles_per_mac:.2f} |" in TEXT


def test_pruned_networks_on_the_board_are_those_of_the_table():
    (dense,) = kernel_rows(granularity="dense", data_type="int8", kernel="best").itertuples()
    found = 0
    for row in kernel_rows(data_type="int8").itertuples():
        if row.kernel != ("best" if row.granularity in ("dense", "filter") else "mixed"):
            continue
        name = "dense" if row.granularity == "dense" else f"{row.granularity} {row.sparsity:.0%}"
        if f"\n| {name} |" in TEXT:
            found += 1
            times = "1" if row.granularity == "dense" else f"{dense.est_cycles / row.est_cycles:.2f}"
            line = f"| {name} | {100 * row.accuracy:.1f} | {row.est_ms_216mhz:.2f} | {times} | {row.flash_bytes:,} |"
            assert line in TEXT, line
    assert found == 12


def test_break_even_is_that_of_the_table():
    table = pd.read_csv(TABLES / "break_even.csv")
    even = table[(table.kernel == "element") & (table.against == "best")].break_even.iloc[0]
    assert f"at {100 * even:.0f} % of single weights" in TEXT


def test_tflm_on_the_board_is_that_of_the_table():
    table = pd.read_csv(TABLES / "tflm.csv").pivot_table(
        index="model", columns="kernels", values="est_ms_216mhz", sort=False
    )
    assert f"| model | {' | '.join(table.columns)} |" in TEXT
    for name, row in table.iterrows():
        assert f"| {name} | {' | '.join(f'{value:.2f}' for value in row)} |" in TEXT


def test_streams_are_those_of_the_table():
    table = pd.read_csv(TABLES / "streaming.csv")
    table = table[table.format == "int8"]
    found = 0
    for (model, granularity, sparsity), rows in table.groupby(["model", "granularity", "sparsity"]):
        name = f"{model}, dense" if granularity == "dense" else f"{model}, {granularity} {sparsity:.0%}"
        if f"\n| {name} |" in TEXT:
            found += 1
            cells = []
            for row in rows.sort_values("frr_target").itertuples():
                cells += [f"{row.fa_per_hour:.0f} ({row.fa_low:.0f} to {row.fa_high:.0f})", f"{100 * row.frr:.1f}"]
            assert f"| {name} | {' | '.join(cells)} | {row.delay_ms:.0f} |" in TEXT
    assert found == 18
    rows = table[table.frr_target == 0.1].set_index(["model", "granularity", "sparsity"]).fa_per_hour
    compact, paper = (
        rows["tc_resnet_w2"] / rows["tc_resnet_w2", "dense", 0],
        rows["paper_cnn"] / rows["paper_cnn", "dense", 0],
    )
    assert f"{compact['element', 0.95]:.1f} and {paper['element', 0.95]:.1f} times" in TEXT
    assert f"{compact['filter', 0.5]:.1f} and {paper['filter', 0.5]:.1f} times" in TEXT


def test_budget_of_a_hop_is_that_of_the_table():
    for row in pd.read_csv(TABLES / "realtime.csv").itertuples():
        cycles = f"{row.frontend_cycles:,.0f}, {row.inference_cycles:,.0f}, {row.other_cycles:,.0f}"
        start = (
            f"| {row.model.removeprefix('paper6_')}, {row.engine} | {row.minutes:g} | {cycles} | {row.hop_ms:.2f} ms |"
        )
        assert (
            f"{start} {row.cpu_load_percent:.1f} | {row.overruns:.0f} | {row.detections} of {row.detections_host} |"
            in TEXT
        )
        assert row.detections_equal_host and row.overruns == 0


def test_the_first_page_shows_rows_of_the_headline():
    readme = (PROJECT_FOLDER / "README.md").read_text(encoding="utf-8")
    table = pd.read_csv(TABLES / "headline.csv")
    table = table[(table.engine == "generated C") & (table.data_type == "int8") & (table.task == "paper6")]
    found = 0
    for row in table.itertuples():
        name = "dense" if row.granularity == "dense" else f"{row.sparsity:.0%} {row.granularity}"
        cells = (
            f"{100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f}",
            f"{row.fa_per_hour:.0f}",
            f"{row.ms:.2f}",
        )
        memory = f"{row.flash_bytes / 1e3:.0f} | {row.ram_bytes / 1e3:.1f}"
        found += f"| {row.model}, {name} | {' | '.join(cells)} | {memory} |" in readme
    assert found == 8

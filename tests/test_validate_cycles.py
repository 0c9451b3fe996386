"""The comparison with published latencies: what of it needs no firmware of others, and the table it wrote."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from kwslib.cache import PROJECT_FOLDER
from kwslib.machine import BoardError

SCRIPT = PROJECT_FOLDER / "benchmarks" / "validate_cycles.py"
spec = importlib.util.spec_from_file_location("validate_cycles", SCRIPT)
validate_cycles = importlib.util.module_from_spec(spec)
spec.loader.exec_module(validate_cycles)


def make_checkout(folder: Path) -> Path:
    """The layout of a submission, with empty images."""
    base = folder / "closed" / "someone"
    for system, test in (("DISCO_F746NG_int8", "kws"), ("DISCO_F746NG_int8_max_performance", "ad"), ("OTHER", "kws")):
        (base / "code" / system / test).mkdir(parents=True)
        (base / "code" / system / test / "image.bin").write_bytes(b"")
        results = base / "results" / system / test / "performance"
        results.mkdir(parents=True)
        (results / "results.txt").write_text("00610.9 ulp-mlperf: Median throughput is 52.746 inf./sec.\n")
    return folder


def test_images_are_found_with_their_official_latency(tmp_path):
    first, second = validate_cycles.find_images(make_checkout(tmp_path / "tiny_results_v1.2"))
    assert (first["round"], first["submitter"], first["test"]) == ("v1.2", "someone", "kws")
    assert first["measured_ms"] == pytest.approx(18.959, abs=5e-4)
    assert second["test"] == "ad max_performance" and second["image"].name == "image.bin"


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(BoardError, match="give a checkout of mlcommons"):
        validate_cycles.find_images(tmp_path)
    with pytest.raises(BoardError, match=r"call the folder tiny_results_v1\.1"):
        validate_cycles.find_images(make_checkout(tmp_path / "results"))
    with pytest.raises(BoardError, match="no median throughput"):
        validate_cycles.official_ms("Runtime requirements have been met.")


def test_an_image_that_is_no_firmware(tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(1000))
    with pytest.raises(BoardError, match=r"image\.bin: no vector table"):
        validate_cycles.TimedRun(image, 1)


def test_the_table_keeps_what_the_project_claims():
    table = pd.read_csv(validate_cycles.OUTPUT)
    assert len(table) == 9 and set(table["round"]) == {"v1.1", "v1.2"}
    error = 100 * (table.estimated_ms / table.measured_ms - 1)
    assert (error - table.error_percent).abs().max() < 0.05
    assert table.error_percent.abs().max() < 5 and table.error_percent.abs().mean() < 2.5
    assert ((table.low_ms <= table.estimated_ms) & (table.estimated_ms <= table.high_ms)).all()
    assert table.role.str.startswith("held out").sum() == 4 and (table.role == "fitted").sum() == 3

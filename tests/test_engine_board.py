"""Generated networks on the emulated board: bits, costs, sizes and the two settings of the machine."""

import numpy as np
import pytest
from test_engine import DS_CNN, PAPER, PRUNED, TC_RESNET, noise
from test_engine_models import tflm_tensors

from kwslib import engine, engine_board, toolchain
from kwslib.__main__ import main
from kwslib.engine import EngineError
from kwslib.engine_board import NetworkOnBoard
from kwslib.tflite_graph import read_model

CASES = ((PAPER, "packed"), (PRUNED, "element"), (DS_CNN, "plain"), (TC_RESNET, "plain"), (TC_RESNET, "best"))
# Whole network and its convolution; estimated 326,800, 244,700 and, with 80 % zeros, 145,900, 92,000 when written.
MOST_CYCLES = {"convolve_packed_s8": (335_000, 252_000), "convolve_sparse_s8": (151_000, 96_000)}


@pytest.fixture(scope="module")
def networks():
    """NetworkOnBoard of each of CASES."""
    programs = [engine.plan(read_model(path), kernels, name=path.stem) for path, kernels in CASES]
    elfs = engine_board.build(programs)
    return {case: NetworkOnBoard(*built) for case, *built in zip(CASES, programs, elfs, strict=True)}


@pytest.mark.parametrize(("path", "kernels"), CASES, ids=lambda case: getattr(case, "stem", case))
def test_every_call_equals_tflm(networks, path, kernels):
    network, tflite = networks[path, kernels], read_model(path)
    (values,) = noise(tflite, seed=1)
    (expected,) = tflm_tensors(tflite, [values])
    outputs, costs = network.run_by_calls(values)
    for call, found in zip(network.program.calls, outputs, strict=True):
        if call.tensor is not None:
            np.testing.assert_array_equal(found, expected[call.tensor], err_msg=call.step.kernel)
    again = network.run(values)
    np.testing.assert_array_equal(again, expected[network.program.calls[-1].tensor])
    assert costs.macs.sum() == network.program.info.macs
    whole = network.costs()
    # What is in no call: copies of input and output, a handful of instructions around each call.
    assert 0 < whole["instructions"] - costs.instructions.sum() < 1000 + 20 * len(costs)
    assert whole["low"] <= whole["cycles"] <= whole["high"]
    assert costs.cycles.sum() == pytest.approx(whole["cycles"], rel=0.02)
    counter = network.machine.word(network.machine.symbol("bench_cycles"))  # as the firmware reads it
    assert counter == pytest.approx(whole["cycles"], rel=0.01)


def test_best_kernels_of_a_residual_network_are_simd(networks):
    calls = networks[TC_RESNET, "best"].program.calls
    assert {"add_simd_s8", "average_pool_simd_s8", "convolve_simd_s8"} <= {call.step.kernel for call in calls}


@pytest.mark.parametrize(("path", "kernels"), CASES[:2])
def test_networks_cost_no_more_than_before(networks, path, kernels):
    network = networks[path, kernels]
    (values,) = noise(read_model(path))
    network.run(values)
    whole = network.costs()["cycles"]
    costs = network.run_by_calls(values)[1].set_index("kernel").cycles
    (convolution,) = set(costs.index) & set(MOST_CYCLES)
    assert (whole, costs[convolution]) < MOST_CYCLES[convolution] and costs[convolution] < MOST_CYCLES[convolution][1]


def test_results_do_not_depend_on_what_ran_before(networks):
    network, inputs = networks[PRUNED, "element"], noise(read_model(PRUNED), 3)
    first = [network.run(values) for values in inputs]
    for values, expected in zip(inputs[::-1], first[::-1], strict=True):
        np.testing.assert_array_equal(network.run(values), expected)
    assert len({tuple(output) for output in first}) == 3


def test_sizes_are_those_of_the_elf(networks):
    network = networks[PRUNED, "element"]
    network.run(noise(read_model(PRUNED))[0])
    sizes, program = network.sizes(), network.program
    flash = sum(sizes[name] for name in ("constants", "network_code", "kernels", "library", "board"))
    report = toolchain.size_report(network.elf)
    assert flash == pytest.approx(report.load_bytes.sum(), rel=0.01)
    assert program.constant_bytes - 32 * 8 <= sizes["constants"] < program.constant_bytes + 1000
    assert 1000 < sizes["kernels"] < 10_000
    assert report[report.section == ".bss"].bytes.sum() >= sizes["arena"] == program.arena_bytes
    # network_run, a kernel and its inner function in assembly save registers; eight accumulators lie on the stack.
    assert 64 < sizes["stack"] < 512


def test_setting_of_the_paper(networks):
    fast = networks[PRUNED, "element"]
    slow = NetworkOnBoard(fast.program, setting="paper")
    (values,) = noise(read_model(PRUNED))
    np.testing.assert_array_equal(slow.run(values), fast.run(values))
    costs = slow.costs()
    assert costs["instructions"] == fast.costs()["instructions"]
    assert costs["cycles"] > 5 * fast.costs()["cycles"]
    assert costs["ram_accesses"] > 10_000 and fast.costs()["ram_accesses"] == 0
    assert slow.costs(wait_cycles=10)["cycles"] == costs["cycles"] + 10 * costs["ram_accesses"]
    low, high = toolchain.REGIONS["SRAM1"]
    assert low <= slow.machine.symbol("arena") < high
    with pytest.raises(EngineError, match="there are ours, paper"):
        NetworkOnBoard(fast.program, setting="theirs")


def test_wrong_use_is_told(networks):
    network = networks[TC_RESNET, "plain"]
    with pytest.raises(EngineError, match="an input has 1200 values, given are 3"):
        network.run(np.zeros(3))
    fresh = NetworkOnBoard(network.program, network.elf)
    with pytest.raises(EngineError, match="run it before"):
        fresh.costs()


def test_command_shows_the_cost_of_each_call(capsys):
    assert main(["engine", str(PRUNED), "--kernels", "element", "--board"]) == 0
    said = capsys.readouterr().out
    assert "convolve_sparse_s8" in said and "cycles_per_mac" in said and "stack" in said

"""Measuring over the serial port: the emulated board behind a pseudo-terminal, whole and with faults."""

import contextlib
import dataclasses
import os
import threading
import tty
import zlib

import pandas as pd
import pytest
from test_engine import PRUNED

from kwslib import bench_serial, emulated_port, measure, plotting, serial_port
from kwslib.__main__ import main
from kwslib.firmware import Firmware
from kwslib.machine import Machine
from kwslib.measure import MeasureError
from kwslib.serial_port import PortError, SerialPort

RUNS = 12
WAIT_S = 60  # for an emulated board on a busy computer


@pytest.fixture(scope="module")
def bench():
    built = bench_serial.build([PRUNED])[0]
    assert "warning:" not in (built.elf.parent / "build.log").read_text()
    return built


@pytest.fixture(scope="module")
def undisturbed(bench):
    """What the board sends after reset, without a port in between, and the cycles from one run's call to its end."""
    machine = Machine(Firmware.load(bench.elf))
    machine.run(until="network_run")  # the one that fills the caches
    machine.run(until="cycle_count")
    machine.run(until="network_run")
    start = machine.cycles
    machine.run(until="cycle_count")
    cycles = machine.cycles - start
    while b"bench done" not in machine.uart:
        machine.run(seconds=0.1)
    return machine.uart.decode().splitlines(), cycles


@pytest.fixture
def faulty(monkeypatch):
    """Boards with a fault: `faulty(change)`, which gets the count of the byte, the byte and the machine."""

    def install(change):
        sent = []

        class Faulty(Machine):
            def uart_byte(self, byte):
                sent.append(byte)
                byte = change(bytes(sent), byte, self)
                if byte is not None:
                    super().uart_byte(byte)

        monkeypatch.setattr(emulated_port, "Machine", Faulty)

    return install


@pytest.fixture
def board():
    """A board that answers each character with the next of some texts: `board(text, ...)` gives the port's path."""
    ends = []

    def start(*texts):
        master, slave = os.openpty()
        tty.setraw(slave)
        ends.extend((master, slave))

        def serve():
            with contextlib.suppress(OSError):  # nobody asks any more
                for text in texts:
                    os.read(master, 1)
                    os.write(master, text.encode())

        threading.Thread(target=serve, daemon=True).start()
        return os.ttyname(slave)

    yield start
    for end in ends:
        os.close(end)


def closed(text):
    """A line of the bench with its checksum."""
    return f"{text} crc=0x{zlib.crc32(text.encode()):08x}\r\n"


def lines(bench, runs=4, core_hz=216_000_000, cycles=1000):
    """All lines of a pass."""
    start = f"bench start model=m kernels=k sha256=0 program={bench.number} core_hz={core_hz} runs={runs}"
    middle = [f"bench run={n + 1} program={bench.number} cycles={cycles + n} equal=1" for n in range(runs)]
    return list(map(closed, [start, *middle, f"bench done program={bench.number}"]))


def read(path, bench, timeout_s=5.0):
    """`(Timing, remarks)`."""
    said = []
    with SerialPort(path, timeout_s) as port:
        return measure.read(port, bench, said.append), said


def test_command_gives_the_row_of_what_the_board_says(bench, undisturbed, tmp_path, capsys):
    words = ["measure", str(PRUNED), "--port", "emulated", "--results", str(tmp_path), "--timeout", str(WAIT_S)]
    assert main(words) == 0
    said, cycles = undisturbed
    counts = [int(measure.parse(line)[1]["cycles"]) for line in said if line.startswith("bench run")]
    (row,) = measure.board_table(tmp_path).itertuples()
    assert (row.model_file, row.kernel, row.source) == (PRUNED.name, "element", "emulated")
    assert (row.runs, row.min_cycles, row.max_cycles) == (len(counts), min(counts), max(counts)) and len(counts) == RUNS
    assert row.cycles == pd.Series(counts).median() and row.ms == pytest.approx(row.cycles / 216e3, rel=1e-5)
    assert row.equal and (row.garbled, row.restarts, row.core_hz) == (0, 0, 216_000_000)
    assert row.program == bench.number and row.sha256 == bench.program.sha256
    assert counts[0] == pytest.approx(cycles, abs=50)  # the machine's own count, without the calls around it
    out = capsys.readouterr().out
    assert "[1/1] paper6_paper_cnn_element-80_s0, element" in out and "emulated: 14" in out and "equal TFLM's" in out


def test_a_board_that_is_reset_begins_again(bench, undisturbed, faulty, tmp_path):
    def change(sent, byte, machine):
        if sent.endswith(b"bench run=5") and sent.count(b"run=5") == 1:
            machine.end("reset", "by the test")
        return byte

    faulty(change)
    said = []
    row = measure.measure(bench, "emulated", tmp_path, timeout_s=WAIT_S, show=said.append)
    assert said[0] == "the board was reset after run 4; starting this model over"
    assert (row["restarts"], row["runs"]) == (1, RUNS)
    expected = [int(measure.parse(line)[1]["cycles"]) for line in undisturbed[0] if line.startswith("bench run")]
    assert (row["min_cycles"], row["max_cycles"]) == (min(expected), max(expected))


def test_a_garbled_line_is_counted_and_left_out(bench, faulty, tmp_path):
    # The last digit of the cycles of run 3: a plausible number, but for the checksum.
    faulty(lambda sent, byte, _: byte ^ 1 if b"run=3" in sent[-50:] and sent.endswith(b" equal=1") else byte)
    said = []
    row = measure.measure(bench, "emulated", tmp_path, timeout_s=WAIT_S, show=said.append)
    assert row["equal"] and (row["garbled"], row["runs"]) == (1, RUNS - 1) and said == ["garbled lines left out: 1"]


def test_a_board_that_falls_silent_keeps_earlier_rows(faulty, tmp_path, capsys):
    boards = []

    def change(_, byte, machine):
        if machine not in boards:
            boards.append(machine)
        return None if machine is not boards[0] and b"run=7" in machine.uart else byte

    faulty(change)
    words = ["measure", str(PRUNED), str(PRUNED), "--port", "emulated", "--results", str(tmp_path), "--timeout", "6"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "the board sent no line for 6 s; press its reset button" in error and error.count("\n") == 1
    assert f"; 1 of 2 rows are in {tmp_path}" in error
    assert measure.board_table(tmp_path).runs.tolist() == [RUNS]


def test_a_firmware_that_crashes_is_told(bench, monkeypatch, tmp_path):
    class Crashing(Machine):
        def run(self, *_, **__):
            self.reason, self.detail = "fault", "HardFault in network_run"
            return "fault"

    monkeypatch.setattr(emulated_port, "Machine", Crashing)
    with pytest.raises(emulated_port.BoardError, match="fault: HardFault in network_run"):
        measure.measure(bench, "emulated", tmp_path, timeout_s=WAIT_S)
    assert not (tmp_path / "tables").exists()


def test_pass_that_had_begun_is_not_counted(bench, board):
    late = lines(bench, cycles=9000)[3:]
    timing, said = read(board("ycles=12 equal=1 crc=0x0\r\n" + "".join(late), "".join(lines(bench))), bench)
    assert timing == measure.Timing((1000, 1001, 1002, 1003), True, 216_000_000, 0, 0) and not said


def test_garbled_start_asks_again_and_noise_gives_up(bench, board):
    garbled = lines(bench)
    garbled[0] = garbled[0].replace("start", "stArt")
    timing, _ = read(board("".join(garbled), "".join(lines(bench))), bench)
    assert len(timing.cycles) == 4
    noisy = "".join(line.replace("cycles", "cyc1es") for line in lines(bench))
    with pytest.raises(MeasureError, match="most lines are garbled; use another USB cable"):
        read(board(*[noisy] * 9), bench)


def test_other_firmware_is_told(bench, board):
    other = dataclasses.replace(bench, number="00000000")
    with pytest.raises(MeasureError, match=r"the board runs m \(program 00000000\), not paper6_\S+ on element"):
        read(board("".join(lines(other))), bench)
    with pytest.raises(PortError, match=r"no line for 0\.3 s.* it said 'checksum of the features 0x12'"):
        read(board("\r\nfront end paper\r\nchecksum of the features 0x12\r\n"), bench, 0.3)
    fault = "\r\n*** BusFault, data access to where no memory is\r\nr0 0x00000000\r\nstopped\r\n"
    with pytest.raises(PortError, match=r"it said '\*\*\* BusFault, data access"):
        read(board("".join(lines(bench)[:3]) + fault), bench, 0.3)
    with pytest.raises(MeasureError, match="these are no lines of the bench; it said 'listening'"):
        read(board("listening\r\n" * 150), bench)


def test_wrong_clock_wrong_output_and_endless_resets(bench, board):
    failure = "\r\nerror: no answer from HSE; running on the internal oscillator\r\n"
    with pytest.raises(MeasureError, match=r"runs at 16 MHz instead of 216: its crystal .* 'error: no answer from HSE"):
        read(board(failure + "".join(lines(bench, core_hz=16_000_000))), bench)
    wrong = lines(bench)
    wrong[2] = closed(f"bench run=2 program={bench.number} cycles=1001 equal=0")
    assert read(board("".join(wrong)), bench)[0].equal is False
    with pytest.raises(MeasureError, match="was reset 4 times; check its supply"):
        read(board("".join(lines(bench)[:2] * 9)), bench)


def test_port_that_is_missing_or_forbidden(tmp_path, monkeypatch):
    with pytest.raises(PortError, match=r"none: No such file or directory; connect the board"):
        SerialPort(str(tmp_path / "none"), 1)
    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(PortError, match="not a serial port"):
        SerialPort(str(plain), 1)

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serial_port.os, "open", forbidden)
    with pytest.raises(PortError, match=r"ttyACM0: Permission denied; sudo usermod -aG dialout \$USER"):
        SerialPort("/dev/ttyACM0", 1)


def test_board_that_is_unplugged(board, bench):
    master, slave = os.openpty()
    with SerialPort(os.ttyname(slave), 5) as port:
        os.close(master)
        with pytest.raises(PortError, match="the board is gone"):
            measure.read(port, bench)
    os.close(slave)


def test_nothing_is_flashed_where_the_port_is_wrong(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "flash", lambda _: pytest.fail("flashed"))
    with pytest.raises(PortError, match="No such file"):
        measure.measure(bench, str(tmp_path / "none"), tmp_path)
    words = ["measure", str(PRUNED), "--port", "x", "--no-flash", "--kernels", "element", "plain"]
    assert main(words) == 2


def test_board_beside_its_estimates(bench, board, tmp_path):
    assert measure.compare(tmp_path).empty
    path = board("".join(lines(bench, cycles=216_000)))
    row = measure.measure(bench, path, tmp_path, flashes=False, timeout_s=5)
    assert row["source"] == "board"
    (found,) = measure.compare(tmp_path).itertuples()
    assert found.board_ms == pytest.approx(1, rel=1e-4) and pd.isna(found.ratio)
    keys = {"model_file": PRUNED.name, "kernel": "element"}
    study = [
        keys | {"machine_setting": "paper", "est_ms_216mhz": 9.0},
        keys | {"machine_setting": "ours", "est_ms_216mhz": 0.8},
    ]
    plotting.save_table(pd.DataFrame(study), "kernels", tmp_path)
    assert measure.compare(tmp_path).ratio.isna().all()  # of a file that nobody knows
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / PRUNED.name).write_bytes(PRUNED.read_bytes())
    assert measure.compare(tmp_path).ratio.tolist() == pytest.approx([1.25], rel=1e-4)
    # The same ELF on the emulated board is the nearer estimate.
    plotting.save_table(pd.DataFrame([row, row | {"source": "emulated", "ms": 0.5}]), "board", tmp_path)
    assert measure.compare(tmp_path).ratio.tolist() == pytest.approx([2], rel=1e-4)
    # An estimate of a newer file of the same name is none of what the board ran, nor is the table of the study.
    (tmp_path / "models" / PRUNED.name).write_bytes(b"trained again")
    newer = row | {"source": "emulated", "ms": 0.5, "sha256": "0" * 64}
    plotting.save_table(pd.DataFrame([row, newer]), "board", tmp_path)
    assert measure.compare(tmp_path).ratio.isna().all()
    plotting.save_table(pd.DataFrame([row, row | {"source": "emulated", "ms": 0.5}]), "board", tmp_path)
    # A second measurement takes the place of the first one.
    path = board("".join(lines(bench, cycles=108_000)))
    measure.measure(bench, path, tmp_path, flashes=False, timeout_s=5)
    assert measure.compare(tmp_path).ratio.tolist() == pytest.approx([1], rel=1e-4)
    assert len(measure.board_table(tmp_path)) == 2
    (tmp_path / "tables" / "board.csv").write_text("model_file\nx\n")
    with pytest.raises(MeasureError, match=r"board\.csv: not a table of kwslib\.measure"):
        measure.compare(tmp_path)

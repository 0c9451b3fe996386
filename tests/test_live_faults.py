"""Faults that the always-on firmware survives, or reports, on the emulated board."""

import numpy as np
import pandas as pd
import pytest
from live_board import HOP, RATE_HZ, calls, new_board, text

from kwslib import cache
from kwslib import listen as listening
from kwslib.restart import restart

DMA2_STREAM7_CR, NVIC_ISER2, NVIC_ICER2, DMA2_STREAM7 = 0x400264B8, 0xE000E108, 0xE000E188, 1 << 6
NVIC_ISPR1, USART1, RCC_CR_HSERDY = 0xE000E204, 1 << 5, 1 << 17
UNUSED_RAM = 0x20040000
FOR_EVER = b"\xfe\xe7"  # b .


@pytest.fixture
def board():
    return new_board(calls())


def statistics(board):
    """What the firmware answers to the command s."""
    board.uart_input(b"s")
    board.run(seconds=0.1)
    return listening.statistics(text(board))


def detects_again(board, after_ms):
    """Whether a "yes" comes in the hop where it belongs, or beside it, later than `after_ms` of sound."""
    found = listening.detections(text(board)).query(f"time_ms > {after_ms} and keyword == 'yes'")
    return len(found) > 0 and all(abs(time % 640 - 320) <= 32 for time in found.time_ms)


def test_a_firmware_that_is_too_slow_counts_the_hops_that_it_loses_and_goes_on(board):
    """Each inference lasts 50 ms longer for a second: a hop always waits then, and commands are served all the same."""
    board.schedule(0.6, lambda: board.uart_input(b"m"))
    while board.time_s < 1.2 and board.run(until="network_run") == "until":
        board.recorder.add_cycles(int(50e-3 * 216e6))
    assert text(board).count("model paper6_") == 2  # at start and as asked
    board.run(seconds=0.1)  # the hop after a loss counts it
    sums = statistics(board)
    assert 5 < sums["overruns"] < sums["time_ms"] / 32
    assert sums["hops"] + sums["overruns"] == sums["time_ms"] / 32
    assert "warning: sound was lost, overruns=" in text(board)
    board.run(seconds=1.9)
    assert detects_again(board, 2400)
    assert statistics(board)["overruns"] == sums["overruns"]


@pytest.mark.parametrize("held_ms", [40, 75, 115])
def test_an_interrupt_that_is_held_back_loses_hops_but_not_its_count_of_them(board, held_ms):
    board.run(seconds=0.7)
    board.bus.write(NVIC_ICER2, 4, DMA2_STREAM7)
    board.schedule(held_ms / 1000, lambda: board.bus.write(NVIC_ISER2, 4, DMA2_STREAM7))
    board.run(seconds=0.3)
    sums = statistics(board)
    assert held_ms // 32 - 1 <= sums["overruns"] <= held_ms // 32 + 1 and sums["overruns"] > 0
    assert sums["hops"] + sums["overruns"] == sums["time_ms"] / 32
    last = board.word(board.symbol("hops_read")) - 1
    hop = np.frombuffer(board.read("hop", 2 * HOP), "<i2")
    assert np.array_equal(hop, calls()[last * HOP : (last + 1) * HOP])  # a whole one, not one that is being written
    assert f"warning: sound was lost, overruns={sums['overruns']:.0f}" in text(board)


def test_dma_that_comes_too_late_is_an_overrun_and_detection_goes_on(board):
    """For 10 ms nothing fetches the samples from the SAI."""
    board.run(seconds=0.5)
    dma = board.peripheral("DMA2")
    (look,) = dma.listeners  # of the SAI, which moves samples up to now
    look()
    ready, dma.ready = dma.ready, lambda stream, channel: False
    look()
    board.run(seconds=0.01)
    look()
    dma.ready = ready
    look()
    board.run(seconds=0.2)
    sums = statistics(board)
    assert sums["overruns"] == 1 and "warning: sound was lost, overruns=1" in text(board)
    board.run(seconds=1)
    found = listening.detections(text(board))
    assert found.time_ms.iloc[-1] > 1400 and found.overruns.iloc[-1] == 1


def test_a_codec_that_does_not_answer_is_named_and_used_once_it_does(board):
    codec = board.peripheral("I2C3").devices[0x1A]
    codec.answers = False
    assert board.run(seconds=1.3) == "seconds"  # the watchdog is fed
    assert text(board).count("error: the codec does not answer on I2C3; trying again") > 3
    codec.answers = True
    board.run(seconds=1)
    assert "trying again\nlistening\n" in text(board) and detects_again(board, 0)


def test_a_codec_that_stops_answering_halfway_is_set_up_from_the_start(board):
    assert board.run(until="wait_ms") == "until"  # between its bias and its path
    codec = board.peripheral("I2C3").devices[0x1A]
    codec.answers = False
    board.run(seconds=0.2)
    codec.answers = True
    board.run(seconds=1)
    assert "error: the codec stopped answering on I2C3; trying again\nlistening\n" in text(board)
    assert detects_again(board, 0)


@pytest.mark.parametrize("level, warning", [(0, "are silent"), (32767, "clip")])
def test_microphones_that_are_silent_or_clip_are_warned_of_once(board, level, warning):
    board.audio = level * np.sign(np.sin(np.arange(2 * RATE_HZ) / 5)).astype(np.int16), RATE_HZ
    board.run(seconds=1.2)
    assert text(board).count("warning: ") == 1 and f"the microphones {warning}" in text(board)
    board.run(seconds=0.1)
    assert text(board).count("warning: ") == 1


def test_a_serial_port_that_is_blocked_costs_characters_but_no_sound_and_no_reset(board):
    usart, detections = board.peripheral("USART1"), board.symbol("statistics") + 4
    board.run(seconds=0.8)
    usart.blocked, found = True, board.word(detections)
    for n in range(14):
        board.schedule(0.1 * n, lambda: board.uart_input(b"s"))
    assert board.run(seconds=1.5) == "seconds"  # longer than the watchdog
    assert board.word(detections) >= found + 2
    assert text(board).count("statistics") == 0
    usart.blocked = False
    board.run(seconds=0.8)
    sums = statistics(board)
    assert sums["overruns"] == 0 and 500 < sums["dropped_characters"] < 4000
    assert detects_again(board, 2400)


def test_an_interrupt_of_the_serial_port_too_many_overwrites_no_character(board):
    """As a write to the port does on the chip, when it arrives after the handler's end."""

    def again():
        board.bus.write(NVIC_ISPR1, 4, USART1)
        board.schedule(20e-6, again)  # some four a character

    board.schedule(0.6, again)
    board.run(seconds=1)
    assert not [note for note in board.notes if "TXE" in note]
    assert statistics(board)["dropped_characters"] == 0 and detects_again(board, 0)


def test_without_its_crystal_the_board_says_so_and_keeps_the_time_of_the_sound(board):
    rcc = board.peripheral("RCC")
    put = rcc.put
    rcc.put = lambda register, bits, high=True: (register, bits) == ("CR", RCC_CR_HSERDY) or put(register, bits, high)

    def polled():  # else the emulator passes over the loop that waits for the crystal
        if not text(board):
            board.schedule(1e-6, polled)

    polled()
    board.run(seconds=1)
    assert "error: no answer from HSE (25 MHz crystal); running on the internal oscillator\n" in text(board)
    before = statistics(board)
    board.run(seconds=1)
    after = statistics(board)
    assert abs(after["time_ms"] - before["time_ms"] - 1100) <= 32
    assert after["overruns"] == 0 and after["hops"] == after["time_ms"] / 32 and detects_again(board, 0)


def test_a_loop_that_hangs_is_reset_by_the_watchdog_and_begins_anew(board):
    board.run(seconds=0.8)
    assert "last reset: power-on" in text(board) and detects_again(board, 0)
    place = board.symbol("decision_step") & ~1
    code = board.read(place, 2)
    assert board.run(until="decision_step") == "until"
    board.write(place, FOR_EVER)
    hung_s = board.time_s
    assert board.run(seconds=3) == "reset" and "watchdog" in board.detail
    assert 0.7 < board.time_s - hung_s < 1.9
    board.write(place, code)
    again = restart(board)
    again.run(seconds=0.9)
    assert "last reset: watchdog" in text(again) and "listening" in text(again)
    assert detects_again(again, 0)
    assert statistics(again)["time_ms"] < 1000  # counts begin at 0, whatever memory held


def test_sound_that_stops_ends_in_a_reset_and_comes_back(board):
    board.run(seconds=0.5)
    board.bus.write(DMA2_STREAM7_CR, 4, 0)
    assert board.run(seconds=3) == "reset" and "watchdog" in board.detail
    again = restart(board)
    again.run(seconds=0.8)
    assert "last reset: watchdog" in text(again) and detects_again(again, 0)


def test_an_engine_that_fails_says_why_and_ends_in_a_reset(board):
    assert board.run(until="engine_run") == "until"
    board.write(UNUSED_RAM, b"an operator failed\0")
    board.core.r0, board.core.pc = UNUSED_RAM, board.core.lr  # as if it returned this
    assert board.run(seconds=3) == "reset"
    assert text(board).endswith("listening\nerror: an operator failed\n")


@pytest.mark.parametrize("end, bit", [("__network_start", 0), ("__network_end", 31)])
def test_a_flipped_bit_in_the_network_is_found_before_it_listens(board, end, bit):
    """The first bit of the network in flash, and the last one."""
    place = board.symbol(end) - 4 * (end == "__network_end")
    board.write(place, (board.word(place) ^ 1 << bit).to_bytes(4, "little"))
    assert board.run(seconds=0.3) in ("seconds", "idle")
    assert "error: the network in flash is damaged, hash 0x" in text(board)
    assert "flash the board again" in text(board) and "listening" not in text(board)


def test_the_stack_stays_far_below_its_limit(board):
    board.schedule(0.5, lambda: board.uart_input(b"m"))
    board.run(seconds=1.5)
    limit = board.symbol("__stack_end") - board.symbol("__stack_start")
    used = statistics(board)["stack_bytes"]
    assert 256 < used < limit / 2 and limit == 8192
    table = pd.read_csv(cache.PROJECT_FOLDER / "results" / "tables" / "realtime.csv")  # of longer runs
    assert ((table.stack_bytes > 256) & (table.stack_bytes < limit / 2)).all()

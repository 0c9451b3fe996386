"""Running a firmware as a user does: result, report, command line."""

import argparse

import numpy as np
import pytest
from board_firmware import build

from kwslib import board, listen
from kwslib.board import BoardError

SOURCE = """
volatile int rounds = 5000;
__attribute__((noinline)) int work(int n) {
  int sum = 0;
  for (int i = 0; i < n; i++) sum += (i * i) ^ sum;
  return sum;
}
int main(void) {
  serial_start(16000000 / 115200);
  serial_text(work(rounds) ? "done\\n" : "nothing\\n");
  leave(4);
}
"""


def test_a_result_has_output_counts_and_profile():
    heard = []
    result = board.run(build(SOURCE), on_uart=heard.append)
    assert (result.reason, result.exit_code, result.uart) == ("exit", 4, "done\n")
    assert bytes(heard) == b"done\n"
    assert result.profile.loc["work", "instructions"] > 5000 * 3
    assert result.profile.instructions.sum() == result.instructions
    assert result.profile.cycles.sum() <= result.cycles
    assert result.seconds == pytest.approx(result.cycles / 16e6)
    assert result.clocks["hclk"] == 16e6 and result.baud == pytest.approx(115_200, rel=0.01)
    assert any("D-cache is off" in note or "I-cache is off" in note for note in result.notes)


def test_without_a_profile_the_output_is_the_same():
    result = board.run(build(SOURCE), profile=False)
    assert (result.reason, result.exit_code, result.uart, result.profile) == ("exit", 4, "done\n", None)
    assert "times are no estimates" in result.notes[-1]


def test_the_report_tells_everything_in_order():
    text = board.run(build(SOURCE)).report(rows=1)
    lines = text.splitlines()
    assert lines[0] == "End: the firmware exited, exit code 4"
    assert "instructions, an estimated" in lines[1] and "core clock 16 MHz" in lines[1]
    assert any(line.startswith("Note: ") for line in lines)
    assert "function" in text and lines[-2].startswith("work") and lines[-1].startswith("... and ")


def test_a_crash_is_told_with_function_and_line():
    result = board.run(build("int main(void) {\n\n  return (int)REG(0x30000000); }"))
    assert result.reason == "fault"
    assert "main (test.c:3)" in result.report()


def test_an_unusual_baud_rate_is_noted():
    result = board.run(build('int main(void) { serial_start(1667); serial_text("x"); leave(0); }'))
    assert any("USART1 ran at 9598 baud" in note for note in result.notes)


def test_limits_input_and_sound():
    endless = build("volatile uint32_t n; int main(void) { for (;;) n++; }")
    assert board.run(endless, max_instructions=1000).reason == "instructions"
    assert board.run(endless, seconds=0.001).reason == "seconds"
    echo = build("""int main(void) { serial_start(139); for (int i = 0; i < 3; i++) {
        while (!(REG(0x4001101C) & 1u << 5)) {} serial_byte((char)REG(0x40011024)); } leave(0); }""")
    assert board.run(echo, uart_input=b"abc").uart == "abc"


def test_an_interrupted_run_keeps_what_it_has(monkeypatch):
    def interrupt(byte):
        raise KeyboardInterrupt

    result = board.run(build(SOURCE), on_uart=interrupt)
    assert result.reason == "interrupted" and result.uart == "d"
    assert result.profile.loc["work", "instructions"] > 5000 * 3


def test_unmodelled_registers_are_listed():
    source = build("int main(void) { REG(0x40012000) = 1; leave(0); }")
    with pytest.raises(BoardError, match="ADC register 0x000"):
        board.run(source)
    result = board.run(source, unmodelled="remember")
    assert result.reason == "exit" and "Not modelled: ADC register 0x000" in result.report()


def run_command(*words):
    parser = argparse.ArgumentParser()
    board.add_arguments(parser)
    board.main(parser.parse_args([str(word) for word in words]))


def test_the_command_shows_the_output_and_ends_with_a_table(capsys):
    run_command(build(SOURCE), "--rows", "3")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "done"
    assert "End: the firmware exited, exit code 4" in lines
    assert any(line.startswith("work ") for line in lines)


def test_the_command_takes_sound_and_limits(capsys, tmp_path, monkeypatch, recwarn):
    import soundfile

    soundfile.write(tmp_path / "sound.wav", np.array([1, -1, 0.5, -0.5]).repeat(441), 44_100)
    heard, original = [], board.run
    monkeypatch.setattr(board, "run", lambda *words, **given: heard.append(given["audio"]) or original(*words, **given))
    endless = build("volatile uint32_t n; int main(void) { for (;;) n++; }")
    run_command(endless, "--max-instructions", "1000", "--audio", tmp_path / "sound.wav", "--input", "x", "--remember")
    assert "End: the number of instructions given was reached" in capsys.readouterr().out
    (samples, rate_hz), *_ = heard
    np.testing.assert_array_equal(samples, listen.read_recording(tmp_path / "sound.wav"))
    assert rate_hz == 16_000 and len(samples) == 640 and not recwarn


def test_importing_the_package_stays_cheap():
    import subprocess
    import sys

    code = "import sys, kwslib.board; print('tensorflow' in sys.modules, 'librosa' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]

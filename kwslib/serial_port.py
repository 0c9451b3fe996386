"""Lines of text over a serial port, with the means of Linux and macOS: 115200 baud, 8N1, nothing translated."""

import contextlib
import errno
import os
import select
import time

_REMEDIES = {
    errno.ENOENT: "connect the board and look for its name: ls /dev/ttyACM*",
    errno.EACCES: "sudo usermod -aG dialout $USER, then log in again",
    errno.EBUSY: "close the terminal that uses it",
}


class PortError(ValueError):
    """A serial port does not open, is gone, or is silent; the message names it and the remedy."""


class SerialPort:
    """An open port; use it in `with`. What had arrived before is thrown away.

    `timeout_s` is the longest wait for a line. Raises PortError.
    """

    def __init__(self, path: str, timeout_s: float):
        self.path, self.timeout_s, self._bytes = path, timeout_s, bytearray()
        try:
            import termios
            import tty
        except ImportError:
            raise PortError(f"{path}: serial ports are served on Linux and macOS only") from None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno, "give another --port")
            raise PortError(f"{path}: {error.strerror}; {remedy}") from None
        try:
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[2] = termios.CS8 | termios.CREAD | termios.CLOCAL  # no parity, one stop bit, no hang-up
            settings[4] = settings[5] = termios.B115200
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
            termios.tcflush(self._file, termios.TCIOFLUSH)
        except termios.error:
            os.close(self._file)
            raise PortError(f"{path}: not a serial port; the board's is /dev/ttyACM0 or the like") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._file)

    def write(self, data: bytes) -> None:
        """Send a few bytes."""
        with self._told():
            os.write(self._file, data)

    def line(self) -> str:
        """The next whole line, without its end; raises PortError if none has come within `timeout_s`."""
        end = time.monotonic() + self.timeout_s
        while b"\n" not in self._bytes:
            left = end - time.monotonic()
            if left <= 0:
                raise PortError(
                    f"{self.path}: the board sent no line for {self.timeout_s:g} s; press its reset button, "
                    "flash it again, or give another --port"
                )
            with self._told():
                if select.select([self._file], [], [], left)[0]:
                    self._bytes += self._received()
        line, _, self._bytes = self._bytes.partition(b"\n")
        return line.decode("ascii", errors="replace").strip("\r")

    def _received(self):
        data = os.read(self._file, 4096)
        if not data:
            raise OSError(errno.ENODEV, "hung up")
        return data

    @contextlib.contextmanager
    def _told(self):
        """What goes wrong with an open port means that the board is gone."""
        try:
            yield
        except OSError as error:
            raise PortError(f"{self.path}: the board is gone ({error.strerror}); connect it again") from None

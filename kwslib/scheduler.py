"""Estimated time of the emulated board: cycles of the core, seconds, and what peripherals have to do when."""

import heapq
import itertools
import math
from collections.abc import Callable


class Event:
    """Something that a peripheral does at `time_s`; `exception` is the number it may raise, `resets` a watchdog's."""

    def __init__(self, time_s: float, action: Callable[[], None], exception: int | None, resets: bool):
        self.time_s, self.action, self.exception, self.resets = time_s, action, exception, resets
        self.cancelled = False

    def cancel(self) -> None:
        """Forget the event."""
        self.cancelled = True


class AccessClock:
    """Stands in for a `Recorder` in fast runs: nothing is counted, and only register accesses take time.

    Time stands still while the firmware computes, so interrupts by time come at accesses and when the core sleeps; a
    loop without either gets the next one after some 50 ms of the host's time.
    """

    ACCESS_CYCLES = 16
    instructions = 0

    def __init__(self):
        self.cycles = 0

    def add_cycles(self, n: int) -> None:
        """Let time pass."""
        self.cycles += n

    def stop_at(self, cycles: int | None) -> None:
        """Ignored: the core is stopped at its next access."""

    def set_memory(self, **_) -> None:
        """Ignored: without estimates, caches have no effect."""


class Scheduler:
    """Keeps the relation of cycles and seconds, and a queue of events."""

    def __init__(self, recorder, hclk_hz: float):
        self._recorder, self._hclk_hz = recorder, hclk_hz
        self._base_s, self._base_cycles = 0.0, 0
        self._queue: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._event_s: float | None = None

    @property
    def time_s(self) -> float:
        """Seconds since reset; within an event its own time, which the core has passed by some cycles."""
        return self._now_s() if self._event_s is None else self._event_s

    def _now_s(self) -> float:
        return self._base_s + (self._recorder.cycles - self._base_cycles) / self._hclk_hz

    def set_hclk(self, hclk_hz: float) -> bool:
        """Change the core clock; returns whether it is another one."""
        if hclk_hz == self._hclk_hz:
            return False
        self._base_s, self._base_cycles, self._hclk_hz = self._now_s(), self._recorder.cycles, hclk_hz
        return True

    def at(self, time_s: float, action, exception: int | None = None, resets: bool = False) -> Event:
        """Queue an event."""
        event = Event(time_s, action, exception, resets)
        heapq.heappush(self._queue, (time_s, next(self._order), event))
        return event

    def at_cycle(self, cycle: int, action, exception: int | None = None) -> Event:
        """Queue an event for a cycle of the core, at the present clock."""
        return self.at(self._base_s + (cycle - self._base_cycles) / self._hclk_hz, action, exception)

    def next_cycle(self) -> int | None:
        """Cycle at which the next event is due, None without one."""
        while self._queue and self._queue[0][2].cancelled:
            heapq.heappop(self._queue)
        if not self._queue:
            return None
        # The small constant undoes rounding of whole cycles that were expressed in seconds.
        return self._base_cycles + math.ceil((self._queue[0][0] - self._base_s) * self._hclk_hz - 1e-3)

    def run_due(self) -> None:
        """Run all events that are due."""
        while (cycle := self.next_cycle()) is not None and cycle <= self._recorder.cycles:
            time_s, _, event = heapq.heappop(self._queue)
            before, self._event_s = self._event_s, time_s
            try:
                event.action()
            finally:
                self._event_s = before

    def skip(self) -> bool:
        """Let time pass until the next event and run it; False without one."""
        cycle = self.next_cycle()
        if cycle is None:
            return False
        self._recorder.add_cycles(max(0, cycle - self._recorder.cycles))
        self.run_due()
        return True

    def events(self) -> list[Event]:
        """Events that are queued."""
        return [event for _, _, event in self._queue if not event.cancelled]

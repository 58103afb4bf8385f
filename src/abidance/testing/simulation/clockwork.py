"""An event loop whose time jumps: nothing waits, nothing is read from sockets, and the order of everything is fixed.

When no task can go on, time moves to the next moment at which one can. Work for threads is done on the spot.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from abidance.model.instrument import SECOND_NS

T = TypeVar("T")


MOST_TURNS = 100_000
"""Turns of the loop in one moment of virtual time, after which time will never go on."""


class StuckError(RuntimeError):
    """Everybody waits for something that will never come, or is busy for ever."""


class _Jump(selectors.SelectSelector):
    """In place of waiting for sockets, moves time; `turned` is called once in each turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 0.0
        self.turned: Callable[[], None] = lambda: None
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let time pass instead of waiting."""
        if timeout is None:
            raise StuckError("No task can ever go on.")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MOST_TURNS:
            raise StuckError(f"Time stands still: {MOST_TURNS} steps were made in one moment.")
        self.moment += max(timeout, 0.0)
        self.turned()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop under virtual time; `turned` is called once in each of its turns, between two steps of tasks."""

    def __init__(self, turned: Callable[[], None]) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._jump.turned = turned
        self.disk_takes: Callable[[], float] = lambda: 0.0
        """Seconds until a disk answers that is waited for beside the loop."""

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._jump.moment

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Do the work now, or once the disk has answered where that has an executor of its own."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                future.set_exception(error)

        delay = self.disk_takes() if executor is not None else 0.0
        if delay:
            self.call_later(delay, work)
        else:
            work()
        return future


class VirtualPulse:
    """Virtual time as a process sees it (`net.transport.Pulse`); its wall clock may be `skew` ns off."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: int) -> None:
        self.skew = 0
        self._loop = loop
        self._epoch = epoch

    def true(self) -> int:
        """Return the true time in ns UTC."""
        return self._epoch + round(self._loop.time() * SECOND_NS)

    def now(self) -> int:
        """Return the true time: a venue's clock is right (`kernel.ports.Clock`)."""
        return self.true()

    def wall(self) -> int:
        """Return what the machine's clock shows, ns UTC."""
        return self.true() + self.skew

    def steady(self) -> float:
        """Return seconds that only ever go forward."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return after so long."""
        await asyncio.sleep(max(0.0, seconds))


def run_virtual(work: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run work to its end under virtual time, and close the loop."""
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()

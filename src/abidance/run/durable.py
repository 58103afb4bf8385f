"""The journal of a bot with real orders, put on the disk beside the event loop: a disk that hangs stops orders alone.

The loop writes records; a thread waits for the disk. Who needs a record there before going on, such as an order before
it leaves, awaits `done`. One sync serves all who wait when it begins.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from abidance.journal.store import FileJournal
from abidance.venues.net.transport import NotSentError

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds after which an order whose record is not on the disk is not sent any more: it is not what was decided."""


class Apart(Executor):
    """One thread that the process does not wait for when it ends: a disk may never let go of it."""

    def __init__(self) -> None:
        self._works: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Do some work after all that was given before."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="disk", daemon=True)
            self._thread.start()
        found: Future[T] = Future()
        self._works.put((found, lambda: fn(*args, **kwargs)))
        return found

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Let the thread end after all that was given; nobody waits for it."""
        self._works.put(None)

    def _work(self) -> None:
        while (given := self._works.get()) is not None:
            future, work = given
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
                future.set_exception(error)


class Durable:
    """A journal (`kernel.ports.JournalStore`) whose `sync` only begins; `on_failure` is called when one fails.

    `apart` is where the disk is waited for, `took` is told in how many seconds it answered.
    """

    def __init__(
        self,
        journal: FileJournal,
        apart: Executor,
        on_failure: Callable[[], None],
        took: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.append = journal.append
        self.handled = journal.handled
        self._journal = journal
        self._on_failure = on_failure
        self._took = took
        self._apart = apart
        self._is_open = False
        self._since = 0.0
        self._running: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Sync beside the running loop from now on; before, while a record is repeated, nothing is new."""
        self._is_open = True

    @property
    def seq(self) -> int:
        """Return the number of the newest record."""
        return self._journal.seq

    @property
    def has_failed(self) -> bool:
        """Return True once nothing can be recorded any more."""
        return self._journal.has_failed

    @property
    def waited(self) -> float:
        """Return for how many seconds the disk has not answered; 0 while nobody waits for it."""
        return 0.0 if self._running is None else asyncio.get_running_loop().time() - self._since

    def sync(self) -> None:
        """Begin to put on the disk what is on record."""
        if not self._is_open:
            self._journal.sync()
        elif self._running is None and self._journal.synced < self._journal.seq:
            seq, loop = self._journal.seq, asyncio.get_running_loop()
            self._since = loop.time()
            self._running = loop.run_in_executor(self._apart, self._journal.put_on_disk)
            self._running.add_done_callback(lambda done: self._came(seq, done))

    def _came(self, seq: int, done: "asyncio.Future[None]") -> None:
        self._running = None
        error = None if done.cancelled() else done.exception()
        if isinstance(error, OSError):
            self._journal.refuse(error)
            self._on_failure()
        elif error is not None:
            self._journal.give_up()
            self._on_failure()
        elif not done.cancelled():
            self._journal.was_synced(seq)
            self._took(asyncio.get_running_loop().time() - self._since)

    async def rest(self, seconds: float) -> bool:
        """Wait until the disk has answered, but no longer than that; say whether it has."""
        if self._running is not None:
            await asyncio.wait((self._running,), timeout=seconds)
        return self._running is None

    async def done(self, seq: int) -> None:
        """Return once the record of this number is on the disk.

        Raises NotSentError when it cannot be, or when that takes too long.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + PATIENCE
        while self._journal.synced < seq:
            if self._journal.has_failed:
                raise NotSentError("the journal cannot be written", "Look at the disk.")
            self.sync()
            if self._running is not None:
                await asyncio.wait((self._running,), timeout=deadline - clock())
            if self._journal.synced < seq and clock() >= deadline:
                text = f"the disk has not taken the journal for {PATIENCE:g} s"
                raise NotSentError(text, "Look at the disk.")

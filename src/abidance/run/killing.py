"""The kill switch of a bot: a file in its folder, on the disk before anybody is told, in force until it is taken away.

It is thrown before it is on the disk: a disk that answers no sync keeps the one who throws it waiting, not the bot.

It needs no journal, no database and no network, and a bot that starts while it is there starts halted. Signals throw it
too: USR1 for entries, USR2 for all, RTMIN to flatten.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Thread

from abidance.model.errors import UsageError

KILL = "KILL"
_PATIENCE = 0.1
"""Seconds for which a bot that got a signal waits for the disk."""


class Extent(StrEnum):
    """How much a kill takes back, each more than the one before."""

    ENTRIES = "entries"
    """Nothing is entered any more; what rests to enter is taken back, what protects positions stays."""
    ALL = "all"
    """Protective orders are taken back too."""
    FLATTEN = "flatten"
    """All positions are closed at market."""


SIGNALS = {signal.SIGUSR1: Extent.ENTRIES, signal.SIGUSR2: Extent.ALL, signal.SIGRTMIN: Extent.FLATTEN}


@contextmanager
def thrown_by_signals(folder: Path) -> Iterator[None]:
    """Let signals throw the switch of the bot in `folder` meanwhile; call it in the main thread."""
    before = {
        number: signal.signal(number, lambda got, _: _throw(folder, SIGNALS[signal.Signals(got)]))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _throw(folder: Path, extent: Extent) -> None:
    """Throw the switch in a thread: the bot itself, which got the signal, must not wait for a disk that hangs."""

    def throw() -> None:
        folder.mkdir(parents=True, exist_ok=True)  # a bot that only begins is stopped before its first order
        kill(folder, "signal", extent)

    thrower = Thread(target=throw, name="kill", daemon=True)
    thrower.start()
    thrower.join(_PATIENCE)


def killed(folder: Path) -> Extent | None:
    """Return how far the bot in `folder` is killed, None when it is not; what cannot be read counts as `ENTRIES`."""
    try:
        text = (folder / KILL).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        return Extent.ENTRIES
    word = (text.split() or [""])[0]
    return Extent(word) if word in tuple(Extent) else Extent.ENTRIES


def kill(folder: Path, actor: str, extent: Extent = Extent.ENTRIES) -> bool:
    """Throw the switch and return whether that changed anything. Raises UsageError when there is no such bot."""
    if not folder.is_dir():
        raise UsageError(f"There is no bot in {folder}.", "See runs/ in the user directory for their names.")
    before = killed(folder)
    if before is not None and tuple(Extent).index(before) >= tuple(Extent).index(extent):
        return False
    fresh = folder / f"{KILL}.new"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, f"{extent.value} {moment} {actor}\n".encode())
        fresh.replace(folder / KILL)  # the bot sees it from here on, though the disk may take long to have it
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync(folder)
    return True


def release(folder: Path) -> bool:
    """Take the switch back and return whether it was thrown."""
    try:
        (folder / KILL).unlink()
    except FileNotFoundError:
        return False
    _sync(folder)
    return True


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

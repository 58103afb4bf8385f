"""The kill switch of a bot: a file in its folder, on the disk before anybody is told, in force until it is taken away.

It is thrown before it is on the disk: a disk that answers no sync keeps the one who throws it waiting, not the bot. A
disk without room takes it all the same: a bot keeps files to throw it with, and to rename one needs no room. Where a
disk takes nothing at all, a bot that is told (by a signal, or at its door) keeps to it until its process ends.

It needs no journal, no database and no network, and a bot that starts while it is there starts halted. Signals throw it
too: USR1 for entries, USR2 for all, RTMIN to flatten.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from threading import Thread

from abidance.model.errors import UsageError

KILL = "KILL"
_SPARES = ".kill"
_PATIENCE = 0.1
"""Seconds for which a bot that got a signal waits for the disk."""
_told: dict[Path, "Extent"] = {}
"""How far bots of this process are killed that no disk knows of."""


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
        forget(folder)  # from here on it is released as any other

    tell(folder, extent)
    thrower = Thread(target=throw, name="kill", daemon=True)
    thrower.start()
    thrower.join(_PATIENCE)


def killed(folder: Path) -> Extent | None:
    """Return how far the bot in `folder` is killed, None when it is not; what cannot be read counts as `ENTRIES`."""
    return _further(_told.get(folder.absolute()), _on_disk(folder))


def tell(folder: Path, extent: Extent) -> None:
    """Kill a bot of this process whether or not a disk takes it; in force until it is released or the process ends."""
    _told[folder.absolute()] = _further(_told.get(folder.absolute()), extent) or extent


def forget(folder: Path) -> None:
    """Keep no longer to what a bot of this process was told; its disk is in force."""
    _told.pop(folder.absolute(), None)


def is_enough(thrown: Extent | None, extent: Extent) -> bool:
    """Say whether a switch that is thrown as far as `thrown` is thrown as far as `extent`."""
    return _further(thrown, extent) is thrown


def _further(one: Extent | None, other: Extent | None) -> Extent | None:
    return max(one, other, key=lambda each: -1 if each is None else tuple(Extent).index(each))


def _on_disk(folder: Path) -> Extent | None:
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
    if is_enough(_on_disk(folder), extent):
        return False
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        _write(folder, f"{extent.value} {moment} {actor}\n")
    except OSError:
        try:
            (folder / _SPARES / extent).replace(folder / KILL)
        except OSError:
            pass  # what the disk said first tells more
        else:
            return True
        raise
    return True


def release(folder: Path) -> bool:
    """Take the switch back and return whether it was thrown."""
    try:
        (folder / KILL).unlink()
    except FileNotFoundError:
        return False
    _sync(folder)
    prepare(folder)
    return True


def prepare(folder: Path) -> None:
    """Keep files in a bot's folder with which its switch can be thrown when the disk has no room; once is enough."""
    with suppress(OSError):  # a disk without room: what was kept before is there still
        (folder / _SPARES).mkdir(exist_ok=True)
        for extent in Extent:
            if not (folder / _SPARES / extent).exists():
                (folder / _SPARES / extent).write_text(f"{extent.value} on a disk without room\n")


def _write(folder: Path, text: str) -> None:
    """Put the file in place whole, and on the disk; it is seen before the disk has it."""
    fresh = folder / f"{KILL}.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, text.encode())
        fresh.replace(folder / KILL)
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync(folder)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

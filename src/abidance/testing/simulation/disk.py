"""A disk that fails: full, cut off in a write, not syncing, forgetting at a power cut what was not synced.

It stands in for the module `os` where the journal is written. Only the journal's file is touched; what it holds can be
heard byte by byte.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any


class Died(BaseException):
    """The process is killed here and now."""


class Disk:
    """One disk with one journal on it, in place of `os` for who writes it.

    `began` hears the whole journal as it is opened, `wrote` what is added, `kept` how many bytes would survive a power
    cut, `cut` to what length it was cut. `fails` is what goes wrong next: "torn" (the process dies in the middle of a
    write), "dies" (just after one), "short" (a write takes only half) or "sync" (a sync fails). Once it `is_dead`, what
    the process still tries to write goes nowhere.
    """

    def __init__(self, file: Path, random: Random) -> None:
        self.file = file
        self.fails = ""
        self.full = False
        self.is_dead = False
        self.began: Callable[[bytes], None] = lambda _: None
        self.wrote: Callable[[bytes], None] = lambda _: None
        self.cut: Callable[[int], None] = lambda _: None
        self.kept: Callable[[int], None] = lambda _: None
        self.hit: Callable[[str], None] = lambda _: None
        self.died: Callable[[], None] = lambda: None
        self.synced = 0
        self._random = random
        self._fds: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @property
    def size(self) -> int:
        """Return how long the journal is."""
        return self.file.stat().st_size if self.file.exists() else 0

    def opened(self) -> None:
        """Begin a process: what is there was read from the disk itself."""
        self.is_dead, self.fails, self._fds = False, "", set()
        self.synced = self.size

    def power_cut(self) -> int:
        """Forget what was not synced, or what of it the disk had not written by itself; return how much is left."""
        size = self.size
        if size > self.synced:
            left = self._random.randint(self.synced, size)
            os.truncate(self.file, left)
            self.cut(left)
            return left
        return size

    # --- what the journal calls

    def open(self, path: str | Path, flags: int, *mode: int) -> int:
        """Open a file and remember the journal's."""
        fd = os.open(path, flags, *mode)
        if os.path.realpath(path) == os.path.realpath(self.file):
            self._fds.add(fd)
            self.synced = self.size  # it was made whole, or read from the disk
            self.began(self.file.read_bytes())
        return fd

    def close(self, fd: int) -> None:
        """Close a file."""
        self._fds.discard(fd)
        os.close(fd)

    def write(self, fd: int, data: bytes) -> int:
        """Write, or fail."""
        if fd not in self._fds:
            return os.write(fd, data)
        if self.is_dead:
            raise Died
        if self.full:
            self.hit("disk_full")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fails == "sync":
            return self._put(fd, data)
        fails, self.fails = self.fails, ""
        if fails == "torn":
            self._put(fd, data[: self._random.randint(1, len(data) - 1)])
            self.hit("torn_write")
            self._die()
        if fails == "short":
            self.hit("short_write")
            return self._put(fd, data[: max(1, len(data) // 2)])
        written = self._put(fd, data)
        if fails == "dies":
            self.hit("death_after_write")
            self._die()
        return written

    def fdatasync(self, fd: int) -> None:
        """Note what would survive, or fail."""
        if fd not in self._fds:
            os.fdatasync(fd)
            return
        if self.is_dead:
            raise Died
        if self.fails == "sync":
            self.fails = ""
            self.hit("sync_error")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced = self.size
        self.kept(self.synced)

    def fsync(self, _fd: int) -> None:
        """Pass for synced: how files come to be is not played here."""

    def ftruncate(self, fd: int, length: int) -> None:
        """Cut the file, unless its process is no more."""
        if fd in self._fds:
            if self.is_dead:
                raise Died
            self.cut(length)
        os.ftruncate(fd, length)

    def _put(self, fd: int, data: bytes) -> int:
        written = os.write(fd, data)
        self.wrote(data[:written])
        return written

    def _die(self) -> None:
        self.died()
        raise Died

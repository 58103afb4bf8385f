"""The journal in a file: one writer, append-only, checked when opened, verified record by record on a restart.

A record is written before its event is handled, with one system call and no buffer of ours, so that a killed process
loses nothing. A record that a crash cut short is set aside when the file is opened for writing. Damage before the end
is never repaired silently. What the records look like is `journal.record`'s business.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

import msgspec

from abidance.journal.record import (
    MAX_PAYLOAD,
    Codec,
    Mark,
    Record,
    RunHeader,
    frame,
    opening,
    read_opening,
    survivor,
    walk,
)
from abidance.model.errors import JournalError
from abidance.model.event import AccountEvent
from abidance.model.outcome import Decided, Recorded, as_before

SyncPolicy = Literal["always", "commands", "never"]

_MADE = (*get_args(AccountEvent), Decided)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PLACE = "Check the folder's permissions, or give another place: nothing is lost."


class Tail(NamedTuple):
    """What a crash left behind the last sound record; `saved` is the file it was moved to, if it was."""

    seq: int
    offset: int
    size: int
    saved: Path | None = None


class Contents(NamedTuple):
    """A journal as read: `records` is read from the file as it is consumed."""

    header: RunHeader
    records: Iterator[Record]
    tail: Tail | None


def is_input(event: Recorded) -> bool:
    """Say whether a run over a simulated venue needs the event told: all but what venue and engine answer."""
    return not isinstance(event, _MADE)


def read(path: Path) -> Contents:
    """Check a journal and return what it holds; the file is not changed and may be growing.

    Raises JournalError when there is no journal, or when it is damaged anywhere but in its last record.
    """
    path = Path(path)
    with _open(path) as file:
        header, start = read_opening(file, path.name)
        codec = Codec(header.instruments)
        last, tail = _check(file, start, codec, path)
    return Contents(header, _records(path, start, last, codec), tail)


class FileJournal:
    """A run's journal, open for writing by this process alone (`kernel.ports.JournalStore`).

    On a new path `header` starts the journal. On an existing one its own header holds, `header` may be None, and a
    given one must agree in name, mode and configuration; `torn` tells what a crash left. The run then repeats itself:
    while `recorded` is above 0, `append` compares each event with the one on record in place of writing it.

    `sync` says when the disk must have it: at every record, at `sync()` (called before commands leave), or never.
    Nothing is lost when the process dies; "never" may lose the last seconds when the machine does. With `since`, a
    mark of this very journal, only what stands behind it is read and repeated: the state there is known from elsewhere.
    """

    def __init__(
        self,
        path: Path,
        header: RunHeader | None = None,
        sync: SyncPolicy = "commands",
        since: Mark | None = None,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.torn: Tail | None = None
        self._policy = sync
        self._writing = False
        self._synced = 0
        self._at: tuple[int, int, int] = (0, 0, 0)
        self._failure: tuple[str, str] | None = None
        self._fd = -1
        self._pending: Generator[bytes] | None = None
        self._ahead: bytes | None = None
        self._lock = _lock(self.path)
        try:
            if not self.path.exists():
                _create(self.path, header)
            self._resume(header, since)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise JournalError(
                    f"The journal {path} cannot be opened ({error.strerror}).", _PLACE
                ) from error
            raise

    def _resume(self, given: RunHeader | None, since: Mark | None) -> None:
        with _open(self.path) as file:
            self.header, self._start = read_opening(file, self.path.name)
            _agree(self.header, given, self.path)
            self._codec = Codec(self.header.instruments)
            if since is not None:
                self._start = since
                file.seek(since.offset)
            self._last, tail = _check(file, self._start, self._codec, self.path)
            if tail:
                self.torn = _set_aside(file, tail, self.path)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        if self.torn:
            os.ftruncate(self._fd, self._last.offset)
            os.fsync(self._fd)
        if self._policy != "never":
            os.fdatasync(self._fd)  # a process that was killed may have left its last records in memory alone
        self._at = self._last
        self._synced = self.seq
        self.recorded = self._last.seq - self._start.seq
        self._pending = _payloads(self.path, self._start, self._last)

    @property
    def seq(self) -> int:
        """Return the number of records in the file."""
        return self._at[2]

    @property
    def mark(self) -> Mark:
        """Return the place behind the newest record."""
        return Mark(*self._at)

    @property
    def has_failed(self) -> bool:
        """Return True once something could not be written: nothing more is recorded then."""
        return self._failure is not None

    def inputs(self, wanted: Callable[[Recorded], bool] = is_input) -> Iterator[Record]:
        """Yield, in file order, the events that were on record at opening and that the run cannot make by itself.

        Handle each as when it was new, `append(event, deferred=...)` first. `recorded` is 0 when all came out as
        before.
        """
        return (record for record in self._found() if record.event is not None and wanted(record.event))

    def _found(self) -> Iterator[Record]:
        return _records(self.path, self._start, self._last, self._codec)

    def append(self, event: Recorded, *, deferred: bool = False) -> None:
        """Record an event before it is handled, or compare it with the next one on record while there is any.

        Raises JournalError when it cannot be written (take no new risk; every further call raises too), and when it
        differs from the record.
        """
        self._put(event, deferred)

    def handled(self) -> None:
        """Record that the last deferred event is handled now: what it caused stands before this, its own after it."""
        self._put(None, deferred=False)

    def _put(self, event: Recorded | None, deferred: bool) -> None:
        if self.recorded:
            self._compare(event, deferred)
            return
        self.check()
        offset, crc, seq = self._at
        payload = self._codec.encode(seq + 1, deferred, event)
        if len(payload) > MAX_PAYLOAD:
            raise JournalError(f"An event of {len(payload)} bytes is too long for the journal.", "Report it.")
        data, crc = frame(payload, crc)
        try:
            if self._writing:  # an interrupt left append half-way: what it wrote was never handled
                os.ftruncate(self._fd, offset)
            self._writing = True
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            raise self.refuse(error) from error
        self._at = (offset + len(data), crc, seq + 1)
        self._writing = False
        if self._policy == "always":
            self.sync()

    @property
    def synced(self) -> int:
        """Return the number of the last record that is on the disk; with the policy "never", of the newest."""
        return self.seq if self._policy == "never" else self._synced

    def sync(self) -> None:
        """Return once everything appended is on the disk; with the policy "never", at once."""
        if self.synced == self.seq:
            return
        self.check()
        try:
            self.put_on_disk()
        except OSError as error:
            # The kernel may have dropped the pages: what it says about a second attempt would mean nothing.
            raise self.refuse(error) from error
        self.was_synced(self.seq)

    def put_on_disk(self) -> None:
        """Wait for the disk, in whatever thread; whoever does must tell `was_synced` or `refuse` of it.

        Raises OSError when the disk refuses, and when the file has been removed: nobody would ever find the record.
        """
        os.fdatasync(self._fd)
        if os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "it has been removed")

    def was_synced(self, seq: int) -> None:
        """Take note that the records up to this number, there before `put_on_disk` began, are on the disk."""
        self._synced = max(self._synced, seq)

    def check(self) -> None:
        """Raise JournalError once something could not be written."""
        if self._failure:
            raise JournalError(*self._failure)

    def give_up(self) -> None:
        """Refuse everything from now on: the disk does not answer, and nobody is to wait for it."""
        self._failure = (
            f"The disk does not take the journal {self.path}.",
            "Look at the disk, then start again.",
        )

    def close(self) -> None:
        """Sync, then let another process have the journal. A second call does nothing."""
        fds, self._fd, self._lock = (self._fd, self._lock), -1, -1
        if self._pending is not None:
            self._pending.close()
        try:
            if self.synced < self.seq and not self._failure:
                self._fd = fds[0]
                self.sync()
        finally:
            self._fd = -1
            self._failure = self._failure or (f"The journal {self.path.name} is closed.", "")
            for fd in fds:
                if fd >= 0:
                    os.close(fd)

    def __enter__(self) -> "FileJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compare(self, event: Recorded | None, deferred: bool) -> None:
        seq = self._last.seq - self.recorded + 1
        assert self._pending is not None
        payload, self._ahead = self._ahead or next(self._pending), None
        given = self._codec.encode(seq, deferred, event)
        # Equal bytes are the rule; a field added since with a default differs in bytes alone.
        if given != payload:
            found = _decode(self._codec, payload, seq, self.path)
            came = as_before(self._codec.decode(given).event, found.event)
            if event is not None and came is None:  # all of it is news that the record's version did not tell
                self._ahead = payload
                return
            if Record(seq, deferred, came) != found:
                raise JournalError(
                    f"The journal {self.path.name} and this version of the program disagree at record {seq}: on record "
                    f"is {_shown(found)}, now came {_shown(Record(seq, deferred, event))}.",
                    f"Go on with the version that wrote it ({self.header.code_version}), or start a new run.",
                )
        self.recorded -= 1
        if not self.recorded:
            self._pending.close()

    def refuse(self, error: OSError) -> JournalError:
        """Cut off what was half written, refuse everything from now on, and return what to raise."""
        if error.errno in _FULL:
            found = f"The disk is full: the journal {self.path} cannot grow ({error.strerror})."
            remedy = "Free space, then start again: nothing is lost."
        else:
            found = f"The journal {self.path} cannot be written ({error.strerror})."
            remedy = "Check the disk, then start again: what was recorded before is kept."
        self._failure = (found, remedy)
        try:
            os.ftruncate(self._fd, self._at[0])
        except OSError:
            remedy += " The unfinished last record will be set aside then."
        return JournalError(found, remedy)


class Follower:
    """Reads a journal that another process may be writing; it changes nothing and takes no lock.

    Raises JournalError when there is no journal or when its header cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._file = _open(self._path)
        try:
            self.header, self._mark = read_opening(self._file, self._path.name)
        except BaseException:
            self._file.close()
            raise
        self._codec = Codec(self.header.instruments)

    @property
    def seq(self) -> int:
        """Return the number of the last record that was read."""
        return self._mark.seq

    @property
    def unread(self) -> int:
        """Return how many bytes lie behind the last record that was read: what is new, or was never finished."""
        return max(0, os.fstat(self._file.fileno()).st_size - self._mark.offset)

    @property
    def is_replaced(self) -> bool:
        """Say whether another journal, or none, has taken the place of this one."""
        try:
            there = self._path.stat()
        except OSError:
            return True
        here = os.fstat(self._file.fileno())
        return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)

    def read(self, most: int) -> list[Record]:
        """Return the next whole records, at most so many. Raises JournalError for one that means nothing, and OSError.

        What cannot be read behind others is told by the next reading, which begins with it.
        """
        if not self.unread:
            return []
        self._file.seek(self._mark.offset)
        found: list[Record] = []
        try:
            for payload, mark in islice(walk(self._file, self._mark), most):
                found.append(_decode(self._codec, payload, mark.seq, self._path))
                self._mark = mark
        except Exception:
            if not found:  # else what was found would be lost, and nobody would know
                raise
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise JournalError(f"There is no journal {path}.", "Check the name, or start a new run.") from None
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be opened ({error.strerror}).", _PLACE) from error


def _lock(path: Path) -> int:
    """Return a descriptor that holds the journal's lock until it is closed, by a crash too."""
    name = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be locked ({error.strerror}).", _PLACE) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise JournalError(
            f"Another process ({owner}) is running this bot: it holds the journal {path.name}.",
            "Stop that process first, or give this run another name.",
        ) from None
    except OSError as error:
        os.close(fd)
        raise JournalError(f"The journal {path} cannot be locked ({error.strerror}).", _PLACE) from error
    with suppress(OSError):  # the pid is a courtesy: a full disk must not keep a journal from being opened
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def _create(path: Path, header: RunHeader | None) -> None:
    """Write a journal without records; it appears under its name only when it is whole."""
    if header is None:
        raise JournalError(f"There is no journal {path}.", "Check the name, or start a new run.")
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as file:
            file.write(opening(header)[0])
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be created ({error.strerror}).", "Make room or give another place."
        ) from error


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _agree(found: RunHeader, given: RunHeader | None, path: Path) -> None:
    if given is None:
        return
    for what in ("name", "mode", "config_hash"):
        if getattr(found, what) != getattr(given, what):
            raise JournalError(
                f"The journal {path.name} belongs to a run with another {what.replace('config_hash', 'configuration')} "
                f"({getattr(found, what)}, not {getattr(given, what)}).",
                "Go on with the configuration of that run, or start a new run under another name.",
            )


def _check(file: BinaryIO, start: Mark, codec: Codec, path: Path) -> tuple[Mark, Tail | None]:
    """Walk over all records from `start`, where `file` stands; return the last sound mark and what lies behind it."""
    end = os.fstat(file.fileno()).st_size
    last = start
    for _payload, mark in walk(file, start, end):
        last = mark
    file.seek(last.offset)
    rest = file.read(max(0, end - last.offset))
    if not rest:
        return last, None
    found = survivor(rest, codec, last.seq + 1)
    if found is not None:
        raise JournalError(
            f"The journal {path} is damaged at byte {last.offset}, record {last.seq + 1}: sound records follow at byte "
            f"{last.offset + found}, so this is no crash while writing.",
            f"Restore it from a backup; or keep a copy and drop all that follows with "
            f"`truncate -s {last.offset} {path}`.",
        )
    return last, Tail(last.seq + 1, last.offset, len(rest))


def _set_aside(file: BinaryIO, tail: Tail, path: Path) -> Tail:
    saved = path.with_name(f"{path.name}.torn-{tail.seq}")
    number = 1
    while saved.exists():
        number += 1
        saved = path.with_name(f"{path.name}.torn-{tail.seq}.{number}")
    file.seek(tail.offset)
    try:
        with saved.open("xb") as aside:
            aside.write(file.read())
            aside.flush()
            os.fsync(aside.fileno())
    except OSError as error:
        raise JournalError(
            f"The unfinished last record of the journal {path} cannot be set aside ({error.strerror}).",
            "Free space, then start again: nothing is lost.",
        ) from error
    return tail._replace(saved=saved)


def _payloads(path: Path, start: Mark, last: Mark) -> Generator[bytes]:
    """Yield the payloads between two marks, from a file of its own: the writer may append meanwhile."""
    with _open(path) as file:
        file.seek(start.offset)
        for payload, _ in walk(file, start, last.offset):
            yield payload


def _records(path: Path, start: Mark, last: Mark, codec: Codec) -> Iterator[Record]:
    for seq, payload in enumerate(_payloads(path, start, last), start.seq + 1):
        yield _decode(codec, payload, seq, path)


def _decode(codec: Codec, payload: bytes, seq: int, path: Path) -> Record:
    try:
        record = codec.decode(payload)
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"Record {seq} of the journal {path.name} cannot be read ({error}).",
            "Use the version of the program that wrote it.",
        ) from error
    if record.seq != seq:
        raise JournalError(
            f"Record {seq} of the journal {path.name} says that it is {record.seq}.", "Restore a backup."
        )
    return record


def _shown(record: Record) -> str:
    text = f"{record.event}{' (deferred)' if record.deferred else ''}"
    return text if len(text) <= 300 else text[:300] + "…"

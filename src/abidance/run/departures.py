"""Which orders may have left: noted in memory that outlives the process and never the machine.

A process that is killed takes with it whether the request of an order had left, unless that was noted elsewhere just
before. A file in memory is as quick as memory: a disk that hangs cannot hold it up, and nothing of it is left when the
machine itself begins anew, when it could be older than the truth. Without it nothing is known, and absence is proven.

A journal may be gone on with under another memory (in a container, on another machine that shares the disk) and then
under the first one again: beside it stands which process began last, and what another one noted is not believed.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from uuid import uuid4

from abidance.journal.store import FileJournal, sync_folder
from abidance.model.errors import JournalError
from abidance.venues.net.transport import NotSentError

MEMORY = Path("/dev/shm")  # noqa: S108 (the file is ours alone, or it is not believed)
BEGUN = "begun"
"""The file beside a journal that says which process began last."""
_FORMAT = re.compile(rb"departures 2 ([0-9a-f]{32}) (\d{1,18})\n((?:[0-9a-f]{32}\n)*)")
_LONGEST = 1 << 26


def place_of(journal: FileJournal, memory: Path = MEMORY) -> Path | None:
    """Return where departures of a journal are noted; None on a machine without such memory.

    It is this very file's: a copy of a journal, or one that was put back from a backup, has a place of its own.
    """
    if not memory.is_dir():
        return None
    found = journal.path.stat()
    whose = f"{journal.header.run_id} {found.st_dev} {found.st_ino}"
    return memory / f"abidance-{hashlib.sha256(whose.encode()).hexdigest()[:32]}"


class Departures:
    """The orders that may have left, in a file in memory (`place_of`); without a `file` nothing is known of any.

    `begun` is the file on the disk that says which process began last.
    """

    def __init__(self, file: Path | None, begun: Path) -> None:
        self._file = file
        self._begun = begun
        self._fd = -1

    def of_the_last(self, seq: int) -> Callable[[str], bool]:
        """Return what says whether an order may have left before this process began.

        `seq` is the number of records that it found. Where nothing can be known, each order may have left.
        """
        found = _FORMAT.fullmatch(_read(self._file))
        if found is None or found[1] != _read(self._begun) or int(found[2]) > seq:  # it is of an earlier time
            return lambda _: True
        ids = frozenset(found[3].decode().split())
        return lambda id: id in ids

    def begin(self, seq: int, ids: Iterable[str]) -> None:
        """Begin to note, `seq` being the number of records and `ids` the open orders that may have left before.

        Raises JournalError or OSError when what is noted of the last process would stay.
        """
        name = uuid4().hex
        self._name_the_last(name)
        if self._file is None:
            return
        fresh = self._file.with_name(f"{self._file.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._fd = os.open(fresh, flags, 0o600)
            self._put("".join(f"{line}\n" for line in (f"departures 2 {name} {seq}", *ids)))
            fresh.replace(self._file)
        except OSError:
            self._forget()

    def note(self, order_id: str) -> None:
        """Note that an order may have left from now on. Raises NotSentError when the file would go on to deny that."""
        if self._fd < 0:
            return
        try:
            self._put(f"{order_id}\n")
        except OSError:
            try:
                self._forget()
            except OSError as error:
                raise NotSentError(f"{self._file} cannot be written", "Remove that file.") from error

    def end(self, *, keeps: bool) -> None:
        """Let go of the file; unless it `keeps` telling something it is removed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._file is not None and not keeps:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _name_the_last(self, name: str) -> None:
        """Say on the disk, for good, that another process began."""
        fresh = self._begun.with_name(f"{BEGUN}.new")
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(name)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._begun)
            sync_folder(self._begun.parent)
        except OSError as error:
            raise JournalError(
                f"{self._begun} cannot be written ({error.strerror}).", "Make room for it."
            ) from error

    def _put(self, text: str) -> None:
        data = text.encode()
        if os.write(self._fd, data) != len(data):
            raise OSError("cut short")

    def _forget(self) -> None:
        """Let the file say nothing, rather than something that is not so."""
        assert self._file is not None
        self._file.unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _read(file: Path | None) -> bytes:
    """Return what a file says, nothing unless it is ours alone."""
    if file is None:
        return b""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        about = os.fstat(fd)
        is_ours = S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
        return os.read(fd, about.st_size) if is_ours and about.st_size < _LONGEST else b""
    finally:
        os.close(fd)

"""Who did what: an append-only file of lines, each bound to the one before by a hash.

    {"seq":1,"ts":1719000000000,"actor":"ada","address":"127.0.0.1",...,"previous":"<hash>","hash":"<hash>"}

A hash is the SHA-256 of the line's canonical JSON without it (keys sorted, no spaces), the hash of the line before
included: a line that was changed, taken out, put in or moved breaks the chain. The head is kept beside the file, so
that lines cut off at the end are missed too. Several processes may append: a lock orders them.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from abidance.model.errors import AbidanceError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

AUDIT = "audit.log"
"""The log's name in the user directory."""
_START = "0" * 64
_TAIL = 1 << 20
"""Bytes from the end in which the last line is looked for; no line is longer."""
_BLOCK = 1 << 16
"""Bytes that are read at a time where the log is read from its end."""
_KEYS = frozenset(
    {"seq", "ts", "actor", "address", "request_id", "action", "target", "data", "previous", "hash"}
)


class Line(NamedTuple):
    """One line; `ts` is in ms UTC."""

    seq: int
    ts: int
    actor: str
    address: str
    request_id: str
    action: str
    target: str
    data: dict[str, Any]
    previous: str
    hash: str


class Finding(NamedTuple):
    """Whether a log is whole: how many lines are sound, the last hash, and what is wrong (nothing: an empty text)."""

    lines: int
    head: str
    problem: str


class _Sound(NamedTuple):
    """The beginning of a log that was found sound: its bytes by their number and hash, its lines, their last hash."""

    size: int
    digest: bytes
    lines: int
    head: str


_NOTHING = _Sound(0, sha256().digest(), 0, _START)


class Audit:
    """The audit log in a file."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._anchor = path.with_name(path.name + ".head")
        self._now = now
        self._sound = _NOTHING

    def write(
        self,
        actor: str,
        action: str,
        target: str = "",
        data: dict[str, Any] | None = None,
        *,
        address: str = "",
        request_id: str = "",
    ) -> Line:
        """Append a line, on the disk when this returns. Raises AbidanceError when it cannot be; then do nothing."""
        try:
            with self._locked() as file:
                seq, previous = _last(file)
                body = {
                    "seq": seq + 1, "ts": int(self._now() * 1000), "actor": actor, "address": address,
                    "request_id": request_id, "action": action, "target": target, "data": data or {},
                    "previous": previous,
                }  # fmt: skip
                body = json.loads(_canonical(body))
                line = Line(**body, hash=_hash(body))
                file.seek(0, os.SEEK_END)
                file.write(_canonical(line._asdict()) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self._keep_head(line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AbidanceError(
                f"The audit log {self.path} cannot be written ({error}).",
                "Nothing was done. Mend the file or the disk; `abidance audit verify` says what is wrong.",
            ) from error
        return line

    def last(self, count: int, before: int | None = None) -> list[Line]:
        """Return the newest lines, newest first; `before` leaves out those from that number on."""
        kept: list[Line] = []
        if count and self.path.exists():
            with self.path.open("rb") as file:
                for raw in _backwards(file, None if before is None else _end_before(file, before)):
                    try:
                        line = Line(**json.loads(raw))
                    except (ValueError, TypeError):
                        continue
                    if before is None or line.seq < before:
                        kept.append(line)
                    if len(kept) == count:
                        break
        return kept

    def verify(self) -> Finding:
        """Read the whole log and say whether it is as it was written.

        What was found sound before is not looked at line by line again where its bytes are still the same.
        """
        seq, previous = 0, _START
        if self.path.exists():
            with self.path.open("rb") as file:
                sound, read = self._still_sound(file)
                seq, previous = sound.lines, sound.head
                for raw in file:
                    problem = _flaw(raw, seq + 1, previous)
                    if problem:
                        return Finding(seq, previous, f"Line {seq + 1} {problem}.")
                    seq, previous = seq + 1, json.loads(raw)["hash"]
                    read.update(raw)
                self._sound = _Sound(file.tell(), read.digest(), seq, previous)
        try:
            anchor = self._anchor.read_text("utf-8").split()
        except FileNotFoundError:
            anchor = [] if seq else ["0", _START]
        except (OSError, ValueError) as error:
            return Finding(seq, previous, f"The head kept beside it cannot be read ({error}).")
        if anchor != [str(seq), previous]:
            kept = anchor[0] if len(anchor) == 2 else "nothing"
            return Finding(seq, previous, f"The log ends at line {seq}; the head kept beside it says {kept}.")
        return Finding(seq, previous, "")

    def _still_sound(self, file: BinaryIO) -> "tuple[_Sound, Hash]":
        """Read what was found sound and is the same now, nothing where it is not; return it and its running hash."""
        sound, read = self._sound, sha256()
        left = sound.size
        while left and (piece := file.read(min(left, _TAIL))):
            read.update(piece)
            left -= len(piece)
        if not left and read.digest() == sound.digest:
            return sound, read
        file.seek(0)
        return _NOTHING, sha256()

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(fd, "r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield file

    def _keep_head(self, line: Line) -> None:
        fresh = self._anchor.with_name(self._anchor.name + ".new")
        fresh.write_text(f"{line.seq} {line.hash}\n", "utf-8")
        fresh.chmod(0o600)
        fresh.replace(self._anchor)


def _end_before(file: BinaryIO, number: int) -> int:
    """Return a place in a log behind all lines below a number, and, in one that is whole, not far behind.

    It halves the file until little is left: in a log that is not whole the place may lie further back.
    """
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > _BLOCK:
        middle = (low + high) // 2
        file.seek(middle)
        start = middle + len(file.readline(high - middle))
        try:
            seq = int(json.loads(file.readline(_TAIL))["seq"])
        except (ValueError, TypeError, KeyError):
            break
        if seq < number:
            low = start
        elif start < high:
            high = start
        else:
            break
    return high


def _backwards(file: BinaryIO, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a file from its end, or from a place where one begins."""
    at, rest = file.seek(0, os.SEEK_END) if end is None else end, b""
    while at:
        size = min(at, _BLOCK)
        at = file.seek(at - size)
        rest, *lines = (file.read(size) + rest).split(b"\n")
        yield from reversed(lines)
    yield rest


def _canonical(value: object) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=str
    )
    return text.encode()


def _hash(body: dict[str, Any]) -> str:
    return sha256(_canonical(body)).hexdigest()


def _flaw(raw: bytes, seq: int, previous: str) -> str:
    """Return what is wrong with a line, or nothing."""
    try:
        line = json.loads(raw)
    except ValueError:
        return "is no JSON"
    if not raw.endswith(b"\n"):
        return "was not finished"
    if not isinstance(line, dict) or set(line) != _KEYS or raw != _canonical(line) + b"\n":
        return "is not as it was written"
    if line["seq"] != seq or line["previous"] != previous:
        return "does not follow the one before"
    if line["hash"] != _hash({name: value for name, value in line.items() if name != "hash"}):
        return "was changed"
    return ""


def _last(file: BinaryIO) -> tuple[int, str]:
    """Return the number and the hash of the last line. Raises ValueError when it was not finished."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return 0, _START
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    if not tail.endswith(b"\n"):
        raise ValueError("its last line was not finished")
    line = json.loads(tail[:-1].rpartition(b"\n")[2])
    return int(line["seq"]), str(line["hash"])


__all__ = ["AUDIT", "Audit", "Finding", "Line"]

"""The state of a running bot put away beside its journal, so that a start repeats only what came after.

A checkpoint is a help and never the truth: it is used when the very same code wrote it, by the same user, for the same
run, and is whole; otherwise the start repeats the whole record, as it did before there were checkpoints. It is a
pickle, which runs code when it is read: the file must belong to us and be closed to everybody else.
"""

import hashlib
import os
import pickle
import platform
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from abidance import __version__
from abidance.backtest.event import Recorder
from abidance.engine.engine import Engine
from abidance.engine.pump import DueTimer
from abidance.journal.record import Mark, read_opening
from abidance.kernel.log import logger
from abidance.kernel.ports import SimulatedVenue
from abidance.run.door import Answers
from abidance.run.killing import Extent

CHECKPOINT = "checkpoint.bin"
_DIGEST = hashlib.sha256().digest_size
_PACKAGE = Path(__file__).parents[1]


class State(NamedTuple):
    """All that a bot is between two events; without a venue where orders are real.

    `extent` is how far it is killed, `answers` what people were answered.
    """

    engine: Engine
    venue: SimulatedVenue | None
    recorder: Recorder
    timers: tuple[DueTimer, ...]
    extent: Extent | None = None
    answers: Answers | None = None


class Kept(msgspec.Struct, frozen=True):
    """What a checkpoint says: of which run and code it is, behind which record it was made, and the state then."""

    run_id: str
    code: str
    mark: Mark
    state: bytes


def code_digest(classes: Iterable[type]) -> str:
    """Return a digest of the code that decides: this package, the interpreter and the files of strategies."""
    found = hashlib.sha256(f"{__version__} {platform.python_version()} {np.__version__}".encode())
    files = {Path(str(sys.modules[each.__module__].__file__)) for each in classes}
    for file in sorted({*_PACKAGE.rglob("*.py"), *files}):
        found.update(f"{file}\n".encode())
        found.update(file.read_bytes())
    return found.hexdigest()


def packed(run_id: str, code: str, mark: Mark, state: State) -> bytes:
    """Return a state as it is put away; empty, and the log says why, when that cannot be."""
    try:
        return msgspec.msgpack.encode(Kept(run_id, code, mark, pickle.dumps(state, protocol=5)))
    except Exception as error:  # noqa: BLE001  a strategy may hold what cannot be pickled: generators, open files
        logger("checkpoint").warning("not_possible", reason=f"{type(error).__name__}: {error}")
        return b""


def put(journal: Path, body: bytes) -> int:
    """Put a packed state away beside its journal, which is synced up to the state's mark, and return the size in bytes.

    0, and the log says why, when that cannot be. The file appears under its name only when it is on the disk.
    """
    if not body:
        return 0
    try:
        fresh = journal.with_name(f"{CHECKPOINT}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(journal.with_name(CHECKPOINT))
    except OSError as error:
        logger("checkpoint").warning("not_saved", reason=str(error))
        return 0
    return len(body)


def load(journal: Path, code: str) -> tuple[Mark, State] | None:
    """Return the mark and the state that were put away beside a journal, None when there is nothing to use."""
    try:
        with journal.open("rb") as file:
            run_id, size = read_opening(file, journal.name)[0].run_id, os.fstat(file.fileno()).st_size
        with journal.with_name(CHECKPOINT).open("rb") as file:
            owner = os.fstat(file.fileno())
            if owner.st_uid != os.geteuid() or stat.S_IMODE(owner.st_mode) & 0o077:
                raise ValueError("it does not belong to this user alone")
            data = file.read()
        if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise ValueError("it is damaged")
        kept = msgspec.msgpack.decode(data[_DIGEST:], type=Kept)
        if (kept.run_id, kept.code) != (run_id, code):
            raise ValueError("another run or other code wrote it")
        if kept.mark.offset > size:
            raise ValueError("the journal is shorter than it was")
        state = pickle.loads(kept.state)  # noqa: S301  ours alone, see above
        if not isinstance(state, State):
            raise TypeError("it holds something else")
        return kept.mark, state
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  whatever is wrong with it: the record has all of it
        logger("checkpoint").warning("not_used", reason=f"{type(error).__name__}: {error}")
        return None

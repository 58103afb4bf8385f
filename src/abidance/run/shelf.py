"""Long lists of a replica: the newest rows stay in memory, older ones lie in a file that ends with the process.

Owns where rows are kept, and nothing else: `Rows` is a list that only grows, `Places` tells where a name stands in one.
Older rows are packed in blocks, so that a page of them costs one look into the file; of rows that have a moment memory
holds the earliest and the latest of each block, so that those of a day are found without a look. The file is SQLite's
own temporary one: it has no name, it vanishes with the process, and it is not made before it is needed. What a replica
knows comes from the journal alone, so nothing is lost with it.
"""

import sqlite3
import weakref
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from itertools import islice, takewhile
from typing import Any, Generic, TypeVar, overload

import msgspec
import numpy as np

T = TypeVar("T")
V = TypeVar("V")
WINDOW, BLOCK = 2_048, 256
"""Rows of a list that stay in memory at least, and rows of a block."""
_READ_BLOCKS = 16
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32000;
CREATE TABLE blocks (id INTEGER PRIMARY KEY, rows BLOB);
CREATE TABLE places (list INTEGER, name TEXT, place INTEGER, PRIMARY KEY (list, name)) WITHOUT ROWID;
"""
_PUT_BLOCK, _GET_BLOCK = "REPLACE INTO blocks VALUES (?, ?)", "SELECT rows FROM blocks WHERE id = ?"
_PUT_PLACE = "REPLACE INTO places VALUES (?, ?, ?)"
_GET_PLACE = "SELECT place FROM places WHERE list = ? AND name = ?"


class Shelf:
    """The file of one replica; `window` rows of each list stay in memory, up to twice as many before they are moved."""

    def __init__(self, window: int = WINDOW, block: int = BLOCK) -> None:
        self.window = -(-window // block) * block
        self.block = block
        self._database: sqlite3.Connection | None = None
        self._lists = 0

    def rows(self, of: Any, moment_of: Callable[[Any], int] | None = None) -> "Rows[Any]":
        """Return a new list; `of` is the type of its rows, which msgpack must give back as they were.

        `moment_of` tells when a row was, where rows are asked for by that.
        """
        return Rows(self, of, moment_of)

    def places(self) -> "Places":
        """Return a new index."""
        return Places(self)

    def number(self) -> int:
        """Return a number for a list: what its rows and names are found by."""
        self._lists += 1
        return self._lists

    def open(self) -> sqlite3.Connection:
        """Return the file, made when it is first needed."""
        if self._database is None:
            self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._end = weakref.finalize(self, self._database.close)
            self._database.executescript(_SCHEMA)
        return self._database

    def put(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows at once."""
        database = self.open()
        database.execute("BEGIN")
        database.executemany(statement, rows)
        database.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file, and of what lies in it."""
        if self._database is not None:
            self._end()
            self._database = None


class Rows(MutableSequence[T]):
    """A list that only grows at its end; a row may be replaced, wherever it lies."""

    def __init__(self, shelf: Shelf, of: Any, moment_of: Callable[[T], int] | None = None) -> None:
        self._shelf = shelf
        self._moment_of = moment_of
        self._earliest, self._latest = array("q"), array("q")
        self._tail: list[T] = []
        self._moved = 0
        self._first_id = shelf.number() << 40
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[of]).decode
        self._read: OrderedDict[int, list[T]] = OrderedDict()

    def __len__(self) -> int:
        return self._moved + len(self._tail)

    def append(self, value: T) -> None:
        """Add a row at the end."""
        self._note(len(self), value)
        self._tail.append(value)
        if len(self._tail) >= 2 * self._shelf.window:
            self._move()

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at = self._checked(at)
        if at >= self._moved:
            return self._tail[at - self._moved]
        return self._block(at // self._shelf.block)[at % self._shelf.block]

    def __setitem__(self, at: Any, value: Any) -> None:
        at = self._checked(at)
        self._note(at, value)
        if at >= self._moved:
            self._tail[at - self._moved] = value
            return
        number, inside = divmod(at, self._shelf.block)
        block = self._block(number)
        block[inside] = value
        self._shelf.put(_PUT_BLOCK, [(self._first_id + number, self._packed(block))])

    def __iter__(self) -> Iterator[T]:
        return self.since(0)

    def since(self, first: int) -> Iterator[T]:
        """Yield the rows from one on."""
        return (self[at] for at in range(first, len(self)))

    def between(self, start: int | None, end: int | None) -> tuple[int, int]:
        """Return between which places all rows from a moment on and before another lie; None leaves a side open.

        Rows come about in the order of time, not exactly: others may lie there, too.
        """
        if self._moment_of is None or (start is None and end is None):
            return 0, len(self)
        fits = np.ones(len(self._latest), dtype=np.bool_)
        if start is not None:
            fits &= np.asarray(self._latest) >= start
        if end is not None:
            fits &= np.asarray(self._earliest) < end
        blocks = np.flatnonzero(fits)
        if not len(blocks):
            return 0, 0
        size = self._shelf.block
        return int(blocks[0]) * size, min(len(self), (int(blocks[-1]) + 1) * size)

    def _note(self, at: int, value: T) -> None:
        """Keep between which moments the rows of a block lie."""
        if self._moment_of is None:
            return
        moment, block = self._moment_of(value), at // self._shelf.block
        if block == len(self._latest):
            self._earliest.append(moment)
            self._latest.append(moment)
        elif moment < self._earliest[block]:
            self._earliest[block] = moment
        elif moment > self._latest[block]:
            self._latest[block] = moment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | Rows) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def insert(self, index: int, value: T) -> None:  # noqa: ARG002 - what a list has
        """Refuse: rows come at the end. Raises TypeError."""
        raise TypeError("Rows are added at the end.")

    def __delitem__(self, at: object) -> None:
        raise TypeError("Rows stay.")

    def _checked(self, at: int) -> int:
        found = at + len(self) if at < 0 else at
        if not 0 <= found < len(self):
            raise IndexError(at)
        return found

    def _move(self) -> None:
        """Move the older half out of memory."""
        shelf, first = self._shelf, self._first_id + self._moved // self._shelf.block
        parts = [self._tail[at : at + shelf.block] for at in range(0, shelf.window, shelf.block)]
        packed = ((first + at, self._packed(part)) for at, part in enumerate(parts))
        shelf.put(_PUT_BLOCK, packed)
        del self._tail[: shelf.window]
        self._moved += shelf.window

    def _packed(self, rows: list[T]) -> bytes:
        return zlib.compress(self._encode(rows), 1)

    def _block(self, number: int) -> list[T]:
        found = self._read.get(number)
        if found is None:
            (packed,) = self._shelf.open().execute(_GET_BLOCK, (self._first_id + number,)).fetchone()
            found = self._read[number] = self._decode(zlib.decompress(packed))
            if len(self._read) > _READ_BLOCKS:
                self._read.popitem(last=False)
        else:
            self._read.move_to_end(number)
        return found


class Places:
    """Where each name stands in a list; a name may be given another place."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._list = shelf.number()
        self._recent: dict[str, int] = {}
        self._has_moved = False
        self._missed = ""

    def get(self, name: str) -> int | None:
        """Return the place of a name, or None."""
        found = self._recent.get(name)
        if found is not None or not self._has_moved or name == self._missed:
            return found
        row = self._shelf.open().execute(_GET_PLACE, (self._list, name)).fetchone()
        if row is not None:
            return int(row[0])
        self._missed = name  # what is new is asked for more than once before it comes
        return None

    def put(self, name: str, place: int) -> None:
        """Give a name its place."""
        self._recent[name] = place
        self._missed = ""
        if len(self._recent) >= 2 * self._shelf.window:
            self._move()

    def _move(self) -> None:
        self._has_moved = True
        oldest = list(islice(self._recent.items(), self._shelf.window))
        self._shelf.put(_PUT_PLACE, ((self._list, name, place) for name, place in oldest))
        for name, _ in oldest:
            del self._recent[name]


class Shelved(MutableMapping[Any, V], Generic[V]):
    """A mapping whose values are the rows of a list, by name, in the order in which they came; values stay."""

    def __init__(self, rows: Rows[V], places: Places) -> None:
        self.rows = rows
        self.places = places

    def name(self, key: Any) -> str:
        """Return the text that a key is found by."""
        return key if isinstance(key, str) else "#".join(key)

    def __getitem__(self, key: Any) -> V:
        place = self.places.get(self.name(key))
        if place is None:
            raise KeyError(key)
        return self.rows[place]

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of a key."""
        place = self.places.get(self.name(key))
        return default if place is None else self.rows[place]

    def __contains__(self, key: object) -> bool:
        return self.places.get(self.name(key)) is not None

    def __setitem__(self, key: Any, value: V) -> None:
        place = self.places.get(self.name(key))
        if place is None:
            self.places.put(self.name(key), len(self.rows))
            self.rows.append(value)
        else:
            self.rows[place] = value

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("Values are listed, keys are not.")

    def values(self) -> Any:
        """Return all values, oldest first."""
        return self.rows

    def __delitem__(self, key: object) -> None:
        raise TypeError("Rows stay.")


class Groups(MutableMapping[str, tuple[V, ...]], Generic[V]):
    """A mapping whose values are rows that stand together in a list; `name_of` tells whose a row is."""

    def __init__(self, rows: Rows[V], places: Places, name_of: Callable[[V], str]) -> None:
        self.rows = rows
        self._places = places
        self._name_of = name_of
        self._count = 0

    def __getitem__(self, key: str) -> tuple[V, ...]:
        first = self._places.get(key)
        if first is None:
            raise KeyError(key)
        return tuple(takewhile(lambda row: self._name_of(row) == key, self.rows.since(first)))

    def __contains__(self, key: object) -> bool:
        return self._places.get(str(key)) is not None

    def __setitem__(self, key: str, value: tuple[V, ...]) -> None:
        self._places.put(key, len(self.rows))
        self._count += 1
        for row in value:
            self.rows.append(row)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        raise TypeError("Values are listed, keys are not.")

    def values(self) -> Any:
        """Return all values, oldest first, each row by itself."""
        return ((row,) for row in self.rows)

    def __delitem__(self, key: str) -> None:
        raise TypeError("Rows stay.")


__all__ = ["Groups", "Places", "Rows", "Shelf", "Shelved"]

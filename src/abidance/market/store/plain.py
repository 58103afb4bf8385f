"""Columns out of the store's own files, without the library that wrote them: their pages are plain and not compressed.

Importing polars takes most of the time that reading a year of minutes takes, and a page of these files is the column
itself. It owns the little of Parquet that such a file has; for any other it answers None, and polars is to be asked,
which then also says what is wrong. Source: the Parquet format's `parquet.thrift`, Thrift's compact protocol.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"PAR1"
_TAIL = 8
_FOOTER = 1 << 16
"""Bytes from the end of a file that are read at once: a footer is some 1,200 long."""
_HEADER = 256
"""Bytes of a page's header that are read at once: it has some 30."""
_KINDS = {2: np.dtype("<i8"), 5: np.dtype("<f8")}
"""Physical types INT64 and DOUBLE."""
_OPTIONAL, _DATA_PAGE, _PLAIN, _UNCOMPRESSED = 1, 0, 0, 0
_TRUE, _FALSE, _BYTE, _WHOLE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, 9, 12


class _OtherFileError(Exception):
    """A file that is none of the plain ones."""


class _Chunk(NamedTuple):
    """One column of one row group: where its pages begin and end, and how many rows they hold."""

    kind: np.dtype[Any]
    start: int
    stop: int
    rows: int
    is_optional: bool


def read(paths: Sequence[Path], names: Sequence[str], known: tuple[str, str]) -> list[NDArray[Any]] | None:
    """Return the columns `names` of files, one after the other, or None unless all files are plain.

    `known` is a key and its value that each file has to say of itself.
    """
    try:
        whole = [_chunks(path, names, known) for path in paths]
        columns = [
            np.empty(sum(each.rows for chunks in whole for each in chunks[at]), _kind(whole, at))
            for at in range(len(names))
        ]
        filled = [0] * len(names)
        for path, chunks in zip(paths, whole, strict=True):
            with path.open("rb", buffering=0) as file:
                for at, own in enumerate(chunks):
                    for each in own:
                        _fill(file, each, columns[at][filled[at] : filled[at] + each.rows])
                        filled[at] += each.rows
    except (_OtherFileError, OSError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None
    return columns


def _kind(whole: list[list[list[_Chunk]]], at: int) -> np.dtype[Any]:
    (kind,) = {each.kind for chunks in whole for each in chunks[at]}
    return kind


def _chunks(path: Path, names: Sequence[str], known: tuple[str, str]) -> list[list[_Chunk]]:
    """Return by column the chunks of a file, one a row group."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        file.seek(max(0, size - _FOOTER))
        tail = file.read(_FOOTER)
    length = int.from_bytes(tail[-_TAIL:-4], "little")
    if tail[-4:] != _MAGIC or length > len(tail) - _TAIL:
        raise _OtherFileError
    footer = _Thrift(tail[-_TAIL - length : -_TAIL]).struct()
    if known not in {(bytes(each[1]).decode(), bytes(each[2]).decode()) for each in footer[5]}:
        raise _OtherFileError
    optional = {bytes(each[4]).decode(): each.get(3) == _OPTIONAL for each in footer[2][1:]}
    found: list[list[_Chunk]] = [[] for _ in names]
    for group in footer[4]:
        own = {bytes(each[3][3][0]).decode(): each[3] for each in group[1] if len(each[3][3]) == 1}
        for column, name in zip(found, names, strict=True):
            about, rows = own[name], group[3]
            start, stop = about[9], about[9] + about[7]
            if about[4] != _UNCOMPRESSED or about[5] != rows or 11 in about:
                raise _OtherFileError
            if not (start >= 0 and 0 <= 8 * rows <= stop - start and stop <= size):
                raise _OtherFileError
            column.append(_Chunk(_KINDS[about[1]], start, stop, rows, optional[name]))
    return found


def _fill(file: BinaryIO, chunk: _Chunk, room: NDArray[Any]) -> None:
    """Read the pages of a chunk into its part of a column."""
    at, filled = chunk.start, 0
    while filled < chunk.rows:
        file.seek(at)
        head = file.read(_HEADER)
        thrift = _Thrift(head)
        about = thrift.struct()
        page, start, stop = about[5], at + thrift.at, at + thrift.at + about[3]
        if about[1] != _DATA_PAGE or page[2] != _PLAIN or about[2] != about[3] or stop > chunk.stop:
            raise _OtherFileError
        if chunk.is_optional:
            levels = _all_there(page[1])
            if head[thrift.at : thrift.at + len(levels)] != levels:
                raise _OtherFileError
            start += len(levels)
        values = room[filled : filled + page[1]]
        if len(values) != page[1] or stop - start != values.nbytes:
            raise _OtherFileError
        file.seek(start)
        if _readinto(file, values) != values.nbytes:
            raise _OtherFileError
        at, filled = stop, filled + page[1]


def _all_there(rows: int) -> bytes:
    """Return what a page begins with in which no row is missing: their count twice as a varint, and a one."""
    left, run = rows << 1, bytearray()
    while left > 127:
        run.append(left & 127 | 128)
        left >>= 7
    run += bytes((left, 1))
    return len(run).to_bytes(4, "little") + run


def _readinto(file: BinaryIO, values: NDArray[Any]) -> int:
    view, done = values.view(np.uint8).data, 0
    while done < len(view) and (got := os.readv(file.fileno(), [view[done:]])):
        done += got
    return done


class _Thrift:
    """Values of Thrift's compact protocol, read one after the other; a struct is a dictionary by field number."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self) -> dict[int, Any]:
        """Return the next struct."""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            found[number] = self._value(head & 15)
        return found

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _WHOLE:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _LIST:
            return list(self._items())
        if kind == _STRUCT:
            return self.struct()
        if kind in (_BYTE, _DOUBLE):
            return self._take(1 if kind == _BYTE else 8)
        raise _OtherFileError

    def _items(self) -> Iterator[Any]:
        head = self._byte()
        kind, count = head & 15, head >> 4
        for _ in range(self._varint() if count == 15 else count):
            yield self._byte() == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self.at:
            raise _OtherFileError
        self.at += count
        return self._content[self.at - count : self.at]

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

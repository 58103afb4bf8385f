"""The bytes of a journal: preamble, header, and records that are chained to one another.

    preamble   8 bytes magic | u32 format
    frame      u32 length | u32 checksum | payload     (little-endian; the first frame is the run's header)

A frame's checksum is the CRC-32 of its payload, started from the checksum of the frame before: a record that was
changed, taken out, put in or moved breaks the chain. A payload is msgpack: `[seq, deferred, event]`; nil for the
event marks where a deferred one was handled. What the engine decided on an event follows that event, before anything
leaves. A `BarSlice` whose bars share one timeframe is written without names: `[ts, timeframe, [[instrument, o, h, l, c,
v], ...]]`, with instruments numbered as in the header. This module opens no file.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec

from abidance.kernel.ids import OrderIds
from abidance.model.errors import JournalError, UsageError
from abidance.model.event import BarSlice
from abidance.model.instrument import Instrument, timeframe_ns
from abidance.model.market import Bar
from abidance.model.outcome import Recorded

MAGIC = b"\x89ABJ\r\n\x1a\n"
FORMAT = 2
MAX_PAYLOAD = 1 << 24
"""Longest payload in bytes; a length beyond it is damage."""

_PREAMBLE = struct.Struct("<8sI")
_FRAME = struct.Struct("<II")
_RECORD_MARK = b"\x93"  # msgpack's array of three: how every record's payload starts
_START_CRC = zlib.crc32(MAGIC)

_Slice = tuple[int, str, tuple[tuple[int, float, float, float, float, float], ...]]
_Wire = tuple[int, bool, Recorded | _Slice | None]


class RunHeader(msgspec.Struct, frozen=True):
    """What a restart needs to know about a run before it reads the records.

    `config` is the resolved configuration as plain values and `config_hash` its digest. `install` and `order_epoch`
    made the run's order ids, which are `marked` as ids of this program. `sources` says where the market data comes
    from, by name. Times are ns UTC.
    """

    run_id: str
    name: str
    mode: str
    created: int
    code_version: str
    config_hash: str
    config: dict[str, Any]
    instruments: tuple[Instrument, ...]
    install: int = 0
    order_epoch: int = 0
    sources: dict[str, str] = {}
    marked: bool = False

    @property
    def ids(self) -> OrderIds:
        """Return what makes and recognises the run's order ids."""
        return OrderIds(self.install, self.order_epoch, self.run_id.encode(), marked=self.marked)


class Record(NamedTuple):
    """One recorded event; `seq` counts from 1.

    A `deferred` market event is handled after the account events that it caused at the simulated venue. A record
    without an event marks the place: there the last deferred event was handled.
    """

    seq: int
    deferred: bool
    event: Recorded | None


class Mark(NamedTuple):
    """A place between two frames: byte offset, the checksum so far, and the `seq` of the frame before (0 = header)."""

    offset: int
    crc: int
    seq: int


class Codec:
    """Turns records into payloads and back; `instruments` are those of the header, in its order."""

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        self._ids = [instrument.id for instrument in instruments]
        self._numbers = {name: number for number, name in enumerate(self._ids)}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Wire).decode

    def encode(self, seq: int, deferred: bool, event: Recorded | None) -> bytes:
        """Return a record's payload."""
        if type(event) is BarSlice:
            return self._encode((seq, deferred, self._short(event) or event))
        return self._encode((seq, deferred, event))

    def decode(self, payload: bytes | memoryview) -> Record:
        """Return the record in a payload. Raises msgspec.MsgspecError when there is none."""
        try:
            seq, deferred, event = self._decode(payload)
        except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these two through
            raise msgspec.DecodeError(str(error)) from error
        return Record(seq, deferred, self._long(event) if type(event) is tuple else event)

    def _short(self, event: BarSlice) -> _Slice | None:
        """Return the slice without names, or None when the rest could not be told from what is left."""
        if not event.bars:
            return None
        timeframe = event.bars[0].timeframe
        try:
            ts = event.ts - timeframe_ns(timeframe)
            number = self._numbers
            rows = []
            for bar in event.bars:
                if bar.ts != ts or bar.timeframe != timeframe:
                    return None
                rows.append((number[bar.instrument], bar.open, bar.high, bar.low, bar.close, bar.volume))
        except (KeyError, UsageError):
            return None
        return event.ts, timeframe, tuple(rows)

    def _long(self, short: _Slice) -> BarSlice:
        ts, timeframe, rows = short
        ids = self._ids
        try:
            opened = ts - timeframe_ns(timeframe)
            return BarSlice(ts, tuple([Bar(ids[row[0]], timeframe, opened, *row[1:]) for row in rows]))
        except (IndexError, UsageError) as error:
            raise msgspec.ValidationError(f"no such bar: {error}") from error


def frame(payload: bytes, crc: int) -> tuple[bytes, int]:
    """Return a payload's frame after a frame with checksum `crc`, and the new checksum."""
    crc = zlib.crc32(payload, crc)
    return _FRAME.pack(len(payload), crc) + payload, crc


def opening(header: RunHeader) -> tuple[bytes, Mark]:
    """Return the bytes that a journal starts with, and the mark after them."""
    framed, crc = frame(msgspec.msgpack.encode(header), _START_CRC)
    data = _PREAMBLE.pack(MAGIC, FORMAT) + framed
    return data, Mark(len(data), crc, 0)


def read_opening(file: BinaryIO, name: str) -> tuple[RunHeader, Mark]:
    """Read the header; the file then stands at the first record. Raises JournalError when there is none."""
    start = file.read(_PREAMBLE.size)
    if not start:
        raise JournalError(
            f"The journal {name} is empty.", "Delete it and start again; nothing was recorded."
        )
    if start[:8] != MAGIC[: len(start)]:
        raise JournalError(f"{name} is not a journal.", "Name the journal of a run, or move this file away.")
    if len(start) == _PREAMBLE.size and (found := _PREAMBLE.unpack(start)[1]) != FORMAT:
        raise JournalError(
            f"The journal {name} has format {found}; this version reads format {FORMAT}.",
            "Use the version of the program that wrote it.",
        )
    payload = None
    for payload, mark in walk(file, Mark(len(start), _START_CRC, -1)):
        try:
            return msgspec.msgpack.decode(payload, type=RunHeader), mark
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JournalError(
                f"The header of the journal {name} cannot be read ({error}).",
                "Use the version of the program that wrote it.",
            ) from error
    raise JournalError(
        f"The journal {name} is cut off or damaged in its header.",
        "Restore it from a backup, or move it away and start a new run.",
    )


def walk(file: BinaryIO, mark: Mark, end: int | None = None) -> Iterator[tuple[bytes, Mark]]:
    """Yield each sound payload from `mark` (where the file stands) with the mark after it; stop at the first unsound.

    `end` is the offset to stop at, if not the end of the file.
    """
    offset, crc, seq = mark
    read, unpack, crc32, head = file.read, _FRAME.unpack, zlib.crc32, _FRAME.size
    while end is None or offset < end:
        start = read(head)
        if len(start) < head:
            return
        length, found = unpack(start)
        if not 0 < length <= MAX_PAYLOAD:
            return
        payload = read(length)
        crc = crc32(payload, crc)
        if len(payload) < length or crc != found:
            return
        offset += head + length
        seq += 1
        yield payload, Mark(offset, crc, seq)


def survivor(damaged: bytes, codec: Codec, expected: int) -> int | None:
    """Return the offset in `damaged` of a record that proves a loss before it, or None.

    `damaged` starts where the chain breaks and the record `expected` should stand. A crash leaves at most that record,
    unfinished; any other record that can still be read means that the damage lies in the middle.
    """
    view = memoryview(damaged)
    at = damaged.find(_RECORD_MARK, _FRAME.size)
    while at >= 0:
        start = at - _FRAME.size
        (length,) = struct.unpack_from("<I", damaged, start)
        if 0 < length <= min(MAX_PAYLOAD, len(damaged) - at):
            try:
                seq = codec.decode(view[at : at + length]).seq
            except msgspec.MsgspecError:
                pass
            else:
                if start or seq != expected:
                    return start
        at = damaged.find(_RECORD_MARK, at + 1)
    return None

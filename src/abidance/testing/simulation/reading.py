"""What stands in a journal, read from its raw bytes and from nothing else: no code is shared with who wrote them."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

_PREAMBLE, _HEAD = 12, struct.Struct("<II")
_START = zlib.crc32(b"\x89ABJ\r\n\x1a\n")
Told = dict[str, Any]


class JournalBytes:
    """One journal as it grows: `wrote` and `synced` say what happens to it, `take` is handed each whole record's event.

    `durable` bytes would survive a power cut. Raises ValueError for bytes that no journal holds.
    """

    def __init__(self, take: Callable[[Told, int], None]) -> None:
        self.durable = 0
        self.data = bytearray()
        self._take = take
        self._at, self._crc, self._seq = _PREAMBLE, _START, -1

    def wrote(self, data: bytes) -> None:
        """Take bytes that were appended."""
        self.data += data
        self.read()

    def synced(self, size: int) -> None:
        """Note that so many bytes are on the disk for good."""
        self.durable = size

    def begin(self, data: bytes) -> None:
        """Take a file as it is: the journal is new, or was cut."""
        self.data = bytearray(data)
        self.durable = min(self.durable, len(data)) or len(data)
        self._at, self._crc, self._seq = _PREAMBLE, _START, -1

    def read(self) -> None:
        """Hand over every record that is whole by now."""
        while len(self.data) >= self._at + _HEAD.size:
            length, told = _HEAD.unpack_from(self.data, self._at)
            start = self._at + _HEAD.size
            if len(self.data) < start + length:
                return
            payload = bytes(self.data[start : start + length])
            crc = zlib.crc32(payload, self._crc)
            if crc != told:
                raise ValueError(f"the record at byte {self._at} is not what its checksum says")
            self._at, self._crc, self._seq = start + length, crc, self._seq + 1
            if self._seq:
                seq, _, event = msgspec.msgpack.decode(payload)
                if seq != self._seq:
                    raise ValueError(f"the record at byte {start} is number {seq}, not {self._seq}")
                if isinstance(event, dict):
                    self._take(event, self._at)

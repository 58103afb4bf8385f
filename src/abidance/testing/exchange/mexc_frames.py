"""Protobuf as MEXC sends it, put together byte by byte from field numbers, without a schema."""

from collections.abc import Iterable


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def message(fields: Iterable[tuple[int, int | str | bytes]]) -> bytes:
    """Put a protobuf message together: numbers as varints, texts and inner messages with their length."""
    found = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            found += _varint(number << 3) + _varint(value)
        else:
            body = value.encode() if isinstance(value, str) else value
            found += _varint(number << 3 | 2) + _varint(len(body)) + body
    return bytes(found)

"""Client order ids that we recognise as ours with an empty database.

    install 24 bits | boot epoch 18 | sequence 32 | tag 48      (122 bits, in the shape of a version 4 UUID)

written as 32 lower-case hex digits, which every venue accepts. The tag is a keyed hash of the rest: nobody else's id
is taken for ours, and ours name the install, the start of the program and the journal record that made them. Where ids
are marked, the last 28 bits of the tag are a hash without a key in its place, by which every run knows that some run of
this program made the id: of a thousand million other ids of this shape four have such an end by chance.
"""

import hmac
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from abidance.model.errors import InvariantError

_INSTALLS, _EPOCHS, _SEQUENCES = 1 << 24, 1 << 18, 1 << 32
_SHAPE = (0x4 << 76) | (0b10 << 62)  # version and variant of a UUID
_DIGITS, _MARK = 32, 28


class OrderIdParts(NamedTuple):
    """What one of our order ids tells."""

    install: int
    epoch: int
    sequence: int


class OrderIds:
    """Makes and recognises the order ids of one install; `epoch` counts its starts, `key` is its secret.

    With `marked`, others know them for ids of this program. Raises InvariantError when a number does not fit: ids would
    repeat.
    """

    def __init__(self, install: int, epoch: int, key: bytes, *, marked: bool = False) -> None:
        if not (0 <= install < _INSTALLS and 0 <= epoch < _EPOCHS):
            raise InvariantError(f"Install {install} or boot epoch {epoch} does not fit into an order id.")
        if not 1 <= len(key) <= 64:
            raise InvariantError(f"A key of {len(key)} bytes cannot tag order ids: it takes 1 to 64.")
        self.install = install
        self.epoch = epoch
        self._prefix = (install << 18 | epoch) << 32
        self._key = key
        self._marked = marked
        self._hash = blake2b(key=key, digest_size=6)

    def __reduce__(self) -> tuple[Callable[..., "OrderIds"], tuple[int, int, bytes]]:
        """Let a checkpoint put it away."""
        return partial(OrderIds, marked=self._marked), (self.install, self.epoch, self._key)

    def make(self, sequence: int) -> str:
        """Return the order id for a sequence number; each number may be used once per epoch."""
        if not 0 <= sequence < _SEQUENCES:
            raise InvariantError(f"Order sequence {sequence} does not fit into an order id.")
        return self._write(self._prefix | sequence)

    def is_ours(self, text: str) -> bool:
        """Say whether this install made the id, in any epoch."""
        return self.parse(text) is not None

    def parse(self, text: str) -> OrderIdParts | None:
        """Return what the id tells, or None when this install did not make it.

        Venues may answer in capitals or with the dashes of a UUID.
        """
        text = text.replace("-", "").lower()
        body = _body_of(text)
        if body is None or body >> 50 != self.install or not hmac.compare_digest(self._write(body), text):
            return None
        return OrderIdParts(self.install, body >> 32 & (_EPOCHS - 1), body & (_SEQUENCES - 1))

    def _write(self, body: int) -> str:
        """Return the id whose first 74 free bits are `body`."""
        keyed = self._hash.copy()
        keyed.update(body.to_bytes(10, "big"))
        tag = int.from_bytes(keyed.digest(), "big")
        return _written(body, _with_mark(body, tag) if self._marked else tag)


def is_of_a_run(text: str) -> bool:
    """Say whether some run of this program made the id, whichever; runs that began before ids were marked made none."""
    text = text.replace("-", "").lower()
    body = _body_of(text)
    return body is not None and text == _written(body, _with_mark(body, int(text[-12:], 16)))


def _body_of(text: str) -> int | None:
    """Return the first 74 free bits of an id in plain hex, None for any other text."""
    try:
        value = int.from_bytes(bytes.fromhex(text), "big")
    except ValueError:
        return None
    if f"{value:032x}" != text or len(text) != _DIGITS:
        return None
    return (value >> 80) << 26 | (value >> 64 & 0xFFF) << 14 | value >> 48 & 0x3FFF


def _with_mark(body: int, tag: int) -> int:
    """Return a tag whose end tells that this program made it."""
    kept = tag >> _MARK << _MARK
    known = blake2b((body << 48 | kept).to_bytes(16, "big"), digest_size=4, person=b"abidance order")
    return kept | int.from_bytes(known.digest(), "big") >> 32 - _MARK


def _written(body: int, tag: int) -> str:
    head = (body >> 26) << 80 | (body >> 14 & 0xFFF) << 64 | (body & 0x3FFF) << 48
    return f"{head | _SHAPE | tag:032x}"

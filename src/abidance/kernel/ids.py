"""Client order ids that we recognise as ours with an empty database.

    install 24 bits | boot epoch 18 | sequence 32 | tag 48      (122 bits, in the shape of a version 4 UUID)

written as 32 lower-case hex digits, which every venue accepts. The tag is a keyed hash of the rest: nobody else's id
is taken for ours, and ours name the install, the start of the program and the journal record that made them.
"""

import hmac
from hashlib import blake2b
from typing import NamedTuple

from abidance.model.errors import InvariantError

_INSTALLS, _EPOCHS, _SEQUENCES = 1 << 24, 1 << 18, 1 << 32
_SHAPE = (0x4 << 76) | (0b10 << 62)  # version and variant of a UUID


class OrderIdParts(NamedTuple):
    """What one of our order ids tells."""

    install: int
    epoch: int
    sequence: int


class OrderIds:
    """Makes and recognises the order ids of one install; `epoch` counts its starts, `key` is its secret.

    Raises InvariantError when a number does not fit: ids would repeat.
    """

    def __init__(self, install: int, epoch: int, key: bytes) -> None:
        if not (0 <= install < _INSTALLS and 0 <= epoch < _EPOCHS):
            raise InvariantError(f"Install {install} or boot epoch {epoch} does not fit into an order id.")
        if not 1 <= len(key) <= 64:
            raise InvariantError(f"A key of {len(key)} bytes cannot tag order ids: it takes 1 to 64.")
        self.install = install
        self.epoch = epoch
        self._prefix = (install << 18 | epoch) << 32
        self._key = key
        self._hash = blake2b(key=key, digest_size=6)

    def __reduce__(self) -> tuple[type["OrderIds"], tuple[int, int, bytes]]:
        """Let a checkpoint put it away."""
        return OrderIds, (self.install, self.epoch, self._key)

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
        try:
            value = int.from_bytes(bytes.fromhex(text), "big")
        except ValueError:
            return None
        body = (value >> 80) << 26 | (value >> 64 & 0xFFF) << 14 | value >> 48 & 0x3FFF
        if body >> 50 != self.install or not hmac.compare_digest(self._write(body), text):
            return None
        return OrderIdParts(self.install, body >> 32 & (_EPOCHS - 1), body & (_SEQUENCES - 1))

    def _write(self, body: int) -> str:
        """Return the id whose first 74 free bits are `body`."""
        tag = self._hash.copy()
        tag.update(body.to_bytes(10, "big"))
        head = (body >> 26) << 80 | (body >> 14 & 0xFFF) << 64 | (body & 0x3FFF) << 48
        return f"{head | _SHAPE | int.from_bytes(tag.digest(), 'big'):032x}"

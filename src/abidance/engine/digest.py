"""One hash over everything a run decided: equal digests mean equal runs."""

from hashlib import sha256

import msgspec

from abidance.model.outcome import Outcome

_FLUSH = 1 << 16


class OutcomeDigest:
    """SHA-256 over all outcomes in order; ticks that led to nothing do not enter, nor do they reach an observer."""

    def __init__(self, before: str = "") -> None:
        self._hash = sha256(before.encode())
        self._encoder = msgspec.msgpack.Encoder(order="deterministic")
        self._buffer = bytearray()

    def __reduce__(self) -> tuple[type["OutcomeDigest"], tuple[str]]:
        """Let a checkpoint put it away: what follows is hashed after the digest so far."""
        return OutcomeDigest, (self.hexdigest(),)

    def update(self, outcome: Outcome) -> None:
        """Add the next outcome."""
        buffer = self._buffer
        self._encoder.encode_into(outcome, buffer, -1)
        if len(buffer) > _FLUSH:
            self._hash.update(buffer)
            buffer.clear()

    def hexdigest(self) -> str:
        """Return the digest so far."""
        final = self._hash.copy()
        final.update(self._buffer)
        return final.hexdigest()

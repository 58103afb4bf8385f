"""One hash over everything a run decided: equal digests mean equal runs."""

from hashlib import sha256

import msgspec

from abidance.model.market import Quote, Trade
from abidance.model.outcome import Outcome

_FLUSH = 1 << 16


class OutcomeDigest:
    """SHA-256 over all outcomes in order; a tick that led to nothing counts by its number only."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._encoder = msgspec.msgpack.Encoder(order="deterministic")
        self._buffer = bytearray()
        self._quiet = 0

    def update(self, outcome: Outcome) -> None:
        """Add the next outcome."""
        if not (outcome.intents or outcome.commands or outcome.verdicts or outcome.notices):
            kind = type(outcome.event)
            if kind is Trade or kind is Quote:
                self._quiet += 1
                return
        buffer = self._buffer
        self._encoder.encode_into(outcome, buffer, -1)
        if len(buffer) > _FLUSH:
            self._hash.update(buffer)
            buffer.clear()

    def hexdigest(self) -> str:
        """Return the digest so far."""
        final = self._hash.copy()
        final.update(self._buffer)
        final.update(self._quiet.to_bytes(8, "big"))
        return final.hexdigest()

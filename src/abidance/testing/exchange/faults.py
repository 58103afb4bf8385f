"""A script of what goes wrong: which frames and answers are hit, how, how often, and after how many good ones.

Nothing here is left to chance: the n-th matching frame is hit, in every run. A fault that was never hit can be asked
for, so that a test cannot pass because nothing happened.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from abidance.venues.dialect import Frame


class Wrong(StrEnum):
    """What can go wrong."""

    SILENCE = "silence"
    """From here on the connection stays open and says nothing at all, not even pongs; for `seconds` if given."""
    DUPLICATE = "duplicate"
    """A frame comes twice."""
    REORDER = "reorder"
    """A frame comes after the one that follows it."""
    GAP = "gap"
    """A frame never comes."""
    TRUNCATE = "truncate"
    """A frame ends in its middle."""
    CHECKSUM = "checksum"
    """The checksum in a frame is wrong; frames without one are not hit."""
    DISCONNECT = "disconnect"
    """The connection breaks without a word."""
    CLOSE = "close"
    """The venue announces the end where it does so, and closes in order, as after its 24 hours."""
    LIMIT = "limit"
    """A request is answered 429 with Retry-After `seconds`."""
    BAN = "ban"
    """A request is answered 418 (403 where the venue says so) with Retry-After `seconds`."""
    ERROR = "error"
    """A request is answered 502 by a proxy's HTML page."""
    PAGE = "page"
    """A request is answered by an HTML page as if all were well: 200."""
    SLOW = "slow"
    """A request is answered, or a connection is let in, after `seconds`."""
    LOST = "lost"
    """A request is done, and the connection breaks before a byte of the answer."""
    LATE = "late"
    """A request is done at once and answered after `seconds`."""
    FAIL = "fail"
    """A request is done and answered 502 by a proxy's HTML page."""
    DEAF = "deaf"
    """The connection breaks before a request is read: it is not done."""
    LAG = "lag"
    """A question is answered as of `seconds` ago: newer orders, and what happened since to others, are not known."""
    REFUSE = "refuse"
    """A connection is not let in: 503."""


ON_FRAMES = frozenset(
    {
        Wrong.SILENCE, Wrong.DUPLICATE, Wrong.REORDER, Wrong.GAP, Wrong.TRUNCATE, Wrong.CHECKSUM,
        Wrong.DISCONNECT, Wrong.CLOSE,
    }
)  # fmt: skip
_CHECKSUM = re.compile(r'("checksum":)(\d+)')


@dataclass
class Fault:
    """One line of the script.

    `where` is a piece of the topic, or of the request's path; empty means everywhere. After `after` matching frames
    or requests the next `times` are hit (0 = all that follow). `hits` counts them.
    """

    what: Wrong
    where: str = ""
    after: int = 0
    times: int = 1
    seconds: float = 1.0
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def strikes(self, name: str) -> bool:
        """Count a matching frame or request and say whether it is hit."""
        if self.where not in name or self.is_spent:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.hits += 1
        return True

    @property
    def is_spent(self) -> bool:
        """Return True once all its hits are made."""
        return bool(self.times) and self.hits >= self.times


class Faults:
    """The script in force; faults may be added while the exchange runs."""

    def __init__(self, script: Sequence[Fault] = ()) -> None:
        self.script = list(script)

    def add(self, fault: Fault) -> Fault:
        """Put a line into the script and return it, so that its hits can be looked at."""
        self.script.append(fault)
        return fault

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.script.clear()

    def unhit(self) -> list[Fault]:
        """Return the faults that never struck."""
        return [fault for fault in self.script if not fault.hits]

    def on_frame(self, topic: str, frame: Frame) -> list[Fault]:
        """Return what befalls a frame."""
        return [
            fault
            for fault in self.script
            if fault.what in ON_FRAMES
            and (fault.what is not Wrong.CHECKSUM or has_checksum(frame))
            and fault.strikes(topic)
        ]

    def on_request(self, path: str, *kinds: Wrong) -> Fault | None:
        """Return what befalls a request or a new connection, the first of these kinds that strikes."""
        for fault in self.script:
            if fault.what in kinds and fault.strikes(path):
                return fault
        return None


def has_checksum(frame: Frame) -> bool:
    """Say whether a frame carries a checksum."""
    return isinstance(frame, str) and _CHECKSUM.search(frame) is not None


def with_wrong_checksum(frame: Frame) -> Frame:
    """Return the frame with another checksum."""
    assert isinstance(frame, str)
    return _CHECKSUM.sub(lambda found: f"{found[1]}{int(found[2]) ^ 1}", frame)


def truncated(frame: Frame) -> Frame:
    """Return the first half of a frame."""
    return frame[: len(frame) // 2]

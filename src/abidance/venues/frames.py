"""What all dialects share in reading frames: which numbers can be prices, and what to make of what cannot be read.

A frame is read by typed structs, so that a wrong type, a NaN or a negative size ends in one `Dropped` and nowhere else.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from abidance.kernel.log import PROCESS
from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import Instrument
from abidance.model.market import Bar, DataKind
from abidance.venues.dialect import Channel, Dialect, Dropped, Frame

T = TypeVar("T")

Price = Annotated[float, msgspec.Meta(gt=0.0, le=1e15)]
Size = Annotated[float, msgspec.Meta(ge=0.0, le=1e18)]
TradedSize = Annotated[float, msgspec.Meta(gt=0.0, le=1e18)]
Rate = Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
Level = tuple[Price, Size]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
Nanos = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000_000_000)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
UpdateId = Annotated[int, msgspec.Meta(ge=0, le=2**62)]

UNREADABLE: Final = (ValueError, RecursionError)
"""What hostile bytes may raise: msgspec's errors and broken Unicode are ValueErrors; the other is deep nesting."""
_SAMPLE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_REQUEST_DIGITS = 15


def reader(kind: type[T]) -> Callable[[Frame], T]:
    """Return a function that reads JSON as `kind`, taking numbers in quotes too."""
    return msgspec.json.Decoder(kind, strict=False).decode


def dropped(frame: Frame, reason: str) -> Dropped:
    """Return a drop with the beginning of the frame, for the log."""
    sample = frame[:_SAMPLE]
    if isinstance(sample, str):
        sample = sample.encode("utf-8", "backslashreplace")
    return Dropped(reason, sample.decode("utf-8", "backslashreplace"))


def bytes_of(frame: Frame) -> bytes:
    """Return a frame as bytes, in which connections hand over text too. Raises UnicodeEncodeError."""
    return frame if isinstance(frame, bytes) else frame.encode()


def said(message: object) -> str:
    """Write an outgoing message."""
    return msgspec.json.encode(message).decode()


def bar_of(stream: tuple[str, str], ts: int, prices: tuple[float, float, float, float], volume: float) -> Bar:
    """Return a bar of (instrument, timeframe). Raises ValueError when open or close lie outside of high and low."""
    opened, high, low, closed = prices
    if not (low <= opened <= high and low <= closed <= high):
        raise ValueError(f"a bar that cannot be: {opened} {high} {low} {closed}")
    return Bar(*stream, ts, opened, high, low, closed, volume)


def request_of(answer: object) -> int:
    """Return the request number that an answer repeats, -1 when it repeats none of ours."""
    if isinstance(answer, str) and answer.isdecimal() and len(answer) <= _REQUEST_DIGITS:
        return int(answer)
    return answer if isinstance(answer, int) and 0 <= answer < 10**_REQUEST_DIGITS else -1


def portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in portions that one request may hold."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def names_of(instruments: Sequence[Instrument], symbol: Callable[[Instrument], str]) -> dict[str, str]:
    """Return our id of each of the venue's symbols."""
    return {symbol(each): each.id for each in instruments}


def nanoseconds(moment: datetime) -> int:
    """Return a time of a calendar as ns UTC. Raises ValueError when 64 bits do not hold it."""
    since = moment - _EPOCH
    ns = ((since.days * _DAY_SECONDS + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    if not 0 <= ns < 2**63:
        raise ValueError(f"the time {moment} is none of ours")
    return ns


def check_streamed(dialect: Dialect, channel: Channel) -> None:
    """Raise UsageError unless the venue streams a channel of that kind, and bars of that length."""
    is_bars = channel.kind is DataKind.BARS
    if channel.kind not in dialect.kinds or (is_bars and channel.timeframe not in dialect.timeframes):
        raise unknown_channel(dialect.venue, channel)


def unknown_channel(venue: str, channel: Channel) -> UsageError:
    """Return the refusal of a stream that the venue does not have."""
    what = f"{channel.timeframe} bars" if channel.timeframe else channel.kind.value
    return UsageError(
        f"{venue} streams no {what} of {channel.instrument}.",
        "Build them from trades, or choose another venue.",
    )


def answered(venue: str, body: bytes, read: Callable[[bytes], T], what: str) -> T:
    """Read the body of a REST answer. Raises VenueError with its beginning when it is something else."""
    try:
        return read(body)
    except UNREADABLE as error:
        sample = body[:_SAMPLE].decode("utf-8", "backslashreplace")
        raise VenueError(
            f"{venue} sent no {what} but {sample!r} ({error}).",
            "Check the symbol and the venue's status page.",
        ) from error


def plain(value: Any) -> str:
    """Return one line of what a venue says about an error, without our secrets: it may repeat what it was sent."""
    return PROCESS.text(" ".join(str(value).split()))[:_SAMPLE] or "no reason given"

"""Read what `venues.ccxt.socket` makes of ccxt's answers: one small JSON frame for each.

{"about":"trades","instrument":"BTC/USDT@OKX","trades":[["7",1723161255208,61737.6,0.5,"buy"]]}
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.market import BookDelta, FundingRate, MarkPrice, Quote, Trade
from abidance.venues.course import Bars, Marks
from abidance.venues.dialect import Answered, Decoded, Frame
from abidance.venues.frames import (
    UNREADABLE,
    Level,
    Millis,
    Price,
    Rate,
    Size,
    TradedSize,
    bar_of,
    dropped,
    plain,
    reader,
)

TIMEFRAMES: Mapping[str, str] = {
    each: each for each in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")
}


class Prints(msgspec.Struct, tag_field="about", tag="trades"):
    """Trades: (id, ms, price, size, side)."""

    instrument: str
    trades: list[tuple[str, Millis, Price, TradedSize, Literal["buy", "sell"]]]


class Ladder(msgspec.Struct, tag_field="about", tag="book"):
    """The whole ladder; with `quote` only its best levels are meant."""

    instrument: str
    bids: list[Level]
    asks: list[Level]
    ts: Millis = 0
    quote: bool = False


class Candles(msgspec.Struct, tag_field="about", tag="bars"):
    """Bars: (ms, open, high, low, close, volume)."""

    instrument: str
    timeframe: str
    bars: list[tuple[Millis, Price, Price, Price, Price, Size]]


class Mark(msgspec.Struct, tag_field="about", tag="mark"):
    """A mark price and the funding that is due; NaN travels as null."""

    instrument: str
    ts: Millis
    mark: Price
    index: Price | None = None
    rate: Rate | None = None
    due: Millis = 0


class Reply(msgspec.Struct, tag_field="about", tag="reply"):
    """Whether a request was granted, or topics that were granted came to nothing after all."""

    request: int
    error: str = ""
    topics: tuple[str, ...] = ()


_read = reader(Prints | Ladder | Candles | Mark | Reply)  # type: ignore[arg-type]


class CcxtDecoder:
    """Read the frames of one connection; `known` maps our ids to themselves."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)
        self._bars = Bars()
        self._marks = Marks()

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            return self._say(_read(frame))
        except UNREADABLE as error:
            return (dropped(frame, str(error)),)

    def _say(self, found: "Prints | Ladder | Candles | Mark | Reply") -> Sequence[Decoded]:
        if isinstance(found, Reply):
            reason = plain(found.error) if found.error else ""
            return (Answered(found.request, reason, found.topics),)
        if found.instrument not in self._known:
            return (dropped("", f"unknown instrument {plain(found.instrument)}"),)
        match found:
            case Prints(name, trades):
                return [
                    Trade(ms * MS_NS, name, price, size, side == "buy", id)
                    for id, ms, price, size, side in trades
                ]
            case Ladder():
                return self._ladder(found)
            case Candles():
                return self._candles(found)
            case Mark():
                return self._mark(found)

    def _candles(self, found: Candles) -> Sequence[Decoded]:
        if found.timeframe not in TIMEFRAMES:
            return (dropped("", f"a bar of {plain(found.timeframe)}"),)
        stream = found.instrument, found.timeframe
        bars = [
            bar_of(stream, ms * MS_NS, (opened, high, low, closed), volume)
            for ms, opened, high, low, closed, volume in found.bars
        ]
        return [update for bar in bars for update in self._bars.see(bar)]

    @staticmethod
    def _ladder(found: Ladder) -> Sequence[Decoded]:
        ts = found.ts * MS_NS
        if not found.quote:
            return (BookDelta(ts, found.instrument, found.bids, found.asks, is_snapshot=True),)
        if not found.bids or not found.asks:
            return (dropped("", f"a quote of {found.instrument} without both sides"),)
        return (Quote(ts, found.instrument, *found.bids[0], *found.asks[0]),)

    def _mark(self, found: Mark) -> Sequence[MarkPrice | FundingRate]:
        index = math.nan if found.index is None else found.index
        rate = math.nan if found.rate is None else found.rate
        return self._marks.see(
            MarkPrice(found.ts * MS_NS, found.instrument, found.mark, index, rate, found.due * MS_NS)
        )

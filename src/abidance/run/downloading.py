"""History from venues into the store: what `abidance download-data` does, and how live data is joined to the past.

Pairs are asked in parallel, all of one venue within its one budget. What cannot be had of one pair does not keep the
others from coming.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from abidance.kernel.clock import WallClock
from abidance.market.backfill import Backfill, Watch
from abidance.market.bars import Bars
from abidance.market.store import BarStore, Tables, parse_timerange
from abidance.model.errors import AbidanceError, UsageError, VenueError, about
from abidance.model.instrument import SECOND_NS, InstrumentKind, parse_instrument_id, timeframe_ns
from abidance.venues.ccxt.history import CcxtHistory, Way
from abidance.venues.dialect import Endpoint
from abidance.venues.net.budget import Budgets
from abidance.venues.net.config import FeedConfig
from abidance.venues.net.real import AiohttpTransport, RealPulse
from abidance.venues.net.transport import NONE, Answer, Socket

VENUE, DAYS = "BINANCE", 30
AT_ONCE = 4
"""So many pairs are asked about at the same time."""


@dataclass(frozen=True)
class Wish:
    """What to download, from `start` up to `end` (ns UTC)."""

    instruments: tuple[str, ...]
    start: int
    end: int
    timeframes: tuple[str, ...] = ()
    trades: bool = False
    funding: bool = False
    replace: bool = False

    def parts(self) -> Iterator[tuple[str, str]]:
        """Yield each instrument with each thing to download of it: a timeframe, `trades` or `funding`."""
        kinds = (
            *(["trades"] if self.trades else []),
            *self.timeframes,
            *(["funding"] if self.funding else []),
        )
        for instrument in self.instruments:
            for kind in kinds:
                yield instrument, kind


def wish_of(
    pairs: Sequence[str],
    timeframes: Sequence[str],
    venue: str,
    timerange: str,
    *,
    trades: bool = False,
    funding: bool = False,
    replace: bool = False,
) -> Wish:
    """Return what is wanted, of the last 30 days when no time is named; `venue` is that of pairs that name none.

    Raises UsageError for what is no pair, timeframe or time range.
    """
    if not pairs:
        raise UsageError("No pair is named.", "Name some with -p, such as -p BTC/USDT ETH/USDT.")
    ids = tuple(pair if "@" in pair else f"{pair}@{(venue or VENUE).upper()}" for pair in pairs)
    for id in ids:
        with about("instruments"):
            name = parse_instrument_id(id)
            if funding and name.settle is None:
                raise UsageError(
                    f"{id} is a spot pair, which has no funding.", "A perpetual is BTC/USDT:USDT."
                )
    frames = tuple(timeframes) or (() if trades or funding else ("1h",))
    for frame in frames:
        with about("timeframes"):
            timeframe_ns(frame)
    now = WallClock().now()
    with about("timerange"):
        start, end = parse_timerange(timerange) if timerange else (None, None)
    end = now if end is None else min(end, now)
    start = end - DAYS * 86_400 * SECOND_NS if start is None else start
    if start >= end:
        with about("timerange"):
            raise UsageError("The time range has not begun yet.", "Name one that lies in the past.")
    return Wish(ids, start, end, frames, trades, funding, replace)


class Outcome(NamedTuple):
    """What came of one part of a wish: how many rows were new, or why there are not all."""

    instrument: str
    kind: str
    added: int
    fault: AbidanceError | None = None


@dataclass
class Sources:
    """The sources of a process, one for each venue and kind of market, at the addresses of a configuration."""

    feed: FeedConfig
    way: Way
    _open: dict[tuple[str, InstrumentKind], CcxtHistory] = field(default_factory=dict)

    def of(self, instrument: str) -> CcxtHistory:
        """Return the source that knows an instrument's past."""
        name = parse_instrument_id(instrument)
        kind = InstrumentKind.PERPETUAL if name.settle else InstrumentKind.SPOT
        key = (name.venue, kind)
        if key not in self._open:
            self._open[key] = CcxtHistory(
                name.venue, kind, self.way, self.feed.address_of(name.venue, kind).rest_url
            )
        return self._open[key]

    async def close(self) -> None:
        """Let go of everything."""
        for source in self._open.values():
            await source.close()


async def download(wish: Wish, tables: Tables, feed: FeedConfig, watch: Watch) -> list[Outcome]:
    """Download everything that is missing of a wish, and say what came of each part, in its order.

    When it is cancelled, what came so far is stored; the same call goes on from there.
    """
    gate, pulse = asyncio.Semaphore(AT_ONCE), RealPulse()
    async with AiohttpTransport() as transport:
        sources = Sources(feed, Way(transport, Budgets(pulse), pulse, random.random))

        async def fetch(instrument: str) -> list[Outcome]:
            async with gate:
                backfill = Backfill(sources.of(instrument), tables, watch, replace=wish.replace)
                kinds = [kind for id, kind in wish.parts() if id == instrument]
                return [await _part(backfill, wish, instrument, kind) for kind in kinds]

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch(id)) for id in dict.fromkeys(wish.instruments)]
        except* AbidanceError as several:
            raise several.exceptions[0] from None
        finally:
            await sources.close()
    return [outcome for task in tasks for outcome in task.result()]


async def _part(backfill: Backfill, wish: Wish, instrument: str, kind: str) -> Outcome:
    try:
        if kind == "trades":
            added = await backfill.trades(instrument, wish.start, wish.end)
        elif kind == "funding":
            added = await backfill.funding(instrument, wish.start, wish.end)
        else:
            added = await backfill.bars(instrument, kind, wish.start, wish.end)
    except AbidanceError as error:
        return Outcome(instrument, kind, 0, error)
    return Outcome(instrument, kind, added)


class CatchUp:
    """The history that live data begins with: what is stored, and what the venues tell of the time since.

    It is a `venues.net.feed.History`: call it with an instrument, a timeframe, and from when up to when (ns UTC). What
    was missing is stored on the way, so that live begins where history ends.
    """

    def __init__(self, tables: Tables, feed: FeedConfig, way: Way | None = None) -> None:
        pulse = RealPulse()
        self._tables = tables
        self._sources = Sources(feed, way or Way(_OneByOne(), Budgets(pulse), pulse, random.random))

    async def __call__(self, instrument: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the closed bars that open from `start` up to `end`, oldest first.

        Raises UsageError for what the venue does not have. When it does not answer and something is stored, that is
        returned; VenueError otherwise.
        """
        try:
            return await catch_up(
                self._sources.of(instrument), self._tables, instrument, timeframe, (start, end)
            )
        except VenueError:
            stored = BarStore(self._tables).read(instrument, timeframe, start, end)
            if not len(stored):
                raise
            return stored

    async def close(self) -> None:
        """Let go of everything."""
        await self._sources.close()


async def catch_up(
    source: CcxtHistory, tables: Tables, instrument: str, timeframe: str, between: tuple[int, int]
) -> Bars:
    """Store what is missing of a series between two moments (ns UTC), as far as bars have closed, and return it all."""
    await Backfill(source, tables).bars(instrument, timeframe, *between)
    return BarStore(tables).read(instrument, timeframe, *between)


class _OneByOne:
    """A transport for few requests: each has a session of its own, and nothing stays open."""

    async def connect(self, endpoint: Endpoint) -> Socket:
        raise NotImplementedError

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        async with AiohttpTransport() as transport:
            return await transport.request(method, url, query, headers, body, leaving)


__all__ = ["CatchUp", "Outcome", "Sources", "Wish", "catch_up", "download", "wish_of"]

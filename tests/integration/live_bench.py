"""A live feed over real sockets against the local exchange, in a time that both share and the test moves."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from itertools import pairwise
from typing import Any

from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.reference import instrument
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.market import (
    Bar,
    BookSnapshot,
    DataKind,
    FeedState,
    FeedStatus,
    MarketEvent,
    Quote,
    Trade,
)
from abidance.run.bot import bars_of
from abidance.testing.exchange import LocalExchange, generated
from abidance.venues.dialect import Dialect
from abidance.venues.dialects import dialect_of
from abidance.venues.net.budget import Budgets
from abidance.venues.net.feed import History, LiveFeed, Wanted
from abidance.venues.net.line import World
from abidance.venues.net.mender import Tap
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.net.rest import Rest
from tests.unit.venues.net_world import HandPulse

START = 1_760_000_040 * SECOND_NS
"""A full minute."""
STEP = 0.25
SPOT = {
    "BINANCE": "BTC/USDT@BINANCE",
    "BYBIT": "BTC/USDT@BYBIT",
    "KRAKEN": "BTC/USD@KRAKEN",
    "KUCOIN": "BTC/USDT@KUCOIN",
    "MEXC": "BTC/USDT@MEXC",
}


class SharedPulse(HandPulse):
    """Time as the local exchange has it."""

    def wall(self) -> int:
        return START + round(self.now * 1e9) + self.skew


class HandDisk(Executor):
    """A disk that answers at once or, while it `hangs`, not before the test lets it go."""

    def __init__(self) -> None:
        self.hangs = False
        self._waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        found: Future[Any] = Future()

        def answer() -> None:
            try:
                found.set_result(fn(*args, **kwargs))
            except OSError as error:
                found.set_exception(error)

        if self.hangs:
            self._waiting.append(answer)
        else:
            answer()
        return found

    def let_go(self) -> None:
        """Answer all that was asked."""
        self.hangs = False
        while self._waiting:
            self._waiting.pop(0)()


async def breathe(turns: int = 60) -> None:
    """Let the loop look at its sockets: what is on loopback has arrived after that."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Live:
    """One venue, one market of it, and a feed that follows it."""

    def __init__(
        self,
        venue: str,
        kinds: Sequence[DataKind],
        *,
        timeframes: Sequence[str] = (),
        redundancy: int = 1,
        levels: int = 10,
        id: str = "",
        pace: float = 20.0,
        tap: Tap | None = None,
    ) -> None:
        self.id = id or SPOT[venue]
        market = generated(self.id, 7, START, past_seconds=600, pace=pace)
        self.exchange = LocalExchange([market], start=START)
        self.market = market
        self.pulse = SharedPulse()
        self.events: list[MarketEvent] = []
        self.asked: list[tuple[int, int]] = []
        self._kinds = frozenset(kinds)
        self._timeframes = tuple(timeframes)
        self._redundancy = redundancy
        self._levels = levels
        self._tap = tap
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Live":
        await self.exchange.__aenter__()
        self._transport = AiohttpTransport(heartbeat=0)
        await self._transport.__aenter__()
        self.world = World(self._transport, self.pulse, Budgets(self.pulse), lambda: 0.5, logger("test"))
        wanted = Wanted(
            {self.id: instrument(self.id)},
            {self.id: self._kinds},
            {(self.id, timeframe): self._first(timeframe) for timeframe in self._timeframes},
            levels=self._levels,
            redundancy=self._redundancy,
            anomalies=False,
        )
        self.feed = LiveFeed(wanted, self._dialect, self._rest, self.world, self._history, self._tap)
        self._task = asyncio.ensure_future(self.feed.run())
        await self.pass_time(1.5)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._transport.__aexit__()
        await self.exchange.__aexit__()

    @staticmethod
    def _first(timeframe: str) -> int:
        step = timeframe_ns(timeframe)
        return -(-START // step) * step

    def _dialect(self, found: Instrument) -> Dialect:
        return self.exchange.point(dialect_of(found))

    def _rest(self, dialect: Dialect) -> Rest:
        return Rest(dialect.rest_url, self._transport, self.world.budgets, self.pulse)

    async def _history(self, id: str, timeframe: str, start: int, end: int) -> Bars:
        self.asked.append((start, end))
        closed = [b for b in self.market.bars(timeframe, start, end) if b.ts_close <= self.exchange.now]
        return bars_of((id, timeframe), closed)

    history: History

    async def pass_time(self, seconds: float) -> None:
        """Let both sides live for so long."""
        for _ in range(round(seconds / STEP)):
            await self.exchange.advance(STEP)
            await breathe()
            await self.pulse.advance(STEP)
            await breathe()
            self.collect()

    def collect(self) -> None:
        while (event := self.feed.next()) is not None:
            self.events.append(event)

    # --- what came of it

    def states(self, kind: DataKind) -> list[FeedState]:
        return [e.state for e in self.events if isinstance(e, FeedStatus) and e.kind is kind]

    def reasons(self, kind: DataKind) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, FeedStatus) and e.kind is kind]

    @property
    def trades(self) -> list[Trade]:
        return [event for event in self.events if isinstance(event, Trade)]

    @property
    def quotes(self) -> list[Quote]:
        return [event for event in self.events if isinstance(event, Quote)]

    @property
    def books(self) -> list[BookSnapshot]:
        return [event for event in self.events if isinstance(event, BookSnapshot)]

    @property
    def bars(self) -> list[Bar]:
        return [bar for event in self.events for bar in getattr(event, "bars", ())]

    def since_first(self) -> tuple[list[tuple[float, float, bool]], list[tuple[float, float, bool]]]:
        """Return the trades that came and those that happened from the first of them on, as prints."""
        came = [(t.price, t.size, t.buyer_is_taker) for t in self.trades]
        happened = [(t.price, t.size, t.buyer_is_taker) for t in self.market.trades(START)]
        return came, happened

    def assert_times_go_forward(self) -> None:
        assert all(a.ts <= b.ts for a, b in pairwise(self.events))

    def assert_book_is_theirs(self) -> None:
        """The last book that was handed over is the one that the exchange holds."""
        truth, last = self.market.ladder(self._levels), self.books[-1]
        assert (last.bids, last.asks) == (truth.bids, truth.asks)

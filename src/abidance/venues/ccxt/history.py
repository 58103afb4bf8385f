"""What venues tell of the past over REST, through ccxt: bars, trades and funding rates, page by page.

A venue differs by its `Reach`. Requests leave within the budget that live data shares, whatever ccxt thinks of pace.
Nothing is stored here, and nothing is made up: a page says up to where it is whole.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from abidance.market.backfill import BarPage, FundingPage, TradePage
from abidance.market.bars import Bars, grid_offset
from abidance.market.funding import Funding
from abidance.model.errors import AbidanceError, DataError, UsageError, VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, InstrumentKind, parse_instrument_id, timeframe_ns
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.net.budget import Budgets
from abidance.venues.net.limits import Request, limits_of
from abidance.venues.net.transport import Backoff, DisconnectedError, Pulse, Transport, within

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which an answer is no longer waited for."""
ATTEMPTS = 6
FIRST_ATTEMPTS = 3
"""So often is a venue tried that cannot even be reached and never was: somebody waits for the sentence that says so."""
_SPARED = 5.0
"""Seconds in which the next who asks hears the same sentence without another try."""
_PAGE = 1000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_MINUTE = 60 * SECOND_NS
_ARCHIVES = "Its public archives have more: download them and use --from-files."
_HOST = re.compile(r"^https?://[^/]+")


@dataclass(frozen=True)
class Reach:
    """How far back a market's REST goes and how much one answer holds.

    `newest` is how many of the newest bars there are at all (0: all). `trades` says how trades are asked for: by a
    `cursor`, by a `window` of time, or not at all (empty). `funding` is how many rates one answer holds, 0 for none.
    """

    ccxt: str
    bars: int = 500
    bounded: bool = True
    newest: int = 0
    trades: str = ""
    funding: int = 0
    markets: tuple[str, ...] = ()


_SPOT, _PERPETUAL = InstrumentKind.SPOT, InstrumentKind.PERPETUAL
REACHES: Mapping[tuple[str, InstrumentKind], Reach] = {
    ("BINANCE", _SPOT): Reach("binance", bars=1000, trades="window", markets=("spot",)),
    ("BINANCE", _PERPETUAL): Reach("binance", bars=1000, trades="window", funding=1000, markets=("linear",)),
    ("BYBIT", _SPOT): Reach("bybit", bars=1000, markets=("spot",)),
    ("BYBIT", _PERPETUAL): Reach("bybit", bars=1000, funding=200, markets=("linear",)),
    ("KRAKEN", _SPOT): Reach("kraken", bars=720, bounded=False, newest=720, trades="cursor"),
    ("KRAKEN", _PERPETUAL): Reach("krakenfutures", bars=1000, bounded=False),
    ("KUCOIN", _SPOT): Reach("kucoin", bars=1500, bounded=False, markets=("spot",)),
    ("KUCOIN", _PERPETUAL): Reach("kucoinfutures", bars=200, bounded=False, funding=100),
    ("MEXC", _SPOT): Reach("mexc", bars=500, trades="window", markets=("spot",)),
    ("MEXC", _PERPETUAL): Reach("mexc", bars=1000, markets=("swap",)),
}


class Way(NamedTuple):
    """What requests need of the process: the transport, budgets, clocks and chance."""

    transport: Transport
    budgets: Budgets
    pulse: Pulse
    draw: Callable[[], float]


class CcxtHistory:
    """The past of one venue's spot or perpetual markets. `rest_url` stands in for the venue's own address."""

    def __init__(self, venue: str, kind: InstrumentKind, way: Way, rest_url: str = "") -> None:
        self.reach = REACHES.get((venue, kind)) or Reach(venue.lower(), bounded=False)
        self._venue, self._way, self._rest_url = venue, way, rest_url.rstrip("/")
        self._exchange: Any = None
        self._opening = asyncio.Lock()
        self._unreached: tuple[float, VenueError] | None = None

    @property
    def newest_bars(self) -> int:
        """Return how many of the newest bars the venue tells; 0 when it tells all."""
        return self.reach.newest

    @property
    def tells_trades(self) -> bool:
        """Return whether trades of any time can be asked for."""
        return bool(self.reach.trades)

    async def now(self) -> int:
        """Return the venue's time in ns UTC, ours where it is earlier or the venue tells none."""
        exchange, ours = await self._open(), self._way.pulse.wall()
        if exchange.has.get("fetchTime") is not True:
            return ours
        return min(ours, int(await self._ask(exchange.fetch_time)) * MS_NS)

    async def bars(self, instrument: str, timeframe: str, start: int, end: int) -> AsyncIterator[BarPage]:
        """Yield the bars that open from `start` up to `end` (ns UTC), oldest first, page by page.

        Raises UsageError for a pair that the venue does not have, DataError for a timeframe, VenueError when it does
        not answer.
        """
        exchange, symbol = await self._symbol(instrument)
        if timeframe not in (exchange.timeframes or {}):
            raise DataError(
                f"{self._venue} has no bars of {timeframe}; it has {', '.join(exchange.timeframes or {})}.",
                "Longer bars are built from shorter ones when they are read.",
            )
        step, leapt = timeframe_ns(timeframe), False
        since = start
        while since < end:
            until = min(end, since + self.reach.bars * step)
            rows = await self._rows(exchange, symbol, timeframe, since, until)
            if not len(rows) and not leapt and step < _DAY_MS * MS_NS and until < end:
                leapt = True
                beyond = await self._first_day(exchange, symbol, until, end)
                yield BarPage(_bars(instrument, timeframe, rows), beyond)
                since = beyond
                continue
            last = int(rows[-1, 0]) * MS_NS + step if len(rows) else until
            # A page that ends early may have been cut by the venue: what follows is asked for again.
            since = last if len(rows) and last < until and len(rows) > 1 else until
            yield BarPage(_bars(instrument, timeframe, rows), since)

    async def _rows(self, exchange: Any, symbol: str, timeframe: str, since: int, until: int) -> Any:
        low, high = -(-since // MS_NS), -(-until // MS_NS)
        more = {"until": high - 1} if self.reach.bounded else {}
        count = (until - since) // timeframe_ns(timeframe) + (not self.reach.bounded)
        limit = min(self.reach.bars, max(2, count))

        def ask() -> Awaitable[Any]:
            return exchange.fetch_ohlcv(symbol, timeframe, low, limit, more)  # type: ignore[no-any-return]

        found = await self._ask(ask)
        try:
            rows = np.array([row[:6] for row in found], dtype=np.float64).reshape(-1, 6)
        except (TypeError, ValueError, IndexError) as error:
            raise VenueError(f"{self._venue} answered bars that are none: {error}.", "Try again.") from error
        rows = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
        _, first = np.unique(rows[:, 0], return_index=True)
        return rows[first]

    async def _first_day(self, exchange: Any, symbol: str, since: int, end: int) -> int:
        """Return from when on there are bars: years before a pair was listed are not asked for minute by minute."""
        day = _DAY_MS * MS_NS
        if "1d" not in (exchange.timeframes or {}) or end - since < 2 * day:
            return since
        at = since // day * day
        while at < end:
            until = min(at + self.reach.bars * day, -(-end // day) * day)
            rows = await self._rows(exchange, symbol, "1d", at, until)
            if len(rows):
                return max(since, int(rows[0, 0]) * MS_NS)
            at = until
        return end

    async def trades(self, instrument: str, start: int, end: int) -> AsyncIterator[TradePage]:
        """Yield the trades from `start` up to `end` (ns UTC), oldest first, page by page.

        Raises UsageError where the venue tells the newest ones alone.
        """
        exchange, symbol = await self._symbol(instrument)
        if self.reach.trades == "cursor":
            async for page in self._by_cursor(exchange, symbol, start, end):
                yield page
            return
        if not self.reach.trades:
            raise UsageError(f"{self._venue} tells only its newest trades over REST.", _ARCHIVES)

        async def ask(low: int, high: int) -> list[Any]:
            def work() -> Awaitable[Any]:
                return exchange.fetch_trades(symbol, low, _PAGE, {"until": high - 1})  # type: ignore[no-any-return]

            found: list[Any] = await self._ask(work)
            return found

        async for rows, until in _windows(ask, start, end, _PAGE, _HOUR_MS):
            # The ids of Binance's aggregated trades must not be taken for those of its trades.
            trades = [(t["timestamp"] * MS_NS, *_sized(t), f"a{t['id']}" if t["id"] else "") for t in rows]
            yield TradePage(trades, until)

    async def _by_cursor(self, exchange: Any, symbol: str, start: int, end: int) -> AsyncIterator[TradePage]:
        """Ask Kraken: each answer names the cursor of the next one, to the nanosecond."""
        cursor, market = start, exchange.market(symbol)["id"]
        while cursor < end:
            # From just before the cursor: trades of its very moment may stand on both sides of a page's end.
            query = {"pair": market, "since": str(cursor - 1), "count": str(_PAGE)}
            found = await self._ask(lambda query=query: exchange.publicGetTrades(query))  # type: ignore[misc]
            try:
                result = found["result"]
                rows = next(rows for name, rows in result.items() if name != "last")
                trades = [_of_kraken(row) for row in rows]
                following = int(result["last"])
            except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
                raise VenueError(
                    f"{self._venue} answered trades that are none: {error}.", "Try again."
                ) from error
            full = len(rows) >= _PAGE
            cursor = max(following, cursor + 1) if full else end
            yield TradePage([trade for trade in trades if start <= trade[0] < end], min(cursor, end))

    async def funding(self, instrument: str, start: int, end: int) -> AsyncIterator[FundingPage]:
        """Yield the funding rates due from `start` up to `end` (ns UTC), oldest first, page by page."""
        exchange, symbol = await self._symbol(instrument)
        if not self.reach.funding:
            raise UsageError(f"Funding rates of {instrument} are not told over REST.", _ARCHIVES)
        count = self.reach.funding

        async def ask(low: int, high: int) -> list[Any]:
            def work() -> Awaitable[Any]:
                return exchange.fetch_funding_rate_history(symbol, low, count, {"until": high - 1})  # type: ignore[no-any-return]

            found: list[Any] = await self._ask(work)
            return found

        async for rows, until in _windows(ask, start, end, count, count * _HOUR_MS):
            due = {row["timestamp"] * MS_NS // _MINUTE * _MINUTE: _rate(row) for row in rows}
            ts = np.array(sorted(due), dtype=np.int64)
            yield FundingPage(Funding(instrument, ts, np.array([due[at] for at in ts.tolist()])), until)

    async def close(self) -> None:
        """Let go of what ccxt holds."""
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None

    # --- ccxt

    async def _symbol(self, instrument: str) -> tuple[Any, str]:
        exchange, name = await self._open(), parse_instrument_id(instrument)
        symbol = f"{name.base}/{name.quote}" + (f":{name.settle}" if name.settle else "")
        if symbol not in exchange.markets:
            from difflib import get_close_matches

            near = get_close_matches(symbol, exchange.markets, n=3, cutoff=0.7)
            raise UsageError(
                f"{self._venue} has no {symbol}.",
                f"Did you mean {' or '.join(near)}?" if near else "Check the pair.",
            )
        return exchange, symbol

    async def _open(self) -> Any:
        async with self._opening:
            if self._exchange is None:
                if self._unreached and self._way.pulse.steady() - self._unreached[0] < _SPARED:
                    raise VenueError(self._unreached[1].found, self._unreached[1].remedy)
                inner = await asyncio.to_thread(exchange_class, self.reach.ccxt, streaming=False)
                exchange = _budgeted(inner, self._way, self._rest_url)({"enableRateLimit": False})
                if self.reach.markets:
                    exchange.options["fetchMarkets"] = {"types": list(self.reach.markets)}
                exchange.options["fetchCurrencies"] = False
                exchange.has["fetchCurrencies"] = False
                try:
                    await self._ask(exchange.load_markets)
                except BaseException as error:
                    if isinstance(error.__cause__, DisconnectedError) and isinstance(error, VenueError):
                        self._unreached = self._way.pulse.steady(), error
                    await exchange.close()
                    raise
                self._exchange = exchange
            return self._exchange

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; what cannot become one by waiting is told at once."""
        errors = import_module("ccxt.base.errors")

        backoff, way = Backoff(self._way.draw), self._way
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await work()
            except errors.BadSymbol as error:
                raise UsageError(
                    f"{self._venue} does not know that pair: {_told(error)}.", "Check it."
                ) from error
            except errors.NotSupported as error:
                raise UsageError(f"{self._venue} does not tell that: {_told(error)}.", _ARCHIVES) from error
            except (errors.NetworkError, VenueError) as error:
                is_unreached = self._exchange is None and isinstance(error, DisconnectedError)
                if attempt >= (min(FIRST_ATTEMPTS, ATTEMPTS) if is_unreached else ATTEMPTS):
                    raise VenueError(
                        f"{self._venue} does not answer: {_told(error)}.",
                        "What is there is kept: start it again for the rest.",
                    ) from error
                await way.pulse.sleep(backoff.delay())
            except (errors.BaseError, KeyError, TypeError, ValueError) as error:
                raise VenueError(
                    f"{self._venue} answered what cannot be read: {_told(error)}.", "Try again later."
                ) from error
        raise AssertionError


def _budgeted(inner: type, way: Way, rest_url: str) -> type:
    """Return ccxt's class with its requests going through our transport, within our budgets."""
    refused = import_module("ccxt.base.errors").RateLimitExceeded

    class Budgeted(inner):  # type: ignore[misc]
        timeout_on_exit = 0  # milliseconds for ccxt's own connections to end: there are none

        async def fetch(self, url: str, method: str = "GET", *_: Any, **__: Any) -> Any:
            parts = urlsplit(url)
            host = f"{parts.scheme}://{parts.netloc}"
            base = rest_url or host
            budget = way.budgets.of(base, limits_of(host))
            asked = Request(method, parts.path, dict(parse_qsl(parts.query)))
            await budget.take(asked)
            where = base + url[len(host) :]
            answer = await within(
                way.pulse, PATIENCE, way.transport.request(method, where, {}), where.partition("?")[0]
            )
            if budget.heed(answer, asked):
                raise refused(f"{base} answered {answer.status}: too many requests")
            text = answer.body.decode("utf-8", "replace")
            try:
                said = json.loads(text)
            except ValueError:
                said = None
            self.handle_errors(answer.status, "", url, method, answer.headers, text, said, {}, None)
            self.handle_http_status_code(answer.status, "", url, method, text)
            if said is None:
                raise VenueError(f"{base} answered no JSON: {text[:80]!r}", "It is tried again.")
            return said

    return Budgeted


async def _windows(
    ask: Callable[[int, int], Awaitable[list[Any]]], start: int, end: int, most: int, longest: int
) -> AsyncIterator[tuple[list[Any], int]]:
    """Yield the rows of each window (`ask(from, until)` in ms) that was not too full to be whole, and its end in ns."""
    since, last, window = -(-start // MS_NS), -(-end // MS_NS), longest
    while since < last:
        until = min(last, since + window)
        found = await ask(since, until)
        try:
            rows = [row for row in found if since <= row["timestamp"] < until]
        except (TypeError, KeyError) as error:
            raise VenueError("The venue answered rows without a time.", "Try again later.") from error
        if len(rows) >= most:
            if until - since == 1:
                raise DataError(f"More than {most} trades stand in one millisecond.", _ARCHIVES)
            window = max(1, (until - since) // 2)
            continue
        yield rows, until * MS_NS
        since = until
        if len(rows) < most // 3:
            window = min(longest, window * 2)


def _bars(instrument: str, timeframe: str, rows: Any) -> Bars:
    ts = rows[:, 0].astype(np.int64) * MS_NS
    step = timeframe_ns(timeframe)
    on_grid = (ts - grid_offset(step)) % step == 0
    return Bars(instrument, timeframe, ts[on_grid], [rows[on_grid, column].copy() for column in range(1, 6)])


def _rate(row: Mapping[str, Any]) -> float:
    try:
        return float(row["fundingRate"])
    except (TypeError, ValueError, KeyError) as error:
        raise VenueError("The venue answered a funding rate that is none.", "Try again later.") from error


def _sized(trade: Mapping[str, Any]) -> tuple[float, float, bool]:
    try:
        return float(trade["price"]), float(trade["amount"]), trade["side"] == "buy"
    except (TypeError, ValueError) as error:
        raise VenueError(f"The venue answered a trade that is none: {error}.", "Try again later.") from error


def _of_kraken(row: list[Any]) -> tuple[int, float, float, bool, str]:
    """Return a trade of Kraken's list: price, size, seconds, side, kind of order, remark, id."""
    whole, _, part = str(row[2]).partition(".")
    ts = int(whole) * SECOND_NS + int(part[:9].ljust(9, "0"))
    return ts, float(row[0]), float(row[1]), row[3] == "b", str(row[6]) if len(row) > 6 else ""


def _told(error: BaseException) -> str:
    text = error.found if isinstance(error, AbidanceError) else str(error)
    return (text.splitlines()[0] if text else type(error).__name__)[:200].rstrip(".")

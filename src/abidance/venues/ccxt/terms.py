"""What a venue says of its instruments, asked through ccxt and put into our words. Keys are never needed.

Spot pairs and linear perpetuals are taken; dated futures, options and contracts that settle in the base asset are not.
What cannot be understood without doubt is left out: a market without a price step trades nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from abidance.market.reference import INFERRED_LEVERAGE, INFERRED_MAINTENANCE, resolve
from abidance.market.terms import Status, Terms, Tier
from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import Instrument, InstrumentKind, parse_instrument_id
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.net.config import FeedConfig

Market = Mapping[str, Any]

_PARTS = {"KRAKEN": ("kraken", "krakenfutures"), "KUCOIN": ("kucoin", "kucoinfutures")}
"""Venues whose perpetuals ccxt knows under another name."""
_TRADED = frozenset({"spot", "linear", "swap"})
"""Kinds of markets that are asked for, where ccxt asks for each kind by itself."""
_TICK_SIZE = 4
_ONE = Decimal(1)
_OPEN_FILTERS = {"MAX_NUM_ORDERS": "maxNumOrders", "MAX_NUM_ALGO_ORDERS": "maxNumAlgoOrders"}
_UNBOUNDED = 1_000_000
_PER_HOUR = {
    "fundingInterval": 60,
    "currentFundingRateGranularity": 3_600_000,
    "fundingRateGranularity": 3_600_000,
}
"""Where venues write how often funding falls due in their own record, and how many of its units are an hour."""


async def fetch_terms(venue: str, feed: FeedConfig | None = None) -> list[Terms]:
    """Return the terms of everything that `venue` (`BINANCE`) trades, asked at the addresses of `feed`.

    Raises UsageError for a venue that ccxt does not know, VenueError when it cannot be asked.
    """
    found: dict[str, Terms] = {}
    for name, kind in zip(_PARTS.get(venue, (venue.lower(),)), InstrumentKind, strict=False):
        async with _opened(name, feed.address_of(venue, kind).rest_url if feed else "") as exchange:
            for terms in await read_exchange(venue, exchange):
                found.setdefault(terms.instrument.id, terms)
    if not found:
        raise VenueError(f"{venue} lists nothing that can be traded here.", "Try again later.")
    return list(found.values())


@asynccontextmanager
async def _opened(name: str, rest_url: str) -> AsyncIterator[Any]:
    inner = exchange_class(name, streaming=False)
    exchange = (_placed(inner, rest_url) if rest_url else inner)({"enableRateLimit": True, "timeout": 30_000})
    asked = exchange.options.get("fetchMarkets")
    if isinstance(asked, Mapping) and isinstance(asked.get("types"), list):
        exchange.options["fetchMarkets"] = {"types": [each for each in asked["types"] if each in _TRADED]}
    exchange.has["fetchCurrencies"] = False
    try:
        yield exchange
    finally:
        await exchange.close()


def _placed(inner: type, rest_url: str) -> type:
    """Return ccxt's class with every request sent to `rest_url`, whatever host it names."""

    class Placed(inner):  # type: ignore[misc]
        async def fetch(self, url: str, *rest: Any, **options: Any) -> Any:
            place = urlsplit(url)._replace(scheme="", netloc="").geturl()
            return await super().fetch(rest_url + place, *rest, **options)

    return Placed


async def read_exchange(venue: str, exchange: Any) -> list[Terms]:
    """Return the terms of everything that one of ccxt's exchanges lists. Raises VenueError when it cannot be asked."""
    try:
        markets = await exchange.load_markets()
    except Exception as error:  # ccxt's own errors, and those of the network below it
        raise refused(venue, error) from error
    tiers = await _asked(exchange, "fetchLeverageTiers", "fetch_leverage_tiers")
    loans = await _asked(exchange, "fetchCrossBorrowRates", "fetch_cross_borrow_rates")
    periods = await _asked(exchange, "fetchFundingIntervals", "fetch_funding_intervals")
    step_mode = getattr(exchange, "precisionMode", _TICK_SIZE) == _TICK_SIZE
    read = (
        read_market(
            venue,
            market,
            tiers=tiers.get(symbol, ()),
            loan=loans.get(market.get("base"), {}),
            period=periods.get(symbol, {}),
            is_step=step_mode,
        )
        for symbol, market in markets.items()
    )
    return [terms for terms in read if terms is not None]


def refused(venue: str, error: Exception) -> VenueError:
    """Return in our words why a venue did not say what it trades; the library's own stay in the cause."""
    errors = import_module("ccxt.base.errors")
    later = "Try again later."
    if isinstance(error, errors.RateLimitExceeded | errors.DDoSProtection):
        return VenueError(f"{venue} asks us to be slower.", later)
    if isinstance(error, errors.RequestTimeout | TimeoutError):
        return VenueError(f"{venue} did not answer in time.", "Check the network, or try again later.")
    if isinstance(error, errors.NetworkError | OSError):
        why = f": {told}" if (told := _way_failed(error)) else ""
        return VenueError(f"{venue} cannot be reached{why}.", "Check the network, or try again later.")
    if isinstance(error, errors.AuthenticationError):  # nothing was signed: it is where we ask from
        return VenueError(
            f"{venue} refuses to answer from here.", "Ask from a place in which it serves people."
        )
    return VenueError(f"{venue} answered what cannot be read as its list of instruments.", later)


def _way_failed(error: BaseException) -> str:
    """Return what the network said, empty when it said nothing: ccxt puts its own sentence around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    told = (error.strerror or str(error)) if isinstance(error, OSError) else ""
    return told.partition("\n")[0].rstrip(".")


async def _asked(exchange: Any, ability: str, method: str) -> Mapping[str, Any]:
    """Return what a venue says beyond its list of markets; nothing where it wants keys for it or does not say."""
    if exchange.has.get(ability) is not True:
        return {}
    try:
        found = await getattr(exchange, method)()
    except Exception:  # noqa: BLE001  an extra that is refused costs a field, not the list
        return {}
    return found if isinstance(found, Mapping) else {}


def read_market(
    venue: str,
    market: Market,
    *,
    tiers: Sequence[Market] = (),
    loan: Market | None = None,
    period: Market | None = None,
    is_step: bool = True,
) -> Terms | None:
    """Return the terms in one of ccxt's unified markets, or None for what is not traded here.

    `is_step` says whether its precisions are steps or numbers of decimals.
    """
    id = _id(venue, market)
    limits, precision = market.get("limits") or {}, market.get("precision") or {}
    size = _number(market.get("contractSize")) or _ONE if market.get("swap") else _ONE
    tick, lot = (_step(precision.get(name), is_step) for name in ("price", "amount"))
    if id is None or not tick or not lot:
        return None
    brackets = tuple(sorted(filter(None, map(_tier, tiers)), key=lambda tier: tier.floor))
    lot *= size
    amount = limits.get("amount") or {}
    leverage, maintenance = _margin(id, market, brackets)
    orders, stops = _open_limits(market)
    instrument = Instrument(
        id,
        tick=tick,
        lot=lot,
        min_quantity=(_number(amount.get("min")) or Decimal(0)) * size,
        min_notional=_number((limits.get("cost") or {}).get("min")) or Decimal(0),
        max_leverage=leverage,
        maintenance=maintenance,
        max_orders=orders,
        max_stops=stops,
    )
    most = _number(amount.get("max"))
    return Terms(
        instrument,
        str(market.get("id") or ""),
        Status.HALTED if market.get("active") is False else Status.TRADING,
        _number(market.get("maker")),
        _number(market.get("taker")),
        most * size if most else None,
        brackets,
        _daily(loan or {}),
        _hours(market, period or {}) if market.get("swap") else None,
    )


def _id(venue: str, market: Market) -> str | None:
    is_perpetual = market.get("swap") and market.get("linear")
    if not (market.get("spot") or is_perpetual):
        return None
    id = f"{str(market.get('symbol') or '').upper()}@{venue}"
    try:
        name = parse_instrument_id(id)
    except UsageError:  # a name that cannot be one of ours, such as one with a point in it
        return None
    return id if bool(name.settle) == bool(is_perpetual) else None


def _open_limits(market: Market) -> tuple[int, int]:
    """Return how many orders may be open, and how many of these with a trigger; 0 where the venue's record is silent.

    `{"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200}` (spot), `{..., "limit": 200}` (perpetuals)
    """
    info = market.get("info") or {}
    told = info.get("filters") if isinstance(info, Mapping) else None
    found = dict.fromkeys(_OPEN_FILTERS, 0)
    for each in told if isinstance(told, list) else ():
        name = str(each.get("filterType")) if isinstance(each, Mapping) else ""
        if name in found:
            value = _number(each.get(_OPEN_FILTERS[name], each.get("limit")))
            found[name] = int(value) if value is not None and 0 < value < _UNBOUNDED else 0
    orders, stops = found.values()
    return orders, stops


def _margin(id: str, market: Market, brackets: tuple[Tier, ...]) -> tuple[Decimal, Decimal]:
    """Return the most leverage and the maintenance rate of the lowest tier; from the table where a venue is silent."""
    if not market.get("swap"):
        return _ONE, Decimal(0)
    leverage = _number(((market.get("limits") or {}).get("leverage") or {}).get("max"))
    maintenance = None
    if brackets:
        leverage, maintenance = brackets[0].max_leverage, brackets[0].maintenance
    try:
        known = resolve(id)
    except UsageError:
        return leverage or INFERRED_LEVERAGE, maintenance or INFERRED_MAINTENANCE
    return leverage or known.instrument.max_leverage, maintenance or known.instrument.maintenance


def _tier(bracket: Market) -> Tier | None:
    floor, rate = _number(bracket.get("minNotional")), _number(bracket.get("maintenanceMarginRate"))
    leverage = _number(bracket.get("maxLeverage"))
    if rate is None or not leverage:
        return None
    return Tier(floor or Decimal(0), rate, leverage)


def _daily(loan: Market) -> Decimal | None:
    rate, period = _number(loan.get("rate")), _number(loan.get("period"))
    return rate * 86_400_000 / period if rate is not None and period else None


def _hours(market: Market, period: Market) -> Decimal | None:
    """Return how many hours lie between two fundings, from ccxt's word for it (`8h`) or the venue's own record."""
    interval = str(period.get("interval") or "")
    if interval.endswith("h") and (hours := _number(interval[:-1])):
        return hours
    info = market.get("info") or {}
    for name, units in _PER_HOUR.items():
        if isinstance(info, Mapping) and (value := _number(info.get(name))):
            return value / units
    return None


def _step(value: object, is_step: bool) -> Decimal | None:
    number = _number(value)
    if number is None:
        return None
    if not is_step:
        return _ONE.scaleb(-int(number))
    return number if number > 0 else None


def _number(value: object) -> Decimal | None:
    """Return a finite number however it is written, or None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None

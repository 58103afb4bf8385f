"""Spot accounts behind the interface that Binance made and MEXC copied: what "V3" is in both.

How orders are placed and told, and how executions are paged, is in each venue's folder; so is what errors prove.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import msgspec

from abidance.model.instrument import MS_NS, Instrument
from abidance.model.order import Order, Side
from abidance.venues.account import (
    AccountDialect,
    Best,
    Call,
    Execution,
    Funds,
    OrderReport,
    read,
    sound,
    understood,
)
from abidance.venues.dialect import Dialect
from abidance.venues.frames import Millis, Price, reader
from abidance.venues.net.transport import Answer


class TradeRow(msgspec.Struct):
    """An execution as far as both venues tell it alike; numbers of executions and orders differ in kind."""

    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815 (the venues' own names, here and below)
    time: Millis
    isBuyer: bool  # noqa: N815
    isMaker: bool  # noqa: N815

    def execution(self, id: str, venue_id: str, instrument: str, order_id: str = "") -> Execution:
        """Return the execution. Raises ValueError when it cannot be."""
        sound(self.price, self.qty)
        if not self.commission.is_finite():
            raise ValueError(f"{self.commission} is no fee")
        return Execution(
            id, order_id, venue_id, instrument, Side.BUY if self.isBuyer else Side.SELL, self.qty, self.price,
            self.commission, self.commissionAsset, self.time * MS_NS, self.isMaker,
        )  # fmt: skip


class _Balance(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _Account(msgspec.Struct):
    balances: list[_Balance]


class _Time(msgspec.Struct):
    serverTime: Millis  # noqa: N815


class BookTicker(msgspec.Struct):
    """The best prices of an instrument; a side on which nobody offers makes it none."""

    bidPrice: Price  # noqa: N815
    askPrice: Price  # noqa: N815


_read_account = reader(_Account)
_read_time = reader(_Time)
_read_best = reader(BookTicker)


def best_of(venue: str, section: tuple[str, ...], symbols: Mapping[str, str]) -> Best:
    """Return how the best prices are asked for below a section of ccxt's."""

    def told(answer: Answer) -> tuple[float, float]:
        found = read(venue, answer, _read_best)
        return found.bidPrice, found.askPrice

    path = "ticker/bookTicker"
    return Best(lambda id: Call(section, "GET", path, {"symbol": symbols[id]}, is_urgent=True), told)


class V3SpotAccount(AccountDialect):
    """An account's spot side; `sections` are ccxt's names of what is signed and of what anybody may ask."""

    sections: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]]
    always: ClassVar[Mapping[str, object]] = {}
    """What every signed call says besides."""
    page: ClassVar[int]
    """How many executions one answer holds."""

    def __init__(self, names: Dialect, instruments: Sequence[Instrument]) -> None:
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: names.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.best = best_of(self.venue, self.sections[1], self._symbols)

    def signed(
        self, method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False
    ) -> Call:
        """Return a signed call."""
        return Call(self.sections[0], method, path, {**params, **self.always}, is_urgent)

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument."""
        return self.signed("DELETE", "openOrders", {"symbol": self._symbols[instrument]}, is_urgent=True)

    def find(self, order: Order) -> Sequence[Call]:
        """Return the call that looks for an order by our id."""
        return (self.signed("GET", "order", self._named(order)),)

    def _named(self, order: Order) -> dict[str, object]:
        return {"symbol": self._symbols[order.request.instrument], "origClientOrderId": order.id}

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's number of it."""
        params = {"symbol": self._symbols[news.instrument], "orderId": news.venue_id}
        return self.signed("GET", "order", params)

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument: asking for all of them weighs more than a dozen."""
        return tuple(self.signed("GET", "openOrders", {"symbol": each}) for each in self._symbols.values())

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for executions since a moment."""
        params = {"symbol": self._symbols[instrument], "startTime": since // MS_NS, "limit": self.page}
        return self.signed("GET", "myTrades", params)

    def funds(self) -> Call:
        """Return the call for all balances."""
        return self.signed("GET", "account", {})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero. Raises VenueError."""
        found = read(self.venue, answer, _read_account).balances
        with understood(self.venue, answer):
            for each in found:
                sound(each.free, each.locked)
            told = [Funds(each.asset, each.free + each.locked, each.free) for each in found]
        return [each for each in told if each.total]

    def clock(self) -> Call:
        """Return the call that asks for the venue's time."""
        return Call(self.sections[1], "GET", "time")

    def read_clock(self, answer: Answer) -> int:
        """Return the venue's time. Raises VenueError."""
        return read(self.venue, answer, _read_time).serverTime * MS_NS

"""A small state that answers what risk asks, kept by hand: positions, pending orders and prices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from abidance.model.estimate import Estimate
from abidance.model.instrument import Instrument
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.risk.feeds import Feeds
from abidance.risk.view import Terms, worst_price

HOUR_NS = 3_600_000_000_000
SPOT = "BTC/USDT@BINANCE"
OTHER_SPOT = "BTC/USDT@KRAKEN"
ETH = "ETH/USDT@BINANCE"
PERP = "BTC/USDT:USDT@BYBIT"


def instrument(name: str, *, lot: str = "0.001", min_notional: str = "5") -> Instrument:
    return Instrument(
        name, Decimal("0.01"), Decimal(lot), Decimal(lot), Decimal(min_notional), max_leverage=Decimal(20)
    )


def buy(quantity: str | Decimal = "1", name: str = SPOT, strategy: str = "s", **more: object) -> OrderRequest:
    return OrderRequest(strategy, name, Side.BUY, Decimal(quantity), **more)  # type: ignore[arg-type]


def sell(
    quantity: str | Decimal = "1", name: str = SPOT, strategy: str = "s", **more: object
) -> OrderRequest:
    return OrderRequest(strategy, name, Side.SELL, Decimal(quantity), **more)  # type: ignore[arg-type]


@dataclass
class World:
    """Ten thousand of equity, every instrument at 100, nothing held, nothing pending."""

    now: int = 1_000 * HOUR_NS
    prices: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys((SPOT, OTHER_SPOT, ETH, PERP), 100.0)
    )
    instruments: dict[str, Instrument] = field(
        default_factory=lambda: {name: instrument(name) for name in (SPOT, OTHER_SPOT, ETH, PERP)}
    )
    money: float = 10_000.0
    cash: Decimal = Decimal(10_000)
    positions: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    pending: list[OrderRequest] = field(default_factory=list)
    age: int = 0
    unknown: frozenset[str] = frozenset()
    shorts: bool = True
    rate: float | None = 1.0
    costs: float = 0.002
    leverages: float = 1.0
    wildness: float | None = None
    past: Sequence[float] = ()
    feeds: Feeds = field(default_factory=Feeds)
    estimated: Estimate | None = None
    dearest: float | None = None
    owing: float = 0.0
    at_market: frozenset[str] = frozenset()

    def instrument(self, instrument: str) -> Instrument | None:
        return self.instruments.get(instrument)

    def price(self, instrument: str) -> float | None:
        return self.prices.get(instrument)

    def quote_rate(self, instrument: str) -> float | None:
        return self.rate

    def cost_rate(self, instrument: str) -> float:
        return self.costs

    def allotted(self, strategy: str) -> float:
        return self.money

    def terms(self, strategy: str) -> Terms:
        return Terms(self.leverages, self.shorts, HOUR_NS, self.dearest)

    def volatility(self, strategy: str, instrument: str, lookback: int) -> float | None:
        return self.wildness

    def results(self, strategy: str) -> Sequence[float]:
        return self.past

    def price_age_ns(self, instrument: str) -> int:
        return self.age

    def equity(self) -> float:
        return self.money

    def exposure(self, *, asset: str | None = None, venue: str | None = None) -> float:
        return self._exposure(
            [
                name
                for name, found in self.instruments.items()
                if asset in (None, found.base) and venue in (None, found.venue)
            ]
        )

    def _exposure(self, names: Sequence[str]) -> float:
        rate = self.rate or 1.0
        held = sum(
            float(abs(q)) * self.prices.get(name, 0.0)
            for (_, name), q in self.positions.items()
            if name in names
        )
        awaited = sum(
            float(order.quantity) * worst_price(order, self.prices.get(order.instrument))
            for order in self.pending
            if order.instrument in names and self._is_entry(order)
        )
        return (held + awaited) * rate

    def _is_entry(self, order: OrderRequest) -> bool:
        if order.reduce_only:
            return False
        return order.side is Side.BUY or self.instruments[order.instrument].is_perpetual

    @property
    def debts(self) -> "World":
        return self

    @property
    def resting(self) -> "World":
        return self

    def standing(self, instrument: str) -> Sequence[OrderRequest]:
        return [each for each in self.pending if each.instrument == instrument]

    def guarded(self, instrument: str) -> frozenset[str]:
        return frozenset(name for (name, id), held in self.positions.items() if id == instrument and held)

    def borrowed(self) -> float:
        return self.owing

    def open_position_count(self) -> int:
        held = {place for place, quantity in self.positions.items() if quantity}
        return len(held | {(o.strategy, o.instrument) for o in self.pending if self._is_entry(o)})

    def has_pending(self, strategy: str = "", instrument: str = "", venue: str = "") -> bool:
        return any(
            strategy in ("", o.strategy)
            and instrument in ("", o.instrument)
            and venue in ("", self.instruments[o.instrument].venue)
            for o in self.pending
            if self._is_entry(o)
        )

    def position_quantity(self, strategy: str, instrument: str) -> Decimal:
        return self.positions.get((strategy, instrument), Decimal(0))

    def _against(self, strategy: str, instrument: str) -> list[OrderRequest]:
        held = self.position_quantity(strategy, instrument)
        return [
            o
            for o in self.pending
            if (o.strategy, o.instrument) == (strategy, instrument) and held * o.side.sign < 0
        ]

    def exiting(self, strategy: str, instrument: str, *, at_market: bool = False) -> Decimal:
        against = self._against(strategy, instrument)
        return sum((o.quantity for o in against if not at_market or o.type is OrderType.MARKET), Decimal(0))

    def estimate(self, request: OrderRequest) -> Estimate | None:
        return self.estimated

    @property
    def pricing(self) -> "World":
        return self

    def free(self, venue: str, asset: str) -> Decimal:
        return self.cash

    def unknown_open(self, instrument: str) -> bool:
        return instrument in self.unknown

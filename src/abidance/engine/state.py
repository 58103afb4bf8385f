"""What the engine knows: prices, bars, holdings, orders. Strategies and risk see it through read-only views.

State is changed by the engine alone, one event at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from abidance.engine.board import Board, mid
from abidance.engine.config import StrategyConfig
from abidance.engine.debts import Debts
from abidance.engine.pricing import Pricing
from abidance.engine.resting import Resting
from abidance.engine.series import Series
from abidance.execution.config import RoutingConfig
from abidance.execution.exits import Exits
from abidance.execution.orders import Orders
from abidance.market.bars import Bars
from abidance.model.account import Position
from abidance.model.command import Amend
from abidance.model.event import RulesChanged
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.market import DataKind, FeedState, MarkPrice
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import Order, OrderState, OrderType
from abidance.portfolio.portfolio import Portfolio
from abidance.risk.feeds import Feeds
from abidance.risk.view import Terms, worst_price

_YEAR_NS = 365 * 86_400 * SECOND_NS


class _Pending(NamedTuple):
    """What the open orders of one strategy in one instrument could add to its holding, at worst."""

    strategy: str
    instrument: Instrument
    quantity: Decimal
    price: float


class State:
    """Everything known after the last event; what risk reads (`risk.view.RiskView`).

    `cost_rates` holds, per instrument, what taking is expected to cost as a share of the value. `fixed` names the types
    of orders that the venue of an instrument does not change: they are taken back and sent anew.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        strategies: Mapping[str, StrategyConfig],
        portfolio: Portfolio,
        orders: Orders,
        cost_rates: Mapping[str, float],
    ) -> None:
        self.now = 0
        self.instruments = dict(instruments)
        self.strategies = strategies
        self.portfolio = portfolio
        self.orders = orders
        at_market = [name for name, each in strategies.items() if each.exits.take_profit_order == "market"]
        self.exits = Exits(orders, frozenset(at_market))
        self.resting = Resting(orders, self.exits)
        self.debts = Debts(self)
        self.boards = {id: Board() for id in instruments}
        self.feeds = Feeds()
        self.series: dict[tuple[str, str], Series] = {}
        self.fixed: Mapping[str, frozenset[OrderType]] = {}
        self.pricing = Pricing(self)
        self.routing = RoutingConfig()
        self.allocations = {name: config.allocation for name, config in strategies.items()}
        self._cost_rates = cost_rates
        self._terms = {
            name: Terms(
                config.leverage,
                config.allow_short,
                timeframe_ns(config.timeframe),
                config.execution.max_cost,
            )
            for name, config in strategies.items()
        }

    # --- prices and instruments

    def instrument(self, instrument: str) -> Instrument | None:
        """Return an instrument's steps and minima, or None for one outside the run."""
        return self.instruments.get(instrument)

    def settle(self) -> None:
        """Value everything at the ticks noted since the last time."""
        for id, board in self.boards.items():
            if board.tick is not None:
                board.settle()
                if board.price is not None:
                    self.portfolio.mark(id, board.price)

    @property
    def is_exposed(self) -> bool:
        """Return True while a position or an order is open: the next price may matter."""
        return bool(self.portfolio.open_positions()) or bool(self.orders.open())

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        board = self.boards[instrument]
        if board.tick is not None:
            self.settle()
        return board.price

    def price_age_ns(self, instrument: str) -> int:
        """Return how old the last price is; very old when there is none."""
        return self.now - self.boards[instrument].ts if self.price(instrument) is not None else _YEAR_NS

    def quote_rate(self, instrument: str) -> float | None:
        """Return what one quote unit is worth in the run's currency."""
        return self.portfolio.worth(self.instruments[instrument].quote) or None

    def cost_rate(self, instrument: str) -> float:
        """Return what taking is expected to cost, as a share of the value."""
        return self._cost_rates.get(instrument, 0.0)

    def volatility(self, strategy: str, instrument: str, lookback: int) -> float | None:
        """Return the annual volatility of the last `lookback` closes on the strategy's timeframe."""
        timeframe = self.strategies[strategy].timeframe
        series = self.series.get((instrument, timeframe))
        if series is None or series.size < lookback:
            return None
        closes = series.bars().close[series.size - lookback :]
        if not (closes > 0).all():
            return None
        per_year = _YEAR_NS / timeframe_ns(timeframe)
        return float(np.std(np.diff(np.log(closes)), ddof=1) * np.sqrt(per_year))

    # --- money

    def equity(self) -> float:
        """Return the run's equity in its currency."""
        self.settle()
        return self.portfolio.equity()

    def allotted(self, strategy: str) -> float:
        """Return the equity that a strategy may size with."""
        return self.equity() * self.allocations[strategy]

    def results(self, strategy: str) -> Sequence[float]:
        """Return a strategy's closed round trips as shares of their entry value."""
        return self.portfolio.closed_results(strategy)

    def free(self, venue: str, asset: str) -> Decimal:
        """Return what may be spent: the balance less what pending entries and margin hold."""
        balance = self.portfolio.balance(venue, asset)
        margin = self.portfolio.used_margin(venue)
        rate = self.portfolio.worth(asset)
        held = to_decimal(margin / rate) if margin and rate else ZERO
        for pending in self._pending():
            instrument = pending.instrument
            if instrument.venue == venue and instrument.quote == asset:
                value = float(pending.quantity) * pending.price * (1 + self.cost_rate(instrument.id))
                held += to_decimal(
                    value / (self.terms(pending.strategy).leverage if instrument.is_perpetual else 1.0)
                )
        return balance - held

    # --- exposure, worst case: every pending entry fills

    def _pending(self) -> Iterator[_Pending]:
        """Yield, per strategy and instrument, what open orders could add; those against a position close it first."""
        places: dict[tuple[str, str], list[Order]] = {}
        for order in self.orders.open():
            if not order.request.reduce_only:
                places.setdefault((order.request.strategy, order.request.instrument), []).append(order)
        for (strategy, instrument), orders in places.items():
            position = self.portfolio.position(strategy, instrument).quantity
            longer = sum((self._worst(o) for o in orders if o.request.side.sign > 0), ZERO)
            shorter = sum((self._worst(o) for o in orders if o.request.side.sign < 0), ZERO)
            added = max(abs(position + longer), abs(position - shorter)) - abs(position)
            if added > 0:
                price = max(worst_price(o.request, self.price(instrument)) for o in orders)
                yield _Pending(strategy, self.instruments[instrument], added, price)

    def _worst(self, order: Order) -> Decimal:
        """Return what an order may still fill, also when an amendment under way makes it larger."""
        change = self.orders.change_of(order.id)
        wished = change.quantity if isinstance(change, Amend) else None
        return max(order.request.quantity, wished or ZERO) - order.filled

    def _pending_value(self, *, asset: str | None = None, venue: str | None = None) -> float:
        return sum(
            float(pending.quantity) * pending.price * (self.quote_rate(pending.instrument.id) or 0.0)
            for pending in self._pending()
            if asset in (None, pending.instrument.base) and venue in (None, pending.instrument.venue)
        )

    def exposure(self, *, asset: str | None = None, venue: str | None = None) -> float:
        """Return gross exposure of positions and pending entries in the run's currency."""
        held = self.portfolio.exposure_of(asset=asset, venue=venue)
        return held + self._pending_value(asset=asset, venue=venue)

    def open_position_count(self) -> int:
        """Return how many positions are or may become open."""
        held = {(position.strategy, position.instrument) for position in self.portfolio.open_positions()}
        return len(held | {(pending.strategy, pending.instrument.id) for pending in self._pending()})

    def position(self, strategy: str, instrument: str) -> Position:
        """Return a strategy's position."""
        return self.portfolio.position(strategy, instrument)

    def position_quantity(self, strategy: str, instrument: str) -> Decimal:
        """Return a strategy's signed quantity."""
        return self.portfolio.position(strategy, instrument).quantity

    def has_pending(self, strategy: str = "", instrument: str = "", venue: str = "") -> bool:
        """Return True while an entry waits: of a strategy, in an instrument, at a venue, where these are named."""
        return any(
            (not strategy or pending.strategy == strategy)
            and (not instrument or pending.instrument.id == instrument)
            and (not venue or pending.instrument.venue == venue)
            for pending in self._pending()
        )

    def exiting(self, strategy: str, instrument: str, *, at_market: bool = False) -> Decimal:
        """Return what orders against the position (only MARKET ones with `at_market`) have still to fill."""
        orders = self._against(strategy, instrument)
        return sum((o.remaining for o in orders if not at_market or o.request.type is OrderType.MARKET), ZERO)

    def _against(self, strategy: str, instrument: str) -> list[Order]:
        position = self.portfolio.position(strategy, instrument).quantity
        orders = self.orders.open(strategy=strategy, instrument=instrument)
        return [order for order in orders if order.request.side.sign * position < 0]

    def unknown_open(self, instrument: str) -> bool:
        """Return True while an order's outcome on this instrument is unknown."""
        return any(order.state is OrderState.UNKNOWN for order in self.orders.open(instrument=instrument))

    def terms(self, strategy: str) -> Terms:
        """Return on which terms a strategy trades."""
        return self._terms[strategy]


def demand(state: State, event: RulesChanged) -> str:
    """Take over what a venue demands of orders now and return what changed in words, empty for nothing."""
    before = state.instruments.get(event.instrument)
    if before is None:
        return ""
    if event.is_listed:
        state.feeds.delisted.pop(event.instrument, None)
    else:
        state.feeds.delisted.setdefault(event.instrument, event.ts)
    names = {
        "tick": "price step",
        "lot": "lot",
        "min_quantity": "least quantity",
        "min_notional": "least value",
        "max_orders": "open orders",
        "max_stops": "orders with a trigger",
    }
    now = {name: getattr(event, name) for name in names}
    state.instruments[event.instrument] = replace(before, **now)
    pairs = ((what, getattr(before, name), now[name]) for name, what in names.items())
    return ", ".join(f"{what} {new} (was {old or 'not known'})" for what, old, new in pairs if new != old)


def bands(state: State, floor: float, peak: float) -> dict[str, tuple[float, float]] | None:
    """Return `portfolio.bands`, or None when a noted tick of what is held is outside of them already."""
    found = state.portfolio.bands(floor, peak)
    for id, (low, high) in (found or {}).items():
        tick = state.boards[id].tick
        if tick is not None and not low <= mid(tick) <= high:
            return None
    return found


class StrategyView:
    """What one strategy sees of the state: its own positions and orders (`strategy.base.View`)."""

    __slots__ = ("_state", "_strategy")

    def __init__(self, state: State, strategy: str) -> None:
        self._state = state
        self._strategy = strategy

    @property
    def now(self) -> int:
        """Return the time of the event in hand, ns UTC."""
        return self._state.now

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        return self._state.price(instrument)

    def position(self, instrument: str) -> Position:
        """Return the strategy's own position."""
        return self._state.portfolio.position(self._strategy, instrument)

    def orders(self, instrument: str | None = None) -> Iterable[Order]:
        """Return the strategy's own open orders."""
        return self._state.orders.open(strategy=self._strategy, instrument=instrument)

    def equity(self) -> float:
        """Return the equity allotted to the strategy."""
        return self._state.allotted(self._strategy)

    def instrument(self, instrument: str) -> Instrument:
        """Return an instrument's steps and minima. Raises KeyError for one outside the run."""
        return self._state.instruments[instrument]

    def bars(self, instrument: str, timeframe: str) -> Bars:
        """Return the closed bars so far. Raises KeyError for a series that the run does not load."""
        return self._state.series[instrument, timeframe].bars()

    def feed(self, instrument: str, kind: DataKind) -> FeedState | None:
        """Return whether a stream may be acted on, or None when no feed spoke of it."""
        return self._state.feeds.state(instrument, kind)

    def mark(self, instrument: str) -> MarkPrice | None:
        """Return a perpetual's last mark price."""
        return self._state.feeds.marks.get(instrument)

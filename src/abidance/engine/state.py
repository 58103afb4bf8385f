"""What the engine knows: prices, bars, holdings, orders. Strategies and risk see it through read-only views.

State is changed by the engine alone, one event at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from abidance.engine.config import StrategyConfig
from abidance.engine.series import Series
from abidance.execution.orders import Orders
from abidance.market.bars import Bars
from abidance.model.account import Position
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState
from abidance.portfolio.portfolio import Portfolio

_YEAR_NS = 365 * 86_400 * SECOND_NS


class State:
    """Everything known after the last event; what risk reads (`risk.view.RiskView`)."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        strategies: Mapping[str, StrategyConfig],
        portfolio: Portfolio,
        orders: Orders,
    ) -> None:
        self.now = 0
        self.instruments = instruments
        self.strategies = strategies
        self.portfolio = portfolio
        self.orders = orders
        self.prices: dict[str, float] = {}
        self.price_ts: dict[str, int] = {}
        self.series: dict[tuple[str, str], Series] = {}
        self.allocations = {name: config.allocation for name, config in strategies.items()}

    # --- prices and instruments

    def instrument(self, instrument: str) -> Instrument:
        """Return an instrument's steps and minima. Raises KeyError for one outside the run."""
        return self.instruments[instrument]

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        return self.prices.get(instrument)

    def price_age_ns(self, instrument: str) -> int:
        """Return how old the last price is; very old when there is none."""
        ts = self.price_ts.get(instrument)
        return self.now - ts if ts is not None else _YEAR_NS

    def volatility(self, strategy: str, instrument: str) -> float | None:
        """Return the annual volatility of closes over the strategy's sizing lookback, or None when too short."""
        config = self.strategies[strategy]
        series = self.series.get((instrument, config.timeframe))
        lookback = config.sizing.lookback
        if series is None or series.size <= lookback:
            return None
        closes = series.bars().slice(series.size - lookback - 1, series.size).close
        per_year = _YEAR_NS / timeframe_ns(config.timeframe)
        return float(np.std(np.diff(np.log(closes)), ddof=1) * np.sqrt(per_year))

    # --- money

    def equity(self) -> float:
        """Return the run's equity in its currency."""
        return self.portfolio.equity()

    def allotted(self, strategy: str) -> float:
        """Return the equity that a strategy may size with."""
        return self.portfolio.equity() * self.allocations[strategy]

    def results(self, strategy: str) -> Sequence[float]:
        """Return a strategy's closed round trips as shares of their entry value."""
        return self.portfolio.closed_results(strategy)

    def free(self, venue: str, asset: str) -> Decimal:
        """Return what may be spent: the balance less what pending entries and margin hold."""
        return (
            self.portfolio.balance(venue, asset)
            - self.portfolio.used_margin(venue, asset)
            - sum((self._needs(order, asset) for order in self._pending() if self._venue(order) == venue), ZERO)
        )

    def _needs(self, order: Order, asset: str) -> Decimal:
        instrument = self.instruments[order.request.instrument]
        if instrument.quote != asset:
            return ZERO
        value = self._value(order)
        if instrument.is_perpetual:
            return value / Decimal(str(self.leverage(order.request.strategy)))
        return value if order.request.side.sign > 0 else ZERO

    # --- exposure, worst case: every pending entry fills

    def _pending(self) -> Iterable[Order]:
        return (order for order in self.orders.open() if not order.request.reduce_only)

    def _venue(self, order: Order) -> str:
        return self.instruments[order.request.instrument].venue

    def _value(self, order: Order) -> Decimal:
        request = order.request
        price = request.price or request.trigger or Decimal(repr(self.prices.get(request.instrument, 0.0)))
        return order.remaining * price

    def exposure(self) -> float:
        """Return gross exposure of positions and pending entries in the run's currency."""
        return self.portfolio.exposure() + float(sum((self._value(order) for order in self._pending()), ZERO))

    def exposure_of_asset(self, asset: str) -> float:
        """Return gross exposure to one base asset."""
        return self.portfolio.exposure_of(asset=asset) + float(
            sum((self._value(o) for o in self._pending() if self.instruments[o.request.instrument].base == asset), ZERO)
        )

    def exposure_of_venue(self, venue: str) -> float:
        """Return gross exposure on one venue."""
        return self.portfolio.exposure_of(venue=venue) + float(
            sum((self._value(order) for order in self._pending() if self._venue(order) == venue), ZERO)
        )

    def open_position_count(self) -> int:
        """Return how many positions are or may become open."""
        held = {(position.strategy, position.instrument) for position in self.portfolio.open_positions()}
        return len(held | {(order.request.strategy, order.request.instrument) for order in self._pending()})

    def position(self, strategy: str, instrument: str) -> Position:
        """Return a strategy's position."""
        return self.portfolio.position(strategy, instrument)

    def position_quantity(self, strategy: str, instrument: str) -> Decimal:
        """Return a strategy's signed quantity."""
        return self.portfolio.position(strategy, instrument).quantity

    def has_pending(self, strategy: str, instrument: str) -> bool:
        """Return True while an entry of the strategy waits at the venue."""
        return any(
            not order.request.reduce_only for order in self.orders.open(strategy=strategy, instrument=instrument)
        )

    def unknown_open(self, instrument: str) -> bool:
        """Return True while an order's outcome on this instrument is unknown."""
        return any(order.state is OrderState.UNKNOWN for order in self.orders.open(instrument=instrument))

    # --- how a strategy is configured

    def leverage(self, strategy: str) -> float:
        """Return the leverage of a strategy's perpetual positions."""
        return self.strategies[strategy].leverage

    def allow_short(self, strategy: str) -> bool:
        """Return whether the strategy may go short."""
        return self.strategies[strategy].allow_short

    def bar_ns(self, strategy: str) -> int:
        """Return the length of the strategy's bars."""
        return timeframe_ns(self.strategies[strategy].timeframe)


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
        """Return an instrument's steps and minima."""
        return self._state.instrument(instrument)

    def bars(self, instrument: str, timeframe: str) -> Bars:
        """Return the closed bars so far. Raises KeyError for a series that the run does not load."""
        return self._state.series[instrument, timeframe].bars()

"""One instrument's working orders and margined positions, and which prices would concern them.

A bar that stays between the two watched prices touches nothing and is not looked at twice.
"""

import math
from dataclasses import dataclass

from abidance.model.instrument import Instrument, timeframe_ns
from abidance.model.market import Bar
from abidance.venues.sim.accounts import FeeSchedule, Holding
from abidance.venues.sim.config import VenueConfig
from abidance.venues.sim.orders import NEVER, Stage, WorkingOrder

TICK_DRIVES = ("trade", "quote", "book")
"""What may drive fills besides a timeframe."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A venue's costs and rules as plain numbers."""

    spread: float
    fixed: float
    impact: float
    share: float
    unlimited: bool
    on_touch: bool
    latency_ns: int

    @classmethod
    def of(cls, config: VenueConfig) -> "Rules":
        """Read the numbers from a configuration."""
        cost = config.slippage
        return cls(
            cost.spread,
            cost.fixed,
            cost.volume_share,
            config.max_volume_share,
            config.unlimited_volume,
            config.fill_on_touch,
            config.latency_ms * 1_000_000,
        )


class Desk:
    """The state of matching in one instrument."""

    def __init__(
        self, instrument: Instrument, drive: str, rules: Rules, fees: FeeSchedule, fee_asset: str
    ) -> None:
        self.instrument = instrument
        self.drive = drive
        self.span = 0 if drive in TICK_DRIVES else timeframe_ns(drive)
        self.rules = rules
        self.fees = fees
        self.fee_asset = fee_asset
        self.tick = float(instrument.tick)
        self.lot = float(instrument.lot)
        self.venue = instrument.venue
        self.base = instrument.base
        self.quote = instrument.quote
        self.is_perpetual = instrument.is_perpetual
        self.orders: dict[str, WorkingOrder] = {}
        self.margined: dict[str, Holding] = {}
        self.price = math.nan
        self._low = self._high = math.nan
        self._eager = self._stale = True

    @property
    def is_idle(self) -> bool:
        """Return True when no market data can change anything here."""
        return not self.orders and not self.margined

    def changed(self) -> None:
        """Forget the watched prices: orders or positions are not what they were."""
        self._stale = True

    def concerns(self, bar: Bar) -> bool:
        """Say whether a bar may touch an order or position."""
        if self._stale:
            self._watch()
        return self._eager or not (bar.low > self._low and bar.high < self._high)

    def reach(self) -> tuple[float, float, int]:
        """Return between which prices (bounds excluded) a tick touches nothing, and from when on any may."""
        low, high, wake = -math.inf, math.inf, NEVER
        for order in self.orders.values():
            wake = min(wake, order.expiry)
            if order.stage is Stage.MARKET or (order.stage is Stage.LIMIT and not order.rested):
                wake = min(wake, order.arrival)
                continue
            waits = order.stage is Stage.TRIGGER
            price, rises = (order.trigger, order.approach) if waits else (self._beyond(order), -order.side)
            if rises > 0:
                high = min(high, price)
            else:
                low = max(low, price)
        for holding in self.margined.values():
            if holding.side > 0:
                low = max(low, holding.liquidation)
            else:
                high = min(high, holding.liquidation)
        return low, high, wake

    def _beyond(self, order: WorkingOrder) -> float:
        """Return the first price at which a resting limit may fill, in the very terms of `fills.is_passed`."""
        beyond = 0.0 if self.rules.on_touch else self.tick * 0.999999
        return order.price - order.side * beyond

    def _watch(self) -> None:
        low, high, eager = -math.inf, math.inf, False
        for order in self.orders.values():
            if order.stage is Stage.MARKET or order.expiry != NEVER:
                eager = True
            elif order.stage is Stage.TRIGGER:
                if order.approach > 0:
                    high = min(high, order.trigger)
                else:
                    low = max(low, order.trigger)
            elif not order.rested:
                eager = True
            elif order.side > 0:
                low = max(low, order.price)
            else:
                high = min(high, order.price)
        for holding in self.margined.values():
            if holding.side > 0:
                low = max(low, holding.liquidation)
            else:
                high = min(high, holding.liquidation)
        self._low, self._high, self._eager, self._stale = low, high, eager, False

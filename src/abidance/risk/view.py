"""What risk asks of the state it judges: protocols only, the engine answers them.

Worst case counts throughout: a pending entry is an open, sent, intended or UNKNOWN order that may still make a position
larger, and it is taken as filled at its `worst_price`. An order that was approved is pending from that moment on.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from abidance.model.estimate import Estimate
from abidance.model.instrument import Instrument
from abidance.model.order import OrderRequest
from abidance.risk.crowd import Resting
from abidance.risk.feeds import Feeds


def worst_price(request: OrderRequest, last: float | None) -> float:
    """Return the price at which a request counts towards exposure, in quote units; 0 when nothing is known.

    It is the highest of the last price, the limit and the trigger: a fill there makes the largest holding.
    """
    named = (float(price) for price in (request.price, request.trigger) if price is not None)
    return max(0.0 if last is None else last, *named, 0.0)


class Terms(NamedTuple):
    """On which terms a strategy trades: leverage on perpetuals, whether shorts are allowed, bar length in ns.

    `max_cost` is the largest expected cost of an entry as a share of its value, if there is one.
    """

    leverage: float
    allow_short: bool
    bar_ns: int
    max_cost: float | None = None


class SizingView(Protocol):
    """What is needed to turn a target into a quantity. Values are in the run's currency, prices in quote units."""

    def instrument(self, instrument: str) -> Instrument | None:
        """Return an instrument's steps and minima, or None when the run does not hold it."""
        ...

    def price(self, instrument: str) -> float | None:
        """Return the last known price, or None before the first."""
        ...

    def quote_rate(self, instrument: str) -> float | None:
        """Return what one quote unit is worth in the run's currency: 1 when they are the same, None when not known."""
        ...

    def cost_rate(self, instrument: str) -> float:
        """Return what an order that takes is expected to cost (fee, half spread), as a share of its value."""
        ...

    def allotted(self, strategy: str) -> float:
        """Return the equity that a strategy may size with."""
        ...

    def terms(self, strategy: str) -> Terms:
        """Return on which terms a strategy trades."""
        ...

    def volatility(self, strategy: str, instrument: str, lookback: int) -> float | None:
        """Return the annualised volatility of the last `lookback` closes on the strategy's timeframe.

        None until that many are known.
        """
        ...

    def results(self, strategy: str) -> Sequence[float]:
        """Return a strategy's closed round trips, oldest first: net profit as a share of the entry's notional."""
        ...


class Pricer(Protocol):
    """What is needed to say beforehand what an order costs."""

    def estimate(self, request: OrderRequest) -> Estimate | None:
        """Return what a market or limit order would come to now; None for others, and when no price is known."""
        ...


class Borrower(Protocol):
    """What is needed to know how deep in debt the run is."""

    def borrowed(self) -> float:
        """Return what everything owed to venues is worth, in the run's currency, loans under way included."""
        ...


class RiskView(SizingView, Protocol):
    """What the limits need besides. Quantities of one strategy, exposures of the whole run, gross."""

    @property
    def now(self) -> int:
        """Return the time of the event in hand, ns UTC."""
        ...

    @property
    def feeds(self) -> Feeds:
        """Return the certificates of the streams of market data."""
        ...

    @property
    def pricing(self) -> Pricer:
        """Return what orders are expected to cost."""
        ...

    @property
    def debts(self) -> Borrower:
        """Return what is owed to venues."""
        ...

    @property
    def resting(self) -> Resting:
        """Return what stands at venues, or is to stand there."""
        ...

    def price_age_ns(self, instrument: str) -> int:
        """Return how long ago the last price was seen."""
        ...

    def equity(self) -> float:
        """Return the equity of the run."""
        ...

    def exposure(self, *, asset: str | None = None, venue: str | None = None) -> float:
        """Return the value of all positions and pending entries, of one base asset or on one venue if named."""
        ...

    def open_position_count(self) -> int:
        """Return how many (strategy, instrument) pairs hold a position or have a pending entry."""
        ...

    def has_pending(self, strategy: str = "", instrument: str = "", venue: str = "") -> bool:
        """Return whether an entry is pending: of a strategy, in an instrument, at a venue, where these are named."""
        ...

    def position_quantity(self, strategy: str, instrument: str) -> Decimal:
        """Return a strategy's signed holding."""
        ...

    def exiting(self, strategy: str, instrument: str, *, at_market: bool = False) -> Decimal:
        """Return what open orders against the position have still to fill (>= 0), resting stops included.

        `at_market` counts only MARKET orders: they cannot be taken back.
        """
        ...

    def free(self, venue: str, asset: str) -> Decimal:
        """Return what may be spent on one venue, after what positions and pending orders lock up."""
        ...

    def unknown_open(self, instrument: str) -> bool:
        """Return whether an order on the instrument is UNKNOWN."""
        ...

"""Sizing, limits and breakers, with defaults that keep at least half of the money out of the market."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from abidance.kernel.config import WORDS, Config

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Trip = Annotated[
    tuple[
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=1, le=100_000)],
        Annotated[float, Field(gt=0, le=86_400)],
    ],
    Field(json_schema_extra={WORDS: "a list of three numbers"}),
]
"""When a circuit opens: failures, among how many of the newest outcomes, none of them older than so many seconds."""


class SizingConfig(Config):
    """How much an entry buys; every method is scaled by the signal's strength and confidence."""

    method: Literal[
        "fixed_notional", "fixed_quantity", "fixed_fraction", "risk_per_trade", "volatility_target", "kelly"
    ] = "fixed_fraction"
    """Which rule sizes an entry."""
    amount: Annotated[float, Field(gt=0)] = 1000.0
    """fixed_notional: quote units per entry."""
    quantity: Annotated[float, Field(gt=0)] = 1.0
    """fixed_quantity: base units per entry."""
    fraction: Share = 0.1
    """fixed_fraction: share of the strategy's equity per entry."""
    risk: Share = 0.01
    """risk_per_trade: share of the strategy's equity lost if the stop is hit; needs a stop."""
    volatility: Annotated[float, Field(gt=0)] = 0.2
    """volatility_target: wished annual volatility of one position, as a share of the strategy's equity."""
    lookback: Annotated[int, Field(ge=10)] = 72
    """volatility_target: bars over which volatility is measured; kelly: closed round trips that are counted."""
    kelly_cap: Share = 0.25
    """kelly: the largest share of the strategy's equity; a quarter of it is used until 20 round trips are known."""
    max_fraction: Annotated[float, Field(gt=0)] = 1.0
    """No entry takes more than this share of the strategy's equity, whatever the method says."""


class LimitsConfig(Config):
    """Hard limits on every order. Worst case counts: open and unknown orders are taken as filled."""

    max_exposure: Positive = 0.5
    """Gross exposure of all positions and pending entries, as a share of equity."""
    max_asset_exposure: Positive = 0.25
    """Gross exposure to one base asset over all venues, as a share of equity."""
    max_venue_exposure: Positive = 0.5
    """Gross exposure on one venue, as a share of equity."""
    max_positions: Annotated[int, Field(ge=1)] = 10
    """Open positions, pending entries included."""
    max_leverage: Annotated[float, Field(ge=1)] = 3.0
    """Largest leverage of a strategy's perpetuals, and largest value of any one position as a multiple of equity."""
    max_borrowed: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """What may be owed to venues, interest and loans under way included, as a share of equity. 0 borrows nothing. While
    more is owed no entry is taken."""
    max_order_value: Positive | None = None
    """Largest value of one order in quote units."""
    max_slippage: Share | None = None
    """Largest expected slippage of an entry against the middle of the market, by the book, the quote or the slippage
    model, as a share of the price. Live, it subscribes to books."""
    price_collar: Share = 0.05
    """Largest distance of a limit or trigger price from the last price, on the side that would cost us."""
    max_orders_per_minute: Annotated[int, Field(ge=1)] = 60
    """Entries sent within any 60 seconds; exits are never held back."""
    duplicate_window: Annotated[float, Field(ge=0)] = 0.5
    """Seconds within which an equal entry (strategy, instrument, side, quantity, price) is taken as a mistake."""
    stale_after: Positive = 2.0
    """Prices older than this many bars of the strategy's timeframe are stale."""
    require_stop: bool = False
    """Refuse entries without a stop-loss or trailing stop."""
    exit_margin: Annotated[float, Field(ge=1)] = 1.1
    """An entry must be worth this many minimum notionals after its stop-loss, so that it can be sold again."""


class BreakersConfig(Config):
    """What makes the system stop taking risk by itself. None switches a breaker off."""

    daily_loss: Share | None = 0.05
    """Loss since midnight UTC, as a share of the equity then: REDUCING until the next day."""
    max_drawdown: Share | None = 0.25
    """Loss from the highest equity, as a share of it: HALTED until a person releases it."""
    losing_streak: Annotated[int, Field(ge=2)] | None = None
    """Losing round trips in a row of one strategy: that strategy rests for `cooldown`."""
    cooldown: Annotated[float, Field(gt=0)] = 24.0
    """Hours of rest after a losing streak."""
    volatility_spike: Annotated[float, Field(gt=1)] | None = None
    """A bar's range against the average of the 100 bars before: no entries on that instrument for `cooldown_bars`."""
    cooldown_bars: Annotated[int, Field(ge=1)] = 6
    """Bars of rest after a volatility spike or a data anomaly."""
    data_anomaly: Share | None = 0.5
    """A close-to-close move beyond this share, or a bar with impossible prices (not positive, not finite, open or close
    outside high and low): no entries on that instrument for `cooldown_bars`."""
    unprotected: Annotated[float, Field(ge=1)] | None = 5.0
    """On live data: seconds that a position may stand without its stop. What has none by then is left at market, and an
    alarm is told."""


class CircuitsConfig(Config):
    """What stops new risk at a venue, or everywhere, that cannot be relied on now. Real orders only. None switches off.

    While a circuit is open only exits, stops and cancels pass. After its rest it is tried; what fails then lets it rest
    longer, `proofs` outcomes in a row that are fine close it. Three numbers say when one opens: at so many failures,
    among so many of the newest outcomes, none of them older than so many seconds.
    """

    requests: Trip | None = (5, 50, 60.0)
    """Signed requests without an answer, answered 5xx, or refused for asking too often. A ban opens at once."""
    latency: Trip | None = (5, 500, 60.0)
    """Answers slower than `slow`: 5 among 500 is a 99th percentile beyond it."""
    orders: Trip | None = (5, 10, 600.0)
    """Orders that the venue refused; refused post-only orders are no failure."""
    clock: Trip | None = (3, 10, 600.0)
    """Orders that came out of their time. A clock that is `skew` off opens at once."""
    stream: Trip | None = (3, 10, 300.0)
    """Losses of the private stream, and executions that it did not tell."""
    data: Trip | None = (5, 10, 600.0)
    """Losses of the certificate of a venue's market data: stale, a gap, or a crossed book."""
    books: Trip | None = (3, 10, 3600.0)
    """Differences between a balance or position and our books that came again after they were gone."""
    journal: Trip | None = (3, 1000, 60.0)
    """Writes of the journal to the disk that took longer than `slow_write`."""
    slow: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Seconds after which an answer is slow."""
    skew: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds that our clock may differ from the venue's."""
    slow_write: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Seconds after which a write of the journal is slow."""
    least_room: Annotated[int, Field(ge=0)] = 100_000_000
    """Bytes that must be free where the journal is; 0 does not look."""
    cooldown: Annotated[float, Field(ge=1, le=3600)] = 15.0
    """Seconds of the first rest."""
    growth: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Each further rest is so many times as long."""
    longest: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Seconds of the longest rest."""
    proofs: Annotated[int, Field(ge=1, le=100)] = 2
    """Outcomes in a row that must be fine before it closes."""
    calm: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Seconds after closing in which another trip counts as the same trouble."""

    @field_validator("requests", "latency", "orders", "clock", "stream", "data", "books", "journal")
    @classmethod
    def _can_trip(cls, trip: Trip | None) -> Trip | None:
        if trip is not None and trip[0] > trip[1]:
            raise ValueError(f"{trip[0]} failures cannot be among the newest {trip[1]} outcomes")
        return trip


class RiskConfig(Config):
    """Limits, breakers and circuits of a run."""

    limits: LimitsConfig = LimitsConfig()
    """Hard limits on every order."""
    breakers: BreakersConfig = BreakersConfig()
    """What makes the system stop taking risk."""
    circuits: CircuitsConfig = CircuitsConfig()
    """What stops new risk at a venue that cannot be relied on."""

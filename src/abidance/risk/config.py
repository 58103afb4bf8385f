"""Sizing, limits and breakers, with defaults that keep at least half of the money out of the market."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


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


class RiskConfig(Config):
    """Limits and breakers of a run."""

    limits: LimitsConfig = LimitsConfig()
    """Hard limits on every order."""
    breakers: BreakersConfig = BreakersConfig()
    """What makes the system stop taking risk."""

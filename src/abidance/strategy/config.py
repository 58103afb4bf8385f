"""How a run configures one strategy: where it trades, with what parameters, sizing and exits."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config

Fraction = Annotated[float, Field(gt=0, le=1)]


class SizingConfig(Config):
    """How much an entry buys; every method is scaled by the signal's strength and confidence."""

    method: Literal["fixed_notional", "fixed_fraction", "risk_per_trade", "volatility_target", "kelly"] = (
        "fixed_fraction"
    )
    """Which rule sizes an entry."""
    amount: Annotated[float, Field(gt=0)] = 1000.0
    """fixed_notional: quote units per entry."""
    fraction: Fraction = 0.1
    """fixed_fraction: share of the strategy's equity per entry."""
    risk: Fraction = 0.01
    """risk_per_trade: share of the strategy's equity lost if the stop is hit; needs a stop."""
    volatility: Annotated[float, Field(gt=0)] = 0.2
    """volatility_target: wished annual volatility of one position, as a share of the strategy's equity."""
    lookback: Annotated[int, Field(ge=10)] = 72
    """volatility_target: bars over which volatility is measured; kelly: closed round trips that are counted."""
    kelly_cap: Fraction = 0.25
    """kelly: the largest share of the strategy's equity, and what is used before enough round trips are known."""
    max_fraction: Annotated[float, Field(gt=0)] = 1.0
    """No entry takes more than this share of the strategy's equity, whatever the method says."""


class ExitsConfig(Config):
    """Exits that the framework adds where the strategy's own signals give none. Shares are of the entry price."""

    stop_loss: Fraction | None = None
    """Stop-loss distance as a share of the price."""
    stop_atr: Annotated[float, Field(gt=0)] | None = None
    """Stop-loss distance in average true ranges."""
    take_profit: Annotated[float, Field(gt=0)] | None = None
    """Take-profit distance as a share of the price."""
    trailing_stop: Fraction | None = None
    """Trailing-stop distance as a share of the price."""
    trailing_atr: Annotated[float, Field(gt=0)] | None = None
    """Trailing-stop distance in average true ranges, re-measured at each bar."""
    break_even: Annotated[float, Field(gt=0)] | None = None
    """Move the stop to the entry price after this gain, as a share of the price."""
    max_bars: Annotated[int, Field(ge=1)] | None = None
    """Leave at market after so many bars."""
    atr_period: Annotated[int, Field(ge=2)] = 14
    """Bars of the average true range."""


class StrategyConfig(Config):
    """One strategy in a run."""

    strategy: str
    """Class name of a shipped strategy, or of one in the user's strategies folder, or `path/to/file.py:Class`."""
    name: str = ""
    """Name in reports and journals; the class name when empty. Must be unique in a run."""
    instruments: tuple[str, ...] = ()
    """Instruments it trades; those of the run when empty."""
    timeframe: str = ""
    """Bar length; the run's when empty."""
    parameters: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Values for the strategy's declared parameters."""
    allocation: Fraction = 1.0
    """Share of the run's equity that sizing may use."""
    allow_short: bool = False
    """Whether negative targets open shorts (perpetuals only); otherwise they mean flat."""
    leverage: Annotated[float, Field(ge=1)] = 1.0
    """Leverage of perpetual positions."""
    rebalance_threshold: Fraction = 0.25
    """A change of strength in the same direction smaller than this is not traded."""
    order_type: Literal["market", "limit"] = "market"
    """How entries are sent; limit rests at the decision price."""
    entry_timeout: Annotated[int, Field(ge=1)] | None = None
    """Seconds after which an unfilled limit entry is cancelled."""
    sizing: SizingConfig = SizingConfig()
    """How much an entry buys."""
    exits: ExitsConfig = ExitsConfig()
    """Exits that the framework adds."""

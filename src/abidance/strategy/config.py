"""The exits that the framework adds to a strategy's own."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config

Fraction = Annotated[float, Field(gt=0, le=1)]


class ExitsConfig(Config):
    """Exits that the framework adds where the strategy's own signals give none. Shares are of the entry price."""

    stop_loss: Fraction | None = None
    """Stop-loss distance as a share of the price."""
    stop_atr: Annotated[float, Field(gt=0)] | None = None
    """Stop-loss distance in average true ranges."""
    take_profit: Annotated[float, Field(gt=0)] | None = None
    """Take-profit distance as a share of the price."""
    take_profit_order: Literal["limit", "market"] = "limit"
    """How a take-profit trades: as a limit order that rests at its price, or at market once that price is touched."""
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

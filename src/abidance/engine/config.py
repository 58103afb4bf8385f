"""How a run configures one strategy: where it trades, with what parameters, sizing and exits."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config
from abidance.risk.config import SizingConfig
from abidance.strategy.config import ExitsConfig

Fraction = Annotated[float, Field(gt=0, le=1)]


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
    entry_retries: Annotated[int, Field(ge=0)] = 0
    """How often a limit entry that timed out is sent again, at the price of that moment."""
    sizing: SizingConfig = SizingConfig()
    """How much an entry buys."""
    exits: ExitsConfig = ExitsConfig()
    """Exits that the framework adds."""

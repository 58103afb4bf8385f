"""How a run configures one strategy: where it trades, with what parameters, sizing and exits."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.execution.config import ExecutionConfig
from abidance.kernel.config import Config
from abidance.risk.config import SizingConfig
from abidance.strategy.config import ExitsConfig

Fraction = Annotated[float, Field(gt=0, le=1)]


class StrategyConfig(Config):
    """One strategy in a run."""

    strategy: str
    """Class name of a shipped strategy, or of one in the user's strategies folder, or `path/to/file.py:Class`."""
    name: str = ""
    """Name in reports and journals; when empty the class name, or the file's for `path/to/file.py`. Unique in a run."""
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
    execution: ExecutionConfig = ExecutionConfig()
    """How entries are executed."""


class AllocationConfig(Config):
    """How the run's equity is divided among its strategies, and when it is divided anew."""

    method: Literal[
        "fixed", "equal", "inverse_volatility", "risk_parity", "hrp", "volatility_target", "kelly"
    ] = "fixed"
    """fixed: the strategies' own `allocation`. All others begin with it, and set the shares anew as time goes."""
    lookback: Annotated[int, Field(ge=2, le=3_650)] = 60
    """Full days (UTC) of each strategy's profit that a method looks at; it changes nothing before there are as many."""
    rebalance: Literal["daily", "weekly", "monthly"] | Annotated[int, Field(ge=1)] = "weekly"
    """When shares are looked at: at 00:00 UTC each day, Monday or first of a month, or every so many bars of the run's
    timeframe."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Shares stay as they are while none would change by this much."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Smallest share of a strategy: without any it could no longer show what it can do."""
    cap: Fraction = 1.0
    """Largest share of a strategy."""
    volatility: Annotated[float, Field(gt=0)] = 0.2
    """volatility_target: highest annual volatility of all strategies together, as a share of the run's equity."""
    kelly_cap: Fraction = 0.25
    """kelly: the largest share of a strategy before `floor` and `cap`."""
    reserve: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of equity that no strategy gets."""

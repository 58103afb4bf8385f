"""How the entries of a strategy are executed."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config

Share = Annotated[float, Field(gt=0, le=1)]


class ExecutionConfig(Config):
    """How entries are executed. Exits and protective stops are never delayed by it."""

    algo: Literal["none", "twap", "iceberg", "chase"] = "none"
    """none: one order, as `order_type` says. twap: in equal parts at market over `duration`. iceberg: at the price
    decided on, showing a part at a time. chase: at the best price of the own side, following it."""
    duration: Annotated[int, Field(ge=1, le=604_800)] = 300
    """Seconds that an entry is worked at most."""
    slices: Annotated[int, Field(ge=2, le=1_000)] = 10
    """twap: how many parts; fewer when they would be too small for the venue."""
    display: Annotated[float, Field(ge=0.01, le=1)] = 0.2
    """iceberg: the share of the entry that the venue shows at a time."""
    interval: Annotated[int, Field(ge=1, le=3_600)] = 5
    """iceberg, chase: seconds between two looks at the market."""
    max_chase: Share = 0.005
    """chase: how far, as a share of the price decided on, the price is followed."""
    finish: Literal["cancel", "market"] = "cancel"
    """iceberg, chase: what becomes of what is left after `duration`."""
    max_cost: Share | None = None
    """Largest expected cost of an entry (slippage by the book, the quote or the model, and fees) as a share of its
    value; an entry that would cost more is refused."""


class RoutingConfig(Config):
    """Entries over several venues: the wish names one instrument, the cheapest of the same pair take it."""

    routes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Where else, by the instrument that a strategy trades: `"BTC/USDT@BINANCE" = ["BTC/USDT@BYBIT"]`."""
    split_saving: Annotated[float, Field(ge=0, lt=1)] = 0.0002
    """An entry that one venue can take is parted when that saves so much of its value."""
    latency_cost: Annotated[float, Field(ge=0, lt=1)] = 0.0001
    """What a second that a venue takes to answer counts when venues are compared, as a share of the price."""

"""What trading costs and how the simulated venue behaves; everything that costs is on by default."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.kernel.config import Config

Rate = Annotated[float, Field(ge=0, lt=1)]


class FeeTier(Config):
    """Fees from a traded volume of the last 30 days on."""

    volume: Annotated[float, Field(ge=0)]
    """Volume in quote units from which the tier holds."""
    maker: Annotated[float, Field(gt=-0.01, lt=1)]
    """Fee of resting orders, as a share of the value; negative is a rebate."""
    taker: Rate
    """Fee of orders that take, as a share of the value."""


class SlippageConfig(Config):
    """How much worse than the reference price an order that takes is filled; the parts add up."""

    spread: Rate = 0.0002
    """Whole bid-ask spread as a share of the price; a taker pays half of it."""
    fixed: Rate = 0.0
    """A further share of the price."""
    volume_share: Annotated[float, Field(ge=0)] = 0.1
    """Price impact: this coefficient times the square of our share of the bar's volume, as a share of the price."""


class VenueConfig(Config):
    """A simulated venue's costs and rules."""

    fees: Annotated[tuple[FeeTier, ...], Field(min_length=1)] = (FeeTier(volume=0, maker=0.001, taker=0.001),)
    """Fee tiers, lowest volume first."""
    fee_asset: Literal["quote", "received"] | str = "quote"
    """Where fees are taken: in quote units, in the asset received, or in a named asset such as BNB."""
    slippage: SlippageConfig = SlippageConfig()
    """Cost of taking."""
    latency_ms: Annotated[int, Field(ge=0)] = 0
    """Time between the decision and the order's arrival. A bar decision executes at the first bar (or tick) that opens
    at or after its arrival."""
    max_volume_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The largest share of a bar's volume that our orders may fill; the rest waits. 1 switches partial fills off only
    when `unlimited_volume` is set."""
    unlimited_volume: bool = False
    """Fill whole orders whatever the bar's volume."""
    fill_on_touch: bool = False
    """Fill limit orders when the price touches them; otherwise it must trade through."""

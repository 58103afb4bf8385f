"""Bots that are started and stopped from here, on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.api.schemas.wire import ACCOUNT, BOT, DAYS, LENGTH, STRATEGY, Schema

Word = Annotated[str, Field(min_length=1, max_length=64)]


class BotStrategyIn(Schema):
    """A strategy of a new bot."""

    strategy: Annotated[str, Field(pattern=STRATEGY)]
    parameters: dict[str, int | float | str | bool] = Field(default_factory=dict, max_length=64)
    allocation: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the capital; equal shares where nothing is said."""


class LaunchIn(Schema):
    """What a start with real orders asks for besides; paper needs none of it."""

    confirm: Annotated[list[Word], Field(max_length=16, default_factory=list)]
    """The name of each venue, typed back."""
    passphrase: Annotated[str, Field(max_length=1_024, json_schema_extra={"writeOnly": True})] = ""
    """Of the vault, where the server's own environment does not open it; it is kept nowhere."""


class BotIn(LaunchIn):
    """A new bot. Limits, fees and the like come from the user's configuration file, and else from the defaults."""

    name: Annotated[str, Field(pattern=BOT)]
    strategies: Annotated[list[BotStrategyIn], Field(min_length=1, max_length=16)]
    instruments: Annotated[list[Word], Field(min_length=1, max_length=64)]
    timeframe: Annotated[str, Field(pattern=LENGTH)] = "1h"
    wallet: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] = 10_000.0
    """In the currency of the run. With real orders: the most that is used of what is there."""
    feed: Literal["replay", "live"] = "replay"
    """Stored data at a chosen speed, or what happens now."""
    timerange: Annotated[str, Field(pattern=DAYS)] = ""
    speed: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 86_400.0
    """Replay: seconds of market time in one second; 0 is as fast as it goes."""
    fresh: bool = False
    """Start anew; what a bot of that name has on record is moved aside."""
    is_real: bool = False
    """Send real orders: an admin, a fresh password and the venues' names are asked for."""
    account: Annotated[str, Field(pattern=ACCOUNT)] = "main"


class BotOut(Schema):
    """A bot that was started from here, and how."""

    name: str
    feed: str
    timerange: str
    speed: float
    is_real: bool
    account: str
    venues: list[str]
    is_running: bool
    said: str
    """The last of what its process printed."""

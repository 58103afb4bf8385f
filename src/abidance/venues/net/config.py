"""How live market data is got: addresses, depth, doubled connections, other venues that stand in."""

from typing import Annotated

from pydantic import Field

from abidance.kernel.config import Config
from abidance.market.live.loans import Failover


class AddressConfig(Config):
    """Where a venue is reached; empty means its own public addresses."""

    rest_url: str = ""
    """Base address of its REST interface."""
    stream_url: str = ""
    """Base address of its WebSocket streams."""


class FeedConfig(Config):
    """Live market data (`abidance trade --feed live`)."""

    book_levels: Annotated[int, Field(ge=1, le=1000)] = 10
    """Levels a side of the books that strategies see."""
    redundancy: Annotated[int, Field(ge=1, le=3)] = 1
    """Connections that carry each stream at the same time: with 2, one may fail unnoticed."""
    stand_in: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Instruments of other venues that stand in for an instrument while its own venue is silent, the preferred one
    first; `failover` says how far."""
    failover: Failover = "prices"
    """What the data of stand-ins may do: value positions and exits (`prices`), let strategies go on and leave
    positions (`exits`), or let them enter too (`entries`)."""
    addresses: dict[str, AddressConfig] = Field(default_factory=dict)
    """Other addresses of a venue, by its name, or by name and kind: `[feed.addresses.BINANCE-perpetual]`."""
    grades: dict[str, str] = Field(default_factory=dict)
    """Of which grade our account is, by venue, where some may ask for more than others: at KRAKEN `starter`,
    `intermediate` (if nothing is said) or `pro`."""
    anomalies: bool = True
    """Whether trades and quotes are watched for what is unlikely; see `risk.breakers.data_anomaly` for what follows."""
    record: bool = False
    """Whether everything that is heard is stored, with the holes in it: backtests then meet the same holes."""
    history: bool = True
    """Whether bars up to now are asked of the venues at the start, and missed ones later."""

    def address_of(self, venue: str, kind: str) -> AddressConfig:
        """Return where a kind of market (`spot`) of a venue is reached: its own entry, else the venue's."""
        return self.addresses.get(f"{venue}-{kind}") or self.addresses.get(venue) or AddressConfig()

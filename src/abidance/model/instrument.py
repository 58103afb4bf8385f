"""Assets, instruments and timeframes: what can be traded, in which steps, over which grid of time."""

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

import msgspec

from abidance.model.errors import UsageError

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
SECOND_NS = 1_000_000_000
MS_NS = 1_000_000


@lru_cache(maxsize=256)
def timeframe_ns(timeframe: str) -> int:
    """Return the length of a timeframe such as `1m`, `4h`, `1d`, `1w` in nanoseconds.

    Raises UsageError for anything else.
    """
    count, unit = timeframe[:-1], timeframe[-1:]
    if not count.isdigit() or int(count) == 0 or unit not in _UNIT_SECONDS:
        raise UsageError(f"Unknown timeframe {timeframe!r}.", "Use a number and s, m, h, d or w, for example 1h.")
    return int(count) * _UNIT_SECONDS[unit] * SECOND_NS


class InstrumentKind(StrEnum):
    """What is bought: the asset itself, or a perpetual contract on it."""

    SPOT = "spot"
    PERPETUAL = "perpetual"


class InstrumentName(msgspec.Struct, frozen=True, gc=False):
    """The parts of an instrument id such as `BTC/USDT@BINANCE` or `BTC/USDT:USDT@BYBIT`."""

    base: str
    quote: str
    settle: str | None
    venue: str


@lru_cache(maxsize=4096)
def parse_instrument_id(text: str) -> InstrumentName:
    """Split an instrument id into its parts.

    Raises UsageError when the text is not `BASE/QUOTE@VENUE` or `BASE/QUOTE:SETTLE@VENUE`.
    """
    pair, at, venue = text.partition("@")
    base, slash, rest = pair.partition("/")
    quote, colon, settle = rest.partition(":")
    parts = [base, quote, venue] + ([settle] if colon else [])
    if not at or not slash or not all(part.isalnum() and part == part.upper() for part in parts):
        raise UsageError(
            f"Unknown instrument {text!r}.", "Write BASE/QUOTE@VENUE in capitals, for example BTC/USDT@BINANCE."
        )
    return InstrumentName(base, quote, settle if colon else None, venue)


class Instrument(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A tradable pair or contract on one venue, with the steps and minima that the venue enforces.

    `tick` is the price step, `lot` the quantity step; quantities are in base units. `min_notional` is price times
    quantity in quote units. `maintenance` is the maintenance margin as a fraction of notional (perpetuals only).
    """

    id: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    max_leverage: Decimal = Decimal(1)
    maintenance: Decimal = Decimal(0)

    @property
    def name(self) -> InstrumentName:
        """Return the parts of the id."""
        return parse_instrument_id(self.id)

    @property
    def base(self) -> str:
        """Return the asset that is bought or sold."""
        return self.name.base

    @property
    def quote(self) -> str:
        """Return the asset that prices are in; perpetuals settle in it too (linear contracts)."""
        return self.name.quote

    @property
    def venue(self) -> str:
        """Return the venue's name."""
        return self.name.venue

    @property
    def kind(self) -> InstrumentKind:
        """Return whether this is the asset itself or a perpetual contract."""
        return InstrumentKind.PERPETUAL if self.name.settle else InstrumentKind.SPOT

    @property
    def is_perpetual(self) -> bool:
        """Return True for a contract that may be short and carries funding."""
        return self.name.settle is not None

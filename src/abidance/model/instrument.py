"""Assets, instruments and timeframes: what can be traded, in which steps, over which grid of time."""

import re
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

import msgspec

from abidance.model.errors import UsageError

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TIMEFRAME = re.compile("([1-9][0-9]{0,7})([smhdw])")
_LONGEST_SECONDS = 366 * 86_400
LONGEST_VENUE = 24
SECOND_NS = 1_000_000_000
MS_NS = 1_000_000


@lru_cache(maxsize=256)
def timeframe_ns(timeframe: str) -> int:
    """Return the length of a timeframe such as `1m`, `4h`, `1d`, `1w` in nanoseconds.

    Raises UsageError for anything else.
    """
    found = _TIMEFRAME.fullmatch(timeframe)
    length = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0
    if not 0 < length <= _LONGEST_SECONDS:
        raise UsageError(
            f"Unknown timeframe {timeframe!r}.", "Use a number and s, m, h, d or w, for example 1h."
        )
    return length * SECOND_NS


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

    @property
    def kind(self) -> InstrumentKind:
        """Return whether this is the asset itself or a perpetual contract."""
        return InstrumentKind.PERPETUAL if self.settle else InstrumentKind.SPOT


def is_venue(text: str) -> bool:
    """Say whether text can name a venue: capitals and digits, as venues are called everywhere."""
    return text.isascii() and text.isalnum() and text == text.upper() and len(text) <= LONGEST_VENUE


def _is_asset(text: str) -> bool:
    """Say whether text can name an asset, in whatever script; the length is that of a folder's name on any disk."""
    return text.isalnum() and text == text.upper() and len(text.encode()) <= 64


@lru_cache(maxsize=4096)
def parse_instrument_id(text: str) -> InstrumentName:
    """Split an instrument id into its parts.

    Raises UsageError when the text is not `BASE/QUOTE@VENUE` or `BASE/QUOTE:SETTLE@VENUE`.
    """
    pair, at, venue = text.partition("@")
    base, slash, rest = pair.partition("/")
    quote, colon, settle = rest.partition(":")
    assets = [base, quote] + ([settle] if colon else [])
    if not at or not slash or not all(map(_is_asset, assets)) or not is_venue(venue):
        raise UsageError(
            f"Unknown instrument {text!r}.",
            "Write BASE/QUOTE@VENUE in capitals, for example BTC/USDT@BINANCE.",
        )
    return InstrumentName(base, quote, settle if colon else None, venue)


class Instrument(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A tradable pair or contract on one venue, with the steps and minima that the venue enforces.

    `tick` is the price step, `lot` the quantity step; quantities are in base units. `min_notional` is price times
    quantity in quote units. `maintenance` is the maintenance margin as a fraction of notional (perpetuals only). An
    account may have `max_orders` open in it, `max_stops` of them with a trigger; 0 where that is not known.
    """

    id: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    max_leverage: Decimal = Decimal(1)
    maintenance: Decimal = Decimal(0)
    max_orders: int = 0
    max_stops: int = 0

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
        return self.name.kind

    @property
    def is_perpetual(self) -> bool:
        """Return True for a contract that may be short and carries funding."""
        return self.name.settle is not None

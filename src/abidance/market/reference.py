"""What is known of each instrument's trading rules: a venue's own word, the bundled table, or a guess from prices.

A guess is always labelled as one. Asking a venue is not this module's business.
"""

import tomllib
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np

from abidance.market.bars import Bars
from abidance.market.store.timerange import show
from abidance.market.terms import Version
from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, parse_instrument_id

_MOST_DECIMALS = 12
_SAMPLE = 4096
_INFERRED_LOT = Decimal("0.00000001")
_INFERRED_NOTIONAL = Decimal(5)
INFERRED_LEVERAGE = Decimal(20)
INFERRED_MAINTENANCE = Decimal("0.01")


class Source(StrEnum):
    """Where an instrument's rules come from: the venue's list, common knowledge, or its prices."""

    LISTED = "listed"
    TYPICAL = "typical"
    INFERRED = "inferred"


class Reference(msgspec.Struct, frozen=True):
    """An instrument with the origin of its rules; `notice` is a sentence for the user unless the venue listed them."""

    instrument: Instrument
    source: Source
    notice: str = ""


class UnknownRulesError(UsageError):
    """Nothing is known from which an instrument's rules could be told."""

    def __init__(self, instrument: str) -> None:
        found = f"The trading rules of {instrument} cannot be inferred without a single bar."
        super().__init__(found, "Import its bars.")
        self.instrument = instrument


@cache
def _table() -> dict[str, dict[str, str]]:
    text = files("abidance").joinpath("data", "instruments.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def known() -> tuple[str, ...]:
    """Return the ids that the bundled table holds."""
    return tuple(_table())


def instrument(id: str) -> Instrument:
    """Return a known instrument.

    Raises UsageError, naming near matches, for an id that is malformed or not in the bundled table.
    """
    return resolve(id).instrument


def resolve(
    id: str, bars: Bars | None = None, version: Version | None = None, ts: int | None = None
) -> Reference:
    """Return an instrument and where its rules come from: `version`, else the table, else a guess from `bars`.

    A version that is younger than `ts`, when the rules are to hold (ns UTC), is the best that is known and says so.
    Raises UsageError for a malformed id, and for an unknown one when there are no bars to infer it from.
    """
    try:
        parse_instrument_id(id)
    except UsageError as error:
        raise UsageError(error.found, _near(id) or error.remedy) from error
    if version is not None:
        notice = ""
        if ts is not None and ts < version.since:
            notice = (
                f"The trading rules of {id} are those of {show(version.since)}: older ones are not known."
            )
        return Reference(version.terms.instrument, Source.LISTED, notice)
    row = _table().get(id)
    if row is not None:
        values: dict[str, Any] = {name: Decimal(text) for name, text in row.items() if name != "source"}
        source = Source(row["source"])
        return Reference(Instrument(id, **values), source, _notice(id, source))
    if bars is None:
        raise UsageError(
            f"The trading rules of {id} are not known.",
            _near(id) or "Import its bars, and they are inferred from its prices.",
        )
    return Reference(infer(id, bars), Source.INFERRED, _notice(id, Source.INFERRED))


def infer(id: str, bars: Bars) -> Instrument:
    """Return rules guessed from prices: the tick from the decimals seen, a fine lot, a minimum notional of 5.

    Raises UnknownRulesError when there is no bar.
    """
    name = parse_instrument_id(id)
    if not len(bars):
        raise UnknownRulesError(id)
    steps: dict[str, Any] = {"tick": _tick(bars), "lot": _INFERRED_LOT, "min_quantity": _INFERRED_LOT}
    if name.settle is None:
        return Instrument(id, **steps, min_notional=_INFERRED_NOTIONAL)
    return Instrument(
        id,
        **steps,
        min_notional=_INFERRED_NOTIONAL,
        max_leverage=INFERRED_LEVERAGE,
        maintenance=INFERRED_MAINTENANCE,
    )


def _tick(bars: Bars) -> Decimal:
    """Return the power of ten that the prices of evenly spread bars are multiples of.

    Prices computed from others carry noise in their last digits, so a value counts as a multiple when it is within
    1e-12 of itself from one.
    """
    rows = np.unique(np.linspace(0, len(bars) - 1, min(len(bars), _SAMPLE)).astype(np.int64))
    prices = np.concatenate([column[rows] for column in bars.columns()[:4]])
    prices = prices[np.isfinite(prices)]
    for decimals in range(_MOST_DECIMALS):
        if np.allclose(prices, np.round(prices, decimals), rtol=1e-12, atol=0.0):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-_MOST_DECIMALS)


def _notice(id: str, source: Source) -> str:
    if source is Source.LISTED:
        return ""
    origin = "inferred from its prices" if source is Source.INFERRED else "typical of its venue"
    return f"The tick, lot and minima of {id} are {origin}, not taken from the venue: confirm them before trading."


def _near(id: str) -> str:
    matches = get_close_matches(id.upper(), _table(), n=3, cutoff=0.7)
    return f"Did you mean {' or '.join(matches)}?" if matches else ""

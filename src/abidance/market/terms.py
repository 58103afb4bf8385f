"""The terms on which a venue lets an instrument be traded, and how they changed: steps, minima, fees, margin, funding.

    <folder>/BINANCE/BTC-USDT/terms.json       every version of BTC/USDT@BINANCE, oldest first

A version holds from when it was first seen until the next; nothing is ever overwritten. Where no version is known the
bundled table and guesses of `market.reference` stand in. Asking a venue is `venues.ccxt.terms`' business.
"""

import os
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import msgspec

from abidance.model.errors import DataError
from abidance.model.instrument import Instrument, parse_instrument_id

NAME = "terms.json"


class Status(StrEnum):
    """Whether a venue trades an instrument."""

    TRADING = "trading"
    HALTED = "halted"


class Tier(msgspec.Struct, frozen=True):
    """From a notional of `floor` (quote units) on: the maintenance margin as a share of it, and the most leverage."""

    floor: Decimal
    maintenance: Decimal
    max_leverage: Decimal


class Terms(msgspec.Struct, frozen=True):
    """What a venue says of one instrument; None where it says nothing.

    `symbol` is the venue's own name. Fees are shares of the traded value without any discount, negative for a rebate.
    `borrow_rate` is what a day's loan of the base asset costs, as a share. Funding falls due every `funding_hours`.
    """

    instrument: Instrument
    symbol: str
    status: Status = Status.TRADING
    maker: Decimal | None = None
    taker: Decimal | None = None
    max_quantity: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    borrow_rate: Decimal | None = None
    funding_hours: Decimal | None = None

    def tier(self, notional: Decimal) -> Tier | None:
        """Return the tier that a position of so much notional falls into, or None when there are no tiers."""
        return next((tier for tier in reversed(self.tiers) if tier.floor <= notional), None)


class Version(msgspec.Struct, frozen=True):
    """Terms and since when they are known to hold (ns UTC)."""

    since: int
    terms: Terms


class TermsStore:
    """Every version of the terms of every instrument, in the folder of the market data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self, id: str) -> tuple[Version, ...]:
        """Return all that was ever known of an instrument, oldest first. Raises DataError for a broken file."""
        path = self._path(id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=tuple[Version, ...])
        except FileNotFoundError:
            return ()
        except (msgspec.DecodeError, OSError) as error:
            raise DataError(
                f"{path} cannot be read: {error}.", "Delete it and run: abidance refresh-instruments"
            ) from error

    def at(self, id: str, ts: int | None = None) -> Version | None:
        """Return the version that held at `ts` (ns UTC, by default the newest); before the first one that, or None."""
        versions = self.versions(id)
        if not versions:
            return None
        held = [version for version in versions if ts is None or version.since <= ts]
        return held[-1] if held else versions[0]

    def add(self, all_terms: Iterable[Terms], ts: int) -> list[str]:
        """Write what a venue says at `ts` (ns UTC) and return the ids of those that are new or have changed.

        Raises DataError when the disk refuses it, and for terms older than those known.
        """
        changed = []
        for terms in all_terms:
            id = terms.instrument.id
            versions = self.versions(id)
            if versions and versions[-1].terms == terms:
                continue
            if versions and versions[-1].since >= ts:
                raise DataError(
                    f"The terms of {id} are known for later than those that are to be added.",
                    "Check the machine's clock.",
                )
            self._write(id, (*versions, Version(ts, terms)))
            changed.append(id)
        return changed

    def replace_all(self, venue: str, all_terms: Iterable[Terms], ts: int) -> list[str]:
        """Write all that a venue lists at `ts` (ns UTC), as `add` does; what it lists no more counts as halted."""
        listed = {terms.instrument.id: terms for terms in all_terms}
        gone = [
            msgspec.structs.replace(version.terms, status=Status.HALTED)
            for id in self.ids(venue)
            if id not in listed and (version := self.at(id)) is not None
        ]
        return self.add([*listed.values(), *gone], ts)

    def ids(self, venue: str = "") -> Iterator[str]:
        """Yield every instrument with known terms, sorted; of one venue, or of all."""
        for path in sorted(self.folder.glob(f"{venue or '*'}/*/{NAME}")):
            base, _, rest = path.parent.name.partition("-")
            quote, dash, settle = rest.partition("-")
            yield f"{base}/{quote}{':' if dash else ''}{settle}@{path.parents[1].name}"

    def _path(self, id: str) -> Path:
        name = parse_instrument_id(id)
        home = "-".join(part for part in (name.base, name.quote, name.settle) if part)
        return self.folder / name.venue / home / NAME

    def _write(self, id: str, versions: tuple[Version, ...]) -> None:
        path = self._path(id)
        staged = path.with_name(f".{NAME}.writing")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as file:
                file.write(msgspec.json.encode(versions))
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise DataError(
                f"{path} cannot be written: {error.strerror}.", "Check the disk and its permissions."
            ) from error

"""How a Binance account trades USD-M perpetuals, and the funding that they paid."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from abidance.model.instrument import MS_NS
from abidance.venues.account import (
    Call,
    Contracts,
    Mode,
    Moved,
    Page,
    is_moderate,
    plain_number,
    read,
    refused,
)
from abidance.venues.frames import Millis, reader
from abidance.venues.net.transport import Answer

WINDOW_MS = 3_000
"""How long after it was signed Binance may still take a request."""
_PAGE = 1_000


class _Income(msgspec.Struct):
    symbol: str
    incomeType: str  # noqa: N815
    income: Decimal
    asset: str
    time: Millis
    tranId: int  # noqa: N815


class _Sided(msgspec.Struct):
    dualSidePosition: bool  # noqa: N815


class _Set(msgspec.Struct):
    symbol: str
    marginType: str  # noqa: N815
    leverage: Decimal


_read_income = reader(list[_Income])
_read_sided = reader(_Sided)
_read_sets = reader(list[_Set])


class BinanceContracts(Contracts):
    """How an account trades; `symbols` are Binance's by our ids."""

    venue = "BINANCE"

    def __init__(self, symbols: Mapping[str, str]) -> None:
        self._symbols = symbols
        self._ids = {symbol: id for id, symbol in symbols.items()}

    def payments(self, since: int) -> Call:
        """Return the call for funding since a moment, of all instruments at once, oldest first."""
        params = {"incomeType": "FUNDING_FEE", "startTime": since // MS_NS, "limit": _PAGE}
        return signed("GET", "income", params)

    def read_payments(self, answer: Answer) -> Page:
        """Return funding of the run's instruments. Raises VenueError.

        After a full page those from its last moment on are asked for, of which some come again. One that holds no
        other moment is no answer: it leads nowhere.
        """
        rows = read(self.venue, answer, _read_income)
        is_cut = len(rows) >= _PAGE
        if not all(is_moderate(row.income) for row in rows) or (is_cut and rows[0].time == rows[-1].time):
            raise refused(self.venue, answer)
        moved = tuple(
            Moved(row.asset, row.income, row.time * MS_NS, "funding", str(row.tranId), self._ids[row.symbol])
            for row in rows
            if row.incomeType == "FUNDING_FEE" and row.symbol in self._ids
        )
        return Page((), onward={"startTime": rows[-1].time} if is_cut else {}, moved=moved)

    def mode(self, instrument: str) -> Sequence[Call]:
        """Return the calls that tell how the account trades an instrument."""
        symbol = {"symbol": self._symbols[instrument]}
        return (signed("GET", "accountConfig", {}), signed("GET", "symbolConfig", symbol))

    def read_mode(self, answers: Sequence[Answer], instrument: str) -> Mode:
        """Return how the account trades an instrument. Raises VenueError."""
        sided = read(self.venue, answers[0], _read_sided)
        rows = read(self.venue, answers[1], _read_sets)
        found = next((row for row in rows if row.symbol == self._symbols[instrument]), None)
        if found is None or found.marginType not in ("CROSSED", "ISOLATED") or not found.leverage.is_finite():
            raise refused(self.venue, answers[1])
        return Mode(found.leverage, found.marginType == "ISOLATED", sided.dualSidePosition)

    def set_leverage(self, instrument: str, leverage: Decimal) -> Call:
        """Return the call that sets an instrument's leverage, a whole number at Binance."""
        params = {"symbol": self._symbols[instrument], "leverage": plain_number(leverage)}
        return signed("POST", "leverage", params)

    def set_margin(self, instrument: str, *, isolated: bool) -> Call:
        """Return the call that sets an instrument's margin mode."""
        params = {
            "symbol": self._symbols[instrument],
            "marginType": "ISOLATED" if isolated else "CROSSED",
        }
        return signed("POST", "marginType", params)


def signed(
    method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False, version: str = ""
) -> Call:
    """Return a signed call of USD-M."""
    section = (f"fapiPrivate{version}",)
    return Call(section, method, path, {**params, "recvWindow": WINDOW_MS}, is_urgent)

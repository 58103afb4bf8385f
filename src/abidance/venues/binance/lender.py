"""Borrow for Binance's cross margin account and repay: the loan is in the wallet from which margin orders are paid.

The answer names the transaction, {"tranId": 100000001}. An hour's interest is charged as something is borrowed, and
another one as each hour begins, on what was borrowed alone; it is owed besides. A repayment pays interest first.

{"rows":[{"txId":1352286576452864727,"interestAccuredTime":1672160400000,"asset":"USDT","rawAsset":"USDT",
"principal":"45.3313","interest":"0.00024995","interestRate":"0.00013233","type":"ON_BORROW"}],"total":1}

developers.binance.com/docs/margin_trading/borrow-and-repay, binance.com/en/support/faq/360030157812
"""

from decimal import Decimal

import msgspec

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.venues.account import (
    Call,
    Lender,
    Moved,
    Page,
    Proof,
    Reply,
    plain_number,
    read,
    sound,
    understood,
)
from abidance.venues.binance.refusals import refusal_of_loan
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.net.transport import Answer

VENUE = "BINANCE"
WINDOW_MS = 3_000
_PAGE = 100
_CHARGED = frozenset({"PERIODIC", "ON_BORROW"})
"""Interest that is owed in what was lent; what was converted is paid in BNB."""


class _Done(msgspec.Struct):
    tranId: int  # noqa: N815 (the venue's own names, here and below)


class _Hour(msgspec.Struct):
    txId: int  # noqa: N815
    interestAccuredTime: Millis  # noqa: N815
    asset: str
    interest: Decimal
    type: str


class _Hours(msgspec.Struct):
    rows: list[_Hour]


_read_done = reader(_Done)
_read_hours = reader(_Hours)


class BinanceLender(Lender):
    """Loans of the cross margin account at a rate that may change each hour; a repayment sells nothing."""

    rounds = 3_600 * SECOND_NS

    def borrow(self, asset: str, amount: Decimal) -> Call:
        """Return the call that asks for a loan."""
        return self._changing("BORROW", asset, amount)

    def repay(self, asset: str, amount: Decimal) -> Call:
        """Return the call that gives so much back, of what there is of the asset."""
        return self._changing("REPAY", asset, amount)._replace(is_urgent=True)

    def _changing(self, kind: str, asset: str, amount: Decimal) -> Call:
        params = {"asset": asset, "isIsolated": "FALSE", "amount": plain_number(amount), "type": kind}
        return Call(("sapi",), "POST", "margin/borrow-repay", {**params, "recvWindow": WINDOW_MS})

    def proof(self, answer: Answer) -> Reply:
        """Return what an answer proves."""
        if answer.status != 200:
            return refusal_of_loan(answer)
        try:
            done = _read_done(answer.body).tranId > 0
        except UNREADABLE as error:
            return Reply(Proof.UNKNOWN, f"an answer that cannot be read ({error})")
        return Reply(Proof.DONE) if done else Reply(Proof.UNKNOWN, "an answer that names no transaction")

    def interest(self, since: int) -> Call:
        """Return the call for interest since a moment: of thirty days, the newest first."""
        return self._page(since // MS_NS, 1)

    def _page(self, since_ms: int, page: int) -> Call:
        params = {"startTime": since_ms, "size": _PAGE, "current": page, "recvWindow": WINDOW_MS}
        return Call(("sapi",), "GET", "margin/interestHistory", params, told=(since_ms, page))

    def read_interest(self, answer: Answer) -> Page:
        """Return the interest of each hour, oldest first, and the call for the next page. Raises VenueError."""
        rows = read(VENUE, answer, _read_hours).rows
        with understood(VENUE, answer):
            moved = tuple(_charged(row) for row in reversed(rows) if row.type in _CHARGED)
        more = None
        if isinstance(answer.told, tuple) and len(rows) == _PAGE:
            since_ms, page = answer.told
            more = self._page(since_ms, page + 1)
        return Page((), more, moved=moved)


def _charged(row: _Hour) -> Moved:
    sound(row.interest)
    if not row.asset:
        raise ValueError("interest of no asset")
    return Moved(row.asset, -row.interest, row.interestAccuredTime * MS_NS, "interest", str(row.txId))


__all__ = ["BinanceLender"]

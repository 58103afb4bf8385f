"""Borrow from Bybit and repay, with a unified account: the loan is in the wallet from which its spot orders are paid.

A loan bears no id of ours, and no list tells of loans: what came of one is seen in what the account owes. Interest is
charged at five minutes past each hour and added to the debt:

{"currency":"BTC","createdTime":1697439900204,"borrowCost":"0.00000129","hourlyBorrowRate":"0.000001216904",
"InterestBearingBorrowSize":"1.06333265702840778","costExemption":"0","borrowAmount":"1.06333265702840778"}
"""

from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from abidance.model.instrument import MS_NS
from abidance.venues.account import (
    Call,
    Lender,
    Moved,
    Page,
    Proof,
    Reply,
    plain_number,
    read,
    refused,
    sound,
    understood,
)
from abidance.venues.bybit.contracts import signed
from abidance.venues.bybit.private import number
from abidance.venues.bybit.refusals import refusal_of_loan
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.net.transport import Answer

T = TypeVar("T")
_PAGE = 50
_TAKEN, _FAILED = frozenset({"SU", "P"}), "FA"
"""What a repayment answers that was taken (SU: over, P: under way), and one that failed."""


class _Told(msgspec.Struct, Generic[T]):
    retCode: int  # noqa: N815 (the venue's own names, here and below)
    result: T


class _Change(msgspec.Struct):
    """A loan repeats coin and amount, a repayment tells how it stands."""

    coin: str = ""
    amount: str = ""
    resultStatus: str = ""  # noqa: N815


class _Hour(msgspec.Struct):
    currency: str
    createdTime: Millis  # noqa: N815
    borrowCost: str  # noqa: N815


class _Hours(msgspec.Struct):
    list: list[_Hour]
    nextPageCursor: str = ""  # noqa: N815


_read_change = reader(_Told[_Change])
_read_hours = reader(_Told[_Hours])


class BybitLender(Lender):
    """Loans at a variable rate; a repayment never sells another asset."""

    venue = "BYBIT"

    def borrow(self, asset: str, amount: Decimal) -> Call:
        """Return the call that asks for a loan."""
        return signed("POST", "account/borrow", {"coin": asset, "amount": plain_number(amount)})

    def repay(self, asset: str, amount: Decimal) -> Call:
        """Return the call that gives so much back, of what there is of the asset."""
        params = {"coin": asset, "amount": plain_number(amount)}
        return signed("POST", "account/no-convert-repay", params, is_urgent=True)

    def proof(self, answer: Answer) -> Reply:
        """Return what an answer proves."""
        try:
            told = _read_change(answer.body)
        except UNREADABLE:
            return refusal_of_loan(answer)
        if answer.status != 200 or told.retCode:
            return refusal_of_loan(answer)
        result = told.result
        if result.resultStatus == _FAILED:
            return Reply(Proof.REFUSED, "the repayment failed")
        if result.resultStatus in _TAKEN or (result.coin and result.amount):
            return Reply(Proof.DONE)  # taken, if not over yet: what is owed says when
        return Reply(Proof.UNKNOWN, "an answer that says nothing")

    def interest(self, since: int) -> Call:
        """Return the call for interest since a moment: of thirty days, the newest first."""
        return signed("GET", "account/borrow-history", {"startTime": since // MS_NS, "limit": _PAGE})

    def read_interest(self, answer: Answer) -> Page:
        """Return the interest of each hour, oldest first, and where the next page is. Raises VenueError."""
        told = read(self.venue, answer, _read_hours)
        if told.retCode:
            raise refused(self.venue, answer)
        with understood(self.venue, answer):
            moved = tuple(self._charged(row) for row in reversed(told.result.list))
        cursor = told.result.nextPageCursor
        return Page((), onward={"cursor": cursor} if moved and cursor else {}, moved=moved)

    def _charged(self, row: _Hour) -> Moved:
        cost = number(row.borrowCost)
        sound(cost)
        if not row.currency:
            raise ValueError("interest of no asset")
        return Moved(row.currency, -cost, row.createdTime * MS_NS, "interest", str(row.createdTime))


__all__ = ["BybitLender"]

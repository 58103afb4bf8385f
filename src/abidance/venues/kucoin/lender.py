"""Borrow for KuCoin's cross margin account and repay: the loan is in the account from which margin orders are paid.

The answer says how much was done: {"code":"200000","data":{"orderNo":"67187162c0d6990007717b15","actualSize":"10"}}.
Interest begins with the loan and is added to the debt each hour; a repayment pays it first.

{"currentPage":1,"pageSize":50,"totalNum":3,"totalPage":1,"items":[{"currency":"USDT","dayRatio":"0.000296",
"interestAmount":"0.00000001","createdTime":1729663213375}]}

kucoin.com/docs-new/api-3470206 (borrow), -3470210 (repay), -3470209 (interest)
kucoin.zendesk.com/hc/en-us/articles/900002175423
"""

from decimal import Decimal

import msgspec

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.model.money import ZERO
from abidance.venues.account import Call, Lender, Moved, Page, Proof, Reply, plain_number, sound, understood
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.kucoin.account import KuCoinAccount, Told, data_of, private
from abidance.venues.kucoin.refusals import DONE, refusal_of_loan
from abidance.venues.net.transport import Answer

VENUE = KuCoinAccount.venue
_PAGE = 500
_CROSS = {"isIsolated": False, "isHf": True}


class _Done(msgspec.Struct, rename="camel"):
    order_no: str
    actual_size: Decimal


class _Hour(msgspec.Struct, rename="camel"):
    currency: str
    interest_amount: Decimal
    created_time: Millis


class _Hours(msgspec.Struct, rename="camel"):
    items: list[_Hour]
    total_page: int


_read_done = reader(Told[_Done])
_read_hours = reader(Told[_Hours])


class KuCoinLender(Lender):
    """Loans of the cross margin account, whole or not at all; a repayment sells nothing."""

    rounds = 3_600 * SECOND_NS
    """By our clock the first interest may be older than its loan."""
    lists_all = False
    """Nothing says whether the first interest is listed: in recorded answers a repayment paid some that was not."""

    def borrow(self, asset: str, amount: Decimal) -> Call:
        """Return the call that asks for a loan."""
        call = _changing("borrow", asset, amount)
        return call._replace(params={**call.params, "timeInForce": "FOK"})

    def repay(self, asset: str, amount: Decimal) -> Call:
        """Return the call that gives so much back, of what there is of the asset."""
        return _changing("repay", asset, amount)._replace(is_urgent=True)

    def proof(self, answer: Answer) -> Reply:
        """Return what an answer proves; one that tells of another amount than was asked for proves nothing."""
        try:
            told = _read_done(answer.body)
        except UNREADABLE:
            return refusal_of_loan(answer)
        if answer.status != 200 or told.code != DONE:
            return refusal_of_loan(answer)
        if not told.data.order_no or told.data.actual_size != answer.told:
            return Reply(Proof.UNKNOWN, f"an answer of {told.data.actual_size}")
        return Reply(Proof.DONE)

    def interest(self, since: int) -> Call:
        """Return the call for interest since a moment, the newest first."""
        return _listed(since // MS_NS, 1)

    def read_interest(self, answer: Answer) -> Page:
        """Return the interest of each hour, oldest first, and the call for the next page. Raises VenueError.

        KuCoin has no number for it: what is of one asset and moment is one.
        """
        found = data_of(answer, _read_hours)
        charged: dict[tuple[int, str], Decimal] = {}
        with understood(VENUE, answer):
            for row in found.items:
                sound(row.interest_amount)
                if not row.currency:
                    raise ValueError("interest of no asset")
                at = row.created_time, row.currency
                charged[at] = charged.get(at, ZERO) + row.interest_amount
        moved = tuple(
            Moved(asset, -amount, ms * MS_NS, "interest", str(ms))
            for (ms, asset), amount in sorted(charged.items())
        )
        more = None
        if isinstance(answer.told, tuple) and found.total_page > answer.told[1] and found.items:
            since_ms, page = answer.told
            more = _listed(since_ms, page + 1)
        return Page((), more, moved=moved)


def _changing(what: str, asset: str, amount: Decimal) -> Call:
    params = {"currency": asset, "size": plain_number(amount), **_CROSS}
    return private("POST", f"margin/{what}", params)._replace(told=amount)


def _listed(since_ms: int, page: int) -> Call:
    params = {"isIsolated": "false", "startTime": since_ms, "currentPage": page, "pageSize": _PAGE}
    return private("GET", "margin/interest", params)._replace(told=(since_ms, page))


__all__ = ["VENUE", "KuCoinLender"]

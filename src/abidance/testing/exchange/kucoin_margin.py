"""KuCoin's cross margin accounts of the high-frequency interface: orders, balances, loans and interest.

A margin account has a wallet of its own beside that of spot, and is heard of on the same topics. No order borrows here,
and nothing is liquidated.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from abidance.model.instrument import MS_NS
from abidance.testing.exchange.accounts import ZERO, Account
from abidance.testing.exchange.counter import Ears, figure, plain
from abidance.testing.exchange.desk import News, Part, Placed
from abidance.testing.exchange.house import Asked, Place, Refusal, millis, word
from abidance.testing.exchange.kucoin_orders import Handler, KuCoinOrders
from abidance.testing.exchange.lending import SHOWN, DeclinedLoan, Loans, No
from abidance.testing.exchange.market import Market, worth_in

_FULL = Decimal("0.8")
"""The debt ratio above which nothing more is lent: five times what the account has of its own."""
_CROSS = "MARGIN_TRADE"
_WORDS: Mapping[No, tuple[str, str]] = {
    No.SHELF: ("400100", "The currency cannot be borrowed."),
    No.SHORT: ("210014", "Exceeds the max. borrowing amount, the remaining amount you can borrow: 0USDT"),
    No.FUNDS: ("210021", "Balance not enough"),
    No.NOTHING: ("400100", "Nothing is to be repaid."),
    No.MORE: ("400100", "Nothing more is to be repaid."),
}


class _Change(NamedTuple):
    """One loan or repayment, as it is listed."""

    number: str
    account: Account
    kind: str
    asset: str
    amount: Decimal
    interest: Decimal
    ts: int


class KuCoinMargin(KuCoinOrders):
    """The cross margin accounts of one exchange, which their owners hear of."""

    purse = "marginV2"

    def __init__(self, markets: Mapping[str, Market], place: Place, ears: Ears) -> None:
        super().__init__(markets, place, ears)
        self.loans = Loans(place.desk, at_once=True, is_timed=True)
        self._changed: list[_Change] = []

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST hf/margin/order": self._place_order,
            "GET hf/margin/orders/active": lambda account, asked: self._rows(account, asked, is_open=True),
            "GET hf/margin/orders/done": lambda account, asked: {
                "items": self._rows(account, asked, is_open=False),
                "lastId": 0,
            },
            "GET hf/margin/orders/*": lambda account, asked: self._told(self._find(account, asked)),
            "GET hf/margin/orders/client-order/*": lambda account, asked: self._told(
                self._find(account, asked)
            ),
            "DELETE hf/margin/orders": self._cancel_all,
            "DELETE hf/margin/orders/*": lambda account, asked: self._ask_off(account, asked, "orderId"),
            "DELETE hf/margin/orders/client-order/*": lambda account, asked: self._ask_off(
                account, asked, "clientOid"
            ),
            "GET hf/margin/fills": self._fills,
            "GET margin/accounts": self._account,
            "POST margin/borrow": lambda account, asked: self._change_debt(account, asked, "borrow"),
            "POST margin/repay": lambda account, asked: self._change_debt(account, asked, "repay"),
            "GET margin/borrow": lambda account, asked: self._list_changes(account, asked, "borrow"),
            "GET margin/repay": lambda account, asked: self._list_changes(account, asked, "repay"),
            "GET margin/interest": self._list_interest,
        }
        return {
            "GET /api/v3/margin/symbols": self.signed(lambda *_: self._pairs()),
            **{
                name.replace(" ", " /api/v3/"): self.signed(self._within(handler))
                for name, handler in found.items()
            },
        }

    def _within(self, handler: Handler) -> Handler:
        """Let a handler of an account answer for its cross margin account."""

        def answer(account: Account, asked: Mapping[str, Any]) -> object:
            if not account.permissions.borrow:
                raise _no("400007", "Access denied--> Require more permission.")
            if account.margin is None:
                raise _no("130306", "The account has not opened leveraged trading")
            is_isolated = str(asked.get("isIsolated", False)).lower() != "false"
            if is_isolated or asked.get("tradeType", _CROSS) != _CROSS:
                raise _no("400100", "There is no isolated margin account.")
            return handler(account.margin, asked)

        return answer

    def _pairs(self) -> object:
        rows = [
            {
                "symbol": symbol,
                "name": symbol,
                "enableTrading": market.is_listed,
                "market": market.instrument.quote,
                "baseCurrency": market.instrument.base,
                "quoteCurrency": market.instrument.quote,
                "feeCurrency": market.instrument.quote,
            }
            for symbol, market in self._markets.items()
        ]
        return {"timestamp": millis(self._place.now), "items": rows}

    # --- orders: as those of spot

    def _place_order(self, account: Account, asked: Mapping[str, Any], *, stops: bool = False) -> object:
        if asked.get("autoBorrow") or asked.get("autoRepay"):
            raise _no("400100", "autoBorrow and autoRepay are not offered.")
        return super()._place_order(account, asked, stops=stops)

    def _ask_off(self, account: Account, asked: Mapping[str, Any], name: str) -> object:
        """Answer with no more than what was asked for: nothing is said of what came of it."""
        return {name: self._cancel(account, asked)[name]}

    def _told(self, order: Placed) -> dict[str, Any]:
        return super()._told(order) | {"tradeType": _CROSS}

    def _told_part(self, order: Placed, part: Part) -> dict[str, Any]:
        return super()._told_part(order, part) | {"tradeType": _CROSS}

    # --- the wallet

    def _account(self, account: Account, asked: Mapping[str, Any]) -> object:
        if asked.get("queryType") not in ("MARGIN_V2", "ALL"):
            return self._told_account({}, {})
        self.loans.charge(account, self._place.now)
        purses = {asset: (purse.total, purse.free) for asset, purse in account.purses.items()}
        return self._told_account(purses, account.debts, account.accrued)

    def _told_account(
        self,
        purses: Mapping[str, tuple[Decimal, Decimal]],
        debts: Mapping[str, Decimal],
        accrued: Mapping[str, Decimal] = {},
    ) -> object:
        has = sum((worth_in(self._markets, asset) * total for asset, (total, _) in purses.items()), ZERO)
        owed = sum((worth_in(self._markets, asset) * debt for asset, debt in debts.items()), ZERO)
        rows = []
        for asset in {**purses, **debts}:
            (total, free), debt = purses.get(asset, (ZERO, ZERO)), debts.get(asset, ZERO)
            interest = accrued.get(asset, ZERO) if debt else ZERO
            told = {"total": total, "available": free, "hold": total - free, "liability": debt,
                    "liabilityPrincipal": debt - interest, "liabilityInterest": interest}  # fmt: skip
            figures = {name: plain(amount) for name, amount in told.items()}
            rows.append(
                {
                    "currency": asset,
                    **figures,
                    "maxBorrowSize": "0",
                    "borrowEnabled": True,
                    "transferInEnabled": True,
                }
            )
        return {
            "totalAssetOfQuoteCurrency": plain(has),
            "totalLiabilityOfQuoteCurrency": plain(owed),
            "debtRatio": plain(round(owed / has, 8)) if has else "0",
            "status": "EFFECTIVE",
            "accounts": rows,
        }

    # --- loans

    def _change_debt(self, account: Account, asked: Mapping[str, Any], kind: str) -> object:
        asset, amount = word(asked, "currency"), figure(asked.get("size"))
        if not asset or amount is None or amount != amount.quantize(SHOWN):
            raise _no("400100", "currency or size is invalid.")
        if asked.get("isHf") is not True:
            raise _no("400100", "There is no low frequency margin account.")
        if kind == "borrow" and asked.get("timeInForce") not in ("IOC", "FOK"):
            raise _no("400100", "timeInForce is invalid.")
        now = self._place.now
        self.loans.charge(account, now)
        before = account.accrued.get(asset, ZERO)
        try:
            if kind == "borrow":
                self._look_at_ratio(account, asset, amount)
                self.loans.borrow(account, asset, amount, now)
            else:
                self.loans.repay(account, asset, amount, now)
        except DeclinedLoan as declined:
            raise _no(*_WORDS[declined.why]) from None
        interest = min(before, amount) if kind == "repay" else ZERO
        number = f"{len(self._changed):024x}"
        self._changed.append(_Change(number, account, kind, asset, amount, interest, now))
        told = {"orderNo": number, "actualSize": plain(amount)}
        return told if kind == "borrow" else {"timestamp": millis(now), **told}

    def _look_at_ratio(self, account: Account, asset: str, amount: Decimal) -> None:
        """Raise DeclinedLoan when the account would owe too much for what it has."""
        more = worth_in(self._markets, asset) * amount
        has = sum(
            (worth_in(self._markets, each) * purse.total for each, purse in account.purses.items()), ZERO
        )
        owed = sum((worth_in(self._markets, each) * debt for each, debt in account.debts.items()), ZERO)
        if asset in self.loans.shelf and owed + more > _FULL * (has + more):
            raise DeclinedLoan(No.SHORT)

    def _list_changes(self, account: Account, asked: Mapping[str, Any], kind: str) -> object:
        rows = [
            {
                "orderNo": each.number,
                "symbol": None,
                "currency": each.asset,
                "size": plain(each.amount),
                **(
                    {"actualSize": plain(each.amount)}
                    if kind == "borrow"
                    else {
                        "principal": plain(each.amount - each.interest),
                        "interest": plain(each.interest),
                    }
                ),
                "status": "SUCCESS",
                "createdTime": millis(each.ts),
            }
            for each in reversed(self._changed)
            if each.account is account
            and each.kind == kind
            and asked.get("currency", each.asset) == each.asset
            and asked.get("orderNo", each.number) == each.number
        ]
        return self._paged(rows, asked)

    def _list_interest(self, account: Account, asked: Mapping[str, Any]) -> object:
        self.loans.charge(account, self._place.now)
        since, until = (int(asked.get(name) or 0) * MS_NS for name in ("startTime", "endTime"))
        rows = [
            {
                "currency": each.asset,
                "dayRatio": plain(each.rate * 24),
                "interestAmount": plain(each.cost),
                "createdTime": millis(each.ts),
            }
            for each in reversed(account.charges)
            if since <= each.ts
            and (self.loans.lists_first or not each.is_first)
            and (not until or each.ts <= until)
            and asked.get("currency", each.asset) == each.asset
        ]
        return self._paged(rows, asked)

    def _paged(self, rows: list[dict[str, Any]], asked: Mapping[str, Any]) -> object:
        """Return one page of a list, which is told newest first."""
        size = min(max(int(asked.get("pageSize") or 50), 10), 500)
        page = max(int(asked.get("currentPage") or 1), 1)
        return {
            "timestamp": millis(self._place.now),
            "currentPage": page,
            "pageSize": size,
            "totalNum": len(rows),
            "totalPage": -(-len(rows) // size),
            "items": rows[(page - 1) * size : page * size],
        }

    # --- private topics

    def told(self, news: News) -> None:
        """Tell the owner's topics what happened to a margin account."""
        if self._owner(news.account) is not news.account:
            super().told(news)

    def _owner(self, account: Account) -> Account:
        return next((each for each in self._desk.accounts.values() if each.margin is account), account)


def _no(code: str, text: str) -> Refusal:
    return Refusal(200, {"code": code, "msg": text})


__all__ = ["KuCoinMargin"]

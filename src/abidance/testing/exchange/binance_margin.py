"""Binance's cross margin accounts: orders, loans and interest (/sapi/v1/margin), and their stream by a listen token.

A margin account has a wallet of its own beside that of spot. No order borrows here, and nothing is liquidated.
"""

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange.accounts import ZERO, Account, Charge
from abidance.testing.exchange.binance_keys import BinanceKeys, Handler
from abidance.testing.exchange.binance_orders import BinanceOrders
from abidance.testing.exchange.counter import figure, plain
from abidance.testing.exchange.desk import Part, Placed
from abidance.testing.exchange.house import DAY_NS, Asked, Listener, Place, Refusal, millis, said
from abidance.testing.exchange.lending import SHOWN, DeclinedLoan, Loans, No
from abidance.testing.exchange.market import Market, worth_in

_FIRST_TX = 1_352_286_576_452_864_000
_LEAST = Decimal("1.5")
"""The margin level below which nothing more is lent."""
_MOST_LISTED = 30 * DAY_NS
_WORDS: Mapping[No, tuple[int, str]] = {
    No.SHELF: (-3027, "Not a valid margin asset."),
    No.SHORT: (-3006, "Your borrow amount has exceed maximum borrow amount."),
    No.FUNDS: (-3041, "Balance is not enough"),
    No.NOTHING: (-3015, "Repay amount exceeds borrow amount."),
    No.MORE: (-3015, "Repay amount exceeds borrow amount."),
}


class _Change(NamedTuple):
    """One loan or repayment, as it is listed."""

    number: int
    account: Account
    kind: str
    asset: str
    amount: Decimal
    interest: Decimal
    ts: int


class BinanceMargin(BinanceOrders):
    """The cross margin accounts of one exchange."""

    longest = BinanceOrders.longest - 1

    def __init__(self, markets: Mapping[str, Market], place: Place, keys: BinanceKeys) -> None:
        super().__init__(markets, place, keys)
        self.loans = Loans(place.desk, at_once=True)
        self._changes: list[_Change] = []
        self._tokens: dict[str, tuple[Account, int]] = {}

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST order": self._place_order,
            "GET order": self._query,
            "DELETE order": self._cancel,
            "GET openOrders": self._open,
            "DELETE openOrders": self._cancel_all,
            "GET allOrders": self._all,
            "GET myTrades": self._trades,
            "GET account": self._account,
            "POST borrow-repay": self._change_debt,
            "GET borrow-repay": self._list_changes,
            "GET interestHistory": self._list_interest,
            "GET maxBorrowable": self._tell_room,
        }
        signed = {
            name.replace(" ", " /sapi/v1/margin/"): self._keys.signed(self._within(handler))
            for name, handler in found.items()
        }
        return signed | {
            "POST /sapi/v1/asset/transfer": self._keys.signed(self._transfer),
            "POST /sapi/v1/userListenToken": self._keys.keyed(self._admit),
            "GET /sapi/v1/margin/allPairs": lambda _: self._pairs(),
            "GET /sapi/v1/margin/isolated/allPairs": lambda _: [],
        }

    def _within(self, handler: Handler) -> Handler:
        """Let a handler of an account answer for its margin account."""

        def answer(account: Account, params: Mapping[str, str]) -> object:
            return handler(_margin_of(account), _crossed(params))

        return answer

    def _pairs(self) -> object:
        return [
            {
                "id": number,
                "symbol": symbol,
                "base": market.instrument.base,
                "quote": market.instrument.quote,
                "isMarginTrade": True,
                "isBuyAllowed": True,
                "isSellAllowed": True,
            }
            for number, (symbol, market) in enumerate(self._markets.items(), 1)
        ]

    # --- orders: as those of spot, with other words

    def _place_order(self, account: Account, params: Mapping[str, str]) -> object:
        if params.get("sideEffectType", "NO_SIDE_EFFECT") != "NO_SIDE_EFFECT":
            raise _no(-1130, "Data sent for parameter 'sideEffectType' is not valid.")
        return super()._place_order(account, params)

    def _told_order(self, order: Placed) -> dict[str, Any]:
        return {**super()._told_order(order), "isIsolated": False}

    def _taken_back(self, order: Placed) -> dict[str, Any]:
        """Tell of an order that was taken back: without a time, and its number in quotes."""
        told = super()._taken_back(order)
        names = ("symbol", "isIsolated", "origClientOrderId", "clientOrderId", "price", "origQty", "executedQty",
                 "cummulativeQuoteQty", "status", "timeInForce", "type", "side")  # fmt: skip
        return {"orderId": str(order.id), **{name: told[name] for name in names}}

    def _trade(self, order: Placed, part: Part) -> dict[str, Any]:
        return {**super()._trade(order, part), "isIsolated": False}

    def _listed(self, params: Mapping[str, str]) -> tuple[int, int]:
        """Return of which time trades are listed, ms: of a day, unless a first one is named.

        Binance does not say if that is the day from the start or the last one: where no end is named it is what is
        in both.
        """
        since, until = super()._listed(params)
        if "fromId" in params:
            return since, until
        if "endTime" not in params:
            until = min(until, since + self.longest) if since else until
            return max(since, millis(self._place.now) - self.longest), until
        return max(since, until - self.longest), until

    # --- the wallet

    def _account(self, account: Account, _params: Mapping[str, str]) -> object:
        self.loans.charge(account, self._place.now)
        assets, owed = self._worth(account)
        level = format(assets / owed if owed else Decimal(999), ".8f")
        return {
            "created": True,
            "borrowEnabled": True,
            "marginLevel": level,
            "collateralMarginLevel": level,
            "totalAssetOfBtc": self._in_btc(assets),
            "totalLiabilityOfBtc": self._in_btc(owed),
            "totalNetAssetOfBtc": self._in_btc(assets - owed),
            "TotalCollateralValueInUSDT": format(assets, ".8f"),
            "totalOpenOrderLossInUSDT": "0",
            "tradeEnabled": account.permissions.trade,
            "transferInEnabled": True,
            "transferOutEnabled": True,
            "accountType": "MARGIN_1",
            "userAssets": [_told_asset(account, asset) for asset in {**account.purses, **account.debts}],
        }

    def _worth(self, account: Account) -> tuple[Decimal, Decimal]:
        """Return what an account has and what it owes, by the last prices, in the quote asset."""
        has = sum(
            (worth_in(self._markets, asset) * purse.total for asset, purse in account.purses.items()), ZERO
        )
        return has, sum(
            (worth_in(self._markets, asset) * owed for asset, owed in account.debts.items()), ZERO
        )

    def _in_btc(self, value: Decimal) -> str:
        price = worth_in(self._markets, "BTC")
        return format(value / price if price else ZERO, ".8f")

    def _transfer(self, account: Account, params: Mapping[str, str]) -> object:
        """Move money between the wallets of spot and of cross margin."""
        ways = {
            "MAIN_MARGIN": (account, account.margin),
            "MARGIN_MAIN": (account.margin, account),
        }
        amount, asset = figure(params.get("amount")), params.get("asset", "")
        if params.get("type") not in ways or amount is None:
            raise _no(-1102, "Mandatory parameter 'type' was not sent, was empty/null, or malformed.")
        if account.permissions.borrow and account.margin is None:
            ways["MAIN_MARGIN"] = (account, account.open_margin())
        source, target = ways[params["type"]]
        if source is None or target is None:
            raise _no(-3003, "Margin account does not exist.")
        if source.purse(asset).free < amount:
            raise _no(-5013, "Asset transfer failed: insufficient balance")
        now = self._place.now
        self._desk.transfer(source, asset, -amount, now)
        self._desk.transfer(target, asset, amount, now)
        return {"tranId": _FIRST_TX // 1000 + len(self._desk.history)}

    # --- loans

    def _change_debt(self, account: Account, params: Mapping[str, str]) -> object:
        asset, amount, kind = params.get("asset", ""), figure(params.get("amount")), params.get("type", "")
        if not asset or amount is None or kind not in ("BORROW", "REPAY"):
            raise _no(-1102, "Mandatory parameter 'amount' was not sent, was empty/null, or malformed.")
        if amount != amount.quantize(SHOWN):
            raise _no(-1111, "Precision is over the maximum defined for this asset.")
        self.loans.charge(account, self._place.now)
        before = account.accrued.get(asset, ZERO)
        try:
            if kind == "BORROW":
                if asset in self.loans.shelf and amount > self._room(account, asset):
                    raise DeclinedLoan(No.SHORT)
                self.loans.borrow(account, asset, amount, self._place.now)
            else:
                self.loans.repay(account, asset, amount, self._place.now)
        except DeclinedLoan as declined:
            raise _no(*_WORDS[declined.why]) from None
        interest = min(before, amount) if kind == "REPAY" else ZERO
        number = _FIRST_TX // 1000 + len(self._changes)
        self._changes.append(_Change(number, account, kind, asset, amount, interest, self._place.now))
        return {"tranId": number}

    def _room(self, account: Account, asset: str) -> Decimal:
        """Return how much more of an asset is lent to an account, by what it has and by what is on the shelf."""
        assets, owed = self._worth(account)
        price = worth_in(self._markets, asset)
        left = self.loans.shelf.get(asset, ZERO) - account.debts.get(asset, ZERO)
        if not price:
            return ZERO
        covered = (assets - _LEAST * owed) / (_LEAST - 1) / price
        return max(min(left, covered), ZERO)

    def _tell_room(self, account: Account, params: Mapping[str, str]) -> object:
        asset = params.get("asset", "")
        if asset not in self.loans.shelf:
            raise _no(*_WORDS[No.SHELF])
        self.loans.charge(account, self._place.now)
        return {
            "amount": format(self._room(account, asset), ".8f"),
            "borrowLimit": plain(self.loans.shelf[asset]),
        }

    def _list_changes(self, account: Account, params: Mapping[str, str]) -> object:
        wanted, kind = params.get("txId", ""), params.get("type", "")
        if kind not in ("BORROW", "REPAY"):
            raise _no(-1102, "Mandatory parameter 'type' was not sent, was empty/null, or malformed.")
        since, until = self._span(params, 7 * DAY_NS)
        rows = [
            {
                "type": "MANUAL",
                "amount": format(each.amount, ".8f"),
                "asset": each.asset,
                "interest": format(each.interest, ".8f"),
                "principal": format(each.amount - each.interest, ".8f"),
                "status": "CONFIRMED",
                "timestamp": millis(each.ts),
                "txId": each.number,
            }
            for each in reversed(self._changes)
            if each.account is account
            and each.kind == kind
            and params.get("asset", each.asset) == each.asset
            and (wanted == str(each.number) if wanted else since <= each.ts <= until)
        ]
        return _paged(rows, params)

    def _list_interest(self, account: Account, params: Mapping[str, str]) -> object:
        self.loans.charge(account, self._place.now)
        since, until = self._span(params, 7 * DAY_NS)
        rows = [
            _told_charge(_FIRST_TX + number, each)
            for number, each in reversed(list(enumerate(account.charges)))
            if since <= each.ts <= until and params.get("asset", each.asset) == each.asset
        ]
        return _paged(rows, params)

    def _span(self, params: Mapping[str, str], default: int) -> tuple[int, int]:
        """Return of which time a list is asked, ns: the newest 30 days of it at the most."""
        until = int(params["endTime"]) * MS_NS if "endTime" in params else self._place.now
        since = int(params["startTime"]) * MS_NS if "startTime" in params else until - default
        return max(since, until - _MOST_LISTED), until

    # --- the account's own stream

    def _admit(self, account: Account) -> object:
        """Hand out a token for a day."""
        now = self._place.now
        token = hashlib.sha256(f"{account.key} {now} {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = (_margin_of(account), now + DAY_NS)
        return {"token": token, "expirationTime": millis(now + DAY_NS)}

    def subscribe(self, listener: Listener, asked: Mapping[str, Any]) -> None:
        """Answer who brings a token on the WebSocket API."""
        number, params = asked.get("id"), asked.get("params")
        token = str(params.get("listenToken", "")) if isinstance(params, dict) else ""
        account, until = self._tokens.get(token, (None, 0))
        if account is None or until <= self._place.now:
            error = {"code": -1209, "msg": "Invalid listenToken."}
            listener.say(said({"id": number, "status": 400, "error": error}))
            return
        self._listeners.append((listener, account))
        self._place.at(until + SECOND_NS, lambda: self._terminate(listener))
        result = {"subscriptionId": 0, "expirationTime": millis(until)}
        listener.say(said({"id": number, "status": 200, "result": result}))

    def _terminate(self, listener: Listener) -> None:
        """End a subscription whose token ran out; nobody prolongs one here."""
        self._listeners = [each for each in self._listeners if each[0] is not listener]
        event = {"e": "eventStreamTerminated", "E": millis(self._place.now)}
        listener.push("account eventStreamTerminated", said({"subscriptionId": 0, "event": event}))


def _margin_of(account: Account) -> Account:
    """Return the margin account of an account. Raises Refusal."""
    if not account.permissions.borrow:
        raise Refusal(401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."})
    if account.margin is None:
        raise _no(-3003, "Margin account does not exist.")
    return account.margin


def _crossed(params: Mapping[str, str]) -> Mapping[str, str]:
    """Return what is asked of a cross margin account; there is no isolated one. Raises Refusal."""
    if params.get("isIsolated", "FALSE").upper() == "TRUE" or "isolatedSymbol" in params:
        raise _no(-3003, "Margin account does not exist.")
    return params


def _told_asset(account: Account, asset: str) -> dict[str, str]:
    purse, owed = account.purse(asset), account.debts.get(asset, ZERO)
    interest = account.accrued.get(asset, ZERO) if owed else ZERO
    told = {
        "free": purse.free,
        "locked": purse.locked,
        "borrowed": owed - interest,
        "interest": interest,
        "netAsset": purse.total - owed,
    }
    return {"asset": asset, **{name: format(amount, ".8f") for name, amount in told.items()}}


def _told_charge(number: int, charge: Charge) -> dict[str, object]:
    return {
        "txId": number,
        "interestAccuredTime": millis(charge.ts),
        "asset": charge.asset,
        "rawAsset": charge.asset,
        "principal": plain(charge.bearing),
        "interest": format(charge.cost, ".8f"),
        "interestRate": plain(charge.rate * 24),
        "type": "ON_BORROW" if charge.is_first else "PERIODIC",
    }


def _paged(rows: list[dict[str, Any]], params: Mapping[str, str]) -> object:
    """Return one page of a list, which is told newest first."""
    size = min(int(params.get("size", 10)), 100)
    start = (max(int(params.get("current", 1)), 1) - 1) * size
    return {"rows": rows[start : start + size], "total": len(rows)}


def _no(code: int, text: str) -> Refusal:
    return Refusal(400, {"code": code, "msg": text})


__all__ = ["BinanceMargin"]

"""Bybit's trading side: signed orders, questions, balances and positions (V5), and the account's own stream.

One account for spot and linear (unified), one-way positions. A post-only order that would trade is
taken and then cancelled, as Bybit does. A spot market has no word for the direction from which a trigger is
reached: it is the side of the market on which it lies when it arrives, so that a stop which was crossed on its way
waits for the price to come back. Such orders stand apart (`orderFilter`), and are taken back only by who says so.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from abidance.model.instrument import MS_NS
from abidance.testing.exchange.accounts import ZERO, Account
from abidance.testing.exchange.bybit_loans import BybitLoans
from abidance.testing.exchange.bybit_words import FORCES, BybitWords
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import Ears, figure, header, listed, plain, steps
from abidance.testing.exchange.desk import Declined, Desk, News, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import Asked, Listener, Place, Refusal, millis, read, said, word
from abidance.testing.exchange.market import Market

_APART = "tpslOrder"
_TOPICS = frozenset({"order", "execution", "wallet", "position"})
_SPOT: Mapping[Why, tuple[int, str]] = {
    Why.FUNDS: (170131, "Insufficient balance."),
    Why.LOT: (170137, "Order quantity has too many decimals."),
    Why.LEAST: (170136, "Order quantity exceeded lower limit."),
    Why.TICK: (170134, "Order price has too many decimals."),
    Why.NOTIONAL: (170140, "Order value exceeded lower limit."),
    Why.DUPLICATE: (170141, "Duplicate clientOrderId."),
    Why.WOULD_TRIGGER: (170195, "Trigger price is already crossed."),
    Why.NO_DEPTH: (170193, "Buy order price cannot be higher than 0."),
    Why.HALTED: (170121, "Invalid symbol."),
    Why.UNKNOWN: (170213, "Order does not exist."),
    Why.MANY: (170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders."),
    Why.STOPS: (170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders."),
}
_LINEAR: Mapping[Why, tuple[int, str]] = {
    Why.FUNDS: (110007, "ab not enough for new order"),
    Why.LOT: (10001, "Qty invalid"),
    Why.LEAST: (10001, "The number of contracts exceeds minimum limit allowed"),
    Why.TICK: (10001, "params error: price invalid"),
    Why.NOTIONAL: (110094, "Order does not meet minimum order value 5USDT"),
    Why.DUPLICATE: (110072, "OrderLinkedID is duplicate"),
    Why.WOULD_TRIGGER: (110092, "expect Rising, but trigger_price <= current"),
    Why.NO_DEPTH: (30228, "No new positions during delisting."),
    Why.HALTED: (110074, "This contract is not live"),
    Why.UNKNOWN: (110001, "order not exists or too late to cancel"),
    Why.REDUCE: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Why.MANY: (110020, "Not allowed to have more than 500 active orders"),
    Why.STOPS: (110009, "The number of stop orders exceeds the maximum allowable limit"),
}
Handler = Callable[[Account, Mapping[str, Any]], object]


class BybitOrders:
    """Spot and linear orders of the accounts of one exchange; `markets` are by category and symbol."""

    def __init__(self, markets: Mapping[str, Mapping[str, Market]], place: Place) -> None:
        self._markets = markets
        self._names = {
            market.instrument.id: (category, symbol)
            for category, found in markets.items()
            for symbol, market in found.items()
        }
        self._place = place
        self._words = BybitWords(place.desk, self._names)
        self._ears = Ears()
        self._loans = BybitLoans(place, self._ok, self._refusal)
        place.desk.remembers = place.desk.ends_post = True

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST /v5/order/create": self._create,
            "POST /v5/order/amend": self._amend,
            "POST /v5/order/cancel": self._cancel,
            "POST /v5/order/cancel-all": self._cancel_all,
            "GET /v5/order/realtime": self._realtime,
            "GET /v5/order/history": self._history,
            "GET /v5/execution/list": self._executions,
            "GET /v5/account/wallet-balance": self._wallet,
            **self._loans.handlers,
            "GET /v5/account/info": self._info,
            "GET /v5/account/fee-rate": self._rates,
            "GET /v5/position/list": self._positions,
            "POST /v5/position/set-leverage": self._set_leverage,
            "POST /v5/position/switch-mode": self._switch_mode,
            "GET /v5/user/query-api": self._key,
            "GET /v5/asset/coin/query-info": lambda *_: self._ok({"rows": []}),
        }
        return {name: self._signed(handler) for name, handler in found.items()}

    # --- who asks

    def _signed(self, handler: Handler) -> Callable[[Asked], object]:
        def answer(asked: Asked) -> object:
            key, stamp, window, signature = (
                header(asked.headers, f"X-BAPI-{name}")
                for name in ("API-KEY", "TIMESTAMP", "RECV-WINDOW", "SIGN")
            )
            window = window or "5000"
            account = self._known(key)
            if not account.permissions.admit(asked.remote):
                self._refuse(10010, "Unmatched IP, please check your API key's bound IP addresses.")
            body = asked.body.decode("utf-8", "replace")
            payload = f"{stamp}{key}{window}{asked.raw_query if asked.method == 'GET' else body}"
            if not hmac.compare_digest(_sign(account, payload).encode(), signature.lower().encode()):
                self._refuse(10004, f"error sign! origin_string[{payload}]")
            now = millis(self._place.now)
            if not (stamp.isdecimal() and window.isdecimal()):
                self._refuse(10001, "params error: timestamp or recv_window invalid")
            if not now - int(window) <= int(stamp) < now + 1000:
                text = (
                    "invalid request, please check your server timestamp or recv_window param. "
                    f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]"
                )
                self._refuse(10002, text)
            try:
                return handler(account, asked.query if asked.method == "GET" else read(body))
            except ValueError as error:
                self._refuse(10001, f"params error: {error}")

        return answer

    def _known(self, key: str) -> Account:
        account = self._desk.accounts.get(key)
        if account is None or account.permissions.is_revoked:
            self._refuse(10003, "API key is invalid.")
        return account

    def _ok(self, result: object) -> object:
        now = millis(self._place.now)
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}

    def _refusal(self, code: int, text: str) -> Refusal:
        now = millis(self._place.now)
        return Refusal(200, {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": now})

    def _refuse(self, code: int, text: str) -> NoReturn:
        raise self._refusal(code, text)

    def _decline(self, market: Market, why: Why) -> NoReturn:
        self._refuse(*(_LINEAR if market.instrument.is_perpetual else _SPOT)[why])

    def _market(self, asked: Mapping[str, Any]) -> Market:
        market = self._markets.get(word(asked, "category"), {}).get(word(asked, "symbol"))
        if market is None:
            self._refuse(10001, "params error: symbol invalid")
        return market

    # --- orders

    def _create(self, account: Account, asked: Mapping[str, Any]) -> object:
        market = self._market(asked)
        if not account.permissions.trade:
            self._refuse(10005, "Permission denied, please check your API key permissions.")
        if market.instrument.is_perpetual and bool(asked.get("positionIdx")) != account.is_hedged:
            self._refuse(10001, "position idx not match position mode")
        ticket = self._ticket(market, asked)
        try:
            order = self._desk.place(account, market, ticket, self._place.now)
        except Declined as declined:
            self._decline(market, declined.why)
        return self._ok({"orderId": str(order.id), "orderLinkId": ticket.client_id})

    def _ticket(self, market: Market, asked: Mapping[str, Any]) -> Ticket:
        rules, kind = market.instrument, word(asked, "orderType")
        side = {"Buy": BUY, "Sell": SELL}.get(word(asked, "side"))
        if side is None:
            self._refuse(10001, "params error: side invalid")
        if asked.get("isLeverage") in (1, "1"):
            self._refuse(170344, "Symbol is not supported on Margin Trading")  # no order borrows here
        if kind not in ("Market", "Limit"):
            self._refuse(10001, "params error: orderType invalid")
        force = FORCES.get(word(asked, "timeInForce") or "GTC")
        if force is None:
            self._refuse(10001, "params error: timeInForce invalid")
        in_quote = not rules.is_perpetual and kind == "Market" and side == BUY
        if in_quote and asked.get("marketUnit") != "baseCoin":
            value = figure(asked.get("qty"))
            lots = self._desk.lots_for(market, side, value) if value is not None else None
        else:
            lots = steps(asked.get("qty"), rules.lot)
        if lots is None:
            self._decline(market, Why.LOT)
        trigger = self._price(market, asked, "triggerPrice") if asked.get("triggerPrice") else None
        apart = word(asked, "orderFilter") or "Order"
        if not rules.is_perpetual and apart != ("Order" if trigger is None else _APART):
            self._refuse(
                170130, f"Data sent for parameter '{apart}' is not valid."
            )  # StopOrder is not played
        return Ticket(
            word(asked, "orderLinkId"),
            side,
            lots,
            self._price(market, asked, "price") if kind == "Limit" else None,
            trigger,
            Force.IOC if kind == "Market" else force,
            rising=_rising(market, trigger, asked.get("triggerDirection")),
            reduces=rules.is_perpetual and asked.get("reduceOnly") in (True, "true"),
            meets_own=asked.get("smpType") != "CancelMaker",
        )

    def _price(self, market: Market, asked: Mapping[str, Any], name: str) -> int:
        found = steps(asked.get(name), market.instrument.tick)
        if found is None:
            self._decline(market, Why.TICK)
        return found

    def _find(self, account: Account, asked: Mapping[str, Any]) -> Placed | None:
        id, client_id = str(asked.get("orderId") or ""), word(asked, "orderLinkId")
        if id:
            return self._desk.find(account, id=int(id)) if id.isdecimal() else None
        return self._desk.find(account, client_id=client_id) if client_id else None

    def _working(self, account: Account, asked: Mapping[str, Any]) -> Placed:
        market, order = self._market(asked), self._find(account, asked)
        if order is None or order.market is not market or not order.state.is_working:
            self._decline(market, Why.UNKNOWN)
        return order

    def _amend(self, account: Account, asked: Mapping[str, Any]) -> object:
        order = self._working(account, asked)
        market = order.market
        lots = steps(asked["qty"], market.instrument.lot) if asked.get("qty") else None
        if asked.get("qty") and lots is None:
            self._decline(market, Why.LOT)
        price = self._price(market, asked, "price") if asked.get("price") else None
        trigger = self._price(market, asked, "triggerPrice") if asked.get("triggerPrice") else None
        old = order.ticket
        if (lots or old.lots, price or old.price, trigger or old.trigger) == (
            old.lots,
            old.price,
            old.trigger,
        ):
            self._refuse(10001, "The order remains unchanged: what was sent is what it has already.")
        try:
            self._desk.amend(order, self._place.now, lots=lots, price=price, trigger=trigger)
        except Declined as declined:
            if declined.why is Why.WOULD_TAKE:
                self._desk.cancel(order, self._place.now, State.EXPIRED)
            else:
                self._decline(market, declined.why)
        if trigger is not None and not market.instrument.is_perpetual:
            order.rising = bool(_rising(market, trigger, None))
        return self._ok({"orderId": str(order.id), "orderLinkId": order.ticket.client_id})

    def _cancel(self, account: Account, asked: Mapping[str, Any]) -> object:
        order = self._working(account, asked)
        if not _is_among(order, word(asked, "orderFilter") or "Order"):
            self._decline(order.market, Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return self._ok({"orderId": str(order.id), "orderLinkId": order.ticket.client_id})

    def _cancel_all(self, account: Account, asked: Mapping[str, Any]) -> object:
        apart = word(asked, "orderFilter") or "Order"
        found = list(live(self._asked_for(account, {**asked, "orderFilter": apart})))
        for order in found:
            self._desk.cancel(order, self._place.now)
        ids = [{"orderId": str(order.id), "orderLinkId": order.ticket.client_id} for order in found]
        return self._ok({"list": ids, "success": "1"})

    def _asked_for(self, account: Account, asked: Mapping[str, Any]) -> list[Placed]:
        """Return the orders of a category, or of one of its instruments, newest first."""
        category = word(asked, "category")
        if category not in self._markets:
            self._refuse(10001, "params error: category invalid")
        market = self._market(asked) if asked.get("symbol") else None
        orders = self._desk.of(account, market)
        apart = word(asked, "orderFilter")
        found = [each for each in reversed(orders) if self._names[each.market.instrument.id][0] == category]
        return [each for each in found if not apart or _is_among(each, apart)]

    def _realtime(self, account: Account, asked: Mapping[str, Any]) -> object:
        """Tell what is open; a single order too when it has ended, and with `openOnly=1` those that have."""
        if asked.get("orderId") or asked.get("orderLinkId"):
            one = self._find(account, asked)
            found = [
                each for each in self._asked_for(account, asked) if one is not None and each.id == one.id
            ]
        elif asked.get("openOnly") == "1":
            found = [each for each in self._asked_for(account, asked) if not each.state.is_working][:500]
        else:
            found = list(live(self._asked_for(account, asked)))
        return self._list(asked, [self._words.order(each) for each in found], 50)

    def _history(self, account: Account, asked: Mapping[str, Any]) -> object:
        found = [each for each in self._asked_for(account, asked) if not each.state.is_working]
        if asked.get("orderId") or asked.get("orderLinkId"):
            one = self._find(account, asked)
            found = [each for each in found if one is not None and each.id == one.id]
        return self._list(asked, [self._words.order(each) for each in found], 50)

    def _executions(self, account: Account, asked: Mapping[str, Any]) -> object:
        one = self._find(account, asked)
        names_one = bool(asked.get("orderId") or asked.get("orderLinkId"))
        ends = (int(asked.get(name) or "0") * MS_NS for name in ("startTime", "endTime"))
        span = listed(ends, self._place.now)
        if span is None:
            self._refuse(10001, "The time range between startTime and endTime cannot exceed 7 days")
        since, until = span
        rows = [
            self._words.part(order, part)
            for order in self._asked_for(account, asked)
            for part in order.parts
            if ((one is not None and order.id == one.id) if names_one else since <= part.ts <= until)
        ]
        if not names_one and word(asked, "category") == "linear":
            rows += self._fundings(account, asked, since, until)
        rows.sort(key=lambda row: int(row["execTime"]), reverse=True)
        return self._list(asked, rows, 100)

    def _fundings(
        self, account: Account, asked: Mapping[str, Any], since: int, until: int
    ) -> list[dict[str, Any]]:
        market = self._market(asked) if asked.get("symbol") else None
        return [
            self._words.funding(line, number)
            for number, line in enumerate(account.ledger)
            if line.why == "funding"
            and since <= line.ts <= until
            and (market is None or line.instrument == market.instrument.id)
        ]

    def _list(self, asked: Mapping[str, Any], rows: list[dict[str, Any]], most: int) -> object:
        limit = min(int(asked.get("limit") or most), most)
        start = int(asked.get("cursor") or 0)
        more = str(start + limit) if len(rows) > start + limit else ""
        told = {"list": rows[start : start + limit], "nextPageCursor": more}
        return self._ok(told | {"category": asked.get("category")})

    # --- the account

    def _wallet(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        self._loans.loans.charge(account, self._place.now)
        return self._ok({"list": [self._words.wallet(account)]})

    def _info(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        is_isolated = any(each.is_isolated for each in account.positions.values())
        return self._ok(
            {
                "marginMode": "ISOLATED_MARGIN" if is_isolated else "REGULAR_MARGIN",
                "updatedTime": "1697078946000",
                "unifiedMarginStatus": 5,
                "dcpStatus": "OFF",
                "timeWindow": 10,
                "smpGroup": 0,
                "isMasterTrader": False,
                "spotHedgingStatus": "OFF",
            }
        )

    def _rates(self, account: Account, asked: Mapping[str, Any]) -> object:
        markets = self._markets.get(word(asked, "category"), {})
        rates = {"takerFeeRate": plain(account.taker), "makerFeeRate": plain(account.maker)}
        wanted = asked.get("symbol")
        rows = [{"symbol": symbol} | rates for symbol in markets if wanted in (None, "", symbol)]
        return self._ok({"list": rows})

    def _key(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        may = account.permissions
        wallet = ["AccountTransfer", "SubMemberTransferList"] + ["Withdraw"] * may.withdraw
        permissions = {
            "ContractTrade": ["Order", "Position"] if may.trade else [],
            "Spot": ["SpotTrade"] if may.trade else [],
            "Wallet": wallet,
            "Options": [],
            "Derivatives": [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
        }
        return self._ok(
            {
                "id": "13770661",
                "note": "local",
                "apiKey": account.key,
                "readOnly": 0 if may.trade else 1,
                "secret": "",
                "permissions": permissions,
                "ips": list(may.addresses) or ["*"],
                "type": 1,
                "deadlineDay": 66,
                "expiredAt": "2099-05-01T07:20:25Z",
                "createdAt": "2022-10-16T02:24:40Z",
                "unified": 0,
                "uta": 1,
                "userID": account.number,
                "inviterID": 0,
                "vipLevel": "No VIP",
                "isMaster": True,
                "parentUid": "0",
            }
        )

    def _positions(self, account: Account, asked: Mapping[str, Any]) -> object:
        if word(asked, "category") != "linear":
            return self._list(asked, [], 200)
        wanted = [self._market(asked)] if asked.get("symbol") else list(self._markets["linear"].values())
        rows = [
            self._words.position(account, market) | {"positionIdx": side}
            for market in wanted
            if asked.get("symbol") or self._desk.clearing.position(account, market).lots
            for side in ((1, 2) if account.is_hedged else (0,))
        ]
        return self._list(asked, rows, 200)

    def _set_leverage(self, account: Account, asked: Mapping[str, Any]) -> object:
        held = self._desk.clearing.position(account, self._market(asked))
        leverage = steps(asked.get("buyLeverage"), figure(1) or ZERO)
        if leverage is None or leverage > 100 or asked.get("sellLeverage") != asked.get("buyLeverage"):
            self._refuse(10001, "buy leverage invalid")
        if leverage == held.leverage:
            self._refuse(110043, "leverage not modified")
        held.leverage = leverage
        return self._ok({})

    def _switch_mode(self, account: Account, asked: Mapping[str, Any]) -> object:
        hedged = asked.get("mode") in (3, "3")
        if any(self._desk.clearing.open_of(account)):
            self._refuse(110024, "You have an existing position, so position mode cannot be switched.")
        if hedged == account.is_hedged:
            self._refuse(110025, "Position mode is not modified")
        account.is_hedged = hedged
        return self._ok({})

    # --- the account's own stream

    def listen(self, listener: Listener, asked: Mapping[str, Any]) -> None:
        """Answer auth, subscribe, unsubscribe and ping on the private stream."""
        op, names = word(asked, "op"), asked.get("args")
        answer: dict[str, Any] = {
            "success": True, "ret_msg": "", "op": op, "conn_id": f"local-{listener.number}",
            "req_id": word(asked, "req_id"),
        }  # fmt: skip
        names = [str(each) for each in names] if isinstance(names, list) else []
        if op == "ping":
            told = {"req_id": answer["req_id"], "op": "pong", "conn_id": answer["conn_id"]}
            listener.say(said(told | {"args": [str(millis(self._place.now))]}))
            return
        if op == "auth":
            account = self._desk.accounts.get(names[0]) if len(names) == 3 else None
            good = (
                account is not None and not account.permissions.is_revoked and self._is_signed(account, names)
            )
            if good and account is not None:
                self._ears.admit(listener, account)
            told = answer if good else answer | {"success": False, "ret_msg": "Params Error"}
            listener.say(said(told))
            return
        if op not in ("subscribe", "unsubscribe") or self._ears.account(listener) is None:
            text = "error:unknown op" if self._ears.account(listener) else "Request not authorized"
            listener.say(said(answer | {"success": False, "ret_msg": text}))
            return
        bad = [name for name in names if name.partition(".")[0] not in _TOPICS]
        if bad:
            text = f"error:handler not found,topic:{bad[0]}"
            listener.say(said(answer | {"success": False, "ret_msg": text}))
            return
        for name in names:
            (self._ears.want if op == "subscribe" else self._ears.drop)(listener, name.partition(".")[0])
        listener.say(said(answer))

    def _is_signed(self, account: Account, names: list[str]) -> bool:
        _, expires, signature = names
        fresh = expires.isdecimal() and int(expires) > millis(self._place.now)
        return fresh and hmac.compare_digest(
            _sign(account, f"GET/realtime{expires}").encode(), signature.encode()
        )

    def told(self, news: News) -> None:
        """Tell the account's streams what happened."""
        account = news.account
        if news.order is not None:
            if news.part is not None:
                self._push(account, "execution", [self._words.part(news.order, news.part)])
                if news.order.market.instrument.is_perpetual:
                    row = self._words.position(account, news.order.market) | {"category": "linear"}
                    self._push(account, "position", [row | {"entryPrice": row["avgPrice"]}])
            self._push(account, "order", [self._words.order(news.order)])
        elif news.line is not None and news.line.why == "funding":
            self._push(
                account, "execution", [self._words.funding(news.line, account.ledger.index(news.line))]
            )
        if self._ears.wanted(account, "wallet"):
            self._push(account, "wallet", [self._words.wallet(account)])

    def _push(self, account: Account, topic: str, rows: Iterable[dict[str, Any]]) -> None:
        now = millis(self._place.now)
        frame = {"id": f"local{now}", "topic": topic, "creationTime": now, "data": list(rows)}
        self._ears.tell(account, topic, said(frame))


def _rising(market: Market, trigger: int | None, direction: object) -> bool | None:
    """Return from which side a trigger is reached, as was said or, in a spot market, as it lies now."""
    if trigger is not None and not market.instrument.is_perpetual:
        return trigger > (market.tape.price[-1] if len(market.tape) else 0)
    return {1: True, 2: False}.get(direction) if isinstance(direction, int) else None


def _is_among(order: Placed, apart: str) -> bool:
    """Say whether an order is among those that `orderFilter` names; of perpetuals all are."""
    if order.market.instrument.is_perpetual:
        return True
    return apart == ("Order" if order.ticket.trigger is None else _APART)


def _sign(account: Account, payload: str) -> str:
    return hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

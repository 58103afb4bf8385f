"""Binance's trading side: signed orders, questions and balances (/api/v3), and the account's own stream (/ws-api/v3).

Signatures are checked over what came, byte by byte; refusals have Binance's codes and words.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from abidance.testing.exchange.accounts import ZERO, Account
from abidance.testing.exchange.binance_keys import BinanceKeys, Handler
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import figure
from abidance.testing.exchange.desk import Declined, Desk, News, Part, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import DAY_NS, Asked, Listener, Place, Refusal, millis, said
from abidance.testing.exchange.market import NEVER, Market

_SIDES = {"BUY": BUY, "SELL": SELL}
_FORCES = {"GTC": Force.GTC, "IOC": Force.IOC, "FOK": Force.FOK}
_STATUS = {
    State.WAITING: "NEW",
    State.OPEN: "NEW",
    State.PARTIAL: "PARTIALLY_FILLED",
    State.FILLED: "FILLED",
    State.CANCELLED: "CANCELED",
    State.EXPIRED: "EXPIRED",
}
_DECLINED: Mapping[Why, tuple[int, str]] = {
    Why.FUNDS: (-2010, "Account has insufficient balance for requested action."),
    Why.LOT: (-1013, "Filter failure: LOT_SIZE"),
    Why.LEAST: (-1013, "Filter failure: LOT_SIZE"),
    Why.TICK: (-1013, "Filter failure: PRICE_FILTER"),
    Why.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Why.DUPLICATE: (-2010, "Duplicate order sent."),
    Why.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Why.WOULD_TRIGGER: (-2010, "Order would trigger immediately."),
    Why.NO_DEPTH: (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    Why.HALTED: (-2010, "Market is closed."),
    Why.UNKNOWN: (-2011, "Unknown order sent."),
    Why.MANY: (-2010, "Filter failure: MAX_NUM_ORDERS"),
    Why.STOPS: (-2010, "Filter failure: MAX_NUM_ALGO_ORDERS"),
}
_TYPES = {
    "TAKE_PROFIT": (False, True), "TAKE_PROFIT_LIMIT": (True, True),
    "MARKET": (False, False), "LIMIT": (True, False), "LIMIT_MAKER": (True, False), "STOP_LOSS": (False, True),
    "STOP_LOSS_LIMIT": (True, True),
}  # fmt: skip


class BinanceOrders:
    """Spot orders of the accounts of one exchange."""

    longest = millis(DAY_NS)
    """Of how long a time trades are listed at once, ms."""

    def __init__(self, markets: Mapping[str, Market], place: Place, keys: BinanceKeys) -> None:
        self._markets = markets
        self._names = {market.instrument.id: symbol for symbol, market in markets.items()}
        self._place = place
        self._keys = keys
        self._listeners: list[tuple[Listener, Account]] = []

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST /api/v3/order": self._place_order,
            "GET /api/v3/order": self._query,
            "DELETE /api/v3/order": self._cancel,
            "GET /api/v3/openOrders": self._open,
            "DELETE /api/v3/openOrders": self._cancel_all,
            "GET /api/v3/allOrders": self._all,
            "GET /api/v3/myTrades": self._trades,
            "GET /api/v3/account": self._account,
            "GET /api/v3/account/commission": self._commission,
            "POST /api/v3/order/cancelReplace": self._cancel_replace,
            "GET /sapi/v1/account/apiRestrictions": self._restrictions,
            "GET /sapi/v1/capital/config/getall": self._coins,
        }
        return {name: self._keys.signed(handler) for name, handler in found.items()}

    def _coins(self, account: Account, _params: Mapping[str, str]) -> object:
        """Tell of what is traded, and of what the account has of it; nothing is paid in or out by a network."""
        rules = [market.instrument for market in self._markets.values()]
        return [
            {
                "coin": asset,
                "name": asset,
                "depositAllEnable": True,
                "withdrawAllEnable": True,
                "free": format(account.purses[asset].free if asset in account.purses else ZERO, "f"),
                "locked": format(account.purses[asset].locked if asset in account.purses else ZERO, "f"),
                "isLegalMoney": False,
                "trading": True,
                "networkList": [],
            }
            for asset in dict.fromkeys(each for pair in rules for each in (pair.base, pair.quote))
        ]

    def _market(self, params: Mapping[str, str]) -> Market:
        market = self._markets.get(params.get("symbol", ""))
        if market is None:
            raise Refusal(400, {"code": -1121, "msg": "Invalid symbol."})
        return market

    def _commission(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        none = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
        own = none | {"maker": str(account.maker), "taker": str(account.taker)}
        kinds = {"standardCommission": own, "specialCommission": none, "taxCommission": none}
        is_paid = account.fee_asset == "BNB"
        discount = {
            "enabledForAccount": is_paid,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        }
        return {"symbol": params["symbol"], **kinds, "discount": discount}

    # --- orders

    def _place_order(self, account: Account, params: Mapping[str, str]) -> object:
        market = self._market(params)
        if not account.permissions.trade:
            raise Refusal(401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."})
        if params.get("type") == "MARKET" and (value := figure(params.get("quoteOrderQty"))) is not None:
            lots = self._desk.lots_for(market, _SIDES.get(params.get("side", ""), BUY), value)
            params = {**params, "quantity": market.lots.text(lots)}
        ticket = _ticket(market, params)
        ticket.client_id = ticket.client_id or f"local{len(self._desk.orders)}"
        try:
            order = self._desk.place(account, market, ticket, self._place.now)
        except Declined as declined:
            raise _refusal(declined.why) from None
        return {**self._told_order(order), "transactTime": millis(order.ts), "fills": _fills(order)}

    def _query(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._find(account, params)
        if order is None:
            raise Refusal(400, {"code": -2013, "msg": "Order does not exist."})
        return self._told_order(order)

    def _find(self, account: Account, params: Mapping[str, str]) -> Placed | None:
        market = self._market(params)
        id, client_id = params.get("orderId", ""), params.get("origClientOrderId", "")
        order = self._desk.find(account, id=int(id) if id.isdecimal() else 0, client_id=client_id)
        return order if order is not None and order.market is market else None

    def _cancel(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._find(account, params)
        if order is None or not order.state.is_working:
            raise _refusal(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return self._taken_back(order)

    def _cancel_replace(self, account: Account, params: Mapping[str, str]) -> object:
        """Take one order back and place another; with STOP_ON_FAILURE the second only after the first."""
        names = {
            "orderId": params.get("cancelOrderId", ""),
            "origClientOrderId": params.get("cancelOrigClientOrderId", ""),
        }
        results: dict[str, Any] = {"cancelResult": "SUCCESS", "newOrderResult": "NOT_ATTEMPTED"}
        answers: dict[str, Any] = {"cancelResponse": None, "newOrderResponse": None}
        try:
            answers["cancelResponse"] = self._cancel(account, {"symbol": params.get("symbol", "")} | names)
        except Refusal as refusal:
            results["cancelResult"], answers["cancelResponse"] = "FAILURE", refusal.body
        if results["cancelResult"] == "SUCCESS" or params.get("cancelReplaceMode") == "ALLOW_FAILURE":
            try:
                answers["newOrderResponse"] = self._place_order(account, params)
                results["newOrderResult"] = "SUCCESS"
            except Refusal as refusal:
                results["newOrderResult"], answers["newOrderResponse"] = "FAILURE", refusal.body
        if set(results.values()) == {"SUCCESS"}:
            return results | answers
        is_partial = "SUCCESS" in results.values()
        code, text = (
            (-2021, "Order cancel-replace partially failed.")
            if is_partial
            else (-2022, "Order cancel-replace failed.")
        )
        raise Refusal(409 if is_partial else 400, {"code": code, "msg": text, "data": results | answers})

    def _cancel_all(self, account: Account, params: Mapping[str, str]) -> object:
        found = list(live(self._desk.of(account, self._market(params))))
        if not found:
            raise _refusal(Why.UNKNOWN)
        for order in found:
            self._desk.cancel(order, self._place.now)
        return [self._taken_back(order) for order in found]

    def _taken_back(self, order: Placed) -> dict[str, Any]:
        told = self._told_order(order)
        told["origClientOrderId"], told["clientOrderId"] = told["clientOrderId"], f"cancel{order.id}"
        return told

    def _open(self, account: Account, params: Mapping[str, str]) -> object:
        market = self._market(params) if "symbol" in params else None
        return [self._told_order(order) for order in live(self._desk.of(account, market))]

    def _all(self, account: Account, params: Mapping[str, str]) -> object:
        return [self._told_order(order) for order in self._desk.of(account, self._market(params))][-500:]

    def _trades(self, account: Account, params: Mapping[str, str]) -> object:
        market, first, (since, until) = (
            self._market(params),
            int(params.get("fromId", 0)),
            self._listed(params),
        )
        limit = min(1000, int(params.get("limit", 500)))
        found = [
            self._trade(order, part)
            for order in self._desk.of(account, market)
            for part in order.parts
            if since <= millis(part.ts) <= until and part.id >= first
        ]
        found.sort(key=lambda each: each["id"])
        return found[:limit] if first or "startTime" in params else found[-limit:]

    def _listed(self, params: Mapping[str, str]) -> tuple[int, int]:
        """Return of which time trades are listed, ms: of a day at the most if both ends are named. Raises Refusal."""
        since, until = (int(params.get(name, 0)) for name in ("startTime", "endTime"))
        if "fromId" in params and (since or until):
            raise Refusal(400, {"code": -1128, "msg": "Combination of optional parameters invalid."})
        if since and until - since > self.longest:
            text = "More than 24 hours between startTime and endTime."
            raise Refusal(400, {"code": -1127, "msg": text})
        return since, until or millis(NEVER)

    def _trade(self, order: Placed, part: Part) -> dict[str, Any]:
        market = order.market
        unit = market.instrument.tick * market.instrument.lot
        return {
            "symbol": self._names[market.instrument.id],
            "id": part.id,
            "orderId": order.id,
            "orderListId": -1,
            "price": market.ticks.text(part.price),
            "qty": market.lots.text(part.lots),
            "quoteQty": format(part.price * part.lots * unit, "f"),
            "commission": format(part.fee, "f"),
            "commissionAsset": part.fee_asset,
            "time": millis(part.ts),
            "isBuyer": order.ticket.side == BUY,
            "isMaker": part.is_maker,
            "isBestMatch": True,
        }

    def _account(self, account: Account, params: Mapping[str, str]) -> object:
        skips = params.get("omitZeroBalances") == "true"
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "canTrade": account.permissions.trade,
            "canWithdraw": account.permissions.withdraw,
            "canDeposit": True,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": format(purse.free, "f"), "locked": format(purse.locked, "f")}
                for asset, purse in account.purses.items()
                if purse.total or not skips
            ],
            "permissions": ["SPOT"],
            "uid": account.number,
        }

    def _restrictions(self, account: Account, _params: Mapping[str, str]) -> object:
        permissions = account.permissions
        return {
            "ipRestrict": bool(permissions.addresses),
            "createTime": 1698645219000,
            "enableReading": True,
            "enableWithdrawals": permissions.withdraw,
            "enableInternalTransfer": False,
            "enableMargin": permissions.borrow,
            "enableFutures": permissions.trade,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableSpotAndMarginTrading": permissions.trade,
        }

    def _told_order(self, order: Placed) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        price, lots = market.ticks.text, market.lots.text
        return {
            "symbol": self._names[market.instrument.id],
            "orderId": order.id,
            "orderListId": -1,
            "clientOrderId": ticket.client_id,
            "price": price(ticket.price or 0),
            "origQty": lots(ticket.lots),
            "executedQty": lots(order.filled),
            "cummulativeQuoteQty": format(order.paid, "f"),
            "status": _status(order),
            "timeInForce": ticket.force.value.upper() if ticket.force is not Force.POST else "GTC",
            "type": _kind(ticket),
            "side": "BUY" if ticket.side == BUY else "SELL",
            "stopPrice": price(ticket.trigger or 0),
            "icebergQty": "0.00000000",
            "time": millis(order.ts),
            "updateTime": millis(order.updated),
            "isWorking": order.state is not State.WAITING,
            "workingTime": millis(order.ts),
            "origQuoteOrderQty": "0.00000000",
            "selfTradePreventionMode": "EXPIRE_MAKER",
        }

    # --- the account's own stream

    def subscribe(self, listener: Listener, asked: Mapping[str, Any]) -> None:
        """Answer a request on the WebSocket API."""
        number, params = asked.get("id"), asked.get("params")
        if asked.get("method") != "userDataStream.subscribe.signature" or not isinstance(params, dict):
            listener.say(
                said({"id": number, "status": 400, "error": {"code": -1130, "msg": "Invalid data."}})
            )
            return
        texts = {str(name): str(value) for name, value in params.items()}
        payload = "&".join(f"{name}={texts[name]}" for name in sorted(texts) if name != "signature")
        try:
            account = self._keys.known(texts.get("apiKey", ""))
            self._keys.check(account, payload, texts)
        except Refusal as refusal:
            listener.say(said({"id": number, "status": refusal.status, "error": refusal.body}))
            return
        self._listeners.append((listener, account))
        listener.say(said({"id": number, "status": 200, "result": {"subscriptionId": 0}}))

    def told(self, news: News) -> None:
        """Tell the account's streams what happened."""
        if news.order is not None and news.order.market.instrument.is_perpetual:
            return
        self._listeners = [each for each in self._listeners if not each[0].is_over]
        frames = []
        if news.order is not None:
            frames.append(self._report(news.order, news.part))
            if news.part is not None or not news.order.state.is_working or not news.order.parts:
                frames.append(self._position(news.order))
        elif news.line is not None and news.line.why in ("deposit", "withdrawal"):
            now = millis(news.line.ts)
            moved = format(news.line.amount, "f")
            frames.append({"e": "balanceUpdate", "E": now, "a": news.line.asset, "d": moved, "T": now})
        for listener, account in self._listeners:
            if account is news.account:
                for event in frames:
                    listener.push(f"account {event['e']}", said({"subscriptionId": 0, "event": event}))

    def _report(self, order: Placed, part: Part | None) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        price, lots = market.ticks.text, market.lots.text
        is_gone = order.state in (State.CANCELLED, State.EXPIRED) and part is None
        was = "CANCELED" if order.state is State.CANCELLED else "EXPIRED" if is_gone else "NEW"
        return {
            "e": "executionReport",
            "E": millis(order.updated),
            "s": self._names[market.instrument.id],
            "c": f"cancel{order.id}" if was == "CANCELED" else ticket.client_id,
            "S": "BUY" if ticket.side == BUY else "SELL",
            "o": _kind(ticket),
            "f": "GTC" if ticket.force is Force.POST else ticket.force.value.upper(),
            "q": lots(ticket.lots),
            "p": price(ticket.price or 0),
            "P": price(ticket.trigger or 0),
            "F": "0.00000000",
            "g": -1,
            "C": ticket.client_id if was == "CANCELED" else "",
            "x": "TRADE" if part is not None else was,
            "X": _status(order),
            "r": "NONE",
            "i": order.id,
            "l": lots(part.lots if part else 0),
            "z": lots(order.filled),
            "L": price(part.price if part else 0),
            "n": format(part.fee, "f") if part else "0",
            "N": part.fee_asset if part else None,
            "T": millis(order.updated),
            "t": part.id if part else -1,
            "I": order.id * 2,
            "w": order.state in (State.OPEN, State.PARTIAL),
            "m": bool(part and part.is_maker),
            "M": False,
            "O": millis(order.ts),
            "Z": format(order.paid, "f"),
            "Y": "0.00000000",
            "Q": "0.00000000",
            "V": "EXPIRE_MAKER",
        }

    def _position(self, order: Placed) -> dict[str, Any]:
        rules, account = order.market.instrument, order.account
        assets = dict.fromkeys((rules.base, rules.quote, account.fee_asset))
        now = millis(order.updated)
        return {
            "e": "outboundAccountPosition",
            "E": now,
            "u": now,
            "B": [
                {
                    "a": asset,
                    "f": format(account.purse(asset).free, "f"),
                    "l": format(account.purse(asset).locked, "f"),
                }
                for asset in assets
                if asset
            ],
        }


def _ticket(market: Market, params: Mapping[str, str]) -> Ticket:
    """Read an order. Raises Refusal."""
    kind, side = params.get("type", ""), _SIDES.get(params.get("side", ""))
    if kind not in _TYPES:
        raise Refusal(400, {"code": -1116, "msg": "Invalid orderType."})
    if side is None:
        raise Refusal(400, {"code": -1117, "msg": "Invalid side."})
    priced, triggered = _TYPES[kind]
    force = _FORCES.get(params.get("timeInForce", "GTC"))
    if force is None:
        raise Refusal(400, {"code": -1115, "msg": "Invalid timeInForce."})
    if not priced and "price" in params:
        raise Refusal(400, {"code": -1106, "msg": "Parameter 'price' sent when not required."})
    rules = market.instrument
    return Ticket(
        params.get("newClientOrderId", ""),
        side,
        _steps(params, "quantity", rules.lot, "LOT_SIZE"),
        _steps(params, "price", rules.tick, "PRICE_FILTER") if priced else None,
        _steps(params, "stopPrice", rules.tick, "PRICE_FILTER") if triggered else None,
        Force.POST if kind == "LIMIT_MAKER" else Force.IOC if not priced else force,
        rising=(side == SELL) if kind.startswith("TAKE") else None,
    )


def _steps(params: Mapping[str, str], name: str, step: Decimal, filter: str) -> int:
    """Read a parameter as whole steps. Raises Refusal."""
    text = params.get(name)
    if text is None:
        told = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise Refusal(400, {"code": -1102, "msg": told})
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = ZERO
    if not value.is_finite() or abs(value) > 10**15:
        value = ZERO
    steps = value / step
    if steps <= 0 or steps != steps.to_integral_value():
        raise Refusal(400, {"code": -1013, "msg": f"Filter failure: {filter}"})
    return int(steps)


def _status(order: Placed) -> str:
    return "EXPIRED_IN_MATCH" if order.is_self_trade else _STATUS[order.state]


def _kind(ticket: Ticket) -> str:
    if ticket.force is Force.POST:
        return "LIMIT_MAKER"
    if ticket.trigger is not None:
        kind = "STOP_LOSS" if ticket.rising is None else "TAKE_PROFIT"
        return kind if ticket.price is None else f"{kind}_LIMIT"
    return "MARKET" if ticket.price is None else "LIMIT"


def _fills(order: Placed) -> list[dict[str, Any]]:
    market = order.market
    return [
        {
            "price": market.ticks.text(part.price),
            "qty": market.lots.text(part.lots),
            "commission": format(part.fee, "f"),
            "commissionAsset": part.fee_asset,
            "tradeId": part.id,
        }
        for part in order.parts
    ]


def _refusal(why: Why) -> Refusal:
    code, text = _DECLINED[why]
    return Refusal(400, {"code": code, "msg": text})

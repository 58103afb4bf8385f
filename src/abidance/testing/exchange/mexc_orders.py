"""MEXC's trading side for spot: orders signed as at Binance but with its own words, and protobuf private channels.

There are no stops and no amendments. Fees are paid in the quote asset.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from abidance.model.instrument import MS_NS
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.binance_keys import BinanceKeys, Handler
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import Ears, figure, is_over, mean_price, plain, steps
from abidance.testing.exchange.desk import Declined, Desk, News, Part, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import DAY_NS, Asked, Listener, Place, Refusal, millis, said
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.mexc_frames import message

_CHANNELS = {
    "spot@private.orders.v3.api.pb": 304,
    "spot@private.deals.v3.api.pb": 306,
    "spot@private.account.v3.api.pb": 307,
}
_ORDERS, _DEALS, _ACCOUNT = _CHANNELS
_LISTED_FOR = 30 * DAY_NS
"""How old the oldest trade is that is listed."""
_MOVES = {"deposit": "DEPOSIT", "withdrawal": "WITHDRAW"}
_KINDS = {
    "LIMIT": Force.GTC,
    "MARKET": Force.IOC,
    "LIMIT_MAKER": Force.POST,
    "IMMEDIATE_OR_CANCEL": Force.IOC,
    "FILL_OR_KILL": Force.FOK,
}
_NUMBERS = {"LIMIT": 1, "LIMIT_MAKER": 2, "IMMEDIATE_OR_CANCEL": 3, "FILL_OR_KILL": 4, "MARKET": 5}
_REFUSALS = {
    "address": (400, 700006, "IP [127.0.0.1] not in the ip white list"),
    "key": (400, 10072, "Api key info invalid"),
    "right": (400, 700007, "No permission to access the endpoint."),
    "signature": (400, 700002, "Signature for this request is not valid."),
    "no time": (400, 700004, "Param 'timestamp' must be sent, but it was empty or null."),
    "time": (400, 700003, "Timestamp for this request is outside of the recvWindow."),
}
_DECLINED: Mapping[Why, tuple[int, str]] = {
    Why.FUNDS: (30004, "Insufficient position"),
    Why.LOT: (400, "amount scale is invalid"),
    Why.LEAST: (30002, "The minimum transaction volume cannot be less than the limit"),
    Why.TICK: (400, "price scale is invalid"),
    Why.NOTIONAL: (30002, "The minimum transaction volume cannot be less than 1USDT"),
    Why.DUPLICATE: (30029, "Duplicate newClientOrderId"),
    Why.NO_DEPTH: (30010, "no valid trade price"),
    Why.HALTED: (30016, "Trading disabled"),
    Why.UNKNOWN: (-2011, "Unknown order id."),
    Why.MANY: (30029, "Cannot exceed the maximum order limit"),
}


class MexcOrders:
    """Spot orders of the accounts of one exchange."""

    def __init__(self, markets: Mapping[str, Market], place: Place) -> None:
        self._markets = markets
        self._names = {market.instrument.id: symbol for symbol, market in markets.items()}
        self._place = place
        self._keys = BinanceKeys(place, _REFUSALS)
        self._ears = Ears()
        self._keys.expired = lambda account, _: self._ears.expel(account, "Invalid listen key")
        place.desk.ends_post = place.desk.fees_in_quote = True

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST order": self._place_order,
            "GET order": self._query,
            "DELETE order": self._cancel,
            "GET openOrders": lambda account, params: [
                self._told(each) for each in live(self._desk.of(account, self._market(params)))
            ],
            "DELETE openOrders": self._cancel_all,
            "GET allOrders": lambda account, params: [
                self._told(each) for each in reversed(self._desk.of(account, self._market(params)))
            ],
            "GET myTrades": self._trades,
            "GET account": self._account,
            "GET uid": self._number,
            "GET capital/config/getall": lambda *_: [],
            "GET tradeFee": lambda account, _: {
                "data": {"makerCommission": float(account.maker), "takerCommission": float(account.taker)},
                "code": 0,
                "msg": "success",
                "timestamp": millis(self._place.now),
            },
            "POST userDataStream": lambda account, _: {"listenKey": self._keys.listen_key(account)},
            "GET userDataStream": lambda account, _: {"listenKey": self._keys.listen_keys(account)},
            "PUT userDataStream": self._prolong,
            "DELETE userDataStream": self._expel,
        }
        signed = {name: self._keys.signed(handler) for name, handler in found.items()}
        return {name.replace(" ", " /api/v3/"): handler for name, handler in signed.items()}

    def _market(self, params: Mapping[str, str]) -> Market:
        market = self._markets.get(params.get("symbol", ""))
        if market is None:
            raise _no(-1121, "Invalid symbol.")
        return market

    # --- orders

    def _place_order(self, account: Account, params: Mapping[str, str]) -> object:
        market = self._market(params)
        self._keys.may_trade(account)
        ticket = self._ticket(market, params)
        try:
            order = self._desk.place(account, market, ticket, self._place.now)
        except Declined as declined:
            raise _declined(declined.why) from None
        return {
            "symbol": params["symbol"],
            "orderId": order_id(order),
            "orderListId": -1,
            "price": market.ticks.text(ticket.price or 0),
            "origQty": market.lots.text(ticket.lots),
            "type": params["type"],
            "side": params["side"],
            "transactTime": millis(order.ts),
        }

    def _ticket(self, market: Market, params: Mapping[str, str]) -> Ticket:
        kind, rules = params.get("type", ""), market.instrument
        side = {"BUY": BUY, "SELL": SELL}.get(params.get("side", ""))
        if side is None or kind not in _KINDS:
            raise _no(700013 if side else 700004, "Invalid orderType." if side else "Invalid side.")
        value = figure(params.get("quoteOrderQty")) if kind == "MARKET" else None
        lots = (
            self._desk.lots_for(market, side, value)
            if value is not None
            else steps(params.get("quantity"), rules.lot)
        )
        price = steps(params.get("price"), rules.tick) if kind != "MARKET" else None
        if lots is None:
            raise _declined(Why.LOT)
        if kind != "MARKET" and price is None:
            raise _declined(Why.TICK)
        meets_own = params.get("stpMode") != "cancel_maker"
        name = params.get("newClientOrderId", "")
        return Ticket(name, side, lots, price, force=_KINDS[kind], meets_own=meets_own)

    def _find(self, account: Account, params: Mapping[str, str]) -> Placed | None:
        market, id = self._market(params), params.get("orderId", "").removeprefix("C02__")
        order = self._desk.find(
            account,
            id=int(id) if id.isdecimal() else 0,
            client_id=params.get("origClientOrderId", "") or "-",
        )
        return order if order is not None and order.market is market else None

    def _query(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._find(account, params)
        if order is None:
            raise _no(-2013, "Order does not exist.")
        return self._told(order)

    def _cancel(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._find(account, params)
        if order is None or not order.state.is_working:
            raise _declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return self._told(order) | {"origClientOrderId": order.ticket.client_id}

    def _cancel_all(self, account: Account, params: Mapping[str, str]) -> object:
        wanted = [self._market({"symbol": name}) for name in params.get("symbol", "").split(",")]
        found = [each for each in live(self._desk.of(account)) if each.market in wanted]
        for order in found:
            self._desk.cancel(order, self._place.now)
        return [self._told(order) for order in found]

    def _trades(self, account: Account, params: Mapping[str, str]) -> object:
        market, wanted = self._market(params), params.get("orderId", "")
        since, until = (int(params.get(name, 0)) * MS_NS for name in ("startTime", "endTime"))
        since = max(since, self._place.now - _LISTED_FOR)
        found = [
            (part.id, self._told_part(order, part))
            for order in self._desk.of(account, market)
            for part in order.parts
            if since <= part.ts and (not until or part.ts <= until) and wanted in ("", order_id(order))
        ]
        found.sort(key=lambda each: -each[0])
        return [row for _, row in found][: min(100, int(params.get("limit", 100)))]

    # --- the account

    def _number(self, account: Account, _params: Mapping[str, str]) -> object:
        return {"uid": str(account.number)}

    def _account(self, account: Account, params: Mapping[str, str]) -> object:
        del params
        return {
            "canTrade": account.permissions.trade,
            "canWithdraw": account.permissions.withdraw,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": plain(purse.free), "locked": plain(purse.locked)}
                for asset, purse in account.purses.items()
                if purse.total
            ],
            "permissions": ["SPOT"],
        }

    # --- what is told

    def _told(self, order: Placed) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        return {
            "symbol": self._names[market.instrument.id],
            "orderId": order_id(order),
            "orderListId": -1,
            "clientOrderId": ticket.client_id or None,
            "price": market.ticks.text(ticket.price or 0),
            "origQty": market.lots.text(ticket.lots),
            "executedQty": market.lots.text(order.filled),
            "cummulativeQuoteQty": plain(order.paid),
            "status": _status(order),
            "timeInForce": None,
            "type": _kind(ticket),
            "side": "BUY" if ticket.side == BUY else "SELL",
            "stopPrice": None,
            "icebergQty": None,
            "time": millis(order.ts),
            "updateTime": millis(order.updated),
            "isWorking": order.state.is_working,
            "origQuoteOrderQty": plain(order.paid) if ticket.price is None else "0",
        }

    def _told_part(self, order: Placed, part: Part) -> dict[str, Any]:
        market = order.market
        unit = market.instrument.tick * market.instrument.lot
        return {
            "symbol": self._names[market.instrument.id],
            "id": str(part.id),
            "orderId": order_id(order),
            "orderListId": -1,
            "price": market.ticks.text(part.price),
            "qty": market.lots.text(part.lots),
            "quoteQty": plain(part.price * part.lots * unit),
            "commission": plain(part.fee),
            "commissionAsset": part.fee_asset,
            "time": millis(part.ts),
            "isBuyer": order.ticket.side == BUY,
            "isMaker": part.is_maker,
            "isBestMatch": True,
            "isSelfTrade": False,
            "clientOrderId": order.ticket.client_id or None,
        }

    # --- private channels

    def _prolong(self, account: Account, params: Mapping[str, str]) -> object:
        if self._keys.listening(params.get("listenKey", "")) is not account:
            raise _no(700008, "Illegal characters found in parameter 'listenKey'.")
        self._keys.listen_key(account)
        return {"listenKey": params["listenKey"]}

    def _expel(self, account: Account, params: Mapping[str, str]) -> object:
        self._keys.forget(account)
        self._ears.expel(account)
        return {"listenKey": params.get("listenKey", "")}

    def welcome(self, listener: Listener) -> None:
        """Let a connection that came with a listen key hear of its account."""
        name = parse_qs(listener.path.partition("?")[2]).get("listenKey", [""])[0]
        account = self._keys.listening(name)
        if account is not None:
            self._ears.admit(listener, account)

    def listen(self, listener: Listener, method: str, names: list[str]) -> list[str]:
        """Answer for the private channels among some, and return the rest."""
        if self._ears.account(listener) is None:
            return names
        own = [name for name in names if name in _CHANNELS]
        for name in own:
            (self._ears.want if method == "SUBSCRIPTION" else self._ears.drop)(listener, name)
        if own:
            listener.say(said({"id": 0, "code": 0, "msg": ",".join(own)}))
        return [name for name in names if name not in _CHANNELS]

    def told(self, news: News) -> None:
        """Tell the account's channels what happened."""
        account, order, part = news.account, news.order, news.part
        if not self._keys.listen_keys(account):
            return
        if order is not None:
            self._push(account, _ORDERS, self._order_frame(order), order.market)
            if part is not None:
                self._push(account, _DEALS, self._deal_frame(order, part), order.market)
        rules = order.market.instrument if order is not None else None
        assets = (rules.base, rules.quote) if rules is not None else (news.line.asset,) if news.line else ()
        for asset in assets:
            purse = account.purse(asset)
            kind, change = "ENTRUST_DEAL" if part else "ENTRUST", "0"
            if order is None and news.line is not None:
                kind, change = _MOVES.get(news.line.why, ""), plain(news.line.amount)
            body = message(
                (
                    (1, asset),
                    (2, f"coin-{asset}"),
                    (3, plain(purse.free)),
                    (4, change),
                    (5, plain(purse.locked)),
                    (6, "0"),
                    (7, kind),
                    (8, millis(self._place.now)),
                )
            )
            self._push(account, _ACCOUNT, body, None)

    def _push(self, account: Account, channel: str, body: bytes, market: Market | None) -> None:
        now = millis(self._place.now)
        named = ((3, self._names[market.instrument.id]),) if market is not None else ()
        frame = message(((1, channel), *named, (5, now), (6, now), (_CHANNELS[channel], body)))
        self._ears.tell(account, channel, frame)

    def _order_frame(self, order: Placed) -> bytes:
        market, ticket = order.market, order.ticket
        unit = market.instrument.tick * market.instrument.lot
        lots, value = market.lots.text, (ticket.price or 0) * ticket.lots * unit
        last = order.parts[-1].lots if order.parts else 0
        return message(
            (
                (1, order_id(order)),
                (2, ticket.client_id),
                (3, market.ticks.text(ticket.price or 0)),
                (4, lots(ticket.lots)),
                (5, plain(value or order.paid)),
                (6, mean_price(order)),
                (7, _NUMBERS[_kind(ticket)]),
                (8, 1 if ticket.side == BUY else 2),
                (9, int(bool(order.parts) and order.parts[-1].is_maker)),
                (10, plain(max(value - order.paid, 0 * order.paid))),
                (11, lots(order.left)),
                (12, lots(last)),
                (13, lots(order.filled)),
                (14, plain(order.paid)),
                (15, _number(order)),
                (16, millis(order.ts)),
            )
        )

    def _deal_frame(self, order: Placed, part: Part) -> bytes:
        market = order.market
        unit = market.instrument.tick * market.instrument.lot
        return message(
            (
                (1, market.ticks.text(part.price)),
                (2, market.lots.text(part.lots)),
                (3, plain(part.price * part.lots * unit)),
                (4, 1 if order.ticket.side == BUY else 2),
                (5, int(part.is_maker)),
                (6, 0),
                (7, str(part.id)),
                (8, order.ticket.client_id),
                (9, order_id(order)),
                (10, plain(part.fee)),
                (11, part.fee_asset),
                (12, millis(part.ts)),
            )
        )


def order_id(order: Placed) -> str:
    """Return an order's number as MEXC writes it."""
    return f"C02__{order.id}"


def _kind(ticket: Ticket) -> str:
    if ticket.price is None:
        return "MARKET"
    return next(name for name, force in _KINDS.items() if force is ticket.force and name != "MARKET")


def _status(order: Placed) -> str:
    if is_over(order):
        return "PARTIALLY_CANCELED" if order.filled else "CANCELED"
    return {State.PARTIAL: "PARTIALLY_FILLED", State.FILLED: "FILLED"}.get(order.state, "NEW")


def _number(order: Placed) -> int:
    names = ("NEW", "FILLED", "PARTIALLY_FILLED", "CANCELED", "PARTIALLY_CANCELED")
    return names.index(_status(order)) + 1


def _no(code: int, text: str) -> Refusal:
    return Refusal(400, {"code": code, "msg": text})


def _declined(why: Why) -> Refusal:
    return _no(*_DECLINED.get(why, (30000, "Suspended transaction for the symbol")))

"""Binance's trading side for USD-M perpetuals: orders, conditional orders, positions, and the stream of a listen key.

One-way positions with cross margin; in hedge mode every order is refused, as one is that names no side. Stops and take
profits are conditional ("algo") orders with an entrance of their own, as since December 2025.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from abidance.model.instrument import MS_NS
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.binance_keys import BinanceKeys, Handler
from abidance.testing.exchange.binance_words import WAITING, ContractWords, algo_number, is_conditional
from abidance.testing.exchange.clearing import MAINTENANCE
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import Ears, figure, listed, steps
from abidance.testing.exchange.desk import Declined, Desk, News, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import Asked, Listener, Place, Refusal, millis, said
from abidance.testing.exchange.market import NEVER, Market

_SIDES = {"BUY": BUY, "SELL": SELL}
_FORCES = {"GTC": Force.GTC, "IOC": Force.IOC, "FOK": Force.FOK, "GTX": Force.POST}
_PLAIN = ("LIMIT", "MARKET")
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
_DECLINED: Mapping[Why, tuple[int, str]] = {
    Why.FUNDS: (-2019, "Margin is insufficient."),
    Why.LOT: (-1111, "Precision is over the maximum defined for this asset."),
    Why.LEAST: (-4003, "Quantity less than or equal to zero."),
    Why.TICK: (-4014, "Price not increased by tick size."),
    Why.NOTIONAL: (-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
    Why.DUPLICATE: (-4116, "ClientOrderId is duplicated."),
    Why.WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    Why.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    Why.NO_DEPTH: (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    Why.HALTED: (-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."),
    Why.UNKNOWN: (-2011, "Unknown order sent."),
    Why.REDUCE: (-2022, "ReduceOnly Order is rejected."),
    Why.MANY: (-2025, "Reach max open order limit."),
    Why.STOPS: (-4045, "Reach max stop order limit."),
}


class BinanceContracts:
    """USD-M orders of the accounts of one exchange."""

    def __init__(self, markets: Mapping[str, Market], place: Place, keys: BinanceKeys) -> None:
        self._markets = markets
        self._names = {market.instrument.id: symbol for symbol, market in markets.items()}
        self._place = place
        self._keys = keys
        keys.expired = self._expired
        self._words = ContractWords(place.desk, self._names)
        self._ears = Ears()
        self._countdowns: dict[tuple[str, str], int] = {}

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "POST /fapi/v1/order": self._place_order,
            "PUT /fapi/v1/order": self._amend,
            "GET /fapi/v1/order": self._query,
            "DELETE /fapi/v1/order": self._cancel,
            "GET /fapi/v1/openOrders": self._open,
            "DELETE /fapi/v1/allOpenOrders": self._cancel_all,
            "POST /fapi/v1/countdownCancelAll": self._count_down,
            "GET /fapi/v1/allOrders": self._all,
            "GET /fapi/v1/userTrades": self._trades,
            "POST /fapi/v1/algoOrder": self._place_conditional,
            "GET /fapi/v1/algoOrder": self._query_conditional,
            "DELETE /fapi/v1/algoOrder": self._cancel_conditional,
            "GET /fapi/v1/openAlgoOrders": self._open_conditional,
            "DELETE /fapi/v1/algoOpenOrders": self._cancel_all_conditional,
            "POST /fapi/v1/leverage": self._set_leverage,
            "POST /fapi/v1/marginType": self._set_margin_type,
            "GET /fapi/v1/accountConfig": lambda account, _: self._words.account_config(account),
            "GET /fapi/v1/symbolConfig": self._set_up,
            "GET /fapi/v1/income": self._income,
            "GET /fapi/v1/positionSide/dual": lambda account, _: {"dualSidePosition": account.is_hedged},
            "POST /fapi/v1/positionSide/dual": self._set_hedged,
            "GET /fapi/v1/leverageBracket": lambda *_: [self._bracket(symbol) for symbol in self._markets],
            "GET /fapi/v1/commissionRate": self._rates,
        }
        for version in ("v2", "v3"):
            found[f"GET /fapi/{version}/account"] = lambda account, _: self._words.account(account)
            found[f"GET /fapi/{version}/balance"] = lambda account, _: self._words.balances(account)
            found[f"GET /fapi/{version}/positionRisk"] = self._risks
        signed = {name: self._keys.signed(handler) for name, handler in found.items()}
        return signed | {
            f"{method} /fapi/v1/listenKey": self._keys.keyed(handler)
            for method, handler in (("POST", self._admit), ("PUT", self._prolong), ("DELETE", self._expel))
        }

    # --- orders

    def _market(self, params: Mapping[str, str]) -> Market:
        market = self._markets.get(params.get("symbol", ""))
        if market is None:
            raise _no(-1121, "Invalid symbol.")
        return market

    def _place_order(self, account: Account, params: Mapping[str, str]) -> object:
        if params.get("type") in _CONDITIONAL:
            text = (
                "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            )
            raise _no(-4120, text)
        order = self._take(account, params, _PLAIN, "newClientOrderId")
        return self._words.order(order)

    def _place_conditional(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._take(account, params, _CONDITIONAL, "clientAlgoId")
        return self._words.conditional(order)

    def _take(self, account: Account, params: Mapping[str, str], kinds: tuple[str, ...], name: str) -> Placed:
        market = self._market(params)
        self._keys.may_trade(account)
        if account.is_hedged or params.get("positionSide", "BOTH") != "BOTH":
            raise _no(-4061, "Order's position side does not match user's setting.")
        ticket = _ticket(market, params, kinds)
        ticket.client_id = params.get(name, "") or f"local{len(self._desk.orders)}"
        try:
            return self._desk.place(account, market, ticket, self._place.now)
        except Declined as declined:
            raise _declined(declined.why) from None

    def _find(
        self,
        account: Account,
        params: Mapping[str, str],
        names: tuple[str, str] = ("orderId", "origClientOrderId"),
    ) -> Placed | None:
        id, client_id = params.get(names[0], ""), params.get(names[1], "")
        order = self._desk.find(account, id=int(id) if id.isdecimal() else 0, client_id=client_id)
        if order is None or self._names.get(order.market.instrument.id) != params.get("symbol", "_"):
            return None
        return order

    def _query(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        order = self._find(account, params)
        if order is None or order.state is State.WAITING:
            raise _no(-2013, "Order does not exist.")
        return self._words.order(order)

    def _cancel(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        order = self._find(account, params)
        if order is None or order.state not in (State.OPEN, State.PARTIAL):
            raise _declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return self._words.order(order)

    def _amend(self, account: Account, params: Mapping[str, str]) -> object:
        market, order = self._market(params), self._find(account, params)
        if order is None or order.state not in (State.OPEN, State.PARTIAL):
            raise _declined(Why.UNKNOWN)
        rules = market.instrument
        lots, price = steps(params.get("quantity"), rules.lot), steps(params.get("price"), rules.tick)
        if lots is None or price is None:
            raise _declined(Why.LOT if lots is None else Why.TICK)
        if (lots, price) == (order.ticket.lots, order.ticket.price):
            raise _no(-5027, "No need to modify the order.")
        try:
            self._desk.amend(order, self._place.now, lots=lots, price=price)
        except Declined as declined:
            raise _declined(declined.why) from None
        return self._words.order(order)

    def _plain(self, account: Account, params: Mapping[str, str]) -> list[Placed]:
        """Return the orders of one instrument or of all, without conditional ones that wait."""
        wanted = [self._market(params)] if "symbol" in params else list(self._markets.values())
        found = self._desk.of(account)
        return [each for each in found if each.market in wanted and each.state is not State.WAITING]

    def _waiting(self, account: Account, params: Mapping[str, str]) -> list[Placed]:
        wanted = [self._market(params)] if "symbol" in params else list(self._markets.values())
        found = self._desk.of(account)
        return [each for each in found if each.market in wanted and each.state is State.WAITING]

    def _open(self, account: Account, params: Mapping[str, str]) -> object:
        return [self._words.order(each) for each in live(self._plain(account, params))]

    def _all(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        found = [each for each in self._plain(account, params) if not _was_never_sent(each)]
        return [self._words.order(each) for each in found][-min(1000, int(params.get("limit", 500))) :]

    def _cancel_all(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        for order in list(live(self._plain(account, params))):
            self._desk.cancel(order, self._place.now)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _count_down(self, account: Account, params: Mapping[str, str]) -> object:
        """Begin the countdown of an instrument anew, or (0) end it: then plain orders are taken back."""
        market, told = self._market(params), params.get("countdownTime", "")
        if not told.isdecimal():
            raise _no(
                -1102, "Mandatory parameter 'countdownTime' was not sent, was empty/null, or malformed."
            )
        until = self._place.now + int(told) * MS_NS
        self._countdowns[account.key, market.instrument.id] = until

        def unheard() -> None:
            if self._countdowns.get((account.key, market.instrument.id)) == until:
                self._cancel_all(account, params)

        if int(told):
            self._place.at(until, unheard)
        return {"symbol": params["symbol"], "countdownTime": told}

    def _trades(self, account: Account, params: Mapping[str, str]) -> object:
        market, first = self._market(params), int(params.get("fromId", 0))
        asked = tuple(int(params.get(name, 0)) * MS_NS for name in ("startTime", "endTime"))
        if "fromId" in params and any(asked):
            raise _no(-1128, "Combination of optional parameters invalid.")
        span = (0, NEVER) if "fromId" in params else listed(asked, self._place.now)
        if span is None:
            raise _no(-1127, "More than 7 days between startTime and endTime.")
        since, until = span
        wanted, limit = params.get("orderId", ""), min(1000, int(params.get("limit", 500)))
        rows = [
            self._words.trade(order, part)
            for order in self._desk.of(account, market)
            for part in order.parts
            if since <= part.ts <= until and part.id >= first
            and wanted in ("", str(order.id))
        ]  # fmt: skip
        rows.sort(key=lambda each: each["id"])
        return rows[:limit] if first or "startTime" in params else rows[-limit:]

    # --- conditional orders

    def _conditional(self, account: Account, params: Mapping[str, str]) -> Placed:
        id, client_id = params.get("algoId", ""), params.get("clientAlgoId", "")
        number = int(id) - WAITING if id.isdecimal() else 0
        order = self._desk.find(account, id=number, client_id=client_id)
        if order is None or not is_conditional(order):
            raise _no(-2013, "Order does not exist.")
        return order

    def _query_conditional(self, account: Account, params: Mapping[str, str]) -> object:
        return self._words.conditional(self._conditional(account, params))

    def _cancel_conditional(self, account: Account, params: Mapping[str, str]) -> object:
        order = self._conditional(account, params)
        if order.state is not State.WAITING:
            raise _declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        told = {"algoId": algo_number(order), "clientAlgoId": order.ticket.client_id}
        return told | {"code": "200", "msg": "success"}

    def _open_conditional(self, account: Account, params: Mapping[str, str]) -> object:
        return [self._words.conditional(each) for each in self._waiting(account, params)]

    def _cancel_all_conditional(self, account: Account, params: Mapping[str, str]) -> object:
        self._market(params)
        for order in self._waiting(account, params):
            self._desk.cancel(order, self._place.now)
        return {"code": "200", "msg": "The operation of cancel all open order is done."}

    # --- the account

    def _risks(self, account: Account, params: Mapping[str, str]) -> object:
        wanted = [self._market(params)] if "symbol" in params else list(self._markets.values())
        return [self._words.risk(account, market) for market in wanted]

    def _set_up(self, account: Account, params: Mapping[str, str]) -> object:
        wanted = [self._market(params)] if "symbol" in params else list(self._markets.values())
        return [self._words.set_up(account, market) for market in wanted]

    def _income(self, account: Account, params: Mapping[str, str]) -> object:
        """Tell funding; of other income nobody asks here."""
        symbol, kind = params.get("symbol", ""), params.get("incomeType", "FUNDING_FEE")
        since, limit = int(params.get("startTime", 0)), min(1000, int(params.get("limit", 100)))
        rows = self._words.income(account) if kind == "FUNDING_FEE" else []
        found = [row for row in rows if row["time"] >= since and symbol in ("", row["symbol"])]
        return found[:limit]

    def _rates(self, account: Account, params: Mapping[str, str]) -> object:
        rates = {"makerCommissionRate": str(account.maker), "takerCommissionRate": str(account.taker)}
        self._market(params)
        return {"symbol": params["symbol"]} | rates

    def _set_leverage(self, account: Account, params: Mapping[str, str]) -> object:
        market, leverage = self._market(params), steps(params.get("leverage"), Decimal(1))
        if leverage is None or leverage > 125:
            raise _no(-4028, f"Leverage {params.get('leverage', '')} is not valid")
        self._desk.clearing.position(account, market).leverage = leverage
        self._tell(account, [self._words.setting(market, leverage, self._place.now)])
        return {"leverage": leverage, "maxNotionalValue": "1000000", "symbol": params["symbol"]}

    def _set_margin_type(self, account: Account, params: Mapping[str, str]) -> object:
        held = self._desk.clearing.position(account, self._market(params))
        if (params.get("marginType") == "ISOLATED") == held.is_isolated:
            raise _no(-4046, "No need to change margin type.")
        if any(order.market is self._market(params) for order in live(self._desk.of(account))):
            raise _no(-4047, "Margin type cannot be changed if there exists open orders.")
        if held.lots:
            raise _no(-4048, "Margin type cannot be changed if there exists position.")
        held.is_isolated = not held.is_isolated
        return {"code": 200, "msg": "success"}

    def _set_hedged(self, account: Account, params: Mapping[str, str]) -> object:
        hedged = params.get("dualSidePosition", "").lower() == "true"
        if hedged == account.is_hedged:
            raise _no(-4059, "No need to change position side.")
        if any(self._desk.clearing.open_of(account)):
            raise _no(-4068, "Position side cannot be changed if there exists position.")
        account.is_hedged = hedged
        return {"code": 200, "msg": "success"}

    def _bracket(self, symbol: str) -> object:
        bracket = {
            "bracket": 1,
            "initialLeverage": 125,
            "notionalCap": 10**9,
            "notionalFloor": 0,
            "maintMarginRatio": float(MAINTENANCE),
            "cum": 0.0,
        }
        return {"symbol": symbol, "brackets": [bracket]}

    # --- the account's own stream

    def _admit(self, account: Account) -> object:
        return {"listenKey": self._keys.listen_key(account)}

    def _prolong(self, account: Account) -> object:
        if not self._keys.listen_keys(account):
            raise _no(-1125, "This listenKey does not exist.")
        return {"listenKey": self._keys.listen_key(account)}

    def _expired(self, account: Account, name: str) -> None:
        event = {"e": "listenKeyExpired", "E": millis(self._place.now), "listenKey": name}
        self._ears.expel(account, said(event))

    def _expel(self, account: Account) -> object:
        self._keys.forget(account)
        self._ears.expel(account)
        return {}

    def accepts(self, path: str) -> bool:
        """Say whether a path names a listen key that is in force."""
        return self._keys.listening(_listen_key(path)) is not None

    def welcome(self, listener: Listener) -> bool:
        """Let a connection hear of the account whose listen key its path names; False when it names none."""
        account = self._keys.listening(_listen_key(listener.path))
        if account is None:
            return False
        self._ears.admit(listener, account)
        self._ears.want(listener, _listen_key(listener.path))
        return True

    def told(self, news: News) -> None:
        """Tell the account's streams what happened."""
        account, order, part = news.account, news.order, news.part
        if order is not None and not order.market.instrument.is_perpetual:
            return
        events: list[dict[str, Any]] = []
        if order is not None:
            if is_conditional(order) and not order.parts:
                events.append(self._words.conditional_update(order))
            if order.state is not State.WAITING and not _was_never_sent(order):
                events.append(self._words.update(order, part))
            if part is not None:
                events.append(self._words.change(account, order.market, "ORDER", order.updated))
        elif news.line is not None and self._markets:
            why = {"funding": "FUNDING_FEE", "insurance": "INSURANCE_CLEAR"}.get(
                news.line.why, news.line.why.upper()
            )
            events.append(self._words.wallet_change(account, news.line, why))
        self._tell(account, events)

    def _tell(self, account: Account, events: list[dict[str, Any]]) -> None:
        for name in self._keys.listen_keys(account):
            for event in events:
                self._ears.tell(account, name, said(event))


def _listen_key(path: str) -> str:
    bare, _, query = path.partition("?")
    named = parse_qs(query).get("listenKey")
    return named[0] if named else bare.rpartition("/ws/")[2]


def _was_never_sent(order: Placed) -> bool:
    """Say whether a conditional order ended before it was touched."""
    return (
        is_conditional(order) and order.state is State.CANCELLED and order.resting is None and not order.sent
    )


def _ticket(market: Market, params: Mapping[str, str], kinds: tuple[str, ...]) -> Ticket:
    """Read an order. Raises Refusal."""
    kind, side, rules = params.get("type", ""), _SIDES.get(params.get("side", "")), market.instrument
    if kind not in kinds:
        raise _no(-1116, "Invalid orderType.")
    if side is None:
        raise _no(-1117, "Invalid side.")
    force = _FORCES.get(params.get("timeInForce", "GTC"))
    if force is None:
        raise _no(-1115, "Invalid timeInForce.")
    priced, closes = kind in ("LIMIT", "STOP", "TAKE_PROFIT"), params.get("closePosition") == "true"
    lots = 0 if closes else steps(params.get("quantity"), rules.lot)
    price = steps(params.get("price"), rules.tick) if priced else None
    trigger = steps(params.get("triggerPrice"), rules.tick) if kind in _CONDITIONAL else None
    for name, wanted in (("quantity", not closes), ("price", priced), ("triggerPrice", kind in _CONDITIONAL)):
        if wanted and name not in params:
            raise _no(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if wanted and figure(params[name]) is None:
            raise _no(-4003 if name == "quantity" else -4001, f"{name} less than or equal to zero.")
    if lots is None:
        raise _declined(Why.LOT)
    if (priced and price is None) or (kind in _CONDITIONAL and trigger is None):
        raise _declined(Why.TICK)
    return Ticket(
        "",
        side,
        lots,
        price,
        trigger,
        force if priced else Force.IOC,
        rising=(side == SELL) if kind.startswith("TAKE") else None,
        reduces=params.get("reduceOnly", "").lower() == "true",
        closes=closes,
        meets_own=params.get("selfTradePreventionMode", "NONE") == "NONE",
    )


def _no(code: int, text: str) -> Refusal:
    return Refusal(400, {"code": code, "msg": text})


def _declined(why: Why) -> Refusal:
    return _no(*_DECLINED[why])

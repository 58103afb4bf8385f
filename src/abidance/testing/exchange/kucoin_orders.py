"""KuCoin's trading side for spot: signed orders (high-frequency and classic paths), stops, balances, private topics.

A client's id may be used once, a post-only order that would trade is taken and then cancelled, fees are paid in the
quote asset.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange.accounts import ZERO, Account
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import (
    Ears,
    figure,
    header,
    is_over,
    listed,
    mean_price,
    plain,
    steps,
)
from abidance.testing.exchange.desk import Declined, Desk, News, Part, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import Asked, Listener, Place, Refusal, millis, read, said, word
from abidance.testing.exchange.market import Market

_WINDOW_MS = 5_000
_DAY_S = 86_400
_ORDERS = frozenset({"/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2"})
_STOPS, _BALANCE, _FILLS = "/spotMarket/advancedOrders", "/account/balance", "/spot/tradeFills"
_TOPICS = _ORDERS | {_STOPS, _BALANCE, _FILLS}
_FORCES = {"GTC": Force.GTC, "GTT": Force.GTC, "IOC": Force.IOC, "FOK": Force.FOK}
_DECLINED: Mapping[Why, tuple[str, str]] = {
    Why.FUNDS: ("200004", "Balance insufficient!"),
    Why.LOT: ("400100", "Order size increment invalid."),
    Why.LEAST: ("400100", "Order size below the minimum requirement."),
    Why.TICK: ("400100", "Price increment invalid."),
    Why.NOTIONAL: ("400100", "The order funds should more then 0.1 USDT."),
    Why.DUPLICATE: ("400100", "Duplicate clientOid."),
    Why.WOULD_TAKE: ("400100", "The post-only order would trade at once."),
    Why.WOULD_TRIGGER: ("300000", "Stop price would trigger immediately."),
    Why.NO_DEPTH: ("230005", "The market order has no counterparty."),
    Why.HALTED: ("900001", "Unsupported trading pair."),
    Why.UNKNOWN: ("400100", "order_not_exist_or_not_allow_to_cancel"),
    Why.MANY: ("200003", "Number of orders breached the limit"),
}
Handler = Callable[[Account, Mapping[str, Any]], object]


@dataclass(frozen=True, eq=False)
class _Countdown:
    """When an account's orders of these symbols (none named: all) are taken back, unless it is begun anew."""

    seconds: int
    symbols: str
    until: int


class KuCoinOrders:
    """Spot orders of the accounts of one exchange; `purse` is what changes of balances call the account."""

    purse = "trade"

    def __init__(self, markets: Mapping[str, Market], place: Place, ears: Ears) -> None:
        self._markets = markets
        self._names = {market.instrument.id: symbol for symbol, market in markets.items()}
        self._place = place
        self._ears = ears
        self._tokens: dict[str, Account] = {}
        self._countdowns: dict[str, _Countdown] = {}
        place.desk.remembers = place.desk.ends_post = place.desk.fees_in_quote = True

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "GET /api/v1/accounts": self._accounts,
            "GET /api/v1/user/api-key": self._key,
            "GET /api/v1/hf/accounts/opened": lambda *_: True,
            "GET /api/ua/v1/account/mode": lambda *_: {"selfAccountMode": "CLASSIC"},
            "GET /api/v1/isolated/symbols": lambda *_: [],
            "GET /api/v1/trade-fees": self._rates,
            "POST /api/v1/hf/orders/alter": self._alter,
            "DELETE /api/v1/hf/orders": self._cancel_all,
            "DELETE /api/v1/hf/orders/cancelAll": self._cancel_everything,
            "GET /api/v1/hf/orders/active": lambda account, asked: self._rows(account, asked, is_open=True),
            "GET /api/v1/hf/orders/done": lambda account, asked: {
                "items": self._rows(account, asked, is_open=False),
                "lastId": 0,
            },
            "GET /api/v1/hf/fills": self._fills,
            "POST /api/v1/hf/orders/dead-cancel-all": self._count_down,
            "GET /api/v1/hf/orders/dead-cancel-all/query": lambda account, _: self._counted(account),
            "POST /api/v1/stop-order": lambda account, asked: self._place_order(account, asked, stops=True),
            "GET /api/v1/stop-order": self._stops,
            "DELETE /api/v1/stop-order/cancel": self._cancel_stops,
            "GET /api/v1/stop-order/queryOrderByClientOid": lambda account, asked: [
                self._told(self._find(account, asked))
            ],
            "DELETE /api/v1/stop-order/cancelOrderByClientOid": self._cancel_stop_by_client,
            "GET /api/v1/stop-order/*": lambda account, asked: self._told(self._find(account, asked)),
            "DELETE /api/v1/stop-order/*": self._cancel_stop,
        }
        for root in ("/api/v1/hf/orders", "/api/v1/orders"):
            found |= {
                f"POST {root}": self._place_order,
                f"GET {root}/*": lambda account, asked: self._told(self._find(account, asked)),
                f"DELETE {root}/*": self._cancel,
                f"GET {root}/client-order/*": lambda account, asked: self._told(self._find(account, asked)),
                f"DELETE {root}/client-order/*": self._cancel,
            }
        found |= {
            "POST /api/v1/hf/orders/sync": self._place_order,
            "DELETE /api/v1/hf/orders/sync/*": self._cancel_and_tell,
            "DELETE /api/v1/hf/orders/sync/client-order/*": self._cancel_and_tell,
        }
        return {name: self.signed(handler) for name, handler in found.items()}

    # --- who asks

    def signed(self, handler: Handler) -> Callable[[Asked], object]:
        """Return what answers a request that must be signed."""

        def answer(asked: Asked) -> object:
            key, stamp, signature, phrase, version = (
                header(asked.headers, f"KC-API-{name}")
                for name in ("KEY", "TIMESTAMP", "SIGN", "PASSPHRASE", "KEY-VERSION")
            )
            account = self._desk.accounts.get(key)
            if account is None or account.permissions.is_revoked:
                raise Refusal(401, {"code": "400003", "msg": "KC-API-KEY not exists"})
            if not account.permissions.admit(asked.remote):
                text = "The requested ip address is not in the api whitelist"
                raise Refusal(401, {"code": "400006", "msg": text})
            body = asked.body.decode("utf-8", "replace")
            target = asked.path + (f"?{asked.raw_query}" if asked.raw_query else "")
            wanted = _sign(account, f"{stamp}{asked.method}{target}{body}")
            told = account.passphrase if version in ("", "1") else _sign(account, account.passphrase)
            if not hmac.compare_digest(signature.encode(), wanted.encode()):
                raise Refusal(401, {"code": "400005", "msg": "Invalid KC-API-SIGN"})
            if not hmac.compare_digest(phrase.encode(), told.encode()):
                raise Refusal(401, {"code": "400004", "msg": "Invalid KC-API-PASSPHRASE"})
            if not stamp.isdecimal() or abs(int(stamp) - millis(self._place.now)) > _WINDOW_MS:
                raise Refusal(401, {"code": "400002", "msg": "KC-API-TIMESTAMP Invalid"})
            named = _named(asked.path)
            params = {**asked.query, **named} if asked.method in ("GET", "DELETE") else read(body)
            try:
                return {"code": "200000", "data": handler(account, params)}
            except Declined as declined:
                raise _no(*_DECLINED[declined.why]) from None
            except ValueError as error:
                raise _no("400100", f"Parameter error: {error}") from None

        return answer

    def _market(self, asked: Mapping[str, Any]) -> Market:
        market = self._markets.get(word(asked, "symbol"))
        if market is None:
            raise _no("900001", "symbol not exists")
        return market

    # --- orders

    def _place_order(self, account: Account, asked: Mapping[str, Any], *, stops: bool = False) -> object:
        market = self._market(asked)
        if not account.permissions.trade:
            raise _no("400007", "Access denied--> Require more permission.")
        order = self._desk.place(account, market, self._ticket(market, asked, stops=stops), self._place.now)
        return {"orderId": str(order.id), "clientOid": order.ticket.client_id}

    def _ticket(self, market: Market, asked: Mapping[str, Any], *, stops: bool) -> Ticket:
        rules, kind = market.instrument, word(asked, "type") or "limit"
        side = {"buy": BUY, "sell": SELL}.get(word(asked, "side"))
        if side is None or kind not in ("limit", "market"):
            raise _no("400100", "side or type is invalid.")
        value = figure(asked.get("funds")) if kind == "market" and asked.get("funds") else None
        lots = (
            self._desk.lots_for(market, side, value)
            if value is not None
            else steps(asked.get("size"), rules.lot)
        )
        price = steps(asked.get("price"), rules.tick) if kind == "limit" else None
        trigger = steps(asked.get("stopPrice"), rules.tick) if stops else None
        if lots is None:
            raise Declined(Why.LOT)
        if (kind == "limit" and price is None) or (stops and trigger is None):
            raise Declined(Why.TICK)
        force = _FORCES.get(word(asked, "timeInForce") or "GTC")
        if force is None:
            raise _no("400100", "timeInForce is invalid.")
        if asked.get("postOnly") is True:
            force = Force.POST
        rising = {"entry": True, "loss": False}.get(word(asked, "stop"))
        force = Force.IOC if kind == "market" else force
        return Ticket(
            word(asked, "clientOid"),
            side,
            lots,
            price,
            trigger,
            force,
            rising,
            meets_own=asked.get("stp") != "CO",
        )

    def _find(self, account: Account, asked: Mapping[str, Any]) -> Placed:
        id, client_id = word(asked, "orderId"), word(asked, "clientOid")
        order = self._desk.find(account, id=int(id)) if id.isdecimal() else None
        if not id and client_id:
            order = self._desk.find(account, client_id=client_id)
        symbol = asked.get("symbol")
        if order is None or (symbol and self._names[order.market.instrument.id] != symbol):
            raise _no("400100", "The order does not exist.")
        return order

    def _cancel(self, account: Account, asked: Mapping[str, Any]) -> dict[str, str]:
        try:
            order = self._find(account, asked)
        except Refusal:
            raise Declined(Why.UNKNOWN) from None
        if order.state is State.WAITING:
            raise Declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return {"orderId": str(order.id), "clientOid": order.ticket.client_id}

    def _cancel_and_tell(self, account: Account, asked: Mapping[str, Any]) -> object:
        """Answer once an order is off the book, with what it had come to."""
        named, order = self._cancel(account, asked), self._find(account, asked)
        lots = order.market.lots.text
        return (named if word(asked, "orderId") else {"clientOid": order.ticket.client_id}) | {
            "originSize": lots(order.ticket.lots),
            "dealSize": lots(order.filled),
            "remainSize": "0",
            "canceledSize": lots(order.left),
            "status": "done",
        }

    def _cancel_stop(self, account: Account, asked: Mapping[str, Any]) -> object:
        order = self._find(account, asked)
        if order.state is not State.WAITING:
            raise Declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return {"cancelledOrderIds": [str(order.id)]}

    def _cancel_stop_by_client(self, account: Account, asked: Mapping[str, Any]) -> object:
        self._cancel_stop(account, asked)
        return {"cancelledOrderId": str(self._find(account, asked).id), "clientOid": word(asked, "clientOid")}

    def _cancel_all(self, account: Account, asked: Mapping[str, Any]) -> object:
        for order in list(live(self._desk.of(account, self._market(asked)))):
            if order.state is not State.WAITING:
                self._desk.cancel(order, self._place.now)
        return "success"

    def _cancel_everything(self, account: Account, asked: Mapping[str, Any]) -> object:
        for symbol in self._markets:
            self._cancel_all(account, {**asked, "symbol": symbol})
        return {"succeedSymbols": list(self._markets), "failedSymbols": []}

    def _count_down(self, account: Account, asked: Mapping[str, Any]) -> object:
        """Begin an account's countdown anew, or call it off; what was set before is overwritten."""
        seconds, symbols = asked.get("timeout"), word(asked, "symbols")
        named = symbols.split(",") if symbols else []
        if not isinstance(seconds, int) or not (seconds == -1 or 5 <= seconds <= _DAY_S) or len(named) > 50:
            raise _no("400100", "timeout or symbols is invalid.")
        if not account.permissions.trade:
            raise _no("400007", "Access denied--> Require more permission.")
        for symbol in named:
            self._market({"symbol": symbol})
        self._countdowns.pop(account.key, None)
        if seconds == -1:
            return None
        count = _Countdown(seconds, symbols, self._place.now + seconds * SECOND_NS)
        self._countdowns[account.key] = count
        self._place.at(count.until, lambda: self._unheard(account, count))
        return self._counted(account, told=("currentTime", "triggerTime"))

    def _counted(self, account: Account, told: Sequence[str] = ()) -> object:
        count = self._countdowns.get(account.key)
        if count is None:
            return None
        now, until = self._place.now // SECOND_NS, count.until // SECOND_NS
        found = {"timeout": count.seconds, "symbols": count.symbols, "currentTime": now, "triggerTime": until}
        return {name: found[name] for name in told or found}

    def _unheard(self, account: Account, count: "_Countdown") -> None:
        """Take back what a countdown names, stops too: nothing says that they stay. Then it is off."""
        if self._countdowns.get(account.key) is not count:
            return
        del self._countdowns[account.key]
        for symbol in count.symbols.split(",") if count.symbols else self._markets:
            for order in list(live(self._desk.of(account, self._markets[symbol]))):
                self._desk.cancel(order, self._place.now)

    def _cancel_stops(self, account: Account, asked: Mapping[str, Any]) -> object:
        market = self._market(asked) if asked.get("symbol") else None
        found = [each for each in self._desk.of(account, market) if each.state is State.WAITING]
        for order in found:
            self._desk.cancel(order, self._place.now)
        return {"cancelledOrderIds": [str(order.id) for order in found]}

    def _alter(self, account: Account, asked: Mapping[str, Any]) -> object:
        order, rules = self._find(account, asked), self._market(asked).instrument
        lots = steps(asked["newSize"], rules.lot) if asked.get("newSize") else None
        price = steps(asked["newPrice"], rules.tick) if asked.get("newPrice") else None
        if (asked.get("newSize") and lots is None) or (asked.get("newPrice") and price is None):
            raise Declined(Why.LOT if lots is None else Why.TICK)
        self._desk.amend(order, self._place.now, lots=lots, price=price)
        return {"newOrderId": str(order.id), "clientOid": order.ticket.client_id}

    def _rows(self, account: Account, asked: Mapping[str, Any], *, is_open: bool) -> list[dict[str, Any]]:
        found = [
            each
            for each in reversed(self._desk.of(account, self._market(asked)))
            if each.state.is_working is is_open and each.state is not State.WAITING
        ]
        return [self._told(each) for each in found][: int(asked.get("limit") or 100)]

    def _stops(self, account: Account, asked: Mapping[str, Any]) -> object:
        market = self._market(asked) if asked.get("symbol") else None
        rows = [self._told(each) for each in self._desk.of(account, market) if each.state is State.WAITING]
        return {"currentPage": 1, "pageSize": 50, "totalNum": len(rows), "totalPage": 1, "items": rows}

    def _fills(self, account: Account, asked: Mapping[str, Any]) -> object:
        ends = (int(asked.get(name) or 0) * MS_NS for name in ("startAt", "endAt"))
        span, wanted = listed(ends, self._place.now), word(asked, "orderId")
        if span is None:
            raise _no("400100", "The time range cannot be longer than 7 days.")
        rows = [
            self._told_part(order, part)
            for order in self._desk.of(account, self._market(asked))
            for part in order.parts
            if span[0] <= part.ts <= span[1] and wanted in ("", str(order.id))
        ]
        before = int(asked.get("lastId") or 0)
        rows = [row for row in rows if not before or row["id"] < before]
        rows.sort(key=lambda row: -row["id"])
        rows = rows[: int(asked.get("limit") or 100)]
        return {"items": rows, "lastId": rows[-1]["id"] if rows else 0}

    # --- the account

    def _accounts(self, account: Account, asked: Mapping[str, Any]) -> object:
        return [
            {
                "id": f"local-{asset}",
                "currency": asset,
                "type": asked.get("type") or "trade",
                "balance": plain(purse.total),
                "available": plain(purse.free),
                "holds": plain(purse.locked),
            }
            for asset, purse in account.purses.items()
            if asked.get("currency") in (None, "", asset)
            and asked.get("type") in (None, "", "trade", "trade_hf")
        ]

    def _key(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        may = account.permissions
        granted = ["General"] + ["Spot"] * may.trade + ["Margin"] * may.borrow + ["Withdrawal"] * may.withdraw
        return {
            "remark": "local",
            "apiKey": account.key,
            "apiVersion": 3,
            "permission": ",".join(granted),
            "ipWhitelist": ",".join(may.addresses),
            "createdAt": 1728443843000,
            "uid": account.number,
            "isMaster": True,
        }

    def _rates(self, account: Account, asked: Mapping[str, Any]) -> object:
        rates = {"takerFeeRate": plain(account.taker), "makerFeeRate": plain(account.maker)}
        return [{"symbol": symbol} | rates for symbol in str(asked.get("symbols", "")).split(",")]

    # --- what is told

    def _told(self, order: Placed) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        lots = market.lots.text
        told = {
            "id": str(order.id),
            "clientOid": ticket.client_id,
            "symbol": self._names[market.instrument.id],
            "opType": "DEAL",
            "type": "market" if ticket.price is None else "limit",
            "side": "buy" if ticket.side == BUY else "sell",
            "price": market.ticks.text(ticket.price or 0),
            "size": lots(ticket.lots),
            "funds": "0",
            "dealSize": lots(order.filled),
            "dealFunds": plain(order.paid),
            "avgDealPrice": mean_price(order),
            "remainSize": lots(order.left if order.state.is_working else 0),
            "cancelledSize": lots(order.left if is_over(order) else 0),
            "fee": plain(sum((part.fee for part in order.parts), ZERO)),
            "feeCurrency": market.instrument.quote,
            "stp": None if ticket.meets_own else "CO",
            "stop": None,
            "stopPrice": "0",
            "stopTriggered": False,
            "timeInForce": "GTC" if ticket.force is Force.POST else ticket.force.value.upper(),
            "postOnly": ticket.force is Force.POST,
            "hidden": False,
            "iceberg": False,
            "channel": "API",
            "cancelExist": is_over(order),
            "tradeType": "TRADE",
            "inOrderBook": order.resting is not None,
            "active": order.state.is_working,
            "createdAt": millis(order.ts),
            "lastUpdatedAt": millis(order.updated),
        }
        if ticket.trigger is not None and not order.sent:
            told |= {
                "stop": "entry" if order.rising else "loss",
                "stopPrice": market.ticks.text(ticket.trigger),
                "status": "NEW" if order.state is State.WAITING else "CANCELLED",
            }
        return told

    def _told_part(self, order: Placed, part: Part) -> dict[str, Any]:
        market, account = order.market, order.account
        unit = market.instrument.tick * market.instrument.lot
        return {
            "id": part.id,
            "symbol": self._names[market.instrument.id],
            "tradeId": part.id,
            "orderId": str(order.id),
            "counterOrderId": "local",
            "side": "buy" if order.ticket.side == BUY else "sell",
            "liquidity": "maker" if part.is_maker else "taker",
            "forceTaker": False,
            "price": market.ticks.text(part.price),
            "size": market.lots.text(part.lots),
            "funds": plain(part.price * part.lots * unit),
            "fee": plain(part.fee),
            "feeRate": plain(account.maker if part.is_maker else account.taker),
            "feeCurrency": part.fee_asset,
            "stop": "",
            "tradeType": "TRADE",
            "type": "market" if order.ticket.price is None else "limit",
            "createdAt": millis(part.ts),
        }

    # --- private topics

    def token(self, account: Account) -> str:
        """Hand out a token with which a connection hears of an account."""
        token = hashlib.sha256(f"{account.key}:{len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = account
        return token

    def welcome(self, listener: Listener) -> None:
        """Let a connection that came with an account's token hear of it."""
        token = parse_qs(listener.path.partition("?")[2]).get("token", [""])[0]
        if token in self._tokens:
            self._ears.admit(listener, self._tokens[token])

    def hears(self, listener: Listener, topic: str) -> bool:
        """Say whether a topic is private and the connection may hear it."""
        return topic in _TOPICS and self._ears.account(listener) is not None

    def listen(self, listener: Listener, topic: str, *, is_on: bool) -> None:
        """Let a connection hear a private topic, or no longer."""
        (self._ears.want if is_on else self._ears.drop)(listener, topic)

    def told(self, news: News) -> None:
        """Tell the account's topics what happened."""
        account, order = news.account, news.order
        if order is not None and (order.state is State.WAITING or (order.ticket.trigger and not order.sent)):
            self._push(account, _STOPS, "stopOrder", self._stop_change(order))
        elif order is not None:
            for change in self._changes(order, news.part):
                for topic in sorted(_ORDERS):
                    if change["type"] != "received" or topic.endswith("V2"):
                        self._push(account, topic, "orderChange", change)
            if news.part is not None:
                self._push(
                    account, _FILLS, _FILLS, self._told_part(order, news.part) | {"time": news.part.ts}
                )
        if not self._ears.wanted(self._owner(account), _BALANCE):
            return
        rules = order.market.instrument if order is not None else None
        assets = (rules.base, rules.quote) if rules is not None else (news.line.asset,) if news.line else ()
        for asset in assets:
            self._push(account, _BALANCE, "account.balance", self._balance(news, asset))

    def _owner(self, account: Account) -> Account:
        """Return who hears of an account."""
        return account

    def _changes(self, order: Placed, part: Part | None) -> list[dict[str, Any]]:
        market, ticket = order.market, order.ticket
        lots = market.lots.text
        shared = {
            "symbol": self._names[market.instrument.id],
            "orderType": "market" if ticket.price is None else "limit",
            "side": "buy" if ticket.side == BUY else "sell",
            "orderId": str(order.id),
            "clientOid": ticket.client_id,
            "orderTime": millis(order.ts),
            "size": lots(ticket.lots),
            "originSize": lots(ticket.lots),
            "price": market.ticks.text(ticket.price or 0),
            "filledSize": lots(order.filled),
            "remainSize": lots(order.left if order.state.is_working else 0),
            "ts": order.updated,
        }
        if part is not None:
            match = shared | {
                "type": "match",
                "status": "match",
                "liquidity": "maker" if part.is_maker else "taker",
                "feeType": "makerFee" if part.is_maker else "takerFee",
                "matchPrice": market.ticks.text(part.price),
                "matchSize": lots(part.lots),
                "tradeId": str(part.id),
            }
            done = [shared | {"type": "filled", "status": "done"}] if order.state is State.FILLED else []
            return [match, *done]
        if is_over(order):
            return [shared | {"type": "canceled", "status": "done", "canceledSize": lots(order.left)}]
        received = shared | {"type": "received", "status": "new"}
        if ticket.price is None:
            return [received]
        return [received, shared | {"type": "open", "status": "open", "canceledSize": "0"}]

    def _stop_change(self, order: Placed) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        return {
            "createdAt": millis(order.ts),
            "orderId": str(order.id),
            "clientOid": ticket.client_id,
            "orderPrice": market.ticks.text(ticket.price or 0),
            "orderType": "stop",
            "side": "buy" if ticket.side == BUY else "sell",
            "size": market.lots.text(ticket.lots),
            "stop": "entry" if order.rising else "loss",
            "stopPrice": market.ticks.text(ticket.trigger or 0),
            "symbol": self._names[market.instrument.id],
            "tradeType": "TRADE",
            "triggerSuccess": True,
            "ts": order.updated,
            "type": "open" if order.state is State.WAITING else "cancel",
        }

    def _balance(self, news: News, asset: str) -> dict[str, Any]:
        purse, order = news.account.purse(asset), news.order
        told: dict[str, Any] = {
            "accountId": f"local-{asset}",
            "currency": asset,
            "total": plain(purse.total),
            "available": plain(purse.free),
            "hold": plain(purse.locked),
            "availableChange": plain(news.line.amount) if news.line and order is None else "0",
            "holdChange": "0",
            "relationEvent": f"{self.purse}.{'setted' if news.part else 'hold' if order else 'transfer'}",
            "relationEventId": f"{self._place.now}-{len(news.account.ledger)}",
            "time": str(millis(self._place.now)),
        }
        if order is not None:
            symbol = self._names[order.market.instrument.id]
            told["relationContext"] = {"symbol": symbol, "orderId": str(order.id)}
        return told

    def _push(self, account: Account, topic: str, subject: str, data: dict[str, Any]) -> None:
        frame = {"topic": topic, "type": "message", "subject": subject, "channelType": "private"}
        self._ears.tell(self._owner(account), topic, said(frame | {"userId": "local", "data": data}))


def _named(path: str) -> dict[str, str]:
    """Return the order that a path names at its end."""
    parent, _, last = path.rpartition("/")
    if parent.endswith("/client-order"):
        return {"clientOid": last}
    return {"orderId": last} if last.isdecimal() else {}


def _sign(account: Account, payload: str) -> str:
    return base64.b64encode(hmac.digest(account.secret.encode(), payload.encode(), "sha256")).decode()


def _no(code: str, text: str) -> Refusal:
    return Refusal(200, {"code": code, "msg": text})

"""Kraken's trading side for spot: signed requests with nonces that rise, executions and balances on WebSocket v2.

A client's id is unique among open orders. Fees are paid in the quote asset.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.accounts import ZERO, Account
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.counter import Ears, figure, header, mean_price, plain, steps
from abidance.testing.exchange.desk import Declined, Desk, News, Part, Placed, State, Ticket, Why, live
from abidance.testing.exchange.house import Asked, Listener, Place, Refusal, counted, read, said, word
from abidance.testing.exchange.market import Market
from abidance.venues.net.limits import Request

_TOKEN_NS = 900 * SECOND_NS
_FORCES = {"GTC": Force.GTC, "IOC": Force.IOC, "FOK": Force.FOK}
_TYPES = {
    "market": (False, False), "limit": (True, False), "stop-loss": (False, True), "take-profit": (False, True),
    "stop-loss-limit": (True, True), "take-profit-limit": (True, True),
}  # fmt: skip
_STATUS = {
    State.WAITING: "open",
    State.OPEN: "open",
    State.PARTIAL: "open",
    State.FILLED: "closed",
    State.CANCELLED: "canceled",
    State.EXPIRED: "expired",
}
_DECLINED: Mapping[Why, str] = {
    Why.FUNDS: "EOrder:Insufficient funds",
    Why.LOT: "EGeneral:Invalid arguments:volume",
    Why.LEAST: "EGeneral:Invalid arguments:volume minimum not met",
    Why.TICK: "EOrder:Invalid price",
    Why.NOTIONAL: "EOrder:Cost minimum not met",
    Why.DUPLICATE: "EOrder:Client order id not unique",
    Why.WOULD_TAKE: "EOrder:Post only order",
    Why.HALTED: "EService:Market in cancel_only mode",
    Why.UNKNOWN: "EOrder:Unknown order",
    Why.MANY: "EOrder:Orders limit exceeded",
}
Handler = Callable[[Account, Mapping[str, Any]], object]


class KrakenOrders:
    """Spot orders of the accounts of one exchange; `assets` are REST's names of assets."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        named: Mapping[str, Market],
        place: Place,
        assets: Mapping[str, str],
    ) -> None:
        self._named = named
        self._symbols = {market.instrument.id: symbol for symbol, market in markets.items()}
        self._assets = assets
        self._place = place
        self._ears = Ears()
        self._nonces: dict[str, int] = {}
        self._tokens: dict[str, tuple[Account, int]] = {}
        self._sequence = 0
        place.desk.fees_in_quote = place.desk.ends_dry = place.desk.fires = True

    @property
    def _desk(self) -> Desk:
        return self._place.desk

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        found: dict[str, Handler] = {
            "AddOrder": self._add,
            "AmendOrder": self._amend,
            "CancelOrder": self._cancel,
            "CancelAll": self._cancel_all,
            "OpenOrders": lambda account, asked: {"open": self._rows(account, asked, is_open=True)},
            "ClosedOrders": self._closed,
            "QueryOrders": self._query,
            "TradesHistory": self._trades,
            "Balance": lambda account, _: {
                self._asset(name): plain(purse.total) for name, purse in account.purses.items()
            },
            "BalanceEx": lambda account, _: {
                self._asset(name): {"balance": plain(purse.total), "hold_trade": plain(purse.locked)}
                for name, purse in account.purses.items()
            },
            "TradeVolume": self._volume,
            "GetWebSocketsToken": self._token,
            "GetApiKeyInfo": self._key,
        }
        return {f"POST /0/private/{name}": self._signed(handler) for name, handler in found.items()}

    # --- who asks

    def counted(self, asked: Asked) -> Request:
        """Return a request with the orders that it is about, by the time for which they have stood."""
        request, now = counted(asked), self._place.now
        account = self._desk.accounts.get(header(asked.headers, "API-Key"))
        name = asked.path.rpartition("/")[2]
        if account is None or name not in ("AddOrder", "AmendOrder", "CancelOrder", "CancelAll"):
            return request
        if name == "AddOrder":
            market = self._named.get(word(request.params, "pair"))
            return request._replace(about=((market.instrument.id, 0.0),) if market is not None else ())
        found = self._desk.of(account) if name == "CancelAll" else [self._find(account, request.params)]
        standing = [each for each in found if each is not None and each.state.is_working]
        about = tuple((each.market.instrument.id, (now - each.ts) / SECOND_NS) for each in standing)
        return request._replace(about=about)

    def asks(self, path: str) -> bool:
        """Say whether a signed request only asks."""
        head, _, name = path.rpartition("/")
        return head == "/0/private" and name.startswith(("Open", "Closed", "Query", "Trade", "Balance"))

    def _signed(self, handler: Handler) -> Callable[[Asked], object]:
        def answer(asked: Asked) -> object:
            account = self._desk.accounts.get(header(asked.headers, "API-Key"))
            if account is None or account.permissions.is_revoked:
                raise _no("EAPI:Invalid key")
            if not account.permissions.admit(asked.remote):
                raise _no("EGeneral:Permission denied")
            body = asked.body.decode("utf-8", "replace")
            params = read(body) if body.startswith("{") else dict(parse_qsl(body, keep_blank_values=True))
            nonce = str(params.get("nonce", ""))
            inner = asked.path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest()
            wanted = base64.b64encode(hmac.digest(base64.b64decode(account.secret), inner, "sha512"))
            if not hmac.compare_digest(wanted, header(asked.headers, "API-Sign").encode()):
                raise _no("EAPI:Invalid signature")
            if not nonce.isdecimal() or int(nonce) <= self._nonces.get(account.key, 0):
                raise _no("EAPI:Invalid nonce")
            self._nonces[account.key] = int(nonce)
            try:
                return {"error": [], "result": handler(account, params)}
            except Declined as declined:
                raise _no(_DECLINED[declined.why]) from None
            except ValueError:
                raise _no("EGeneral:Invalid arguments") from None

        return answer

    def _asset(self, name: str) -> str:
        return self._assets.get(name, name)

    def _market(self, asked: Mapping[str, Any]) -> Market:
        market = self._named.get(word(asked, "pair"))
        if market is None:
            raise _no("EQuery:Unknown asset pair")
        return market

    # --- orders

    def _add(self, account: Account, asked: Mapping[str, Any]) -> object:
        market = self._market(asked)
        if not account.permissions.trade:
            raise _no("EGeneral:Permission denied")
        deadline = word(asked, "deadline")
        if deadline and _nanos(deadline) < self._place.now:
            raise _no("EService:Deadline elapsed")
        ticket = self._ticket(market, asked)
        told = {"order": _description(market, ticket)}
        if str(asked.get("validate", "")).lower() == "true":
            return {"descr": told}
        order = self._desk.place(account, market, ticket, self._place.now)
        return {"descr": told, "txid": [order_id(order.id)]}

    def _ticket(self, market: Market, asked: Mapping[str, Any]) -> Ticket:
        rules, kind, flags = market.instrument, word(asked, "ordertype"), word(asked, "oflags").split(",")
        side = {"buy": BUY, "sell": SELL}.get(word(asked, "type"))
        if side is None or kind not in _TYPES:
            raise _no("EGeneral:Invalid arguments:ordertype" if side else "EGeneral:Invalid arguments:type")
        priced, triggered = _TYPES[kind]
        force = _FORCES.get(word(asked, "timeinforce").upper() or "GTC")
        if force is None:
            raise _no("EGeneral:Invalid arguments:timeinforce")
        client_id = word(asked, "cl_ord_id")
        if len(client_id) > 18 and len(client_id.replace("-", "")) != 32:
            raise _no("EGeneral:Invalid arguments:cl_ord_id")
        value = figure(asked.get("volume")) if "viqc" in flags else None
        lots = (
            self._desk.lots_for(market, side, value)
            if value is not None
            else steps(asked.get("volume"), rules.lot)
        )
        if lots is None:
            raise Declined(Why.LOT)
        trigger = steps(asked.get("price"), rules.tick) if triggered else None
        price = steps(asked.get("price2" if triggered else "price"), rules.tick) if priced else None
        if (triggered and trigger is None) or (priced and price is None):
            raise Declined(Why.TICK)
        force = Force.POST if "post" in flags and priced else force
        return Ticket(
            client_id, side, lots, price, trigger, force if priced else Force.IOC,
            rising=(side == SELL) if kind.startswith("take") else None,
        )  # fmt: skip

    def _find(self, account: Account, asked: Mapping[str, Any]) -> Placed | None:
        client_id, id = word(asked, "cl_ord_id"), word(asked, "txid")
        if client_id:
            return self._desk.find(account, client_id=client_id)
        return self._desk.find(account, id=_number(id)) if _number(id) else None

    def _cancel(self, account: Account, asked: Mapping[str, Any]) -> object:
        order = self._find(account, asked)
        if order is None:
            raise Declined(Why.UNKNOWN)
        self._desk.cancel(order, self._place.now)
        return {"count": 1}

    def _cancel_all(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        found = list(live(self._desk.of(account)))
        for order in found:
            self._desk.cancel(order, self._place.now)
        return {"count": len(found)}

    def _amend(self, account: Account, asked: Mapping[str, Any]) -> object:
        order = self._find(account, asked)
        if order is None:
            raise Declined(Why.UNKNOWN)
        rules = order.market.instrument
        new = {
            name: steps(asked[field], step)
            for name, field, step in (
                ("lots", "order_qty", rules.lot),
                ("price", "limit_price", rules.tick),
                ("trigger", "trigger_price", rules.tick),
            )
            if asked.get(field)
        }
        if None in new.values():
            raise Declined(Why.LOT if new.get("lots", 0) is None else Why.TICK)
        self._desk.amend(order, self._place.now, **new)
        return {"amend_id": f"TLOCAL-AMEND-{self._place.now % 10**6:06d}"}

    def _rows(self, account: Account, asked: Mapping[str, Any], *, is_open: bool) -> dict[str, Any]:
        client_id = word(asked, "cl_ord_id")
        return {
            order_id(each.id): self._told(each)
            for each in reversed(self._desk.of(account))
            if each.state.is_working is is_open and client_id in ("", each.ticket.client_id)
        }

    def _closed(self, account: Account, asked: Mapping[str, Any]) -> object:
        since = float(asked.get("start") or 0)
        rows = {
            id: row
            for id, row in self._rows(account, asked, is_open=False).items()
            if since < max(row["opentm"], row.get("closetm", 0))
        }
        start = int(asked.get("ofs") or 0)
        return {"closed": dict(list(rows.items())[start : start + 50]), "count": len(rows)}

    def _query(self, account: Account, asked: Mapping[str, Any]) -> object:
        found = [
            self._desk.find(account, id=_number(id)) for id in word(asked, "txid").split(",") if _number(id)
        ]
        rows = {order_id(each.id): self._told(each) for each in found if each is not None}
        if not rows:
            raise _no("EOrder:Unknown order")
        return rows

    def _trades(self, account: Account, asked: Mapping[str, Any]) -> object:
        since, until = (self._moment_of(account, str(asked.get(name) or 0)) for name in ("start", "end"))
        rows = [
            (part.id, self._told_part(order, part))
            for order in self._desk.of(account)
            for part in order.parts
            if since < part.ts and (not until or part.ts <= until)
        ]
        rows.sort(key=lambda row: -row[0])
        start = int(asked.get("ofs") or 0)
        told = {trade_id(id): row for id, row in rows[start : start + 50]}
        return {"trades": told, "count": len(rows)}

    def _moment_of(self, account: Account, text: str) -> int:
        """Return a time that is told in seconds, or by an execution of that moment."""
        if not text.startswith("T"):
            return round(float(text) * SECOND_NS)
        found = (
            part for order in self._desk.of(account) for part in order.parts if trade_id(part.id) == text
        )
        return next((part.ts for part in found), 0)

    # --- the account

    def _volume(self, account: Account, asked: Mapping[str, Any]) -> object:
        pairs = [name for name in word(asked, "pair").split(",") if name]
        taker, maker = ({"fee": plain(rate * 100)} for rate in (account.taker, account.maker))
        fees = {"fees": dict.fromkeys(pairs, taker), "fees_maker": dict.fromkeys(pairs, maker)}
        return {"currency": "ZUSD", "volume": "0.0000"} | fees

    def _token(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        token = hashlib.sha256(f"{account.key}:{len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = (account, self._place.now + _TOKEN_NS)
        return {"token": token, "expires": 900}

    def _key(self, account: Account, asked: Mapping[str, Any]) -> object:
        del asked
        may = account.permissions
        trades = ["modify-trades", "close-trades"] if may.trade else []
        reads = ["query-funds", "query-open-trades", "query-closed-trades"]
        return {
            "api_key_name": "local",
            "permissions": [*reads, *trades, *["withdraw-funds"] * may.withdraw],
            "ip_allowlist": list(may.addresses),
            "valid_until": "0",
        }

    # --- what is told

    def _told(self, order: Placed) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        price = market.ticks.text
        kind = kind_of(ticket)
        first = ticket.price if ticket.trigger is None else ticket.trigger
        return {
            "refid": None,
            "userref": None,
            "cl_ord_id": ticket.client_id or None,
            "status": _STATUS[order.state],
            "reason": "User requested" if order.state is State.CANCELLED else None,
            "opentm": order.ts / SECOND_NS,
            "closetm": 0 if order.state.is_working else order.updated / SECOND_NS,
            "starttm": 0,
            "expiretm": 0,
            "descr": {
                "pair": self._symbols[market.instrument.id].replace("/", "").replace("BTC", "XBT"),
                "type": "buy" if ticket.side == BUY else "sell",
                "ordertype": kind,
                "price": price(first or 0) if first else "0",
                "price2": price(ticket.price) if ticket.trigger and ticket.price else "0",
                "leverage": "none",
                "order": _description(market, ticket),
                "close": "",
            },
            "vol": market.lots.text(ticket.lots),
            "vol_exec": market.lots.text(order.filled),
            "cost": plain(order.paid),
            "fee": plain(sum((part.fee for part in order.parts), ZERO)),
            "price": mean_price(order),
            "stopprice": price(ticket.trigger) if ticket.trigger else "0.00000",
            "limitprice": "0.00000",
            "misc": "",
            "oflags": "post,fciq" if ticket.force is Force.POST else "fciq",
            "trades": [trade_id(part.id) for part in order.parts],
        }

    def _told_part(self, order: Placed, part: Part) -> dict[str, Any]:
        market = order.market
        unit = market.instrument.tick * market.instrument.lot
        return {
            "ordertxid": order_id(order.id),
            "postxid": "TKH2SE-M7IF5-CFI7LT",
            "pair": self._symbols[market.instrument.id].replace("/", "").replace("BTC", "XBT"),
            "time": part.ts / SECOND_NS,
            "type": "buy" if order.ticket.side == BUY else "sell",
            "ordertype": kind_of(order.ticket),
            "price": market.ticks.text(part.price),
            "cost": plain(part.price * part.lots * unit),
            "fee": plain(part.fee),
            "vol": market.lots.text(part.lots),
            "margin": "0.00000",
            "leverage": "0",
            "misc": "",
            "trade_id": part.id,
            "maker": part.is_maker,
        }

    # --- the account's own channels

    def listen(self, listener: Listener, params: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
        """Answer a subscription to executions or balances; False when the channel is another."""
        channel, method = word(params, "channel"), str(told.get("method"))
        if channel not in ("executions", "balances"):
            return False
        account, until = self._tokens.get(word(params, "token"), (None, 0))
        if account is None or (until <= self._place.now and self._ears.account(listener) is not account):
            error = "EAccount:Invalid permissions" if not params.get("token") else "ESession:Invalid session"
            listener.say(said({**told, "error": error, "success": False}))
            return True
        if self._ears.account(listener) is not account:
            self._ears.admit(listener, account)
        listener.say(said({**told, "result": {"channel": channel, "snapshot": True}, "success": True}))
        if method == "unsubscribe":
            self._ears.drop(listener, channel)
            return True
        self._ears.want(listener, channel)
        snapshot = (
            [self._execution(each, None) for each in live(self._desk.of(account))]
            if channel == "executions"
            else [self._holding(account, asset) for asset in account.purses]
        )
        if snapshot or channel == "balances":
            listener.say(self._frame(channel, "snapshot", snapshot))
        return True

    def told(self, news: News) -> None:
        """Tell the account's channels what happened."""
        account, order, part = news.account, news.order, news.part
        if order is not None:
            rows = [self._execution(order, part)]
            if part is not None and order.state is State.FILLED:
                rows.append(self._execution(order, None))
            for row in rows if self._ears.wanted(account, "executions") else ():
                self._ears.tell(account, "executions", self._frame("executions", "update", [row]))
        if not self._ears.wanted(account, "balances"):
            return
        lines = [news.line] if news.line else []
        if part is not None and order is not None:
            lines = [each for each in account.ledger[-3:] if each.print == part.id and each.order == order.id]
        rows = [
            self._holding(account, each.asset)
            | {
                "amount": float(each.amount),
                "type": "trade" if each.why == "fee" else each.why,
                "category": "trade" if each.order else each.why,
                "ledger_id": f"LLOCAL-{len(account.ledger):05d}-000000",
                "ref_id": trade_id(each.print),
                "timestamp": _moment(each.ts),
                "fee": 0.0,
                "wallet_type": "spot",
                "wallet_id": "main",
            }
            for each in lines
        ]
        if rows:
            self._ears.tell(account, "balances", self._frame("balances", "update", rows))

    def _frame(self, channel: str, what: str, rows: Iterable[Mapping[str, Any]]) -> str:
        self._sequence += 1
        return said({"channel": channel, "type": what, "data": list(rows), "sequence": self._sequence})

    def _holding(self, account: Account, asset: str) -> dict[str, Any]:
        total = float(account.purse(asset).total)
        wallets = [{"type": "spot", "id": "main", "balance": total}]
        return {"asset": asset, "asset_class": "currency", "balance": total, "wallets": wallets}

    def _execution(self, order: Placed, part: Part | None) -> dict[str, Any]:
        market, ticket = order.market, order.ticket
        quantity, price = market.lots.value, market.ticks.value
        told: dict[str, Any] = {
            "order_id": order_id(order.id),
            "order_userref": 0,
            "symbol": self._symbols[market.instrument.id],
            "side": "buy" if ticket.side == BUY else "sell",
            "order_type": kind_of(ticket),
            "order_qty": quantity(ticket.lots),
            "cum_qty": quantity(order.filled),
            "cum_cost": float(order.paid),
            "avg_price": float(mean_price(order)),
            "time_in_force": "GTC" if ticket.force is Force.POST else ticket.force.value.upper(),
            "order_status": _stream_status(order),
            "exec_type": _exec_type(order),
            "timestamp": _moment(order.updated),
        }
        if ticket.client_id:
            told["cl_ord_id"] = ticket.client_id
        if ticket.price is not None:
            told["limit_price"] = price(ticket.price)
        if ticket.trigger is not None:
            told["triggers"] = {"reference": "last", "price": price(ticket.trigger), "price_type": "static"}
        if order.state in (State.CANCELLED, State.EXPIRED):
            told["reason"] = "User requested" if order.state is State.CANCELLED else "Order expired"
        if part is not None:
            unit = market.instrument.tick * market.instrument.lot
            told |= {
                "exec_type": "trade",
                "exec_id": trade_id(part.id),
                "trade_id": part.id,
                "last_qty": quantity(part.lots),
                "last_price": price(part.price),
                "liquidity_ind": "m" if part.is_maker else "t",
                "cost": float(part.price * part.lots * unit),
                "fees": [{"asset": part.fee_asset, "qty": float(part.fee)}],
                "fee_usd_equiv": float(part.fee),
            }
        return told


def order_id(id: int) -> str:
    """Return an order's number as Kraken writes it."""
    return f"OLOCAL-{id // 10**6:05d}-{id % 10**6:06d}"


def trade_id(id: int) -> str:
    """Return an execution's number as Kraken writes it."""
    return f"TLOCAL-{id // 10**6:05d}-{id % 10**6:06d}"


def kind_of(ticket: Ticket) -> str:
    """Return the type under which an order was asked for."""
    if ticket.trigger is None:
        return "market" if ticket.price is None else "limit"
    kind = "stop-loss" if ticket.rising is None else "take-profit"
    return kind if ticket.price is None else f"{kind}-limit"


def _number(id: str) -> int:
    head, _, digits = id.partition("-")
    text = digits.replace("-", "")
    return int(text) if head == "OLOCAL" and text.isdecimal() else 0


def _description(market: Market, ticket: Ticket) -> str:
    side, price = "buy" if ticket.side == BUY else "sell", market.ticks.text
    rules = market.instrument
    pair = f"{rules.base.replace('BTC', 'XBT')}{rules.quote}"
    at = kind_of(ticket).removesuffix("-limit").replace("-", " ") if ticket.trigger else kind_of(ticket)
    if ticket.trigger is not None:
        at += f" {price(ticket.trigger)}" + (f" -> limit {price(ticket.price)}" if ticket.price else "")
    elif ticket.price is not None:
        at += f" {price(ticket.price)}"
    return f"{side} {market.lots.text(ticket.lots)} {pair} @ {at}"


def _stream_status(order: Placed) -> str:
    names = {
        State.WAITING: "new",
        State.OPEN: "new",
        State.PARTIAL: "partially_filled",
        State.FILLED: "filled",
    }
    return names.get(order.state) or _STATUS[order.state]


def _exec_type(order: Placed) -> str:
    if order.state is State.PARTIAL:
        return "status"
    return _stream_status(order)


def _moment(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.{ts % SECOND_NS // 1000:06d}Z"


def _nanos(text: str) -> int:
    return int(Decimal(str(datetime.fromisoformat(text).timestamp())) * SECOND_NS)


def _no(text: str) -> Refusal:
    return Refusal(200, {"error": [text]})

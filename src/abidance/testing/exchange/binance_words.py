"""What Binance tells of USD-M orders, executions, balances and positions, by REST and on streams alike."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from abidance.testing.exchange.accounts import ZERO, Account, Line
from abidance.testing.exchange.clearing import settling
from abidance.testing.exchange.core import BUY, Force
from abidance.testing.exchange.counter import mean_price, plain, sided
from abidance.testing.exchange.desk import Desk, Part, Placed, State, Ticket, live
from abidance.testing.exchange.house import millis
from abidance.testing.exchange.market import Market

_STATUS = {
    State.WAITING: "NEW",
    State.OPEN: "NEW",
    State.PARTIAL: "PARTIALLY_FILLED",
    State.FILLED: "FILLED",
    State.CANCELLED: "CANCELED",
    State.EXPIRED: "EXPIRED",
}
_CENT = Decimal("1e-8")


def is_conditional(order: Placed) -> bool:
    """Say whether an order waits, or waited, for a trigger."""
    return order.ticket.trigger is not None


def kind_of(ticket: Ticket) -> str:
    """Return the type under which an order was asked for."""
    if ticket.trigger is None:
        return "MARKET" if ticket.price is None else "LIMIT"
    kind = "STOP" if ticket.rising is None else "TAKE_PROFIT"
    return kind if ticket.price is not None else f"{kind}_MARKET"


WAITING = 10**15
"""What the numbers of conditional orders are above."""


class ContractWords:
    """Puts what stands at a desk into Binance's words; `names` are symbols by instrument."""

    def __init__(self, desk: Desk, names: Mapping[str, str]) -> None:
        self._desk = desk
        self._names = names

    def order(self, order: Placed) -> dict[str, Any]:
        """Tell how an order stands."""
        market, ticket = order.market, order.ticket
        kind = "MARKET" if ticket.price is None else "LIMIT"
        return {
            "orderId": order.id,
            "symbol": self._names[market.instrument.id],
            "status": _status(order),
            "clientOrderId": ticket.client_id,
            "price": market.ticks.text(ticket.price or 0),
            "avgPrice": mean_price(order),
            "origQty": market.lots.text(ticket.lots),
            "executedQty": market.lots.text(order.filled),
            "cumQty": market.lots.text(order.filled),
            "cumQuote": plain(order.paid),
            "timeInForce": _force(ticket),
            "type": kind,
            "reduceOnly": ticket.reduces,
            "closePosition": ticket.closes,
            "side": sided(ticket, "BUY", "SELL"),
            "positionSide": "BOTH",
            "stopPrice": "0",
            "workingType": "CONTRACT_PRICE",
            "priceMatch": "NONE",
            "selfTradePreventionMode": "NONE" if ticket.meets_own else "EXPIRE_MAKER",
            "goodTillDate": 0,
            "priceProtect": False,
            "origType": kind,
            "time": millis(order.ts),
            "updateTime": millis(order.updated),
        }

    def conditional(self, order: Placed) -> dict[str, Any]:
        """Tell how a conditional order stands."""
        market, ticket = order.market, order.ticket
        return {
            "algoId": algo_number(order),
            "clientAlgoId": ticket.client_id,
            "algoType": "CONDITIONAL",
            "orderType": kind_of(ticket),
            "symbol": self._names[market.instrument.id],
            "side": sided(ticket, "BUY", "SELL"),
            "positionSide": "BOTH",
            "timeInForce": _force(ticket),
            "quantity": market.lots.text(ticket.lots),
            "algoStatus": _conditional_status(order),
            "actualOrderId": str(order.id) if order.sent else "",
            "actualPrice": mean_price(order),
            "triggerPrice": market.ticks.text(ticket.trigger or 0),
            "price": market.ticks.text(ticket.price or 0),
            "icebergQuantity": None,
            "selfTradePreventionMode": "NONE" if ticket.meets_own else "EXPIRE_MAKER",
            "workingType": "CONTRACT_PRICE",
            "priceMatch": "NONE",
            "closePosition": ticket.closes,
            "priceProtect": False,
            "reduceOnly": ticket.reduces,
            "createTime": millis(order.ts),
            "updateTime": millis(order.updated),
            "triggerTime": millis(order.updated) if order.sent else 0,
            "goodTillDate": 0,
        }

    def conditional_update(self, order: Placed) -> dict[str, Any]:
        """Tell a stream how a conditional order stands."""
        market, ticket, now = order.market, order.ticket, millis(order.updated)
        told = {
            "caid": ticket.client_id,
            "aid": algo_number(order),
            "at": "CONDITIONAL",
            "o": kind_of(ticket),
            "s": self._names[market.instrument.id],
            "S": sided(ticket, "BUY", "SELL"),
            "ps": "BOTH",
            "f": _force(ticket),
            "q": market.lots.text(ticket.lots),
            "X": _conditional_status(order),
            "ai": str(order.id) if order.sent else "",
            "ap": mean_price(order),
            "aq": market.lots.text(order.filled),
            "act": "0",
            "tp": market.ticks.text(ticket.trigger or 0),
            "p": market.ticks.text(ticket.price or 0),
            "V": "EXPIRE_MAKER",
            "wt": "CONTRACT_PRICE",
            "pm": "NONE",
            "cp": ticket.closes,
            "pP": False,
            "R": ticket.reduces,
            "tt": now if order.sent else 0,
            "gtd": 0,
        }
        return {"e": "ALGO_UPDATE", "T": now, "E": now, "o": told}

    def update(self, order: Placed, part: Part | None) -> dict[str, Any]:
        """Tell a stream what happened to an order."""
        market, ticket, now = order.market, order.ticket, millis(order.updated)
        status = _status(order) if part is not None or order.state is not State.FILLED else "FILLED"
        what = "TRADE" if part is not None else status if status in ("CANCELED", "EXPIRED") else "NEW"
        kind = "MARKET" if ticket.price is None else "LIMIT"
        told = {
            "s": self._names[market.instrument.id],
            "c": ticket.client_id,
            "S": sided(ticket, "BUY", "SELL"),
            "o": "LIQUIDATION" if order.is_liquidation else kind,
            "f": _force(ticket),
            "q": market.lots.text(ticket.lots),
            "p": market.ticks.text(ticket.price or 0),
            "ap": mean_price(order),
            "sp": "0",
            "x": "CALCULATED" if part is not None and order.is_liquidation else what,
            "X": status,
            "i": order.id,
            "l": market.lots.text(part.lots if part else 0),
            "z": market.lots.text(order.filled),
            "L": market.ticks.text(part.price if part else 0),
            "N": part.fee_asset if part else settling(market),
            "n": format(part.fee, "f") if part else "0",
            "T": now,
            "t": part.id if part else 0,
            "b": "0",
            "a": "0",
            "m": bool(part and part.is_maker),
            "R": ticket.reduces,
            "wt": "CONTRACT_PRICE",
            "ot": kind,
            "ps": "BOTH",
            "cp": ticket.closes,
            "rp": format(part.realised, "f") if part else "0",
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": "EXPIRE_MAKER",
            "pm": "NONE",
            "gtd": 0,
        }
        return {"e": "ORDER_TRADE_UPDATE", "T": now, "E": now, "o": told}

    def change(self, account: Account, market: Market, why: str, ts: int) -> dict[str, Any]:
        """Tell a stream what an account has and holds after an execution."""
        held = self._desk.clearing.position(account, market)
        row = {
            "s": self._names[market.instrument.id],
            "pa": _signed_quantity(market, held.lots),
            "ep": _entry(market, held.lots, held.cost),
            "bep": _entry(market, held.lots, held.cost),
            "cr": plain(held.realised),
            "up": plain(self._desk.clearing.unrealised(market, held)),
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
        }
        wallet = self._wallet(account, settling(market), ZERO)
        return {
            "e": "ACCOUNT_UPDATE",
            "E": millis(ts),
            "T": millis(ts),
            "a": {"m": why, "B": [wallet], "P": [row]},
        }

    def wallet_change(self, account: Account, line: Line, why: str) -> dict[str, Any]:
        """Tell a stream that a balance moved without an execution."""
        wallet = self._wallet(account, line.asset, line.amount)
        ts = millis(line.ts)
        return {"e": "ACCOUNT_UPDATE", "E": ts, "T": ts, "a": {"m": why, "B": [wallet], "P": []}}

    def _wallet(self, account: Account, asset: str, change: Decimal) -> dict[str, Any]:
        total = plain(account.purse(asset).total)
        return {"a": asset, "wb": total, "cw": total, "bc": plain(change)}

    def trade(self, order: Placed, part: Part) -> dict[str, Any]:
        """Tell an execution."""
        market = order.market
        unit = market.instrument.tick * market.instrument.lot
        return {
            "symbol": self._names[market.instrument.id],
            "id": part.id,
            "orderId": order.id,
            "side": sided(order.ticket, "BUY", "SELL"),
            "price": market.ticks.text(part.price),
            "qty": market.lots.text(part.lots),
            "realizedPnl": format(part.realised, "f"),
            "quoteQty": plain(part.price * part.lots * unit),
            "commission": format(part.fee, "f"),
            "commissionAsset": part.fee_asset,
            "time": millis(part.ts),
            "positionSide": "BOTH",
            "buyer": order.ticket.side == BUY,
            "maker": part.is_maker,
        }

    def account(self, account: Account) -> dict[str, Any]:
        """Tell what an account has and holds."""
        assets = [self._asset(account, asset) for asset in account.purses]
        positions = [self.risk(account, market) for market, _ in self._desk.clearing.open_of(account)]
        for row in positions:
            row["unrealizedProfit"] = row["unRealizedProfit"]
        return {
            "feeTier": 0,
            "canTrade": account.permissions.trade,
            "canDeposit": True,
            "canWithdraw": account.permissions.withdraw,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "assets": assets,
            "positions": positions,
        }

    def _asset(self, account: Account, asset: str) -> dict[str, Any]:
        clearing, total = self._desk.clearing, account.purse(asset).total
        held = [each for each in clearing.open_of(account) if settling(each[0]) == asset]
        worth, needed = clearing.equity(account, asset)
        margin = sum((clearing.margin(position) for _, position in held), ZERO)
        orders = sum(
            (each.locked for each in live(self._desk.orders.values())
             if each.account is account and each.market.instrument.is_perpetual and settling(each.market) == asset),
            ZERO,
        )  # fmt: skip
        free = plain(max(ZERO, clearing.available(account, asset)))
        return {
            "asset": asset,
            "walletBalance": plain(total),
            "unrealizedProfit": plain(worth - total),
            "marginBalance": plain(worth),
            "maintMargin": plain(needed),
            "initialMargin": plain(margin + orders),
            "positionInitialMargin": plain(margin),
            "openOrderInitialMargin": plain(orders),
            "crossWalletBalance": plain(total),
            "crossUnPnl": plain(worth - total),
            "availableBalance": free,
            "maxWithdrawAmount": free,
            "marginAvailable": True,
            "updateTime": max((millis(line.ts) for line in account.ledger if line.asset == asset), default=0),
        }

    def balances(self, account: Account) -> list[dict[str, Any]]:
        """Tell balances alone."""
        rows = []
        for asset in account.purses:
            row = self._asset(account, asset)
            rows.append({"accountAlias": "local", "balance": row["walletBalance"]} | row)
        return rows

    def account_config(self, account: Account) -> dict[str, Any]:
        """Tell how an account trades."""
        return {
            "feeTier": 0,
            "canTrade": account.permissions.trade,
            "canDeposit": True,
            "canWithdraw": account.permissions.withdraw,
            "dualSidePosition": account.is_hedged,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def set_up(self, account: Account, market: Market) -> dict[str, Any]:
        """Tell how a perpetual is traded."""
        held = self._desk.clearing.position(account, market)
        return {
            "symbol": self._names[market.instrument.id],
            "marginType": "ISOLATED" if held.is_isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": held.leverage,
            "maxNotionalValue": "1000000",
        }

    def setting(self, market: Market, leverage: int, ts: int) -> dict[str, Any]:
        """Tell a stream that a leverage was changed."""
        now, symbol = millis(ts), self._names[market.instrument.id]
        return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ac": {"s": symbol, "l": leverage}}

    def income(self, account: Account) -> list[dict[str, Any]]:
        """Tell the fundings that were paid, oldest first."""
        return [
            {
                "symbol": self._names[line.instrument],
                "incomeType": "FUNDING_FEE",
                "income": plain(line.amount),
                "asset": line.asset,
                "info": "FUNDING_FEE",
                "time": millis(line.ts),
                "tranId": 9_000_000 + number,
                "tradeId": "",
            }
            for number, line in enumerate(account.ledger)
            if line.why == "funding"
        ]

    def risk(self, account: Account, market: Market) -> dict[str, Any]:
        """Tell what an account holds of a perpetual."""
        clearing, held = self._desk.clearing, self._desk.clearing.position(account, market)
        mark = market.mark().price
        unit = market.instrument.tick * market.instrument.lot
        return {
            "symbol": self._names[market.instrument.id],
            "positionSide": "BOTH",
            "positionAmt": _signed_quantity(market, held.lots),
            "entryPrice": _entry(market, held.lots, held.cost),
            "breakEvenPrice": _entry(market, held.lots, held.cost),
            "markPrice": market.ticks.text(mark),
            "unRealizedProfit": plain(clearing.unrealised(market, held)),
            "liquidationPrice": plain(clearing.liquidation_price(account, market)),
            "leverage": str(held.leverage),
            "marginType": "isolated" if held.is_isolated else "cross",
            "isolated": held.is_isolated,
            "isolatedMargin": plain(held.wallet + clearing.unrealised(market, held))
            if held.is_isolated
            else "0",
            "notional": plain(held.lots * mark * unit),
            "marginAsset": settling(market),
            "isolatedWallet": plain(held.wallet),
            "initialMargin": plain(clearing.margin(held)),
            "maintMargin": plain(clearing.maintenance(market, held)),
            "positionInitialMargin": plain(clearing.margin(held)),
            "openOrderInitialMargin": "0",
            "adl": 1,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": millis(held.updated),
        }


def _status(order: Placed) -> str:
    return "EXPIRED_IN_MATCH" if order.is_self_trade else _STATUS[order.state]


def algo_number(order: Placed) -> int:
    """Return the number under which an order waits: once touched it goes on under another one."""
    return WAITING + order.id


def _conditional_status(order: Placed) -> str:
    if not order.sent:
        return {State.CANCELLED: "CANCELED", State.EXPIRED: "EXPIRED"}.get(order.state, "NEW")
    return "FINISHED" if not order.state.is_working else "TRIGGERED"


def _force(ticket: Ticket) -> str:
    # What trades at market has no other force at Binance.
    if ticket.price is None:
        return "GTC"
    return "GTX" if ticket.force is Force.POST else ticket.force.value.upper()


def _signed_quantity(market: Market, lots: int) -> str:
    return f"{'-' if lots < 0 else ''}{market.lots.text(abs(lots))}"


def _entry(market: Market, lots: int, cost: Decimal) -> str:
    return plain((cost / (lots * market.instrument.lot)).quantize(_CENT)) if lots else "0.0"

"""What Bybit tells of orders, executions, balances and positions, by REST and on streams alike."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from abidance.testing.exchange.accounts import ZERO, Account, Line
from abidance.testing.exchange.clearing import settling
from abidance.testing.exchange.core import Force
from abidance.testing.exchange.counter import fees, mean_price, plain, sided
from abidance.testing.exchange.desk import Desk, Part, Placed, State, Why, live
from abidance.testing.exchange.house import millis
from abidance.testing.exchange.market import Market

FORCES = {"GTC": Force.GTC, "IOC": Force.IOC, "FOK": Force.FOK, "PostOnly": Force.POST}
_OF_LOANS = frozenset({"loan", "repayment"})
_WORDS = {force: word for word, force in FORCES.items()}


class BybitWords:
    """Puts what stands at a desk into Bybit's words; `names` are category and symbol by instrument."""

    def __init__(self, desk: Desk, names: Mapping[str, tuple[str, str]]) -> None:
        self._desk = desk
        self._names = names

    def wallet(self, account: Account) -> dict[str, Any]:
        """Tell what an account has."""
        clearing = self._desk.clearing
        coins = []
        for asset, purse in account.purses.items():
            held = [each for each in clearing.open_of(account) if settling(each[0]) == asset]
            order_margin = sum(
                (each.locked for each in live(self._desk.orders.values())
                 if each.account is account and each.market.instrument.is_perpetual
                 and settling(each.market) == asset), ZERO,
            )  # fmt: skip
            unseen = self._unseen(account, asset)
            total, owed = purse.total - unseen, account.debts.get(asset, ZERO) - unseen
            open_result = sum((clearing.unrealised(*each) for each in held), ZERO)
            coins.append(
                {
                    "coin": asset,
                    "equity": plain(total - owed + open_result),
                    "usdValue": "",
                    "walletBalance": plain(total),
                    "availableToWithdraw": "",
                    "availableToBorrow": "",
                    "borrowAmount": plain(owed),
                    "accruedInterest": "0",
                    "locked": plain(purse.locked - order_margin),
                    "totalOrderIM": plain(order_margin),
                    "totalPositionIM": plain(sum((clearing.margin(each) for _, each in held), ZERO)),
                    "totalPositionMM": plain(sum((clearing.maintenance(*each) for each in held), ZERO)),
                    "unrealisedPnl": plain(open_result),
                    "cumRealisedPnl": "0",
                    "bonus": "0",
                    "marginCollateral": True,
                    "collateralSwitch": True,
                    "spotHedgingQty": "0",
                    "spotBorrow": plain(owed),
                }
            )
        totals = ("totalEquity", "totalWalletBalance", "totalMarginBalance", "totalAvailableBalance")
        return {"accountType": "UNIFIED", "coin": coins} | dict.fromkeys(totals, "")

    def _unseen(self, account: Account, asset: str) -> Decimal:
        """Return what was lent and repaid since the moment of which a copy that lags tells."""
        horizon = self._desk.horizon
        late = (each for each in account.ledger if horizon is not None and each.ts > horizon)
        return sum((each.amount for each in late if each.asset == asset and each.why in _OF_LOANS), ZERO)

    def position(self, account: Account, market: Market) -> dict[str, Any]:
        """Tell what an account holds of a perpetual."""
        clearing, rules = self._desk.clearing, market.instrument
        held = clearing.position(account, market)
        quantity = abs(held.lots) * rules.lot
        liquidation = clearing.liquidation_price(account, market)
        return {
            "positionIdx": 0,
            "riskId": 1,
            "riskLimitValue": "2000000",
            "symbol": self._names[rules.id][1],
            "side": "Buy" if held.lots > 0 else "Sell" if held.lots else "",
            "size": plain(quantity),
            "avgPrice": plain((abs(held.cost) / quantity).quantize(rules.tick / 10**4)) if held.lots else "0",
            "positionValue": plain(abs(held.cost)),
            "tradeMode": 0,
            "autoAddMargin": 0,
            "positionStatus": "Normal",
            "leverage": str(held.leverage),
            "markPrice": market.ticks.text(market.mark().price),
            "liqPrice": plain(liquidation) if liquidation else "",
            "bustPrice": "",
            "positionIM": plain(clearing.margin(held)),
            "positionMM": plain(clearing.maintenance(market, held)),
            "positionBalance": plain(clearing.margin(held)),
            "takeProfit": "",
            "stopLoss": "",
            "trailingStop": "0",
            "unrealisedPnl": plain(clearing.unrealised(market, held)),
            "cumRealisedPnl": plain(held.realised),
            "createdTime": str(millis(held.since)),
            "updatedTime": str(millis(held.updated)),
            "adlRankIndicator": 0,
            "isReduceOnly": False,
            "seq": market.book.update,
        }

    def order(self, order: Placed) -> dict[str, Any]:
        """Tell how an order stands."""
        market, ticket = order.market, order.ticket
        price, lots = market.ticks.text, market.lots.text
        category, symbol = self._names[market.instrument.id]
        paid = {asset: plain(fee) for asset, fee in fees(order.parts).items()}
        told = {
            "category": category,
            "symbol": symbol,
            "orderId": str(order.id),
            "orderLinkId": ticket.client_id,
            "side": sided(ticket, "Buy", "Sell"),
            "orderType": "Market" if ticket.price is None else "Limit",
            "price": price(ticket.price or 0),
            "qty": lots(ticket.lots),
            "marketUnit": "baseCoin" if category == "spot" else "",
            "timeInForce": _WORDS[ticket.force],
            "orderStatus": _status(order),
            "cancelType": _cancel_type(order),
            "rejectReason": "EC_PostOnlyWillTakeLiquidity" if order.why is Why.WOULD_TAKE else "EC_NoError",
            "avgPrice": mean_price(order) if order.filled else "",
            "leavesQty": lots(order.left) if order.state.is_working else lots(0),
            "leavesValue": "",
            "cumExecQty": lots(order.filled),
            "cumExecValue": plain(order.paid),
            "cumExecFee": plain(sum((part.fee for part in order.parts), ZERO)),
            "cumFeeDetail": paid,
            "stopOrderType": _stop_type(order),
            "triggerPrice": price(ticket.trigger) if ticket.trigger is not None else "",
            "triggerDirection": 0
            if ticket.trigger is None or category == "spot"
            else 1
            if order.rising
            else 2,
            "triggerBy": "LastPrice" if ticket.trigger is not None else "",
            "takeProfit": "",
            "stopLoss": "",
            "reduceOnly": ticket.reduces,
            "closeOnTrigger": False,
            "positionIdx": 0,
            "isLeverage": "0",
            "blockTradeId": "",
            "smpType": "None" if ticket.meets_own else "CancelMaker",
            "createdTime": str(millis(order.ts)),
            "updatedTime": str(millis(order.updated)),
            "createType": "CreateByLiq" if order.is_liquidation else "CreateByUser",
        }
        return told if category == "spot" else told | {"tpslMode": ""}

    def part(self, order: Placed, part: Part) -> dict[str, Any]:
        """Tell an execution."""
        market, ticket = order.market, order.ticket
        category, symbol = self._names[market.instrument.id]
        unit = market.instrument.tick * market.instrument.lot
        rate = order.account.maker if part.is_maker else order.account.taker
        held = self._desk.clearing.position(order.account, market) if category == "linear" else None
        return {
            "category": category,
            "symbol": symbol,
            "execId": str(part.id),
            "orderId": str(order.id),
            "orderLinkId": ticket.client_id,
            "side": sided(ticket, "Buy", "Sell"),
            "execPrice": market.ticks.text(part.price),
            "execQty": market.lots.text(part.lots),
            "execValue": plain(part.price * part.lots * unit),
            "execFee": plain(part.fee),
            "execPnl": plain(part.realised),
            "feeRate": plain(rate),
            "feeCurrency": part.fee_asset,
            "feeCoin": part.fee_asset,
            "execType": "BustTrade" if order.is_liquidation else "Trade",
            "execTime": str(millis(part.ts)),
            "isMaker": part.is_maker,
            "orderType": "Market" if ticket.price is None else "Limit",
            "orderPrice": market.ticks.text(ticket.price or 0),
            "orderQty": market.lots.text(ticket.lots),
            "leavesQty": market.lots.text(order.left),
            "stopOrderType": _stop_type(order),
            "closedSize": "" if held is None else "0",
            "createType": "CreateByLiq" if order.is_liquidation else "CreateByUser",
            "markPrice": market.ticks.text(market.mark().price) if held is not None else "",
            "seq": part.id,
        }

    def funding(self, line: Line, number: int) -> dict[str, Any]:
        """Tell a payment of funding as Bybit does: among executions, as a fee."""
        category, symbol = self._names[line.instrument]
        return {
            "category": category,
            "symbol": symbol,
            "execId": f"funding-{number}",
            "orderId": f"{millis(line.ts)}-{symbol}",
            "orderLinkId": "",
            "side": "Buy",
            "execPrice": "0",
            "execQty": "0",
            "execFee": plain(-line.amount),
            "feeCurrency": line.asset,
            "execType": "Funding",
            "execTime": str(millis(line.ts)),
            "isMaker": False,
        }


def _stop_type(order: Placed) -> str:
    if order.ticket.trigger is None:
        return ""
    return "Stop" if order.market.instrument.is_perpetual else "tpslOrder"


def _status(order: Placed) -> str:
    match order.state:
        case State.WAITING:
            return "Untriggered"
        case State.OPEN:
            return "New"
        case State.PARTIAL:
            return "PartiallyFilled"
        case State.FILLED:
            return "Filled"
    if order.ticket.trigger is not None and order.state is State.CANCELLED and not order.filled:
        return "Deactivated"
    is_spot = not order.market.instrument.is_perpetual
    return "PartiallyFilledCanceled" if is_spot and order.filled else "Cancelled"


def _cancel_type(order: Placed) -> str:
    if order.is_self_trade:
        return "CancelBySmp"
    if order.state is State.CANCELLED:
        return "CancelByUser"
    return "CancelByReduceOnly" if order.state is State.EXPIRED and order.ticket.reduces else "UNKNOWN"

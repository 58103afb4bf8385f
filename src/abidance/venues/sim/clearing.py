"""What money and positions allow: reservations behind orders, fees, how much of an execution can be booked.

It turns what matching found into fills and books them. It decides no price and sees no bar.
"""

from collections.abc import Mapping
from decimal import Decimal

from abidance.model.money import ZERO, paid, received
from abidance.model.order import Fill, OrderRequest, Purpose, Side
from abidance.venues.sim.accounts import Accounts, Holding, Wallet
from abidance.venues.sim.desk import Desk
from abidance.venues.sim.matching import Execution
from abidance.venues.sim.orders import WorkingOrder, notional_reason
from abidance.venues.sim.prices import Prices

NOTHING_TO_REDUCE = "nothing left to reduce"


class Clearing:
    """The money side of the simulated venues."""

    def __init__(self, accounts: Accounts, leverage: Mapping[str, Decimal], prices: Prices) -> None:
        self._accounts = accounts
        self._leverage = dict(leverage)
        self._prices = prices
        self.fills = 0

    # --- orders that wait -------------------------------------------------------------------------------

    def refusal(self, desk: Desk, order: WorkingOrder, request: OrderRequest) -> str:
        """Return why value, balance or margin forbid a request; empty when they do not.

        `order` holds what it reserved and filled so far. What cannot be priced yet is left to the execution.
        """
        price = self._valued_at(request)
        if price and (reason := notional_reason(request, desk.instrument, price)):
            return reason
        if request.reduce_only:
            signed = request.side.sign * request.quantity
            holding = self._accounts.holding(request.strategy, desk.instrument)
            return "" if holding.closing(signed) else "reduce-only order without a position to reduce"
        leverage = self._leverage_of(request.strategy)
        if desk.is_perpetual and leverage > desk.instrument.max_leverage:
            return f"leverage {leverage} is above {desk.instrument.max_leverage}"
        amount = self._held_back(desk, request, request.quantity - order.filled * desk.instrument.lot, price)
        wallet, asset = self._wallet_of(desk, request)
        free = wallet.free + order.reserved
        if amount <= free:
            return ""
        return f"insufficient balance: needs {_plain(amount)} {asset}, {_plain(free)} is free"

    def value(self, order: WorkingOrder) -> None:
        """Fix the price at which an order holds money back: once when it comes, again when it is amended."""
        order.reserve_price = self._valued_at(order.request)

    def reserve(self, desk: Desk, order: WorkingOrder) -> None:
        """Hold back what a working order may need; fees are found when it fills. A closed order holds nothing.

        Reduce-only orders hold nothing back, so that a stop and a take-profit may stand for the same position.
        """
        left = order.left * desk.instrument.lot
        amount = ZERO if order.closed else self._held_back(desk, order.request, left, order.reserve_price)
        wallet, _ = self._wallet_of(desk, order.request)
        wallet.reserved += amount - order.reserved
        order.reserved = amount

    def _held_back(self, desk: Desk, request: OrderRequest, quantity: Decimal, price: Decimal) -> Decimal:
        if request.reduce_only:
            return ZERO
        if desk.is_perpetual:
            holding = self._accounts.holding(request.strategy, desk.instrument)
            closed = holding.closing(request.side.sign * quantity)
            margin = paid((quantity - closed) * price / self._leverage_of(request.strategy))
            return max(margin - holding.freed(closed, price), ZERO) if closed < quantity else ZERO
        return quantity * price if request.side is Side.BUY else quantity

    def _wallet_of(self, desk: Desk, request: OrderRequest) -> tuple[Wallet, str]:
        is_sale = request.side is Side.SELL and not desk.is_perpetual
        asset = desk.base if is_sale else desk.quote
        return self._accounts.wallet(desk.venue, asset), asset

    def _valued_at(self, request: OrderRequest) -> Decimal:
        """Return the price an order is valued at before it trades; zero when none is known."""
        named = request.price or request.trigger or request.decision_price
        return named or self._prices.last(request.instrument) or ZERO

    def _leverage_of(self, strategy: str) -> Decimal:
        return self._leverage.get(strategy, Decimal(1))

    # --- executions -------------------------------------------------------------------------------------

    def ruined(self, desk: Desk, order: WorkingOrder, price: Decimal) -> Holding | None:
        """Return the isolated position that an exit at `price` would cost more than its margin, or None."""
        if not desk.is_perpetual:
            return None
        holding = self._accounts.holding(order.request.strategy, desk.instrument)
        if holding.side * order.side >= 0 or holding.side * (price - holding.bankruptcy_price()) >= 0:
            return None
        return holding

    def feasible(self, desk: Desk, step: Execution, price: Decimal) -> tuple[int, str]:
        """Return how many lots of an execution can be booked, and what stands against the rest."""
        order, lot, lots, reason = step.order, desk.instrument.lot, step.lots, ""
        holding = self._accounts.holding(order.request.strategy, desk.instrument)
        if order.request.reduce_only:
            position = int(holding.closing(order.side * order.left * lot) / lot)
            if position < lots:
                lots, reason = position, NOTHING_TO_REDUCE
        if desk.is_perpetual:
            affordable = self._affordable_contracts(desk, step, holding, lots, price)
        elif order.side < 0:
            affordable = max(int(self._available(desk, order) / lot), 0)
        else:
            affordable = self._affordable_assets(desk, step, lots, price)
        if affordable >= lots:
            return lots, reason
        had, asked = _plain(affordable * lot), _plain(order.left * lot)
        return affordable, f"insufficient balance: {had} of {asked} {desk.base} can be had"

    def fill(self, desk: Desk, step: Execution, lots: int, price: Decimal) -> Fill:
        """Book `lots` of an execution and return the fill."""
        order, quantity = step.order, lots * desk.instrument.lot
        fee, asset, value = self._fee(desk, step, quantity, price)
        if desk.is_perpetual and asset == desk.quote and fee > 0:
            fee = value = max(min(fee, self._left_for_fee(desk, order, quantity, price)), ZERO)
        request = order.request
        fill = Fill(
            self._next_id(order.id), order.id, request.instrument, request.strategy, request.side, quantity, price,
            fee, asset, step.ts, step.is_maker, request.purpose,
        )  # fmt: skip
        order.filled += lots
        self._book(desk, fill, value)
        self.reserve(desk, order)
        return fill

    def liquidate(self, desk: Desk, holding: Holding, ts: int) -> Fill:
        """Close a position at its bankruptcy price, which costs the whole margin and no fee, and return the fill."""
        side = Side.SELL if holding.side > 0 else Side.BUY
        fill_id = self._next_id("liquidation")
        fill = Fill(
            fill_id, fill_id, desk.instrument.id, holding.strategy, side, abs(holding.quantity),
            holding.bankruptcy_price(), ZERO, desk.quote, ts, False, Purpose.LIQUIDATION,
        )  # fmt: skip
        self._book(desk, fill, ZERO)
        return fill

    def _next_id(self, stem: str) -> str:
        self.fills += 1
        return f"{stem}-{self.fills}"

    def _book(self, desk: Desk, fill: Fill, fee_value: Decimal) -> None:
        desk.fees.record(fill.ts, fill.quantity * fill.price)
        holding = self._accounts.book(fill, desk.instrument, self._leverage_of(fill.strategy), fee_value)
        if not desk.is_perpetual:
            return
        if holding.quantity:
            desk.margined[holding.strategy] = holding
        else:
            desk.margined.pop(holding.strategy, None)

    def _available(self, desk: Desk, order: WorkingOrder) -> Decimal:
        """Return what an order may spend: what is free, and what was held back for it."""
        return self._wallet_of(desk, order.request)[0].free + order.reserved

    def _affordable_assets(self, desk: Desk, step: Execution, lots: int, price: Decimal) -> int:
        money = max(self._available(desk, step.order), ZERO)
        if self._price_with_fee(desk, step, lots, price) > money:
            rate = ZERO if desk.fee_asset == "received" else max(desk.fees.rate(step.ts, step.is_maker), ZERO)
            lots = min(lots, int(money / (price * desk.instrument.lot * (1 + rate))))
            while lots > 0 and self._price_with_fee(desk, step, lots, price) > money:
                lots -= 1
        return lots

    def _price_with_fee(self, desk: Desk, step: Execution, lots: int, price: Decimal) -> Decimal:
        quantity = lots * desk.instrument.lot
        fee, asset, _ = self._fee(desk, step, quantity, price)
        return paid(quantity * price) + (fee if asset == desk.quote else ZERO)

    def _affordable_contracts(
        self, desk: Desk, step: Execution, holding: Holding, lots: int, price: Decimal
    ) -> int:
        """Return the lots that margin allows: closing is free, opening is paid from what closing leaves."""
        order, lot = step.order, desk.instrument.lot
        closed = holding.closing(order.side * lots * lot)
        if closed == lots * lot:
            return lots
        rate = max(desk.fees.rate(step.ts, step.is_maker), ZERO)
        leverage = self._leverage_of(order.request.strategy)
        money = self._available(desk, order) + holding.freed(closed, price) - paid(closed * price * rate)
        # one division, at the end: a position that fits to the last unit is not to lose a lot to rounding
        most = max(money, ZERO) * leverage / (price * lot * (1 + leverage * rate))
        opening = int(min(lots - closed / lot, most))
        while opening and paid(opening * lot * price / leverage) + paid(opening * lot * price * rate) > money:
            opening -= 1
        return int(closed / lot) + opening

    def _left_for_fee(self, desk: Desk, order: WorkingOrder, quantity: Decimal, price: Decimal) -> Decimal:
        """Return what remains for the fee of a perpetual: an isolated position never costs more than there is."""
        holding = self._accounts.holding(order.request.strategy, desk.instrument)
        closed = holding.closing(order.side * quantity)
        margin = paid((quantity - closed) * price / self._leverage_of(order.request.strategy))
        return received(self._available(desk, order) + holding.freed(closed, price) - margin)

    def _fee(
        self, desk: Desk, step: Execution, quantity: Decimal, price: Decimal
    ) -> tuple[Decimal, str, Decimal]:
        """Return a fee, the asset it is taken in, and its value in quote units.

        A named asset pays only when its price is known and its balance suffices; otherwise the quote does.
        """
        rate = desk.fees.rate(step.ts, step.is_maker)
        value = paid(quantity * price * rate)
        if desk.fee_asset == "received" and step.order.side > 0 and not desk.is_perpetual:
            return paid(quantity * rate), desk.base, value
        if desk.fee_asset in ("quote", "received", desk.quote):
            return value, desk.quote, value
        pair = f"{desk.fee_asset}/{desk.quote}@{desk.venue}"
        worth = price if desk.fee_asset == desk.base else self._prices.last(pair)
        if worth:
            fee = paid(quantity * price * rate / worth)
            if fee <= self._spendable(desk, step.order, quantity):
                return fee, desk.fee_asset, value
        return value, desk.quote, value

    def _spendable(self, desk: Desk, order: WorkingOrder, quantity: Decimal) -> Decimal:
        """Return what a named fee asset can pay; of the base, a sale leaves only what it does not sell."""
        free = self._accounts.wallet(desk.venue, desk.fee_asset).free
        if desk.fee_asset == desk.base and not desk.is_perpetual and order.side < 0:
            free += order.reserved - quantity
        return free


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")

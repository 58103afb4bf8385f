"""Perpetual positions on the local exchange: what an account holds, what it cost, its margin, funding and liquidation.

Exact: what was realised and what is still open always add up to what was paid. One position per instrument. With cross
margin the whole purse of the settling asset stands for it; an isolated one stands on its own wallet, which takes its
margin when it grows, gives it back in proportion when it gets smaller, and bears its fundings.
"""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

from abidance.testing.exchange.accounts import ZERO, Account, Line, Position
from abidance.testing.exchange.market import FUNDING_NS, Market

MAINTENANCE = Decimal("0.005")
"""How much of a position's value at mark must stand behind it."""
_CENT = Decimal("1e-8")


def settling(market: Market) -> str:
    """Return the asset in which a perpetual is paid."""
    found = market.instrument.name.settle
    assert found is not None
    return found


class Clearing:
    """The positions of all accounts of one exchange."""

    def __init__(self) -> None:
        self._markets: dict[str, Market] = {}

    def position(self, account: Account, market: Market) -> Position:
        """Return what an account holds of a perpetual, flat when it never had any."""
        id = market.instrument.id
        self._markets[id] = market
        return account.positions.setdefault(id, Position())

    def open_of(self, account: Account) -> Iterator[tuple[Market, Position]]:
        """Yield what an account holds."""
        for id, position in account.positions.items():
            if position.lots:
                yield self._markets[id], position

    def trade(
        self, account: Account, market: Market, signed: int, price: int, why: tuple[int, int, int]
    ) -> Decimal:
        """Take in an execution of `signed` lots and return what it realised; `why` is time, order and print."""
        position = self.position(account, market)
        unit = market.instrument.tick * market.instrument.lot
        closed = min(abs(signed), abs(position.lots)) if signed * position.lots < 0 else 0
        sign = 1 if signed > 0 else -1
        realised = ZERO
        if closed:
            whole = closed == abs(position.lots)
            cost = position.cost if whole else (position.cost * closed / abs(position.lots)).quantize(_CENT)
            # What is closed was bought (or sold) for `cost`, signed; it goes for the other sign of its value.
            realised = -sign * closed * price * unit - cost
            position.wallet -= (
                position.wallet if whole else (position.wallet * closed / abs(position.lots)).quantize(_CENT)
            )
            position.cost -= cost
            position.lots += sign * closed
        opened = abs(signed) - closed
        if opened:
            if not position.lots:
                position.since = why[0]
            position.cost += sign * opened * price * unit
            if position.is_isolated:
                position.wallet += (opened * price * unit / position.leverage).quantize(_CENT)
            position.lots += sign * opened
        position.updated = why[0]
        position.realised += realised
        if realised:
            account.move(Line(why[0], settling(market), realised, "realised", why[1], why[2]))
        return realised

    def unrealised(self, market: Market, position: Position) -> Decimal:
        """Return what closing at the mark would realise."""
        unit = market.instrument.tick * market.instrument.lot
        return position.lots * market.mark().price * unit - position.cost

    def margin(self, position: Position) -> Decimal:
        """Return what a position keeps of the purse."""
        if position.is_isolated:
            return position.wallet
        return (abs(position.cost) / position.leverage).quantize(_CENT)

    def maintenance(self, market: Market, position: Position) -> Decimal:
        """Return below which equity a position is taken over."""
        unit = market.instrument.tick * market.instrument.lot
        return abs(position.lots) * market.mark().price * unit * MAINTENANCE

    def available(self, account: Account, asset: str) -> Decimal:
        """Return what may be spent or kept for new orders."""
        found = account.purse(asset).free
        loss = ZERO
        for market, position in self.open_of(account):
            if settling(market) == asset:
                found -= self.margin(position)
                loss += ZERO if position.is_isolated else self.unrealised(market, position)
        return found + min(ZERO, loss)

    def equity(self, account: Account, asset: str) -> tuple[Decimal, Decimal]:
        """Return the worth of a purse with what is open, and how much must be there; isolated positions apart."""
        worth, needed = account.purse(asset).total, ZERO
        for market, position in self.open_of(account):
            if settling(market) == asset and position.is_isolated:
                worth -= position.wallet
            elif settling(market) == asset:
                worth += self.unrealised(market, position)
                needed += self.maintenance(market, position)
        return worth, needed

    def fallen(self, account: Account) -> list[Market]:
        """Return the markets of an account whose positions are no longer covered by what stands for them."""
        equities = {
            asset: self.equity(account, asset)
            for asset in {settling(each) for each, _ in self.open_of(account)}
        }
        found = []
        for market, position in self.open_of(account):
            worth, needed = equities[settling(market)]
            if position.is_isolated:
                worth = position.wallet + self.unrealised(market, position)
                needed = self.maintenance(market, position)
            if worth <= needed:
                found.append(market)
        return found

    def liquidation_price(self, account: Account, market: Market) -> Decimal:
        """Return the mark at which an account's position is taken over, all else equal; 0 for never."""
        position, rules = self.position(account, market), market.instrument
        if not position.lots:
            return ZERO
        worth, needed = self.equity(account, settling(market))
        if position.is_isolated:
            worth = position.wallet + self.unrealised(market, position)
            needed = self.maintenance(market, position)
        quantity = position.lots * rules.lot
        spare = worth - needed
        mark = market.mark().price * rules.tick
        price = mark - spare / (quantity - abs(quantity) * MAINTENANCE)
        return max(ZERO, price.quantize(rules.tick, rounding=ROUND_DOWN))

    def fund(self, account: Account, ts: int) -> list[Line]:
        """Pay the fundings that fell due, and return their lines."""
        lines = []
        for market, position in self.open_of(account):
            if position.funded >= ts:
                continue
            since, position.funded = max(position.funded, position.since), ts
            unit = market.instrument.tick * market.instrument.lot
            if since // FUNDING_NS == ts // FUNDING_NS:
                continue
            for due, rate, mark in market.fundings():
                if since < due <= ts:
                    paid = (position.lots * mark * unit * Decimal(str(rate))).quantize(_CENT)
                    id = market.instrument.id
                    lines.append(Line(due, settling(market), -paid, "funding", instrument=id))
                    if position.is_isolated:
                        position.wallet -= paid
        for line in lines:
            account.move(line)
        return lines

"""Our own books beside the venue's: what must be there, and in what the two differ."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.model.order import Side
from abidance.venues.account import AccountDialect, Exposure, Funds

ROUNDED = Decimal("0.01")
"""By how much what settles may be less at the venue, which rounds entry prices before it reckons profits."""
DUST, ACCRUED = Decimal("0.00000001"), Decimal("0.001")
"""By how much a debt may differ: rounding, and (as a share) interest that was charged and is not listed yet."""

DEAR = Decimal("1.01")
"""What a purchase under way may take of the quote asset, fees included, by its limit."""
AT_MARKET = Decimal("1.1")
"""The most at which an order without a limit may have traded, by what is asked now."""
ANY = Decimal("Infinity")


class Loose(NamedTuple):
    """What may have traded without our books knowing it; `price` is the worst, None where nothing bounds it."""

    instrument: str
    side: Side
    quantity: Decimal
    price: Decimal | None


class Gap(NamedTuple):
    """What a venue has less of than our books say (an asset), or other than they say (a position, a debt)."""

    name: str
    there: Decimal
    ours: Decimal
    is_position: bool = False
    is_debt: bool = False

    def __str__(self) -> str:
        if self.is_debt:
            return f"{self.name} owed: the venue says {self.there}, our books {self.ours}."
        return f"{self.name}: the venue has {self.there}, our books {self.ours}."


class Lack(NamedTuple):
    """A coin of which less is there than must be, and what the owner took since all was there.

    Two are equal as long as nothing has changed.
    """

    asset: str
    ours: Decimal
    there: Decimal
    taken: Decimal

    @property
    def gone(self) -> Decimal:
        """Return how much of it strategies have lost by him."""
        return min(self.ours - self.there, self.taken)


def slack(*debts: Decimal) -> Decimal:
    """Return by how much a debt may differ from our books without a doubt; the largest of `debts` counts."""
    return max(debts, default=ZERO) * ACCRUED + DUST


@dataclass
class Books:
    """What our own books say of the account: asked when the venue's say is compared with it.

    `settle` is told before what the account has: what somebody did with it by hand is then brought home, of coins only
    what lacks as it is proven to. It returns what seems to lack by him besides. `agreed` is called once nothing
    differed and all was compared.
    """

    funds: Callable[[], Mapping[str, Decimal]]
    exposures: Callable[[], Mapping[str, Decimal]]
    settle: Callable[[Mapping[str, Funds], Collection[Lack]], Sequence[Lack]] = lambda *_: ()
    agreed: Callable[[], None] = lambda: None
    debts: Callable[[], Mapping[str, Decimal]] = dict
    moving: Callable[[], Collection[str]] = tuple
    """The assets of which something is being borrowed or repaid now: they are compared afterwards."""

    def gaps(
        self,
        dialect: AccountDialect,
        funds: Mapping[str, Funds],
        exposures: Iterable[Exposure],
        loose: Iterable[Loose] = (),
    ) -> list[Gap]:
        """Return where an account has less than our books say, another position or debt; nothing when they agree.

        By as much as what is `loose` explains they may differ.
        """
        less, bought, sold = _slack(loose, dialect.instruments)
        there: dict[str, Decimal] = {}
        for each in exposures:
            there[each.instrument] = there.get(each.instrument, ZERO) + each.quantity
        ours = self.exposures()
        found = [
            Gap(id, there.get(id, ZERO), ours.get(id, ZERO), is_position=True)
            for id, rules in dialect.instruments.items()
            if rules.is_perpetual
            and not (
                -rules.lot - sold.get(id, ZERO)
                < there.get(id, ZERO) - ours.get(id, ZERO)
                < rules.lot + bought.get(id, ZERO)
            )
        ]
        held = {asset: each.total for asset, each in funds.items()}
        settling = {each.quote for each in dialect.instruments.values() if each.is_perpetual}
        found += [
            Gap(asset, held.get(asset, ZERO), amount)
            for asset, amount in self.funds().items()
            if held.get(asset, ZERO) + less.get(asset, ZERO) + (ROUNDED if asset in settling else ZERO)
            < amount
        ]
        moving = self.moving()
        return [each for each in (*found, *self._debts(funds)) if each.is_position or each.name not in moving]

    def _debts(self, funds: Mapping[str, Funds]) -> Iterator[Gap]:
        ours = self.debts()
        for asset in {**ours, **funds}:
            there = funds[asset].debt if asset in funds else ZERO
            here = ours.get(asset, ZERO)
            if abs(there - here) > slack(there, here):
                yield Gap(asset, there, here, is_debt=True)


def _slack(
    loose: Iterable[Loose], instruments: Mapping[str, Instrument]
) -> tuple[dict[str, Decimal], dict[str, Decimal], dict[str, Decimal]]:
    """Return by how much less of an asset there may be, and how much of an instrument may be bought and sold."""
    less: dict[str, Decimal] = {}
    moved: dict[Side, dict[str, Decimal]] = {Side.BUY: {}, Side.SELL: {}}
    for each in loose:
        rules, sums = instruments[each.instrument], moved[each.side]
        sums[rules.id] = sums.get(rules.id, ZERO) + each.quantity
        if not rules.is_perpetual and each.side is Side.SELL:
            less[rules.base] = less.get(rules.base, ZERO) + each.quantity
        else:  # what a contract settles nobody knows before: not more than it is worth
            cost = ANY if each.price is None else each.quantity * each.price * DEAR
            less[rules.quote] = less.get(rules.quote, ZERO) + cost
    return less, moved[Side.BUY], moved[Side.SELL]


def told(gaps: Iterable[Gap]) -> str:
    """Return gaps in one text, empty when there are none."""
    return " ".join(map(str, gaps))

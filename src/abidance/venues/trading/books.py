"""Our own books beside the venue's: what must be there, and in what the two differ."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from abidance.model.money import ZERO
from abidance.venues.account import AccountDialect, Exposure, Funds

ROUNDED = Decimal("0.01")
"""By how much what settles may be less at the venue, which rounds entry prices before it reckons profits."""


class Gap(NamedTuple):
    """What a venue has less of than our books say (an asset), or other than they say (an instrument's position)."""

    name: str
    there: Decimal
    ours: Decimal
    is_position: bool = False

    def __str__(self) -> str:
        return f"{self.name}: the venue has {self.there}, our books {self.ours}."


@dataclass
class Books:
    """What our own books say of the account: asked when the venue's say is compared with it.

    `settle` is told before what the account has: what somebody did with it by hand is then brought home.
    """

    funds: Callable[[], Mapping[str, Decimal]]
    exposures: Callable[[], Mapping[str, Decimal]]
    settle: Callable[[Mapping[str, Funds]], None] = lambda _: None

    def gaps(
        self, dialect: AccountDialect, funds: Mapping[str, Funds], exposures: Iterable[Exposure]
    ) -> list[Gap]:
        """Return where an account has less than our books say, or another position; nothing when they agree."""
        there: dict[str, Decimal] = {}
        for each in exposures:
            there[each.instrument] = there.get(each.instrument, ZERO) + each.quantity
        ours = self.exposures()
        found = [
            Gap(id, there.get(id, ZERO), ours.get(id, ZERO), is_position=True)
            for id, rules in dialect.instruments.items()
            if rules.is_perpetual and abs(there.get(id, ZERO) - ours.get(id, ZERO)) >= rules.lot
        ]
        held = {asset: each.total for asset, each in funds.items()}
        settling = {each.quote for each in dialect.instruments.values() if each.is_perpetual}
        found += [
            Gap(asset, held.get(asset, ZERO), amount)
            for asset, amount in self.funds().items()
            if held.get(asset, ZERO) + (ROUNDED if asset in settling else ZERO) < amount
        ]
        return found


def told(gaps: Iterable[Gap]) -> str:
    """Return gaps in one text, empty when there are none."""
    return " ".join(map(str, gaps))

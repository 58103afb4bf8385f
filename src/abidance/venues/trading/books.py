"""Our own books beside the venue's: what must be there, and in what the two differ."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from abidance.model.money import ZERO
from abidance.venues.account import AccountDialect, Exposure, Funds


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
    """What our own books say of the account: asked when the venue's say is compared with it."""

    funds: Callable[[], Mapping[str, Decimal]]
    exposures: Callable[[], Mapping[str, Decimal]]

    def gaps(
        self, dialect: AccountDialect, funds: Mapping[str, Funds], exposures: Iterable[Exposure]
    ) -> list[Gap]:
        """Return where an account has less than our books say, or another position; nothing when they agree."""
        there = {each.instrument: each.quantity for each in exposures}
        lots = {id: each.lot for id, each in dialect.instruments.items()}
        found = [
            Gap(id, there.get(id, ZERO), ours, is_position=True)
            for id, ours in self.exposures().items()
            if dialect.exposures() is not None and abs(there.get(id, ZERO) - ours) >= lots.get(id, ZERO)
        ]
        held = {asset: each.total for asset, each in funds.items()}
        found += [
            Gap(asset, held.get(asset, ZERO), ours)
            for asset, ours in self.funds().items()
            if held.get(asset, ZERO) < ours
        ]
        return found


def told(gaps: Iterable[Gap]) -> str:
    """Return gaps in one text, empty when there are none."""
    return " ".join(map(str, gaps))

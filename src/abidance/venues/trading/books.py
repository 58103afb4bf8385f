"""Our own books beside the venue's: what must be there, and in what the two differ."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from abidance.model.money import ZERO
from abidance.venues.account import AccountDialect, Exposure, Funds


@dataclass
class Books:
    """What our own books say of the account: asked when the venue's say is compared with it."""

    funds: Callable[[], Mapping[str, Decimal]]
    exposures: Callable[[], Mapping[str, Decimal]]

    def differences(
        self, dialect: AccountDialect, funds: Mapping[str, Funds], exposures: Iterable[Exposure]
    ) -> str:
        """Return where an account has less than our books say, or another position; empty when they agree."""
        there = {each.instrument: each.quantity for each in exposures}
        lots = {id: each.lot for id, each in dialect.instruments.items()}
        told = [
            f"{id}: the venue has {there.get(id, ZERO)}, our books {ours}."
            for id, ours in self.exposures().items()
            if dialect.exposures() is not None and abs(there.get(id, ZERO) - ours) >= lots.get(id, ZERO)
        ]
        held = {asset: each.total for asset, each in funds.items()}
        told += [
            f"{asset}: the venue has {held.get(asset, ZERO)}, our books {ours}."
            for asset, ours in self.funds().items()
            if held.get(asset, ZERO) < ours
        ]
        return " ".join(told)

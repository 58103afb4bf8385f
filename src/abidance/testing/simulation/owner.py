"""What the owner of an account does with it while a bot trades there: he pays in, takes out, sells coins of his own.

None of it touches what the bot has: he takes out less than he left it beside its wallet, and sells what he paid in.
"""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from random import Random

from abidance.testing.exchange.core import SELL, Force
from abidance.testing.exchange.desk import Declined, Ticket
from abidance.testing.simulation.world import Place, Site

MOST = 4
"""How many things he does in one world at most."""


class Owner:
    """The owner of the accounts of one world, drawn from its seed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._random = Random(f"owner:{place.seed}")
        self._number = 0
        self._kinds: dict[str, Callable[[Site], str]] = {"paid_in": self._pay_in, "taken_out": self._take_out}
        if not place.kind.is_perpetual:
            self._kinds["sold_by_hand"] = self._sell

    def plans(self, seconds: float) -> list[Coroutine[object, object, None]]:
        """Return what he does within so many seconds."""
        random = self._random
        chosen = [random.choice(sorted(self._kinds)) for _ in range(random.randint(0, MOST))]
        return [self._later(random.uniform(2.0, seconds * 0.8), self._kinds[name]) for name in chosen]

    async def _later(self, delay: float, work: Callable[[Site], str]) -> None:
        await asyncio.sleep(delay)
        site = self._place.site(self._random)
        site.exchange.catch_up()
        if name := work(site):
            self._place.hit(name)

    def _move(self, site: Site, asset: str, amount: Decimal) -> None:
        site.exchange.desk.transfer(site.account, asset, amount, site.exchange.now)

    def _pay_in(self, site: Site) -> str:
        self._move(site, "USDT", Decimal(self._random.randint(1, 500_000)) / 100)
        return "paid_in"

    def _take_out(self, site: Site) -> str:
        self._move(site, "USDT", -Decimal(self._random.randint(1, 100_000)) / 100)
        return "taken_out"

    def _sell(self, site: Site) -> str:
        market = site.market(self._random)
        rules = market.instrument
        lots = int(Decimal(self._random.choice((20, 100, 300))) / 60_000 / rules.lot)
        self._move(site, rules.base, 2 * max(1, lots) * rules.lot)
        self._number += 1
        ticket = Ticket(f"sold-by-hand-{self._number}", SELL, max(1, lots), force=Force.IOC)
        try:
            site.exchange.desk.place(site.account, market, ticket, site.exchange.now)
        except Declined:
            return ""
        return "sold_by_hand"


DEEDS = frozenset({"paid_in", "taken_out", "sold_by_hand"})
"""All that he may do."""

"""A bot with real orders at a venue that ccxt alone speaks to, over real sockets, through a restart."""

from decimal import Decimal
from pathlib import Path

import pytest

from abidance.model.order import OrderType
from abidance.run.reconciling import differences, replica_of
from abidance.venues import accounts
from abidance.venues.net.real import AiohttpTransport
from tests.integration.test_live_venues import Elsewhere
from tests.unit.venues.other_venue import OTHERS, other

D = Decimal


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    monkeypatch.setattr(accounts, "account_of", other)
    return Elsewhere(tmp_path / "bot", OTHERS[0])


async def test_both_books_agree_and_stops_are_with_us_before_and_after_a_restart(place: Elsewhere) -> None:
    async with place:
        bot = await place.until_held()
        place.agrees(bot)
        (stop,) = (e for e in bot.gateways[0].register.open() if e.request.type is OrderType.STOP)
        bot = await place.live(60 * 2)
        place.agrees(bot)
        async with AiohttpTransport(heartbeat=0) as transport:
            found = await differences(replica_of(place.folder), place.access, transport, place.pulse)

        ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
        assert stop.held
        assert len(bot.engine.fills) >= 2
        assert len(ids) == len(set(ids))
        assert found == []
        assert bot.gateways[0].doubts == {}

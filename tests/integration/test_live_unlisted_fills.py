"""Fills that a venue reports and never lists: a doubt, which ends when a person accepts them, and counts them once."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.model.event import ControlAction
from abidance.model.order import Side
from abidance.run.door import Answer, Wish, ask
from abidance.run.reconciling import differences, replica_of
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Execution, Page
from abidance.venues.net.real import AiohttpTransport
from tests.integration.test_live_by_hand import HELD, Spot, held

D = Decimal


class Secretive(Spot):
    """A bot whose venue says that orders have filled, and tells no execution while it `hides` them."""

    hides = True

    async def seen(self) -> list[str]:
        """Return what `abidance reconcile` finds that can be accepted."""
        async with AiohttpTransport(heartbeat=0) as transport:
            found = await differences(replica_of(self.folder), self.access, transport, self.pulse)
        return [each.text for each in found if each.is_money]

    async def accept(self, *seen: str) -> Answer:
        values: dict[str, float | int | str | bool] = {"seen": " ".join(seen), "reason": "it never lists it"}
        return await asyncio.to_thread(ask, self.folder, Wish(ControlAction.ADJUST, "tester", values=values))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secretive:
    place = Secretive(tmp_path / "bot")
    place.exchange.faults.add(Fault(Wrong.GAP, "account executionReport", times=0))
    made = LiveTrading.__init__

    def hiding(bot: LiveTrading, *given: object, **more: object) -> None:
        made(bot, *given, **more)  # type: ignore[arg-type]
        (dialect,) = bot.dialects
        listed, proof = dialect.read_executions, dialect.proof
        monkeypatch.setattr(dialect, "read_executions", lambda *on: Page(()) if place.hides else listed(*on))
        monkeypatch.setattr(dialect, "proof", lambda *on: proof(*on)._replace(executions=()))

    monkeypatch.setattr(LiveTrading, "__init__", hiding)
    return place


async def test_fills_that_are_never_listed_count_once_a_person_accepts_them(place: Secretive) -> None:
    answers, quantities, trusted = list[Answer](), list[dict[str, Decimal]](), list[bool]()

    def look(bot: LiveTrading) -> None:
        quantities.append(held(bot))
        trusted.append(bot.engine.state.feeds.venues["BINANCE"].is_trusted)

    async def person(bot: LiveTrading) -> None:
        await place.pass_time(60)
        look(bot)
        seen, register = await place.seen(), bot.gateways[0].register
        stray = Execution("x", "", "v", place.market.instrument.id, Side.SELL, D(1), D(1), D(0), "USDT", 0)
        register.strays[stray.key] = [stray]
        answers.append(await place.accept(*seen))
        register.strays.clear()
        answers.extend([await place.accept("something else"), await place.accept(*seen)])
        await place.pass_time(70)
        look(bot)
        place.hides = False  # it lists them after all
        await place.pass_time(70)
        look(bot)

    async with place:
        bot = await place.live(130, person=person)
        again = await place.live(70)
        look(again)
        left = await place.seen()

    early, other, accepted = answers
    assert early.error.startswith("Orders are under way whose fills may be what differs")
    assert other.error.startswith(
        f"The bot sees something else: {HELD} of BTC/USDT@BINANCE has filled of order"
    )
    assert [each.text for each in accepted.notices] == [
        "tester brings our books in line with the account: it never lists it"
    ]
    assert quantities[0] == {}
    there = place.account.totals()["BTC"]
    assert quantities[1:] == [{"once": there}] * 3
    assert trusted == [False, True, True, True]
    assert not left
    for each in (bot, again):
        assert not any(each.engine.state.portfolio.ledger.totals().values())
        assert (
            each.engine.state.portfolio.balance("BINANCE", "USDT") - 10_000
            <= place.account.totals()["USDT"] - 20_000 + 5
        )

"""Bots with real orders on local exchanges, over real sockets: a venue that fails is left alone and tried again."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.model.command import Submit
from abidance.model.event import CircuitMoved, CircuitState, Control, ControlAction, Part
from abidance.model.outcome import Decided
from abidance.risk.config import CircuitsConfig, RiskConfig
from abidance.run.bot import JOURNAL
from abidance.run.circuits import open_circuits
from abidance.run.door import Answer, Wish, ask
from abidance.run.trading import LiveTrading
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.trading import gateway, scales
from tests.integration.live_bench import breathe
from tests.integration.test_live_paper import BTC
from tests.integration.test_live_routing import TwoVenues, entries
from tests.integration.test_live_trading import Market

SHORT = RiskConfig(circuits=CircuitsConfig(longest=20.0))


def moves(folder: Path) -> list[CircuitMoved]:
    return [each.event for each in read(folder / JOURNAL).records if isinstance(each.event, CircuitMoved)]


def enters(decided: Decided) -> bool:
    return any(isinstance(each, Submit) and not each.request.reduce_only for each in decided.commands)


async def test_a_venue_that_fails_is_left_alone_and_entries_go_to_the_other_one(tmp_path: Path) -> None:
    place = TwoVenues(tmp_path / "bot")
    told: list[str] = []

    async def well_again(bot: LiveTrading) -> None:
        told.append(place.moments[-1].feeds)
        place.second.faults.clear()
        await place.pass_time(40)

    async with place:
        place.second.faults.add(Fault(Wrong.ERROR, "/v5/order", times=0))
        bot = await place.live(60 * 7 + 20, person=well_again, risk=SHORT)
        place.both_agree(bot)

    assert set(entries(place.folder)) == {BTC}
    assert {each.venue for each in moves(place.folder)} == {"BYBIT"}
    assert moves(place.folder)[0].state is CircuitState.OPEN
    assert moves(place.folder)[-1].state is CircuitState.CLOSED
    assert "BYBIT: requests" in told[0]
    notices = [
        word.code
        for each in read(place.folder / JOURNAL).records
        if isinstance(each.event, Decided)
        for word in each.event.notices
    ]
    assert (notices.count("circuit_open"), notices.count("circuit_closed")) == (1, 1)


async def test_a_restart_tries_what_was_open_and_a_person_may_close_it(tmp_path: Path) -> None:
    place = Market(tmp_path / "bot")
    answers: list[Answer] = []

    async def reset(_: LiveTrading) -> None:
        for venue in ("BINANSE", "BINANCE"):
            wish = Wish(ControlAction.RESET_CIRCUITS, "a person", values={"venue": venue})
            asking = asyncio.ensure_future(asyncio.to_thread(ask, place.folder, wish))
            while not asking.done():
                await breathe(20)
                await asyncio.sleep(0)
            answers.append(asking.result())

    async with place:
        place.exchange.faults.add(Fault(Wrong.ERROR, "/api/v3/openOrders", times=0))
        await place.live(90, risk=SHORT)
        first, stood = moves(place.folder), open_circuits(place.folder / JOURNAL)
        place.exchange.faults.add(Fault(Wrong.ERROR, "/api/v3/", times=0))
        await place.live(2, person=reset, risk=SHORT)

    second = moves(place.folder)[len(first) :]
    people = [each.event for each in read(place.folder / JOURNAL).records if isinstance(each.event, Control)]
    assert [(each.venue, each.part) for each in stood] == [("BINANCE", Part.REQUESTS)]
    assert second[0].reason == "The program was started again."
    assert second[-1].reason == "Reset by a person."
    unknown, known = answers
    assert (unknown.error, unknown.remedy) == (
        "This bot does not trade at 'BINANSE'.",
        "It trades at BINANCE.",
    )
    assert [each.actor for each in people].count("a person") == 1  # what means nothing is not on record
    assert [word.code for word in known.notices] == ["circuits_reset"]
    assert open_circuits(place.folder / JOURNAL) == []


@pytest.mark.parametrize("wrong", [Wrong.LATE, Wrong.LIMIT])
async def test_nothing_is_entered_while_the_only_venue_is_slow_or_refuses_us(
    tmp_path: Path, wrong: Wrong
) -> None:
    place = Market(tmp_path / "bot")

    async with place:
        place.exchange.faults.add(Fault(wrong, "/api/v3/", 28, 30, 4.0))
        bot = await place.live(60 * 12, risk=SHORT)
        place.agrees(bot)

    shut, entered = set[Part](), 0
    for record in read(place.folder / JOURNAL).records:
        event = record.event
        if isinstance(event, CircuitMoved):
            (shut.discard if event.is_closed else shut.add)(event.part)
        elif isinstance(event, Decided) and enters(event):
            entered += 1
            assert not shut
    assert moves(place.folder)[0].state is CircuitState.OPEN
    assert entered


async def test_an_account_that_differs_again_and_again_opens_the_circuit_of_the_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "FUNDS", 8.0)
    place = Market(tmp_path / "bot")
    doubts: list[bool] = []

    def moved(amount: int) -> None:
        place.exchange.desk.transfer(place.account, "USDT", Decimal(amount), place.exchange.now)

    async def somebody(bot: LiveTrading) -> None:
        for _ in range(3):
            for amount in (-15_000, 15_000):
                moved(amount)
                await place.pass_time(13)
                doubts.append(scales.BOOKS in bot.gateways[0].doubts)

    async with place:
        place.exchange.faults.add(Fault(Wrong.GAP, "account outboundAccountPosition", times=0))
        place.exchange.faults.add(Fault(Wrong.GAP, "account balanceUpdate", times=0))
        bot = await place.live(5, person=somebody, risk=SHORT)
        place.agrees(bot)

    found = moves(place.folder)
    assert doubts == [True, False] * 3
    assert [each.part for each in found] == [Part.BOOKS] * len(found)
    assert found[0].state is CircuitState.OPEN
    assert (
        "The account differed from our books 3 times in 3600 s, the last: USDT: the venue has"
        in found[0].reason
    )
    assert found[-1].state is CircuitState.CLOSED

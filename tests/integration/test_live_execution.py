"""Entries that are worked, by bots over real sockets: on paper over live data, and with real orders."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from abidance.engine.config import StrategyConfig
from abidance.execution.config import ExecutionConfig
from abidance.journal.store import read
from abidance.model.command import Submit
from abidance.model.event import Timer
from abidance.model.market import BookSnapshot
from abidance.model.order import OrderRequest, OrderType
from abidance.model.outcome import Decided
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from abidance.run.bot import JOURNAL
from abidance.strategy.config import ExitsConfig
from abidance.testing.exchange.desk import State
from tests.integration.test_live_paper import Place
from tests.integration.test_live_trading import Market


def worked(**execution: Any) -> StrategyConfig:
    return StrategyConfig(
        strategy="EmaCross",
        name="cross",
        parameters={"fast": 2, "slow": 5},
        exits=ExitsConfig(stop_loss=0.02),
        execution=ExecutionConfig(**execution),
    )


def submits(folder: Path) -> list[OrderRequest]:
    return [
        command.request
        for record in read(folder / JOURNAL).records
        if isinstance(record.event, Decided)
        for command in record.event.commands
        if isinstance(command, Submit)
    ]


def guarded(limit: float) -> RiskConfig:
    return RiskConfig(
        limits=LimitsConfig(duplicate_window=0, max_slippage=limit),
        breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
    )


async def test_a_paper_bot_slices_its_entries_and_a_restart_in_between_repeats_them(tmp_path: Path) -> None:
    given = {"strategies": (worked(algo="twap", duration=40, slices=4),), "risk": guarded(0.01)}
    async with Place(tmp_path) as place:
        for seconds in (7 * 60 + 13, 2 * 60 + 10, 3 * 60 + 10):
            await place.trade(seconds, **given)
        paper = await place.trade(4 * 60 + 10, **given)

    requests = [each for each in submits(tmp_path) if each.part]
    sizes = Counter(str(each.part).partition("/")[0] for each in requests)
    events = [record.event for record in read(tmp_path / JOURNAL).records]
    assert max(sizes.values()) == 4
    assert {each.type for each in requests} == {OrderType.MARKET}
    assert all(each.expected for each in requests)
    assert any(isinstance(each, Timer) for each in events)
    assert any(isinstance(each, BookSnapshot) for each in events)
    assert paper.resumed > 100


@pytest.mark.parametrize("algo", ["iceberg", "chase"])
async def test_a_bot_with_real_orders_works_its_entries_and_both_books_agree(
    tmp_path: Path, algo: str
) -> None:
    place = Market(tmp_path / "bot")
    strategy = worked(algo=algo, duration=45, display=0.34, interval=2, max_chase=0.02, finish="market")
    place.guarded = lambda **more: place.config(strategies=(strategy,), **more)  # type: ignore[method-assign]
    async with place:
        for minutes in (7, 4):
            place.agrees(await place.live(60 * minutes + 20))
        bot = await place.live(60 * 5 + 20)
        place.agrees(bot)

        requests = [each for each in submits(place.folder) if each.part]
        ids = [order.ticket.client_id for order in place.exchange.desk.orders.values()]
        waiting = [o for o in place.exchange.desk.orders.values() if o.state is State.OPEN]
        assert OrderType.LIMIT in {each.type for each in requests}
        assert len(ids) == len(set(ids))
        assert len(waiting) <= 1
        assert any(fill.order_id in ids for fill in bot.engine.fills)

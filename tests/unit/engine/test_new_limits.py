"""Limits and breakers that change while a run goes on, as the engine takes them and as a restart repeats them."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from abidance.market.store import BarStore, Catalog
from abidance.model.event import ControlAction as A
from abidance.model.order import Fill
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, RiskConfig
from abidance.run.bot import Moment
from abidance.run.config import load
from abidance.run.paper import Paper
from tests.unit.engine.rig import LOOSE, D, Scripted, flat, rig_of

NAN = float("nan")


def test_a_tightened_limit_holds_for_the_next_entry_and_leaves_exits_alone() -> None:
    rig = rig_of(Scripted([1, 0, 1]), flat(*[100] * 6))
    rig.step(2)

    outcome = rig.control(A.SET_LIMITS, max_order_value=50)
    rig.run()

    assert [(each.level, each.code) for each in outcome.notices] == [("info", "limits_changed")]
    assert [trade[0] for trade in rig.trades] == ["buy", "sell"]
    assert [each.code for each in rig.refusals] == [RefusalCode.MAX_ORDER_VALUE]


def test_a_loosened_limit_is_told_as_a_warning_with_its_numbers() -> None:
    rig = rig_of(Scripted([]), flat(100))

    outcome = rig.control(A.SET_LIMITS, max_positions=12, require_stop=True)

    (notice,) = outcome.notices
    assert (notice.level, notice.code) == ("warning", "limits_changed")
    assert notice.text == "tester changed max_positions 10 to 12, require_stop false to true."


def test_entries_that_rest_are_taken_back_when_they_would_not_pass_any_more() -> None:
    rig = rig_of(Scripted([NAN, 1, NAN]), flat(*[100] * 5), config={"order_type": "limit"})
    rig.step(2)
    assert len(rig.open()) == 1

    rig.control(A.SET_LIMITS, max_exposure=1e-6)
    rig.step()

    assert rig.open() == []
    assert rig.trades == []


@pytest.mark.parametrize("values", [{}, {"max_exposure": -1}, {"nope": 2}, {"max_positions": "many"}])
def test_limits_that_do_not_fit_change_nothing_and_are_told(values: dict[str, Any]) -> None:
    rig = rig_of(Scripted([1]), flat(*[100] * 3))

    outcome = rig.control(A.SET_LIMITS, **values)
    rig.run()

    assert [each.code for each in outcome.notices] == ["limits_refused"]
    assert rig.position() == D(1)


def test_a_tightened_breaker_counts_what_was_lost_before() -> None:
    rig = rig_of(Scripted([1, NAN, NAN, NAN, 0, 1]), flat(100, 100, 90, 90, 90, 90, 90, 90))
    rig.step(4)
    before = [each.code for each in rig.notices]

    outcome = rig.control(A.SET_BREAKERS, max_drawdown=1e-5)
    rig.run()

    assert [(each.level, each.code) for each in outcome.notices] == [("info", "breakers_changed")]
    assert "max_drawdown" not in before
    assert [each.code for each in rig.notices].count("max_drawdown") == 1
    assert [trade[0] for trade in rig.trades] == ["buy", "sell"]
    assert [each.code for each in rig.refusals] == [RefusalCode.HALTED]


def test_a_loosened_breaker_is_a_warning_and_lifts_nothing_that_has_tripped() -> None:
    strict = RiskConfig(limits=LOOSE.limits, breakers=BreakersConfig(max_drawdown=1e-5, daily_loss=None))
    rig = rig_of(Scripted([1, NAN, NAN, 0, 1]), flat(100, 100, 90, 90, 90, 90), risk=strict)
    rig.step(4)

    outcome = rig.control(A.SET_BREAKERS, max_drawdown="off", cooldown_bars=1)
    rig.run()

    (notice,) = outcome.notices
    assert (notice.level, notice.code) == ("warning", "breakers_changed")
    assert notice.text == "tester changed max_drawdown 1e-05 to off, cooldown_bars 6 to 1."
    assert RefusalCode.HALTED in [each.code for each in rig.refusals]


@pytest.mark.parametrize("values", [{}, {"daily_loss": 2}, {"max_exposure": 0.1}, {"losing_streak": "many"}])
def test_breakers_that_do_not_fit_change_nothing_and_are_told(values: dict[str, Any]) -> None:
    rig = rig_of(Scripted([1]), flat(*[100] * 3))

    outcome = rig.control(A.SET_BREAKERS, **values)

    assert [each.code for each in outcome.notices] == ["breakers_refused"]


def test_a_bot_that_is_started_again_keeps_the_limits_it_was_given(tmp_path: Path) -> None:
    whole = _traded(tmp_path / "whole", again=False)

    broken = _traded(tmp_path / "broken", again=True)

    assert [_essence(each) for each in broken] == [_essence(each) for each in whole]
    assert len(whole) > 2


def _essence(fill: Fill) -> tuple[object, ...]:
    """Return what a fill was; order ids are each run's own."""
    return fill.ts, fill.strategy, fill.instrument, fill.side, fill.quantity, fill.price, fill.purpose


def _traded(folder: Path, *, again: bool) -> list[Fill]:
    """Return what a bot filled whose limits change on its fourth day, closed and opened again there or not."""
    settings = Path(str(files("abidance").joinpath("data", "demo.toml")))
    config = load([settings], {"timerange": "20250501-20250511", "journal_sync": "never"}, {})
    catalog = Catalog(BarStore(folder / "data"))
    seen = 0

    def watch(_: Moment) -> None:
        nonlocal seen
        seen += 1
        if seen == 80:
            bot.control(A.SET_LIMITS, "ada", max_positions=1, max_exposure=0.08)
            bot.control(A.SET_BREAKERS, "ada", losing_streak=2, cooldown=12)

    with Paper(config, catalog, None, folder / "bot") as bot:
        bot.run(0.0, lambda: again and seen >= 80, watch)
        if not again:
            return bot.engine.fills
    with Paper(config, catalog, None, folder / "bot") as bot:
        bot.run(0.0, lambda: False, lambda _: None)
        return bot.engine.fills

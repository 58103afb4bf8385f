"""Capital moves to the strategies that a method prefers: at its moments, from full days, and nothing trades for it.

The world: two strategies, each in its own coin, buy at 02:00 with half of their share and sell at 16:00 UTC. In between
the coin has moved by what the test says, before and after it stands at 100. A day's return on the capital of a strategy
is then half the move. The first day of the tape is a Friday, 4 October 2024.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest

from abidance.engine.config import AllocationConfig, StrategyConfig
from abidance.engine.digest import OutcomeDigest
from abidance.market.bars import Bars
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import ConfigError, UsageError
from abidance.model.event import ControlAction
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import Intent, Target
from abidance.model.market import Trade
from abidance.model.outcome import Notice
from abidance.risk.config import SizingConfig
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig, load
from abidance.run.paper import Paper
from abidance.strategy.base import EventStrategy, View
from tests.unit.engine.rig import (
    DAY,
    HOUR,
    OTHER,
    SPOT,
    START,
    Rig,
    Row,
    Scripted,
    bars_of,
    flat,
    material_of,
)

CALM = (0.01, -0.01, 0.012, -0.008, 0.011, -0.012, 0.009, 0.01, -0.01, 0.011, -0.009, 0.01)
WILD = (0.04, -0.03, 0.035, -0.045, 0.03, -0.04, 0.05, 0.04, -0.03, 0.035, -0.045, 0.03)
HALF = SizingConfig(method="fixed_fraction", fraction=0.5)
DAILY: Mapping[str, Any] = {"method": "inverse_volatility", "lookback": 3, "rebalance": "daily", "floor": 0}
WEEKDAY = 3  # days from the Friday to the Monday


def prices(moves: Sequence[float]) -> list[Row]:
    return flat(*(100 * (1 + move) if 12 <= hour < 22 else 100 for move in moves for hour in range(24)))


def script(days: int) -> Scripted:
    day = np.full(24, np.nan)
    day[1], day[15] = 1.0, 0.0
    return Scripted(np.tile(day, days).tolist())


def rig(
    calm: Sequence[float] = CALM, wild: Sequence[float] = WILD, *, skip: slice | None = None, ahead: bool = True,
    first: int = 0, **allocation: Any,
) -> Rig:  # fmt: skip
    """Return the two strategies over their tapes; `skip` cuts bars out of both, `first` bars are missing before."""
    strategies = {"calm": script(len(calm)), "wild": script(len(wild))}
    tapes = {OTHER: bars_of(OTHER.id, prices(calm)), SPOT: bars_of(SPOT.id, prices(wild))}
    for strategy in strategies.values():
        strategy.targets = strategy.targets[first:]
    for instrument, bars in tapes.items():
        kept = np.ones(len(bars), dtype=bool)
        kept[:first] = False
        if skip is not None:
            kept[skip] = False
        columns = [np.array(getattr(bars, name))[kept] for name in ("open", "high", "low", "close", "volume")]
        tapes[instrument] = Bars(instrument.id, "1h", bars.ts[kept], columns)
    configs = {
        "calm": {"instruments": (OTHER.id,), "sizing": HALF},
        "wild": {"instruments": (SPOT.id,), "sizing": HALF},
    }
    return Rig(
        material_of(strategies, tapes, configs=configs, allocation=AllocationConfig(**allocation)),
        ahead=ahead,
    )


def told(rig: Rig) -> list[Notice]:
    return [notice for notice in rig.notices if notice.code == "rebalanced"]


def days(rig: Rig) -> list[float]:
    """Return when shares changed, in days since the tape began."""
    return [(notice.ts - START) / DAY for notice in told(rig)]


def by_hand(calm: Sequence[float], wild: Sequence[float]) -> float:
    """Return the share of the calm one: 1 / deviation, as a part of both."""
    one, other = 1 / stdev(calm), 1 / stdev(wild)
    return one / (one + other)


def digest(rig: Rig) -> str:
    found = OutcomeDigest()
    for outcome in rig.outcomes:
        found.update(outcome)
    return found.hexdigest()


# --- when, and how much


def test_capital_moves_to_the_calmer_one_when_enough_days_are_over_and_not_before() -> None:
    made = rig(**DAILY)

    made.step(3 * 24 - 1)
    before = dict(made.state.allocations), told(made)
    made.step()

    share = by_hand(CALM[:3], WILD[:3])
    assert before == ({"calm": 0.5, "wild": 0.5}, [])
    assert made.ts == START + 3 * DAY
    assert made.state.allocations == pytest.approx({"calm": share, "wild": 1 - share}, abs=1e-4)
    (notice,) = told(made)
    assert (notice.ts, notice.level, notice.strategy) == (made.ts, "info", "")
    assert notice.text == (
        f"Shares of equity by inverse_volatility: calm from 50.00% to {share:.2%}, wild from 50.00% to {1 - share:.2%}."
    )


def test_only_the_last_days_of_the_lookback_count() -> None:
    made = rig(**DAILY, threshold=0)

    made.step(7 * 24)

    share = by_hand(CALM[4:7], WILD[4:7])
    assert made.state.allocations["calm"] == pytest.approx(share, abs=1e-4)


def test_the_next_entry_is_sized_by_the_new_share_and_nothing_trades_for_the_change_itself() -> None:
    made = rig(**DAILY)
    made.step(3 * 24)
    fills, equity = len(made.fills), made.state.equity()

    (change,) = [each for each in made.outcomes if any(n.code == "rebalanced" for n in each.notices)]
    made.step(3)

    entries = {fill.strategy: float(fill.quantity * fill.price) for fill in made.fills[fills:]}
    assert not change.commands
    assert not change.intents
    shares = made.state.allocations
    assert entries == pytest.approx({name: equity * shares[name] / 2 for name in shares}, rel=1e-3)
    assert entries["calm"] > 2 * entries["wild"]


def test_an_open_position_stays_as_it_is() -> None:
    held = rig_of_holders(DAILY)

    held.step(4 * 24)

    assert len(told(held)) == 1
    assert [fill.purpose.value for fill in held.fills] == ["entry", "entry"]


def rig_of_holders(allocation: Mapping[str, Any]) -> Rig:
    """Return two strategies that buy on the first bar and hold."""
    strategies = {"calm": Scripted([1.0]), "wild": Scripted([1.0])}
    tapes = {OTHER: bars_of(OTHER.id, prices(())), SPOT: bars_of(SPOT.id, prices(()))}
    for instrument, moves in ((OTHER, CALM), (SPOT, WILD)):
        # the day's move stays until midnight: the whole of it is seen
        levels = [100 * (1 + move) for move in moves for _ in range(24)]
        tapes[instrument] = bars_of(instrument.id, flat(100.0, 100.0, *levels[2:]))
    configs = {
        "calm": {"instruments": (OTHER.id,), "sizing": HALF},
        "wild": {"instruments": (SPOT.id,), "sizing": HALF},
    }
    return Rig(material_of(strategies, tapes, configs=configs, allocation=AllocationConfig(**allocation)))


def test_a_holder_is_measured_against_the_capital_it_was_sized_with() -> None:
    made = rig_of_holders({**DAILY, "threshold": 0})
    marks: list[tuple[float, float, float]] = []
    portfolio = made.state.portfolio
    for _ in range(8):
        made.step(24)
        marks.append((portfolio.equity(), portfolio.profit_of("calm"), portfolio.profit_of("wild")))

    # by hand, from the last three days: the half of all that each began with is what earned it
    equity, calm, wild = (np.array(each) for each in zip(*marks, strict=True))
    share = by_hand(
        (np.diff(calm)[-3:] / equity[-4:-1]).tolist(), (np.diff(wild)[-3:] / equity[-4:-1]).tolist()
    )
    assert made.state.allocations["calm"] == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize(
    ("rebalance", "expected"),
    [
        ("daily", [3, 4, 5, 6, 7, 8]),
        ("weekly", [WEEKDAY]),
        (36, [3, 4.5, 6, 7.5]),
        (96, [4, 8]),
        (1_000, []),
    ],
)
def test_shares_change_at_their_moments_and_at_no_other(rebalance: str | int, expected: list[float]) -> None:
    made = rig(CALM[:8], WILD[:8], **{**DAILY, "rebalance": rebalance, "threshold": 0})
    made.run()

    assert days(made) == expected


def test_a_month_begins_on_its_first() -> None:
    made = rig(CALM * 3, WILD * 3, **{**DAILY, "rebalance": "monthly"})

    made.run()

    (notice,) = told(made)
    assert datetime.fromtimestamp(notice.ts / SECOND_NS, UTC).isoformat() == "2024-11-01T00:00:00+00:00"


def test_equal_shares_need_no_history() -> None:
    made = rig(method="equal", reserve=0.2)

    made.step()

    assert made.state.allocations == {"calm": 0.4, "wild": 0.4}
    made.run()
    assert len(told(made)) == 1


@pytest.mark.parametrize("method", ["risk_parity", "hrp", "volatility_target", "kelly"])
def test_every_method_prefers_the_calm_one_and_keeps_the_bounds(method: str) -> None:
    calm, wild = [move + 0.01 for move in CALM], [move - 0.02 for move in WILD]
    bounds = {"lookback": 6, "floor": 0.1, "cap": 0.7, "reserve": 0.1}
    made = rig(calm, wild, **{**DAILY, "method": method, **bounds})

    made.run()

    shares = made.state.allocations
    assert told(made)
    assert shares["calm"] > shares["wild"] >= 0.1
    assert shares["calm"] <= 0.7
    assert sum(shares.values()) <= 0.9 + 1e-9


def test_a_volatility_target_leaves_capital_unused() -> None:
    made = rig(**{**DAILY, "method": "volatility_target", "volatility": 0.1})

    made.step(3 * 24)

    # of the calm one alone a year moves by half of 1.2 % a day: what both together move is cut to a tenth
    returns = np.array([CALM[:3], WILD[:3]]).T / 2
    shares = np.array(list(made.state.allocations.values()))
    assert np.std(returns @ shares, ddof=1) * 365**0.5 == pytest.approx(0.1, rel=1e-3)
    assert sum(shares) < 0.9


# --- what keeps shares as they are


def test_a_small_change_is_passed_over() -> None:
    made = rig(CALM, [-move for move in CALM], **DAILY, threshold=0.02)

    made.run()

    assert not told(made)
    assert made.state.allocations == {"calm": 0.5, "wild": 0.5}


def test_shares_that_break_a_bound_are_changed_however_small_the_change() -> None:
    made = rig(CALM, [-move for move in CALM], **DAILY, threshold=0.5, reserve=0.01)

    made.run()

    assert days(made) == [3]
    assert sum(made.state.allocations.values()) <= 0.99


def test_strategies_that_have_not_traded_keep_equal_shares() -> None:
    made = rig(**DAILY)
    made.control(ControlAction.STOP)

    made.run()

    assert not made.fills
    assert not told(made)


def test_a_share_that_a_person_sets_holds_until_the_next_moment() -> None:
    made = rig(**{**DAILY, "rebalance": "weekly"})
    made.step(30)

    made.control(ControlAction.SET_ALLOCATION, "wild", allocation=0.1)
    made.step(24)
    between = made.state.allocations["wild"]
    made.run()

    assert between == 0.1
    assert "wild from 10.00% to" in told(made)[0].text
    assert days(made)[0] == WEEKDAY


def test_the_fixed_method_has_no_allocator_and_says_nothing() -> None:
    fixed = rig(method="fixed")

    fixed.run()

    assert fixed.engine._allocator is None
    assert not told(fixed)
    assert fixed.state.allocations == {"calm": 0.5, "wild": 0.5}


# --- only what is over


def test_the_future_changes_no_share() -> None:
    whole, cut = (
        rig(**DAILY, threshold=0),
        rig((*CALM[:5], 0.3, 0.4), (*WILD[:5], 0.0, 0.0), **DAILY, threshold=0),
    )

    for each in (whole, cut):
        each.step(5 * 24 + 12)

    assert told(whole)
    assert told(cut) == told(whole)


def test_a_run_that_begins_in_the_middle_of_a_day_does_not_count_it() -> None:
    made = rig(first=5, **DAILY)

    made.run()

    assert days(made)[0] == 4


def test_a_midnight_without_a_bar_ends_its_day_at_the_next_one() -> None:
    made = rig(skip=slice(3 * 24 - 1, 3 * 24 + 1), **DAILY)

    made.run()

    assert days(made)[0] == 3 + 2 / 24


def test_a_hole_of_days_is_one_day() -> None:
    made = rig(skip=slice(24, 3 * 24), **DAILY)

    made.run()

    # over are then: the first day, the hole, the day after it
    assert days(made)[0] == 4


def test_bars_as_long_as_a_day_are_measured_too() -> None:
    moves = [0.01, -0.02, 0.015, -0.01, 0.02, -0.015]
    closes = 100 * np.cumprod(1 + np.array(moves))
    strategies = {"calm": Scripted([0.2]), "wild": Scripted([1.0])}
    tapes = {each: bars_of(each.id, flat(*np.round(closes, 1)), "1d", DAY) for each in (OTHER, SPOT)}
    configs = {
        name: {"instruments": (each.id,), "sizing": HALF}
        for name, each in zip(strategies, tapes, strict=True)
    }
    made = Rig(
        material_of(strategies, tapes, configs=configs, timeframe="1d", allocation=AllocationConfig(**DAILY))
    )

    made.run()

    assert days(made)[0] == 3
    assert made.state.allocations["calm"] == pytest.approx(5 / 6, abs=0.01)


def test_a_year_has_as_many_days_as_were_seen_of_it() -> None:
    def shares(step: int) -> float:
        rows = flat(100.0, 100.0, 101.0, 99.0, 102.0, 100.0, 101.0)
        strategies = {"calm": Scripted([0.9]), "wild": Scripted([1.0])}
        tapes = {each: bars_of(each.id, rows, "1d", step) for each in (OTHER, SPOT)}
        configs = {
            name: {"instruments": (each.id,), "sizing": HALF}
            for name, each in zip(strategies, tapes, strict=True)
        }
        allocation = AllocationConfig(
            **{**DAILY, "method": "volatility_target", "volatility": 0.05, "threshold": 0}
        )
        made = Rig(
            material_of(strategies, tapes, configs=configs, timeframe="1d", allocation=allocation)
        ).run()
        return sum(made.state.allocations.values())

    # the same moves on every other day are half as many a year
    assert shares(2 * DAY) == pytest.approx(shares(DAY) * 2**0.5, abs=1e-4)
    assert shares(2 * DAY) < 0.9


class Daily(EventStrategy):
    """Buys on the first trade after 02:00 and sells on the first after 16:00."""

    def __init__(self) -> None:
        self.wished = 0

    def on_trade(self, trade: Trade, view: View) -> list[Intent] | None:
        wish = int(2 <= trade.ts // HOUR % 24 < 16)
        if wish == self.wished:
            return None
        self.wished = wish
        name = "calm" if trade.instrument == OTHER.id else "wild"
        return [Target(name, trade.instrument, wish, price=trade.price)]


def rig_of_ticks() -> tuple[Rig, list[Trade]]:
    """Return the two strategies as they act on trades, and five days of trades, six an hour and coin."""
    tapes = {OTHER: bars_of(OTHER.id, flat(100.0)), SPOT: bars_of(SPOT.id, flat(100.0))}
    configs = {
        name: {"instruments": (each.id,), "sizing": HALF}
        for name, each in zip(("calm", "wild"), tapes, strict=True)
    }
    strategies = {"calm": Daily(), "wild": Daily()}
    allocation = AllocationConfig(**DAILY, threshold=0)
    levels = {OTHER.id: prices(CALM[:5]), SPOT.id: prices(WILD[:5])}
    ticks = [
        Trade(START + hour * HOUR + part * HOUR // 6, id, rows[hour][0], 1e6, True)
        for hour in range(5 * 24)
        for part in range(6)
        for id, rows in levels.items()
    ]
    material = material_of(strategies, tapes, configs=configs, allocation=allocation)
    return Rig(replace(material, drive=dict.fromkeys(levels, "trade"))), ticks


def test_ticks_end_days_as_bars_do_in_a_stream_and_one_by_one() -> None:
    stream, ticks = rig_of_ticks()
    single, _ = rig_of_ticks()

    stream.pump.run(ticks)
    for tick in ticks:
        single.pump.run([tick])

    share = by_hand(CALM[1:4], WILD[1:4])
    assert days(stream) == [3, 4]
    assert stream.state.allocations["calm"] == pytest.approx(share, abs=1e-4)
    assert digest(single) == digest(stream)


# --- the same in every mode


@pytest.mark.parametrize(
    "method", ["equal", "inverse_volatility", "risk_parity", "hrp", "volatility_target", "kelly"]
)
def test_bar_by_bar_decides_what_the_tape_decides(method: str) -> None:
    known, unknown = (
        rig(**{**DAILY, "method": method, "reserve": 0.1}, ahead=ahead).run() for ahead in (True, False)
    )

    assert told(known)
    assert known.outcomes == unknown.outcomes


SAMPLE = RunConfig(
    instruments=("BTC/USDT@BINANCE", "SOL/USDT@BINANCE"),
    timerange="20240301-20240501",
    strategies=(
        StrategyConfig(strategy="Donchian", allocation=0.5), StrategyConfig(strategy="EmaCross", allocation=0.5),
    ),
    allocation=AllocationConfig(method="inverse_volatility", lookback=10, rebalance="daily"),
)  # fmt: skip


def paper(folder: Path, stop: Callable[[], bool]) -> tuple[list[Notice], list[tuple[object, ...]], str]:
    """Take a paper run up once more, and return what it has told, filled and decided so far."""
    with Paper(SAMPLE, Catalog(BarStore(folder / "data")), None, folder / "bot") as run:
        run.run(0, stop, lambda _: None)
        result = run.result()
    fills: list[tuple[object, ...]] = [
        (each.ts, each.strategy, each.quantity, each.price) for each in result.fills
    ]
    return [each for each in result.notices if each.code == "rebalanced"], fills, result.digest


def test_a_paper_run_that_was_interrupted_gives_the_shares_of_one_that_was_not(tmp_path: Path) -> None:
    calm = paper(tmp_path / "calm", lambda: False)

    for bars in (200, 417, 650):
        left = iter(range(bars, -1, -1))
        paper(tmp_path / "mad", lambda left=left: next(left) == 0)  # type: ignore[misc]
    mad = paper(tmp_path / "mad", lambda: False)

    assert len(calm[0]) > 5
    assert mad[:2] == calm[:2]


def test_a_paper_run_gives_the_shares_of_its_backtest(tmp_path: Path) -> None:
    live = paper(tmp_path, lambda: False)

    result = backtest(SAMPLE, Catalog(BarStore(tmp_path / "data")))

    assert [each for each in result.notices if each.code == "rebalanced"] == live[0]
    assert all(re.fullmatch(r"Shares of equity by .*", each.text) for each in live[0])


# --- configuration


def test_the_settings_are_read_and_fixed_is_the_default() -> None:
    found = load([], {"allocation.method": "hrp", "allocation.rebalance": 24}, {})

    assert load([], {}, {}).allocation.method == "fixed"
    assert (found.allocation.method, found.allocation.rebalance) == ("hrp", 24)


@pytest.mark.parametrize(
    ("allocation", "said"),
    [
        ({"method": "best"}, 'allocation.method = "best"'),
        (
            {"rebalance": "hourly"},
            'Give one of "daily", "weekly", "monthly" or a whole number of at least 1.',
        ),
        ({"rebalance": 0}, "Give one of"),
        ({"lookback": 1}, "a whole number of at least 2"),
        (
            {"method": "kelly", "floor": 0.4, "reserve": 0.3},
            "promises 2 strategies 0.4 each, but 0.7 is what there is",
        ),
        ({"method": "kelly", "floor": 0.4, "reserve": 0.3}, "for example floor = 0.35"),
        ({"method": "hrp", "floor": 0.2, "cap": 0.1}, "allocation.floor 0.2 is above allocation.cap 0.1"),
    ],
)
def test_what_cannot_be_meant_is_refused(allocation: dict[str, object], said: str) -> None:
    strategies = [{"strategy": name, "allocation": 0.5} for name in "AB"]

    with pytest.raises((ConfigError, UsageError)) as caught:
        load([], {"strategies": strategies, "allocation": allocation}, {})

    assert said in str(caught.value)

"""Simulations: equal for equal seeds whatever runs them, the same markets under every stress, and what stress does."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import AbidanceError, DataError, StrategyError, UsageError
from abidance.research.stress import parse
from abidance.risk.config import LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest
from abidance.run.config import RunConfig
from abidance.run.outlook import Outlook, chance, outlook, sentence, to_json
from abidance.run.simulating import PathResult, Plan, Simulation, simulate
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"
PERPETUAL = "BTC/USDT:USDT@BYBIT"
HOUR = 3_600_000_000_000
OPEN = RiskConfig(limits=LimitsConfig(max_exposure=1, max_asset_exposure=1, max_venue_exposure=1))


@cache
def catalog() -> Catalog:
    return Catalog(BarStore(Path("no-store-here")))


def config(strategy: str = "EmaCross", **given: Any) -> RunConfig:
    fraction = given.pop("fraction", 0.2)
    parameters: Mapping[str, int] = {"fast": 5, "slow": 12} if strategy == "EmaCross" else {}
    each = StrategyConfig(
        strategy=strategy, parameters=dict(parameters), sizing=SizingConfig(fraction=fraction)
    )
    return RunConfig(
        **{"instruments": (BTC,), "timerange": "20240101-20240301", "strategies": (each,), **given}
    )


def run(config: RunConfig, market: str = "bootstrap", stress: str = "", **given: Any) -> Simulation:
    plan = Plan(market, parse(stress), **{"paths": 4, "bars": 300, "jobs": 1, **given})
    return simulate(config, catalog(), plan)


def real(config: RunConfig, stress: str = "", paths: int = 4) -> Simulation:
    return run(config, "real", stress, bars=None, paths=paths)


def finals(simulation: Simulation) -> list[float]:
    return [path.final_equity for path in simulation.paths]


# --- chance


@pytest.mark.parametrize("market", ["gbm", "garch", "regimes", "bootstrap"])
def test_equal_seeds_give_equal_results_and_others_do_not(market: str) -> None:
    first, again, other = (run(config(), market, seed=seed) for seed in (7, 7, 8))

    assert to_json(first, outlook(first)) == to_json(again, outlook(again))
    assert [path.digest for path in first.paths] != [path.digest for path in other.paths]
    assert len({path.digest for path in first.paths}) == 4


def test_processes_change_nothing() -> None:
    here = run(config(), stress="crash:-0.3", paths=9, jobs=1)
    there = run(config(), stress="crash:-0.3", paths=9, jobs=2)

    assert to_json(here, outlook(here)) == to_json(there, outlook(there))


def test_more_paths_leave_the_first_as_they_were() -> None:
    few, many = run(config(), paths=3), run(config(), paths=6)

    assert many.paths[:3] == few.paths


def test_a_stress_leaves_the_markets_as_they_were() -> None:
    plain, dear = run(config()), run(config(), stress="fees:3x")

    assert [path.buy_and_hold for path in plain.paths] == pytest.approx(
        [path.buy_and_hold for path in dear.paths], abs=0.01
    )
    assert [path.trades for path in plain.paths] == [path.trades for path in dear.paths]


# --- stress


def test_fees_three_times_as_high_lower_every_equity() -> None:
    venues = {"BINANCE": VenueConfig(slippage=SlippageConfig(spread=0.001))}

    for given in (dict[str, Any](), {"venues": venues}):
        plain, dear = run(config(**given)), run(config(**given), stress="fees:3x")

        assert all(after < before for before, after in zip(finals(plain), finals(dear), strict=True))
        assert dear.config.venue_of("BINANCE").fees == (FeeTier(volume=0, maker=0.003, taker=0.003),)


def test_a_crash_trips_the_drawdown_breaker() -> None:
    holding = config("BuyAndHold", fraction=1.0, risk=OPEN)

    calm, crashed = real(holding), real(holding, "crash:-0.6:6@2024-02-01")

    assert "max_drawdown" not in calm.paths[0].breakers
    assert crashed.paths[0].breakers["max_drawdown"] == 1
    assert crashed.paths[0].max_drawdown < -0.25
    assert outlook(crashed).breakers["max_drawdown"].paths == 1


def test_buying_and_holding_through_a_jump_loses_what_jumped() -> None:
    plain, struck = real(config()), real(config(), "gap:-0.5@50%")

    before, after = (1 + each.paths[0].buy_and_hold for each in (plain, struck))

    assert after == pytest.approx(before / 2, rel=1e-3)
    assert struck.paths[0].strikes[0] == pytest.approx(1_706_659_200_000_000_000, abs=HOUR)


def test_the_real_market_without_chance_is_the_backtest_and_runs_once() -> None:
    found = real(config(), paths=50)

    assert [path.digest for path in found.paths] == [compiled_backtest(config(), catalog()).digest]
    assert "became" in sentence(found, outlook(found))


@pytest.mark.parametrize(
    "stress", ["", "crash:-0.5", "gap:-0.3,fees:3x,latency:500ms", "liquidity:0.001x,volatility:2x,halt:40"]
)
def test_compiled_paths_are_those_of_the_event_engine(stress: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exits = ExitsConfig(trailing_stop=0.03, take_profit=0.05)
    strategy = StrategyConfig(strategy="EmaCross", parameters={"fast": 5, "slow": 12}, exits=exits)
    wanted = config(instruments=(BTC, ETH), strategies=(strategy,), risk=OPEN)
    found = run(wanted, stress=stress, bars=600)

    monkeypatch.setattr("abidance.run.simulating.compiled_backtest", backtest)
    truth = run(wanted, stress=stress, bars=600)

    assert sum(path.trades for path in truth.paths) > 20
    assert not any(path.fallback for path in found.paths)
    assert [told(path) for path in found.paths] == [told(path) for path in truth.paths]


def told(path: PathResult) -> dict[str, Any]:
    """Return what both engines say of a path, to the tenth digit."""
    found = msgspec.structs.asdict(path)
    return {
        name: pytest.approx(value) if isinstance(value, float) else value
        for name, value in found.items()
        if name != "digest"
    }


def test_what_compiled_code_does_not_cover_is_run_by_events_and_said() -> None:
    found = run(config("Grid"))

    (note,) = (each for each in found.notes if "event engine" in each)
    assert "decides on events" in note
    assert "(4 of 4 paths)" in note


def test_a_stress_without_a_date_strikes_the_real_market_at_another_time_on_each_path() -> None:
    found = real(config(), "crash:-0.4,halt:5")

    times = {ts for path in found.paths for ts in path.strikes}
    assert len(times) == 8
    assert all(1_704_067_200_000_000_000 <= ts < 1_709_251_200_000_000_000 for ts in times)


def test_a_halt_runs_through_the_engine() -> None:
    found = real(config(), "halt:100@2024-02-01")

    assert found.paths[0].digest != real(config()).paths[0].digest


def test_late_orders_and_thin_volume_change_what_is_traded() -> None:
    digests = {
        run(config(), stress=stress, paths=1).paths[0].digest
        for stress in ("", "latency:5s", "liquidity:0.0001x")
    }

    assert len(digests) == 3


# --- any run


def test_a_portfolio_over_several_timeframes_and_references_is_simulated_together() -> None:
    strategies = (
        StrategyConfig(strategy="EmaCross", allocation=0.5, instruments=(BTC, ETH)),
        StrategyConfig(strategy="TrendFilter", allocation=0.5, instruments=(ETH,), timeframe="4h"),
    )

    found = run(RunConfig(strategies=strategies, timerange="20240101-20240401"), "garch", bars=2_000, paths=2)

    assert found.timeframe == "1h"
    assert all(path.trades for path in found.paths)


def test_a_perpetual_pays_the_usual_funding() -> None:
    hours = np.arange(1_704_067_200_000_000_000, 1_709_251_200_000_000_000, HOUR)
    bars = catalog().read(BTC, "1h", int(hours[0]), int(hours[-1]) + HOUR)

    class Perpetuals:
        def read(
            self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
        ) -> Bars:
            return Bars(instrument, timeframe, bars.ts, bars.columns())

        def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding:
            return Funding(instrument, hours[8::8], np.full(len(hours[8::8]), self.rate))

        def __init__(self, rate: float) -> None:
            self.rate = rate

    holding = config("BuyAndHold", instruments=(PERPETUAL,), timerange="", fraction=0.2)
    plan = Plan("bootstrap", paths=2, bars=300, jobs=1)

    free, dear = (simulate(holding, Perpetuals(rate), plan) for rate in (0.0, 0.001))

    paid = [before - after for before, after in zip(finals(free), finals(dear), strict=True)]
    assert all(40 < each < 120 for each in paid)  # 37 times 0.1 % of about 2,000, as prices go


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_strategy_is_told_as_itself_from_every_process(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "bad.py").write_text(
        "from abidance.strategy.base import BarStrategy\n"
        "class Bad(BarStrategy):\n"
        "    def signals(self, bars):\n"
        "        raise ValueError('no such thing')\n"
    )

    with pytest.raises(StrategyError) as failed:
        simulate(config("Bad"), catalog(), Plan(paths=4, bars=300, jobs=jobs), tmp_path)

    assert "no such thing" in failed.value.found
    assert failed.value.remedy


def test_progress_ends_with_all_paths() -> None:
    told: list[tuple[int, int]] = []

    simulate(
        config(),
        catalog(),
        Plan(paths=3, bars=100, jobs=1),
        progress=lambda done, total: told.append((done, total)),
    )

    assert told[-1] == (3, 3)
    assert told == sorted(told)


# --- refused


@pytest.mark.parametrize(
    "given",
    [
        {"market": "moon"}, {"paths": 0}, {"paths": 10**9}, {"seed": -1}, {"bars": 1}, {"bars": 10**9}, {"growth": -1.0},
        {"growth": float("nan")}, {"ruin": 0.0}, {"ruin": 1.5}, {"ruin": float("nan")}, {"jobs": 0},
        {"market": "real", "bars": 100}, {"market": "real", "growth": 0.0},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        Plan(**given)

    assert refused.value.remedy


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (UsageError, {"stress": "crash:-0.4@2030-01-01"}, "outside the run"),
        (UsageError, {"bars": 12}, "decides nothing"),
        (UsageError, {"stress": "fees:100x,fees:100x"}, "takes"),
    ],
)
def test_a_plan_that_does_not_fit_the_run_is_refused(
    kind: type[AbidanceError], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(kind, match=words) as refused:
        run(config(), **given)

    assert refused.value.remedy


def test_a_halt_that_leaves_nothing_is_told() -> None:
    with pytest.raises(DataError, match="no whole bar"):
        real(config(timerange="20240201-20240202", instruments=(BTC,)), "halt:24@0%")


def test_bar_lengths_that_do_not_divide_are_refused() -> None:
    strategies = tuple(
        StrategyConfig(strategy="EmaCross", name=timeframe, allocation=0.5, timeframe=timeframe)
        for timeframe in ("2h", "3h")
    )

    with pytest.raises(UsageError, match="3h cannot be built"):
        run(config(strategies=strategies))


# --- what is said


def path(number: int, total_return: float, lowest: float = 1.0, **given: Any) -> PathResult:
    values = {
        "final_equity": 100 * (1 + total_return), "max_drawdown": -0.1, "buy_and_hold": 0.0, "trades": 1, "costs": 1.0,
        "refusals": {}, "breakers": {}, "strikes": (), "digest": "", "fallback": "",
    }  # fmt: skip
    return PathResult(**{**values, "number": number, "total_return": total_return, "lowest": lowest, **given})


def over(*paths: PathResult) -> tuple[Simulation, Outlook]:
    done = Simulation(Plan(paths=len(paths)), config(), 100.0, "1h", 300, {}, "", (), paths)
    return done, outlook(done)


def test_losses_and_ruin_are_counted_by_path() -> None:
    _, found = over(path(0, -0.1, 0.6), path(1, 0.2, 0.7), path(2, 0.3), path(3, -0.01))

    assert (found.loss.count, found.ruin.count, found.behind_buy_and_hold.count) == (2, 2, 2)
    assert (found.worst.number, found.best.number) == (0, 2)
    assert found.total_return[3] == pytest.approx(0.095)


def test_what_never_happened_is_not_called_impossible() -> None:
    paths = [path(number, 0.1) for number in range(200)]

    found = chance(paths, lambda _: False)

    assert (found.share, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.0188, abs=1e-4)  # 1.96² / (200 + 1.96²)


def test_codes_are_counted_over_all_and_by_path() -> None:
    _, found = over(
        path(0, 0.1, breakers={"a": 1, "b": 5}),
        path(1, 0.1, breakers={"a": 2}),
        path(2, 0.1, refusals={"c": 9}),
    )

    assert [(code, each.count, each.paths) for code, each in found.breakers.items()] == [
        ("a", 3, 2),
        ("b", 5, 1),
    ]
    assert found.refusals["c"].count == 9


def test_the_json_holds_every_path_and_no_time_of_day() -> None:
    done = run(config(), stress="crash:-0.3")

    found = msgspec.json.decode(to_json(done, outlook(done)))

    assert [row["number"] for row in found["runs"]] == [0, 1, 2, 3]
    assert found["runs"][0]["strikes"][0].endswith("Z")
    assert found["percentiles"]["final_equity"]["p50"] > 0
    assert found["probability_of_loss"]["total"] == 4

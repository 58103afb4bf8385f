"""Deliberate cheats are caught at their line; honest strategies and all that ship are not accused."""

from functools import cache
from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.research.bias.report import Check, StrategyReport
from abidance.run.checking import check_strategies
from abidance.run.config import RunConfig
from abidance.strategy import library
from abidance.strategy.base import BarStrategy
from abidance.strategy.parameters import parameters_of

FOLDER = Path(__file__).parents[2] / "data" / "strategies"
BTC, SOL = "BTC/USDT@BINANCE", "SOL/USDT@BINANCE"
HONEST = sorted(file.stem for file in (FOLDER / "honest").glob("*.py"))
SHIPPED = [name for name in library.__all__ if issubclass(getattr(library, name), BarStrategy)]
CAUGHT_BY = {
    "appended_column": "look-ahead",
    "centred_mean": "look-ahead",
    "drawn_lots": "determinism",
    "filled_backward": "look-ahead",
    "fitted_line": "look-ahead",
    "future_extreme": "look-ahead",
    "global_score": "look-ahead",
    "kept_peak": "repaint",
    "lowest_of_all": "look-ahead",
    "negative_roll": "look-ahead",
    "next_row": "look-ahead",
    "odd_length": "look-ahead",
    "order_of_a_set": "determinism",
    "other_tape": "look-ahead",
    "polars_shift": "look-ahead",
    "scaled_stop": "look-ahead",
    "shared_memory": "determinism",
    "sorted_rank": "look-ahead",
    "time_of_day": "determinism",
    "unfinished_day": "look-ahead",
}


def reports(*strategies: StrategyConfig) -> dict[str, StrategyReport]:
    """Check several strategies in one run: they share the other process."""
    share = 1 / len(strategies)
    each = tuple(strategy.model_copy(update={"allocation": share}) for strategy in strategies)
    config = RunConfig(instruments=(SOL,), timerange="20240101-20240501", strategies=each)
    found = check_strategies(config, Catalog(BarStore(Path("/nonexistent"))))
    return {report.strategy: report for report in found}


@cache
def of_folder(folder: str) -> dict[str, StrategyReport]:
    files = sorted((FOLDER / folder).glob("*.py"))
    return reports(*(StrategyConfig(strategy=str(file), name=file.stem) for file in files))


def checks(report: StrategyReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def cheat_of(name: str) -> int:
    """Return the line that is marked in a cheating strategy."""
    lines = (FOLDER / "cheating" / f"{name}.py").read_text("utf-8").splitlines()
    (marked,) = (number for number, line in enumerate(lines, 1) if "# cheat" in line)
    return marked


def test_every_cheat_in_the_folder_is_expected() -> None:
    assert {file.stem for file in (FOLDER / "cheating").glob("*.py")} == CAUGHT_BY.keys()


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_a_cheat_is_caught_and_its_line_is_named(name: str) -> None:
    report = of_folder("cheating")[name]

    found = checks(report)[CAUGHT_BY[name]]
    assert report.verdict == "fail"
    assert found.verdict == "fail"
    assert [place.line for place in found.places] == [cheat_of(name)]
    assert f"{name}.py:{cheat_of(name)}" in found.sentence
    assert "# cheat" in found.sentence


@pytest.mark.parametrize("name", [name for name, by in CAUGHT_BY.items() if by == "look-ahead"])
def test_looking_ahead_is_told_with_time_column_and_both_values(name: str) -> None:
    found = checks(of_folder("cheating")[name])["look-ahead"]

    evidence = found.evidence
    assert evidence["first"] != evidence["second"]
    assert evidence["column"] == ("stop" if name == "scaled_stop" else "target")
    assert f"{evidence['column']} is " in found.sentence
    assert evidence["close_ns"] <= evidence["known_until_ns"]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_strategy_is_not_accused(name: str) -> None:
    report = of_folder("honest")[name]

    verdicts = {check.name: check.verdict.value for check in report.checks}
    assert verdicts.pop("warm-up") in {"pass", "warn"}
    assert set(verdicts.values()) == {"pass"}


@pytest.mark.parametrize("name", ["expanding_peak", "running_vwap"])
def test_what_depends_on_the_beginning_of_the_history_is_a_warning(name: str) -> None:
    found = checks(of_folder("honest")[name])["warm-up"]

    assert found.verdict == "warn"
    assert "depends on where the history begins" in found.sentence


@cache
def shipped() -> dict[str, StrategyReport]:
    configs = [StrategyConfig(strategy=name) for name in SHIPPED]
    configs += [
        StrategyConfig(strategy=name, name=f"{name} short", parameters={"short": True})
        for name in SHIPPED
        if "short" in parameters_of(getattr(library, name))
    ]
    asks = StrategyConfig(
        strategy="TrendFilter", name="TrendFilter asks", parameters={"reference": BTC}, instruments=(SOL, BTC)
    )
    return reports(*configs, asks)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_passes_every_check(name: str) -> None:
    found = [report for report in shipped().values() if report.strategy.split()[0] == name]

    assert found
    assert {check.verdict.value for report in found for check in report.checks} == {"pass"}


def test_a_strategy_over_events_is_run_again_and_the_rest_is_left_open() -> None:
    found = checks(reports(StrategyConfig(strategy="Grid"))["Grid"])

    assert {name: check.verdict.value for name, check in found.items()} == {
        "look-ahead": "unchecked",
        "warm-up": "unchecked",
        "repaint": "unchecked",
        "determinism": "pass",
        "source": "pass",
    }
    assert found["determinism"].evidence["elsewhere"] == found["determinism"].evidence["digests"][0]
    assert "Cannot be checked" in found["look-ahead"].sentence

"""How flags lie over a configuration."""

from pathlib import Path

import pytest

from abidance.cli.options import RunOptions
from abidance.model.errors import UsageError


def test_parameters_reach_every_strategy_that_was_typed() -> None:
    options = RunOptions(strategies=["EmaCross", "Macd"], pairs=["BTC/USDT"], parameters=["fast=7"])

    loaded = options.load()

    assert [each.parameters for each in loaded.strategies] == [{"fast": 7}, {"fast": 7}]
    assert [each.allocation for each in loaded.strategies] == [0.5, 0.5]


def test_parameters_win_over_those_of_a_file_and_leave_the_others(tmp_path: Path) -> None:
    file = tmp_path / "bot.toml"
    file.write_text('[[strategies]]\nstrategy = "EmaCross"\nparameters = {fast = 5, slow = 60}\n')

    loaded = RunOptions(configs=[file], parameters=["fast=7"]).load()

    assert loaded.strategies[0].parameters == {"fast": 7, "slow": 60}


def test_strategies_are_not_set_twice() -> None:
    options = RunOptions(strategies=["EmaCross"], settings=["strategies.0.timeframe=1h"])

    with pytest.raises(UsageError, match="--param"):
        options.load()


def test_a_stake_and_parameters_go_together() -> None:
    loaded = RunOptions(strategies=["EmaCross"], stake=500.0, parameters=["slow=40"]).load()

    assert (loaded.strategies[0].sizing.method, loaded.strategies[0].sizing.amount) == (
        "fixed_notional",
        500.0,
    )
    assert loaded.strategies[0].parameters == {"slow": 40}


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (RunOptions(pairs=["BTC/USDT"], settings=['instruments=["ETH/USDT@BINANCE"]']), "instruments"),
        (RunOptions(slippage=0.0, settings=["venue.slippage.fixed=0.01"]), "venue.slippage"),
        (RunOptions(fee=0.0, settings=["venue.fees=[]"]), "venue.fees"),
        (RunOptions(wallet=5.0, settings=["dry_run_wallet=7"]), "dry_run_wallet"),
        (RunOptions(timeframe="1h", settings=["timeframe=4h"]), "timeframe"),
    ],
)
def test_a_flag_and_a_setting_may_not_say_the_same_thing(options: RunOptions, setting: str) -> None:
    with pytest.raises(UsageError, match=f"--set {setting} say the same thing twice"):
        options.overrides()


def test_settings_beside_a_flag_are_both_kept() -> None:
    found = RunOptions(fee=0.002, settings=["venue.latency_ms=50"]).overrides()

    assert found["venue"] == {
        "latency_ms": 50,
        "fees": [{"volume": 0, "maker": 0.002, "taker": 0.002}],
    }

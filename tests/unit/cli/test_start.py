"""What a command loads before it works: no other command, and no library that it does without."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from abidance.market.bars import Bars
from abidance.market.store import BarStore

LOADED = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sys.modules))
from abidance.cli.main import main
main()
"""


def loaded_by(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_a_backtest_of_stored_bars_loads_no_other_command_and_no_account(tmp_path: Path) -> None:
    times = 1_704_067_200_000_000_000 + np.arange(2000) * 3_600_000_000_000
    closes = 100 + np.cumsum(np.random.default_rng(7).normal(size=2000))
    columns = (closes, closes + 1, closes - 1, closes, np.full(2000, 1e6))
    BarStore(tmp_path / "data").write(Bars("TST/USDT@BINANCE", "1h", times, columns))

    loaded = loaded_by("backtest", "-s", "EmaCross", "-p", "TST/USDT@BINANCE", "--userdir", str(tmp_path))

    commands = {"trade", "optimize", "demo", "keys"}
    others = {
        "numba",
        "asyncio",
        "abidance.venues.account",
        *(f"abidance.cli.{n}" for n in commands),
    }
    assert "abidance.market.store.plain" in loaded
    assert loaded & others == set()


def test_every_command_is_loaded_where_the_help_lists_them() -> None:
    loaded = loaded_by("--help")

    assert {f"abidance.cli.{name}" for name in ("backtest", "trade", "keys", "audit", "download")} <= loaded

"""What compiled runs take: memory for bars and not for combinations, one notice at the first compile, any threads."""

import gc
import os
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from abidance.backtest.compiled import Score
from abidance.engine.config import StrategyConfig
from abidance.kernel.native import cache_folder
from abidance.risk.config import RiskConfig, SizingConfig
from abidance.run.config import RunConfig
from abidance.run.sweeping import sweep
from abidance.venues.sim.config import VenueConfig
from tests.parity.markets import Memory, Shape, market
from tests.parity.tally import Tally
from tests.parity.test_compiled import OPEN, QUIET, ids

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
BARS = 40_000
SHAPE = Shape(seed=7, length=BARS, wild=0.004, thin=0.0, holes=0.0, price=101.25)
VENUES = {
    "in the fast lane": VenueConfig(unlimited_volume=True),
    "by the whole executor": VenueConfig(latency_ms=250),
}
ROOT = Path(__file__).parents[2]


def crossing(venue: VenueConfig) -> RunConfig:
    return RunConfig(
        instruments=ids(1),
        strategies=(StrategyConfig(strategy="EmaCross", sizing=SizingConfig(fraction=0.2)),),
        risk=RiskConfig(limits=OPEN, breakers=QUIET),
        venue=venue,
    )


def grid(stops: int) -> Mapping[str, Sequence[Any]]:
    """Return a grid over as many averages, whatever the number of stops."""
    return {
        "fast": [5, 9], "slow": [30, 60], "exits.stop_loss": [0.01 + 0.001 * n for n in range(stops)],
    }  # fmt: skip


def peak(config: RunConfig, memory: Memory, stops: int) -> tuple[int, int]:
    """Return the bytes that a sweep takes at most, beyond what is there before it, and its settings."""
    gc.collect()
    tracemalloc.start()
    try:
        count = sum(score.fills > 0 for _, score in sweep(config, memory, grid(stops), workers=1))
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("where", VENUES)
def test_ten_times_the_combinations_take_no_more_memory(where: str) -> None:
    config, memory = crossing(VENUES[where]), market(SHAPE, ids(1), "1h")
    peak(config, memory, 1)  # whatever is loaded at first

    few, fewer = peak(config, memory, 2)
    many, more = peak(config, memory, 20)

    assert (fewer, more) == (8, 80)
    column = 8 * BARS
    assert many - few < 4 * column  # 72 settings more
    assert many < 60 * column


def test_memory_grows_with_the_bars() -> None:
    config = crossing(VENUES["by the whole executor"])

    short, _ = peak(config, market(replace(SHAPE, length=BARS // 4), ids(1), "1h"), 2)
    long, _ = peak(config, market(SHAPE, ids(1), "1h"), 2)

    assert 2 * short < long < 6 * short


@pytest.mark.parametrize("where", VENUES)
def test_one_thread_and_two_find_the_same(where: str) -> None:
    config, memory = crossing(VENUES[where]), market(replace(SHAPE, length=3_000), ids(1), "1h")

    alone, together = (list(sweep(config, memory, grid(40), workers=count)) for count in (1, 2))

    assert len(alone) == 160
    assert [setting for setting, _ in alone] == [setting for setting, _ in together]
    assert [told(score) for _, score in alone] == [told(score) for _, score in together]


def told(score: Score) -> tuple[Any, ...]:
    return (
        score.ts.tolist(), score.equity.tolist(), score.max_drawdown, score.trades, score.fills, score.fees,
        score.refusals,
    )  # fmt: skip


PROGRAM = """
import sys
from pathlib import Path
from abidance.kernel.native import Unit
from abidance.market.store import BarStore, Catalog
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.run.sweeping import sweep

made = []

def quickly(unit, name, arguments):
    made.append(name)
    (kept,) = Path({kept!r}).glob(unit._folder.name + "/" + name + ".o")
    return kept.read_bytes()[32:]

Unit._made = quickly
config = RunConfig(instruments=("BTC/USDT@BINANCE",), strategies=({{"strategy": "EmaCross"}},))
source = Catalog(BarStore(Path("no-store-here")))
for number in range(2):
    assert not fallback_of(compiled_backtest(config, source, say=print))
print("runs made", *sorted(made))
list(sweep(config, source, {{"fast": [5, 8]}}, workers=1, say=print))
list(sweep(config, source, {{"fast": [5, 8]}}, workers=1, say=print))
print("all made", *sorted(made))
"""
"""A compiler as quick as a file: all else of a first run is real."""
NOTICE = "Compiling the executor, once for this version: about half a minute."


def said(cache: Path, kept: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM).format(kept=str(kept))],
        env={**os.environ, "ABIDANCE_CACHE": str(cache), "PYTHONPATH": str(ROOT / "src")},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_one_line_comes_at_the_first_compile_and_none_later(tmp_path: Path) -> None:
    kept = cache_folder()

    first, second = said(tmp_path / "code", kept), said(tmp_path / "code", kept)

    runs = [line for line in first if line.startswith("runs made")]
    assert first == [NOTICE, *runs, NOTICE, first[-1]]  # a sweep's fast lane is compiled by itself
    assert {"deposit", "play"} <= set(runs[0].split())
    assert "run_lane" in first[-1].split()
    assert second == ["runs made", "all made"]


def test_a_tally_that_is_too_low_fails_its_property() -> None:
    tally = Tally()
    with pytest.raises(AssertionError, match="each of its runs"):
        tally.check(0.5)
    for is_compiled in (True, False, False):
        tally.count(is_compiled)

    with pytest.raises(AssertionError, match="only 1 of 3 runs"):
        tally.check(0.5)
    tally.check(0.3)

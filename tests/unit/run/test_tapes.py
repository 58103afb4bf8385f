"""Runs in which the trades themselves decide what fills."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.build import Tape
from abidance.market.store import BarStore, Catalog
from abidance.market.store.tables import Place
from abidance.model.errors import ConfigError, DataError, UsageError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Purpose
from abidance.research.objective import Aim, Outcome, figures
from abidance.research.space import Values
from abidance.research.stress import parse
from abidance.risk.config import SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.run.recipe import Executor, Recipe, Remembering, pins
from abidance.run.reruns import Reruns
from abidance.run.setup import gather
from abidance.run.simulating import Plan, simulate
from abidance.run.tuning import tuning
from abidance.strategy.config import ExitsConfig
from tests.parity.markets import START
from tests.parity.test_trades import Tapes

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

ID = "BTC/USDT@BINANCE"
HERE = "tests/parity/markets.py"
HEARS = """
from abidance.strategy.base import EventStrategy
class Hears(EventStrategy):
    def on_trade(self, trade, view):
        return None
"""
ONCE = """
import numpy as np
from abidance.strategy.base import BarStrategy, Signals
class Once(BarStrategy):
    def signals(self, bars):
        target = np.full(len(bars), np.nan)
        target[2:] = 1.0
        return Signals(target, stop=5.0, take_profit=5.0)
"""


def tape(*prices: float, gap: float = 10.0, size: float = 50.0) -> Tape:
    ts = START + (np.arange(len(prices)) * gap * SECOND_NS).astype(np.int64)
    return Tape(ts, np.array(prices), np.full(len(prices), size))


def config(strategy: str, **given: Any) -> RunConfig:
    return RunConfig(
        **{
            "instruments": (ID,),
            "timeframe": "1m",
            "detail_timeframe": "trades",
            "strategies": (
                StrategyConfig(
                    strategy=strategy,
                    sizing=SizingConfig(method="fixed_quantity", quantity=1.0),
                    exits=ExitsConfig(),
                ),
            ),
            **given,
        }
    )


def once(folder: Path) -> str:
    (folder / "once.py").write_text(ONCE)
    return f"{folder / 'once.py'}:Once"


@pytest.mark.parametrize(
    ("after", "reason", "price"),
    [((94.9, 105.1), Purpose.STOP_LOSS, 94.89), ((105.2, 94.0), Purpose.TAKE_PROFIT, 105.01)],
)
def test_the_order_of_trades_in_a_bar_decides_between_stop_and_target(
    tmp_path: Path, after: tuple[float, ...], reason: Purpose, price: float
) -> None:
    source = Tapes({ID: tape(*[100.0] * 21, *after, *[100.0] * 20)})
    run = config(once(tmp_path))

    for result in (backtest(run, source), compiled_backtest(run, source)):
        assert fallback_of(result) == ""
        entry, left = result.fills
        assert entry.ts == START + 190 * SECOND_NS  # a trade at the close comes before the decision
        assert left.purpose is reason
        assert float(left.price) == pytest.approx(price, abs=0.02)


def test_bars_are_built_from_the_trades_and_quiet_minutes_are_flat(tmp_path: Path) -> None:
    far = tape(*[100.0] * 60)
    shifted = Tape(far.ts + (far.ts >= START + 240 * SECOND_NS) * 120 * SECOND_NS, far.price, far.size)

    material = gather(config(once(tmp_path)), Tapes({ID: shifted}), None)

    bars = material.bars[ID, "1m"]
    assert np.diff(bars.ts).tolist() == [60 * SECOND_NS] * (len(bars) - 1)
    assert bars.volume[4:6].tolist() == [0.0, 0.0]
    assert material.tapes[ID].ts[0] == bars.ts[0]


def test_a_source_without_trades_is_named() -> None:
    class Bare:
        def read(self, *_: Any) -> Any: ...

        def funding(self, *_: Any) -> None: ...

    with pytest.raises(ConfigError, match="asks for trades"):
        gather(config(f"{HERE}:Scripted"), Bare(), None)


def test_too_few_trades_for_a_bar_are_refused(tmp_path: Path) -> None:
    for few in (tape(), tape(100.0), tape(*[100.0] * 5)):
        with pytest.raises(DataError, match="make no whole bar of 1m"):
            gather(config(once(tmp_path)), Tapes({ID: few}), None)


def test_trades_that_go_back_in_time_are_refused_and_those_that_cannot_be_left_out(tmp_path: Path) -> None:
    good = tape(*[100.0] * 60)
    late, broken = good.ts.copy(), good.price.copy()
    late[30], broken[20] = START, np.nan

    with pytest.raises(DataError, match="goes backwards in time"):
        gather(config(once(tmp_path)), Tapes({ID: Tape(late, good.price, good.size)}), None)
    material = gather(config(once(tmp_path)), Tapes({ID: Tape(good.ts, broken, good.size)}), None)
    assert len(material.tapes[ID].ts) == 59


def test_a_strategy_that_hears_trades_is_not_run_on_a_tape(tmp_path: Path) -> None:
    (tmp_path / "hears.py").write_text(HEARS)

    with pytest.raises(ConfigError, match="hears every trade"):
        gather(config(f"{tmp_path / 'hears.py'}:Hears"), Tapes({ID: tape(*[100.0] * 60)}), None)


def test_runs_that_are_to_be_repeated_over_other_bars_are_refused(tmp_path: Path) -> None:
    material = gather(config(once(tmp_path)), Tapes({ID: tape(*[100.0] * 60)}), None)

    with pytest.raises(UsageError, match="trades decide"):
        Reruns(material, lambda: None)


def stored(folder: Path) -> Catalog:
    """Store an afternoon of trades, and nothing else, as a user has them."""
    steps = np.random.default_rng(1).normal(0.0, 0.05, 4_000)
    prices = np.round(100.0 + np.cumsum(steps), 2)
    ts, size = START + np.arange(len(prices)) * 5 * SECOND_NS, np.full(len(prices), 50.0)
    ids = [str(number) for number in range(len(ts))]
    rows = {"ts": ts, "price": prices, "size": size, "buyer_is_taker": True, "id": ids, "received": 0}
    catalog = Catalog(BarStore(folder / "data"))
    catalog.store.tables.append(Place(ID, "trades"), pl.DataFrame(rows))
    return catalog


SEARCHED = config("EmaCross", instruments=(ID,))


@pytest.mark.parametrize("executor", [backtest, compiled_backtest])
@pytest.mark.parametrize("objective", ["total_return", "profit_factor"])
def test_a_search_scores_what_the_stored_trades_decide(
    tmp_path: Path, executor: Executor, objective: str
) -> None:
    catalog = stored(tmp_path)
    values: Values = {"fast": 5, "slow": 20}
    aim = Aim.read([objective], [])
    recipe = Recipe(tuning(SEARCHED, None), aim, Remembering(catalog), None, executor)
    pins(recipe)  # reads what the search will read

    found = pickle.loads(pickle.dumps(recipe))()(values)  # as a worker on another host does

    truth = figures(backtest(recipe.tuning.configured(values), catalog))
    assert isinstance(found, Outcome)
    assert found.fallback == ""
    assert truth["trades"] is not None
    assert truth["trades"] > 5
    assert found.scores == pytest.approx([truth[objective]], rel=1e-9)


def test_trades_that_make_the_same_bars_make_another_search(tmp_path: Path) -> None:
    first = tape(*[100.0, 101.0, 99.0, 100.0, 100.0, 100.0] * 200)
    other = Tape(first.ts, tape(*[100.0, 99.0, 101.0, 100.0, 100.0, 100.0] * 200).price, first.size)

    def pinned(trades: Tape) -> dict[str, str]:
        source = Remembering(Tapes({ID: trades}))
        return pins(Recipe(tuning(SEARCHED, None), Aim.read(["sharpe"], []), source, None))

    one, two = pinned(first), pinned(other)

    assert {name for name in one if one[name] != two[name]} == {"data"}


def test_the_real_market_is_simulated_by_its_trades_under_stress_that_leaves_them_alone(
    tmp_path: Path,
) -> None:
    catalog = stored(tmp_path)

    plain, dear = (
        simulate(SEARCHED, catalog, Plan("real", parse(text))) for text in ("", "fees:3x,latency:500ms")
    )

    truth = backtest(SEARCHED, catalog)
    assert [len(plain.paths), len(dear.paths)] == [1, 1]
    assert plain.paths[0].final_equity == truth.equity[-1]
    assert plain.paths[0].trades > 1
    assert dear.paths[0].costs > 2 * plain.paths[0].costs


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan("bootstrap"), "a market drawn by bootstrap has none"),
        (Plan("real", parse("crash:-0.4")), "there are none of a market under crash:-0.4"),
        (Plan("real", parse("volatility:2x")), "there are none of a market under volatility:2x"),
    ],
)
def test_a_market_without_trades_is_refused_where_trades_decide(plan: Plan, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        simulate(SEARCHED, Tapes({}), plan)

    assert "--market real" in error.value.remedy


def test_a_search_without_trades_is_told(tmp_path: Path) -> None:
    class Bare:
        def read(self, *_: Any) -> Any: ...

        def funding(self, *_: Any) -> None: ...

    with pytest.raises(ConfigError, match="asks for trades"):
        gather(SEARCHED, Remembering(Bare()), None)


def test_trades_are_a_detail_and_no_timeframe() -> None:
    with pytest.raises(ValueError, match="trades"):
        config(f"{HERE}:Scripted", timeframe="trades")

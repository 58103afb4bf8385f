"""From a configuration to a wired core."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abidance.engine.config import StrategyConfig
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.model.errors import ConfigError, DataError, StrategyError, UsageError
from abidance.model.event import BalanceChanged, Control
from abidance.model.instrument import timeframe_ns
from abidance.run.config import RunConfig
from abidance.run.setup import assemble, gather

HOUR = timeframe_ns("1h")
BEGIN = 1_704_067_200_000_000_000  # 2024-01-01
BTC, ETH, PERP = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE", "BTC/USDT:USDT@BINANCE"


class Shelf:
    """Bars of any instrument and timeframe, a hundred hours from 2024-01-01 on."""

    def __init__(self, holes: Sequence[str] = ()) -> None:
        self.asked: list[tuple[str, str]] = []
        self.holes = holes

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        self.asked.append((instrument, timeframe))
        if instrument in self.holes:
            raise DataError(f"There are no bars of {instrument}.")
        step = timeframe_ns(timeframe)
        ts = np.arange(BEGIN, BEGIN + 100 * HOUR, step, dtype=np.int64)
        ts = ts[(ts >= (start or 0)) & (ts < (end or 1 << 62))]
        price = 100.0 + (ts - BEGIN) / HOUR
        return Bars(instrument, timeframe, ts, (price, price, price, price, np.full(len(ts), 1e6)))

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return None


def config(*strategies: str, **given: object) -> RunConfig:
    made = tuple(StrategyConfig(strategy=each, allocation=1 / len(strategies)) for each in strategies)
    return RunConfig(**{"instruments": (BTC, ETH), "strategies": made, **given})


def test_a_run_without_a_range_takes_all_bars_and_has_no_past() -> None:
    material = gather(config("EmaCross"), Shelf(), None)

    assert {key: len(bars) for key, bars in material.bars.items()} == {(BTC, "1h"): 100, (ETH, "1h"): 100}
    assert material.past == {}
    assert material.start == BEGIN


def test_the_bars_before_the_range_warm_strategies_up() -> None:
    material = gather(config("EmaCross", timerange="20240103-20240104"), Shelf(), None)

    assert len(material.past[BTC, "1h"]) == 48
    assert len(material.bars[BTC, "1h"]) == 24
    assert material.past[BTC, "1h"].ts[-1] + HOUR == material.bars[BTC, "1h"].ts[0] == material.start


def test_a_range_with_an_open_begin_has_no_past() -> None:
    material = gather(config("EmaCross", timerange="-20240104"), Shelf(), None)

    assert len(material.bars[BTC, "1h"]) == 72
    assert not any(len(bars) for bars in material.past.values())


def test_finer_bars_drive_the_fills_of_every_instrument() -> None:
    shelf = Shelf()

    material = gather(config("EmaCross", detail_timeframe="15m"), shelf, None)

    assert material.drive == {BTC: "15m", ETH: "15m"}
    assert shelf.asked == [(BTC, "1h"), (ETH, "1h"), (BTC, "15m"), (ETH, "15m")]
    assert set(material.shown()) == {BTC, ETH}
    assert {bars.timeframe for bars in material.shown().values()} == {"1h"}


def test_two_timeframes_of_one_instrument_are_driven_by_the_shorter() -> None:
    strategies = (
        StrategyConfig(
            strategy="EmaCross",
            parameters={"fast": 5, "slow": 10},
            name="slow",
            timeframe="4h",
            allocation=0.5,
            instruments=(BTC,),
        ),
        StrategyConfig(
            strategy="EmaCross",
            parameters={"fast": 5, "slow": 10},
            name="fast",
            timeframe="1h",
            allocation=0.5,
            instruments=(BTC,),
        ),
    )

    material = gather(RunConfig(strategies=strategies), Shelf(), None)
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=False)

    assert material.drive == {BTC: "1h"}
    assert {key: series.drives for key, series in core.engine.state.series.items()} == {
        (BTC, "4h"): False,
        (BTC, "1h"): True,
    }


def test_what_a_strategy_refers_to_is_loaded_and_not_traded(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "leader.py").write_text(
        "import numpy as np\n"
        "from abidance.strategy.base import BarStrategy, Signals\n"
        "class Leader(BarStrategy):\n"
        f"    references = ({ETH!r},)\n"
        "    def signals(self, bars):\n"
        f"        return Signals(np.where(bars.align(bars.other({ETH!r}), bars.other({ETH!r}).close) > 110, 1.0, 0.0))\n"
    )

    material = gather(config("Leader", instruments=(BTC,)), Shelf(), folder)
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=False)

    assert set(material.instruments) == {BTC, ETH}
    assert [runner.instrument for runner in core.engine.runners] == [BTC]  # type: ignore[union-attr]


def test_leverage_above_the_instruments_own_is_refused() -> None:
    strategy = StrategyConfig(strategy="EmaCross", instruments=(PERP,), leverage=200)

    with pytest.raises(ConfigError, match="leverage 200"):
        gather(RunConfig(strategies=(strategy,)), Shelf(), None)


def test_wrong_parameters_name_the_strategy() -> None:
    strategy = StrategyConfig(strategy="EmaCross", name="mine", instruments=(BTC,), parameters={"fats": 3})

    with pytest.raises(UsageError, match=r"mine.*fats"):
        gather(RunConfig(strategies=(strategy,)), Shelf(), None)


def test_parameters_that_contradict_each_other_are_told_before_the_run() -> None:
    strategy = StrategyConfig(strategy="EmaCross", instruments=(BTC,), parameters={"fast": 100, "slow": 50})

    with pytest.raises(StrategyError, match="fast = 100"):
        gather(RunConfig(strategies=(strategy,)), Shelf(), None)


def test_missing_bars_are_an_error_of_the_data() -> None:
    with pytest.raises(DataError, match="ETH"):
        gather(config("EmaCross"), Shelf(holes=(ETH,)), None)


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(ConfigError):
        gather(RunConfig(instruments=(BTC,)), Shelf(), None)


def test_an_instrument_with_inferred_rules_gives_a_notice() -> None:
    material = gather(config("EmaCross", instruments=("FOO/USDT@NOWHERE",)), Shelf(), None)

    assert "FOO/USDT@NOWHERE" in material.notices[0]


def test_the_opening_balance_is_split_over_the_venues_to_the_last_unit() -> None:
    ids = (BTC, "BTC/USDT@KRAKEN", "BTC/USDT@KUCOIN")
    material = gather(config("EmaCross", instruments=ids, dry_run_wallet=1000.0), Shelf(), None)

    core = assemble(material, OrderIds(0, 0, b"t").make, tape=None, isolate=False)
    deposits = [event for event in core.opening if isinstance(event, BalanceChanged)]

    assert [deposit.venue for deposit in deposits] == ["BINANCE", "KRAKEN", "KUCOIN"]
    assert sum(deposit.amount for deposit in deposits) == 1000
    assert isinstance(core.opening[-1], Control)
    assert {key[0]: balance.total for key, balance in core.venue.balances().items()} == {
        deposit.venue: deposit.amount for deposit in deposits
    }


def test_a_core_without_a_tape_knows_only_the_past() -> None:
    material = gather(config("EmaCross", timerange="20240103-"), Shelf(), None)

    core = assemble(material, OrderIds(0, 0, b"t").make, tape=None, isolate=False)

    assert len(core.engine.state.series[BTC, "1h"].bars()) == 48
    assert core.engine.state.series[BTC, "1h"].tape() is None


def test_a_core_is_made_anew_each_time() -> None:
    material = gather(config("EmaCross"), Shelf(), None)

    one = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars, isolate=False)
    two = assemble(replace(material), OrderIds(0, 0, b"t").make, tape=material.bars, isolate=False)

    assert one.engine.state is not two.engine.state
    assert one.venue is not two.venue


def test_a_run_over_a_symbol_that_was_used_again_says_so() -> None:
    class Reused(Shelf):
        def read(
            self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
        ) -> Bars:
            whole = super().read(instrument, timeframe, start, end)
            early, late = whole.slice(0, 20), whole.slice(60, 100)
            columns = (*(column * 50 for column in late.columns()[:4]), late.volume)
            return early.followed_by(Bars(instrument, timeframe, late.ts, columns))

    material = gather(config("EmaCross", instruments=(BTC,)), Reused(), None)

    (told,) = [notice for notice in material.notices if "another asset" in notice]
    assert told.startswith(f"{BTC} 1h at 2024-01-03 12:00: After 40 hours")

"""Funding in whole runs, on recorded bars and rates of the BTC perpetual in March 2024."""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from abidance.backtest.breakdown import metrics_of
from abidance.backtest.event import Recorder
from abidance.backtest.export import to_json
from abidance.backtest.report import write_report
from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.engine.pump import Pump
from abidance.kernel.ids import OrderIds
from abidance.market.bars import FIELDS, Bars
from abidance.market.funding import Funding
from abidance.market.importing import import_funding
from abidance.market.store import BarStore, Catalog, FundingStore
from abidance.model.instrument import MS_NS, timeframe_ns
from abidance.risk.config import SizingConfig
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig
from abidance.run.paper import JOURNAL, Moment, Paper
from abidance.run.setup import assemble, gather

DATA = Path(__file__).parents[2] / "data"
PERP = "BTC/USDT:USDT@BINANCE"
HOUR = timeframe_ns("1h")
MARCH = 1_709_251_200_000_000_000
STRATEGIES = {
    "always_short": "np.full(len(bars), -1.0)",
    "always_long": "np.full(len(bars), 1.0)",
    "in_and_out": "np.where(bars.ts // (3600 * 10**9) % 11 < 7, -1.0, 0.0)",
    "one_hour": "np.where(bars.ts == {decided}, 1.0, 0.0)",
}


@cache
def bars() -> Bars:
    frame = pl.read_parquet(DATA / "binance_usdm_btc_1h_2024-03.parquet")
    return Bars(PERP, "1h", frame["ts"].to_numpy() * MS_NS, [frame[name].to_numpy() for name in FIELDS])


@cache
def rates() -> dict[int, float]:
    frame = pl.read_csv(DATA / "binance_usdm_btc_funding_2024-03.csv")
    return {ts * MS_NS: rate for ts, rate in frame.iter_rows()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a user directory with the recorded bars and no funding."""
    BarStore(tmp_path / "data").write(bars())
    (tmp_path / "strategies").mkdir()
    return tmp_path


@pytest.fixture
def funded(home: Path) -> Path:
    """Return a user directory with the recorded bars and funding."""
    import_funding(DATA / "binance_usdm_btc_funding_2024-03.csv", PERP, FundingStore(home / "data"))
    return home


def catalog(home: Path) -> Catalog:
    return Catalog(BarStore(home / "data"))


def config(home: Path, strategy: str, *, decided: int = 0, **given: object) -> RunConfig:
    """Return the configuration of a run of one of STRATEGIES, whose file is written into the user's folder."""
    name = strategy.title().replace("_", "")
    (home / "strategies" / f"{strategy}.py").write_text(
        "import numpy as np\n"
        "from abidance.strategy.base import BarStrategy, Signals\n"
        f"class {name}(BarStrategy):\n"
        "    def signals(self, bars):\n"
        f"        return Signals(target={STRATEGIES[strategy].format(decided=decided)})\n"
    )
    own = StrategyConfig(
        strategy=name, allow_short=True, sizing=SizingConfig(method="fixed_quantity", quantity=0.05)
    )
    return RunConfig(
        **{
            "instruments": (PERP,),
            "timeframe": "1h",
            "dry_run_wallet": 100_000.0,
            "strategies": (own,),
            **given,
        }
    )


def run(home: Path, strategy: str, **given: object) -> BacktestResult:
    return backtest(config(home, strategy, **given), catalog(home), home / "strategies")  # type: ignore[arg-type]


def owed(result: BacktestResult) -> float:
    """Return what a plain loop over the recorded rates says was received; fills at a rate's own moment come later."""
    total = 0.0
    for due, rate in rates().items():
        if not result.ts[0] <= due < result.ts[-1]:
            continue
        held = sum(float(f.quantity) * f.side.sign for f in result.fills if f.ts < due)
        mark = bars().close[int(np.searchsorted(bars().ts_close, due))]
        total += -held * float(mark) * rate
    return total


def received(result: BacktestResult) -> Decimal:
    return sum((trip.funding for trip in result.round_trips), Decimal(0))


@pytest.mark.parametrize("strategy", ["always_short", "always_long", "in_and_out"])
def test_funding_is_what_a_plain_loop_over_the_recorded_rates_gives(funded: Path, strategy: str) -> None:
    result = run(funded, strategy)

    assert abs(owed(result)) > 1
    assert float(received(result)) == pytest.approx(owed(result), abs=1e-6)
    assert result.costs["funding"] == pytest.approx(-owed(result), abs=1e-6)


def test_longs_pay_and_shorts_receive_while_rates_are_positive(funded: Path) -> None:
    assert min(rates().values()) > 0
    assert run(funded, "always_long").costs["funding"] > 0
    assert run(funded, "always_short").costs["funding"] < 0


def test_the_equity_holds_the_funding_to_the_last_unit(funded: Path, tmp_path: Path) -> None:
    paid = run(funded, "always_short")
    bare = tmp_path / "bare"
    (bare / "strategies").mkdir(parents=True)
    BarStore(bare / "data").write(bars())

    free = run(bare, "always_short")

    assert paid.fills
    assert [f.price for f in paid.fills] == [f.price for f in free.fills]
    assert paid.equity[-1] - free.equity[-1] == pytest.approx(float(received(paid)), abs=1e-6)
    assert sum(float(t.pnl) for t in paid.round_trips) == pytest.approx(
        paid.equity[-1] - paid.start_equity, abs=1e-6
    )


@pytest.mark.parametrize(("hours_before", "pays"), [(3, False), (2, True), (1, False), (0, False)])
def test_who_holds_for_one_hour_pays_only_if_funding_ends_that_hour(
    funded: Path, hours_before: int, pays: bool
) -> None:
    due = MARCH + 5 * 24 * HOUR + 8 * HOUR

    result = run(funded, "one_hour", decided=due - hours_before * HOUR)

    entry, leave = result.fills
    assert (entry.ts, leave.ts) == (due - (hours_before - 1) * HOUR, due - (hours_before - 2) * HOUR)
    assert (received(result) != 0) is pays


def test_several_rates_of_one_daily_bar_are_all_paid_at_its_close(funded: Path) -> None:
    daily = bars().higher("1d")

    result = run(funded, "always_long", timeframe="1d")

    (trip,) = result.round_trips
    closes = dict(zip(daily.ts_close.tolist(), daily.close.tolist(), strict=True))
    after = [due for due in rates() if trip.ts_entry < due < daily.ts_close[-1]]
    days = [-(-due // (24 * HOUR)) * 24 * HOUR for due in after]
    expected = -sum(
        0.05 * closes[day] * rates()[due] for due, day in zip(after, days, strict=True) if day in closes
    )
    assert len(after) > 80
    assert float(trip.funding) == pytest.approx(expected, abs=1e-6)


def test_finer_bars_mark_and_fill_when_they_drive(funded: Path) -> None:
    minutes = np.arange(0, 60, 15)
    ts = (bars().ts[:, None] + minutes * 60 * 10**9).ravel()
    quarter = [np.repeat(column, 4) for column in bars().columns()]
    BarStore(funded / "data").write(Bars(PERP, "15m", ts, quarter))

    result = run(funded, "in_and_out", detail_timeframe="15m")

    assert float(received(result)) == pytest.approx(owed(result), abs=1e-6)


def test_without_rates_nothing_is_paid_and_the_run_says_so(home: Path) -> None:
    result = run(home, "always_long")

    (notice,) = [notice for notice in result.notices if notice.code == DATA_NOTICE]
    assert result.costs["funding"] == 0
    assert notice.level == "info"
    assert f"No funding rates are stored for {PERP}" in notice.text
    assert f"import-data FILE --instrument {PERP} --funding" in notice.text


def test_with_all_rates_there_is_nothing_to_say(funded: Path) -> None:
    assert [notice for notice in run(funded, "always_long").notices if notice.code == DATA_NOTICE] == []


def test_rates_that_cover_a_part_of_the_run_are_told(home: Path) -> None:
    some = {due: rate for due, rate in rates().items() if due < MARCH + 10 * 24 * HOUR}
    FundingStore(home / "data").write(Funding(PERP, np.array(list(some)), np.array(list(some.values()))))

    result = run(home, "always_long")

    (notice,) = [notice for notice in result.notices if notice.code == DATA_NOTICE]
    assert "from 2024-03-10 16:00 to 2024-04-01 00:00" in notice.text
    assert result.costs["funding"] > 0


def test_spot_pairs_and_references_have_no_funding_to_miss(home: Path) -> None:
    class Deaf(Catalog):
        def funding(
            self, instrument: str, start: int | None = None, end: int | None = None
        ) -> Funding | None:
            raise AssertionError(instrument)

    run = RunConfig(
        instruments=("BTC/USDT@BINANCE",),
        timerange="20240301-20240310",
        strategies=(StrategyConfig(strategy="EmaCross"),),
    )

    assert gather(run, Deaf(BarStore(home / "data")), None).funding == {}


def test_the_fingerprint_knows_the_funding(funded: Path) -> None:
    before = run(funded, "always_long").fingerprint
    due, rate = next(iter(rates().items()))
    changed = Funding(PERP, np.array([due]), np.array([rate * 2]))

    FundingStore(funded / "data").write(changed, replace=True)

    assert run(funded, "always_long").fingerprint != before


def test_the_json_and_the_report_show_what_was_paid(funded: Path, tmp_path: Path) -> None:
    result = run(funded, "always_long")
    metrics = metrics_of(result)

    document = json.loads(to_json(result, *metrics))
    page = write_report(result, tmp_path / "report.html", metrics=metrics, command="").read_text()

    assert document["metrics"]["funding"] == pytest.approx(-owed(result), abs=1e-6)
    assert document["round_trips"][0]["funding"] == pytest.approx(owed(result), abs=1e-6)
    assert f"{-owed(result):,.2f}" in page.split("Funding paid")[1][:200]


def test_the_json_holds_what_the_run_said_about_its_data(home: Path) -> None:
    result = run(home, "always_long")

    (notice,) = json.loads(to_json(result, *metrics_of(result)))["notices"]

    assert (notice["level"], notice["code"]) == ("info", DATA_NOTICE)


def digest(run: RunConfig, home: Path, *, journaled: bool) -> str:
    """Return the digest of a run whose pump takes events as a journaled run does, one by one, or in bulk."""
    material = gather(run, catalog(home), home / "strategies")
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=None, isolate=False)
    recorder = Recorder(core.engine, tuple(material.strategies))
    pump = Pump(core.engine, core.venue, observe=recorder.observe)
    for opening in core.opening:
        pump.step(opening)
    if journaled:
        for event in material.replay().events():
            pump.market(event)
    else:
        pump.run(material.replay().events())
    return recorder.digest.hexdigest()


def test_the_outcomes_of_a_journaled_run_are_those_of_a_backtest(funded: Path) -> None:
    run = config(funded, "in_and_out", timerange="20240301-20240308")

    assert digest(run, funded, journaled=True) == digest(run, funded, journaled=False)


# --- paper


def after(count: int) -> Iterator[bool]:
    """Yield what `stop` says: True from the `count`-th market event on."""
    while True:
        count -= 1
        yield count <= 0


def on_paper(home: Path, run: RunConfig, events: int | None = None) -> tuple[bool, BacktestResult]:
    """Run on paper until the end or for so many events more."""
    asked = after(events) if events is not None else None

    def watch(_: Moment) -> None: ...

    with Paper(run, catalog(home), home / "strategies", home / "bot") as paper:
        is_over = paper.run(0, lambda: next(asked) if asked is not None else False, watch)
        return is_over, paper.result()


def essence(result: BacktestResult) -> tuple[object, ...]:
    fills = [(f.ts, f.side, f.price, f.quantity, f.fee) for f in result.fills]
    trips = [(t.ts_entry, t.pnl, t.funding) for t in result.round_trips]
    return fills, trips, result.ts.tolist(), result.equity.tolist(), dict(result.costs)


def test_paper_trading_pays_what_the_backtest_pays(funded: Path) -> None:
    run = config(funded, "in_and_out", timerange="20240301-20240308")

    is_over, paper = on_paper(funded, run)

    assert is_over
    assert paper.costs["funding"] != 0
    assert essence(paper) == essence(backtest(run, catalog(funded), funded / "strategies"))


def test_a_paper_run_stopped_after_every_event_pays_each_rate_once(funded: Path) -> None:
    run = config(funded, "in_and_out", timerange="20240301-20240304")
    events = len(list(gather(run, catalog(funded), funded / "strategies").replay().events()))

    sessions = 1
    while not (last := on_paper(funded, run, events=1))[0]:
        sessions += 1

    assert events == 72 + 8  # no rate at the start, nor at the end
    assert sessions >= events
    assert essence(last[1]) == essence(backtest(run, catalog(funded), funded / "strategies"))


def test_a_paper_run_killed_in_the_middle_of_a_rate_goes_on_as_if_it_had_not_been(funded: Path) -> None:
    run = config(funded, "always_short", timerange="20240301-20240303")
    on_paper(funded, run)
    journal = funded / "bot" / JOURNAL
    whole = journal.read_bytes()
    expected = essence(backtest(run, catalog(funded), funded / "strategies"))

    for cut in range(len(whole) - 1, len(whole) // 2, -41):
        journal.write_bytes(whole[:cut])
        is_over, result = on_paper(funded, run)

        assert is_over
        assert essence(result) == expected

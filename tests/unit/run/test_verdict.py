"""Whole verdicts: luck is called luck, a planted edge is seen, and what cannot be judged is told."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from abidance.backtest.parity import first_difference
from abidance.engine.config import StrategyConfig
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import AbidanceError, DataError, UsageError
from abidance.research.trials import Trial, TrialCounter
from abidance.research.validate import Mark, Verdict
from abidance.run.backtest import backtest, play, result_of
from abidance.run.config import RunConfig
from abidance.run.reruns import Reruns
from abidance.run.setup import assemble, gather
from abidance.run.verdict import Settings, judge
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

BTC = "BTC/USDT@BINANCE"
HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
COIN = '''"""Strategies that look at nothing."""

import numpy as np

from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class Coin(BarStrategy):
    """Toss a coin every twelve bars."""

    seed = Parameter(1, 1, 100_000)

    def signals(self, bars):
        target = np.full(len(bars), np.nan)
        tosses = np.random.default_rng(self.seed).integers(0, 2, -(-len(bars) // 12))
        target[::12] = tosses
        return Signals(target)


class Never(BarStrategy):
    """Never trade."""

    def signals(self, bars):
        return Signals(np.full(len(bars), np.nan))
'''


class Market:
    """Serves bars that a test made."""

    def __init__(self, close: np.ndarray) -> None:
        open_ = np.r_[close[0], close[:-1]]
        high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
        ts = START + np.arange(len(close), dtype=np.int64) * HOUR
        self.bars = Bars(BTC, "1h", ts, (open_, high, low, close, np.full(len(close), 5_000.0)))

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        low = 0 if start is None else int(np.searchsorted(self.bars.ts, start))
        high = len(self.bars) if end is None else int(np.searchsorted(self.bars.ts, end))
        return self.bars.slice(low, high)

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return None


def random_walk(days: int, seed: int) -> Market:
    steps = np.random.default_rng(seed).normal(0, 0.006, days * 24)
    return Market(40_000 * np.exp(np.cumsum(steps)))


def trending(days: int, seed: int) -> Market:
    """Serve a price that drifts up and down in turns of ten days or so: an edge for whoever follows it."""
    draw = np.random.default_rng(seed)
    turns = np.concatenate(
        [np.full(draw.integers(160, 320), side) for _ in range(days // 8) for side in (1, -1)]
    )
    return Market(40_000 * np.exp(np.cumsum(0.0012 * turns[: days * 24] + draw.normal(0, 0.006, days * 24))))


def config(strategy: str, **given: object) -> RunConfig:
    parameters = given.pop("parameters", {})
    strategies = (StrategyConfig(strategy=strategy, parameters=parameters),)
    return RunConfig(instruments=(BTC,), strategies=strategies, **given)


def marks(verdict: Verdict) -> dict[str, Mark]:
    return {check.key: check.mark for check in verdict.checks}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "coin.py").write_text(COIN, "utf-8")
    return tmp_path


FREE = VenueConfig(
    fees=(FeeTier(volume=0, maker=0, taker=0),), slippage=SlippageConfig(spread=0, fixed=0, volume_share=0)
)
QUICK = Settings(variants=8, permutations=39, noise=5)


@pytest.mark.slow
def test_the_best_of_two_hundred_coins_on_a_random_walk_does_not_pass(folder: Path) -> None:
    market, counter = random_walk(100, 3), TrialCounter(folder)
    best = (-np.inf, 0)
    for seed in range(1, 201):
        trial = Trial.of(backtest(config("Coin", parameters={"seed": seed}, venue=FREE), market, folder))
        assert trial is not None
        counter.count(trial)
        best = max(best, (trial.sharpe, seed))
    chosen = config("Coin", parameters={"seed": best[1]}, venue=FREE)

    found = judge(chosen, market, folder, counter=counter, settings=QUICK)

    skill, luck = (next(c for c in found.checks if c.key == key) for key in ("skill", "luck"))
    assert found.mark is Mark.FAIL
    assert skill.mark is Mark.PASS  # it fools whoever does not know how many were tried
    assert luck.mark is Mark.FAIL
    assert luck.figures["trials"] == 200
    assert "best of 200 trials without skill" in luck.sentence
    assert len(counter.tried(str(folder / "coin.py"), found.fingerprint)) == 0
    assert len(counter.tried("Coin", found.fingerprint)) == 200


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_trend_follower_on_a_random_walk_does_not_pass(seed: int) -> None:
    found = judge(config("EmaCross"), random_walk(200, seed), settings=QUICK)

    assert found.mark is Mark.FAIL


@cache
def planted() -> Verdict:
    return judge(config("EmaCross"), trending(400, 2), settings=QUICK)


def test_a_planted_edge_passes() -> None:
    found = planted()

    assert {key: mark for key, mark in marks(found).items() if mark is not Mark.PASS} == {}
    assert found.mark is Mark.PASS


def test_equal_seeds_give_equal_verdicts_and_other_seeds_other_numbers() -> None:
    again = judge(config("EmaCross"), trending(400, 2), settings=QUICK)
    other = judge(config("EmaCross"), trending(400, 2), settings=Settings(9, 8, 39, 5))

    assert again == planted()
    assert other != again


def test_a_strategy_without_parameters_is_judged_by_what_is_left() -> None:
    found = marks(judge(config("BuyAndHold"), random_walk(100, 1), settings=QUICK))

    skipped = {key for key, mark in found.items() if mark is Mark.SKIP}
    assert {"neighbours", "overfitting", "paths"} <= skipped
    assert {"skill", "luck", "costs", "noise", "anchored"}.isdisjoint(skipped)


def test_an_event_strategy_is_judged_and_its_timing_approximated() -> None:
    given = {"levels": 8, "step": 0.005}

    found = judge(config("Grid", parameters=given), random_walk(120, 5), settings=QUICK)

    timing = next(check for check in found.checks if check.key == "timing")
    assert "approximated from its positions" in timing.sentence
    assert "decides on events" in str(found.details["fallback"])
    assert timing.mark is not Mark.SKIP


def test_stated_trials_deflate_as_counted_ones_do() -> None:
    market = trending(100, 4)

    alone, many = (
        next(c for c in judge(config("EmaCross"), market, settings=settings).checks if c.key == "luck")
        for settings in (
            Settings(variants=8, permutations=0, noise=0),
            Settings(variants=8, permutations=0, noise=0, trials=5_000),
        )
    )

    assert alone.figures["luck"] == 0
    assert many.figures["trials"] == 5_000
    assert (many.figures["probability"] or 0) < (alone.figures["probability"] or 0)


def test_progress_counts_every_run_up_to_the_total() -> None:
    told: list[tuple[int, int]] = []

    found = judge(
        config("EmaCross"), random_walk(100, 1), settings=QUICK, progress=lambda *at: told.append(at)
    )

    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(done <= total for done, total in told)
    assert found.details["runs"] == len(told)


@pytest.mark.parametrize(
    ("run", "market", "kind", "told"),
    [
        (config("EmaCross"), random_walk(40, 1), DataError, "40 days are too few for a verdict"),
        (config("Never"), random_walk(100, 1), UsageError, "Never traded nothing on these bars"),
        (
            config("EmaCross", dry_run_wallet=0.01),
            random_walk(100, 1),
            UsageError,
            "EmaCross traded nothing on these bars",
        ),
    ],
)
def test_what_cannot_be_judged_is_told_in_one_sentence(
    run: RunConfig, market: Market, kind: type[AbidanceError], told: str, folder: Path
) -> None:
    with pytest.raises(kind, match=told) as error:
        judge(run, market, folder, settings=QUICK)

    assert error.value.remedy


def test_a_metric_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="no metric 'luck'"):
        Settings(metric="luck")


def test_a_hole_of_months_in_the_bars_takes_away_what_cannot_be_judged_and_says_so() -> None:
    market = random_walk(200, 1)
    kept = np.r_[0:1_500, 4_000:4_800]
    market.bars = Bars(BTC, "1h", market.bars.ts[kept], [column[kept] for column in market.bars.columns()])

    found = judge(config("EmaCross"), market, settings=QUICK)

    (anchored,) = [check for check in found.checks if check.key == "anchored"]
    assert anchored.mark is Mark.SKIP
    assert anchored.sentence.startswith("There are no bars of BTC/USDT@BINANCE 1h from 2024-")


def test_days_trades_and_disturbed_prices_each_have_a_band_that_widens_from_one() -> None:
    found = planted()

    fans = found.details["fans"]
    assert isinstance(fans, dict)
    assert set(fans) == {"resampled", "shuffled", "noise"}
    for fan in fans.values():
        low, middle, high = (np.array(line) for line in fan["bands"])
        assert low[0] == high[0] == fan["own"][0] == 1.0
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (low < high).any()
    ends = [line[-1] for line in fans["shuffled"]["bands"]]
    assert ends == pytest.approx(
        [fans["shuffled"]["own"][-1]] * 3
    )  # whatever the order, they come to the same
    noise, falls = (next(c for c in found.checks if c.key == key).figures for key in ("noise", "falls"))
    assert (noise["low"] or 0) < (noise["high"] or 0)
    assert (falls["shuffled_deep"] or 0) < (falls["shuffled_shallow"] or 0) < 0


DAY = np.timedelta64(1, "D")


def test_choosing_and_judging_stay_as_far_apart_as_asked_and_every_day_is_judged() -> None:
    asked = Settings(variants=6, permutations=0, noise=0, folds=4, groups=6, purge=3, embargo=5)

    found = judge(config("EmaCross"), trending(240, 2), settings=asked)

    walks = found.details["walks"]
    assert isinstance(walks, dict)
    assert found.details["splits"] == {
        "folds": 4, "groups": 6, "tested": 2, "purged_days": 3, "embargoed_days": 5
    }  # fmt: skip
    for name in ("anchored", "rolling"):
        for step in walks[name]:
            ((_, last),) = step["train"]
            assert np.datetime64(step["test"][0]) - np.datetime64(last) == 8 * DAY
    folds = walks["cross-validated"]
    tests = [[np.datetime64(edge) for edge in step["test"]] for step in folds]
    assert [start for start, _ in tests[1:]] == [end for _, end in tests[:-1]]
    assert tests[-1][1] - tests[0][0] == 240 * DAY
    for step, (start, end) in zip(folds, tests, strict=True):
        sides = [[np.datetime64(edge) for edge in span] for span in step["train"]]
        assert all(last <= start - 3 * DAY or first >= end + 8 * DAY for first, last in sides)
    (paths,) = [check for check in found.checks if check.key == "paths"]
    assert "Over 5 out-of-sample paths" in paths.sentence


def test_splits_that_the_days_do_not_allow_are_left_out_with_one_sentence() -> None:
    asked = Settings(variants=4, permutations=0, noise=0, purge=40)

    found = judge(config("EmaCross"), random_walk(100, 1), settings=asked)

    skipped = {check.key: check.sentence for check in found.checks if check.mark is Mark.SKIP}
    assert {"anchored", "rolling", "folds", "paths"} <= skipped.keys()
    assert "100 periods are too few for a walk of 5 folds with 40 purged" in skipped["anchored"]
    assert "100 periods are too few for 8 groups with 40 purged" in skipped["paths"]


def test_so_many_folds_or_groups_cannot_be() -> None:
    with pytest.raises(UsageError, match="1 folds"):
        Settings(folds=1)
    with pytest.raises(UsageError, match="13 groups"):
        Settings(groups=13)


# --- the runs that a verdict is made of


def reruns(run: RunConfig, market: Market | Catalog) -> Reruns:
    return Reruns(gather(run, market, None), lambda: None)


def test_a_rerun_without_any_change_is_the_backtest_itself() -> None:
    run, market = config("EmaCross"), random_walk(60, 1)
    made = reruns(run, market)

    plain, again = backtest(run, market), made.run(made.material)

    assert again.equity.tolist() == plain.equity.tolist()
    assert again.fingerprint == plain.fingerprint
    assert made.run(made.with_costs(1.0)).equity.tolist() == plain.equity.tolist()
    assert made.run(made.with_shift(0)).equity.tolist() == plain.equity.tolist()


def test_runs_are_made_in_compiled_code_and_are_those_of_the_event_engine() -> None:
    exits = ExitsConfig(stop_loss=0.03, trailing_stop=0.05)
    strategy = StrategyConfig(strategy="EmaCross", parameters={"fast": 5, "slow": 20}, exits=exits)
    made = reruns(RunConfig(instruments=(BTC,), strategies=(strategy,)), random_walk(60, 1))
    wanted = (
        made.material,
        made.with_costs(3.0),
        made.with_shift(77),
        made.with_noise(0.25, np.random.default_rng(3)),
        made.within(made.material, (made.days[0] + 20, made.days[0] + 50)),
    )

    for material in wanted:
        found = made.run(material)

        core = assemble(material, OrderIds(0, 0, b"backtest").make, tape=material.bars, isolate=False)
        truth = result_of(material, core, play(material, core), {})
        assert len(truth.fills) > 10
        assert first_difference(truth, found) is None
    assert not made.fallback


def test_costs_are_paid_as_often_as_asked_and_rebates_stay() -> None:
    fees = (FeeTier(volume=0, maker=-0.0001, taker=0.0005),)
    made = reruns(config("EmaCross", venues={"BINANCE": VenueConfig(fees=fees)}), random_walk(60, 1))

    free, double = (made.with_costs(factor).config.venue_of("BINANCE") for factor in (0.0, 2.0))

    assert (free.fees[0].maker, free.fees[0].taker, free.slippage.spread) == (-0.0001, 0.0, 0.0)
    assert (double.fees[0].taker, double.slippage.volume_share) == (0.001, 0.2)
    usual = made.run(made.material).costs["slippage"]
    assert made.run(made.with_costs(0.0)).costs["slippage"] == pytest.approx(
        0.0, abs=usual / 100
    )  # up to a tick


def test_a_stretch_is_run_as_if_trading_began_there_with_strategies_warm() -> None:
    market = random_walk(120, 1)
    run = config("EmaCross", timerange="20240210-20240301")
    whole = reruns(config("EmaCross"), market)
    first = START // (24 * HOUR)

    cut = whole.run(whole.within(whole.material, (first + 40, first + 60)))
    asked = backtest(run, market)

    assert cut.ts.tolist() == asked.ts.tolist()
    assert cut.equity.tolist() == asked.equity.tolist()
    assert cut.fills


def test_longer_bars_are_disturbed_as_the_shorter_ones_that_they_are_made_of() -> None:
    catalog = Catalog(BarStore(Path("no-store-here")))
    run = config("EmaCross", timeframe="4h", detail_timeframe="1h", timerange="20240101-20240201")
    made = reruns(run, catalog)

    moved = made.with_noise(0.25, np.random.default_rng(1)).bars

    detail, longer = moved[BTC, "1h"], moved[BTC, "4h"]
    built = detail.higher("4h")
    assert longer.close.tolist() == built.close.tolist()
    assert longer.high.tolist() == built.high.tolist()
    assert longer.close.tolist() != made.material.bars[BTC, "4h"].close.tolist()


@pytest.mark.parametrize(
    ("bars", "asked", "runs"),
    [
        (22_000, Settings(), (40, 200, 20)),
        (100_000, Settings(), (16, 45, 8)),
        (150_000, Settings(), (16, 0, 8)),
        (10_000_000, Settings(), (16, 0, 8)),
        (0, Settings(), (40, 200, 20)),
        (150_000, Settings(variants=0, permutations=60, noise=1), (0, 60, 1)),
    ],
)
def test_longer_runs_are_made_less_often_unless_asked_for(
    bars: int, asked: Settings, runs: tuple[int, int, int]
) -> None:
    found = asked.budget(bars)

    assert (found.variants, found.permutations, found.noise) == runs

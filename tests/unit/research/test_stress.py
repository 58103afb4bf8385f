"""Stresses: each does what its name says, keeps bars bars, and is read from text or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.quality import checked
from abidance.model.errors import UsageError
from abidance.research.stress import (
    Change,
    Crash,
    Fees,
    Gap,
    Halt,
    Latency,
    Liquidity,
    Slippage,
    Stress,
    Strike,
    Volatility,
    When,
    parse,
)
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig

HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000


def bars(size: int = 200, seed: int = 1) -> Bars:
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.02, size)))
    opens = np.r_[100.0, close[:-1]][:size]
    spread = draw.uniform(0, 0.01, size)
    high, low = np.maximum(opens, close) * (1 + spread), np.minimum(opens, close) * (1 - spread)
    ts = START + HOUR * np.arange(size, dtype=np.int64)
    return Bars("BTC/USDT@BINANCE", "1h", ts, (opens, high, low, close, draw.uniform(0, 9, size)))


strikes = st.one_of(
    st.builds(Crash, st.floats(0.001, 0.999), st.integers(1, 300), st.floats(0, 1)),
    st.builds(Gap, st.floats(-0.999, 10)),
    st.builds(Halt, st.integers(1, 300)),
)
changes = st.one_of(st.builds(Volatility, st.floats(0.01, 10)), st.builds(Liquidity, st.floats(0.001, 100)))


@settings(max_examples=80)
@given(
    size=st.integers(0, 120),
    seed=st.integers(0, 99),
    struck=st.lists(st.tuples(strikes, st.integers(-5, 130)), max_size=3),
    changed=st.lists(changes, max_size=2),
)
def test_bars_under_any_stress_are_bars_at_their_times(
    size: int, seed: int, struck: list[tuple[Strike, int]], changed: list[Change]
) -> None:
    before = bars(size, seed)
    copies = [column.copy() for column in before.columns()]
    stress = Stress("", tuple((strike, When()) for strike, _ in struck), tuple(changed))

    after = stress.bars(before, tuple(START + HOUR * at for _, at in struck))

    assert len(checked(after)) == len(after)
    halted = any(isinstance(strike, Halt) for strike, _ in struck)
    assert np.isin(after.ts, before.ts).all()
    assert halted or np.array_equal(after.ts, before.ts)
    assert all(np.array_equal(old, new) for old, new in zip(copies, before.columns(), strict=True))


def test_a_crash_falls_as_deep_and_as_long_as_said_and_comes_back_by_its_share() -> None:
    before = bars()

    after = Crash(0.4, bars=10, recovery=0.5).strike(before, START + 100 * HOUR)

    level = after.close / before.close
    assert level[:100] == pytest.approx(1.0)
    assert level[109] == pytest.approx(0.6)
    assert level[119:] == pytest.approx(0.8)
    assert np.all(np.diff(level[100:110]) < 0)
    assert np.array_equal(after.volume, before.volume)
    assert after.open[100] == pytest.approx(before.open[100])  # it falls inside bars, not between them
    assert after.open[105] / after.close[104] == pytest.approx(before.open[105] / before.close[104])


def test_a_gap_jumps_between_two_bars_and_stays() -> None:
    before = bars()

    after = Gap(-0.2).strike(before, START + 50 * HOUR)

    for old, new in zip(before.columns()[:4], after.columns()[:4], strict=True):
        assert new[:50] == pytest.approx(old[:50])
        assert new[50:] == pytest.approx(0.8 * old[50:])


def test_a_halt_takes_bars_out_and_changes_no_other() -> None:
    before = bars()

    after = Halt(12).strike(before, START + 50 * HOUR - 1)

    kept = np.r_[0:50, 62:200]
    assert np.array_equal(after.ts, before.ts[kept])
    assert np.array_equal(after.close, before.close[kept])


@pytest.mark.parametrize(("at", "left"), [(-10, 188), (195, 195), (500, 200)])
def test_a_halt_at_an_edge_takes_what_is_there(at: int, left: int) -> None:
    assert len(Halt(12).strike(bars(), START + at * HOUR)) == left


def test_volatility_multiplies_the_moves_and_keeps_both_ends() -> None:
    before = bars()

    after = Volatility(3.0).change(before)

    old, new = (np.diff(np.log(each.close)) for each in (before, after))
    assert new.std() == pytest.approx(3 * old.std())
    assert after.open[0] == pytest.approx(before.open[0])
    assert after.close[-1] == pytest.approx(before.close[-1])


def test_a_multiple_of_one_changes_nothing() -> None:
    before = bars()

    after = parse("volatility:1x,liquidity:1").bars(before, ())

    for old, new in zip(before.columns(), after.columns(), strict=True):
        assert new == pytest.approx(old)


def test_thin_liquidity_leaves_a_share_of_the_volume_and_all_prices() -> None:
    after = Liquidity(0.1).change(bars())

    assert after.volume == pytest.approx(bars().volume / 10)
    assert np.array_equal(after.close, bars().close)


def test_a_halt_inside_a_fall_does_not_stop_it() -> None:
    at = START + 100 * HOUR

    after = parse("crash:-0.5:10,halt:20").bars(bars(), (at, at + 2 * HOUR))

    assert after.ts[102] == START + 122 * HOUR
    assert after.close[102] == pytest.approx(bars().close[122] / 2)


def test_costs_multiply_at_a_venue_and_rebates_stay() -> None:
    fees = (FeeTier(volume=0, maker=-0.0001, taker=0.001), FeeTier(volume=5, maker=0.0002, taker=0.0005))
    venue = VenueConfig(
        fees=fees, slippage=SlippageConfig(spread=0.001, fixed=0.002, volume_share=0.1), latency_ms=5
    )

    found = parse("fees:3x,slippage:2x,latency:250ms").venue(venue)

    assert [tier.maker for tier in found.fees] == pytest.approx([-0.0001, 0.0006])
    assert [tier.taker for tier in found.fees] == pytest.approx([0.003, 0.0015])
    assert (found.slippage.spread, found.slippage.fixed, found.slippage.volume_share) == (0.002, 0.004, 0.2)
    assert found.latency_ms == 255
    assert venue.latency_ms == 5


@pytest.mark.parametrize("text", ["fees:100x,fees:100x", "slippage:100x,slippage:100x"])
def test_costs_beyond_the_whole_trade_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="takes"):
        parse(text).venue(VenueConfig())


# --- as text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Stress()),
        ("crash:-0.4", Stress("", ((Crash(0.4), When()),))),
        ("crash:0.4:6", Stress("", ((Crash(0.4, 6), When()),))),
        (
            "crash:-0.4:6:0.5@2024-03-01",
            Stress("", ((Crash(0.4, 6, 0.5), When(ts=1_709_251_200_000_000_000)),)),
        ),
        ("gap:+0.1@50%", Stress("", ((Gap(0.1), When(share=0.5)),))),
        ("halt:12@20240301", Stress("", ((Halt(12), When(ts=1_709_251_200_000_000_000)),))),
        (" Fees:2x , volatility:1.5", Stress("", changes=(Volatility(1.5),), costs=(Fees(2.0),))),
        ("liquidity:0.1x,slippage:3", Stress("", changes=(Liquidity(0.1),), costs=(Slippage(3.0),))),
        ("latency:500ms,latency:2s", Stress("", costs=(Latency(500), Latency(2_000)))),
    ],
)
def test_stresses_are_read_from_text(text: str, expected: Stress) -> None:
    found = parse(text)

    assert found == Stress(text.strip(), expected.strikes, expected.changes, expected.costs)


@pytest.mark.parametrize(
    "text",
    [
        ",", "fees:2x,,halt:3", "crsh:-0.4", "crash", "crash:", "crash:0", "crash:-1", "crash:1.5", "crash:-0.4:0",
        "crash:-0.4:1.5", "crash:-0.4:6:2", "crash:-0.4:6:0.5:1", "crash:-0.4@", "crash:-0.4@soon", "crash:-0.4@101%",
        "crash:-0.4@1600-01-01", "crash:-0.4@9999-01-01", "gap:0", "gap:-1", "gap:11", "halt:0", "halt:-3", "halt:1e3",
        "halt:9999999", "volatility:0x", "volatility:nan", "volatility:11x", "volatility:inf", "liquidity:0",
        "fees:-1x", "fees:1_0x", "fees:2x@50%", "fees:٣x", "latency:fast", "latency:-5ms", "latency:1e9s", "\x1b[31m:1",
    ],
)  # fmt: skip
def test_a_text_that_is_no_stress_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)

    assert refused.value.found.endswith(".")
    assert refused.value.remedy


def test_a_near_miss_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean volatility"):
        parse("volatilty:2x")

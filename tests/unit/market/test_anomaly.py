"""What the anomaly detector calls unlikely, what it lets pass, and that it says a thing once."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from abidance.market.anomaly import AnomalyDetector, AnomalyRule
from abidance.market.feed import QuoteReplay, TradeReplay
from abidance.model.errors import UsageError
from abidance.model.market import Anomaly, Quote, Trade
from tests.unit.market.series import BTC, NEW_YEAR

SECOND = 1_000_000_000
SHARED = Path(__file__).parents[4] / "shared" / "data"
USUAL = [100.0, 100.02, 99.99, 100.01, 99.98, 100.03]


def trade(second: float, price: float, size: float = 1.0) -> Trade:
    return Trade(NEW_YEAR + int(second * SECOND), BTC, price, size, True)


def quote(second: float, spread: float = 0.02, mid: float = 100.0) -> Quote:
    return Quote(NEW_YEAR + int(second * SECOND), BTC, mid - spread / 2, 1.0, mid + spread / 2, 1.0)


def a_calm_market(seconds: int = 1_000) -> list[Trade | Quote]:
    return [
        event
        for at in range(seconds)
        for event in (trade(at, USUAL[at % 6], 1.0 + at % 3), quote(at + 0.5, 0.02 + at % 2 / 100))
    ]


def told(detector: AnomalyDetector, events: Iterable[Trade | Quote]) -> list[Anomaly]:
    return [anomaly for event in events for anomaly in detector.take(event)]


def test_a_calm_market_is_not_remarked_upon() -> None:
    assert told(AnomalyDetector(BTC), a_calm_market()) == []


def test_a_jump_of_the_price_is_told_with_its_size_and_score() -> None:
    detector = AnomalyDetector(BTC)
    told(detector, a_calm_market())

    (jump,) = told(detector, [trade(1_000, 97.0)])

    assert (jump.code, jump.instrument, jump.ts) == ("price_jump", BTC, NEW_YEAR + 1_000 * SECOND)
    assert jump.score > 12
    assert "-3." in jump.text


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (trade(1_000, 110.0), "price_jump"),
        (quote(1_000, 1.5), "spread_blowout"),
        (trade(1_000, 100.0, 5_000.0), "volume_burst"),
        (trade(1_100, 100.01), "stuck_price"),
    ],
)
def test_each_kind_is_told_once_within_the_quiet_time(event: Trade | Quote, code: str) -> None:
    detector = AnomalyDetector(BTC)
    told(detector, a_calm_market())

    first, again = told(detector, [event]), told(detector, [event])

    assert [anomaly.code for anomaly in first if anomaly.code == code] == [code]
    assert [anomaly.code for anomaly in again if anomaly.code == code] == []


def test_a_price_that_stands_still_is_told_by_the_clock_alone() -> None:
    detector = AnomalyDetector(BTC)
    told(detector, a_calm_market())

    early = detector.advance(NEW_YEAR + 1_050 * SECOND)
    (stuck,) = detector.advance(NEW_YEAR + 1_061 * SECOND)

    assert early == []
    assert (stuck.code, stuck.text[:35]) == ("stuck_price", "The price has not moved for 62 s, 6")


def test_nothing_is_called_unlikely_before_the_usual_is_known() -> None:
    detector = AnomalyDetector(BTC)

    assert told(detector, [trade(0, 1.0), trade(1, 1_000.0, 1e9), quote(2, 90.0), trade(9_999, 1e-6)]) == []


def test_what_cannot_be_is_neither_told_nor_learnt() -> None:
    nan = float("nan")
    broken: list[Trade | Quote] = [
        trade(500, nan),
        trade(500, 1, 1e308),
        trade(500, 1e300),
        trade(500, -1),
        trade(500, 1, nan),
        quote(500, -4.0),
        quote(500, nan),
    ]

    detector, untouched = AnomalyDetector(BTC), AnomalyDetector(BTC)
    first = told(detector, a_calm_market()) + told(detector, broken) + told(detector, [trade(1_000, 97.0)])
    second = told(untouched, a_calm_market()) + told(untouched, [trade(1_000, 97.0)])

    assert first == second


def test_one_shock_does_not_become_the_usual() -> None:
    detector = AnomalyDetector(BTC)
    told(detector, a_calm_market())
    told(detector, [trade(1_000, 90.0), *(trade(1_001 + at, 90.0 + at % 2 / 100) for at in range(200))])

    later = told(detector, [trade(1_300, 85.0)])

    assert "price_jump" in [anomaly.code for anomaly in later]


def test_a_rule_without_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="not above 0"):
        AnomalyRule(price_jump=0.0)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded market data in {SHARED}")
@pytest.mark.parametrize("name", ["binance_usdm_BTCUSDT_20240808", "binance_spot_BTCUSDT_20240809"])
def test_minutes_of_a_liquid_market_give_at_most_one_anomaly(name: str) -> None:
    trades = TradeReplay(BTC, SHARED / f"trades/{name}.parquet").events()
    quotes = QuoteReplay(BTC, SHARED / f"books/{name}_bookticker.parquet").events()

    found = told(AnomalyDetector(BTC), sorted([*trades, *quotes], key=lambda event: event.ts))

    assert len(found) <= 1

"""Trading rules: the bundled table, and the guess for everything else."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.reference import Source, infer, instrument, known, resolve
from abidance.market.store.catalog import _sample
from abidance.model.errors import UsageError
from tests.unit.market.series import NEW_YEAR, a_series

COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE")


def test_the_table_holds_the_seven_coins_on_five_venues_and_four_of_them_with_perpetuals() -> None:
    expected = {
        f"{coin}/USDT@{venue}" for coin in COINS for venue in ("BINANCE", "KRAKEN", "KUCOIN", "BYBIT", "MEXC")
    }
    expected |= {f"{coin}/USD@KRAKEN" for coin in COINS}
    expected |= {
        f"{coin}/USDT:USDT@{venue}" for coin in COINS for venue in ("BINANCE", "KUCOIN", "BYBIT", "MEXC")
    }

    assert set(known()) == expected


@pytest.mark.parametrize("id", known())
def test_every_row_of_the_table_is_a_sound_instrument(id: str) -> None:
    found = instrument(id)

    assert found.id == id
    assert found.tick > 0
    assert found.lot > 0
    assert found.min_quantity >= found.lot
    assert found.min_quantity % found.lot == 0
    assert found.min_notional >= 0
    assert found.is_perpetual == (found.maintenance > 0) == (found.max_leverage > 1)
    # A position opened at full leverage must not be liquidated at once.
    assert found.maintenance * found.max_leverage < 1


def test_listed_rules_are_those_of_the_venue() -> None:
    btc, doge, contract = map(instrument, ("BTC/USDT@BINANCE", "DOGE/USDT@BINANCE", "BTC/USDT:USDT@KUCOIN"))

    assert (btc.tick, btc.lot, btc.min_notional) == (Decimal("0.01"), Decimal("0.00001"), Decimal(5))
    assert (doge.tick, doge.lot) == (Decimal("0.00001"), Decimal(1))
    assert (contract.lot, contract.max_leverage) == (Decimal("0.001"), Decimal(125))


@pytest.mark.parametrize("coin", COINS)
def test_every_bundled_price_is_a_multiple_of_the_tick(coin: str) -> None:
    bars = _sample()[f"{coin}/USDT@BINANCE", "1h"]
    tick = instrument(bars.instrument).tick

    ratio = np.vstack(bars.columns()[:4]) / float(tick)

    assert np.abs(ratio - np.round(ratio)).max() < 1e-4


@pytest.mark.parametrize("coin", COINS)
def test_the_tick_inferred_from_the_bundled_prices_is_the_tables(coin: str) -> None:
    bars = _sample()[f"{coin}/USDT@BINANCE", "1h"]

    guess = infer(bars.instrument, bars)

    assert guess.tick == instrument(bars.instrument).tick


def test_rules_say_where_they_come_from() -> None:
    listed, typical = resolve("BTC/USDT@BINANCE"), resolve("SOL/USD@KRAKEN")
    guessed = resolve("PEPE/USDT@BINANCE", a_series(instrument="PEPE/USDT@BINANCE"))

    assert (listed.source, listed.notice) == (Source.LISTED, "")
    assert typical.source is Source.TYPICAL
    assert "typical of its venue" in typical.notice
    assert guessed.source is Source.INFERRED
    assert "PEPE/USDT@BINANCE are inferred from its prices" in guessed.notice
    assert guessed.instrument.min_notional == 5


def test_a_perpetual_that_is_not_known_gets_leverage_and_maintenance() -> None:
    id = "PEPE/USDT:USDT@BYBIT"

    guess = infer(id, a_series(instrument=id))

    assert guess.max_leverage > 1
    assert 0 < guess.maintenance * guess.max_leverage < 1


@given(decimals=st.integers(0, 8), counts=st.lists(st.integers(1, 10**7), min_size=1, max_size=50))
def test_an_inferred_tick_divides_every_price_it_was_inferred_from(decimals: int, counts: list[int]) -> None:
    prices = np.array([float(Decimal(count).scaleb(-decimals)) for count in counts])
    ts = NEW_YEAR + np.arange(len(prices), dtype=np.int64)

    tick = infer("A/B@C", Bars("A/B@C", "1h", ts, [prices] * 5)).tick

    assert all(Decimal(count).scaleb(-decimals) % tick == 0 for count in counts)
    assert tick >= Decimal(1).scaleb(-decimals)


def test_noise_in_the_last_digits_does_not_make_a_finer_tick() -> None:
    prices = np.array([0.1 + 0.2, 0.7 * 3, 1.1 * 1.1])

    tick = infer("A/B@C", Bars("A/B@C", "1h", NEW_YEAR + np.arange(3), [prices] * 5)).tick

    assert tick == Decimal("0.01")


@pytest.mark.parametrize(
    ("id", "hint"),
    [
        ("btc/usdt@binance", "Did you mean BTC/USDT@BINANCE"),
        ("BTCUSDT@BINANCE", "BTC/USDT@BINANCE"),
        ("BTC/USDT@BINNANCE", "BTC/USDT@BINANCE"),
        ("", "Write BASE/QUOTE@VENUE"),
        ("../../x", "Write BASE/QUOTE@VENUE"),
        ("QQQQQQ/ZZZ@Y", "Import its bars"),
    ],
)
def test_an_id_that_is_not_known_gets_near_matches_or_a_remedy(id: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        instrument(id)

    assert hint in error.value.remedy


def test_nothing_is_inferred_from_no_bars() -> None:
    with pytest.raises(UsageError, match="without a single bar"):
        infer("PEPE/USDT@BINANCE", a_series(0))

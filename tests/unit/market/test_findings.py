"""What is odd in a series and where, how its holes are filled, and that the ledger remembers both."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from abidance.market.bars import FIELDS, Bars
from abidance.market.findings import FindingKind, disagreements, findings, reuses
from abidance.market.ledger import Ledger, load, review, save
from abidance.market.repair import Mark, Policy, repair
from abidance.market.store import BarStore, show
from abidance.model.errors import DataError
from tests.unit.market.series import BTC, NEW_YEAR, a_series, changed

HOUR = 3_600_000_000_000
KRAKEN = "BTC/USDT@KRAKEN"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "candles"


def scaled(bars: Bars, factor: float, instrument: str = KRAKEN) -> Bars:
    columns = (*(column * factor for column in bars.columns()[:4]), bars.volume)
    return Bars(instrument, bars.timeframe, bars.ts, columns)


def same_rows(bars: Bars, rows: slice) -> Bars:
    """Return bars of which some repeat the first of them."""
    columns = [column.copy() for column in bars.columns()]
    for column in columns:
        column[rows] = column[rows.start]
    return Bars(bars.instrument, bars.timeframe, bars.ts, columns)


def test_a_sound_series_has_nothing_odd() -> None:
    assert findings(a_series(2_000)) == []


def test_a_spike_is_found_with_its_bar() -> None:
    bars = changed(a_series(600, price=1_000.0), "high", 300, 2_000.0)

    (found,) = findings(bars)

    assert (found.kind, found.ts, found.bars) == (FindingKind.OUTLIER, NEW_YEAR + 300 * HOUR, 1)
    assert found.text.startswith("A wick of +99")


def test_a_feed_that_repeats_itself_is_found() -> None:
    bars = same_rows(a_series(600), slice(100, 120))

    (found,) = [each for each in findings(bars) if each.kind is FindingKind.STUCK]

    assert (found.ts, found.bars) == (NEW_YEAR + 100 * HOUR, 20)


@pytest.mark.parametrize(
    ("rows", "count"), [(slice(100, 111), 0), (slice(100, 112), 1), (slice(588, 600), 1)]
)
def test_a_dozen_equal_bars_are_stuck_and_eleven_are_not(rows: slice, count: int) -> None:
    stuck = [f for f in findings(same_rows(a_series(600), rows)) if f.kind is FindingKind.STUCK]

    assert len(stuck) == count


def test_a_new_price_level_after_a_long_silence_looks_like_a_symbol_used_again() -> None:
    before = a_series(300)
    bars = before.followed_by(scaled(a_series(300, start=NEW_YEAR + 400 * HOUR), 20.0, BTC))

    (found,) = [each for each in findings(bars) if each.kind is FindingKind.REUSED]

    assert found.ts == NEW_YEAR + 400 * HOUR
    assert "After 100 hours" in found.text


def test_venues_that_keep_their_usual_distance_do_not_disagree() -> None:
    bars = a_series(600)

    assert disagreements(bars, scaled(bars, 1.05)) == []


def test_a_venue_that_parts_from_another_is_found() -> None:
    bars = a_series(600)
    noise = scaled(bars, 1.0)
    other = Bars(
        KRAKEN,
        "1h",
        bars.ts,
        (*(c * (1 + np.sin(np.arange(600)) / 2_000) for c in noise.columns()[:4]), bars.volume),
    )
    wrong = changed(bars, "close", 400, float(bars.close[400]) * 1.1)

    (found,) = disagreements(wrong, other)

    assert (found.kind, found.ts) == (FindingKind.DISAGREES, NEW_YEAR + 400 * HOUR)
    assert KRAKEN in found.text


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_bars_are_no_trouble(count: int) -> None:
    bars = a_series(count)

    assert findings(bars) == []
    assert disagreements(bars, bars) == []
    assert len(repair(bars, Policy.FLAT).bars) == count


def test_nothing_is_found_in_bars_that_are_no_numbers() -> None:
    bars = changed(changed(a_series(100), "close", 5, np.nan), "open", 9, -1.0)

    assert [each for each in findings(bars) if not np.isfinite(each.score)] == []


def test_holes_stay_when_nothing_is_asked() -> None:
    bars = a_series(48, leave_out=(5, 6))

    assert repair(bars, Policy.LEAVE).bars is bars


@pytest.mark.parametrize("policy", [Policy.FLAT, Policy.SECOND])
def test_no_bars_lead_from_one_asset_to_another_of_the_same_symbol(policy: Policy) -> None:
    later = a_series(300, start=NEW_YEAR + 400 * HOUR, leave_out=(5,))
    bars = a_series(300, leave_out=(7,)).followed_by(scaled(later, 20.0, BTC))

    filled, marks = repair(bars, policy, scaled(a_series(700), 1.0))

    assert [mark.ts for mark in marks] == [NEW_YEAR + 7 * HOUR, NEW_YEAR + 405 * HOUR]
    assert [finding.ts for finding in reuses(filled)] == [NEW_YEAR + 400 * HOUR]


def test_a_hole_is_filled_flat_and_marked() -> None:
    bars = a_series(48, leave_out=(5, 6, 20))

    filled, marks = repair(bars, Policy.FLAT)

    assert len(filled) == 48
    assert filled.open[5] == filled.close[6] == bars.close[4]
    assert filled.volume[[5, 6, 20]].tolist() == [0, 0, 0]
    assert marks == (Mark(NEW_YEAR + 5 * HOUR, 2, Policy.FLAT), Mark(NEW_YEAR + 20 * HOUR, 1, Policy.FLAT))


def test_a_hole_is_filled_from_a_second_venue_at_our_level() -> None:
    whole = a_series(48)

    filled, marks = repair(a_series(48, leave_out=(20, 21)), Policy.SECOND, scaled(whole, 1.02))

    np.testing.assert_allclose(filled.close, whole.close, rtol=1e-12)
    assert filled.volume[20] == whole.volume[20]
    assert marks == (Mark(NEW_YEAR + 20 * HOUR, 2, Policy.SECOND, KRAKEN),)


def test_what_the_second_venue_lacks_too_stays_a_hole() -> None:
    second = scaled(a_series(48, leave_out=(21,)), 1.0)

    filled, marks = repair(a_series(48, leave_out=(20, 21, 22)), Policy.SECOND, second)

    assert len(filled) == 47
    assert [mark.bars for mark in marks] == [1, 1]


def test_a_second_venue_that_has_no_bars_in_common_before_the_hole_gives_nothing() -> None:
    second = scaled(a_series(48), 1.0).slice(20, 48)

    filled, marks = repair(a_series(48, leave_out=(20, 21)), Policy.SECOND, second)

    assert (len(filled), marks) == (46, ())


def test_a_second_venue_must_be_named_and_have_the_timeframe() -> None:
    for second in (None, a_series(48, timeframe="1m")):
        with pytest.raises(DataError, match="from a second venue"):
            repair(a_series(48, leave_out=(5,)), Policy.SECOND, second)


def stored(folder: Path) -> tuple[Path, Bars]:
    store = BarStore(folder)
    store.write(a_series(1_000, leave_out=(5,)))
    return store.place(BTC, "1h"), store.read(BTC, "1h")


def test_the_ledger_has_an_entry_for_each_file_that_is_known_by_its_content(tmp_path: Path) -> None:
    folder, bars = stored(tmp_path)

    ledger = review(folder, bars, 7)

    assert sorted(ledger.files) == ["2024-01.parquet", "2024-02.parquet"]
    assert [entry.missing for entry in ledger.files.values()] == [1, 0]
    assert load(folder) == ledger
    assert ledger.is_current(folder / "2024-01.parquet")


def test_only_files_that_changed_are_examined_again(tmp_path: Path) -> None:
    folder, bars = stored(tmp_path)
    review(folder, bars, 7)
    BarStore(tmp_path).write(a_series(6, start=NEW_YEAR + 5 * HOUR).slice(0, 1))
    store = BarStore(tmp_path)

    again = review(folder, store.read(BTC, "1h"), 8)

    assert [(entry.ts, entry.missing) for entry in again.files.values()] == [(8, 0), (7, 0)]


def test_marks_outlive_a_review_and_are_kept_once(tmp_path: Path) -> None:
    folder, bars = stored(tmp_path)
    mark = Mark(NEW_YEAR + 5 * HOUR, 1, Policy.FLAT)
    save(folder, Ledger().marked(mark).marked(mark))

    ledger = review(folder, bars, 7)

    assert ledger.marks == load(folder).marks == (mark,)


def test_a_ledger_that_is_not_one_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "quality.json").write_text('{"files": 3}')

    with pytest.raises(DataError, match="Delete it"):
        load(tmp_path)


def recorded(path: str, instrument: str, timeframe: str) -> Bars:
    frame = pl.read_parquet(SHARED / f"{path}.parquet")
    return Bars(
        instrument, timeframe, frame["ts"].to_numpy() * 1_000_000, [frame[f].to_numpy() for f in FIELDS]
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded market data in {SHARED}")
@pytest.mark.parametrize(
    ("path", "timeframe", "kind", "moment"),
    [
        ("binance_spot/1h/LUNA-USDT", "1h", FindingKind.REUSED, "2022-05-31 06:00"),
        ("binance_spot/1h/LINK-USDT", "1h", FindingKind.OUTLIER, "2020-03-12 10:00"),
        ("binance_usdm/1h/ETH-USDT-PERP", "1h", FindingKind.OUTLIER, "2020-03-13 02:00"),
        ("binance_spot/1m/BTC-USDT", "1m", FindingKind.STUCK, "2023-03-24 11:28"),
    ],
)
def test_what_is_known_to_have_happened_is_found(
    path: str, timeframe: str, kind: FindingKind, moment: str
) -> None:
    found = [f for f in findings(recorded(path, BTC, timeframe)) if f.kind is kind]

    assert show(max(found, key=lambda finding: finding.score).ts) == moment


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded market data in {SHARED}")
def test_two_real_venues_disagree_when_one_of_them_halts() -> None:
    kraken = recorded("kraken_spot/15m/BTC-USDT", KRAKEN, "15m")
    binance = recorded("binance_spot/15m/BTC-USDT", BTC, "15m")

    found = disagreements(kraken, binance)

    assert "2023-03-24 11:45" in [show(finding.ts) for finding in found]
    assert len(found) < 10

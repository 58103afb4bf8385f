"""Real candles of many venues, with the facts that were counted independently when they were collected.

They lie beside a developer's checkout and are too large to keep here; without them these tests say what is missing.
"""

import csv
import json
import math
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from abidance.market.feed import FundingReplay, QuoteReplay, TradeReplay, merge
from abidance.market.importing import import_file
from abidance.market.quality import Grade
from abidance.market.store import BarStore

SHARED = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded market data in {SHARED}")


def manifest(kind: str) -> list[dict[str, str]]:
    if not SHARED.is_dir():
        return []
    with (SHARED / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]


@pytest.mark.parametrize("row", manifest("candles"), ids=lambda row: row["path"])
def test_a_candle_file_imports_and_holds_what_was_counted_in_it(tmp_path: Path, row: dict[str, str]) -> None:
    facts = json.loads(row["checks_json"])
    instrument = f"{row['symbol']}@{row['exchange'].split()[0].upper()}"

    result = import_file(SHARED / row["path"], instrument, row["timeframe"], BarStore(tmp_path))

    report, gap = result.report, result.report.longest_gap
    assert (result.rows, result.added, result.notices) == (facts["rows"], facts["rows"], ())
    assert (report.missing, len(report.gaps)) == (facts["missing"], facts["gaps"])
    assert (gap.bars if gap else None) == facts.get("maxgap_bars")
    assert gap is None or gap.start // 1_000_000 == facts["maxgap_at"]
    assert (report.zero_volume, report.flat, report.contradictions) == (
        facts["zero_vol"],
        facts["flat"],
        facts["ohlc_bad"],
    )
    assert report.largest_move_ts // 1_000_000 == facts["max_ret_at"]
    assert math.log1p(report.largest_move) == pytest.approx(facts["max_ret"])
    assert report.wick == pytest.approx(facts["max_wick"])
    assert report.wick_ts // 1_000_000 == facts["max_wick_at"]
    assert report.grade is not Grade.REFUSED


@pytest.mark.parametrize(
    ("path", "instrument", "symbol"),
    [
        ("candles/binance_spot/1d/panel.parquet", "DOGE/USDT@BINANCE", "DOGE-USDT"),
        ("candles/bybit_linear/1d/panel.parquet", "1000000MOG/USDT:USDT@BYBIT", "1000000MOG-USDT-PERP"),
    ],
)
def test_a_symbol_of_a_real_panel_imports(tmp_path: Path, path: str, instrument: str, symbol: str) -> None:
    rows = pl.read_parquet(SHARED / path).filter(pl.col("symbol") == symbol)

    result = import_file(SHARED / path, instrument, "1d", BarStore(tmp_path))

    assert result.rows == rows.height > 0
    assert result.report.first == rows["ts"][0] * 1_000_000


def test_the_halt_of_luna_and_the_reuse_of_its_symbol_are_told(tmp_path: Path) -> None:
    result = import_file(
        SHARED / "candles/binance_spot/1h/LUNA-USDT.parquet", "LUNA/USDT@BINANCE", "1h", BarStore(tmp_path)
    )

    assert result.report.grade is Grade.WARNING
    assert any("437 in a row from 2022-05-13 01:00" in sentence for sentence in result.report.reasons)
    assert any("-86.7% at 2022-05-12 23:00" in sentence for sentence in result.report.reasons)


@pytest.mark.parametrize("row", manifest("trades"), ids=lambda row: row["path"])
def test_a_trades_file_replays_whole(row: dict[str, str]) -> None:
    facts = json.loads(row["checks_json"])

    trades = list(TradeReplay("X/Y@Z", SHARED / row["path"]).events())

    assert len(trades) == int(row["rows_or_n"])
    assert sum(trade.buyer_is_taker for trade in trades) == facts["sides"]["buy"]
    assert all(a.ts <= b.ts for a, b in pairwise(trades))
    assert all(trade.price > 0 and trade.size > 0 and trade.id for trade in trades)


@pytest.mark.parametrize("row", manifest("quotes"), ids=lambda row: row["path"])
def test_a_quotes_file_replays_whole(row: dict[str, str]) -> None:
    quotes = list(QuoteReplay("X/Y@Z", SHARED / row["path"]).events())

    assert len(quotes) == int(row["rows_or_n"])
    assert all(a.ts <= b.ts for a, b in pairwise(quotes))
    assert all(quote.bid < quote.ask for quote in quotes)


def test_recorded_trades_quotes_and_funding_merge_in_order(tmp_path: Path) -> None:
    instrument = "BTC/USDT:USDT@BINANCE"
    store = BarStore(tmp_path)
    import_file(SHARED / "candles/binance_usdm/1h/BTC-USDT-PERP.parquet", instrument, "1h", store)
    trades = TradeReplay(instrument, SHARED / "trades/binance_usdm_BTCUSDT_20240808.parquet")
    quotes = QuoteReplay(instrument, SHARED / "books/binance_usdm_BTCUSDT_20240808_bookticker.parquet")
    funding = FundingReplay(
        instrument, SHARED / "funding/binance_usdm_BTC-USDT-PERP.parquet", store.read(instrument, "1h")
    )

    merged = [e.ts for e in merge(trades, quotes, funding).events()]

    assert merged == sorted(merged)
    assert len(merged) == 21_313 + 66_089 + 6_362

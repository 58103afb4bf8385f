import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from abidance.market.archives import ArchiveResult, import_archives
from abidance.market.store import BarStore, FundingStore, Place, Tables, open_tables
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import MS_NS, SECOND_NS

JANUARY = 1_704_067_200  # 2024-01-01, in seconds
MINUTE = 60 * SECOND_NS


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


def zipped(path: Path, text: str, name: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name or f"{path.stem}.csv", text)
    return path


def kline(seconds: int, unit: int, close: str = "1.5") -> str:
    return f"{seconds * unit},1.0,2.0,0.5,{close},10.0,{(seconds + 59) * unit},15.0,7,5.0,7.5,0\n"


def imported(path: Path, venue: str, tables: Tables, pair: str = "") -> list[ArchiveResult]:
    return list(import_archives(path, venue, tables, pair))


def test_binances_bars_are_read_before_and_after_its_change_to_microseconds(
    tmp_path: Path, tables: Tables
) -> None:
    folder = tmp_path / "spot" / "monthly" / "klines" / "BTCUSDT" / "1m"
    zipped(folder / "BTCUSDT-1m-2024-12.zip", kline(1_735_689_540, 1_000))
    zipped(folder / "BTCUSDT-1m-2025-01.zip", kline(1_735_689_600, 1_000_000))

    results = imported(tmp_path / "spot", "BINANCE", tables)

    bars = BarStore(tables).read("BTC/USDT@BINANCE", "1m")
    assert [(result.rows, result.added, result.fault) for result in results] == [(1, 1, None)] * 2
    assert bars.ts.tolist() == [1_735_689_540 * SECOND_NS, 1_735_689_600 * SECOND_NS]
    assert [column[0] for column in bars.columns()] == [1.0, 2.0, 0.5, 1.5, 10.0]


def test_binances_futures_have_a_header_and_are_perpetuals(tmp_path: Path, tables: Tables) -> None:
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,q,ignore\n"
    file = zipped(tmp_path / "futures" / "um" / "BTCUSDT-1m-2024-01-01.zip", header + kline(JANUARY, 1_000))

    imported(file, "BINANCE", tables)

    assert BarStore(tables).read("BTC/USDT:USDT@BINANCE", "1m").close.tolist() == [1.5]


def test_binances_trades_keep_their_ids_and_sides_and_the_day_is_whole(
    tmp_path: Path, tables: Tables
) -> None:
    plain = f"7,100.5,0.25,25.1,{JANUARY * 1000 + 5},True,True\n8,100.6,0.5,50.3,{JANUARY * 1000 + 5},False,True\n"
    together = f"3,100.5,0.25,7,7,{JANUARY * 1000 + 5},True,True\n"
    zipped(tmp_path / "one" / "BTCUSDT-trades-2024-01-01.zip", plain)
    zipped(tmp_path / "two" / "ETHUSDT-aggTrades-2024-01.zip", together)

    imported(tmp_path, "BINANCE", tables)

    place = Place("BTC/USDT@BINANCE", "trades")
    found = tables.tape(place)
    assert found["id"].to_list() == ["7", "8"]
    assert found["buyer_is_taker"].to_list() == [False, True]
    assert found["ts"][0] == (JANUARY * 1000 + 5) * MS_NS
    assert tables.spans(place).whole == ((JANUARY * SECOND_NS, (JANUARY + 86_400) * SECOND_NS),)
    assert tables.tape(Place("ETH/USDT@BINANCE", "trades"))["id"].to_list() == ["a3"]


def test_binances_funding_rates_are_read(tmp_path: Path, tables: Tables) -> None:
    text = "calc_time,funding_interval_hours,last_funding_rate\n"
    text += f"{JANUARY * 1000 + 3},8,0.00037\n{(JANUARY + 28_800) * 1000},8,-0.0001\n"

    imported(zipped(tmp_path / "BTCUSDT-fundingRate-2024-01.zip", text), "BINANCE", tables)

    rates = FundingStore(tables).read("BTC/USDT:USDT@BINANCE")
    assert rates.ts.tolist() == [JANUARY * SECOND_NS, (JANUARY + 28_800) * SECOND_NS]
    assert rates.rate.tolist() == [0.00037, -0.0001]


def test_bybits_trades_of_contracts_and_of_pairs_are_told_apart(tmp_path: Path, tables: Tables) -> None:
    contract = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
    )
    contract += f"{JANUARY}.1234,BTCUSDT,Sell,0.5,42000.1,PlusTick,aa-bb,1,0.5,2\n"
    spot = f"id,timestamp,price,volume,side\n1,{JANUARY * 1000},42000.2,0.1,buy\n"
    (tmp_path / "BTCUSDT2024-01-01.csv.gz").write_bytes(gzip.compress(contract.encode()))
    (tmp_path / "BTCUSDT_2024-01-01.csv.gz").write_bytes(gzip.compress(spot.encode()))

    imported(tmp_path, "BYBIT", tables)

    perpetual = tables.tape(Place("BTC/USDT:USDT@BYBIT", "trades")).row(0)
    assert perpetual == (JANUARY * SECOND_NS + 123_400_000, 42000.1, 0.5, False, "aa-bb", 0)
    assert tables.tape(Place("BTC/USDT@BYBIT", "trades")).row(0)[1:5] == (42000.2, 0.1, True, "1")


def test_kucoins_bars_have_their_close_before_their_high(tmp_path: Path, tables: Tables) -> None:
    text = f"time,open,close,high,low,volume,turnover\n{JANUARY},1.0,1.5,2.0,0.5,10.0,15.0\n"

    imported(zipped(tmp_path / "BTCUSDT-1m-2024-01-01.zip", text), "KUCOIN", tables)

    bars = BarStore(tables).read("BTC/USDT@KUCOIN", "1m")
    assert [column[0] for column in bars.columns()] == [1.0, 2.0, 0.5, 1.5, 10.0]


def test_krakens_bars_and_trades_stand_in_one_zip_under_its_own_names(tmp_path: Path, tables: Tables) -> None:
    with zipfile.ZipFile(tmp_path / "Kraken_Q1.zip", "w") as archive:
        archive.writestr("XBTUSD_60.csv", f"{JANUARY},1.0,2.0,0.5,1.5,10.0,7\n")
        archive.writestr("XBTUSD_1440.csv", f"{JANUARY},1.0,2.0,0.5,1.5,10.0,7\n")
        archive.writestr("XBTUSD.csv", f"{JANUARY},42000.1,0.5\n{JANUARY + 1}.25,42000.2,0.25\n")

    results = imported(tmp_path / "Kraken_Q1.zip", "KRAKEN", tables)

    assert [result.fault for result in results] == [None] * 3
    assert set(BarStore(tables).series()) == {("BTC/USD@KRAKEN", "1h"), ("BTC/USD@KRAKEN", "1d")}
    assert tables.tape(Place("BTC/USD@KRAKEN", "trades"))["ts"].to_list() == [
        JANUARY * SECOND_NS,
        (JANUARY + 1) * SECOND_NS + 250_000_000,
    ]


def test_importing_twice_adds_nothing(tmp_path: Path, tables: Tables) -> None:
    text = f"{JANUARY},42000.1,0.5\n{JANUARY},42000.1,0.5\n"
    (tmp_path / "XBTUSD.csv").write_text(text)

    first = imported(tmp_path / "XBTUSD.csv", "KRAKEN", tables)
    again = imported(tmp_path / "XBTUSD.csv", "KRAKEN", tables)

    assert (first[0].added, again[0].added) == (2, 0)


def test_a_file_that_is_not_what_its_checksum_says_is_refused_and_the_others_come(
    tmp_path: Path, tables: Tables
) -> None:
    bad = zipped(tmp_path / "BTCUSDT-1m-2024-01.zip", kline(JANUARY, 1_000))
    (tmp_path / "BTCUSDT-1m-2024-01.zip.CHECKSUM").write_text(f"{'0' * 64}  {bad.name}")
    good = zipped(tmp_path / "ETHUSDT-1m-2024-01.zip", kline(JANUARY, 1_000))
    right = hashlib.sha256(good.read_bytes()).hexdigest()
    (tmp_path / "ETHUSDT-1m-2024-01.zip.CHECKSUM").write_text(f"{right}  {good.name}")

    results = imported(tmp_path, "BINANCE", tables)

    assert "is not what" in str(results[0].fault)
    assert (results[1].added, results[1].fault) == (1, None)
    assert list(BarStore(tables).series()) == [("ETH/USDT@BINANCE", "1m")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("BTCUSDT-1m-2024-01.csv", b""),
        ("BTCUSDT-1m-2024-01.csv", b"<html>404</html>"),
        ("BTCUSDT-1m-2024-01.csv", b"1704067200000,1,2,0.5\n"),
        ("BTCUSDT-1m-2024-01.csv", b"1704067200000,1,2,0.5,x,1\n"),
        ("BTCUSDT-1m-2024-01.csv", b"1704067200000,1,2,0.5,nan,1\n"),
        ("BTCUSDT-1m-2024-01.csv", b"1704067200000,1,0.2,0.5,1,1\n"),
        ("BTCUSDT-1m-2024-01.csv", b"1704067200001,1,2,0.5,1,1\n"),
        ("BTCUSDT-trades-2024-01.csv", b"1,-5,1,1,1704067200000,True,True\n"),
        ("BTCUSDT-1m-2024-01.zip", b"PK\x03\x04 and nothing more"),
        ("BTCUSDT-1m-2024-01.csv.gz", b"\x1f\x8b\x08 cut"),
        ("NOQUOTE-1m-2024-01.csv", b"1704067200000,1,2,0.5,1,1\n"),
        ("what is this.csv", b"1704067200000,1,2,0.5,1,1\n"),
    ],
)
def test_what_cannot_be_trusted_is_refused_in_words(
    name: str, content: bytes, tmp_path: Path, tables: Tables
) -> None:
    (tmp_path / name).write_bytes(content)

    (result,) = imported(tmp_path / name, "BINANCE", tables)

    assert isinstance(result.fault, DataError)
    assert result.fault.remedy
    assert list(tables.places("bars")) == list(tables.places("trades")) == []


def test_venues_and_places_that_are_not_known_are_refused(tmp_path: Path, tables: Tables) -> None:
    with pytest.raises(UsageError, match="archives of MEXC"):
        imported(tmp_path, "MEXC", tables)
    with pytest.raises(UsageError, match="no archives in"):
        imported(tmp_path, "BINANCE", tables)
    with pytest.raises(UsageError, match=r"The folder .*nowhere is missing"):
        imported(tmp_path / "nowhere", "BINANCE", tables)
    with pytest.raises(UsageError, match=r"The file .*no\.zip is missing"):
        imported(tmp_path / "no.zip", "BINANCE", tables)


def test_a_pair_can_be_named_where_the_file_does_not_tell(tmp_path: Path, tables: Tables) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("NOQUOTE-1m-2024-01.csv", kline(JANUARY, 1_000))
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())

    imported(tmp_path / "x.zip", "BINANCE", tables, "NOQ/UOTE:UOTE")

    assert list(BarStore(tables).series()) == [("NOQ/UOTE:UOTE@BINANCE", "1m")]

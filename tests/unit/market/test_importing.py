"""Files of bars from elsewhere: what is understood, what is mended and said, what is refused and how."""

import contextlib
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from datetime import time as clock
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from abidance.market.importing import import_file, read_file
from abidance.market.quality import Grade
from abidance.market.store import BarStore, fingerprint
from abidance.model.errors import DataError, UsageError
from tests.unit.market.series import BTC, ETH, NEW_YEAR, a_series

HOUR_MS = 3_600_000
NAMES = ("open", "high", "low", "close", "volume")


def a_frame(count: int = 48, **options: object) -> pl.DataFrame:
    bars = a_series(count, **options)  # type: ignore[arg-type]
    return pl.DataFrame({"ts": bars.ts // 1_000_000, **dict(zip(NAMES, bars.columns(), strict=True))})


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "store")


def written(tmp_path: Path, frame: pl.DataFrame, name: str = "bars.csv") -> Path:
    path = tmp_path / name
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".parquet":
            frame.write_parquet(path)
        case ".feather":
            frame.write_ipc(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
    return path


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet", "bars.feather", "bars.tsv"])
def test_every_format_arrives_bit_for_bit(tmp_path: Path, store: BarStore, name: str) -> None:
    result = import_file(written(tmp_path, a_frame(), name), BTC, "1h", store)

    assert (result.rows, result.added, result.notices) == (48, 48, ())
    assert result.report.grade is Grade.OK
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(a_series())


def test_a_compressed_csv_is_read(tmp_path: Path, store: BarStore) -> None:
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(a_frame().write_csv().encode()))

    assert import_file(path, BTC, "1h", store).added == 48


def iso(pattern: str) -> Callable[[int], str]:
    return lambda ms: datetime.fromtimestamp(ms / 1000, UTC).strftime(pattern)


@pytest.mark.parametrize(
    ("name", "spell"),
    [
        ("ts", lambda ms: ms),
        ("timestamp", lambda ms: ms // 1000),
        ("time", lambda ms: ms * 1000),
        ("open_time", lambda ms: ms * 1_000_000),
        ("Open time", float),
        ("timestamp", lambda ms: ms / 1000),
        ("date", iso("%Y-%m-%d %H:%M:%S")),
        ("Date", iso("%Y-%m-%dT%H:%M:%SZ")),
        ("datetime", iso("%Y-%m-%d %H:%M")),
        ("date", iso("%Y-%m-%d %H:%M:%S+00:00")),
        ("date", iso("%Y-%m-%dT%H:%M:%S.%f000Z")),
        ("date", iso("%Y-%m-%d %H:%M UTC")),
    ],
)
def test_times_are_understood_however_they_are_written(
    tmp_path: Path, name: str, spell: Callable[[int], object]
) -> None:
    frame = a_frame()
    times = pl.Series(name, [spell(ms) for ms in frame["ts"]])

    read = read_file(written(tmp_path, frame.drop("ts").insert_column(0, times)))

    assert read["ts"].to_list() == frame["ts"].to_list()


def test_an_offset_in_a_time_is_honoured(tmp_path: Path) -> None:
    frame = a_frame(2).with_columns(ts=pl.Series(["2024-01-01 05:30:00+05:30", "2023-12-31T22:00:00-0300"]))

    assert read_file(written(tmp_path, frame))["ts"].to_list() == [
        NEW_YEAR // 1_000_000,
        NEW_YEAR // 1_000_000 + HOUR_MS,
    ]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_typed_times_of_parquet_and_feather_are_understood(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    frame = a_frame()
    times = frame["ts"].cast(pl.Datetime("ms")).cast(pl.Datetime(unit))  # type: ignore[arg-type]
    typed = times if zone is None else times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)

    read = read_file(written(tmp_path, frame.with_columns(date=typed).drop("ts"), "bars.feather"))

    assert read["ts"].to_list() == frame["ts"].to_list()


def test_typed_dates_are_midnights(tmp_path: Path) -> None:
    frame = a_frame(5, timeframe="1d")

    read = read_file(
        written(tmp_path, frame.with_columns(ts=frame["ts"].cast(pl.Datetime("ms")).dt.date()), "x.parquet")
    )

    assert read["ts"].to_list() == frame["ts"].to_list()


def test_the_headerless_rows_that_exchanges_publish_are_understood(tmp_path: Path, store: BarStore) -> None:
    frame = a_frame().with_columns(close_time=pl.col("ts") + HOUR_MS - 1, trades=pl.lit(7), ignore=pl.lit(0))
    path = tmp_path / "BTCUSDT-1h-2024-01.csv"
    frame.write_csv(path, include_header=False)

    assert import_file(path, BTC, "1h", store).added == 48
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(a_series())


@pytest.mark.parametrize("unit", [1, 1000])
def test_headerless_rows_of_equal_numbers_are_understood(tmp_path: Path, store: BarStore, unit: int) -> None:
    rows = [f"{(NEW_YEAR // 1_000_000 + i * HOUR_MS) * unit},1,1,1,1,1,2" for i in range(5)]
    (tmp_path / "flat.csv").write_text("\n".join(rows))

    assert import_file(tmp_path / "flat.csv", BTC, "1h", store).rows == 5


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_dialects_of_spreadsheets_are_understood(
    tmp_path: Path, separator: str, newline: str, mark: str
) -> None:
    text = a_frame().write_csv(separator=separator, quote_style="always").replace("\n", newline)
    (tmp_path / "bars.csv").write_bytes((mark + text).encode())

    assert read_file(tmp_path / "bars.csv").equals(a_frame())


def test_rows_out_of_order_and_exact_duplicates_are_mended_and_said(tmp_path: Path, store: BarStore) -> None:
    frame = a_frame()
    shuffled = pl.concat([frame, frame.head(3)]).reverse()

    result = import_file(written(tmp_path, shuffled), BTC, "1h", store)

    assert result.rows == 48
    assert len(result.notices) == 2
    assert "3 rows were an exact duplicate" in result.notices[1]
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(a_series())


@pytest.mark.parametrize("spelling", ["BTC-USDT", "BTCUSDT", "btc/usdt", "BTC_USDT", "BTC/USDT@BINANCE"])
def test_one_symbol_of_a_panel_is_picked_however_it_is_spelt(
    tmp_path: Path, store: BarStore, spelling: str
) -> None:
    panel = pl.concat(
        [
            a_frame(price=9.0).with_columns(symbol=pl.lit("ETH-USDT")),
            a_frame().with_columns(symbol=pl.lit(spelling)),
            a_frame(price=5.0).with_columns(symbol=pl.lit("BTC-USDT-PERP")),
        ]
    )

    result = import_file(written(tmp_path, panel, "panel.parquet"), BTC, "1h", store)

    assert result.rows == 48
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(a_series())


@pytest.mark.parametrize("spelling", ["BTC-USDT-PERP", "BTC/USDT:USDT", "BTCUSDTUSDT"])
def test_a_contract_is_picked_by_the_spellings_of_contracts(
    tmp_path: Path, store: BarStore, spelling: str
) -> None:
    panel = pl.concat(
        [
            a_frame(price=9.0).with_columns(symbol=pl.lit("BTC-USDT")),
            a_frame().with_columns(symbol=pl.lit(spelling)),
        ]
    )

    import_file(written(tmp_path, panel, "panel.parquet"), "BTC/USDT:USDT@BYBIT", "1h", store)

    assert store.read("BTC/USDT:USDT@BYBIT", "1h").close[0] == a_series().close[0]


def test_an_import_twice_adds_nothing_and_a_changed_file_needs_replace(
    tmp_path: Path, store: BarStore
) -> None:
    import_file(written(tmp_path, a_frame()), BTC, "1h", store)
    changed = written(tmp_path, a_frame().with_columns(volume=pl.col("volume") + 1), "changed.csv")

    again = import_file(written(tmp_path, a_frame(60)), BTC, "1h", store)
    with pytest.raises(DataError, match="differs from the stored one"):
        import_file(changed, BTC, "1h", store)
    replaced = import_file(changed, BTC, "1h", store, replace=True)

    assert (again.rows, again.added) == (60, 12)
    assert (replaced.rows, replaced.added) == (48, 0)
    assert store.read(BTC, "1h").volume[0] == a_series().volume[0] + 1


def test_gaps_are_told_and_kept(tmp_path: Path, store: BarStore) -> None:
    result = import_file(written(tmp_path, a_frame(leave_out=(5, 6, 7))), BTC, "1h", store)

    assert (result.rows, result.report.missing, result.report.grade) == (45, 3, Grade.WARNING)
    assert len(store.read(BTC, "1h")) == 45


def test_a_sparse_market_is_known_by_its_most_common_step(tmp_path: Path, store: BarStore) -> None:
    left_out = tuple(row for row in range(1, 299) if row % 3 == 0)

    assert import_file(written(tmp_path, a_frame(300, leave_out=left_out)), BTC, "1h", store).rows == 201


def text_in_a_price(frame: pl.DataFrame) -> pl.DataFrame:
    closes = frame["close"].cast(pl.String).to_list()
    return frame.with_columns(close=pl.Series([*closes[:16], "n/a", *closes[17:]]))


def one_value(column: str, value: object, row: int = 16) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, strict=False))

    return change


HOSTILE: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no volume": (lambda f: f.drop("volume"), r"has no column volume; it has ts, open, high, low, close"),
    "no time": (lambda f: f.drop("ts"), r"has no column ts; .* Needed are ts \(or timestamp"),
    "no rows": (lambda f: f.clear(), "holds no rows"),
    "words for prices": (text_in_a_price, r"row 17 has 'n/a' where close should be a number \(1 such"),
    "an empty price": (one_value("low", None), "row 17 has nothing where low"),
    "a comma for a point": (
        lambda f: one_value("open", "1,5")(f.cast({"open": pl.String})),
        "row 17 has '1,5'",
    ),
    "not a number": (one_value("close", float("nan")), r"not a number\. The first is at 2024-01-01 16:00"),
    "infinity": (one_value("high", float("inf")), "infinite"),
    "a negative price": (one_value("low", -1.0), "zero, negative"),
    "a negative volume": (one_value("volume", -1.0), "volume that is negative"),
    "a high below the close": (
        one_value("high", 1.0),
        r"1 bar with a high below .* at 2024-01-01 16:00: .*high 1,",
    ),
    "one high below in many bars": (
        lambda f: one_value("high", 1.0)(a_frame(9_000)),
        "1 bar with a high below",
    ),
    "a time that is missing": (one_value("ts", None), "row 17 has no readable time"),
    "a time that is words": (
        lambda f: one_value("ts", "soon")(f.cast({"ts": pl.String})),
        "row 17 has no readable time: 'soon'",
    ),
    "dates without centuries": (
        lambda f: f.with_columns(ts=pl.lit("01/02/24")),
        "row 1 has no readable time",
    ),
    "dates as numbers": (lambda f: f.with_columns(ts=20240101 + pl.int_range(pl.len())), "1970-08-23"),
    "times from before the markets": (lambda f: f.with_columns(pl.col("ts") - 10**12), "reads as 1992"),
    "times from after us": (lambda f: f.with_columns(pl.col("ts") * 3), "reads as 2132"),
    "two bars at one time": (
        lambda f: pl.concat([f, f.slice(4, 1).with_columns(volume=pl.lit(9.5))]),
        "two different bars at 2024-01-01 04:00",
    ),
    "another timeframe": (
        lambda f: f.gather_every(4),
        r"the bars are 4h apart, not 1h\. Import them with -i 4h",
    ),
    "off the grid": (
        lambda f: f.with_columns(pl.col("ts") + 60_000),
        "48 bars with a time off the timeframe's grid",
    ),
    "another symbol": (
        lambda f: f.with_columns(symbol=pl.lit("ETH-USDT")),
        r"panel of 1 symbols and holds no BTC/USDT\. It has ETH-USDT",
    ),
    "one symbol spelt twice": (
        lambda f: pl.concat([f.with_columns(symbol=pl.lit(s)) for s in ("BTC-USDT", "BTCUSDT")]),
        "2 symbols that may be BTC/USDT",
    ),
}


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_cannot_be_trusted_is_refused_with_one_sentence_and_a_remedy(
    tmp_path: Path, store: BarStore, case: str, name: str
) -> None:
    spoil, sentence = HOSTILE[case]

    with pytest.raises(DataError, match=sentence) as error:
        import_file(written(tmp_path, spoil(a_frame()), name), BTC, "1h", store)

    assert error.value.found.startswith(name)
    assert error.value.remedy
    assert store.inventory() == []


def no_file(path: Path) -> None:
    pass


DAMAGED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("bars.csv", no_file, "There is no file"),
    "a folder": ("bars.csv", Path.mkdir, "There is no file"),
    "empty": ("bars.csv", Path.touch, "is empty"),
    "blank lines": ("bars.csv", lambda p: p.write_text("\n\n\n"), "csv|column"),
    "another format": ("bars.xlsx", lambda p: p.write_bytes(b"PK"), r"unknown format '\.xlsx'"),
    "no suffix": ("bars", lambda p: p.write_bytes(b"x"), r"unknown format '\(no suffix\)'"),
    "not a parquet": (
        "bars.parquet",
        lambda p: p.write_text("ts,open\n1,2\n"),
        "not a readable parquet file",
    ),
    "not a feather": (
        "bars.feather",
        lambda p: p.write_text("ts,open\n1,2\n" * 9),
        "not a readable feather file",
    ),
    "not text": ("bars.csv", lambda p: p.write_bytes(bytes(range(256)) * 40), "bars.csv"),
    "a torn archive": (
        "bars.csv.gz",
        lambda p: p.write_bytes(gzip.compress(a_frame().write_csv().encode())[:300]),
        "not a readable csv file",
    ),
    "no archive": ("bars.csv.gz", lambda p: p.write_bytes(b"ts,open"), "not a readable csv file"),
    "ragged": (
        "bars.csv",
        lambda p: p.write_text("ts,open,high,low,close,volume\n1,2\n1,2,3,4,5,6,7,8\n"),
        "bars.csv",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, store: BarStore, case: str) -> None:
    name, make, sentence = DAMAGED[case]
    make(tmp_path / name)

    with pytest.raises(DataError, match=sentence) as error:
        import_file(tmp_path / name, BTC, "1h", store)

    assert error.value.remedy
    assert "\n" not in error.value.found


@pytest.mark.parametrize("name", ["bars.parquet", "bars.feather"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, store: BarStore, name: str, share: float) -> None:
    path = written(tmp_path, a_frame(5000), name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(DataError, match="not a readable"):
        import_file(path, BTC, "1h", store)


def test_random_damage_inside_a_parquet_file_never_crashes(tmp_path: Path) -> None:
    whole = written(tmp_path, a_frame(500), "bars.parquet").read_bytes()
    random = np.random.default_rng(11)

    for trial in range(60):
        spoilt = bytearray(whole)
        for at in random.integers(0, len(whole), 8):
            spoilt[at] = random.integers(0, 256)
        path = tmp_path / f"{trial}.parquet"
        path.write_bytes(bytes(spoilt))
        with contextlib.suppress(DataError):
            import_file(path, BTC, "1h", BarStore(tmp_path / "s"), replace=True)


@pytest.mark.parametrize(("instrument", "timeframe"), [("BTCUSDT", "1h"), (ETH, "hourly")])
def test_a_wrong_name_is_a_mistake_of_usage_before_the_file_is_read(
    tmp_path: Path, store: BarStore, instrument: str, timeframe: str
) -> None:
    with pytest.raises(UsageError):
        import_file(tmp_path / "not there.csv", instrument, timeframe, store)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("close", [[1.0]]),
        ("high", [True]),
        ("low", [datetime(2024, 1, 1, tzinfo=UTC)]),
        ("ts", [clock(1, 2)]),
    ],
)
def test_a_column_of_another_kind_is_named(tmp_path: Path, column: str, values: list[object]) -> None:
    frame = a_frame(1).with_columns(pl.Series(column, values))

    with pytest.raises(DataError, match=rf"the column {column} holds \w+.*, not numbers"):
        read_file(written(tmp_path, frame, "bars.parquet"))


def test_a_single_bar_can_be_imported(tmp_path: Path, store: BarStore) -> None:
    assert import_file(written(tmp_path, a_frame(1)), BTC, "1h", store).added == 1

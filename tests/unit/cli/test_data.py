"""The commands about market data, as typed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.data import check_data, import_data, list_data
from abidance.cli.options import data_folder
from abidance.market.bars import FIELDS
from abidance.market.funding import Funding
from abidance.market.quality import inspect_bars
from abidance.market.store import BarStore, FundingStore, show
from abidance.model.errors import DataError, UsageError
from tests.unit.market.series import BTC, NEW_YEAR, a_series, changed

PERP = "BTC/USDT:USDT@BINANCE"
RECORDED = Path(__file__).parents[2] / "data" / "binance_usdm_btc_funding_2024-03.csv"

app = typer.Typer()
for command in (import_data, list_data, check_data):
    app.command(command.__name__.replace("_", "-"))(command)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def a_file(tmp_path: Path, count: int = 48, leave_out: tuple[int, ...] = ()) -> Path:
    bars = a_series(count, leave_out=leave_out)
    frame = pl.DataFrame({"ts": bars.ts // 1_000_000, **dict(zip(FIELDS, bars.columns(), strict=True))})
    frame.write_csv(tmp_path / "bars.csv")
    return tmp_path / "bars.csv"


def test_a_file_is_imported_and_listed_and_checked(tmp_path: Path) -> None:
    path = a_file(tmp_path, leave_out=(5, 6))

    imported = run("import-data", str(path), "--instrument", "BTC/USDT@KRAKEN", "-i", "1h")
    listed = run("list-data")
    checked = run("check-data", "--instrument", "BTC/USDT@KRAKEN")

    assert (imported.exit_code, listed.exit_code, checked.exit_code) == (0, 0, 0)
    assert "46 bars of BTC/USDT@KRAKEN 1h" in imported.output
    assert "2 bars missing, at most 2 in a row from 2024-01-01 05:00." in imported.output
    assert any("BTC/USDT@KRAKEN" in line and "stored" in line for line in listed.output.splitlines())
    assert "warning" in checked.output
    assert "2024 ▒" in checked.output


def test_an_import_shows_the_quality_of_what_it_took(tmp_path: Path) -> None:
    path = a_file(tmp_path, leave_out=(5, 6, 9))
    lines = path.read_text().splitlines()
    silent = lines[3].rpartition(",")[0] + ",0"
    path.write_text("\n".join([*lines[:3], silent, *lines[4:], *lines[10:12]]))
    report = inspect_bars(a_series(leave_out=(5, 6, 9)))

    imported = run("import-data", str(path), "--instrument", "1000000MOG/USDT:USDT@BINANCE", "-i", "1h")

    shown = {
        name.strip(): value.strip()
        for name, _, value in (
            line.strip().partition("   ") for line in imported.output.splitlines() if "  " in line.strip()
        )
    }
    assert shown == {
        "rows": "45",
        "first": "2024-01-01 00:00",
        "last": "2024-01-02 23:00",
        "gaps": "2 (3 missing)",
        "duplicates": "2 dropped",
        "no volume": "1",
        "largest move": f"{report.largest_move:+.1%} at {show(report.largest_move_ts)}",
        "grade": "warning",
    }
    assert max(map(len, imported.output.splitlines())) <= 80


def test_the_bundled_bars_are_listed_and_checked_before_anything_is_imported(tmp_path: Path) -> None:
    listed, checked = run("list-data"), run("check-data")

    assert listed.output.count("21,887") == checked.output.count("21,887") == 7
    assert listed.output.count("bundled") == 7
    assert "2023 ██▓█████████  2024 ████████████  2025 ██████" in checked.output
    assert (listed.exit_code, checked.exit_code) == (0, 0)
    assert not (tmp_path / "home").exists()


def test_a_refused_series_ends_the_check_with_the_exit_code_of_data(tmp_path: Path) -> None:
    store = BarStore(data_folder(tmp_path / "home"))
    store.write(changed(a_series(), "low", 3, -1.0))

    checked = run("check-data", "--instrument", BTC, "-i", "1h")

    assert checked.exit_code == DataError.exit_code == 4
    assert "refused" in checked.output
    assert "1 bar with a price that is zero, negative" in checked.output


def test_a_timeframe_that_must_be_built_can_be_checked_by_name() -> None:
    checked = run("check-data", "--instrument", BTC, "-i", "1d")

    assert checked.exit_code == 0
    assert "912" in checked.output


@pytest.mark.parametrize(
    "arguments", [("--instrument", "ETH/USDT@KRAKEN"), ("-i", "7m"), ("--instrument", BTC, "-i", "1m")]
)
def test_checking_what_is_not_there_raises_the_error_that_the_entry_explains(
    arguments: tuple[str, ...],
) -> None:
    checked = run("check-data", *arguments)

    assert isinstance(checked.exception, DataError)
    assert checked.exception.remedy


def test_a_differing_bar_needs_replace(tmp_path: Path) -> None:
    store = BarStore(data_folder(tmp_path / "home"))
    store.write(changed(a_series(), "close", 3, 99.5))
    arguments = ("import-data", str(a_file(tmp_path)), "--instrument", BTC, "-i", "1h")

    refused, replaced = run(*arguments), run(*arguments, "--replace")

    assert isinstance(refused.exception, DataError)
    assert replaced.exit_code == 0
    assert store.read(BTC, "1h").close[3] == a_series().close[3]


def test_funding_rates_are_imported_and_listed_and_checked(tmp_path: Path) -> None:
    arguments = ("import-data", str(RECORDED), "--instrument", PERP, "--funding")

    imported, again, listed, checked = run(*arguments), run(*arguments), run("list-data"), run("check-data")

    assert [each.exit_code for each in (imported, again, listed, checked)] == [0, 0, 0, 0]
    assert f"Imported 93 funding rates of {PERP}, 93 of them new." in imported.output
    assert "first          2024-03-01 00:00" in imported.output
    assert "largest rate   +0.088%" in imported.output
    assert " 0 of them new" in " ".join(again.output.split())
    (line,) = [line for line in listed.output.splitlines() if PERP in line]
    assert line.split() == [PERP, "funding", "2024-03-01", "2024-03-31", "93", "stored"]
    assert "+0.088%" in checked.output
    assert max(map(len, checked.output.splitlines())) <= 80


def test_stored_funding_that_is_absurd_is_refused_by_the_check(tmp_path: Path) -> None:
    rates = Funding(PERP, np.array([NEW_YEAR]), np.array([7.0]))
    FundingStore(data_folder(tmp_path / "home")).write(rates)

    checked = run("check-data", "--instrument", PERP)

    assert checked.exit_code == DataError.exit_code
    assert "no venue charges more than" in " ".join(checked.output.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--instrument", BTC, "--funding"), "is a spot pair"),
        (("--instrument", PERP, "--funding", "-i", "1h"), "have no timeframe"),
        (("--instrument", PERP), "timeframe of the bars is missing"),
    ],
)
def test_an_import_that_makes_no_sense_is_refused_with_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    refused = run("import-data", str(RECORDED), *arguments)

    assert isinstance(refused.exception, UsageError)
    assert sentence in refused.exception.found
    assert refused.exception.remedy
    assert not (tmp_path / "home").exists()


def test_the_user_directory_can_be_given_as_an_option(tmp_path: Path) -> None:
    run(
        "import-data",
        str(a_file(tmp_path)),
        "--instrument",
        BTC,
        "-i",
        "1h",
        "--userdir",
        str(tmp_path / "other"),
    )

    assert BarStore(tmp_path / "other" / "data").holds(BTC, "1h")
    assert not (tmp_path / "home").exists()


def test_everything_fits_80_columns(tmp_path: Path) -> None:
    store = BarStore(data_folder(tmp_path / "home"))
    store.write(
        a_series(4000, instrument="1000000MOG/USDT:USDT@BINANCE", timeframe="1d", start=NEW_YEAR // 2)
    )

    for output in (run("list-data").output, run("check-data").output):
        assert max(map(len, output.splitlines())) <= 80
        assert "1000000MOG" in output


def test_a_name_with_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    path = a_file(tmp_path).rename(tmp_path / "[bold]bars.csv")

    assert run("import-data", str(path), "--instrument", BTC, "-i", "1h").exit_code == 0


def test_the_module_loads_nothing_heavy() -> None:
    script = (
        "import sys, abidance.cli.data; print(sorted({'numpy', 'polars', 'rich.table'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"


def test_holes_are_repaired_on_demand_and_the_ledger_says_so(tmp_path: Path) -> None:
    store = BarStore(data_folder(tmp_path / "home"))
    store.write(a_series(48, leave_out=(5, 6)))

    repaired = run("check-data", "--instrument", BTC, "-i", "1h", "--repair", "flat")
    again = run("check-data", "--instrument", BTC, "-i", "1h")

    assert "2 bars put in, in 1 holes" in repaired.output
    assert len(store.read(BTC, "1h")) == 48
    assert "2 of the bars were put in by repairs." in again.output


def test_holes_are_repaired_from_a_second_venue(tmp_path: Path) -> None:
    store = BarStore(data_folder(tmp_path / "home"))
    store.write(a_series(48, leave_out=(20,)))
    store.write(a_series(48, instrument="BTC/USDT@KRAKEN"))

    run("check-data", "--instrument", BTC, "--repair", "second", "--second", "BTC/USDT@KRAKEN")

    assert store.read(BTC, "1h").close[20] == pytest.approx(a_series(48).close[20])


@pytest.mark.parametrize(
    "arguments", [("--repair", "magic"), ("--repair", "second"), ("--repair", "flat", "--second", BTC)]
)
def test_a_repair_that_means_nothing_is_refused(arguments: tuple[str, ...]) -> None:
    checked = run("check-data", *arguments)

    assert isinstance(checked.exception, UsageError)


def test_a_terminal_without_block_letters_gets_others() -> None:
    drawn = subprocess.run(
        [sys.executable, "-m", "abidance", "check-data", "--instrument", "DOGE/USDT@BINANCE"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    ).stdout.decode("ascii")

    assert "2023 ##+#########" in drawn
    assert "?" not in drawn

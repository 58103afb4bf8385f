"""Stopping on request, setting a record aside, and what the commands say about themselves."""

import fcntl
import os
import signal
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from abidance.cli import demo, main, trade
from abidance.cli.trade import Stop
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import AbidanceError, DataError, JournalError, StrategyError
from abidance.model.order import Fill
from abidance.model.outcome import Notice
from abidance.run.golive import ACCOUNTS
from abidance.run.paper import JOURNAL
from tests.unit.backtest.results import make_fill, make_result


def test_the_first_signal_asks_and_the_second_does_not_wait() -> None:
    with Stop() as stop:
        before = stop()
        signal.raise_signal(signal.SIGTERM)
        asked = stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

    assert not before
    assert asked


def test_signals_mean_afterwards_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with pytest.raises(ZeroDivisionError), Stop():
        raise ZeroDivisionError

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGTERM)

            assert not stop()
    finally:
        signal.signal(signal.SIGTERM, before)


def quiet() -> Console:
    return Console(quiet=True)


def test_what_is_set_aside_is_kept_however_often(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "bot"
    for number in range(3):
        folder.mkdir(parents=True)
        (folder / JOURNAL).write_text(str(number))
        trade._set_aside(folder, quiet(), for_money=False)

    kept = sorted((path / JOURNAL).read_text() for path in folder.parent.iterdir())

    assert kept == ["0", "1", "2"]
    assert not folder.exists()


def test_nothing_to_set_aside_is_no_trouble(tmp_path: Path) -> None:
    trade._set_aside(tmp_path / "bot", quiet(), for_money=False)

    assert list(tmp_path.iterdir()) == []


def test_a_running_bot_is_not_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    with (folder / f"{JOURNAL}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(JournalError, match="is running"):
            trade._set_aside(folder, quiet(), for_money=False)

    assert folder.exists()


def recorded(userdir: Path, mode: str) -> Path:
    """Put a record of a bot named `bot` down, and return it."""
    record = userdir / "runs" / "bot" / JOURNAL
    FileJournal(record, RunHeader("r", "bot", mode, 0, "1.0", "c" * 64, {}, ())).close()
    return record


def refused(userdir: Path, *flags: str) -> AbidanceError:
    """Type the command for a bot of that name on paper, and return what it ended with."""
    app = typer.Typer()
    app.command()(trade.trade)
    typed = ["-s", "EmaCross", "-p", "BTC/USDT", "--set", "name=bot", "--plain", "--userdir", str(userdir)]
    result = CliRunner().invoke(app, [*typed, *flags])
    assert isinstance(result.exception, AbidanceError), result.output
    return result.exception


def _never(*_: object) -> None:
    raise DataError("The bot began.", "It should not have.")


SHORT = ("--speed", "0", "--timerange", "20250601-20250602")


@pytest.mark.parametrize("feed", [("--feed", "live"), SHORT])
@pytest.mark.parametrize("is_torn", [False, True])
def test_a_record_of_real_orders_is_not_set_aside_for_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feed: tuple[str, ...], is_torn: bool
) -> None:
    monkeypatch.setattr("abidance.run.live.run_live", _never)
    record = recorded(tmp_path, "live")
    (record.parent / ACCOUNTS).write_text("BINANCE main\t354937868\n")
    if is_torn:
        record.write_bytes(b"what nobody can read")
    before = record.read_bytes()

    error = refused(tmp_path, *feed, "--fresh")

    assert "real orders" in error.found
    assert "name=NAME" in error.remedy
    assert "--fresh" not in error.remedy
    assert record.read_bytes() == before
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["bot"]


def test_whoever_takes_a_live_bot_s_name_for_paper_is_told_to_take_another_and_not_to_begin_anew(
    tmp_path: Path,
) -> None:
    record = recorded(tmp_path, "live")

    error = refused(tmp_path, *SHORT)

    assert "on paper and with real orders is never on one record" in error.found
    assert "name=NAME" in error.remedy
    assert "--fresh" not in error.remedy
    assert record.exists()


def test_a_record_on_paper_is_set_aside_for_real_orders_and_for_paper(tmp_path: Path) -> None:
    for for_money in (False, True):
        record = recorded(tmp_path, "paper on live data")
        trade._set_aside(record.parent, quiet(), for_money=for_money)

        assert not record.exists()


def test_help_says_that_this_is_paper_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    app = main.app
    app.command("trade")(trade.trade)

    text = CliRunner().invoke(app, ["trade", "--help"]).output

    assert "no real orders" in text
    assert "replay of stored data" in text
    assert "--speed" in text
    assert "With --live it sends real ones." in text


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        (".venv/bin/abidance", ".venv/bin/abidance"),
        ("{here}/.venv/bin/abidance", ".venv/bin/abidance"),
        ("/opt/some where/abidance", "'/opt/some where/abidance'"),
    ],
)
def test_commands_are_shown_as_one_types_them_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, typed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [called.format(here=tmp_path)])

    assert demo.executable() == typed


def test_a_program_on_the_path_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "abidance"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [str(program)])

    assert demo.executable() == "abidance"


def test_a_module_is_called_through_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/abidance/__main__.py"])
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")

    assert demo.executable() == "/usr/bin/python3 -m abidance"


def test_paths_under_home_are_short_and_odd_ones_are_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert demo.typed(tmp_path / "a b" / "demo.toml") == "~/'a b/demo.toml'"
    assert demo.typed(Path("/srv/demo.toml")) == "/srv/demo.toml"


def fills(*prices: str) -> list[Fill]:
    return [make_fill(price=price) for price in prices]


def test_agreement_ends_at_the_first_difference() -> None:
    assert demo.agreeing(fills("1", "2", "3"), fills("1", "2", "3")) == 3
    assert demo.agreeing(fills("1", "2", "3"), fills("1", "9", "3")) == 1
    assert demo.agreeing(fills("1", "2", "3"), fills("1")) == 1
    assert demo.agreeing([], fills("1")) == 0


@pytest.mark.parametrize("is_real", [False, True])
def test_after_a_strategy_failed_nobody_is_led_away_from_real_positions(is_real: bool) -> None:
    failed = make_result(
        notices=[Notice(0, "error", "strategy_failed", "trend.py:7 divides by zero.", "trend")]
    )

    with pytest.raises(StrategyError, match=r"^trend\.py:7 divides by zero") as told:
        trade._refuse_failures(failed, is_real=is_real)

    assert "--fresh" in told.value.remedy
    assert ("close at the venue what it holds" in told.value.remedy) is is_real

"""The commands about instruments, as typed."""

from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.instruments import list_instruments, refresh_instruments, show_instrument
from abidance.cli.options import data_folder
from abidance.market.terms import Terms, TermsStore
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import Instrument
from abidance.venues.ccxt import terms as asked
from abidance.venues.net.config import FeedConfig
from tests.unit.market.series import BTC, NEW_YEAR

app = typer.Typer()
for command in (refresh_instruments, list_instruments, show_instrument):
    app.command(command.__name__.replace("_", "-"))(command)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def terms(tick: str, taker: str = "0.001") -> Terms:
    instrument = Instrument(
        BTC, Decimal(tick), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), max_orders=200
    )
    return Terms(instrument, "BTCUSDT", taker=Decimal(taker))


def test_a_venue_is_asked_and_its_answer_listed_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(venue: str, feed: FeedConfig) -> list[Terms]:
        assert venue == "BINANCE"
        return [terms("0.01")]

    monkeypatch.setattr(asked, "fetch_terms", answer)

    first, again = run("refresh-instruments", "binance"), run("refresh-instruments", "BINANCE")
    listed, shown = run("list-instruments", "binance"), run("show-instrument", BTC)

    assert "BINANCE: 1 instruments, 1 of them new or changed." in first.output
    assert "0 of them new or changed" in again.output
    assert any(BTC in line and "trading" in line and "venue" in line for line in listed.output.splitlines())
    assert "taker fee" in shown.output
    assert "0.1 %" in shown.output
    assert [line.split() for line in shown.output.splitlines() if "open orders" in line] == [
        ["open", "orders", "200"]
    ]
    assert "with a trigger" not in shown.output  # it does not say


def test_the_history_of_an_instrument_says_what_changed_and_when(tmp_path: Path) -> None:
    store = TermsStore(data_folder(tmp_path / "home"))
    for day, each in enumerate((terms("0.1"), terms("0.01"), terms("0.01", "0.002"))):
        store.add([each], NEW_YEAR + day * 86_400_000_000_000)

    shown = run("show-instrument", BTC)

    assert "known since 2024-01-01 00:00" in shown.output
    assert "changed since 2024-01-02 00:00: tick" in shown.output
    assert "changed since 2024-01-03 00:00: taker" in shown.output


def test_the_bundled_table_is_shown_before_any_venue_was_asked() -> None:
    listed, shown = run("list-instruments", "BYBIT"), run("show-instrument", "SOL/USDT@KRAKEN")

    assert "BTC/USDT:USDT@BYBIT" in listed.output
    assert "confirm them before trading" in shown.output


def test_a_venue_of_which_nothing_is_known_is_an_error_and_no_empty_list() -> None:
    listed = run("list-instruments", "nope")

    assert isinstance(listed.exception, DataError)
    assert "No instruments of NOPE are known." in str(listed.exception)


def test_an_instrument_that_nobody_knows_is_refused() -> None:
    assert isinstance(run("show-instrument", "NO/SUCH@BINANCE").exception, UsageError)

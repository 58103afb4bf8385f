"""`abidance circuits`: what is not closed, by the record, and nothing that is not known."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.circuits import circuits
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import UsageError
from abidance.model.event import CircuitMoved, CircuitState, Part
from abidance.run.bot import JOURNAL

app = typer.Typer()
app.command()(circuits)


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "runs" / "bot"
    folder.mkdir(parents=True)
    with FileJournal(folder / JOURNAL, RunHeader("r", "bot", "live", 0, "0", "c", {}, ())) as journal:
        journal.append(CircuitMoved(1, "BINANCE", Part.REQUESTS, CircuitState.OPEN, "Requests failed.", 1))
        journal.append(CircuitMoved(2, "", Part.DISK, CircuitState.OPEN, "No room.", 1))
        journal.append(CircuitMoved(3, "BINANCE", Part.REQUESTS, CircuitState.CLOSED))
    return tmp_path


def run(userdir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--userdir", str(userdir)])


def test_what_is_not_closed_is_listed_with_its_reason(bot: Path) -> None:
    told = run(bot, "bot").output

    assert "every one" in told
    assert "No room." in told
    assert "Requests failed." not in told


def test_a_bot_without_open_circuits_says_so(bot: Path) -> None:
    with FileJournal(bot / "runs" / "bot" / JOURNAL) as journal:
        for record in journal.inputs(lambda _: True):
            assert record.event is not None
            journal.append(record.event)
        journal.append(CircuitMoved(4, "", Part.DISK, CircuitState.CLOSED))

    assert run(bot, "bot").output == "Every circuit of bot is closed.\n"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (("nobody",), "There is no bot"),
        (("bot", "--reset"), "is not running"),
        (("bot", "--reset", "--part", "moon"), "There is no circuit 'moon'"),
    ],
)
def test_what_cannot_be_is_told(bot: Path, typed: tuple[str, ...], found: str) -> None:
    error = run(bot, *typed).exception

    assert isinstance(error, UsageError)
    assert found in str(error)
    assert error.remedy

"""`download-data` and `data sql` where something is in the way."""

import re
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.download import download_data, sql
from abidance.model import errors
from abidance.model.errors import AbidanceError, DataError, UsageError, VenueError
from abidance.run import downloading
from abidance.run.downloading import Outcome, Wish
from tests.unit.market.series import BTC

app = typer.Typer()
app.command("download-data")(download_data)
app.command("sql")(sql)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ([VenueError("BINANCE does not answer.")], 8),
        ([DataError("It has no bars of 7m."), VenueError("BINANCE does not answer.")], 8),
        ([DataError("It has no bars of 7m."), None], 4),
        ([None], 0),
    ],
)
def test_the_exit_code_is_that_of_the_exchange_where_it_failed(
    monkeypatch: pytest.MonkeyPatch, faults: list[AbidanceError | None], code: int
) -> None:
    async def download(_wish: Wish, *_: object) -> list[Outcome]:
        return [Outcome(BTC, "1h", 0, fault) for fault in faults]

    monkeypatch.setattr(downloading, "download", download)

    assert run("download-data", "-p", BTC).exit_code == code


def test_a_folder_of_archives_that_is_missing_is_said_to_be() -> None:
    done = run("download-data", "--from-files", "/nope", "--venue", "BINANCE")

    assert isinstance(done.exception, UsageError)
    assert done.exception.found == "The folder /nope is missing."


def test_an_answer_may_be_written_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "answer.csv"

    done = run("sql", "select 1 as a", "-o", str(target))

    assert done.exit_code == 0
    assert pl.read_csv(target)["a"].to_list() == [1]


def test_an_answer_that_cannot_be_written_is_said_in_plain_words() -> None:
    done = run("sql", "select 1 as a", "-o", "/proc/answer.csv")

    assert isinstance(done.exception, UsageError)
    assert done.exception.found.startswith("/proc/answer.csv cannot be written")
    assert "os error" not in str(done.exception)


def test_every_exit_code_stands_in_the_tree_of_errors() -> None:
    tree = dict(re.findall(r"(\w+Error) +exit (\d+)", errors.__doc__ or ""))

    kinds: list[type[AbidanceError]] = [AbidanceError, *AbidanceError.__subclasses__()]
    ours = {kind.__name__: str(kind.exit_code) for kind in kinds if kind.__module__ == errors.__name__}
    assert tree == ours

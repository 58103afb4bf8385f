"""`abidance kill NAME --release`: what it says is what happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.kill import kill
from abidance.model.errors import UsageError
from abidance.model.event import ControlAction
from abidance.run.door import Answer, Door, Wish, Word
from abidance.run.killing import Extent, killed
from abidance.run.killing import kill as throw

app = typer.Typer()
app.command()(kill)
ENDED = Answer(1, notices=(Word("warning", "release", "tester ended the halt."),))
NONE = Answer(1, notices=(Word("info", "release", "tester released a halt, but there was none."),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "runs" / "bot"
    found.mkdir(parents=True)
    return found


def release(folder: Path, name: str = "bot") -> Result:
    return CliRunner().invoke(app, [name, "--release", "--userdir", str(folder.parents[1])])


@contextmanager
def answering(folder: Path, answer: Answer) -> Iterator[list[Wish]]:
    """Let a node stand at the door that answers everything alike."""
    taken: list[Wish] = []

    def take(wish: Wish) -> Answer:
        taken.append(wish)
        return answer

    door = Door(folder, lambda: door.drain(take), end=lambda: None)
    try:
        yield taken
    finally:
        door.close()


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/bot", "bot/", "a b"])
@pytest.mark.parametrize("flags", [[], ["--release"]])
def test_what_can_be_no_bots_name_kills_nothing_and_is_told(
    folder: Path, name: str, flags: list[str]
) -> None:
    before = sorted(folder.parents[1].rglob("*"))

    told = CliRunner().invoke(app, [name, *flags, "--userdir", str(folder.parents[1])])

    assert isinstance(told.exception, UsageError)
    assert "no name of a bot" in told.exception.found
    assert sorted(folder.parents[1].rglob("*")) == before


@pytest.mark.parametrize("is_thrown", [True, False])
def test_a_bot_that_runs_is_told_to_end_its_halt_whether_or_not_the_switch_is_thrown(
    folder: Path, is_thrown: bool
) -> None:
    if is_thrown:
        throw(folder, "tester", Extent.ALL)

    with answering(folder, ENDED) as taken:
        told = release(folder)

    assert told.output.startswith("Released: bot may enter again")
    assert [each.action for each in taken] == [ControlAction.RELEASE]
    assert killed(folder) is None


def test_the_switch_of_a_bot_that_does_not_run_or_is_busy_is_taken_back(folder: Path) -> None:
    throw(folder, "tester")
    stopped = release(folder)
    throw(folder, "tester")

    with answering(folder, Answer(error="The node is busy.")):
        busy = release(folder)

    assert stopped.output.startswith("Released: bot")
    assert "The node is busy." in busy.output
    assert killed(folder) is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [(NONE, "bot is not halted"), (Answer(error="The node is busy."), "The node is busy.")],
)
def test_a_release_that_ended_nothing_is_an_error(folder: Path, answer: Answer, told: str) -> None:
    with answering(folder, answer):
        error = release(folder).exception

    assert isinstance(error, UsageError)
    assert told in str(error)


@pytest.mark.parametrize(("name", "told"), [("bot", "is not running"), ("nobody", "There is no bot")])
def test_a_release_without_a_switch_and_without_a_bot_that_runs_is_an_error(
    folder: Path, name: str, told: str
) -> None:
    error = release(folder, name).exception

    assert isinstance(error, UsageError)
    assert told in str(error)

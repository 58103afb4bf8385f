"""`abidance loans`: nothing is asked for unless it was confirmed and a bot runs; what is refused is told."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from abidance.cli import loans
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import AbidanceError, UsageError
from abidance.model.event import ControlAction
from abidance.model.outcome import Decided, Notice
from abidance.run import door
from abidance.run.bot import JOURNAL
from abidance.run.door import Answer, Wish, Word
from abidance.run.owing import Owed


class Bot:
    """A bot's folder with a record; it answers at its door with what a test gives, and writes what comes after."""

    def __init__(self, userdir: Path) -> None:
        self.folder = userdir / "runs" / "bot"
        self.folder.mkdir(parents=True)
        self.wishes: list[Wish] = []
        self.answer = Answer(
            3, notices=(Word("warning", "loan_asked", "You ask for borrowing 5 USDT at BYBIT."),)
        )
        self.later: list[str] = []
        self.deaf = 0

    def ask(self, folder: Path, wish: Wish) -> Answer:
        assert folder == self.folder
        self.wishes.append(wish)
        if len(self.wishes) <= self.deaf:
            raise AbidanceError("It did not answer.", "Look.")
        header = RunHeader("r", "bot", "live", 0, "0", "c", {}, ())
        with FileJournal(folder / JOURNAL, header) as journal:
            before = Notice(1, "info", "loan_done", "an older one")
            for notice in (
                before,
                before,
                before,
                *(Notice(9, "info", code, f"told {code}") for code in self.later),
            ):
                journal.append(Decided(9, notices=(notice,)))
        return self.answer


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bot:
    made = Bot(tmp_path)
    monkeypatch.setattr(door, "ask", made.ask)
    monkeypatch.setattr(loans, "PATIENCE", 0.0)
    return made


def run(bot: Bot, *arguments: str) -> Result:
    return CliRunner().invoke(loans.app, [*arguments, "--userdir", str(bot.folder.parents[1])])


@pytest.mark.parametrize(
    ("typed", "action", "values"),
    [
        (("borrow", "bot", "usdt", "5"), ControlAction.BORROW, {"venue": "", "asset": "USDT", "amount": "5"}),
        (
            ("repay", "bot", "BTC", "ALL", "--venue", "bybit"),
            ControlAction.REPAY,
            {"venue": "BYBIT", "asset": "BTC", "amount": "all"},
        ),
    ],
)
def test_what_is_typed_goes_to_the_bot_and_what_came_of_it_is_told(
    bot: Bot,
    monkeypatch: pytest.MonkeyPatch,
    typed: tuple[str, ...],
    action: ControlAction,
    values: Mapping[str, str],
) -> None:
    monkeypatch.setattr(loans, "PATIENCE", 5.0)
    bot.later = ["loan_unknown", "loan_done"]

    result = run(bot, *typed, "--confirm", "bot")

    (wish,) = bot.wishes
    assert (wish.action, wish.values) == (action, values)
    assert wish.actor.endswith("in a terminal")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "You ask for borrowing 5 USDT at BYBIT.",
        "told loan_unknown",
        "told loan_done",
    ]


def test_what_came_to_nothing_or_is_not_known_in_time_is_no_success(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = run(bot, "borrow", "bot", "USDT", "5", "--confirm", "bot")
    (bot.folder / JOURNAL).unlink()
    monkeypatch.setattr(loans, "PATIENCE", 5.0)
    bot.later = ["loan_refused"]
    refused = run(bot, "borrow", "bot", "USDT", "5", "--confirm", "bot")

    assert (unknown.exit_code, refused.exit_code) == (1, 1)
    assert "abidance loans list bot" in unknown.output
    assert "told loan_refused" in refused.output


@pytest.mark.parametrize("confirm", [(), ("--confirm", "another")])
def test_what_was_not_confirmed_is_not_asked_for(bot: Bot, confirm: tuple[str, ...]) -> None:
    error = run(bot, "borrow", "bot", "USDT", "5", *confirm).exception

    assert isinstance(error, UsageError)
    assert "was not confirmed" in error.found
    assert bot.wishes == []


def test_what_the_bot_refuses_is_told_with_its_reason(bot: Bot) -> None:
    bot.answer = Answer(3, notices=(Word("warning", "loan_refused", "You: too much."),))

    error = run(bot, "borrow", "bot", "USDT", "5", "--confirm", "bot").exception

    assert isinstance(error, UsageError)
    assert error.found == "You: too much."


def test_a_bot_that_does_not_run_borrows_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        loans.app, ["borrow", "bot", "USDT", "5", "--confirm", "bot", "--userdir", str(tmp_path)]
    )

    assert isinstance(result.exception, UsageError)
    assert "is not running" in result.exception.found


def test_a_bot_that_did_not_answer_is_asked_again_under_the_same_id_and_obeys_once(bot: Bot) -> None:
    bot.deaf = 1

    run(bot, "borrow", "bot", "USDT", "5", "--confirm", "bot")

    first, second = bot.wishes
    assert first == second
    assert len(first.id) == 32


@pytest.mark.parametrize(("there", "code"), [("5.001", 0), ("6", 1)])
def test_the_list_tells_what_is_owed_on_both_sides_and_fails_where_they_differ(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, there: str, code: int
) -> None:
    async def owed(*_: object) -> list[Owed]:
        return [Owed("BYBIT", "USDT", Decimal(there), Decimal("5.000"), Decimal("0.25"))]

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("abidance.run.reconciling.replica_of", lambda _: SimpleNamespace(config=None))
    monkeypatch.setattr("abidance.run.keys.open_keys", lambda *_: None)
    monkeypatch.setattr("abidance.run.golive.access_of", lambda *_: {})
    monkeypatch.setattr("abidance.run.owing.owed_of", owed)

    result = run(bot, "list", "bot")

    row = next(line for line in result.output.splitlines() if "USDT" in line)
    assert row.split() == ["BYBIT", "USDT", there, "5", "0.25"]
    assert result.exit_code == code
    assert ("They differ" in result.output) == bool(code)


def test_a_bot_that_owes_nothing_says_so(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def owed(*_: object) -> list[Owed]:
        return []

    monkeypatch.setattr("abidance.run.reconciling.replica_of", lambda _: SimpleNamespace(config=None))
    monkeypatch.setattr("abidance.run.keys.open_keys", lambda *_: None)
    monkeypatch.setattr("abidance.run.golive.access_of", lambda *_: {})
    monkeypatch.setattr("abidance.run.owing.owed_of", owed)

    assert run(bot, "list", "bot").output == "bot owes nothing.\n"

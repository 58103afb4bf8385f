import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from abidance.journal.store import FileJournal
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import UsageError
from abidance.model.event import Control, ControlAction
from abidance.model.outcome import Decided
from abidance.run.bot import Bot
from abidance.run.config import load
from abidance.run.door import DOOR, LONGEST, Answer, Answers, Door, Presence, Wish, ask, is_answering
from abidance.run.paper import Paper

PAUSE = Wish(ControlAction.PAUSE_ENTRIES, "ada")


@contextmanager
def node(folder: Path, take: Callable[[Wish], Answer]) -> Iterator[Door]:
    """Run a node that does nothing but take wishes."""
    door, over, news = Door(folder), threading.Event(), threading.Event()
    door.wake = news.set

    def turn() -> None:
        while not over.is_set():
            door.drain(take)
            news.wait(0.05)
            news.clear()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield door
    finally:
        over.set()
        thread.join()
        door.close()


def counting(taken: list[Wish], seq: int) -> Callable[[Wish], Answer]:
    """Take wishes into a list and answer each with `seq`."""

    def take(wish: Wish) -> Answer:
        taken.append(wish)
        return Answer(seq=seq)

    return take


def test_a_wish_is_taken_by_the_node_and_its_answer_comes_back(tmp_path: Path) -> None:
    taken: list[Wish] = []

    with node(tmp_path, counting(taken, 7)):
        answer = ask(tmp_path, PAUSE)

    assert answer == Answer(seq=7)
    assert taken == [PAUSE]


def test_the_same_request_sent_again_is_not_obeyed_twice(tmp_path: Path) -> None:
    taken: list[Wish] = []
    wish = Wish(ControlAction.ORDER, "ada", "one", {"quantity": "1"}, id="x1")

    with node(tmp_path, counting(taken, 1)):
        answers = [ask(tmp_path, wish), ask(tmp_path, wish)]

    assert answers == [Answer(seq=1), Answer(seq=1)]
    assert len(taken) == 1


def test_nobody_else_may_open_the_door(tmp_path: Path) -> None:
    with node(tmp_path, lambda _: Answer()):
        mode = stat.S_IMODE((tmp_path / DOOR).stat().st_mode)

    assert mode == 0o600
    assert not (tmp_path / DOOR).exists()


def test_a_node_that_is_not_there_is_told_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not running"):
        ask(tmp_path, PAUSE)

    assert not is_answering(tmp_path)


def test_the_door_of_a_killed_node_stands_in_nobodys_way(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / DOOR))
    left.close()
    before = is_answering(tmp_path)

    with node(tmp_path, lambda _: Answer(seq=1)):
        during = is_answering(tmp_path), ask(tmp_path, PAUSE).seq

    assert before is False
    assert during == (True, 1)


def test_a_presence_ends_with_the_node_and_comes_back_with_it(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    found = [bool(presence)]

    for _ in range(2):
        with node(tmp_path, lambda _: Answer()):
            found += [bool(presence), bool(presence)]
            assert (
                sum(each.name == "door" for each in threading.enumerate()) <= 2
            )  # one that listens, one that stays
        found.append(bool(presence))

    presence.close()
    assert found == [False, True, True, False, True, True, False]


def test_who_hangs_on_a_door_does_not_keep_it_from_closing(tmp_path: Path) -> None:
    with node(tmp_path, lambda _: Answer(seq=4)):
        others = [Presence(tmp_path) for _ in range(3)]
        there = [bool(each) for each in others]
        answer = ask(tmp_path, PAUSE)

    assert there == [True] * 3
    assert answer.seq == 4
    assert [bool(each) for each in others] == [False] * 3


def test_a_door_that_a_killed_node_left_is_nobodys_presence(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / DOOR))
    left.close()

    assert not Presence(tmp_path)


def test_a_run_folder_with_a_long_name_has_a_door_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / ("name" * 30)
    folder.mkdir(parents=True)

    with node(folder, lambda _: Answer(seq=3)):
        assert ask(folder, PAUSE).seq == 3


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"null\n", b'{"action": "explode", "actor": "x"}\n', b'{"action": "kill"}\n', b"\xff\xfe\n",
     b'{"action": "kill", "actor": "x", "root": 1}\n', b"[" * 60_000 + b"\n", b'{"action": "kill", "actor": 1}\n'],
)  # fmt: skip
def test_what_cannot_be_read_is_answered_and_reaches_no_engine(tmp_path: Path, line: bytes) -> None:
    taken: list[Wish] = []

    with (
        node(tmp_path, counting(taken, 0)),
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(tmp_path / DOOR))
        connection.sendall(line)
        told = connection.recv(LONGEST)

    assert b"cannot be read" in told
    assert not taken


def test_who_says_too_much_or_nothing_is_left_alone(tmp_path: Path) -> None:
    with node(tmp_path, lambda _: Answer(seq=1)):
        for data in (b"", b"x" * 10, b"x" * (LONGEST + 5_000)):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / DOOR))
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        assert ask(tmp_path, PAUSE).seq == 1


def test_whoever_waits_when_the_node_stops_is_told(tmp_path: Path) -> None:
    door = Door(tmp_path)
    waiting = threading.Event()
    door.wake = waiting.set
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask(tmp_path, PAUSE)))
    thread.start()
    assert waiting.wait(30)

    door.close()
    thread.join()

    assert answers[0].error == "The node has stopped."


# --- a bot's own door


def bot(folder: Path) -> Paper:
    settings = Path(str(files("abidance").joinpath("data", "demo.toml")))
    config = load([settings], {"timerange": "20250501-20250504", "journal_sync": "never"}, {})
    return Paper(config, Catalog(BarStore(folder / "data")), None, folder / "run")


class Person:
    """Asks a bot one thing after the other, from a thread of its own, and stops it then."""

    def __init__(self, folder: Path, *wishes: Wish) -> None:
        self.answers: list[Answer] = []
        self.is_done = False
        self._folder = folder
        self._wishes = wishes
        self._thread = threading.Thread(target=self._work)

    def watch(self, _: object) -> None:
        """Begin once the bot is at work."""
        if self._thread.ident is None:
            self._thread.start()

    def _work(self) -> None:
        try:
            self.answers = [ask(self._folder, wish) for wish in self._wishes]
        finally:
            self.is_done = True


ORDER: dict[str, float | int | str | bool] = {
    "instrument": "BTC/USDT@BINANCE",
    "side": "buy",
    "quantity": "0.002",
}


def test_a_manual_order_passes_the_same_gate_and_is_on_record_with_its_actor(tmp_path: Path) -> None:
    person = Person(
        tmp_path / "run",
        Wish(ControlAction.ORDER, "ada", "Donchian", ORDER),
        Wish(ControlAction.ORDER, "ada", "Donchian", {**ORDER, "stop_distance": 900.0}),
        Wish(ControlAction.ORDER, "ada", "Donchian", {**ORDER, "quantity": "0.0000001"}),
        Wish(ControlAction.ORDER, "ada", "Nobody", ORDER),
        Wish(ControlAction.ORDER, "ada", "Donchian", {"side": "buy"}),
        Wish(ControlAction.CANCEL_ORDER, "ada", "Donchian", {"order_id": "0" * 32}),
    )

    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: person.is_done, person.watch)
        orders = {each.id: each for each in paper.engine.state.orders.all()}
    bare, sent, small, nobody, lacking, unknown = person.answers

    assert [each.code for each in bare.refusals] == ["missing_stop"]
    assert orders[sent.orders[0]].request.tag == "manual"
    assert orders[sent.orders[0]].request.strategy == "Donchian"
    assert [each.code for each in small.refusals] == ["malformed"]
    assert [each.notices[0].code for each in (nobody, lacking, unknown)] == ["manual_refused"] * 3


def test_a_kill_stops_the_bot_and_survives_its_restart(tmp_path: Path) -> None:
    person = Person(tmp_path / "run", Wish(ControlAction.KILL, "ada", values={"flatten": True}))

    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: person.is_done, person.watch)
    again = Person(
        tmp_path / "run", Wish(ControlAction.ORDER, "ada", "Donchian", {**ORDER, "stop_distance": 900.0})
    )
    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: again.is_done, again.watch)

    assert [each.code for each in again.answers[0].refusals] == ["halted"]
    assert "ada used the kill switch" in again.answers[0].refusals[0].reason


class KilledError(BaseException):
    """The process ends where it is."""


def dying_after(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die right after a record of this kind was written that has to do with a person's order."""
    append = FileJournal.append

    def writes(self: FileJournal, event: Any, *, deferred: bool = False) -> None:
        append(self, event, deferred=deferred)
        is_asked = isinstance(event, Control) and bool(event.id)
        tells = isinstance(event, Decided) and any(each.request.tag == "manual" for each in event.verdicts)
        if isinstance(event, kind) and (is_asked or tells):
            raise KilledError

    monkeypatch.setattr(FileJournal, "append", writes)


def by_hand(paper: Paper) -> list[str]:
    return [each.id for each in paper.engine.state.orders.all() if each.request.tag == "manual"]


ONE = Wish(ControlAction.ORDER, "ada", "Donchian", {**ORDER, "stop_distance": 900.0}, id="ada:1")


def test_a_request_sent_again_after_a_restart_gets_the_same_answer_and_places_nothing(tmp_path: Path) -> None:
    refused = Wish(ControlAction.ORDER, "ada", "Donchian", ORDER, id="ada:2")
    first, again = Person(tmp_path / "run", ONE, refused), Person(tmp_path / "run", refused, ONE)

    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: first.is_done, first.watch)
        before = by_hand(paper)
    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: again.is_done, again.watch)
        after = by_hand(paper)

    assert again.answers == first.answers[::-1]
    assert first.answers[0].orders == tuple(before)
    assert [each.code for each in first.answers[1].refusals] == ["missing_stop"]
    assert after == before


@pytest.mark.parametrize("kind", [Control, Decided])
def test_a_request_whose_answer_died_with_its_process_is_answered_by_the_next_one_and_obeyed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    killed, again = Person(tmp_path / "run", ONE), Person(tmp_path / "run", ONE, ONE)

    with monkeypatch.context() as patched, bot(tmp_path) as paper:
        dying_after(kind, patched)
        with pytest.raises(KilledError):
            paper.run(36_000.0, lambda: killed.is_done, killed.watch)
    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: again.is_done, again.watch)
        placed = by_hand(paper)

    assert len(placed) == 1
    assert [each.orders for each in again.answers] == [tuple(placed)] * 2


def test_a_request_that_was_not_on_record_when_its_process_died_is_obeyed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, again = Person(tmp_path / "run", ONE), Person(tmp_path / "run", ONE)

    def dies(self: Bot, wish: Wish) -> Answer:
        raise KilledError

    with monkeypatch.context() as patched, bot(tmp_path) as paper:
        patched.setattr(Bot, "_obey", dies)
        with pytest.raises(KilledError):
            paper.run(36_000.0, lambda: killed.is_done, killed.watch)
    with bot(tmp_path) as paper:
        paper.run(36_000.0, lambda: again.is_done, again.watch)
        placed = by_hand(paper)

    assert len(placed) == 1
    assert again.answers[0].orders == tuple(placed)


def test_no_more_than_a_thousand_answers_are_kept_the_newest(tmp_path: Path) -> None:
    answers = Answers()

    for number in range(1_500):
        answers.keep(f"{number}", Answer(number))
    answers.keep("", Answer(7))

    assert [answers.of("") is None, answers.of("499") is None, answers.of("500")] == [True, True, Answer(500)]

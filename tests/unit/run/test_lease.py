"""Leases in a PostgreSQL of our own: one holder at a time, over machines, whatever dies when."""

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from abidance.market.store import postgres
from abidance.model.errors import DataError, JournalError, UsageError
from abidance.run import lease as module
from abidance.run.lease import EVERY, HOLD, MARGIN, Claim, Lease, leased
from tests.postgres import driver, server

psycopg = driver()
BINANCE, KRAKEN = Claim("BINANCE 0a", "BINANCE main"), Claim("KRAKEN 0b", "KRAKEN main")


class Clock:
    """Time as one machine has it; it has nothing to do with the database's."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Row(NamedTuple):
    holder: str
    fence: int
    is_held: bool


class Book:
    """The database as its keeper sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.made: list[Lease] = []

    def says(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as link:
            found = link.execute(statement, values)
            return found.fetchall() if found.description else []

    def row(self, claim: Claim = BINANCE) -> Row | None:
        if self.says("SELECT to_regclass('abidance.leases')") == [(None,)]:
            return None
        select = "SELECT holder, fence, expires > clock_timestamp() FROM abidance.leases WHERE account = %s"
        found = self.says(select, claim.account)
        return Row(*found[0]) if found else None

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the database, and not for machines."""
        self.says("UPDATE abidance.leases SET expires = expires - make_interval(secs => %s)", seconds)

    def lease(self, holder: str, *claims: Claim, clock: Clock | None = None) -> Lease:
        self.made.append(Lease(self.url, claims or (BINANCE,), holder, clock or self.clock))
        return self.made[-1]

    def taken(self, holder: str, *claims: Claim, clock: Clock | None = None) -> Lease:
        found = self.lease(holder, *claims, clock=clock)
        found.take()
        return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as found:
        yield found


@pytest.fixture
def book(url: str) -> Iterator[Book]:
    found = Book(url)
    yield found
    for each in found.made:
        each.close()
    found.says("DROP SCHEMA IF EXISTS abidance CASCADE")


def test_a_second_machine_is_refused_and_told_who_has_the_account(book: Book) -> None:
    first = book.taken("bot on one, process 7")

    with pytest.raises(JournalError) as refused:
        book.taken("bot on two, process 9")

    assert refused.value.found == "Another bot trades on the account BINANCE main: bot on one, process 7."
    assert "its lease ends in 30 s" in str(refused.value.remedy)
    assert first.doubt() == ""
    assert book.row() == Row("bot on one, process 7", 1, is_held=True)


def test_two_who_come_at_once_are_not_both_let_in(book: Book) -> None:
    together, told = threading.Barrier(6), []

    def comes(name: str) -> None:
        mine = book.lease(name)
        together.wait()
        try:
            mine.take()
        except JournalError:
            told.append("")
        else:
            told.append(name)
        mine.close()

    threads = [threading.Thread(target=comes, args=(f"bot {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = [name for name in told if name]
    assert len(told) == 6
    assert book.row() == Row(winner, 1, is_held=True)


def test_what_was_left_is_taken_over_once_it_has_ended_and_not_before(book: Book) -> None:
    dead = book.taken("dead")
    dead.close()

    book.pass_time(HOLD - 5)
    with pytest.raises(JournalError, match="dead"):
        book.taken("heir")
    book.pass_time(5)
    book.taken("heir")

    assert book.row() == Row("heir", 2, is_held=True)


def test_who_comes_back_after_it_was_taken_over_risks_nothing_and_takes_nothing_back(book: Book) -> None:
    asleep, other = book.taken("asleep"), Clock()
    book.pass_time(HOLD)
    heir = book.taken("heir", clock=other)

    book.clock.now += 3_600
    asleep.renew()
    asleep.give_back()
    heir.renew()

    assert asleep.doubt() == "the lease on BINANCE main is held by heir. Stop one of the two bots."
    assert heir.doubt() == ""
    assert book.row() == Row("heir", 2, is_held=True)


def test_renewed_in_time_it_is_never_in_doubt_and_never_to_be_had(book: Book) -> None:
    mine = book.taken("mine")

    for _ in range(20):
        book.clock.now += EVERY
        book.pass_time(EVERY)
        mine.renew()
        assert mine.doubt() == ""
        with pytest.raises(JournalError):
            book.taken("another")


def test_nothing_is_risked_any_more_well_before_another_one_could_have_the_account(book: Book) -> None:
    mine = book.taken("mine")
    mine.failed(DataError("The database of leases cannot be used: gone.", ""))
    mine.failed(DataError("something else", ""))

    book.clock.now += HOLD - MARGIN - 0.001
    before = mine.doubt()
    book.clock.now += 0.001
    after = mine.doubt()
    row = book.row()

    assert before == ""
    assert (
        after
        == "the lease on BINANCE main could not be renewed: The database of leases cannot be used: gone."
    )
    assert row is not None
    assert row.is_held


def test_an_answer_that_took_long_counts_from_when_it_was_asked_for(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, connected = book.lease("mine"), postgres.connected

    def slowly(*given: Any, **named: Any) -> Any:
        book.clock.now += 60
        return connected(*given, **named)

    monkeypatch.setattr(module, "connected", slowly)
    mine.take()

    assert mine.doubt()
    mine.renew()
    assert mine.doubt() == ""


def test_a_lease_that_ended_and_that_nobody_took_is_renewed(book: Book) -> None:
    mine = book.taken("mine")
    book.clock.now += 3_600
    book.pass_time(3_600)
    ended = mine.doubt()

    mine.renew()

    assert ended
    assert mine.doubt() == ""
    assert book.row() == Row("mine", 1, is_held=True)


def test_what_was_given_back_is_to_be_had_at_once(book: Book) -> None:
    first = book.taken("first")

    first.give_back()
    book.taken("second")

    assert book.row() == Row("second", 2, is_held=True)


def test_who_may_not_have_one_account_gets_none(book: Book) -> None:
    book.taken("first", KRAKEN)

    with pytest.raises(JournalError, match="the account KRAKEN main: first"):
        book.taken("second", BINANCE, KRAKEN)

    assert book.row(BINANCE) is None


def test_a_lock_of_this_machine_proves_that_its_last_holder_is_gone(book: Book) -> None:
    here, there = BINANCE._replace(lock="boot 1 77"), BINANCE._replace(lock="boot 2 77")
    book.taken("killed", here)

    with pytest.raises(JournalError, match="killed"):
        book.taken("another machine", there)
    with pytest.raises(JournalError, match="killed"):
        book.taken("a machine without such a lock")
    book.taken("the same bot again", here)

    assert book.row() == Row("the same bot again", 2, is_held=True)


def test_two_machines_without_such_a_lock_are_not_taken_for_one(book: Book) -> None:
    book.taken("first", BINANCE)

    with pytest.raises(JournalError, match="first"):
        book.taken("second", BINANCE)


def test_a_row_that_somebody_deleted_is_lost(book: Book) -> None:
    mine = book.taken("mine")
    book.says("DELETE FROM abidance.leases")

    mine.renew()

    assert "held by nobody: its row is gone" in mine.doubt()


@pytest.mark.parametrize("step", ["take", "renew", "give_back"])
def test_a_process_that_dies_within_a_step_leaves_the_rows_as_they_were(
    book: Book, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its connection ends before the database was told that the transaction is whole."""
    mine = book.lease("mine", BINANCE, KRAKEN)
    if step != "take":
        mine.take()
    before = book.row(BINANCE), book.row(KRAKEN)

    class Killed(BaseException):
        pass

    execute, written = psycopg.Connection.execute, []

    def dies(self: Any, query: str, *given: Any) -> Any:
        found = execute(self, query, *given)
        written.extend([query] * query.startswith(("INSERT", "UPDATE")))
        if len(written) == 2:  # all is written, and the last word is not said
            self.pgconn.finish()
            raise Killed
        return found

    monkeypatch.setattr(psycopg.Connection, "execute", dies)
    with pytest.raises(Killed):
        getattr(mine, step)()
    monkeypatch.undo()

    assert (book.row(BINANCE), book.row(KRAKEN)) == before


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    nowhere = Lease("postgresql://me:very-secret@127.0.0.1:9/db", (BINANCE,), "mine")

    with pytest.raises(DataError) as refused:
        nowhere.take()

    assert "postgresql://me:***@127.0.0.1:9/db cannot be used" in refused.value.found
    assert "very-secret" not in str(refused.value)


def test_a_renewal_after_the_connection_broke_takes_another_one(book: Book) -> None:
    mine = book.taken("mine")
    book.says(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'me'"
    )

    with pytest.raises(DataError):
        mine.renew()
    mine.renew()

    assert mine.doubt() == ""


def test_the_accounts_of_a_bot_are_held_renewed_and_given_back(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = threading.Event()
    renew = Lease.renew

    def noted(self: Lease) -> None:
        renew(self)
        renewed.set()

    monkeypatch.setattr(module, "EVERY", 0.01)
    monkeypatch.setattr(Lease, "renew", noted)

    with leased(book.url, (BINANCE,), "my bot") as doubt:
        assert renewed.wait(30)
        during, told = book.row(), doubt()
    after = book.row()

    assert during is not None
    assert during.is_held
    assert during.holder.startswith("my bot on ")
    assert told == ""
    assert after is not None
    assert not after.is_held


def test_without_a_database_nothing_is_asked_and_nothing_told() -> None:
    with leased("", (BINANCE,), "my bot") as doubt:
        assert doubt() == ""


def test_a_lease_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)

    with pytest.raises(UsageError, match="A lease in PostgreSQL needs the extra `postgres`"):
        Lease("postgresql://me@here/db", (BINANCE,), "mine")


def test_a_lease_waits_for_no_database_longer_than_it_may(book: Book) -> None:
    """What a network that swallows everything, or a process that stops within a transaction, could hold up."""
    mine, asked = book.taken("mine"), dict[str, str]()
    with mine._answering() as link:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            (found,) = link.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",)
            asked[name] = found
        told = link.info.get_parameters()

    assert asked == {"statement_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}
    assert told["tcp_user_timeout"] == "5000"
    keepalive = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [int(told.get(name, 1)) for name in keepalive] == [1, 5, 2, 2]
    assert int(told["connect_timeout"]) * 1.0 <= EVERY


def test_who_stops_within_a_transaction_holds_no_row_for_others(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that falls asleep between two statements: the database ends its transaction, and the row is free."""
    monkeypatch.setattr(module, "_PATIENCE_MS", 300)
    asleep = book.taken("asleep")
    other = book.lease("other", clock=Clock())

    with pytest.raises(DataError, match="cannot be used"), asleep._answering() as link:  # noqa: PT012
        link.execute("UPDATE abidance.leases SET expires = clock_timestamp()")
        with psycopg.connect(book.url, autocommit=True) as keeper:  # it waits for the row until it is free
            keeper.execute("SELECT account FROM abidance.leases FOR UPDATE")
        link.execute("SELECT 1")
    book.pass_time(HOLD)
    other.take()

    assert book.row() == Row("other", 2, is_held=True)

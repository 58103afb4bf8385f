"""The file of users, sessions and tokens: how it is opened, and that one of an older version is taken along."""

import sqlite3
from pathlib import Path

import pytest

from abidance.model.errors import AbidanceError
from abidance.security.database import FORMAT, USERS, open_database
from abidance.security.passwords import Passwords
from abidance.security.roles import Role
from abidance.security.sessions import Sessions, Tokens
from abidance.security.users import Users

QUICK = Passwords(memory_kib=8, rounds=1, lanes=1)


def test_a_file_of_format_1_is_taken_along_with_its_tokens(tmp_path: Path) -> None:
    database = open_database(tmp_path / USERS)
    password = "four unrelated words"
    Users(database).add("ada", password, QUICK.hash(password), Role.ADMIN)
    secret, _ = Tokens(database).make("ada", "old", Role.OPERATOR, 9)
    database.executescript("ALTER TABLE tokens DROP COLUMN scopes; PRAGMA user_version = 1;")
    database.close()

    database = open_database(tmp_path / USERS)

    found = Tokens(database).find(secret, "127.0.0.1")
    assert found is not None
    assert (found.role, found.scopes) == (Role.OPERATOR, ())
    assert database.execute("PRAGMA user_version").fetchone()[0] == FORMAT
    database.close()


def test_a_file_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / USERS) as later:
        later.execute("PRAGMA user_version = 9")
    later.close()

    with pytest.raises(AbidanceError, match="have format 9"):
        open_database(tmp_path / USERS)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_database(tmp_path / USERS).close()

    assert (tmp_path / USERS).stat().st_mode & 0o777 == 0o600


def test_noting_that_somebody_was_seen_waits_for_no_disk_and_what_is_granted_does(tmp_path: Path) -> None:
    """Fifty browsers would sync the disk some times a second, and a bot's orders wait for the same disk."""
    database, clock = open_database(tmp_path / USERS), [1_000.0]
    Users(database).add("ada", "four unrelated words", "", Role.ADMIN)
    sessions, tokens = Sessions(database, lambda: clock[0]), Tokens(database, lambda: clock[0])
    secret = sessions.open("ada", "127.0.0.1", "browser")
    token, _ = tokens.make("ada", "program", Role.VIEWER, 9)
    told: list[str] = []
    database.set_trace_callback(told.append)
    clock[0] += 60.0

    seen, used = sessions.find(secret), tokens.find(token, "127.0.0.1")

    assert seen is not None
    assert used is not None
    assert seen.seen == clock[0]
    kinds = [each.split(" SET ")[0] for each in told if not each.startswith("SELECT")]
    quick, sure = "PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"
    assert kinds == [quick, "UPDATE sessions", sure, quick, "UPDATE tokens", sure]
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    database.close()

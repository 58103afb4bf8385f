"""The file in which users, sessions and tokens are kept: SQLite, readable by its owner alone.

Owns the tables and how the file is opened. What the rows mean is the business of `users`, `sessions` and `tokens`.
"""

import os
import sqlite3
from pathlib import Path

from abidance.model.errors import AbidanceError

USERS, FORMAT = "users.db", 2
"""The file's name in the user directory, and what its tables look like."""
_TABLES = """
CREATE TABLE users (
    name TEXT PRIMARY KEY COLLATE NOCASE, password TEXT NOT NULL, role TEXT NOT NULL,
    is_active INTEGER NOT NULL DEFAULT 1, created REAL NOT NULL, last_login REAL,
    totp TEXT, totp_confirmed INTEGER NOT NULL DEFAULT 0, totp_step INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE recovery (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL COLLATE NOCASE REFERENCES users(name) ON DELETE CASCADE
) STRICT;
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL COLLATE NOCASE REFERENCES users(name)
    ON DELETE CASCADE, address TEXT NOT NULL, agent TEXT NOT NULL, created REAL NOT NULL, seen REAL NOT NULL,
    confirmed REAL NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, user TEXT NOT NULL COLLATE NOCASE
    REFERENCES users(name) ON DELETE CASCADE, role TEXT NOT NULL, addresses TEXT NOT NULL, created REAL NOT NULL,
    expires REAL NOT NULL, last_used REAL, scopes TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_SINCE_1 = "ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';"
"""What makes format 2 of a file in format 1: tokens may all that their role may, as before."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, or make it with mode 0600. Raises AbidanceError when it cannot be used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found in (0, 1):
            steps = _SINCE_1 if found else _TABLES
            database.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {FORMAT}; COMMIT;")
            found = FORMAT
    except (OSError, sqlite3.Error) as error:
        raise AbidanceError(
            f"The users in {path} cannot be read ({error}).", "Check the file and its permissions."
        ) from error
    if found != FORMAT:
        database.close()
        raise AbidanceError(
            f"The users in {path} have format {found}; this version reads format {FORMAT}.",
            "Use the version of the program that wrote them.",
        )
    return database


def note(database: sqlite3.Connection, statement: str, *values: object) -> None:
    """Write what may be lost with the power, such as when somebody was last seen: the disk is not waited for."""
    database.execute("PRAGMA synchronous = NORMAL")
    try:
        database.execute(statement, values)
    finally:
        database.execute("PRAGMA synchronous = FULL")


__all__ = ["USERS", "note", "open_database"]

"""Who may come in: users with their role, password, second factor and recovery codes.

Owns the rule that there is always an admin who can come in, and that a code of the second factor works once. Times are
seconds since 1970 UTC.
"""

import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from abidance.model.errors import UsageError
from abidance.security.passwords import check_password
from abidance.security.roles import Role

RECOVERY_CODES = 10
STEP = 30
"""Seconds that a code of the second factor stands for."""


class User(NamedTuple):
    """A user; `password` is what is kept of it, `totp` the second factor's secret once it is confirmed."""

    name: str
    password: str
    role: Role
    is_active: bool
    created: float
    last_login: float | None
    totp: str | None


class Users:
    """The users in a database."""

    def __init__(self, database: sqlite3.Connection, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def all(self) -> list[User]:
        """Return every user by name."""
        return [_user(row) for row in self._database.execute("SELECT * FROM users ORDER BY name")]

    def get(self, name: str) -> User | None:
        """Return a user, capitals or not."""
        row = self._database.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
        return None if row is None else _user(row)

    @property
    def is_empty(self) -> bool:
        """Say whether nobody was made yet."""
        return self._database.execute("SELECT 1 FROM users LIMIT 1").fetchone() is None

    def add(self, name: str, password: str, kept: str, role: Role) -> None:
        """Add a user, the password kept as `kept`. Raises UsageError for a name that is taken or a weak password."""
        check_password(password, name)
        try:
            self._database.execute(
                "INSERT INTO users (name, password, role, created) VALUES (?, ?, ?, ?)",
                (name, kept, role.value, self._now()),
            )
        except sqlite3.IntegrityError:
            raise UsageError(f"There is a user {name} already.", "Choose another name.") from None

    def add_first(self, name: str, password: str, kept: str) -> None:
        """Add the first admin. Raises UsageError when somebody is there already, whoever came first."""
        check_password(password, name)
        done = self._database.execute(
            "INSERT INTO users (name, password, role, created) SELECT ?, ?, 'admin', ? "
            "WHERE NOT EXISTS (SELECT 1 FROM users)",
            (name, kept, self._now()),
        )
        if not done.rowcount:
            raise UsageError("The first admin was made already.", "Log in, or ask an admin.")

    def set_password(self, name: str, password: str, kept: str) -> None:
        """Give a user another password. Raises UsageError for a weak one."""
        check_password(password, name)
        self._set(name, "password", kept)

    def refresh(self, name: str, kept: str) -> None:
        """Keep the same password in a newer form."""
        self._set(name, "password", kept)

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role. Raises UsageError when no admin would be left."""
        if role is not Role.ADMIN:
            self._spare(name)
        self._set(name, "role", role.value)

    def set_active(self, name: str, is_active: bool) -> None:
        """Let a user in or keep them out. Raises UsageError when no admin would be left."""
        if not is_active:
            self._spare(name)
        self._set(name, "is_active", int(is_active))

    def remove(self, name: str) -> None:
        """Remove a user with all sessions and tokens. Raises UsageError when no admin would be left."""
        self._spare(name)
        self._database.execute("DELETE FROM users WHERE name = ?", (name,))

    def note_login(self, name: str) -> None:
        """Note that a user came in."""
        self._set(name, "last_login", self._now())

    # --- the second factor

    def begin_totp(self, name: str) -> str:
        """Return a new secret for the second factor; it counts once `confirm_totp` has seen a code of it."""
        import pyotp

        secret = pyotp.random_base32(32)
        self._database.execute(
            "UPDATE users SET totp = ?, totp_confirmed = 0, totp_step = 0 WHERE name = ? AND totp_confirmed = 0",
            (secret, name),
        )
        row = self._row(name)
        if row["totp_confirmed"]:
            raise UsageError("There is a second factor already.", "Remove it first.")
        return secret

    def confirm_totp(self, name: str, code: str) -> list[str]:
        """Let the second factor count from now on and return recovery codes. Raises UsageError for a wrong code."""
        row = self._row(name)
        if row["totp"] is None or row["totp_confirmed"]:
            raise UsageError("No second factor waits to be confirmed.", "Begin anew.")
        if not self._take_code(row, code):
            raise UsageError("That code does not fit.", "Type the six digits that your app shows now.")
        codes = [f"{secrets.token_hex(4)}-{secrets.token_hex(4)}" for _ in range(RECOVERY_CODES)]
        self._database.execute("DELETE FROM recovery WHERE user = ?", (name,))
        self._database.executemany(
            "INSERT INTO recovery (hash, user) VALUES (?, ?)", [(_hash(name, code), name) for code in codes]
        )
        self._set(name, "totp_confirmed", 1)
        return codes

    def remove_totp(self, name: str) -> None:
        """Let a user in without a second factor."""
        self._database.execute(
            "UPDATE users SET totp = NULL, totp_confirmed = 0, totp_step = 0 WHERE name = ?", (name,)
        )
        self._database.execute("DELETE FROM recovery WHERE user = ?", (name,))

    def take_second(self, name: str, code: str) -> bool:
        """Say whether a code of the second factor, or a recovery code, is right; each is right once."""
        row = self._row(name)
        if not row["totp_confirmed"]:
            return True
        if self._take_code(row, code):
            return True
        gone = self._database.execute(
            "DELETE FROM recovery WHERE hash = ? AND user = ?", (_hash(name, code.strip().lower()), name)
        )
        return gone.rowcount == 1

    def _take_code(self, row: sqlite3.Row, code: str) -> bool:
        """Say whether a code is that of now or of a step beside it, and newer than any taken before."""
        import pyotp

        code = code.replace(" ", "")
        totp, step = pyotp.TOTP(row["totp"]), int(self._now()) // STEP
        fitting = [
            each
            for each in (step - 1, step, step + 1)
            if hmac.compare_digest(totp.generate_otp(each).encode(), code.encode())
        ]
        taken = self._database.execute(
            "UPDATE users SET totp_step = ? WHERE name = ? AND totp_step < ?",
            (max(fitting, default=-1), row["name"], max(fitting, default=-1)),
        )
        return bool(fitting) and taken.rowcount == 1

    def _spare(self, name: str) -> None:
        others = self._database.execute(
            "SELECT 1 FROM users WHERE role = 'admin' AND is_active AND name <> ? LIMIT 1", (name,)
        ).fetchone()
        if others is None:
            raise UsageError(f"{name} is the last admin who can come in.", "Make another admin first.")

    def _set(self, name: str, column: str, value: object) -> None:
        # The column is one of ours, never typed by anybody.
        done = self._database.execute(f"UPDATE users SET {column} = ? WHERE name = ?", (value, name))  # noqa: S608
        if not done.rowcount:
            raise UsageError(f"There is no user {name}.", "Look at the list of users.")

    def _row(self, name: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._database.execute(
            "SELECT * FROM users WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise UsageError(f"There is no user {name}.", "Look at the list of users.")
        return row


def _user(row: sqlite3.Row) -> User:
    totp = row["totp"] if row["totp_confirmed"] else None
    return User(
        row["name"],
        row["password"],
        Role(row["role"]),
        bool(row["is_active"]),
        row["created"],
        row["last_login"],
        totp,
    )


def _hash(name: str, code: str) -> str:
    return sha256(f"{name.casefold()} {code}".encode()).hexdigest()


__all__ = ["User", "Users"]

"""Who is in: sessions of browsers and tokens of programs. Secrets are random, kept as hashes, and shown once.

A session ends after a time without use, after a day's half at the latest, at logout, and when its user is changed or
kept out. Times are seconds since 1970 UTC.
"""

import ipaddress
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from abidance.model.errors import UsageError
from abidance.security.database import note
from abidance.security.roles import Role, Scope

IDLE, ABSOLUTE, CONFIRMED = 30 * 60, 12 * 3_600, 5 * 60
"""Seconds: without use, in all, and how long a proof of who one is allows grave deeds."""
TOKEN_PREFIX = "abd_"  # noqa: S105  a prefix, so that a token found in a file is known for what it is
_SEEN_EVERY = 15


class Session(NamedTuple):
    """One browser that is in; `id` names it and opens nothing."""

    id: str
    user: str
    role: Role
    address: str
    agent: str
    created: float
    seen: float
    confirmed: float

    @property
    def expires(self) -> float:
        """Return when it ends if nothing more comes."""
        return min(self.seen + IDLE, self.created + ABSOLUTE)

    @property
    def confirmed_until(self) -> float:
        """Return until when grave deeds are allowed."""
        return self.confirmed + CONFIRMED


class Token(NamedTuple):
    """What a program shows; `role` is never more than its user's. Without `scopes` it may all that its role may."""

    id: str
    name: str
    user: str
    role: Role
    addresses: tuple[str, ...]
    created: float
    expires: float
    last_used: float | None
    scopes: tuple[Scope, ...] = ()


_SESSION = "SELECT s.*, u.role FROM sessions s JOIN users u ON u.name = s.user WHERE u.is_active AND "
_TOKEN = "SELECT t.*, u.role AS owner FROM tokens t JOIN users u ON u.name = t.user WHERE u.is_active AND "  # noqa: S105


class Sessions:
    """The sessions in a database."""

    def __init__(self, database: sqlite3.Connection, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def open(self, user: str, address: str, agent: str) -> str:
        """Begin a session and return its secret."""
        secret, now = secrets.token_urlsafe(32), self._now()
        self._database.execute(
            "DELETE FROM sessions WHERE seen < ? OR created < ?", (now - IDLE, now - ABSOLUTE)
        )
        self._database.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (_hash(secret), secrets.token_hex(8), user, address, agent[:200], now, now, now),
        )
        return secret

    def find(self, secret: str, *, is_used: bool = True) -> Session | None:
        """Return the session of a secret while it lasts, and note that it was used unless it was not."""
        row = self._database.execute(_SESSION + "s.hash = ?", (_hash(secret),)).fetchone()
        return None if row is None else self._lasting(row, touch=is_used)

    def get(self, id: str) -> Session | None:
        """Return a session by its name while it lasts; it does not count as used."""
        row = self._database.execute(_SESSION + "s.id = ?", (id,)).fetchone()
        return None if row is None else self._lasting(row, touch=False)

    def renew(self, secret: str, *, confirmed: bool) -> str:
        """Give a session a new secret: the old one opens nothing any more."""
        fresh, now = secrets.token_urlsafe(32), self._now()
        self._database.execute(
            "UPDATE sessions SET hash = ?, confirmed = CASE WHEN ? THEN ? ELSE confirmed END WHERE hash = ?",
            (_hash(fresh), confirmed, now, _hash(secret)),
        )
        return fresh

    def all(self, user: str | None = None) -> list[Session]:
        """Return the sessions that last, of one user or of all, newest first."""
        rows = self._database.execute(
            _SESSION + "(? IS NULL OR s.user = ?) ORDER BY s.created DESC", (user, user)
        )
        return [found for row in rows.fetchall() if (found := self._lasting(row, touch=False)) is not None]

    def end(self, id: str) -> bool:
        """End a session; say whether there was one."""
        return self._database.execute("DELETE FROM sessions WHERE id = ?", (id,)).rowcount == 1

    def end_all(self, user: str, but: str = "") -> None:
        """End the sessions of a user, except the one named `but`."""
        self._database.execute("DELETE FROM sessions WHERE user = ? AND id <> ?", (user, but))

    def _lasting(self, row: sqlite3.Row, *, touch: bool) -> Session | None:
        found = Session(
            row["id"], row["user"], Role(row["role"]), row["address"], row["agent"], row["created"], row["seen"],
            row["confirmed"],
        )  # fmt: skip
        now = self._now()
        if now >= found.expires:
            self.end(found.id)
            return None
        if touch and now - found.seen > _SEEN_EVERY:
            note(self._database, "UPDATE sessions SET seen = ? WHERE id = ?", now, found.id)
            found = found._replace(seen=now)
        return found


class Tokens:
    """The API tokens in a database."""

    def __init__(self, database: sqlite3.Connection, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def make(
        self,
        user: str,
        name: str,
        role: Role,
        days: int,
        addresses: Sequence[str] = (),
        scopes: Sequence[Scope] = (),
    ) -> tuple[str, Token]:
        """Return a new token's secret and the token. Raises UsageError for an address that is none."""
        for address in addresses:
            try:
                ipaddress.ip_network(address, strict=False)
            except ValueError:
                raise UsageError(
                    f"{address} is no IP address or network.", "Write 203.0.113.7 or 203.0.113.0/24."
                ) from None
        secret, now, id = TOKEN_PREFIX + secrets.token_urlsafe(32), self._now(), secrets.token_hex(8)
        self._database.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
            (
                _hash(secret), id, name, user, role.value, " ".join(addresses), now, now + days * 86_400,
                " ".join(sorted({each.value for each in scopes})),
            ),
        )  # fmt: skip
        row = self._database.execute(_TOKEN + "t.id = ?", (id,)).fetchone()
        return secret, _token(row)

    def find(self, secret: str, address: str) -> Token | None:
        """Return the token of a secret while it lasts and `address` may use it, and note that it was used."""
        row = self._database.execute(_TOKEN + "t.hash = ?", (_hash(secret),)).fetchone()
        if row is None:
            return None
        token, now = _token(row), self._now()
        if now >= token.expires or not is_within(address, token.addresses):
            return None
        if token.last_used is None or now - token.last_used > _SEEN_EVERY:
            note(self._database, "UPDATE tokens SET last_used = ? WHERE id = ?", now, token.id)
        return token

    def get(self, id: str) -> Token | None:
        """Return a token by its name while it lasts."""
        row = self._database.execute(_TOKEN + "t.id = ?", (id,)).fetchone()
        return None if row is None or self._now() >= row["expires"] else _token(row)

    def all(self, user: str | None = None) -> list[Token]:
        """Return the tokens of one user or of all, newest first, those that have run out too."""
        rows = self._database.execute(
            _TOKEN + "(? IS NULL OR t.user = ?) ORDER BY t.created DESC", (user, user)
        )
        return [_token(row) for row in rows]

    def end(self, id: str) -> bool:
        """End a token; say whether there was one."""
        return self._database.execute("DELETE FROM tokens WHERE id = ?", (id,)).rowcount == 1

    def end_all(self, user: str) -> None:
        """End the tokens of a user."""
        self._database.execute("DELETE FROM tokens WHERE user = ?", (user,))


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Say whether an IP address is in one of the networks; no networks are all."""
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ipaddress.ip_network(each, strict=False) for each in networks)


def _token(row: sqlite3.Row) -> Token:
    role, owner = Role(row["role"]), Role(row["owner"])
    return Token(
        row["id"], row["name"], row["user"], role if owner.covers(role) else owner, tuple(row["addresses"].split()),
        row["created"], row["expires"], row["last_used"], tuple(Scope(each) for each in row["scopes"].split()),
    )  # fmt: skip


def _hash(secret: str) -> str:
    """Return what is kept of a random secret: long enough that nothing slow is needed."""
    return sha256(secret.encode()).hexdigest()


__all__ = ["Session", "Sessions", "Token", "Tokens", "is_within"]

"""Users, sessions, tokens and the audit log on the wire. No secret is ever sent twice, hashes never."""

from typing import Any

from pydantic import Field

from abidance.api.schemas.wire import NAME, Moment, Schema
from abidance.security.roles import Role, Scope


class SetupIn(Schema):
    """The first admin; `token` was printed in the terminal."""

    token: str = Field(min_length=1, max_length=200)
    name: str = Field(pattern=NAME)
    password: str = Field(min_length=1, max_length=1024)


class SetupOut(Schema):
    """Whether the first admin is still to be made."""

    needed: bool


class LoginIn(Schema):
    """Who wishes to come in; `code` is the second factor, or a recovery code."""

    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024)
    code: str = Field(default="", max_length=32)


class ConfirmIn(Schema):
    """Proof that it is still you, asked for before grave deeds."""

    password: str = Field(min_length=1, max_length=1024)
    code: str = Field(default="", max_length=32)


class MeOut(Schema):
    """Who is asking, and what they may."""

    name: str
    role: Role
    kind: str
    """session, token, or demo."""
    has_totp: bool
    confirmed_until: Moment | None
    """Until when grave deeds need no new proof."""
    expires: Moment | None
    version: str
    demo: bool


class PasswordIn(Schema):
    """A new password of one's own."""

    password: str = Field(min_length=1, max_length=1024)
    keep_tokens: bool = False
    """Let API tokens go on: programs that use them need no new ones, nor does whoever may have made one."""


class TotpOut(Schema):
    """A new second factor, shown once; it counts once a code has confirmed it."""

    secret: str
    uri: str


class CodeIn(Schema):
    """A code of the second factor."""

    code: str = Field(min_length=6, max_length=32)


class RecoveryOut(Schema):
    """Recovery codes, shown once; each works once."""

    codes: list[str]


class UserIn(Schema):
    """A new user."""

    name: str = Field(pattern=NAME)
    password: str = Field(min_length=1, max_length=1024)
    role: Role = Role.VIEWER


class UserChangeIn(Schema):
    """What is to change about a user; what is left out stays."""

    role: Role | None = None
    is_active: bool | None = None
    password: str | None = Field(default=None, min_length=1, max_length=1024)
    reset_totp: bool = False


class UserOut(Schema):
    """A user."""

    name: str
    role: Role
    is_active: bool
    has_totp: bool
    created: Moment
    last_login: Moment | None


class SessionOut(Schema):
    """A session: `id` names it for ending it and opens nothing."""

    id: str
    user: str
    address: str
    agent: str
    created: Moment
    seen: Moment
    expires: Moment
    is_mine: bool


class TokenIn(Schema):
    """A new API token: never more than its owner may, for so many days, from these addresses."""

    name: str = Field(pattern=NAME)
    role: Role = Role.VIEWER
    days: int = Field(default=90, ge=1, le=365)
    addresses: list[str] = Field(default_factory=list, max_length=32)
    scopes: list[Scope] = Field(default_factory=list, max_length=16)
    """Which part of what the role may; none is all of it."""


class TokenOut(Schema):
    """An API token without its secret."""

    id: str
    name: str
    user: str
    role: Role
    addresses: list[str]
    scopes: list[Scope]
    created: Moment
    expires: Moment
    last_used: Moment | None


class NewTokenOut(Schema):
    """A new API token; `secret` is shown this once."""

    token: TokenOut
    secret: str


class AuditOut(Schema):
    """One line of the audit log."""

    seq: int
    ts: Moment
    actor: str
    address: str
    request_id: str
    action: str
    target: str
    data: dict[str, Any]
    hash: str


class AuditStateOut(Schema):
    """Whether the audit log is whole."""

    is_whole: bool
    lines: int
    head: str
    problem: str

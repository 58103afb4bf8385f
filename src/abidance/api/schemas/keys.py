"""Venues and exchange keys on the wire: what comes in never goes out again."""

from typing import Annotated

from pydantic import Field

from abidance.api.schemas.wire import Moment, Schema, VenueName

Hidden = Annotated[str, Field(max_length=16_384, json_schema_extra={"writeOnly": True})]
Account = Annotated[str, Field(min_length=1, max_length=16)]


class VenueInfoOut(Schema):
    """A venue and what can be done there."""

    name: str
    markets: list[str]
    """What its own streams are read of; any other venue that ccxt streams is read through that."""
    orders: list[str]
    """Where real orders can be sent."""
    wants_passphrase: bool
    """Whether its keys come with a passphrase of their own."""


class UnlockIn(Schema):
    """What opens the vault, where the server's own environment does not."""

    vault: Hidden = ""


class KeyIn(UnlockIn):
    """An exchange key. It is asked of its venue what it may do, and refused when that is to withdraw."""

    venue: Annotated[VenueName, Field(min_length=1)]
    account: Account = "main"
    key: Hidden
    secret: Hidden
    passphrase: Hidden = ""
    """The key's own, where the venue gives one."""


class KeySlotOut(Schema):
    """A key that is in the vault."""

    venue: str
    account: str


class KeysOut(Schema):
    """What the vault says it holds, and whether the server can open it by itself."""

    keys: list[KeySlotOut]
    has_vault: bool
    opens_by_itself: bool


class KeyOut(KeySlotOut):
    """A key, without anything that signs, and what its venue said of it just now."""

    ends_in: str
    added: Moment
    checked: Moment | None
    refused: list[str]
    warnings: list[str]
    facts: list[str]

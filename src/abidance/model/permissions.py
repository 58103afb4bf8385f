"""What a venue says that a key of it may do."""

import msgspec


class Permissions(msgspec.Struct, frozen=True):
    """What a key may do, as far as its venue tells; None is what it does not tell.

    `expires` is in ns UTC, 0 for never. `by_hand` says where to look for what is not told.
    """

    can_trade: bool | None = None
    can_withdraw: bool | None = None
    ip_restricted: bool | None = None
    expires: int | None = None
    granted: tuple[str, ...] = ()
    by_hand: str = ""


__all__ = ["Permissions"]

"""What a venue says that a key of it may do."""

import msgspec

from abidance.model.instrument import InstrumentKind


class Permissions(msgspec.Struct, frozen=True):
    """What a key may do, as far as its venue tells; None is what it does not tell.

    One that `can_borrow` may use a margin account, where that is a right of its own.

    `expires` is in ns UTC, 0 for never. `by_hand` says where to look for what is not told. `markets` are those in which
    it may trade, where the venue tells them apart.
    """

    can_trade: bool | None = None
    can_withdraw: bool | None = None
    ip_restricted: bool | None = None
    expires: int | None = None
    granted: tuple[str, ...] = ()
    by_hand: str = ""
    markets: frozenset[InstrumentKind] | None = None
    can_borrow: bool | None = None


__all__ = ["Permissions"]

"""What a person or a token may do: look, steer, or rule. Each role may all that the one before it may."""

from enum import StrEnum


class Role(StrEnum):
    """VIEWER looks, OPERATOR steers bots and runs backtests, ADMIN rules over limits, releases and users."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, other: "Role") -> bool:
        """Say whether this role may what `other` may."""
        return _RANK[self] >= _RANK[other]


_RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}

"""What a person or a token may do: look, steer, or rule. Each role may all that the one before it may.

A token can be held to some of it: `Scope` says to which part of its role.
"""

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


class Scope(StrEnum):
    """A part of what a role may.

    READ: runs, markets, data and work, and the stream. TRADE: start, steer and stop bots, orders. RESEARCH: backtests,
    searches, verdicts, downloads. METRICS: what Prometheus asks. MANAGE: look at users, keys and the audit log.
    """

    READ = "read"
    TRADE = "trade"
    RESEARCH = "research"
    METRICS = "metrics"
    MANAGE = "manage"

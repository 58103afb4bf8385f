"""The rules for keys: which are refused, what deserves a warning. One place for each sentence."""

from collections.abc import Collection
from typing import NamedTuple

from abidance.model.errors import ConfigError
from abidance.model.instrument import SECOND_NS, InstrumentKind
from abidance.model.permissions import Permissions

DAY_NS = 86_400 * SECOND_NS
MAY_NOT_TRADE = "It may not trade: orders would be refused."
SOON_DAYS = 14
"""Days before its end from which on an expiring key is warned of."""


class Verdict(NamedTuple):
    """What the rules say of a key: why it is refused, what to mind, what is so."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    markets: frozenset[InstrumentKind] | None = None
    """What it may trade, where the venue tells that."""
    can_borrow: bool | None = None

    def enforce_for_orders(
        self, name: str, kinds: Collection[InstrumentKind], *, on_margin: bool = False
    ) -> None:
        """Raise ConfigError when the key is refused, or cannot send orders for instruments of these kinds.

        With `on_margin` they are paid from a margin account, which it must be let use.
        """
        self.enforce(name)
        if MAY_NOT_TRADE in self.warnings:
            raise ConfigError(
                f"The key of {name} may not trade.",
                "Let it trade at the venue, or name another one with --account.",
            )
        lacking = [] if self.markets is None else sorted(set(kinds) - self.markets)
        if lacking:
            raise ConfigError(
                f"The key of {name} may not trade {' and '.join(lacking)} instruments.",
                "Let it trade them at the venue, or name another one with --account.",
            )
        if on_margin and self.can_borrow is False:
            raise ConfigError(
                f"The key of {name} may not use the margin account.",
                "Let it (Enable Margin Loan, Repay & Transfer at Binance, Margin at KuCoin), or set spot_wallets.",
            )

    def enforce(self, name: str) -> None:
        """Raise ConfigError when the key is refused."""
        if self.refusals:
            raise ConfigError(
                f"The key of {name} is refused: {' '.join(self.refusals)}",
                "Make one at the venue that may read and trade, and nothing else.",
            )


def judge(permissions: Permissions, now: int) -> Verdict:
    """Return what the rules say of a key at `now` (ns UTC)."""
    refusals: list[str] = []
    warnings: list[str] = []
    facts: list[str] = []
    untold: list[str] = []
    if permissions.can_withdraw:
        refusals.append("It can withdraw money.")
    elif permissions.can_withdraw is None:
        untold.append("whether it can withdraw money")
    if permissions.can_trade is False:
        warnings.append(MAY_NOT_TRADE)
    elif permissions.can_trade is None:
        untold.append("whether it may trade")
    if permissions.ip_restricted is False:
        warnings.append("It works from every address: bind it to yours at the venue.")
    elif permissions.ip_restricted is None:
        untold.append("whether it is bound to addresses")
    if permissions.expires is None:
        untold.append("when it ends")
    elif permissions.expires:
        _judge_end(permissions.expires, now, refusals, warnings, facts)
    if untold:
        told = " and ".join(untold) if len(untold) < 3 else f"{', '.join(untold[:-1])} and {untold[-1]}"
        warnings.append(f"The venue does not tell {told}. {permissions.by_hand}".strip())
    if permissions.granted:
        facts.append(f"It may: {', '.join(permissions.granted)}.")
    markets, can_borrow = permissions.markets, permissions.can_borrow
    return Verdict(tuple(refusals), tuple(warnings), tuple(facts), markets, can_borrow)


def _judge_end(ends: int, now: int, refusals: list[str], warnings: list[str], facts: list[str]) -> None:
    date = _date(ends)
    days = (ends - now) // DAY_NS
    if ends <= now:
        refusals.append(f"It ended {date}.")
    elif days < SOON_DAYS:
        warnings.append(f"It ends {date}, in {f'{days} days' if days != 1 else '1 day'}: rotate it before.")
    else:
        facts.append(f"It ends {date}.")


def _date(ts: int) -> str:
    from datetime import UTC, datetime

    try:
        return f"on {datetime.fromtimestamp(ts // SECOND_NS, UTC).date().isoformat()}"
    except (ValueError, OverflowError, OSError):
        return "after the year 9999"

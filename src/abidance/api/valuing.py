"""What a run's holdings come to at the last prices: its profits, the use of its limits, who brought what.

Everything is worked out anew from the replica each time; nothing is kept.
"""

from bisect import bisect_right

from abidance.api.schemas.trading import ContributionOut, UsageOut
from abidance.risk.limits import fits, may_hold, may_owe
from abidance.run.replica import Replica


def opening(replica: Replica) -> float:
    """Return what came from outside less what was taken away, in currency at the last prices."""
    return sum(
        float(-amount) * replica.portfolio.worth(account.asset)
        for account, amount in replica.portfolio.ledger.accounts().items()
        if account.kind == "external" and not account.is_owners
    )


def profit_since(replica: Replica, moment: int, equity: float, first: float) -> float:
    """Return what `equity` has grown by since a moment, without what came from outside or was taken away.

    `first` is what the run began with, for a moment before its curve.
    """
    stamps, values = replica.curve[0], replica.curve[1]
    at = bisect_right(stamps, moment)
    if at == 0:
        return equity - first
    came = sum(amount for ts, amount in replica.external if ts > stamps[at - 1])
    return equity - values[at - 1] - came


def equity_at(replica: Replica, moment: int) -> float:
    """Return the equity at the last point of the curve up to a moment."""
    at = bisect_right(replica.curve[0], moment)
    return replica.curve[1][at - 1] if at else opening(replica)


def usage(replica: Replica) -> list[UsageOut]:
    """Return how much of each limit is used: positions are counted, all else is a share of the equity."""
    state, limits = replica.state, replica.limits
    equity, count = state.equity(), state.open_position_count()

    def exposed(name: str, limit: float, **of: str) -> UsageOut:
        held = state.exposure(**of)
        used = held / equity if equity > 0 else 0.0
        return UsageOut(name=name, used=used, limit=limit, is_spent=not fits(held, limit, equity))

    parts = (
        ("asset", limits.max_asset_exposure, sorted({each.base for each in replica.header.instruments})),
        ("venue", limits.max_venue_exposure, sorted({each.venue for each in replica.header.instruments})),
    )
    owed = state.debts.borrowed()
    borrowed = [min(owed / equity, 1.0) if equity > 0 else 1.0] if owed or limits.max_borrowed else []
    owes_too_much = not may_owe(owed, limits, equity)
    return [
        exposed("max_exposure", limits.max_exposure),
        UsageOut(
            name="max_positions",
            used=count,
            limit=limits.max_positions,
            is_spent=not may_hold(count + 1, limits),
        ),
        *(
            exposed(f"max_{kind}_exposure {name}", limit, **{kind: name})
            for kind, limit, names in parts
            for name in names
        ),
        *(
            UsageOut(name="max_borrowed", used=each, limit=limits.max_borrowed, is_spent=owes_too_much)
            for each in borrowed
        ),
    ]


def contribution(replica: Replica) -> list[ContributionOut]:
    """Return what each strategy brought in each instrument, the most first."""
    replica.state.settle()
    now = {(each.strategy, each.instrument): float(each.pnl) for each in replica.portfolio.open_round_trips()}
    places = sorted(replica.trips.brought.keys() | now.keys())
    rates = {id: replica.state.quote_rate(id) or 0.0 for _, id in places}
    found = [
        ContributionOut(
            strategy=strategy,
            instrument=instrument,
            closed=replica.trips.brought.get((strategy, instrument), 0.0) * rates[instrument],
            open=now.get((strategy, instrument), 0.0) * rates[instrument],
        )
        for strategy, instrument in places
    ]
    return sorted(found, key=lambda each: -(each.closed + each.open))


__all__ = ["contribution", "equity_at", "opening", "profit_since", "usage"]

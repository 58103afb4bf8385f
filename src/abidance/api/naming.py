"""Names in filters: what a run has or ever traded may be asked for; any other name is told to be unknown, by its field.

An empty list answers that nothing of a name is there; that says something only of a name that there is.
"""

from collections.abc import Iterator

from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.run.replica import Replica

_SHOWN = 8


def replica_with(
    house: House, run: str, *, strategy: str = "", instrument: str = "", asset: str = ""
) -> Replica:
    """Return a run's replica that knows each of the names; empty ones stand for all.

    Raises ProblemError: 404 for no such run, 422 with a field for each name that it neither has nor ever traded.
    """
    replica = house.runs.get(run).replica
    flaws: dict[str, str] = {}
    for field, name, known in (
        ("strategy", strategy, _strategies),
        ("instrument", instrument, _instruments),
        ("asset", asset, _assets),
    ):
        if name and name not in (names := sorted(set(known(replica)))):
            shown = ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
            flaws[field] = f"The run {run} has no {field} {name!r} and never had. It has {shown}."
    if flaws:
        raise ProblemError(422, " ".join(flaws.values()), "Name one of those, or none for all.", fields=flaws)
    return replica


def _strategies(replica: Replica) -> Iterator[str]:
    yield from replica.state.strategies
    yield from replica.portfolio.holders()
    yield from (strategy for strategy, _ in replica.trips.brought)


def _instruments(replica: Replica) -> Iterator[str]:
    yield from replica.state.instruments
    yield from (instrument for _, instrument in replica.trips.brought)


def _assets(replica: Replica) -> Iterator[str]:
    yield replica.config.currency
    for each in replica.state.instruments.values():
        yield from (each.base, each.quote, each.name.settle or each.quote)
    yield from (account.asset for account in replica.portfolio.ledger.accounts())


__all__ = ["replica_with"]

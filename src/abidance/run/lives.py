"""What became of the orders and fills of a run: each with the decision, the wish and the market that it came from.

Owns how they are found by their ids; what happens to them is told by the replica, in the order of the record.
"""

from collections.abc import Iterable
from typing import NamedTuple

from abidance.model.command import Command
from abidance.model.event import AccountEvent
from abidance.model.market import BarSlice, BookSnapshot, Quote, Trade
from abidance.model.order import Fill
from abidance.model.outcome import Decided, Recorded
from abidance.portfolio.ledger import fill_ref
from abidance.run.provenance import Stand
from abidance.run.shelf import Places, Rows, Shelf

_ORPHAN = "orphan "


class Decision(NamedTuple):
    """What one step decided: `trigger` is the event that led to it, `seq` its place in the journal."""

    seq: int
    trigger: Recorded | None
    decided: Decided


class Step(NamedTuple):
    """One moment in the life of an order: what was sent, or what came back."""

    seq: int
    ts: int
    event: Command | AccountEvent


class Occasion(NamedTuple):
    """What a fill or an order came upon: the market event in whose step it filled, and how its place stood before.

    Of a real venue's fill it is the newest that was seen of the instrument when the venue told of it.
    """

    seen: BarSlice | Trade | Quote | BookSnapshot | None
    stand: Stand


class _Life(NamedTuple):
    """What became of an order: its decision, the one with what was wished last of its place (-1), steps and fills."""

    decision: int
    wish: int
    occasion: Occasion
    steps: list[Step]
    fills: list[int]


class Lives:
    """The lives of all orders, and the occasions of all fills, which stand as the fills do; told by the replica."""

    def __init__(
        self,
        shelf: Shelf,
        decisions: Rows[Decision],
        fills: Rows[Fill],
        order_places: Places,
        fill_places: Places,
    ) -> None:
        self._decisions, self._fills = decisions, fills
        self._order_places, self._fill_places = order_places, fill_places
        self._lives: Rows[_Life] = shelf.rows(_Life)
        self._occasions: Rows[Occasion] = shelf.rows(Occasion)
        self._wishes: dict[tuple[str, str], int] = {}

    # --- what is told

    def wished(self, decision: int, strategy: str, instruments: Iterable[str]) -> None:
        """Take where a strategy wished something, by the number of the decision."""
        for each in instruments:
            self._wishes[strategy, each] = decision

    def begin(self, decision: int, place: tuple[str, str], occasion: Occasion) -> None:
        """Take the next order that was sent, of a strategy and an instrument."""
        self._lives.append(_Life(decision, self._wishes.get(place, -1), occasion, [], []))

    def add(self, order_id: str, step: Step, fills: Iterable[int] = ()) -> None:
        """Add a moment to an order's life, if it is one of ours."""
        at = self._order_places.get(order_id)
        if at is not None:
            life = self._lives[at]
            self._lives[at] = life._replace(steps=[*life.steps, step], fills=[*life.fills, *fills])

    def put_orphan(self, fill: Fill) -> None:
        """Take a fill of no order of ours."""
        self._fill_places.put(_ORPHAN + fill_ref(fill), len(self._fills))
        self._fills.append(fill)

    def filled(self, occasion: Occasion) -> None:
        """Take what the newest fill came upon."""
        self._occasions.append(occasion)

    # --- what is known

    def decision(self, order_id: str) -> Decision | None:
        """Return the decision that sent an order, or None for one that this run did not send."""
        life = self._life(order_id)
        return None if life is None else self._decisions[life.decision]

    def wish(self, order_id: str) -> Decision | None:
        """Return the decision with what was wished last of an order's place when it was sent, if anything was."""
        life = self._life(order_id)
        return None if life is None or life.wish < 0 else self._decisions[life.wish]

    def steps(self, order_id: str) -> list[Step]:
        """Return the moments in an order's life, oldest first."""
        life = self._life(order_id)
        return [] if life is None else life.steps

    def sent_upon(self, order_id: str) -> Occasion | None:
        """Return what an order of this run came upon when it was sent."""
        life = self._life(order_id)
        return None if life is None else life.occasion

    def filled_upon(self, fill: Fill) -> Occasion:
        """Return what a fill on record came upon."""
        at = self._at(fill_ref(fill))
        assert at is not None
        return self._occasions[at]

    def fill(self, ref: str) -> Fill | None:
        """Return a fill by its reference in the ledger (`portfolio.ledger.fill_ref`)."""
        at = self._at(ref)
        return None if at is None else self._fills[at]

    def fills_of(self, order_id: str) -> list[Fill]:
        """Return what an order filled, oldest first."""
        life = self._life(order_id)
        return [] if life is None else [self._fills[at] for at in life.fills]

    def _life(self, order_id: str) -> _Life | None:
        at = self._order_places.get(order_id)
        return None if at is None else self._lives[at]

    def _at(self, ref: str) -> int | None:
        at = self._fill_places.get(ref)
        return self._fill_places.get(_ORPHAN + ref) if at is None else at


__all__ = ["Decision", "Lives", "Occasion", "Step"]

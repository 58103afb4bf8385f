"""What orders are expected to cost by what the engine has seen: its boards, its bars, its venues' costs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from abidance.engine.board import Board
from abidance.engine.series import Series
from abidance.execution.cost import Costs, Ladder, estimate, ladder_of, modelled
from abidance.model.estimate import Estimate
from abidance.model.money import ZERO
from abidance.model.order import OrderRequest, OrderType, Side

_JUDGED = (OrderType.MARKET, OrderType.LIMIT)


class Seen(Protocol):
    """What the engine has seen of the markets."""

    now: int
    boards: dict[str, Board]
    series: dict[tuple[str, str], Series]

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        ...


class Pricing:
    """Prices orders before they leave (`risk.view.Pricer`); `costs` are by instrument."""

    def __init__(self, state: Seen) -> None:
        self.costs: Mapping[str, Costs] = {}
        self._state = state

    @property
    def now(self) -> int:
        """Return the time of the event in hand, ns UTC."""
        return self._state.now

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        return self._state.price(instrument)

    def ladder(self, instrument: str, side: Side, quantity: Decimal = ZERO) -> Ladder | None:
        """Return what an order would take from, as the market shows it or as the slippage model says; None unpriced."""
        state = self._state
        board, last = state.boards[instrument], state.price(instrument)
        found = ladder_of(side, state.now, board.quote, board.book)
        if found is not None or last is None or instrument not in self.costs:
            return found
        volume = self._last_volume(instrument)
        return modelled(side, last, float(quantity) / volume if volume > 0 else 0.0, self.costs[instrument])

    def _last_volume(self, instrument: str) -> float:
        for (id, _), series in self._state.series.items():
            if id == instrument and series.drives and series.size:
                return float(series.bars().volume[-1])
        return 0.0

    def best(self, instrument: str, side: Side) -> float | None:
        """Return the best price on the own side of an order: the bid for a buy."""
        found = self.ladder(instrument, side)
        return None if found is None else found.best

    def estimate(self, request: OrderRequest) -> Estimate | None:
        """Return what a market or limit order would come to now; None for others, and when no price is known."""
        if request.type not in _JUDGED or request.instrument not in self.costs:
            return None
        ladder = self.ladder(request.instrument, request.side, request.quantity)
        if ladder is None:
            return None
        last = self._state.price(request.instrument)
        mid = last if ladder.source == "model" and last is not None else ladder.mid
        return estimate(ladder, request, mid, self.costs[request.instrument])

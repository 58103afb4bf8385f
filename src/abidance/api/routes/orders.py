"""Orders: the list, the life of each, and manual orders, which pass the same risk gate as a strategy's own."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from abidance.api import views
from abidance.api.access import Judged, Operator, Stand, Viewer
from abidance.api.house import House
from abidance.api.naming import replica_with
from abidance.api.paging import ALWAYS, ByHand, Chosen, Cursor, During, Limit, Period, Purposes, page
from abidance.api.problems import not_found
from abidance.api.schemas.trading import AmendIn, AnswerOut, LevelOut, OrderIn, OrderOut, WhyOut
from abidance.api.schemas.wire import Page
from abidance.api.steering import steer
from abidance.engine.manual import MANUAL_TAG
from abidance.model.event import ControlAction
from abidance.model.order import Order, Purpose

router = APIRouter(prefix="/runs/{run}/orders", tags=["orders"], route_class=Judged)
Filter = Annotated[str, Query(max_length=128)]
_GUARDS = {Purpose.STOP_LOSS, Purpose.TRAILING_STOP, Purpose.BREAK_EVEN, Purpose.TAKE_PROFIT}


@dataclass(frozen=True)
class OrderFilter:
    """Which orders are wanted; empty is all."""

    strategy: str = ""
    instrument: str = ""
    purposes: frozenset[Purpose] = frozenset()
    is_open: bool | None = None
    by_hand: bool | None = None
    period: Period = ALWAYS
    """When they were sent."""

    def takes(self, order: Order) -> bool:
        """Say whether an order is wanted."""
        return (
            self.strategy in ("", order.request.strategy)
            and self.instrument in ("", order.request.instrument)
            and (not self.purposes or order.request.purpose in self.purposes)
            and self.is_open in (None, not order.state.is_closed)
            and self.by_hand in (None, order.request.tag == MANUAL_TAG)
            and self.period.holds(order.ts_intent)
        )


async def _filter(
    during: During,
    strategy: Filter = "",
    instrument: Filter = "",
    purpose: Purposes = None,
    is_open: Annotated[
        bool | None, Query(description="Only those that may still fill, or only those that may not.")
    ] = None,
    by_hand: ByHand = None,
) -> OrderFilter:
    """Return what is asked for; on the loop, where a plain class would cost each request a thread."""
    return OrderFilter(strategy, instrument, frozenset(purpose or ()), is_open, by_hand, during)


Orders = Annotated[OrderFilter, Depends(_filter)]


def chosen_orders(house: House, run: str, filter: OrderFilter) -> Chosen[Order, OrderOut]:
    """Return the orders of a run that are wanted, by when they were sent."""
    rows = replica_with(house, run, strategy=filter.strategy, instrument=filter.instrument).sent
    if filter == OrderFilter():
        return Chosen(rows, views.order)
    return Chosen(rows, views.order, filter.takes, rows.between(filter.period.start, filter.period.end))


@router.get("")
async def list_orders(
    run: str, who: Viewer, house: Stand, filter: Orders, limit: Limit = 100, cursor: Cursor = ""
) -> Page[OrderOut]:
    """List orders by when they were sent, newest first."""
    chosen = chosen_orders(house, run, filter)
    if not filter.is_open:
        return chosen.page(limit, cursor)
    places, rows = house.runs.get(run).replica.resting()
    wanted = filter.takes if filter != OrderFilter(is_open=True) else None
    return page(rows, limit, cursor, views.order, wanted, places)


@router.get("/levels")
async def list_levels(
    run: str, instrument: Filter, who: Viewer, house: Stand, limit: Limit = 100, cursor: Cursor = ""
) -> Page[LevelOut]:
    """List where the protective orders of an instrument stood and how they were moved, newest first."""
    replica = replica_with(house, run, instrument=instrument)

    def wanted(order: Order) -> bool:
        return order.request.instrument == instrument and order.request.purpose in _GUARDS

    return page(replica.sent, limit, cursor, lambda order: views.level(order, replica), wanted)


@router.get("/{order_id}")
async def get_order(run: str, order_id: str, who: Viewer, house: Stand) -> WhyOut:
    """Tell an order's whole life: what led to it, what risk said, each request, answer and change, what it booked."""
    found = views.why_order(house.runs.get(run).replica, order_id)
    if found is None:
        raise not_found("order", order_id)
    return found


@router.post("")
async def place_order(run: str, body: OrderIn, who: Operator, house: Stand) -> AnswerOut:
    """Place a manual order for a strategy. 200 says that risk let it pass and it left, 409 why not (`code`).

    What its venue answers comes later: over the stream, or by `GET orders/{order_id}`.
    """
    values = body.model_dump(mode="json", exclude={"strategy", "id"}, exclude_none=True)
    return await steer(house, who, run, ControlAction.ORDER, body.strategy, values, body.id)


@router.patch("/{order_id}")
async def amend_order(run: str, order_id: str, body: AmendIn, who: Operator, house: Stand) -> AnswerOut:
    """Change an open order. 200 says that risk let it pass and it left, 409 why not; its venue answers later."""
    strategy = _strategy_of(run, order_id, house)
    values = {"order_id": order_id, **body.model_dump(mode="json", exclude_none=True)}
    return await steer(house, who, run, ControlAction.AMEND_ORDER, strategy, values)


@router.delete("/{order_id}")
async def cancel_order(run: str, order_id: str, who: Operator, house: Stand) -> AnswerOut:
    """Take an open order back. 200 says that the request left; a fill may be quicker: the stream tells."""
    strategy = _strategy_of(run, order_id, house)
    return await steer(house, who, run, ControlAction.CANCEL_ORDER, strategy, {"order_id": order_id})


def _strategy_of(run: str, order_id: str, house: Stand) -> str:
    found = house.runs.get(run).replica.orders.get(order_id)
    if found is None:
        raise not_found("order", order_id)
    return found.request.strategy

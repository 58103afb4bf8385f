"""What of all that the routes tell of a run moves with prices, or by more than one kind of change.

The figures are the same, made by the same functions.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from abidance.api import views
from abidance.api.following import Followed
from abidance.api.schemas.wire import ms
from abidance.api.valuing import contribution, usage
from abidance.run.replica import Replica

_RUN = (
    "standing", "start_equity", "equity", "profit", "drawdown", "profit_today", "profit_week", "profit_month", "exposure",
    "open_positions", "open_orders",
)  # fmt: skip

_POSITION = (
    "strategy", "instrument", "price", "value", "unrealised", "share", "stop", "take_profit", "liquidation_price",
)  # fmt: skip


def prices(replica: Replica) -> dict[str, float]:
    """Return the last price of each instrument that has one."""
    state = replica.state
    return {id: price for id in state.instruments if (price := state.price(id)) is not None}


def price_ts(replica: Replica) -> dict[str, int]:
    """Return when the last price of each instrument that has one was made: some rest while others move."""
    return {id: ms(replica.state.boards[id].ts) for id in prices(replica)}


def worth(run: Followed) -> dict[str, Any]:
    """Return the run's own figures, and of the rows of each list what tells them apart and what is valued.

    They bear the names that they have in the routes' answers; numbers that are none are null.
    """
    replica = run.replica
    found: dict[str, Any] = views.plain(
        {
            "run": _only(_RUN, views.run(run)),
            "usage": _rows(("name", "used", "is_spent"), usage(replica)),
            "positions": _rows(_POSITION, views.positions(replica)),
            "balances": _rows(("venue", "asset", "value"), views.balances(replica)),
            "strategies": _rows(
                ("name", "profit", "standing"),
                [views.strategy(replica, name) for name in replica.state.strategies],
            ),
            "contribution": _rows(("strategy", "instrument", "open"), contribution(replica)),
            "round_trips": _rows(("strategy", "instrument", "pnl", "pnl_share"), views.open_trips(replica)),
        }
    )
    return found


def _only(names: tuple[str, ...], found: BaseModel) -> dict[str, Any]:
    told = found.model_dump(mode="json", include=set(names))
    return {name: told[name] for name in names}


def _rows(names: tuple[str, ...], found: Iterable[BaseModel]) -> list[dict[str, Any]]:
    return [_only(names, each) for each in found]


__all__ = ["price_ts", "prices", "worth"]

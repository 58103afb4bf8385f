"""Strategies: those that can be run, and those that run, with their parameters and shares."""

import inspect
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from abidance.api import views
from abidance.api.access import Judged, Operator, Stand, Viewer
from abidance.api.fitting import check_parameters
from abidance.api.problems import not_found
from abidance.api.schemas.market import PerformanceOut, StrategyOut
from abidance.api.schemas.trading import AnswerOut, RunStrategyOut, StrategyChangeIn
from abidance.api.steering import steer
from abidance.model.errors import StrategyError
from abidance.model.event import ControlAction
from abidance.run.plugins import available, find_strategy, shipped
from abidance.strategy.base import BarStrategy
from abidance.strategy.parameters import parameters_of

router = APIRouter(tags=["strategies"], route_class=Judged)
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


@router.get("/strategies")
async def list_strategies(who: Viewer, house: Stand) -> list[StrategyOut]:
    """List the strategies that can be run: the shipped ones, then the user's own, with those that cannot be loaded."""
    return await house.reading(_listed, house.strategies)


@router.get("/runs/{run}/strategies")
async def list_run_strategies(run: str, who: Viewer, house: Stand) -> list[RunStrategyOut]:
    """List the strategies of a run, with their parameters as they are now and what they have earned."""
    replica = house.runs.get(run).replica
    return [views.strategy(replica, name) for name in replica.state.strategies]


@router.get("/runs/{run}/strategies/{name}/performance")
async def get_run_strategy_performance(run: str, name: str, who: Viewer, house: Stand) -> PerformanceOut:
    """Return how a strategy of a run does by what it closed: the figures of reports, and its profit over time."""
    replica = house.runs.get(run).replica
    if name not in replica.state.strategies:
        raise not_found("strategy", name)
    return await house.performances.of(replica, name)


@router.get("/runs/{run}/strategies/{name}/schema")
async def get_run_strategy_schema(run: str, name: str, who: Viewer, house: Stand) -> dict[str, Any]:
    """Return the JSON Schema of a running strategy's parameters."""
    config = house.runs.get(run).replica.state.strategies.get(name)
    if config is None:
        raise not_found("strategy", name)
    return await house.reading(lambda: schema_of(find_strategy(config.strategy, house.strategies)))


@router.patch("/runs/{run}/strategies/{name}")
async def change_run_strategy(
    run: str, name: str, body: StrategyChangeIn, who: Operator, house: Stand
) -> list[AnswerOut]:
    """Change a running strategy: its parameters, its share, whether it runs. Each change has its answer.

    They are made in this order; the first that the node refuses (409) ends it, and those before it hold.
    """
    replica = house.runs.get(run).replica
    config = replica.state.strategies.get(name)
    changes: list[tuple[ControlAction, dict[str, Any]]] = []
    if body.parameters:
        if config is not None:
            current = replica.parameters[name]
            await house.reading(check_parameters, config.strategy, body.parameters, house.strategies, current)
        changes.append((ControlAction.SET_PARAMETERS, dict(body.parameters)))
    if body.allocation is not None:
        changes.append((ControlAction.SET_ALLOCATION, {"allocation": body.allocation}))
    if body.status is not None:
        changes += [(action, {}) for action in _STEPS[body.status]]
    return [await steer(house, who, run, action, name, values) for action, values in changes]


_STEPS = {
    "active": (ControlAction.START, ControlAction.RESUME_ENTRIES),
    "paused": (ControlAction.PAUSE_ENTRIES,),
    "stopped": (ControlAction.STOP,),
}


def _listed(folder: Path) -> list[StrategyOut]:
    own = shipped()
    found = []
    for name, cls in available(folder).items():
        if isinstance(cls, StrategyError):
            file, problem = Path(name), str(cls).replace(f"{Path(name).parent}/", "")
            found.append(
                StrategyOut(
                    name=file.name, kind="bars", summary="", is_own=True, parameters={}, problem=problem
                )
            )
            continue
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        kind = "bars" if issubclass(cls, BarStrategy) else "events"
        found.append(
            StrategyOut(
                name=name, kind=kind, summary=summary, is_own=name not in own, parameters=schema_of(cls)
            )
        )
    return found


def schema_of(strategy: type) -> dict[str, Any]:
    """Return the JSON Schema of a strategy's parameters; a search's step stands as `x-step`."""
    properties: dict[str, Any] = {}
    for name, parameter in parameters_of(strategy).items():
        bounds = {"minimum": parameter.low, "maximum": parameter.high, "x-step": parameter.step}
        entry = {
            "type": _TYPES[type(parameter.default)],
            "default": parameter.default,
            **{key: value for key, value in bounds.items() if value is not None},
        }
        if parameter.choices:
            entry["enum"] = list(parameter.choices)
        properties[name] = entry
    return {"type": "object", "properties": properties, "additionalProperties": False}

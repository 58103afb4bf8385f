"""The application: routes, middleware and what goes on beside them, put together once."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from abidance import __version__
from abidance.api import access, problems, stream
from abidance.api.describing import SHARED, Application
from abidance.api.doorman import Doorman, Rules
from abidance.api.house import JOURNALS, STREAM, House
from abidance.api.packing import Packing
from abidance.api.pages import Pages
from abidance.api.place import web_folder
from abidance.api.routes import (
    alerts,
    audit,
    backtests,
    bots,
    config,
    data,
    downloads,
    exports,
    fills,
    health,
    jobs,
    keys,
    logs,
    market,
    orders,
    positions,
    risk,
    runs,
    searches,
    session,
    strategies,
    studies,
    unreadable,
    users,
    verdicts,
)
from abidance.api.work import WorkNews
from abidance.market.store import open_tables

PREFIX = "/api/v1"
_ROUTES = (
    session, users, audit, keys, bots, runs, unreadable, orders, fills, positions, exports, risk, market, strategies, backtests, searches, studies, verdicts, data, downloads, jobs, alerts, logs, config,
)  # fmt: skip


def create_app(house: House, rules: Rules, web: Path | None = None) -> FastAPI:
    """Return the application. Raises InvariantError when a route does not declare its role."""
    app = Application(
        title="Abidance",
        version=__version__,
        summary="What trading runs do, and the few orders that may be given to them.",
        description="Money is decimal text, time is milliseconds UTC, lists come newest first with a cursor.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.house, app.state.hub = house, stream.Hub(house.runs, WorkNews(house.benches))
    problems.install(app)
    app.router.routes.extend(_routes())
    access.check_declared(app)
    # Not mounted: a route that is there and takes other methods says so (405) rather than being nowhere.
    app.router.default = Pages(web if web is not None else web_folder())
    app.add_middleware(Packing, prefix=PREFIX)
    app.add_middleware(Doorman, rules=rules, metrics=house.metrics, known=access.known_as)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return the routes, which know no house: reading what each takes and answers is long, and done once."""
    found = APIRouter(responses=SHARED, generate_unique_id_function=_operation)
    for each in (*_ROUTES, stream):  # each by itself: a router of routers makes every route twice
        found.include_router(each.router, prefix=PREFIX)
    found.include_router(health.router)
    return tuple(found.routes)


def _operation(route: APIRoute) -> str:
    """Return an operation's id: the name of its function, which is unique."""
    return route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    house: House = app.state.house
    works = {
        JOURNALS: house.runs.follow,
        STREAM: app.state.hub.work,
        "audit log": house.arrears.work,
        **{bench.noun: bench.work for bench in house.benches},
    }
    tasks = [asyncio.ensure_future(house.works.last(name, work)) for name, work in works.items()]
    try:
        yield
    finally:
        try:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            house.close()


def describe() -> bytes:
    """Return the OpenAPI document as JSON, for whoever generates clients."""
    with tempfile.TemporaryDirectory() as place:
        house = House(Path(place), open_tables(Path(place) / "data"))
        try:
            app = create_app(house, Rules(frozenset()))
            return json.dumps(app.openapi(), indent=2, sort_keys=True).encode() + b"\n"
        finally:
            house.close()


__all__ = ["PREFIX", "create_app", "describe", "web_folder"]

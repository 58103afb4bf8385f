"""The whole OpenAPI, asked with what fits it and what does not, by each role: no defect, no breach of schema.

`ABIDANCE_SCHEMA_EXAMPLES` says how often each route is asked; by default it is few.
"""

import asyncio
import os
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from abidance.api.access import COOKIE
from abidance.api.bench import Bench
from abidance.api.house import House
from abidance.security.throttle import Throttle
from tests.unit.api.conftest import CHANGE, ORIGIN, people

EXAMPLES = int(os.environ.get("ABIDANCE_SCHEMA_EXAMPLES", "4"))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
_RUN = {"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}]}
RIGHT: dict[tuple[str, str], Any] = {
    ("PUT", "/api/v1/session/password"): {"password": "four other unrelated words"},
    ("DELETE", "/api/v1/session"): None,
    ("POST", "/api/v1/backtests"): {"config": _RUN},
    ("POST", "/api/v1/searches"): {"config": _RUN, "spaces": ["fast=2:4"], "trials": 2},
    ("POST", "/api/v1/verdicts"): {"config": _RUN},
    ("POST", "/api/v1/downloads"): {"instruments": ["BTC/USDT@BINANCE"], "timeframes": ["1h"]},
}
"""What is asked once more with a body that chance would not find: what ends a session, and long work."""


@pytest.fixture
def _nothing_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let long work wait in its queue, from which each case takes back what it put there."""

    async def wait(_: Bench) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Bench, "work", wait)


@pytest.mark.parametrize("who", ["anonymous", "viewer", "operator", "admin"])
@pytest.mark.usefixtures("_nothing_is_worked_on")
def test_nothing_that_anybody_may_ask_breaks_the_server_or_its_word(
    house: House, app: FastAPI, nobody: TestClient, who: str
) -> None:
    people(house)
    schema = schemathesis.openapi.from_dict(app.openapi())
    broken, answered, right = [], 0, set()

    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        place = (operation.method.upper(), operation.path)
        try:
            answered += bool(_ask(nobody, house, operation, who) & {200, 201})
            if place in RIGHT:
                body = (
                    {} if RIGHT[place] is None else {"body": RIGHT[place], "media_type": "application/json"}
                )
                right.add(_one(nobody, house, operation.Case(**body), who))
        except (AssertionError, BaseExceptionGroup) as error:
            broken.append(f"{operation.method} {operation.path}: {error}")

    assert not broken, "\n\n".join(broken)
    assert answered >= (3 if who == "anonymous" else 25)
    assert right == {"anonymous": {401}, "viewer": {200, 403}}.get(who, {200, 202})
    assert not any(job.state in ("queued", "running") for bench in house.benches for job in bench.all())


def _one(client: TestClient, house: House, case: schemathesis.Case, who: str) -> int:
    """Ask once, with a session of its own, and return the status; raises AssertionError for a breach."""
    house.throttle = Throttle()
    own = dict(CHANGE)
    if who != "anonymous":
        own["Cookie"] = f"{COOKIE}={house.sessions.open(who, '127.0.0.1', 'schema')}"
    wish = case.as_transport_kwargs(base_url=ORIGIN)
    wish["headers"] = {**wish.get("headers", {}), **own}
    wish.pop("cookies", None)
    client.cookies.clear()
    response = client.request(**wish)
    case.validate_response(response, checks=list(CHECKS))
    for bench in house.benches:
        for job in bench.all():
            if job.state == "queued":
                bench.cancel(job)
    return response.status_code


def _ask(client: TestClient, house: House, operation: Any, who: str) -> set[int]:
    """Ask one operation some times and return the statuses that came; raises AssertionError for a breach."""
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        if "run" in (case.path_parameters or {}):
            case.path_parameters["run"] = "demo"
        statuses.add(_one(client, house, case, who))

    ask()
    return statuses

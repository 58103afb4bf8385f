"""The whole OpenAPI, asked with what fits it and what does not, by each role: no defect, no breach of schema."""

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
from abidance.api.house import House
from abidance.security.throttle import Throttle
from tests.unit.api.conftest import CHANGE, ORIGIN, logged_in

EXAMPLES = 6
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
LEFT_OUT = {
    ("DELETE", "/api/v1/session"), ("PUT", "/api/v1/session/password"), ("POST", "/api/v1/backtests"),
    ("POST", "/api/v1/searches"), ("POST", "/api/v1/verdicts"), ("POST", "/api/v1/downloads"),
}  # fmt: skip
"""These would end the very session that asks, or fill the machine with backtests; they have tests of their own."""


@pytest.mark.parametrize("who", ["anonymous", "viewer", "operator", "admin"])
def test_nothing_that_anybody_may_ask_breaks_the_server_or_its_word(
    nobody: TestClient, house: House, app: FastAPI, who: str
) -> None:
    client = nobody if who == "anonymous" else logged_in(nobody, house, who)
    cookie = client.cookies.get(COOKIE)
    schema = schemathesis.openapi.from_dict(app.openapi())
    broken, answered = [], 0

    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if (operation.method.upper(), operation.path) in LEFT_OUT:
            continue

        try:
            answered += bool(_ask(client, house, operation, cookie) & {200, 201})
        except (AssertionError, BaseExceptionGroup) as error:
            broken.append(f"{operation.method} {operation.path}: {error}")

    assert not broken, "\n\n".join(broken)
    assert answered >= (3 if who == "anonymous" else 25)


def _ask(client: TestClient, house: House, operation: Any, cookie: str | None) -> set[int]:
    """Ask one operation some times and return the statuses that came; raises AssertionError for a breach."""
    statuses: set[int] = set()
    own = {**CHANGE, **({"Cookie": f"{COOKIE}={cookie}"} if cookie else {})}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        house.throttle = Throttle()
        if "run" in (case.path_parameters or {}):
            case.path_parameters["run"] = "demo"
        wish = case.as_transport_kwargs(base_url=ORIGIN)
        wish["headers"] = {**wish.get("headers", {}), **own}
        wish.pop("cookies", None)
        response = client.request(**wish)
        statuses.add(response.status_code)
        case.validate_response(response, checks=list(CHECKS))

    ask()
    return statuses

"""True and false are no numbers, wherever a request has one."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from abidance.api.house import House
from tests.unit.api.conftest import CHANGE, logged_in
from tests.unit.api.test_schema import BODIES, filled

NUMBERS = {"integer", "number"}
PLACES = {"run": "demo", "id": "any", "name": "EmaCross", "order_id": "any", "number": "0"}
Path = tuple[str | int, ...]


def numbers(document: dict[str, Any], schema: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """Yield where a body may have a number and no boolean."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = [schema, *schema.get("anyOf", ())]
    types = {each.get("type") for each in choices}
    if types & NUMBERS and "boolean" not in types:
        yield path
    for each in choices[1:]:
        if "$ref" in each or each.get("type") in ("array", "object"):
            yield from numbers(document, each, path)
    for name, each in schema.get("properties", {}).items():
        yield from numbers(document, each, (*path, name))
    if isinstance(items := schema.get("items"), dict):
        yield from numbers(document, items, (*path, 0))


def asked(app: FastAPI) -> Iterator[tuple[str, str, Path]]:
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody")
            if body:
                schema = body["content"]["application/json"]["schema"]
                for place in numbers(document, schema):
                    yield method.upper(), path, place


def put(body: Any, path: Path, value: object) -> None:
    """Put a value into a body, where its parts are there."""
    for step in path[:-1]:
        body = body[step]
    body[path[-1]] = value


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_in_the_place_of_a_number_is_told_at_its_field(
    app: FastAPI, nobody: TestClient, house: House, *, value: bool
) -> None:
    admin = logged_in(nobody, house, "admin")
    found = {}

    for method, path, place in asked(app):
        body = filled(BODIES.get((method, path), {}), {"new": "new"})
        put(body, place, value)
        answer = admin.request(method, path.format(**PLACES), json=body, headers=CHANGE)
        fields = [each["field"] for each in answer.json().get("errors", ())]
        found[method, path, ".".join(map(str, place))] = (answer.status_code, fields)

    assert {each: told for each, told in found.items() if told != (422, [each[2]])} == {}
    assert len(found) > 30


@pytest.mark.parametrize("field", ["dry_run_wallet", "risk.limits.max_exposure", "strategies.0.allocation"])
def test_a_boolean_in_a_configuration_that_is_sent_is_told_at_its_field(
    nobody: TestClient, house: House, field: str
) -> None:
    admin = logged_in(nobody, house, "admin")
    config = {
        "instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}], "risk": {"limits": {}},
    }  # fmt: skip
    put(config, tuple(int(each) if each.isdigit() else each for each in field.split(".")), True)

    answer = admin.post("/api/v1/backtests", json={"config": config}, headers=CHANGE)

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [f"config.{field}"]

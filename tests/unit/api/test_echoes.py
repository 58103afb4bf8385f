"""What somebody sends too much of is not sent back whole, by whatever way it came in."""

import re
from collections.abc import Iterator
from typing import Any

from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.api.problems import LONGEST, LONGEST_REMEDY, MEDIA, MOST_FIELDS
from tests.unit.api.conftest import CHANGE, logged_in

LONG = "x" * 5_000
CONFIG = {
    "instruments": [LONG],
    "timerange": LONG,
    "strategies": [{"strategy": LONG, "parameters": {LONG: LONG}}],
}


def ways(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every operation with too much of everything: in its path, its query and its body."""
    named = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        if path.endswith(("/session", "/setup")):
            continue
        for method, operation in operations.items():
            queries = {
                each["name"]: LONG for each in operation.get("parameters", ()) if each["in"] == "query"
            }
            yield method, re.sub(r"\{\w+\}", "demo", path), {"params": queries}
            if "{" in path:
                yield method, re.sub(r"\{\w+\}", LONG, path), {}
            if body := operation.get("requestBody"):
                schema = body["content"]["application/json"]["schema"]
                fields = named[schema["$ref"].rpartition("/")[2]]["properties"]
                filled = re.sub(r"\{\w+\}", "demo", path)
                yield method, filled, {"json": dict.fromkeys(fields, LONG)}
                yield method, filled, {"json": {LONG: LONG} | {f"{LONG}{number}": 1 for number in range(20)}}
                yield method, filled, {"json": dict.fromkeys(fields, [{LONG: LONG}] * 3)}
                yield method, filled, {"json": {"config": CONFIG, "strategies": CONFIG["strategies"]}}
                yield method, filled, {"json": LONG}


def test_no_problem_repeats_more_than_is_said_of_what_was_sent(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")
    wrong, refused = [], 0

    for method, path, given in ways(admin.get("/api/v1/openapi.json").json()):
        answer = admin.request(method, path, headers=CHANGE, **given)
        if answer.headers.get("content-type") != MEDIA:
            continue
        refused += 1
        told = answer.json()
        texts = [told["detail"], *(each[key] for each in told["errors"] for key in ("field", "message"))]
        is_short = max(map(len, texts)) <= LONGEST and len(told["remedy"]) <= LONGEST_REMEDY
        if not is_short or len(told["errors"]) > MOST_FIELDS or answer.status_code == 500:
            wrong.append((method, path[:80], *given, answer.status_code, len(answer.content)))

    assert not wrong
    assert refused > 250


def test_what_is_cut_keeps_its_beginning_and_its_end(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")

    told = admin.get(
        "/api/v1/runs/demo/orders", params={"strategy": "S" * 128, "instrument": "?" * 128}
    ).json()
    long = admin.get(f"/api/v1/runs/{LONG}").json()["detail"]

    assert told["detail"].count("S") >= 128  # short enough to stand whole
    assert long.startswith("There is no run 'x")
    assert long.endswith("x'.")
    assert " … " in long

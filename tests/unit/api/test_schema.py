"""The whole OpenAPI, asked with what is right, what fits it and what does not, by each role: no defect, no breach.

Each operation is asked once with real names and a body that is right, where it has to answer 2xx to whoever may, and
then with what chance makes of its schema. `ABIDANCE_SCHEMA_EXAMPLES` says how often; by default it takes half a minute.
The first of these is asked by everybody, each other one by the admin and by one of the rest in turn, and none twice.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyotp
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from abidance.api.access import COOKIE, Needs, routes_of
from abidance.api.app import describe
from abidance.api.bench import Bench
from abidance.api.bots import Recipe
from abidance.api.fitting import loaded
from abidance.api.house import House
from abidance.portfolio.ledger import fill_ref
from abidance.research.objective import Aim, Outcome
from abidance.research.space import Dimension, Space
from abidance.research.storage import journal
from abidance.research.study import Plan, Study
from abidance.run.bot import JOURNAL
from abidance.run.door import Answer, Word
from abidance.security.roles import Role
from abidance.security.throttle import Throttle
from tests.unit.api.conftest import CHANGE, ORIGIN, PASSWORD, QUICK, Node, Spawned, people

EXAMPLES = int(os.environ.get("ABIDANCE_SCHEMA_EXAMPLES", "16"))
FEW = 4
"""Times that an operation is asked which takes nothing but names in its path: only some of these are by chance."""
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
EVERYBODY = ("anonymous", *(role.value for role in Role))
KEPT = QUICK.hash(PASSWORD)
SERIES = {"instrument": "BTC/USDT@BINANCE", "timeframe": "1h"}
RUN, API = "/api/v1/runs/{run}", "/api/v1"
CONFIG = {"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}]}
QUERIES: dict[str, dict[str, Any]] = {
    f"{RUN}/bars": SERIES,
    f"{RUN}/book": {"instrument": "BTC/USDT@BINANCE"},
    f"{RUN}/indicators": SERIES | {"names": "ema 20"},
    f"{RUN}/orders/levels": {"instrument": "BTC/USDT@BINANCE"},
    f"{RUN}/why": {"ref": "{ref}"},
    f"{API}/backtests/{{id}}/why": {"ref": "{ref}"},
    f"{API}/bars": SERIES,
    f"{API}/data/gaps": SERIES,
    f"{API}/data/quality": SERIES,
    f"{API}/data/calendar": SERIES,
    f"{API}/backtests/compare": {"ids": ["{backtest}"]},
}
"""What reads have to be asked with; what stands in braces is filled in."""
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{API}/session"): {"name": "spare", "password": PASSWORD},
    ("POST", f"{API}/session/confirm"): {"password": PASSWORD},
    ("PUT", f"{API}/session/password"): {"password": "four other unrelated words"},
    ("PUT", f"{API}/session/totp"): {"code": "{code}"},
    ("POST", f"{API}/users"): {"name": "{new}", "password": PASSWORD},
    ("PATCH", f"{API}/users/{{name}}"): {"role": "operator"},
    ("POST", f"{API}/tokens"): {"name": "mine"},
    ("POST", f"{API}/bots"): {
        "name": "{new}",
        "strategies": [{"strategy": "EmaCross"}],
        "instruments": ["BTC/USDT@BINANCE"],
    },
    ("POST", f"{API}/bots/{{name}}/start"): {},
    ("POST", f"{RUN}/control"): {"action": "pause_entries"},
    ("POST", f"{RUN}/orders"): {
        "strategy": "EmaCross",
        "instrument": "BTC/USDT@BINANCE",
        "side": "buy",
        "quantity": "1",
    },
    ("PATCH", f"{RUN}/orders/{{order_id}}"): {"quantity": "1"},
    ("PATCH", f"{RUN}/risk/limits"): {"max_positions": 1},
    ("PATCH", f"{RUN}/risk/breakers"): {"max_drawdown": 0.01},
    ("POST", f"{RUN}/risk/circuits/reset"): {},
    ("PATCH", f"{RUN}/strategies/{{name}}"): {"status": "paused"},
    ("PUT", f"{RUN}/round-trips/{{number}}/note"): {"labels": ["late"], "note": "Too late."},
    ("POST", f"{API}/backtests"): {"config": CONFIG},
    ("POST", f"{API}/searches"): {"config": CONFIG, "spaces": ["fast=2:4"], "trials": 2},
    ("POST", f"{API}/searches/{{id}}/apply"): {},
    ("POST", f"{API}/verdicts"): {"config": CONFIG},
    ("POST", f"{API}/downloads"): {"instruments": ["BTC/USDT@BINANCE"], "timeframes": ["1h"]},
}
"""What is right to send."""
ELSEWHERE = {
    ("POST", f"{API}/setup"): 409,  # somebody is there already; tests/unit/api/test_access.py does it
    ("POST", f"{API}/keys"): 422,  # there is no vault: tests/unit/api/test_keys.py has one, and a venue
    ("PUT", f"{API}/keys"): 422,
    ("POST", f"{API}/keys/{{venue}}/{{account}}/check"): 422,
    ("POST", f"{API}/keys/{{venue}}/{{account}}/remove"): 422,
}
"""What is refused to everybody here, and how; it succeeds in other tests."""
KEY = {"venue": "NOWHERE", "account": "main", "key": "k" * 32, "secret": "s" * 32, "vault": "words that open"}
ELSEWHERE_BODIES = {
    f"{API}/setup": {"token": "none", "name": "ada", "password": PASSWORD},
    f"{API}/keys": KEY,
    f"{API}/keys/{{venue}}/{{account}}/check": {"vault": "words that open"},
    f"{API}/keys/{{venue}}/{{account}}/remove": {"vault": "words that open"},
}


@pytest.fixture
def _nothing_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let long work wait in its queue, from which each case takes back what it put there; bots end well at once."""

    async def wait(_: Bench) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Bench, "work", wait)
    monkeypatch.setattr(Spawned, "code", 0)


class World:
    """A house with one of everything, so that there is a real name for each place in a path."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._numbers = count()
        people(house)
        house.users.add("spare", PASSWORD, KEPT, Role.VIEWER)
        replica = house.runs.get("demo").replica
        self.order, self.ref = replica.sent[-1].id, fill_ref(replica.fills[-1])
        house.bots.keep(*house.bots.plan({**CONFIG, "name": "mine"}, Recipe("mine")))
        asked = {
            "backtest": "", "objectives": ["sharpe"], "sampler": "random", "train_until": None, "spaces": ["fast=2:4"],
        }  # fmt: skip
        self._asked = asked
        trials = [{"number": 0, "scores": [1.0], "parameters": {"fast": 3}}]
        checks = {"strategy": "", "sentence": "", "mark": "pass", "instruments": [], "period": ["", ""]}
        results: dict[str, dict[str, Any]] = {
            "backtests": {
                "equity": [["2025-01-01T00:00:00Z", 1.0], ["2025-01-02T00:00:00Z", 2.0]],
                "data": {"currency": "USDT"},
            },
            "searches": {"best": 0, "trials": trials},
            "verdicts": checks | {"checks": []},
            "downloads": {},
        }
        self.done = {}
        for bench in house.benches:
            job = bench.plan(loaded(CONFIG), "", "admin", asked)
            job.state, job.metrics = "done", {"trades": 1} if bench is house.bench else {}
            bench.queue(job)
            folder = f"{bench.noun}es" if bench.noun == "search" else f"{bench.noun}s"
            self.done[folder] = job.id
            place = house.userdir / folder / job.id
            (place / "result.json").write_text(json.dumps(results[folder]))
            (place / "page.html").write_text("<p>page</p>")
            shutil.copy(house.runs.folder / "demo" / JOURNAL, place)
        study = Study(
            journal(house.userdir / "studies" / "tried.journal"),
            Plan("tried", "random", 3, Space({"fast": Dimension("fast", 2, 900)}), Aim.read(("sharpe",), ())),
        )
        study.tell(study.ask().number, Outcome((1.0,), (), {}))

    def restore(self, who: str) -> None:
        """Put back what a request may have changed, as far as the next one needs it."""
        users = self.house.users
        for name in (who, "spare"):
            if users.get(name) is None and name != "anonymous":
                users.add(name, PASSWORD, KEPT, Role.VIEWER)
        self.house.throttle = Throttle()
        for bench in self.house.benches:
            for job in bench.all():
                if job.state in ("queued", "running"):
                    bench.cancel(job)

    def names(self, who: str, path: str, *, fresh: bool) -> dict[str, str]:
        """Return a real name for each place; `fresh` makes those that a request would use up."""
        first = path.removeprefix(f"{API}/").partition("/")[0]
        found = {"run": "demo", "order_id": self.order, "number": "0", "what": "fills", "ref": self.ref}
        found |= {"venue": "BINANCE", "account": "main", "new": f"new{next(self._numbers)}"}
        found["backtest"] = self.done["backtests"]
        found["name"] = {"users": "spare", "studies": "tried", "bots": "mine"}.get(first, "EmaCross")
        if first in self.done:
            found["id"] = self.done[first]
        if not fresh:
            return found
        house, own = self.house, "spare" if who == "anonymous" else who
        if first == "tokens":
            found["id"] = house.tokens.make(own, "t", Role.VIEWER, 1, (), ())[1].id
        elif first == "sessions":
            house.sessions.open(own, "127.0.0.1", "")
            found["id"] = house.sessions.all(own)[-1].id
        elif path.endswith("/session/totp"):
            users = house.users
            users.remove_totp(own)
            found["code"] = pyotp.TOTP(users.begin_totp(own)).at(int(house.now()))
        if own != "spare" or first == "session":
            house.users.set_password(own, PASSWORD, KEPT)
        return found

    def running(self, path: str) -> str:
        """Return the id of work that runs."""
        noun = path.removeprefix(f"{API}/").partition("/")[0]
        bench = next(each for each in self.house.benches if noun.startswith(each.noun))
        job = bench.plan(loaded(CONFIG), "", "admin", self._asked)
        job.state = "running"
        bench.queue(job)
        return job.id


def filled(value: Any, names: dict[str, str]) -> Any:
    """Return a body or a query whose braces hold real names."""
    if isinstance(value, dict):
        return {key: filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    is_named = isinstance(value, str) and value.startswith("{")
    return names[value.strip("{}")] if is_named else value


def ask(client: TestClient, world: World, case: schemathesis.Case, who: str) -> int:
    """Ask once, with a session of its own, and return the status; raises AssertionError for a breach."""
    house = world.house
    own = dict(CHANGE)
    if who != "anonymous":
        own["Cookie"] = f"{COOKIE}={house.sessions.open(who, '127.0.0.1', 'schema')}"
    wish = case.as_transport_kwargs(base_url=ORIGIN)
    wish["headers"] = {**wish.get("headers", {}), **own}
    wish.pop("cookies", None)
    if isinstance(wish.get("data"), str | bytes):
        wish["content"] = wish.pop("data")
    client.cookies.clear()
    response = client.request(**wish)
    wrong = (negative_data_rejection,) if case.meta else ()
    case.validate_response(response, checks=[*CHECKS, *wrong])
    return response.status_code


def right(world: World, operation: Any, who: str) -> schemathesis.Case:
    """Return a request that is right: real names, what is required, a body that is taken."""
    path, method = operation.path, operation.method.upper()
    world.restore(who)
    names = world.names(who, path, fresh=True)
    if method == "DELETE" and path.endswith("/{id}") and path.split("/")[3] in world.done:
        names["id"] = world.running(path)
    places = {name: names[name] for name in names if f"{{{name}}}" in path}
    given: dict[str, Any] = {"path_parameters": places} if places else {}
    if path in QUERIES and method == "GET":
        given["query"] = filled(QUERIES[path], names)
    body = BODIES.get((method, path), ELSEWHERE_BODIES.get(path) if method in ("POST", "PUT") else None)
    if body is not None:
        given |= {"body": filled(body, names), "media_type": "application/json"}
    case: schemathesis.Case = operation.Case(**given)
    return case


def is_let_in(needs: Needs, who: str) -> bool:
    if who == "anonymous":
        return needs.role is None or needs.or_nobody
    return needs.role is None or Role(who).covers(needs.role)


def operations(app: FastAPI) -> Iterator[tuple[Any, Needs]]:
    needs = {(method, each.path): each.needs for each in routes_of(app) for method in each.methods}
    for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        found = needs[operation.method.upper(), operation.path]
        assert found is not None
        yield operation, found


@pytest.mark.usefixtures("_nothing_is_worked_on")
def test_every_operation_does_what_is_right_for_whoever_may_and_keeps_its_word(
    house: House, app: FastAPI, nobody: TestClient
) -> None:
    world, wrong, tried = World(house), [], 0

    with Node(house, Answer(7, orders=("id",), notices=(Word("info", "any", "Any."),))):
        for operation, needs in operations(app):
            place = (operation.method.upper(), operation.path)
            for who in EVERYBODY:
                expected = {ELSEWHERE[place]} if place in ELSEWHERE else {200, 201, 202}
                if not is_let_in(needs, who):
                    expected = {401} if who == "anonymous" else {403}
                try:
                    status = ask(nobody, world, right(world, operation, who), who)
                except Exception as error:  # noqa: BLE001 - all that is wrong is told at once
                    wrong.append(f"{who}: {place}: {error}")
                    continue
                tried += 1
                if status not in expected:
                    wrong.append(f"{who}: {place}: {status}, not {expected}")

    assert not wrong, "\n\n".join(wrong)
    assert tried > 350


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_nothing_is_worked_on")
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_that_anybody_may_ask_breaks_the_server_or_its_word(
    house: House, app: FastAPI, nobody: TestClient, mode: GenerationMode
) -> None:
    world, broken, statuses, asked = World(house), [], set[int](), 0

    with Node(house, Answer(7, notices=(Word("info", "any", "Any."),))):
        for operation, _ in operations(app):
            if mode is GenerationMode.NEGATIVE and not can_be_wrong(operation):
                continue
            asked += 1
            try:
                statuses |= by_chance(nobody, world, operation, mode)
            except Exception as error:  # noqa: BLE001 - all that is wrong is told at once
                broken.append(f"{operation.method} {operation.path}: {error}")

    assert not broken, "\n\n".join(broken)
    assert asked > (90 if mode is GenerationMode.POSITIVE else 50)
    assert statuses >= ({401, 403, 404, 422} | ({200} if mode is GenerationMode.POSITIVE else set()))
    assert not any(job.state in ("queued", "running") for bench in house.benches for job in bench.all())


def can_be_wrong(operation: Any) -> bool:
    """Say whether anything that an operation takes has a shape: the text of a path has none."""
    takes = operation.definition.raw
    shapes = [each["schema"] for each in takes.get("parameters", ()) if each["in"] == "path"]
    return (
        "requestBody" in takes
        or len(shapes) < len(takes.get("parameters", ()))
        or any(each["type"] != "string" or "enum" in each for each in shapes)
    )


def is_path_wrong(case: schemathesis.Case) -> bool:
    """Say whether what chance made wrong of a request is its path, so that it has to stay."""
    part = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    return part is not None and part.mode is GenerationMode.NEGATIVE


def by_chance(client: TestClient, world: World, operation: Any, mode: GenerationMode) -> set[int]:
    """Ask one operation some times, every other with real names; return what came."""
    statuses: set[int] = set()
    number, asked = count(), set[str]()

    @settings(
        max_examples=EXAMPLES if can_be_wrong(operation) else FEW, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def tried(case: schemathesis.Case) -> None:
        names = world.names("spare", operation.path, fresh=False)
        is_real = next(number) % 2 == 0 or mode is GenerationMode.NEGATIVE
        for name in case.path_parameters or {} if not is_path_wrong(case) else ():
            if name in names and (is_real or name == "run"):
                case.path_parameters[name] = names[name]
        wish = repr(
            (case.path_parameters, case.query, case.headers, case.cookies, case.media_type, case.body)
        )
        if wish in asked:
            return
        others = [each for each in EVERYBODY if each != Role.ADMIN]
        for who in (Role.ADMIN.value, others[len(asked) % len(others)]) if asked else EVERYBODY:
            world.restore(who)
            statuses.add(ask(client, world, case, who))
        world.restore("spare")
        asked.add(wish)

    tried()
    return statuses


def test_no_operation_answers_something_that_it_does_not_name(app: FastAPI) -> None:
    document = app.openapi()

    answers = [
        (method, path, set(operation["responses"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]

    assert not [each for each in answers if "default" in each[2]]
    assert all({"403", "421", "429"} <= told for _, _, told in answers)
    assert {"401", "403", "404", "422"} <= next(
        t for m, p, t in answers if (m, p) == ("get", f"{RUN}/orders")
    )
    assert {"409", "413", "415"} <= next(t for m, p, t in answers if (m, p) == ("post", f"{RUN}/orders"))
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_description_that_clients_are_made_from_is_the_one_that_the_server_gives() -> None:
    kept = Path(__file__).parents[3] / "web" / "openapi.json"

    assert kept.read_bytes() == describe(), "Write it anew: make openapi"

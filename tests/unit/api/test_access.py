import re
import shutil
from pathlib import Path

import pyotp
import pytest
from fastapi import FastAPI
from msgspec import structs
from starlette.routing import Route
from starlette.testclient import TestClient

from abidance.api.access import COOKIE, Admin, Needs, check_declared, routes_of
from abidance.api.app import create_app
from abidance.api.doorman import hosts_of
from abidance.api.house import House
from abidance.api.server import Address
from abidance.market.store import open_tables
from abidance.model.errors import InvariantError, UsageError
from abidance.security.roles import Role, Scope
from tests.unit.api.conftest import CHANGE, ORIGIN, PASSWORD, QUICK, RULES, Clock, logged_in, people
from tests.unit.api.rights import wanted

API, HERE = "/api/v1", Path(__file__)


def cells(app: FastAPI) -> list[tuple[str, str, Needs]]:
    """Return every route that a plain request reaches: method, path with names filled in, what it takes."""
    found = []
    for path, methods, needs in routes_of(app):
        assert needs is not None
        path = re.sub(r"\{\w+\}", "nothing", path.replace("{number}", "0").replace("{what}", "fills"))
        found += [(method, path, needs) for method in methods]
    return found


def asked(client: TestClient, method: str, path: str, **headers: str) -> tuple[int, str]:
    """Return the status of an answer, and its code if it is a problem."""
    answer = client.request(method, path, headers={**CHANGE, **headers}, json={} if method != "GET" else None)
    is_problem = answer.headers.get("content-type", "") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else ""


def test_every_route_meets_every_role_as_it_declares(app: FastAPI, nobody: TestClient, house: House) -> None:
    clients: dict[Role | None, TestClient] = {None: nobody}
    clients |= {role: logged_in(nobody, house, role.value) for role in Role}
    wrong = []

    for method, path, needs in cells(app):
        needed = needs.role
        for role, client in clients.items():
            if (method, path) == ("DELETE", f"{API}/session"):
                continue
            status, _ = asked(client, method, path)
            if needed is None:
                expected = status != 401 or path.endswith("/session")
            elif role is None:
                expected = status == (200 if needs.or_nobody else 401)
            elif not role.covers(needed):
                expected = status == 403
            else:
                expected = status not in (401, 403, 405, 500)
            if not expected:
                wrong.append((method, path, role, status))

    assert not wrong


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"name": "\xff"}', b"[" * 100_000, b"null", b'{"nothing": 1}', b""],
    ids=["broken", "no text", "deep", "null", "unknown field", "empty"],
)
def test_who_may_not_is_told_so_whatever_they_send(
    app: FastAPI, nobody: TestClient, house: House, body: bytes
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    narrow, _ = house.tokens.make("admin", "narrow", Role.ADMIN, 1, (), (Scope.METRICS,))
    sent = CHANGE | {"Content-Type": "application/json"}
    wrong, asked_of = [], 0

    for method, path, needs in cells(app):
        if needs.role is None or method == "GET":
            continue
        path = f"{path}?limit=many&cursor=%00".replace("/0/", "/none/")  # what else could be judged before
        answers = {
            401: nobody.request(method, path, content=body, headers=sent),
            403: nobody.request(
                method, path, content=body, headers=sent | {"Authorization": f"Bearer {narrow}"}
            ),
        }
        wrong += [
            (method, path, each.status_code) for code, each in answers.items() if each.status_code != code
        ]
        if not Role.VIEWER.covers(needs.role):
            refused = viewer.request(method, path, content=body, headers=sent)
            wrong += [(method, path, refused.status_code)] if refused.status_code != 403 else []
        asked_of += 1

    assert not wrong
    assert asked_of > 30


def test_a_route_that_parses_before_it_judges_stops_the_application(app: FastAPI) -> None:
    async def late(body: dict[str, int], who: Admin) -> None:
        """Take something."""

    app.add_api_route("/api/v1/late", late, methods=["POST"])

    with pytest.raises(InvariantError, match="/api/v1/late reads a body before it knows who asks"):
        check_declared(app)


def test_every_route_declares_what_is_wanted_of_it(app: FastAPI) -> None:
    declared = {
        (
            method,
            path,
            needs.role.value if needs.role else "anybody",
            needs.scope.value if needs.scope else "-",
            " ".join(word for word in ("confirmed", "steers", "or_nobody") if getattr(needs, word)),
        )
        for path, methods, needs in routes_of(app)
        if needs is not None
        for method in methods or {"WS"}
    }

    assert declared == wanted()


def test_every_grave_deed_asks_an_admin_once_more_and_no_other_route_does(
    app: FastAPI, nobody: TestClient, house: House, clock: Clock
) -> None:
    admin = logged_in(nobody, house, "admin")
    clock.seconds += 301
    found = {(method, path): asked(admin, method, path)[1] for method, path, _ in _kept(app)}

    grave = {(method, path) for method, path, needs in cells(app) if needs.confirmed}
    own = {
        ("POST", f"{API}/session/totp"),
        ("DELETE", f"{API}/session/totp"),
    }  # one's own, each with its own question
    assert {place for place, code in found.items() if code == "confirm"} == grave | own


@pytest.mark.parametrize("scope", list(Scope))
def test_every_route_meets_a_token_of_every_scope_as_it_declares(
    app: FastAPI, nobody: TestClient, house: House, scope: Scope
) -> None:
    people(house)
    secret, _ = house.tokens.make("admin", "one", Role.ADMIN, 1, (), (scope,))
    wrong, opened = [], 0

    for method, path, needs in _kept(app):
        if needs.role is None:
            continue
        status, code = asked(nobody, method, path, Authorization=f"Bearer {secret}")
        opened += status != 403
        if needs.scope is None:
            expected = (status, code) == (403, "people")
        elif needs.scope is scope:
            expected = status not in (401, 405, 500) and code not in ("scope", "role")
        else:
            expected = (status, code) == (403, "scope")
        if not expected:
            wrong.append((method, path, status, code))

    assert not wrong
    assert opened


def test_a_token_without_scopes_may_what_its_role_may_and_a_scope_gives_no_role(
    nobody: TestClient, house: House
) -> None:
    people(house)
    whole, _ = house.tokens.make("operator", "whole", Role.OPERATOR, 1)
    lesser, _ = house.tokens.make("viewer", "lesser", Role.VIEWER, 1, (), (Scope.TRADE, Scope.MANAGE))

    found = [
        asked(nobody, method, path, Authorization=f"Bearer {secret}")
        for secret in (whole, lesser)
        for method, path in (("GET", f"{API}/runs"), ("GET", "/metrics"), ("POST", f"{API}/backtests"))
    ]

    assert [status for status, _ in found] == [200, 200, 422, 403, 403, 403]
    assert [code for _, code in found[3:]] == ["scope", "scope", "role"]


def test_scopes_are_chosen_when_a_token_is_made_and_shown_with_it(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")
    wish = {"name": "prometheus", "scopes": ["metrics"]}

    made = admin.post(f"{API}/tokens", json=wish, headers=CHANGE).json()
    strange = admin.post(f"{API}/tokens", json={**wish, "scopes": ["everything"]}, headers=CHANGE)
    bearer = {"Authorization": f"Bearer {made['secret']}"}

    assert admin.get(f"{API}/tokens").json()[0]["scopes"] == ["metrics"]
    assert nobody.get("/metrics", headers=bearer).status_code == 200
    assert nobody.get(f"{API}/runs", headers=bearer).json()["code"] == "scope"
    assert strange.json()["errors"][0]["field"] == "scopes.0"
    assert house.audit.last(1)[0].data["scopes"] == ["metrics"]


def _kept(app: FastAPI) -> list[tuple[str, str, Needs]]:
    """Return the routes that do not end the very session that asks."""
    return [each for each in cells(app) if each[:2] != ("DELETE", f"{API}/session")]


def test_a_route_that_declares_no_role_stops_the_application(app: FastAPI) -> None:
    app.add_api_route("/api/v1/open", lambda: {"secret": 1})

    with pytest.raises(InvariantError, match="/api/v1/open declares no role"):
        check_declared(app)


def test_no_route_bypasses_the_declared_ones(app: FastAPI) -> None:
    plain = {route.path for route in app.routes if type(route) is Route}

    assert plain == {f"{API}/openapi.json"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Abidance": "1"},
        {"Origin": ORIGIN},
        {"Origin": "null", "X-Abidance": "1"},
        {"Origin": "https://evil.example", "X-Abidance": "1"},
        {"Origin": "https://localhost.evil.example", "X-Abidance": "1"},
        {"Origin": "http://localhost", "X-Abidance": "1"},
        {"Origin": "https://localhost:444", "X-Abidance": "1"},
    ],
)
def test_a_change_from_another_page_is_refused_although_the_cookie_comes_along(
    nobody: TestClient, house: House, headers: dict[str, str]
) -> None:
    admin = logged_in(nobody, house, "admin")

    answer = admin.delete(f"{API}/session", headers=headers)

    assert answer.status_code == 403
    assert admin.get(f"{API}/session").status_code == 200


def test_a_form_of_another_page_is_refused_whatever_it_calls_itself(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")

    answer = admin.post(
        f"{API}/tokens", content='{"name": "x"}', headers={**CHANGE, "Content-Type": "text/plain"}
    )

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", ORIGIN, "https://localhost@evil.example", ""]
)
def test_no_origin_is_ever_told_that_it_may_read(nobody: TestClient, origin: str) -> None:
    answers = [
        nobody.get("/health", headers={"Origin": origin}),
        nobody.options("/health", headers={"Origin": origin}),
    ]

    assert not [name for each in answers for name in each.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "localhost:1", "localhost.evil.example", "", "127.0.0.1"])
def test_a_request_for_another_host_is_refused(nobody: TestClient, host: str) -> None:
    assert nobody.get("/health", headers={"Host": host}).status_code == 421


def test_every_answer_bears_the_headers_that_keep_browsers_careful(nobody: TestClient) -> None:
    for path in ("/health", f"{API}/runs", "/", "/nowhere", f"{API}/openapi.json"):
        headers = nobody.get(path).headers

        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["cache-control"] == "no-store" or not path.startswith("/api")


def test_a_login_never_takes_over_a_session_that_was_there_before(nobody: TestClient, house: House) -> None:
    people(house)
    nobody.cookies.set(COOKIE, "planted", domain="localhost.local")

    first = nobody.post(f"{API}/session", json={"name": "admin", "password": PASSWORD}, headers=CHANGE)
    before = first.cookies[COOKIE]
    second = nobody.post(
        f"{API}/session",
        json={"name": "admin", "password": PASSWORD},
        headers={**CHANGE, "Cookie": f"{COOKIE}={before}"},
    )

    assert before != "planted"
    assert second.cookies[COOKIE] != before
    assert house.sessions.find("planted") is None
    assert house.sessions.find(before) is None


def test_the_cookie_is_one_that_scripts_and_other_hosts_never_see(nobody: TestClient, house: House) -> None:
    people(house)

    told = nobody.post(
        f"{API}/session", json={"name": "viewer", "password": PASSWORD}, headers=CHANGE
    ).headers["set-cookie"]

    assert told.startswith("__Host-")
    for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert word in told
    assert "Domain" not in told


def test_a_session_ends_when_nobody_uses_it_and_after_half_a_day(
    nobody: TestClient, house: House, clock: Clock
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    clock.seconds += 29 * 60
    still = viewer.get(f"{API}/runs").status_code
    clock.seconds += 31 * 60
    idle = viewer.get(f"{API}/runs").status_code
    other = logged_in(nobody, house, "viewer")
    last = 0
    for _ in range(30):
        clock.seconds += 25 * 60
        last = other.get(f"{API}/runs").status_code

    assert (still, idle, last) == (200, 401, 401)


def test_what_a_page_asks_for_while_nobody_is_at_it_keeps_no_session(
    nobody: TestClient, house: House, clock: Clock
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    answers = []

    for _ in range(7):  # five minutes each
        answers.append(viewer.get(f"{API}/runs", headers={"X-Abidance-Away": "1"}).status_code)
        clock.seconds += 5 * 60

    assert answers == [200] * 6 + [401]


def test_logging_out_ends_the_session_itself(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")
    secret = viewer.cookies[COOKIE]

    viewer.delete(f"{API}/session", headers=CHANGE)

    assert nobody.get(f"{API}/runs", headers={"Cookie": f"{COOKIE}={secret}"}).status_code == 401


@pytest.mark.parametrize("shown", [{}, {"Cookie": f"{COOKIE}=made-up"}])
def test_whoever_is_not_logged_in_is_told_so_without_an_error_and_learns_nothing_else(
    nobody: TestClient, house: House, shown: dict[str, str]
) -> None:
    people(house)

    answer = nobody.get(f"{API}/session", headers=shown)
    token = nobody.get(f"{API}/session", headers={**shown, "Authorization": "Bearer abd_made-up"})

    assert (answer.status_code, answer.text) == (200, "null")
    assert "set-cookie" not in answer.headers
    assert (token.status_code, token.json()["code"]) == (
        401,
        "login",
    )  # a program is to know that its token is of no use


def test_a_thousand_guesses_are_looked_at_ten_times_and_answered_alike(
    nobody: TestClient, house: House
) -> None:
    people(house)
    looked: list[str | None] = []
    inner = house.passwords.verify

    def verify(password: str, kept: str | None) -> tuple[bool, str | None]:
        looked.append(kept)
        return inner(password, kept)

    house.passwords.verify = verify  # type: ignore[method-assign]

    statuses = [
        nobody.post(f"{API}/session", json={"name": name, "password": "wrong"}, headers=CHANGE)
        for name in ("admin", "stranger") * 500
    ]

    wrong = {each.json()["detail"] for each in statuses if each.status_code == 401}
    assert wrong == {"Name, password or code are wrong."}
    assert len(looked) <= 10
    assert {each.status_code for each in statuses} == {401, 429}
    assert "retry-after" in statuses[-1].headers


def test_coming_in_oneself_buys_no_more_guesses_at_others(nobody: TestClient, house: House) -> None:
    people(house)
    statuses = []
    for name in [f"stranger{number}" for number in range(12)]:
        guess = {"name": name, "password": "wrong"}
        statuses.append(nobody.post(f"{API}/session", json=guess, headers=CHANGE).status_code)
        own = {"name": "viewer", "password": PASSWORD}
        nobody.post(f"{API}/session", json=own, headers=CHANGE)

    assert statuses[-1] == 429


def test_a_throttled_account_can_come_in_from_elsewhere(
    app: FastAPI, nobody: TestClient, house: House
) -> None:
    people(house)
    for _ in range(20):
        nobody.post(f"{API}/session", json={"name": "admin", "password": "wrong"}, headers=CHANGE)

    elsewhere = TestClient(app, ORIGIN, client=("10.0.0.9", 5))
    elsewhere.portal = nobody.portal
    answer = elsewhere.post(f"{API}/session", json={"name": "admin", "password": PASSWORD}, headers=CHANGE)

    assert answer.status_code == 201


def with_second_factor(
    nobody: TestClient, house: House, clock: Clock
) -> tuple[TestClient, pyotp.TOTP, list[str]]:
    admin = logged_in(nobody, house, "admin")
    totp = pyotp.TOTP(admin.post(f"{API}/session/totp", headers=CHANGE).json()["secret"])
    code = totp.generate_otp(int(clock.seconds) // 30)
    told = admin.put(f"{API}/session/totp", json={"code": code}, headers=CHANGE)
    assert told.status_code == 200, told.text
    return admin, totp, told.json()["codes"]


def test_a_code_of_the_second_factor_opens_once(nobody: TestClient, house: House, clock: Clock) -> None:
    _, totp, _ = with_second_factor(nobody, house, clock)
    clock.seconds += 60
    code = totp.generate_otp(int(clock.seconds) // 30)
    old = totp.generate_otp(int(clock.seconds) // 30 - 3)
    wish = {"name": "admin", "password": PASSWORD}

    without = nobody.post(f"{API}/session", json=wish, headers=CHANGE).status_code
    stale = nobody.post(f"{API}/session", json={**wish, "code": old}, headers=CHANGE).status_code
    right = nobody.post(f"{API}/session", json={**wish, "code": code}, headers=CHANGE).status_code
    replayed = nobody.post(f"{API}/session", json={**wish, "code": code}, headers=CHANGE).status_code

    assert (without, stale, right, replayed) == (401, 401, 201, 401)


def test_a_recovery_code_opens_once(nobody: TestClient, house: House, clock: Clock) -> None:
    _, _, codes = with_second_factor(nobody, house, clock)
    wish = {"name": "admin", "password": PASSWORD, "code": codes[3]}

    first = nobody.post(f"{API}/session", json=wish, headers=CHANGE).status_code
    second = nobody.post(f"{API}/session", json=wish, headers=CHANGE).status_code

    assert len(set(codes)) == 10
    assert (first, second) == (201, 401)


def test_switching_the_second_factor_on_renews_the_session_and_ends_the_others(
    nobody: TestClient, house: House, clock: Clock
) -> None:
    other = logged_in(nobody, house, "admin")
    before = {each.id for each in house.sessions.all("admin")}
    admin, _, _ = with_second_factor(nobody, house, clock)

    assert other.get(f"{API}/runs").status_code == 401
    assert admin.get(f"{API}/session").json()["has_totp"] is True
    assert not before & {each.id for each in house.sessions.all("admin")}


def test_grave_deeds_ask_for_a_proof_of_the_last_five_minutes(
    nobody: TestClient, house: House, clock: Clock
) -> None:
    admin = logged_in(nobody, house, "admin")
    wish = {"name": "new", "password": "quite another phrase"}
    clock.seconds += 5 * 60
    refused = admin.post(f"{API}/users", json=wish, headers=CHANGE)
    wrong = admin.post(f"{API}/session/confirm", json={"password": "wrong"}, headers=CHANGE)
    before = admin.cookies[COOKIE]
    right = admin.post(f"{API}/session/confirm", json={"password": PASSWORD}, headers=CHANGE)
    made = admin.post(f"{API}/users", json=wish, headers=CHANGE)

    assert (refused.status_code, refused.json()["code"]) == (403, "confirm")
    assert wrong.status_code == 403
    assert right.status_code == 200
    assert admin.cookies[COOKIE] != before
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("path", "release"),
    [
        ("control", {"action": "release"}),
        ("control", {"action": "reset_circuits"}),
        ("risk/circuits/reset", {"venue": "binance", "part": "requests"}),
    ],
)
def test_ending_a_halt_or_a_circuit_is_for_an_admin_who_has_just_proven_it(
    nobody: TestClient, house: House, clock: Clock, path: str, release: dict[str, str]
) -> None:
    operator, admin = logged_in(nobody, house, "operator"), logged_in(nobody, house, "admin")
    clock.seconds += 301

    answers = [
        each.post(f"{API}/runs/demo/{path}", json=release, headers=CHANGE) for each in (operator, admin)
    ]
    admin.post(f"{API}/session/confirm", json={"password": PASSWORD}, headers=CHANGE)
    proven = admin.post(f"{API}/runs/demo/{path}", json=release, headers=CHANGE)

    assert [each.json()["code"] for each in answers] == ["role", "confirm"]
    assert proven.json()["code"] == "not_running"
    assert house.audit.last(1)[0].action == f"control.{release.get('action', 'reset_circuits')}"


def test_a_token_is_no_more_than_its_owner_and_works_only_from_its_addresses(
    app: FastAPI, nobody: TestClient, house: House, clock: Clock
) -> None:
    operator = logged_in(nobody, house, "operator")
    wish = {"name": "script", "role": "operator", "days": 1, "addresses": ["127.0.0.0/8"]}

    greedy = operator.post(f"{API}/tokens", json={**wish, "role": "admin"}, headers=CHANGE)
    made = operator.post(f"{API}/tokens", json=wish, headers=CHANGE).json()
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    here = nobody.get(f"{API}/session", headers=bearer)
    elsewhere = TestClient(app, ORIGIN, client=("10.0.0.9", 5))
    elsewhere.portal = nobody.portal
    there = elsewhere.get(f"{API}/session", headers=bearer)
    house.users.set_role("operator", Role.VIEWER)
    demoted = nobody.get(f"{API}/session", headers=bearer)
    clock.seconds += 86_401
    late = nobody.get(f"{API}/session", headers=bearer)

    assert greedy.status_code == 403
    assert (here.json()["kind"], here.json()["role"]) == ("token", "operator")
    assert there.status_code == 401
    assert demoted.json()["role"] == "viewer"
    assert late.status_code == 401
    assert made["secret"] not in operator.get(f"{API}/tokens").text


def test_a_token_cannot_do_what_is_for_people(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")
    made = admin.post(f"{API}/tokens", json={"name": "a", "role": "admin"}, headers=CHANGE).json()

    answer = nobody.post(
        f"{API}/users",
        json={"name": "x", "password": "quite another phrase"},
        headers={"Authorization": f"Bearer {made['secret']}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "people")


def test_sessions_and_tokens_of_others_cannot_even_be_seen_to_exist(nobody: TestClient, house: House) -> None:
    admin, viewer = logged_in(nobody, house, "admin"), logged_in(nobody, house, "viewer")
    token = admin.post(f"{API}/tokens", json={"name": "a"}, headers=CHANGE).json()["token"]["id"]
    session = house.sessions.all("admin")[0].id

    answers = [
        viewer.delete(f"{API}/tokens/{token}", headers=CHANGE),
        viewer.delete(f"{API}/sessions/{session}", headers=CHANGE),
        viewer.delete(f"{API}/sessions/nothing", headers=CHANGE),
    ]

    assert {each.status_code for each in answers} == {404}
    assert "admin" not in viewer.get(f"{API}/sessions").text
    assert viewer.get(f"{API}/tokens").json() == []


@pytest.mark.parametrize(
    "extra", [{"role": "admin"}, {"is_admin": True}, {"user": "admin"}, {"is_active": True}]
)
def test_nobody_gives_themselves_more_by_sending_more(
    nobody: TestClient, house: House, extra: dict[str, object]
) -> None:
    viewer = logged_in(nobody, house, "viewer")

    answer = viewer.put(
        f"{API}/session/password", json={"password": "quite another phrase", **extra}, headers=CHANGE
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == next(iter(extra))


def test_the_first_admin_is_made_once_and_only_with_the_token(nobody: TestClient, house: House) -> None:
    wish = {"name": "ada", "password": PASSWORD}
    token = house.setup_token
    assert nobody.get(f"{API}/setup").json() == {"needed": True}

    wrong = nobody.post(f"{API}/setup", json={**wish, "token": "guess"}, headers=CHANGE)
    weak = nobody.post(f"{API}/setup", json={**wish, "password": "short", "token": token}, headers=CHANGE)
    right = nobody.post(f"{API}/setup", json={**wish, "token": token}, headers=CHANGE)
    again = nobody.post(
        f"{API}/setup", json={"name": "eve", "password": PASSWORD, "token": token}, headers=CHANGE
    )

    assert [each.status_code for each in (wrong, weak, right, again)] == [403, 422, 201, 409]
    assert right.json()["role"] == "admin"
    assert [each.name for each in house.users.all()] == ["ada"]
    assert [each.action for each in house.audit.last(9)] == ["user.first"]


def test_the_last_admin_stays(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")

    answers = [
        admin.patch(f"{API}/users/admin", json={"role": "viewer"}, headers=CHANGE),
        admin.patch(f"{API}/users/admin", json={"is_active": False}, headers=CHANGE),
        admin.delete(f"{API}/users/admin", headers=CHANGE),
    ]

    assert [each.status_code for each in answers] == [422, 422, 422]
    assert admin.get(f"{API}/session").json()["role"] == "admin"


def test_what_is_too_large_or_malformed_is_refused_with_a_reason(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")

    large = admin.post(
        f"{API}/users", content=b" " * (1 << 21), headers={**CHANGE, "Content-Type": "application/json"}
    )
    broken = admin.post(f"{API}/users", content=b"{", headers={**CHANGE, "Content-Type": "application/json"})
    page = admin.get(f"{API}/runs/demo/fills?limit=1000000000")
    unknown = admin.get(f"{API}/runs/nothing")

    assert [each.status_code for each in (large, broken, page, unknown)] == [413, 422, 422, 404]
    for each in (large, broken, page, unknown):
        assert each.headers["content-type"] == "application/problem+json"
        assert each.json()["detail"]
    assert page.json()["errors"] == [{"field": "limit", "message": "It must be 500 or less."}]


def test_the_demo_lets_nobody_steer_real_orders(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "user")
    house = House(tmp_path / "user", open_tables(tmp_path / "user" / "data"), demo=True, passwords=QUICK)
    house.runs.scan()
    house.runs.advance()
    run = house.runs.get("demo").replica
    with TestClient(create_app(house, RULES), ORIGIN, client=("127.0.0.1", 5)) as client:
        paper = client.post(f"{API}/runs/demo/control", json={"action": "kill"}, headers=CHANGE)
        run.header = structs.replace(run.header, mode="live")
        real = client.post(f"{API}/runs/demo/control", json={"action": "kill"}, headers=CHANGE)
        elsewhere = TestClient(client.app, ORIGIN, client=("10.0.0.9", 5))
        elsewhere.portal = client.portal
        stranger = elsewhere.get(f"{API}/runs")

    assert paper.json()["code"] == "not_running"
    assert (real.status_code, real.json()["code"]) == (403, "demo")
    assert stranger.status_code == 401


# --- where it listens


@pytest.mark.parametrize(
    "address",
    [
        Address("0.0.0.0"),
        Address("192.168.1.5"),
        Address("::"),
        Address(certificate=HERE),
        Address(
            "0.0.0.0",
            certificate=HERE,
            key=HERE,
        ),
        Address(allowed=("everybody",)),
    ],
)
def test_a_server_that_strangers_could_reach_is_not_started(address: Address) -> None:
    with pytest.raises(UsageError):
        address.check(demo=False)


def test_the_demo_never_leaves_this_machine() -> None:
    with pytest.raises(UsageError, match="stays on this machine"):
        Address("10.0.0.1", certificate=HERE, key=HERE).check(demo=True)


def test_hosts_are_those_by_which_a_server_is_reached() -> None:
    assert hosts_of("127.0.0.1", 8321, (), "http") == {"127.0.0.1:8321", "localhost:8321", "[::1]:8321"}
    assert hosts_of("x", 443, ("trade.example.org",), "https") == {
        "x:443", "x", "trade.example.org:443", "trade.example.org",
    }  # fmt: skip

"""Who asks too often or says nothing: strangers hold up nobody who is known, least of all somebody's kill."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from abidance.api import connections
from abidance.api.app import create_app
from abidance.api.connections import Bounded
from abidance.api.house import House
from abidance.run.door import Answer, Word
from abidance.security.roles import Role
from abidance.security.throttle import SOME, Strangers, place_of
from tests.unit.api.conftest import CHANGE, ORIGIN, PASSWORD, RULES, Clock, Node, logged_in, people

API, KILL = "/api/v1", {"action": "kill"}
KILLED = Answer(7, notices=(Word("warning", "kill", "Killed."),))


@pytest.fixture
def app(house: House) -> FastAPI:
    slow = replace(RULES, rate=0.001, burst=20, own_rate=0.001, own_burst=20)
    return create_app(house, slow, web=house.userdir / "web")


def flood(client: TestClient, path: str, times: int = 40) -> list[int]:
    ask = client.post if path.endswith("/control") else client.get
    return [ask(f"{API}{path}", headers=CHANGE).status_code for _ in range(times)]


@pytest.mark.parametrize("path", ["/session", "/runs/demo/control"])
def test_a_flood_from_the_same_address_holds_up_neither_what_somebody_reads_nor_their_kill(
    nobody: TestClient, house: House, path: str
) -> None:
    operator = logged_in(nobody, house, "operator")
    stranger = TestClient(nobody.app, ORIGIN, client=("127.0.0.1", 50_001))
    stranger.cookies.set("__Host-abidance", "of nobody", domain="localhost.local")

    refused = flood(stranger, path)
    read = operator.get(f"{API}/session").status_code
    with Node(house, KILLED):
        killed = operator.post(f"{API}/runs/demo/control", json=KILL, headers=CHANGE).status_code

    assert refused[-1] == 429
    assert (read, killed) == (200, 200)


def test_whoever_asks_too_often_themselves_waits_but_not_with_their_kill(
    nobody: TestClient, house: House
) -> None:
    operator = logged_in(nobody, house, "operator")

    reads = flood(operator, "/session", 60)
    with Node(house, KILLED):
        killed = operator.post(f"{API}/runs/demo/control", json=KILL, headers=CHANGE).status_code

    assert (reads[0], reads[-1], killed) == (200, 429, 200)


def test_whoever_sits_at_a_demo_is_known_there(nobody: TestClient, house: House) -> None:
    house.demo = True

    reads = flood(nobody, "/runs", 60)

    assert reads.count(200) == 40  # twenty of the place, and twenty of their own


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::1"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_one_host_is_one_place_whatever_addresses_of_its_network_it_takes(address: str, place: str) -> None:
    assert place_of(address) == place


def guess(app: FastAPI, portal: Any, address: str, password: str) -> int:
    client = TestClient(app, ORIGIN, client=(address, 5))
    client.portal = portal
    body = {"name": "viewer", "password": password}
    return client.post(f"{API}/session", json=body, headers=CHANGE).status_code


def test_a_network_of_addresses_guesses_no_more_than_one(
    nobody: TestClient, app: FastAPI, house: House
) -> None:
    people(house)

    answers = [guess(app, nobody.portal, f"2001:db8:1:2::{at:x}", "a wrong guess") for at in range(1, 15)]

    assert answers[:4] == [401] * 4
    assert set(answers[4:]) == {429}


def test_guesses_from_everywhere_come_to_an_end_and_the_owner_comes_in_where_they_did_before(
    nobody: TestClient, app: FastAPI, house: House
) -> None:
    people(house)
    home, here = "203.0.113.7", "127.0.0.1"
    first = guess(app, nobody.portal, home, PASSWORD)

    answers = [
        guess(app, nobody.portal, f"198.51.{at // 250}.{at % 250}", "a wrong guess") for at in range(2 * SOME)
    ]
    stranger = guess(app, nobody.portal, "192.0.2.1", PASSWORD)

    assert first == 201
    assert answers == [401] * (SOME - 1) + [429] * (SOME + 1)
    assert stranger == 429
    assert guess(app, nobody.portal, home, PASSWORD) == guess(app, nobody.portal, here, PASSWORD) == 201


def test_what_is_known_of_places_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("abidance.security.throttle._MOST", 2)
    strangers = Strangers(clock)

    for place in ("a", "b", "c"):
        strangers.came_in("ada", place)
    for _ in range(SOME):
        strangers.take("ada", "a")

    assert strangers.take("ada", "a") > 0
    assert strangers.take("ada", "c") == 0.0
    clock.seconds += 61
    assert strangers.take("ada", "a") == 0.0


@pytest.mark.parametrize("keep", [None, False, True])
def test_tokens_end_with_a_password_that_is_changed_unless_they_are_to_be_kept(
    nobody: TestClient, house: House, keep: bool | None
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    house.tokens.make("viewer", "mine", Role.VIEWER, 1)
    house.tokens.make("admin", "theirs", Role.VIEWER, 1)
    body: dict[str, Any] = {"password": "another long sentence"} | (
        {} if keep is None else {"keep_tokens": keep}
    )

    answer = viewer.put(f"{API}/session/password", json=body, headers=CHANGE)

    assert answer.status_code == 200, answer.text
    assert {each.name for each in house.tokens.all()} == ({"theirs", "mine"} if keep else {"theirs"})


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ({"password": "another long sentence"}, True),
        ({"reset_totp": True}, True),
        ({"role": "operator"}, False),
    ],
)
def test_tokens_end_when_an_admin_gives_another_password_or_takes_the_second_factor_away(
    nobody: TestClient, house: House, body: dict[str, Any], ends: bool
) -> None:
    admin = logged_in(nobody, house, "admin")
    secret, _ = house.tokens.make("viewer", "of a thief", Role.VIEWER, 1)
    thief = {"Authorization": f"Bearer {secret}"}
    before = nobody.get(f"{API}/runs", headers=thief).status_code

    answer = admin.patch(f"{API}/users/viewer", json=body, headers=CHANGE)

    assert (before, answer.status_code) == (200, 200)
    assert nobody.get(f"{API}/runs", headers=thief).status_code == (401 if ends else 200)


# --- connections


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def serving(then: Callable[[int], Any], **config: Any) -> Any:
    """Serve `hello` over real sockets while something is done."""

    async def both() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(
                uvicorn.Config(
                    hello, http=Bounded, lifespan="off", log_config=None, access_log=False, **config
                )
            )
            task = asyncio.ensure_future(server.serve([listener]))
            try:
                async with asyncio.timeout(60):
                    return await then(listener.getsockname()[1])
            finally:
                server.should_exit = True
                await task

    return asyncio.run(both())


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nHost: loc", GET + b"GET / HT"])
def test_a_connection_over_which_no_whole_request_comes_is_closed(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.05)

    async def wait(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    answer = serving(wait)

    assert answer.count(b"200 OK") == said.count(GET)


def test_a_connection_that_is_used_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.05)

    async def use(port: int) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = []
        for _ in range(3):
            writer.write(GET)
            answers.append(await reader.readuntil(b"hi"))
            await asyncio.sleep(0.15)  # longer than the head of a request may take
        writer.close()
        return answers

    assert len(serving(use)) == 3


def test_one_place_holds_so_many_connections_and_others_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    monkeypatch.setattr(connections, "_HERE", frozenset({"127.0.0.2"}))

    async def crowd(port: int) -> tuple[int, bytes]:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        closed = 0
        for reader, writer in held[3:]:
            try:
                closed += await reader.read() == b""
            except ConnectionResetError:
                closed += 1
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        writer.write(GET)
        answer = await reader.readuntil(b"hi")
        for _, each in [*held, (reader, writer)]:
            each.close()
        return closed, answer

    closed, answer = serving(crowd)

    assert closed == 3
    assert answer.startswith(b"HTTP/1.1 200")

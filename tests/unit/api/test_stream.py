"""The stream: who may open it, what it tells, and what it stands from those who mean it harm."""

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from abidance.api import stream as streaming
from abidance.api.access import Identity
from abidance.api.house import House
from abidance.security.roles import Role, Scope
from tests.unit.api.conftest import ORIGIN, Clock, logged_in, people

API, STREAM = "/api/v1", "wss://localhost/api/v1/stream"


def test_a_stream_is_opened_only_for_those_who_are_logged_in_here(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    def refused(client: TestClient, **headers: str) -> int:
        with (
            pytest.raises(WebSocketDisconnect) as found,
            client.websocket_connect(f"wss://localhost{API}/stream", headers=headers),
        ):
            pass
        return found.value.code

    assert refused(nobody) == 4401
    assert refused(viewer, origin="https://evil.example") == 4403
    assert refused(viewer, host="evil.example") == 4403
    assert refused(nobody, authorization="Bearer abd_nothing") == 4401
    secret, _ = house.tokens.make("viewer", "prometheus", Role.VIEWER, 1, (), (Scope.METRICS,))
    assert refused(nobody, authorization=f"Bearer {secret}") == 4403


def test_a_stream_goes_on_after_the_number_that_was_seen_last(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")
    count = house.runs.get("demo").replica.count

    with viewer.websocket_connect(f"wss://localhost{API}/stream", headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", "since": count - 5})
        found = [socket.receive_json() for _ in range(3)]
    by_type = {each["type"]: each for each in found}

    assert by_type["subscribed"]["number"] == count - 5
    assert [each["number"] for each in by_type["changes"]["items"]] == list(range(count - 4, count + 1))
    assert {each["kind"] for each in by_type["changes"]["items"]} <= {
        "bar",
        "equity",
        "order",
        "fill",
        "position",
    }


@pytest.mark.parametrize(
    "wish", [{"since": 10**9}, {"since": 1, "run_id": "another"}, {"since": -4}, {"since": True}]
)
def test_a_stream_that_cannot_go_on_says_that_all_must_be_read_anew(
    nobody: TestClient, house: House, wish: dict[str, object]
) -> None:
    viewer = logged_in(nobody, house, "viewer")

    with viewer.websocket_connect(f"wss://localhost{API}/stream", headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", **wish})
        kinds = {socket.receive_json()["type"] for _ in range(2)}

    assert "reset" in kinds


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"type": "subscribe"}', '{"type": "drop", "run": "demo"}', "[" * 4000]
)
def test_a_message_that_means_nothing_is_told_so_and_ends_nothing(
    nobody: TestClient, house: House, text: str
) -> None:
    viewer = logged_in(nobody, house, "viewer")

    with viewer.websocket_connect(f"wss://localhost{API}/stream", headers={"Origin": ORIGIN}) as socket:
        socket.send_text(text)
        kinds = [socket.receive_json()["type"] for _ in range(2)]
        socket.send_json({"type": "ping"})
        while (last := socket.receive_json()["type"]) == "beat":
            pass

    assert "problem" in kinds
    assert last == "pong"


def ends_with(
    client: TestClient, act: Callable[[WebSocketTestSession], object], headers: dict[str, str] | None = None
) -> int:
    """Open a stream, do something, and return the code with which the server then ends it."""
    with client.websocket_connect(STREAM, headers=headers or {"Origin": ORIGIN}) as socket:
        assert socket.receive_json()["type"] == "hello"
        act(socket)
        for _ in range(5_000):
            message = socket.receive()
            if message["type"] == "websocket.close":
                return int(message["code"])
    return 0


def test_a_flood_or_a_giant_ends_the_stream(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    def pour(socket: WebSocketTestSession) -> None:
        for _ in range(500):
            socket.send_text("{}")

    flood = ends_with(viewer, pour)
    giant = ends_with(viewer, lambda socket: socket.send_text("x" * 5_000))

    assert (flood, giant) == (4429, 4429)


def test_a_stream_ends_soon_after_its_session_does(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    code = ends_with(viewer, lambda _: house.sessions.end_all("viewer"))

    assert code == 4401


def test_binary_ends_the_stream(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    assert ends_with(viewer, lambda socket: socket.send_bytes(b"\x00\xff")) == 4429


@pytest.mark.parametrize("end", ["ended", "over", "user", "role"])
def test_a_stream_ends_soon_after_its_token_does(
    nobody: TestClient, house: House, clock: Clock, end: str
) -> None:
    people(house)
    secret, token = house.tokens.make("operator", "watcher", Role.OPERATOR, 1, (), (Scope.READ,))
    acts: dict[str, Callable[[], object]] = {
        "ended": lambda: house.tokens.end(token.id),
        "over": lambda: setattr(clock, "seconds", clock.seconds + 86_401),
        "user": lambda: house.users.remove("operator"),
        "role": lambda: house.users.set_role("operator", Role.VIEWER),
    }

    code = ends_with(nobody, lambda _: acts[end](), {"Authorization": f"Bearer {secret}"})

    assert code == 4401


def test_a_stream_ends_soon_after_its_user_has_another_role(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")

    code = ends_with(operator, lambda _: house.users.set_role("operator", Role.VIEWER))

    assert code == 4401


def test_a_run_that_is_not_there_is_told_so(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "../demo", "since": None})
        told = [socket.receive_json() for _ in range(2)]

    assert {"type": "problem", "detail": "There is no run '../demo'.", "run": "../demo"} in told


def test_more_runs_and_more_streams_than_there_is_room_for_are_refused(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    monkeypatch.setattr(streaming, "MOST_RUNS", 0)
    monkeypatch.setattr(streaming, "MOST_CLIENTS", 1)

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo"})
        told = [socket.receive_json() for _ in range(2)]
        with (
            pytest.raises(WebSocketDisconnect) as crowded,
            viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}),
        ):
            pass

    assert "One stream tells of 0 runs at most." in [each.get("detail") for each in told]
    assert crowded.value.code == 4503


class Deaf:
    """A connection whose other side reads nothing and says nothing."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def accept(self) -> None:
        pass

    async def send_text(self, _: str) -> None:
        await asyncio.Event().wait()

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}


def test_a_client_that_does_not_read_is_let_go(
    app: FastAPI, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.01)
    who = Identity("ada", Role.VIEWER, "session", "127.0.0.1", "")

    asyncio.run(asyncio.wait_for(streaming.stream(Deaf(app), who), 5.0))  # type: ignore[arg-type]

    assert not app.state.hub.clients


def test_what_goes_to_many_is_written_once(app: FastAPI, nobody: TestClient, house: House) -> None:
    run, hub = house.runs.get("demo"), app.state.hub
    changes = run.replica.since(run.replica.count - 5)
    assert changes is not None

    first, second = hub.message(run, changes), hub.message(run, list(changes))

    assert first is second

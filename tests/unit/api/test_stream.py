"""The stream: who may open it, what it tells, and what it stands from those who mean it harm."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from abidance.api import stream as streaming
from abidance.api.access import Identity
from abidance.api.bench import Job
from abidance.api.house import House
from abidance.journal.record import Record
from abidance.model.event import BalanceChanged, OrderFilled
from abidance.model.market import Trade
from abidance.model.order import Fill, Side
from abidance.run.replica import Replica
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


BTC, RUN = "BTC/USDT@BINANCE", f"{API}/runs/demo"


def heard(socket: WebSocketTestSession, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while (found := socket.receive_json())["type"] != kind:
        pass
    return dict(found)


def moved(replica: Replica, price: float) -> None:
    """Take a print of another price, as the journal's next record."""
    trade = Trade(replica.state.now + 1_000_000, BTC, price, 1.0, buyer_is_taker=True)
    replica.take([Record(replica.seq + 1, False, trade)])


def bought(replica: Replica) -> None:
    """Take a fill of ours, so that something is held whose worth moves."""
    fill = Fill(
        "t1",
        "",
        BTC,
        "EmaCross",
        Side.BUY,
        Decimal("0.01"),
        Decimal(90_000),
        Decimal(1),
        "USDT",
        replica.state.now,
    )
    replica.take([Record(replica.seq + 1, False, OrderFilled(fill.ts, fill))])


def test_what_moves_with_prices_is_told_as_the_routes_give_it_and_only_when_it_moved(
    nobody: TestClient, house: House
) -> None:
    viewer, replica = logged_in(nobody, house, "viewer"), house.runs.get("demo").replica
    assert nobody.portal is not None
    nobody.portal.call(bought, replica)
    told: list[dict[str, Any]] = []

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", "since": None})
        for price in (95_000.0, 80_000.0, 80_000.0, 123_456.78):
            nobody.portal.call(moved, replica, price)
            told.append(heard(socket, "prices"))
            worth = told[-1]["worth"]
            lists = {
                "positions": viewer.get(f"{RUN}/positions").json(),
                "balances": viewer.get(f"{RUN}/balances").json(),
                "strategies": viewer.get(f"{RUN}/strategies").json(),
                "contribution": viewer.get(f"{RUN}/contribution").json(),
                "round_trips": viewer.get(f"{RUN}/round-trips/open").json(),
                "usage": viewer.get(f"{RUN}/risk").json()["usage"],
            }
            run, instruments = viewer.get(RUN).json(), viewer.get(f"{RUN}/instruments").json()
            assert told[-1]["price_ts"] == {each["id"]: each["price_ts"] for each in instruments}

            assert worth["run"] == {name: run[name] for name in worth["run"]}
            for name, rows in lists.items():
                assert worth[name] == [{key: row[key] for key in worth[name][0]} for row in rows], name
                assert worth[name], name

    assert [each["prices"][BTC] for each in told] == [95_000.0, 80_000.0, 80_000.0, 123_456.78]
    assert len({each["price_ts"][BTC] for each in told}) == 4  # a price that was met again is no old one
    for name in ("equity", "drawdown", "profit", "profit_today", "profit_week", "profit_month", "exposure"):
        assert len({each["worth"]["run"][name] for each in told}) == 3, name
    assert len({each["worth"]["usage"][0]["used"] for each in told}) == 3


def test_who_follows_a_run_later_is_told_no_old_prices(
    app: FastAPI, nobody: TestClient, house: House
) -> None:
    viewer, replica = logged_in(nobody, house, "viewer"), house.runs.get("demo").replica
    assert nobody.portal is not None
    for price in (50_000.0, 60_000.0):
        nobody.portal.call(moved, replica, price)
        with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
            socket.send_json({"type": "subscribe", "run": "demo", "since": None})

            assert heard(socket, "prices")["prices"][BTC] == price

            socket.send_json({"type": "unsubscribe", "run": "demo"})
            while app.state.hub.newest:
                socket.receive_json()


def test_a_run_that_cannot_be_valued_silences_nobody(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = logged_in(nobody, house, "viewer")

    def fail(_: object) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(streaming, "worth", fail)

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", "since": None})
        heard(socket, "beat")
        heard(socket, "beat")


def asked_for(id: str) -> Job:
    return Job(id, {}, "one", "ada", 1, strategies=["EmaCross"], instruments=[BTC])


def test_long_work_is_told_as_its_route_shows_it_each_piece_as_it_stands_now(
    nobody: TestClient, house: House
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    first, second = asked_for("a"), asked_for("b")
    assert nobody.portal is not None

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "work": None, "since": None})
        begun = heard(socket, "reset")

        def act() -> None:
            for job in (first, second):
                house.bench.queue(job)
            house.bench.cancel(first)
            house.bench.cancel(second)

        nobody.portal.call(act)
        told = heard(socket, "work")
        shown = {id: viewer.get(f"{API}/backtests/{id}").json() for id in ("a", "b")}
    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "work": begun["work"], "since": told["number"] - 1})
        resumed, last = heard(socket, "subscribed"), heard(socket, "work")

    assert begun["number"] == 0
    assert told["number"] == 4
    assert [each["kind"] for each in told["items"]] == ["backtest", "backtest"]
    assert {each["data"]["id"]: each["data"] for each in told["items"]} == shown
    assert {each["state"] for each in shown.values()} == {"cancelled"}
    assert resumed == {"type": "subscribed", "work": begun["work"], "number": 3}
    assert last["items"] == told["items"][1:]


@pytest.mark.parametrize("since", [10**9, -1, True, None, "1"])
@pytest.mark.parametrize("is_ours", [True, False])
def test_work_of_which_too_little_is_known_must_be_read_anew(
    app: FastAPI, nobody: TestClient, house: House, since: object, is_ours: bool
) -> None:
    viewer, news = logged_in(nobody, house, "viewer"), app.state.hub.work_news
    news.note("backtest", asked_for("a"))

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "work": news.id if is_ours else "another", "since": since})

        assert heard(socket, "reset") == {"type": "reset", "work": news.id, "number": 1}


def test_work_of_which_nothing_can_be_told_ends_no_other_work(app: FastAPI, house: House) -> None:
    news, strange = app.state.hub.work_news, asked_for("a")
    strange.metrics = {"trades": "many"}

    house.bench.heard("backtest", strange)
    house.bench.heard("backtest", asked_for("b"))

    assert [each.number for each in news.since(0)] == [1]


class Fickle:
    """A connection on which something else is asked for while a message is on its way out."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.meanwhile: dict[str, Callable[[], object]] = {}

    async def send_text(self, text: str) -> None:
        message = json.loads(text)
        self.sent.append(message)
        self.meanwhile.pop(message["type"], lambda: None)()


@pytest.fixture
def fickle(app: FastAPI, nobody: TestClient, house: House) -> tuple[Fickle, Any]:
    socket = Fickle()
    who = Identity("ada", Role.VIEWER, "session", "127.0.0.1", "")
    return socket, streaming._Client(socket, who, house, app.state.hub)  # type: ignore[arg-type]


@pytest.mark.parametrize("sent", ["changes", "reset"])
def test_a_run_that_is_left_while_it_is_told_of_is_told_of_no_more(
    fickle: tuple[Fickle, Any], house: House, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "AT_MOST", 2)
    socket, client = fickle
    replica = house.runs.get("demo").replica
    run_id = replica.header.run_id if sent == "changes" else "another"
    client._told["demo"] = (run_id, replica.count - 9)
    socket.meanwhile = {sent: lambda: client._answer('{"type": "unsubscribe", "run": "demo"}')}

    asyncio.run(client._tell_run("demo"))
    asyncio.run(client._tell_run("demo"))  # as for a run that was left while another one was told of

    assert [each["type"] for each in socket.sent] == [sent]
    assert client._told == {}


def test_a_run_that_is_asked_for_anew_while_it_is_told_of_goes_on_from_there(
    fickle: tuple[Fickle, Any], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "AT_MOST", 2)
    socket, client = fickle
    replica = house.runs.get("demo").replica
    own, count = replica.header.run_id, replica.count
    client._told["demo"] = (own, count - 6)
    wish = json.dumps({"type": "subscribe", "run": "demo", "run_id": own, "since": count - 8})
    socket.meanwhile = {"changes": lambda: client._answer(wish)}

    for _ in range(3):
        asyncio.run(client._tell_run("demo"))

    told = [item["number"] for each in socket.sent if each["type"] == "changes" for item in each["items"]]
    assert told == [count - 5, count - 4, *range(count - 7, count + 1)]


def test_money_from_outside_is_a_change_since_no_order_tells_of_it(nobody: TestClient, house: House) -> None:
    viewer, replica = logged_in(nobody, house, "viewer"), house.runs.get("demo").replica
    gift = BalanceChanged(replica.state.now, "BINANCE", "USDT", Decimal("12.50"), "a gift")
    before = replica.count
    replica.take([Record(replica.seq + 1, False, gift)])

    with viewer.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", "since": before})
        told = {each["kind"]: each["data"] for each in heard(socket, "changes")["items"]}

    assert told["cash"] == {
        "event": "balance_changed", "venue": "BINANCE", "asset": "USDT", "amount": "12.50", "reason": "a gift",
        "ts": gift.ts // 1_000_000,
    }  # fmt: skip

"""The live stream: a WebSocket on which changes of runs arrive, numbered, so that a client that lost it can go on.

    client  {"type": "subscribe", "run": "demo", "run_id": "…", "since": 1200}    since: the last number seen, or null
            {"type": "unsubscribe", "run": "demo"}      {"type": "ping"}
    server  {"type": "hello", "version": "…"}           {"type": "pong"}          {"type": "beat", "ts": 1719000000000}
            {"type": "subscribed", "run": "demo", "run_id": "…", "number": 1200}
            {"type": "reset", "run": "demo", "run_id": "…", "number": 9000}       read everything anew, go on from there
            {"type": "changes", "run": "demo", "items": [{"number": 1201, "ts": …, "kind": "fill", "data": {…}}]}
            {"type": "prices", "run": "demo", "now": …, "equity": 10012.5, "prices": {"BTC/USDT@BINANCE": 61234.5}}
            {"type": "problem", "detail": "…"}

Who asks is known before the connection is accepted, and looked at again each second. Prices bear no number: only the
newest counts. Data has the shape that the REST routes give it.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from abidance import __version__
from abidance.api import views
from abidance.api.access import Identity, Needs, house_of
from abidance.api.following import Followed
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.api.schemas.wire import ms
from abidance.model.account import Position, RoundTrip
from abidance.model.event import Control, VenueStatus
from abidance.model.market import Bar, FeedStatus
from abidance.model.order import Fill, Order
from abidance.model.outcome import Notice, Refused
from abidance.risk.state import Standing
from abidance.run.replica import Change, Point, Replica
from abidance.run.shelf import WINDOW
from abidance.security.roles import Role
from abidance.security.throttle import Pace

router = APIRouter(tags=["stream"])
BEAT, AT_MOST, PATIENCE = 1.0, 500, 10.0
"""Seconds between beats, changes in one message, seconds that a client may leave a message unread."""
MOST_RUNS, LONGEST, MOST_CLIENTS = 50, 4_096, 1_000
LOST, REVOKED, TOO_MUCH, CROWDED = 4401, 4403, 4429, 4503
_PRICES_EVERY = 0.2
_KEPT = 4_096


class _NeedsToListen(Needs):
    """A role, asked for before a WebSocket is accepted."""

    async def __call__(self, connection: HTTPConnection) -> Identity:
        try:
            return await super().__call__(connection)
        except ProblemError as error:
            raise WebSocketException(LOST if error.status == 401 else REVOKED, error.detail) from None


Listener = Annotated[Identity, Depends(_NeedsToListen(Role.VIEWER))]


@router.websocket("/stream")
async def stream(websocket: WebSocket, who: Listener) -> None:
    """Send changes until the client goes, or may no longer listen."""
    house = house_of(websocket)
    hub: Hub = websocket.app.state.hub
    if hub.clients >= MOST_CLIENTS:
        raise WebSocketException(CROWDED, "Too many streams are open.")
    await websocket.accept()
    hub.clients += 1
    house.metrics.clients.set(hub.clients)
    client = _Client(websocket, who, house, hub)
    try:
        await client.serve()
    finally:
        hub.clients -= 1
        house.metrics.clients.set(hub.clients)


class Hub:
    """What all streams share: changes as text, written once for all who listen."""

    def __init__(self) -> None:
        self.clients = 0
        self._texts: OrderedDict[tuple[str, int], str] = OrderedDict()

    def text(self, run: Followed, change: Change) -> str:
        """Return a change as JSON."""
        key = (run.replica.header.run_id, change.number)
        found = self._texts.get(key)
        if found is None:
            kind, data = told(run.replica, change.what)
            head = json.dumps({"number": change.number, "ts": ms(change.ts), "kind": kind})
            found = self._texts[key] = f'{head[:-1]}, "data": {data}}}'
            if len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        return found


class _Client:
    """One connection: what it listens to and how far it has been told."""

    def __init__(self, websocket: WebSocket, who: Identity, house: House, hub: Hub) -> None:
        self._socket = websocket
        self._who = who
        self._house = house
        self._hub = hub
        self._told: dict[str, tuple[str, int]] = {}
        self._prices: dict[str, dict[str, float]] = {}
        self._news = asyncio.Event()
        self._pace = Pace(20.0, 50)
        self._prices_at = 0.0

    async def serve(self) -> None:
        """Listen and tell, until either ends."""
        unwatch = self._house.runs.watch(self._news.set)
        try:
            async with anyio.create_task_group() as both:
                for work in (self._listen, self._tell):
                    both.start_soon(_until_over, work, both.cancel_scope)
        finally:
            unwatch()

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if self._pace.take("") or text is None or len(text) > LONGEST:
                await self._socket.close(TOO_MUCH, "too many or too large messages")
                return
            answer = self._answer(text)
            if answer:
                await self._send(answer)
            self._news.set()

    def _answer(self, text: str) -> str:
        try:
            wish = json.loads(text)
            kind = wish["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return _problem("A message is a JSON object with a type.")
        if kind == "ping":
            return '{"type": "pong"}'
        name = wish.get("run")
        if kind not in ("subscribe", "unsubscribe") or not isinstance(name, str):
            return _problem("Known are subscribe and unsubscribe, each with a run, and ping.")
        if kind == "unsubscribe":
            self._told.pop(name, None)
            return ""
        return self._subscribe(name, wish.get("run_id"), wish.get("since"))

    def _subscribe(self, name: str, run_id: object, since: object) -> str:
        try:
            run = self._house.runs.get(name)
        except ProblemError as error:
            return _problem(error.detail, name)
        if len(self._told) >= MOST_RUNS:
            return _problem(f"One stream tells of {MOST_RUNS} runs at most.", name)
        replica, own = run.replica, run.replica.header.run_id
        self._prices.pop(name, None)
        is_known = (
            isinstance(since, int) and not isinstance(since, bool) and since >= 0 and run_id in (None, own)
        )
        if isinstance(since, int) and is_known and replica.since(since) is not None:
            self._told[name] = (own, since)
            return _say("subscribed", run=name, run_id=own, number=since)
        self._told[name] = (own, replica.count)
        kind = "subscribed" if since is None else "reset"
        return _say(kind, run=name, run_id=own, number=replica.count)

    async def _tell(self) -> None:
        await self._send(_say("hello", version=__version__, name=self._who.name))
        beat_at = time.monotonic() + BEAT
        while True:
            for name in tuple(self._told):
                await self._tell_run(name)
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + BEAT
                if not self._who.lasts(self._house):
                    await self._socket.close(LOST, "logged out")
                    return
                await self._send(_say("beat", ts=int(self._house.now() * 1000)))
            with anyio.move_on_after(min(_PRICES_EVERY, max(0.0, beat_at - now))):
                await self._news.wait()
            self._news.clear()

    async def _tell_run(self, name: str) -> None:
        try:
            run = self._house.runs.get(name)
        except ProblemError:
            return  # it may come back, under this name
        own = run.replica.header.run_id
        told_id, number = self._told[name]
        changes = run.replica.since(number) if told_id == own else None
        if changes is None:
            self._told[name] = (own, run.replica.count)
            await self._send(_say("reset", run=name, run_id=own, number=run.replica.count))
            return
        for at in range(0, len(changes), AT_MOST):
            part = changes[at : at + AT_MOST]
            texts = ", ".join([self._hub.text(run, each) for each in part])
            self._told[name] = (own, part[-1].number)
            await self._send(f'{{"type": "changes", "run": {json.dumps(name)}, "items": [{texts}]}}')
        await self._tell_prices(run)

    async def _tell_prices(self, run: Followed) -> None:
        now = time.monotonic()
        if now < self._prices_at:
            return
        state = run.replica.state
        prices = {id: price for id in state.instruments if (price := state.price(id)) is not None}
        if prices != self._prices.get(run.name):
            self._prices_at = now + _PRICES_EVERY
            self._prices[run.name] = prices
            equity = run.replica.portfolio.equity()
            await self._send(_say("prices", run=run.name, now=ms(state.now), equity=equity, prices=prices))

    async def _send(self, text: str) -> None:
        with anyio.move_on_after(PATIENCE) as bounds:
            await self._socket.send_text(text)
        if bounds.cancelled_caught:
            raise WebSocketDisconnect(1011, "the client does not read")


async def _until_over(work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    """Do one half of a stream's work; when it ends, or the other side has gone, so does the other half."""
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        await work()
    scope.cancel()


def told(replica: Replica, what: object) -> tuple[str, str]:
    """Return the kind of a change and its data as JSON."""
    for kind, (name, shown) in _SHOWN.items():
        if isinstance(what, kind):
            return name, _json(shown(replica, what))
    raise TypeError(f"{what!r} is no change.")


def _json(value: object) -> str:
    return value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)


def _trip(replica: Replica, what: RoundTrip) -> BaseModel:
    trips = replica.portfolio.round_trips
    newest = range(len(trips) - 1, max(-1, len(trips) - 1 - WINDOW), -1)
    number = next((at for at in newest if trips[at] == what), None)
    return views.trip(what, number)


def _point(_: Replica, what: Point) -> dict[str, float]:
    return {"ts": ms(what.ts), "equity": what.equity, "exposure": what.exposure}


def _bar(_: Replica, what: Bar) -> Any:
    return views.plain(
        {"instrument": what.instrument, "timeframe": what.timeframe, "ts": ms(what.ts), "open": what.open,
         "high": what.high, "low": what.low, "close": what.close, "volume": what.volume}
    )  # fmt: skip


_SHOWN: Mapping[type, tuple[str, Callable[[Replica, Any], object]]] = {
    Order: ("order", lambda _, what: views.order(what)),
    Fill: ("fill", lambda _, what: views.fill(what)),
    Position: ("position", views.position),
    RoundTrip: ("round_trip", _trip),
    Notice: ("notice", lambda _, what: views.notice(what)),
    Refused: ("refusal", lambda replica, what: views.refusal((replica.seq, replica.state.now, what))),
    Standing: ("standing", lambda _, what: views.standing(what)),
    Point: ("equity", _point),
    Bar: ("bar", _bar),
    Control: ("control", lambda _, what: views.plain(what)),
    FeedStatus: ("feed", lambda _, what: views.feed(what)),
    VenueStatus: ("venue", lambda _, what: views.venue(what)),
}


def _say(kind: str, **values: object) -> str:
    return json.dumps({"type": kind, **values})


def _problem(detail: str, run: str = "") -> str:
    return _say("problem", detail=detail, run=run)


__all__ = ["Hub", "router"]

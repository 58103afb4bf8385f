"""The live stream: a WebSocket on which changes of runs arrive, numbered, so that a client that lost it can go on.

    client  {"type": "subscribe", "run": "demo", "run_id": "…", "since": 1200}    since: the last number seen, or null
            {"type": "unsubscribe", "run": "demo"}      {"type": "ping"}
    server  {"type": "hello", "version": "…"}           {"type": "pong"}          {"type": "beat", "ts": 1719000000000}
            {"type": "subscribed", "run": "demo", "run_id": "…", "number": 1200}
            {"type": "reset", "run": "demo", "run_id": "…", "number": 9000}       read everything anew, go on from there
            {"type": "changes", "run": "demo", "items": [{"number": 1201, "ts": …, "kind": "fill", "data": {…}}]}
            {"type": "prices", "run": "demo", "now": …, "prices": {"BTC/USDT@BINANCE": 61234.5},
             "price_ts": {"BTC/USDT@BINANCE": 1719000000000}, "worth": {…}}    each price with its own moment
            {"type": "running", "run": "demo", "is_running": true}    whether its process answers
            {"type": "problem", "detail": "…"}

    client  {"type": "subscribe", "work": "4f1c…", "since": 17}   long work; `work` and `since` as last told, or null
    server  {"type": "subscribed", "work": "4f1c…", "number": 17}, or "reset" where all must be read anew
            {"type": "work", "number": 18, "items": [{"number": 18, "kind": "backtest", "data": {…}}]}

    client  {"type": "subscribe", "log": "demo", "tag": 1, "file": "…", "since": 8000, "level": "info", "contains": ""}
            one log at a time: a bot's, or null for this server's; `file` and `since` are `file` and `end` as last told
    server  {"type": "log", "log": "demo", "tag": 1, "file": "…", "end": 8400, "items": […]}, or "reset" as above

Who asks is known before the connection is accepted, and looked at again each second. Prices with all that is valued at
them (`worth`) and whether a run runs bear no number: only the newest counts, as of each piece of work. Data has the
shape that the REST routes give it. What goes to many is written once, and one clock wakes all of them: a client costs
its own sending, and nothing while there is no news.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from abidance import __version__
from abidance.api import views
from abidance.api.access import Identity, Needs, house_of
from abidance.api.following import Followed, Runs
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.api.schemas.wire import ms
from abidance.api.tailing import LogNews, Tail, tail
from abidance.api.work import WorkNews
from abidance.api.worth import price_ts, prices, worth
from abidance.kernel.log import logger
from abidance.model.account import Position, RoundTrip
from abidance.model.event import BalanceChanged, CircuitMoved, Control, DebtChanged, FundingPaid, VenueStatus
from abidance.model.market import Bar, FeedStatus
from abidance.model.order import Fill, Order
from abidance.model.outcome import Notice, Refused
from abidance.risk.state import Standing
from abidance.run.replica import Change, Point, Replica
from abidance.run.shelf import WINDOW
from abidance.security.roles import Role, Scope
from abidance.security.throttle import Pace

K = TypeVar("K")
router = APIRouter(tags=["stream"])
BEATS, AT_MOST, PATIENCE = 10, 500, 10.0
"""Looks at the prices between beats, changes in one message, seconds that a client may leave a message unread."""
MOST_RUNS, LONGEST, MOST_CLIENTS = 50, 4_096, 1_000
LOST, REVOKED, TOO_MUCH, CROWDED = 4401, 4403, 4429, 4503
KINDS = ("prices", "running")
_LOOK_EVERY = 0.1
_KEPT, _KEPT_MESSAGES = 4_096, 64


class _NeedsToListen(Needs):
    """A role, asked for before a WebSocket is accepted."""

    async def __call__(self, connection: HTTPConnection) -> Identity:
        try:
            return await super().__call__(connection)
        except ProblemError as error:
            raise WebSocketException(LOST if error.status == 401 else REVOKED, error.detail) from None


Listener = Annotated[Identity, Depends(_NeedsToListen(Role.VIEWER, Scope.READ))]


@router.websocket("/stream")
async def stream(websocket: WebSocket, who: Listener) -> None:
    """Send changes until the client goes, or may no longer listen."""
    house = house_of(websocket)
    hub: Hub = websocket.app.state.hub
    if len(hub.clients) >= MOST_CLIENTS:
        raise WebSocketException(CROWDED, "Too many streams are open.")
    await websocket.accept()
    client = _Client(websocket, who, house, hub)
    hub.clients.add(client)
    house.metrics.clients.set(len(hub.clients))
    try:
        await client.serve()
    finally:
        hub.clients.discard(client)
        house.metrics.clients.set(len(hub.clients))


class Hub:
    """What all streams share: the clock, and messages as text, written once for all who listen."""

    def __init__(self, runs: Runs, work: WorkNews) -> None:
        self.clients: set[_Client] = set()
        self.work_news, self.logs = work, LogNews()
        self.beat = 0
        self.newest: dict[tuple[str, str], tuple[int, str]] = {}
        """By run and kind, the newest message of those of which only that counts, and a number that grows with each."""
        self._runs = runs
        self._known: dict[tuple[str, str], object] = {}
        self._read: dict[str, tuple[str, int]] = {}
        self._written = 0
        self._texts: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._messages: OrderedDict[tuple[str, int, int], str] = OrderedDict()

    async def work(self) -> None:
        """Wake the clients for prices and beats, for ever."""
        turn = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            turn = (turn + 1) % BEATS
            self.beat += turn == 0
            if self.clients and (self._look() or turn == 0):
                for client in self.clients:
                    client.news.set()

    def _look(self) -> bool:
        """Write down what is different now of runs that somebody follows; say whether anything is."""
        followed = {name for client in self.clients for name in client.followed}
        is_new = self.logs.look(client.log.path for client in self.clients if client.log is not None)
        for name in self._read.keys() - followed:
            self._forget(name)
        for run in self._runs.all():
            if run.name in followed:
                is_new |= self._look_at(run)
        return is_new

    def _look_at(self, run: Followed) -> bool:
        replica, name = run.replica, run.name
        is_new = self._differs(name, "running", is_running := run.is_running)
        if is_new:
            self._put(name, "running", is_running=is_running)
        read = (replica.header.run_id, replica.seq)
        if self._read.get(name) == read:
            return is_new  # nothing can be worth anything else
        self._read[name] = read
        try:
            found = {"prices": prices(replica), "price_ts": price_ts(replica), "worth": worth(run)}
        except Exception as error:  # noqa: BLE001 - one strange run must not silence the stream of all
            logger("api").error("worth_not_told", run=name, exc_info=error)
            return is_new
        if self._differs(name, "prices", found):
            is_new = True
            self._put(name, "prices", now=ms(replica.state.now), **found)
        return is_new

    def _forget(self, run: str) -> None:
        """Let go of what is written down of a run that nobody follows: whoever comes back is not told old prices."""
        del self._read[run]
        for kind in KINDS:
            self._known.pop((run, kind), None)
            self.newest.pop((run, kind), None)

    def _differs(self, run: str, kind: str, value: object) -> bool:
        before, self._known[run, kind] = self._known.get((run, kind)), value
        return before != value

    def _put(self, run: str, kind: str, **values: object) -> None:
        self._written += 1
        self.newest[run, kind] = (self._written, _say(kind, run=run, **values))

    def message(self, run: Followed, changes: list[Change]) -> str:
        """Return changes that follow each other as one message."""
        key = (run.replica.header.run_id, changes[0].number, changes[-1].number)
        found = self._messages.get(key)
        if found is None:
            items = ", ".join([self._text(run, each) for each in changes])
            found = f'{{"type": "changes", "run": {json.dumps(run.name)}, "items": [{items}]}}'
            _keep(self._messages, key, found, _KEPT_MESSAGES)
        return found

    def _text(self, run: Followed, change: Change) -> str:
        key = (run.replica.header.run_id, change.number)
        found = self._texts.get(key)
        if found is None:
            kind, data = told(run.replica, change.what)
            head = json.dumps({"number": change.number, "ts": ms(change.ts), "kind": kind})
            found = f'{head[:-1]}, "data": {data}}}'
            _keep(self._texts, key, found, _KEPT)
        return found


def _keep(kept: OrderedDict[K, str], key: K, text: str, most: int) -> None:
    kept[key] = text
    if len(kept) > most:
        kept.popitem(last=False)


class _Client:
    """One connection: what it listens to and how far it has been told."""

    def __init__(self, websocket: WebSocket, who: Identity, house: House, hub: Hub) -> None:
        self._socket = websocket
        self._who = who
        self._house = house
        self._hub = hub
        self._told: dict[str, tuple[str, int]] = {}
        self._told_work: int | None = None
        self.log: Tail | None = None
        self._newest: dict[tuple[str, str], int] = {}
        self._beat = hub.beat
        self._pace = Pace(20.0, 50)
        self.news = asyncio.Event()

    @property
    def followed(self) -> Iterable[str]:
        """Return the names of the runs that are listened to."""
        return self._told

    async def serve(self) -> None:
        """Listen and tell, until either ends."""
        unwatch = [each.watch(self.news.set) for each in (self._house.runs, self._hub.work_news)]
        try:
            async with anyio.create_task_group() as both:
                for work in (self._listen, self._tell):
                    both.start_soon(_until_over, work, both.cancel_scope)
        finally:
            for end in unwatch:
                end()

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
            self.news.set()

    def _answer(self, text: str) -> str:
        try:
            wish = json.loads(text)
            kind = wish["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return _problem("A message is a JSON object with a type.")
        if kind == "ping":
            return '{"type": "pong"}'
        name = wish.get("run")
        if kind == "subscribe" and "work" in wish:
            return self._subscribe_work(wish["work"], wish.get("since"))
        if kind in ("subscribe", "unsubscribe") and "log" in wish:
            return self._subscribe_log(wish)
        if kind not in ("subscribe", "unsubscribe") or not isinstance(name, str):
            return _problem(
                "Known are subscribe, with a run, work or a log, unsubscribe with a run or a log, and ping."
            )
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
        for kind in KINDS:
            self._newest.pop((name, kind), None)
        number = _number(since)
        if number is not None and run_id in (None, own) and replica.since(number) is not None:
            self._told[name] = (own, number)
            return _say("subscribed", run=name, run_id=own, number=number)
        self._told[name] = (own, replica.count)
        kind = "subscribed" if since is None else "reset"
        return _say(kind, run=name, run_id=own, number=replica.count)

    def _subscribe_work(self, id: object, since: object) -> str:
        news, number = self._hub.work_news, _number(since)
        is_known = number is not None and id == news.id and number <= news.count
        self._told_work = number if is_known else news.count
        return _say("subscribed" if is_known else "reset", work=news.id, number=self._told_work)

    async def _tell_work(self) -> None:
        """Tell of each piece of work that changed, as it stands now."""
        if self._told_work is None or not (news := self._hub.work_news.since(self._told_work)):
            return
        items = [f'{{"number": {each.number}, "kind": "{each.kind}", "data": {each.text}}}' for each in news]
        for at in range(0, len(items), AT_MOST):
            part = items[at : at + AT_MOST]
            self._told_work = number = news[at + len(part) - 1].number
            await self._send(f'{{"type": "work", "number": {number}, "items": [{", ".join(part)}]}}')

    def _subscribe_log(self, wish: Mapping[str, Any]) -> str:
        self.log = None
        if wish["type"] == "subscribe":
            try:
                self.log = tail(self._house, self._who, wish)
            except ProblemError as error:
                return _problem(error.detail)
        return ""

    async def _tell_log(self) -> None:
        """Tell what came to the log that is followed, piece by piece."""
        while (log := self.log) is not None:
            found, head = self._hub.logs.since(log), {"log": log.wish.log, "tag": log.wish.tag}
            if found is None:
                self.log = None
                await self._send(_say("reset", **head))
                return
            (log.file, end, _), items = found
            if end == log.at and items == "[]":
                return
            log.at = end
            text = _say("log", **head, file=log.file, end=end)
            await self._send(f'{text[:-1]}, "items": {items}}}')

    async def _tell(self) -> None:
        await self._send(_say("hello", version=__version__, name=self._who.name))
        while True:
            self.news.clear()
            for name in tuple(self._told):
                await self._tell_run(name)
            await self._tell_work()
            await self._tell_log()
            if self._beat != self._hub.beat:
                self._beat = self._hub.beat
                if not self._who.lasts(self._house):
                    await self._socket.close(LOST, "logged out")
                    return
                await self._send(_say("beat", ts=int(self._house.now() * 1000)))
            await self.news.wait()

    async def _tell_run(self, name: str) -> None:
        try:
            run = self._house.runs.get(name)
        except ProblemError:
            return  # it may come back, under this name
        mark = self._told.get(name)
        if mark is None:
            return  # not listened to any more, while another run was told of
        own = run.replica.header.run_id
        changes = run.replica.since(mark[1]) if mark[0] == own else None
        if changes is None:
            self._told[name] = (own, run.replica.count)
            await self._send(_say("reset", run=name, run_id=own, number=run.replica.count))
            return
        for at in range(0, len(changes), AT_MOST):
            part = changes[at : at + AT_MOST]
            mark = self._told[name] = (own, part[-1].number)
            await self._send(self._hub.message(run, part))
            if self._told.get(name) is not mark:
                return  # asked for otherwise meanwhile: what comes next is reckoned from there
        for kind in KINDS:
            number, text = self._hub.newest.get((name, kind), (0, ""))
            if number != self._newest.get((name, kind), 0) and self._told.get(name) is mark:
                self._newest[name, kind] = number
                await self._send(text)

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._socket.send_text(text)
        except TimeoutError:
            raise WebSocketDisconnect(1011, "the client does not read") from None


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


def _cash(_: Replica, what: FundingPaid | BalanceChanged | DebtChanged) -> Any:
    found = views.event(what)
    return {"event": found.kind, **found.data, "ts": found.ts}


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
    CircuitMoved: ("circuit", lambda _, what: views.circuit(what)),
    FundingPaid: ("cash", _cash),
    BalanceChanged: ("cash", _cash),
    DebtChanged: ("cash", _cash),
}


def _number(value: object) -> int | None:
    """Return what is a number of a change, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _say(kind: str, **values: object) -> str:
    return json.dumps({"type": kind, **values})


def _problem(detail: str, run: str = "") -> str:
    return _say("problem", detail=detail, run=run)


__all__ = ["Hub", "router"]

"""The local exchange itself: a venue's REST and WebSocket on loopback, playing markets in a time that can be moved.

Owns the sockets, the course of time and the faults. What is said is the house's business, what happens the markets'.
"""

import asyncio
import heapq
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

import msgspec
from aiohttp import web

from abidance.kernel.ports import Clock
from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.core import Change, Print
from abidance.testing.exchange.desk import Desk
from abidance.testing.exchange.faults import Faults, Wrong
from abidance.testing.exchange.house import Asked, House, Line, Refusal
from abidance.testing.exchange.houses import house_of
from abidance.testing.exchange.market import NEVER, Market
from abidance.testing.exchange.quota import Quota
from abidance.testing.exchange.session import Session, SocketSession
from abidance.venues.dialect import Dialect
from abidance.venues.net.transport import Answer

_BEAT = 0.002
_PATIENCE = 5.0
_KEPT_REQUESTS = 10_000
_SLICE = SECOND_NS
_FLUSH, _ACT = 0, 1
_TOLD_BY_TRADES = frozenset({DataKind.TRADES, DataKind.BARS})
_ROUND = frozenset({DataKind.BARS, DataKind.MARK})
"""Told each second or so, whether anything happened or not."""
_ADDRESS = re.compile(r"(https?|wss?)://([^/]+)(.*)")
_PAGES = {
    Wrong.ERROR: (502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"),
    Wrong.PAGE: (
        200,
        "<html><head><title>Maintenance</title></head><body>We will be back soon.</body></html>",
    ),
}


class LocalExchange:
    """One venue on loopback with its markets; enter it to open it, within a running loop.

    Without a clock its time begins at `start` and stands still until `advance`: what a test asks then is the same in
    every run. With a clock (`WallClock()`) it runs by itself. Markets must be of one venue. All accounts are of one
    `grade`. `limited`: whoever asks too often is refused as the venue does it, and banned when he goes on.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        *,
        start: int,
        clock: Clock | None = None,
        faults: Faults | None = None,
        port: int = 0,
        accounts: Sequence[Account] = (),
        limited: bool = False,
        grade: str = "",
    ) -> None:
        venues = {market.instrument.venue for market in markets}
        if len(venues) != 1:
            raise UsageError(
                f"A local exchange is one venue, not {', '.join(sorted(venues)) or 'none'}.",
                "Make one for each venue.",
            )
        self.markets: Final = {market.instrument.id: market for market in markets}
        self.faults = faults or Faults()
        self.now = start
        self.desk = Desk(accounts, grade)
        venue = venues.pop()
        self.house: House = house_of(venue, list(markets), self)
        self.quota = Quota(venue, grade, self.house.counted) if limited else None
        self.sessions: list[Session] = []
        """The connections that are open."""
        self.requests: deque[Asked] = deque(maxlen=_KEPT_REQUESTS)
        self._routes = dict(self.house.routes)
        self._clock = clock
        self._port = port
        self._lines: dict[str, Line] = {}
        self._by_market: dict[str, list[Line]] = {id: [] for id in self.markets}
        self._dirty: list[Line] = []
        self._due: list[tuple[int, int, int, Line | Market | Callable[[], None] | None]] = []
        self._numbers = count(1)
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self.desk.hear = self.house.told
        for market in markets:
            self._open(market)
        if self.house.heartbeat():
            self._beat()

    async def __aenter__(self) -> "LocalExchange":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        if self._clock is not None:
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        for session in list(self.sessions):
            session.abort()
        assert self._runner is not None
        await self._runner.cleanup()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def rest_url(self) -> str:
        """Return the base address of the REST interface."""
        return f"http://{self.address}"

    @property
    def stream_url(self) -> str:
        """Return the base address of the streams."""
        return f"ws://{self.address}"

    def point(self, dialect: Dialect) -> Dialect:
        """Let one of our dialects speak to this exchange instead of the venue, and return it."""
        dialect.rest_url = self.rest_url
        host, _, path = dialect.stream_url.partition("://")[2].partition("/")
        dialect.stream_url = f"{self.stream_url}/{path}" if host and path else self.stream_url
        return dialect

    def redirect(self, urls: Any) -> Any:
        """Return addresses (a text, or mappings and lists of them) with this exchange in place of each host.

        `client.urls["api"] = exchange.redirect(client.urls["api"])` points a client of ccxt here.
        """
        if isinstance(urls, dict):
            return {name: self.redirect(each) for name, each in urls.items()}
        if isinstance(urls, list):
            return [self.redirect(each) for each in urls]
        found = _ADDRESS.match(urls) if isinstance(urls, str) else None
        if found is None:
            return urls
        return f"{'ws' if found[1] in ('ws', 'wss') else 'http'}://{self.address}{found[3]}"

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and return when every frame of it is on the wire.

        Raises TimeoutError when a client does not read for 5 s.
        """
        until = self.now + round(seconds * SECOND_NS)
        while self.now < until:
            self._step(min(until, self.now + _SLICE))
            await self.drain()

    async def drain(self) -> None:
        """Return when every frame is on the wire. Raises TimeoutError when a client does not read for 5 s."""
        async with asyncio.timeout(_PATIENCE):
            for session in list(self.sessions):
                await session.drained()

    @property
    def next_ts(self) -> int:
        """Return when something happens next by itself, ns UTC; `NEVER` when nothing does."""
        return self._due[0][0] if self._due else NEVER

    def let_in(self, path: str, make: Callable[[int], Session]) -> Session | None:
        """Open a connection that travels some other way than by a socket; None where the venue has no such stream."""
        if not self.house.accepts(path):
            return None
        self.catch_up()
        session = make(next(self._numbers))
        self.sessions.append(session)
        self.house.welcome(session)
        return session

    def is_refused(self, path: str) -> bool:
        """Say whether the script of faults lets nobody in at a path just now."""
        return self.faults.on_request(path, Wrong.REFUSE) is not None

    @property
    def is_silent(self) -> bool:
        """Return True while a connection is open on which nothing is said because the script of faults wants it so."""
        return any(each.is_silent for each in self.sessions)

    def let_out(self, session: Session) -> None:
        """Forget a connection that has ended."""
        if session in self.sessions:
            self.sessions.remove(session)
        for topic in list(session.topics):
            self.part(session, topic)

    def topics(self) -> dict[str, list[int]]:
        """Return who listens to what: the numbers of the connections by topic, in the venue's words."""
        return {
            line.topic.rpartition("|")[2]: [each.number for each in line.listeners]
            for line in self._lines.values()
        }

    def at(self, ts: int, work: Callable[[], None]) -> None:
        """Let something be done at a time, ns UTC."""
        heapq.heappush(self._due, (ts, _ACT, next(self._numbers), work))

    def catch_up(self) -> None:
        """Bring the markets to the clock's time."""
        if self._clock is not None:
            self._step(self._clock.now())

    def join(self, session: Session, line: Line) -> None:
        """Let a session listen to a topic; those who listen already are told first what is new."""
        known = self._lines.get(line.topic)
        if known is None:
            known = self._lines[line.topic] = line
            self._by_market[line.market.instrument.id].append(line)
            if line.channel.kind in _ROUND:
                self._schedule(line)
        elif session in known.listeners:
            return
        else:
            self._tell(known)
        for frame in self.house.greeting(known):
            session.push(known.topic, frame)
        known.listeners.append(session)
        session.topics.add(known.topic)

    def part(self, session: Session, topic: str) -> bool:
        """Let a session no longer listen to a topic."""
        line = self._lines.get(topic)
        if line is None or session not in line.listeners:
            return False
        line.listeners.remove(session)
        session.topics.discard(topic)
        if not line.listeners:
            del self._lines[topic]
            self._by_market[line.market.instrument.id].remove(line)
        return True

    def _open(self, market: Market) -> None:
        if market.on_print is not None:
            raise UsageError(f"{market.instrument.id} is played already.", "Make a market for each exchange.")
        lines = self._by_market[market.instrument.id]

        def changed(change: Change) -> None:
            for line in lines:
                if line.channel.kind in (DataKind.BOOK, DataKind.QUOTES):
                    if not line.is_dirty:
                        self._dirty.append(line)
                    line.note_change(change)

        def printed(found: Print) -> None:
            self.desk.on_print(market, found)
            for line in lines:
                if line.channel.kind in _TOLD_BY_TRADES:
                    if not line.is_dirty:
                        self._dirty.append(line)
                    line.note_print(found)

        market.on_change, market.on_print = changed, printed
        market.begin(self.now)
        self._await(market)

    def _beat(self) -> None:
        """Let every connection hear that the venue is alive, once a second."""
        for frame in self.house.heartbeat():
            for session in self.sessions:
                session.say(frame)
        heapq.heappush(self._due, (self.now + SECOND_NS, _FLUSH, next(self._numbers), None))

    def _await(self, market: Market) -> None:
        if market.next_ts < NEVER:
            heapq.heappush(self._due, (market.next_ts, _ACT, next(self._numbers), market))

    def _schedule(self, line: Line) -> None:
        every = line.every or SECOND_NS
        heapq.heappush(self._due, ((self.now // every + 1) * every, _FLUSH, next(self._numbers), line))

    def _step(self, until: int) -> None:
        """Let everything happen that is due up to `until`, in its order."""
        due = self._due
        while due and due[0][0] <= until:
            ts, _, _, what = heapq.heappop(due)
            self.now = max(self.now, ts)
            if isinstance(what, Market):
                what.act()
                self._await(what)
                self._after()
            elif isinstance(what, Line):
                self._flush(what)
            elif what is None:
                self._beat()
            else:
                what()
                self._after()
        self.now = max(self.now, until)
        for market in self.markets.values():
            market.now = self.now
        self._retire()

    def _after(self) -> None:
        """Send the stops that were touched, tell at once what is told at once, and plan the rest."""
        while self.desk.release(self.now):
            pass
        dirty, self._dirty = self._dirty, []
        for line in dirty:
            if line.channel.kind is DataKind.BARS:
                continue
            if line.every:
                self._schedule(line)
            else:
                self._tell(line)

    def _flush(self, line: Line) -> None:
        """Tell a topic what was gathered; bars and marks come round again."""
        if self._lines.get(line.topic) is not line:
            return
        line.market.now = self.now
        self._tell(line)
        if line.channel.kind in _ROUND:
            self._schedule(line)

    def _tell(self, line: Line) -> None:
        if not line.is_dirty and line.channel.kind not in _ROUND:
            return
        for frame in self.house.frames(line):
            for listener in line.listeners:
                assert isinstance(listener, Session)
                listener.push(line.topic, frame)
        line.settle()

    def _retire(self) -> None:
        """End the connections that have reached the age at which the venue ends them."""
        lifetime = self.house.lifetime
        if lifetime:
            for session in [each for each in self.sessions if self.now - each.born >= lifetime]:
                session.born = self.now
                session.end()

    async def _run(self) -> None:
        """Follow the clock."""
        while True:
            self.catch_up()
            await asyncio.sleep(_BEAT)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._let_in(request)
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            await request.read(),
            request.rel_url.raw_query_string,
            request.remote or "",
        )
        if (fault := self.faults.on_request(asked.path, Wrong.SLOW)) is not None:
            await asyncio.sleep(fault.seconds)
        answer = self.answer(asked)
        if (fault := self.faults.on_request(asked.path, Wrong.LATE)) is not None:
            await asyncio.sleep(fault.seconds)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type="application/json" if answer.body[:1] in (b"{", b"[") else "text/html",
        )

    def answer(self, asked: Asked) -> Answer | None:
        """Return the answer to a request, None when the connection breaks instead."""
        self.requests.append(asked)
        strikes = self.faults.on_request(
            asked.path, Wrong.LIMIT, Wrong.BAN, Wrong.ERROR, Wrong.PAGE, Wrong.DEAF
        )
        if strikes is not None and strikes.what is Wrong.DEAF:
            return None
        if strikes is not None and strikes.what in _PAGES:
            return Answer(_PAGES[strikes.what][0], {}, _PAGES[strikes.what][1].encode())
        self.catch_up()
        lag = self.faults.on_request(asked.path, Wrong.LAG) if self.house.asks(asked) else None
        self.desk.horizon = None if lag is None else self.now - round(lag.seconds * SECOND_NS)
        try:
            if self.quota is not None and (wait := self.quota.take(asked, self.now)):
                raise self.house.crowded(wait[0], is_ban=wait[1])
            if self.quota is not None and (full := self.quota.take_order(asked, self.now)):
                raise self.house.full(*full)
            if strikes is not None:
                raise self.house.crowded(int(strikes.seconds), is_ban=strikes.what is Wrong.BAN)
            parent = asked.path.rpartition("/")[0]
            handler = self._routes.get(f"{asked.method} {asked.path}") or self._routes.get(
                f"{asked.method} {parent}/*"
            )
            if handler is None:
                return Answer(404, {}, b"<html>404 Not Found</html>")
            found = Answer(200, self._told_of_limits(asked), msgspec.json.encode(handler(asked)))
        except Refusal as refusal:
            found = Answer(refusal.status, refusal.headers, msgspec.json.encode(refusal.body))
        finally:
            self.desk.horizon = None
        self._after()
        after = self.faults.on_request(asked.path, Wrong.LOST, Wrong.FAIL)
        if after is not None and after.what is Wrong.FAIL:
            return Answer(_PAGES[Wrong.ERROR][0], {}, _PAGES[Wrong.ERROR][1].encode())
        return None if after is not None else found

    def _told_of_limits(self, asked: Asked) -> dict[str, str]:
        return {} if self.quota is None else self.quota.headers(asked, self.now)

    async def _let_in(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.on_request(request.path, Wrong.SLOW, Wrong.REFUSE)
        if fault is not None and fault.what is Wrong.SLOW:
            await asyncio.sleep(fault.seconds)
        elif fault is not None:
            return web.Response(status=503, text="Service Unavailable")
        if not self.house.accepts(request.path_qs):
            return web.Response(status=404, text="Not Found")
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        self.catch_up()
        session = SocketSession(self, socket, request.path_qs, next(self._numbers))
        self.sessions.append(session)
        try:
            self.house.welcome(session)
            await session.serve(request.transport)
        finally:
            self.let_out(session)
        return socket

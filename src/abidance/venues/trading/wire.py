"""Signed requests of one account: ccxt signs, our transport sends, within the limits and to the hosts of the venue.

Nothing is tried twice here but a question that came too soon. An answer is handed on whatever it says: what it proves
is the dialect's business.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from abidance.model.errors import ConfigError, InvariantError
from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.risk.circuits import Sign
from abidance.venues.account import Call, Credentials
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.net.budget import AHEAD, FIRST, Budget, Budgets
from abidance.venues.net.limits import Request, limits_of
from abidance.venues.net.transport import (
    Answer,
    Departure,
    DisconnectedError,
    NotSentError,
    Pulse,
    Transport,
    stop,
    within,
)
from abidance.venues.trading.signs import Signs, sign_of, unheeded

PATIENCE = 10.0
"""Seconds after which an answer is no longer waited for."""
_ARRIVAL = 0.25
"""Seconds after which a request counts as arrived; if it has not, the venue refuses it for its number."""
_LEAP, _FURTHEST = 8, 3600 * 1000
"""By how much further a number leaps each time, a second at first, and how far (ms) it may be before the clock's."""
_Signed = tuple[str, str, Mapping[str, str], bytes | None]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Signing(Protocol):
    """What must be known of a venue to sign requests and to send them nowhere else."""

    @property
    def ccxt(self) -> str:
        """Return the name of ccxt's class that signs."""
        ...

    @property
    def hosts(self) -> frozenset[str]:
        """Return the only hosts to which anything signed may go."""
        ...

    @property
    def counts(self) -> bytes:
        """Return what stands in the answer to a request whose number is too small; empty where none bears one."""
        ...

    @property
    def own_nonce(self) -> bool:
        """Return whether ccxt's own numbers of requests are kept."""
        ...

    @property
    def too_often(self) -> tuple[bytes, ...]:
        """Return what stands in an answer that refuses for asking too often though its status says nothing."""
        ...

    async def prepare(self, ask: Callable[[Call], Awaitable[Answer]]) -> None:
        """Ask for what must be known before anything else is asked."""
        ...


class _Turns:
    """Who goes next where one must go after the other: whoever has the lowest rank, of these who has waited longest."""

    def __init__(self) -> None:
        self._is_taken = False
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def next(self, rank: int) -> AsyncIterator[None]:
        """Wait for the turn, and have it."""
        if self._is_taken:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heappush(self._line, (rank, next(self._numbers), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on()
                raise
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._line:
            *_, next_one = heappop(self._line)
            if not next_one.done():
                next_one.set_result(None)
                return
        self._is_taken = False


class Wire:
    """The signed way to one venue for one account; open it before use.

    `rest_url` stands in for the venue's own address: it must be on this machine, or an encrypted one of the venue's.
    `offset` is the venue's time less ours in ns; whoever measures it sets it. `signs` takes how each request fared.
    """

    def __init__(
        self,
        dialect: Signing,
        credentials: Credentials,
        transport: Transport,
        budgets: Budgets,
        pulse: Pulse,
        rest_url: str = "",
        signs: Signs = unheeded,
    ) -> None:
        parts = urlsplit(rest_url)
        is_theirs = parts.scheme == "https" and parts.hostname in dialect.hosts
        if rest_url and not is_theirs and parts.hostname not in _LOOPBACK:
            raise _elsewhere("Signed requests", parts, f"https:// and {' or '.join(sorted(dialect.hosts))}")
        self.offset = 0
        self.credentials = credentials
        self._dialect = dialect
        self._transport = transport
        self._budgets = budgets
        self._pulse = pulse
        self._rest_url = rest_url.rstrip("/")
        self._signs = signs
        self._signer: Any = None
        self.leaps = False
        """Whether numbers leap where the venue has seen greater ones: for who trades with the key, and no other."""
        self._nonce, self._leap = 0, 0
        self._turns = _Turns()
        self._urls: dict[tuple[tuple[str, ...], str, str], str] = {}
        self._is_prepared = False

    async def open(self) -> None:
        """Load ccxt's class of the venue, which takes a moment."""
        kind = await asyncio.to_thread(exchange_class, self._dialect.ccxt, streaming=False)
        key, secret, passphrase = self.credentials
        signer = kind({"apiKey": key, "secret": secret, "password": passphrase, "enableRateLimit": False})
        signer.milliseconds = lambda: self.now() // MS_NS
        signer.seconds = lambda: self.now() // SECOND_NS
        if not self._dialect.own_nonce:
            signer.nonce = self._next_nonce
        self._signer = signer

    async def prepare(self) -> None:
        """Let the dialect ask once what it must know before anything else. Raises UsageError and VenueError."""
        if not self._is_prepared:
            await self._dialect.prepare(self.ask)
            self._is_prepared = True

    def now(self) -> int:
        """Return the venue's time in ns UTC, as far as it is known."""
        return self._pulse.wall() + self.offset

    def _next_nonce(self) -> int:
        """Return the venue's time in ms; where each request must have a greater number, ours, never the same twice.

        Ours, because whoever else asks with the key (a check of its rights) counts by it, too. Where the venue has seen
        a greater one, as of a process before whose clock was ahead, it leaps, ever further until it is great enough.
        The first refusal may come of a request that overtook another one, or of somebody else's with the key: no leap.
        """
        if not self._dialect.counts:
            return self.now() // MS_NS
        self._nonce = max(self._nonce + 1, self._pulse.wall() // MS_NS)
        return self._nonce

    def _is_behind(self, answer: Answer) -> bool:
        """Say whether the number of a request was too small; after several in a row the next one is far greater."""
        if self._dialect.counts not in answer.body[:200]:
            self._leap = 0
            return False
        if self.leaps:
            furthest = max(self._nonce, self._pulse.wall() // MS_NS + _FURTHEST)
            self._nonce = min(self._nonce + self._leap, furthest)
            self._leap = self._leap * _LEAP or 1000
        return True

    def signed(self, call: Call) -> _Signed:
        """Return method, URL, headers and body of a call, signed now. Raises InvariantError for a foreign host."""
        params = list(call.rows) if call.rows else dict(call.params)
        made = self._signer.sign(call.path, list(call.section), call.method, params)
        url, body = made["url"], made["body"]
        host = urlsplit(url).hostname
        if host not in self._dialect.hosts:
            raise InvariantError(f"A signed request would go to {host}, which is no host of the venue.")
        return made["method"], url, made["headers"] or {}, body.encode() if isinstance(body, str) else body

    async def ask(
        self,
        call: Call,
        leaving: Callable[[], None] | None = None,
        *,
        waits: bool = False,
        came: float = inf,
    ) -> Answer:
        """Send a call and return the answer. `leaving` is called just before the first byte leaves.

        Where it waits its place is that of who `came` then (steady seconds), if that is before now.

        With `leaving` the call does not wait for the venue's limits, unless it `waits`: it leaves now or never. What
        changes nothing is asked once more if the venue says in words that it came too soon, or that its number is too
        small. Raises NotSentError when not a byte left, another DisconnectedError when there is no answer.
        """
        is_now_or_never = leaving is not None and not waits
        is_change = is_now_or_never or (call.is_urgent and not waits)
        answer = await self._ask(call, leaving, is_now_or_never, is_change, came)
        is_refused = answer.status == 200 and sign_of(answer, self._dialect.too_often) is Sign.LIMITED
        if self._dialect.counts and "private" in call.section:
            is_refused |= self._is_behind(answer)
        if is_refused and not is_change:
            answer = await self._ask(call, leaving, is_now_or_never, is_change, came)
        return answer._replace(told=call.told)

    async def _ask(
        self,
        call: Call,
        leaving: Callable[[], None] | None,
        is_now_or_never: bool,
        is_change: bool,
        came: float,
    ) -> Answer:
        request = self.signed(call)
        budget, asked = self._counted(call, request[1])
        must_wait = budget.delay(asked, urgent=call.is_urgent) > 0
        if must_wait and is_now_or_never:
            raise NotSentError(budget.why(asked, urgent=call.is_urgent), "Ask for less.")
        waited = max(0.0, self._pulse.steady() - came)
        await budget.take(asked, ahead=FIRST if is_change else AHEAD * call.is_urgent + waited)
        if self._dialect.counts:
            rank = 0 if call.is_urgent else 1 if is_now_or_never else 2
            answer = await self._send_in_turn(call, leaving, rank)
        else:
            # What is signed does not keep.
            answer = await self._send(self.signed(call) if must_wait else request, leaving)
        budget.heed(answer, asked)
        return answer

    def delay(self, call: Call, before: Iterable[Call] = ()) -> float:
        """Return how long a call would have to wait now for the venue's limits, in seconds; `before` goes before it."""
        budget, asked = self._counted(call)
        return budget.delay(asked, [self._counted(each)[1] for each in before], urgent=call.is_urgent)

    def recount(self, call: Call) -> None:
        """Count the orders that a call is about, which an earlier process sent, where the venue still counts them."""
        budget, asked = self._counted(call)
        budget.recount(asked, max((age for _, age in asked.about), default=0.0))

    def _counted(self, call: Call, url: str = "") -> tuple[Budget, Request]:
        """Return the budget on which a call draws, and the call as that sees it; `url` is the signed one."""
        kind, now = (call.section, call.method, call.path), self.now()
        if kind not in self._urls:
            self._urls[kind] = url or self.signed(call)[1]
        parts = urlsplit(url or self._urls[kind])
        host = f"{parts.scheme}://{parts.netloc}"
        about = tuple((instrument, (now - since) / SECOND_NS) for instrument, since in call.about)
        asked = Request(call.method, parts.path, call.params, about)
        return self._budgets.of(self._rest_url or host, limits_of(host), self.credentials.key), asked

    async def _send_in_turn(self, call: Call, leaving: Callable[[], None] | None, rank: int) -> Answer:
        """Send a call once the one before is answered, or had the time to arrive: numbers must arrive in order."""
        async with self._turns.next(rank):
            sending = asyncio.ensure_future(self._send(self.signed(call), leaving))
            arriving = asyncio.ensure_future(self._pulse.sleep(_ARRIVAL))
            try:
                await asyncio.wait((sending, arriving), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await stop(sending)
                raise
            finally:
                await stop(arriving)
        return await sending

    def check_stream(self, url: str) -> None:
        """Raise ConfigError where a stream that logs in would go elsewhere than to the venue or this machine."""
        parts = urlsplit(url)
        domains = {".".join(host.split(".")[-2:]) for host in self._dialect.hosts}
        host = parts.hostname or ""
        is_theirs = parts.scheme == "wss" and any(f".{host}".endswith(f".{domain}") for domain in domains)
        if not is_theirs and host not in _LOOPBACK:
            raise _elsewhere("A private stream", parts, f"wss:// and {' or '.join(sorted(domains))}")

    async def _send(self, request: _Signed, leaving: Callable[[], None] | None) -> Answer:
        method, url, headers, body = request
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        where = (self._rest_url or host) + url[len(host) :]
        departure = None if leaving is None else Departure(leaving)
        work = self._transport.request(method, where, {}, {"Accept": "*/*", **headers}, body, departure)
        began = self._pulse.steady()
        try:
            answer = await within(self._pulse, PATIENCE, work, f"{method} {parts.path}")
        except DisconnectedError as error:
            if departure is not None and departure.is_stopped:
                raise
            self._signs(Sign.UNANSWERED, 0.0, error.found)
            if departure is not None and not departure.has_left:
                raise NotSentError(error.found, error.remedy) from error
            raise
        if departure is not None and not departure.has_left:
            raise InvariantError("A request was answered of which nobody heard that it left.")
        seconds = self._pulse.steady() - began
        sign = sign_of(answer, self._dialect.too_often)
        self._signs(sign, seconds, f"{method} {parts.path}: {answer.status} in {seconds:.2f} s")
        return answer._replace(left_at=began)


def _elsewhere(what: str, parts: SplitResult, theirs: str) -> ConfigError:
    return ConfigError(
        f"{what} would go to {parts.scheme}://{parts.hostname}, which is no address of the venue.",
        f"Give one on this machine, or {theirs}.",
    )

"""What every request meets before any route: host, address, pace, size, origin; and the headers that each answer bears.

Owns what can be judged without knowing who asks. Who may do what is the business of `access`.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abidance.api.metrics import Metrics
from abidance.api.problems import respond
from abidance.security.sessions import is_within
from abidance.security.throttle import Pace, place_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
STEERS = "/control"
"""How the paths end by which runs are steered, and killed."""
MARK = "x-abidance"
"""The header that a page of another origin cannot send without being asked first."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Rules:
    """What is let in: names of this server, addresses of others, and how much of it."""

    hosts: frozenset[str]
    """Host headers, with the port where it is not the scheme's own."""
    scheme: str = "http"
    addresses: tuple[str, ...] = ()
    body: int = 1 << 20
    patience: float = 10.0
    """Seconds for a whole body to come."""
    rate: float = 50.0
    """Requests a second from one place; `burst` at once."""
    burst: int = 200
    own_rate: float = 150.0
    """What whoever is known has besides: six pages on a replay at a day a second ask for some 65 a second."""
    own_burst: int = 500

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins of our own pages."""
        return frozenset(f"{self.scheme}://{host}" for host in self.hosts)


class Doorman:
    """ASGI middleware around the whole application, WebSocket included.

    `known` says by what a request is known (a session, a token), empty for a stranger's.
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        metrics: Metrics,
        known: Callable[[Scope], str] = lambda _: "",
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._app = app
        self._known = known
        self._rules = rules
        self._metrics = metrics
        self._pace = Pace(rules.rate, rules.burst, now)
        self._own = Pace(rules.own_rate, rules.own_burst, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request and hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = scope["abidance.request_id"] = secrets.token_hex(8)
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is not None or headers.get("origin", "") not in self._rules.origins | {""}:
                await receive()
                await send({"type": "websocket.close", "code": 4403, "reason": "not allowed"})
                return
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._adorn(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            if refusal is not None:
                code, told, remedy, extra = refusal
                await respond(code, told, remedy, headers=extra, request_id=request_id)(
                    scope, receive, answered
                )
            else:
                await self._bounded(scope, receive, answered, request_id)
        finally:
            self._metrics.request(scope, status, perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str, dict[str, str]] | None:
        rules, address = self._rules, address_of(scope)
        if headers.get("host", "").lower() not in rules.hosts:
            told = f"This server is not {headers.get('host', '')[:100]!r}."
            return 421, told, f"Use {' or '.join(sorted(rules.hosts)[:3])}, or name it with --host-name.", {}
        if not is_within(address, rules.addresses):
            return 403, "Your address may not come in.", "Ask who runs this server.", {}
        if wait := self._wait(scope, place_of(address)):
            told = "Too many requests from your address."
            return 429, told, f"Wait {wait:.1f} s.", {"Retry-After": str(max(1, round(wait)))}
        if scope["type"] == "websocket" or scope["method"] in SAFE:
            return None
        return self._flaw_of_change(headers)

    def _wait(self, scope: Scope, place: str) -> float:
        """Return how many seconds a request comes too early.

        A place has one measure for all who ask from there. Whoever is known has another one, which strangers cannot use
        up, and what steers a run has its own of both: a kill finds room whatever else is asked.
        """
        kind = " steers" if scope.get("method") == "POST" and scope["path"].endswith(STEERS) else ""
        wait = self._pace.take(f"{place}{kind}")
        if wait and (name := self._known(scope)):
            return self._own.take(f"{name}{kind}")
        return wait

    def _flaw_of_change(self, headers: Headers) -> tuple[int, str, str, dict[str, str]] | None:
        """Return why a request that changes something may not come from where it comes, or None."""
        if headers.get("authorization", "")[:7].lower() != "bearer ":
            if headers.get("origin") not in self._rules.origins:
                return 403, "The request does not come from this server's own pages.", "Send its Origin.", {}
            if headers.get(MARK) is None:
                return 403, f"The header {MARK} is missing.", f"Send {MARK}: 1 with every change.", {}
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if (
            has_body
            and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json"
        ):
            return 415, "The body is not marked as JSON.", "Send Content-Type: application/json.", {}
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._rules.body:
            return 413, f"A body of {length} bytes is too large.", f"Send at most {self._rules.body}.", {}
        return None

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Read the whole body within its bounds, then hand the request on."""
        if scope["method"] in SAFE:
            await self._app(scope, receive, send)
            return
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._rules.patience):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._rules.body:
                        told = f"The body is larger than {self._rules.body} bytes."
                        await respond(413, told, "Send less.", request_id=request_id)(scope, receive, send)
                        return
        except TimeoutError:
            told = f"The body did not come within {self._rules.patience:g} s."
            await respond(408, told, "Send it again.", request_id=request_id)(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, again, send)

    def _adorn(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
        headers["Content-Security-Policy"] = POLICY
        if self._rules.scheme == "https":
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if scope["path"].startswith("/api/") or "cache-control" not in headers:
            headers["Cache-Control"] = "no-store"


def address_of(scope: Scope) -> str:
    """Return the IP address of who asks, as the connection has it: no header is believed."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def hosts_of(host: str, port: int, names: Sequence[str], scheme: str) -> frozenset[str]:
    """Return the Host headers under which a server at `host` is reached."""
    found = {host, *names}
    if host in ("127.0.0.1", "::1", "localhost"):
        found |= {"127.0.0.1", "localhost", "[::1]"}
    found = {f"[{each}]" if each.count(":") > 1 and not each.startswith("[") else each for each in found}
    own = {"http": 80, "https": 443}[scheme]
    named = {each for each in found if urlsplit(f"//{each}").port is not None}
    bare = found - named
    return frozenset(
        each.lower() for each in named | {f"{one}:{port}" for one in bare} | (bare if port == own else set())
    )


__all__ = ["MARK", "SAFE", "Doorman", "Rules", "address_of", "hosts_of"]

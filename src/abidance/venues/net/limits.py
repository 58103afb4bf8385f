"""What venues let us ask for, as data: the windows of each host and what each request weighs in them.

The bundled table is `data/limits.toml`. A host that it does not name is asked at most ten times a second.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from abidance.model.instrument import InstrumentKind

NOTHING: Mapping[str, object] = MappingProxyType({})


class Request(NamedTuple):
    """A request as limits see it. `about` are the orders that it places or changes: instruments, ages in seconds."""

    method: str
    path: str
    params: Mapping[str, object] = NOTHING
    about: tuple[tuple[str, float], ...] = ()


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request, such as `POST /order`, costs in a count of orders.

    For an order that it takes back or changes comes what the first of `young` [younger than so many seconds, cost] says
    that holds its age. One that does not wait (`waits`) is counted and never held up.
    """

    ask: str
    weight: float = 0.0
    young: tuple[tuple[float, float], ...] = ()
    waits: bool = True

    def of(self, age: float) -> float:
        """Return what it costs to do this with an order of an age in seconds."""
        return self.weight + next((cost for below, cost in self.young if age < below), 0.0)


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many units within any `seconds`; `flat` ones count requests whatever they weigh.

    One that `falls` is no window that slides but a count, which falls evenly by its limit in `seconds`; one `by_clock`
    begins anew with each so many seconds of the venue's clock. The share `reserve` is kept for urgent requests, half of
    it for changes alone. Only requests below the path `under` count; `grades` are limit and seconds of accounts of
    another grade. `used` and `left` name the header in which the venue tells what was used, or is left, and `said` is
    what stands in an answer that refuses because nothing is.

    A window with `costs` counts these alone, of those with the parameters `only`: they place orders, or change them. It
    may be one for `each` instrument, or path.
    """

    name: str
    limit: float
    seconds: float
    per: Literal["address", "account"] = "address"
    flat: bool = False
    falls: bool = False
    reserve: float = 0.2
    under: str = ""
    grades: dict[str, tuple[float, float]] = {}
    used: str = ""
    left: str = ""
    said: tuple[str, ...] = ()
    by_clock: bool = False
    costs: tuple[Cost, ...] = ()
    only: dict[str, str] = {}
    each: Literal["", "instrument", "path"] = ""

    def of(self, grade: str) -> "Window":
        """Return the window of an account of a grade; where there are no grades all accounts are alike."""
        if grade not in self.grades:
            return self
        limit, seconds = self.grades[grade]
        return msgspec.structs.replace(self, limit=limit, seconds=seconds)

    def draws(self, request: Request, weight: float) -> Iterator["Draw"]:
        """Yield what a request that weighs so much draws on this window."""
        if not self.costs:
            counts = request.path.startswith(self.under)
            yield Draw(self, "", (1.0 if self.flat else weight) if counts else 0.0)
            return
        asked = f"{request.method} {request.path}"
        cost = next((each for each in self.costs if each.ask == asked), None)
        if cost is None or any(request.params.get(name) != value for name, value in self.only.items()):
            return
        if self.each != "instrument":
            yield Draw(self, request.path if self.each else "", cost.weight, cost.waits)
            return
        sums: dict[str, float] = {}
        for instrument, age in request.about:
            sums[instrument] = sums.get(instrument, 0.0) + cost.of(age)
        for instrument, whole in sums.items():
            yield Draw(self, instrument, whole, cost.waits)

    def refuses(self, body: bytes) -> bool:
        """Say whether an answer refuses a request because nothing is left here."""
        return any(each.encode() in body[:200] for each in self.said)


class Draw(NamedTuple):
    """What one request uses of a window, or of a `part` of it that is counted apart."""

    window: Window
    part: str
    weight: float
    waits: bool = True


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What requests under a path weigh: always `weight`, or what the step says that holds the parameter `by`."""

    path: str
    weight: float = 0.0
    by: str = ""
    steps: tuple[tuple[float, float], ...] = ()
    absent: float = 0.0

    def of(self, query: Mapping[str, object]) -> float:
        """Return what a request with this query weighs; what cannot be read weighs most."""
        if not self.by:
            return self.weight
        given = query.get(self.by)
        if given is None and self.absent:
            return self.absent
        try:
            value = float(str(given or "inf"))
        except ValueError:
            value = float("inf")
        return next((weight for most, weight in self.steps if value <= most), self.steps[-1][1])


class OpenLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many orders of an account may be open in one instrument, and of these with a trigger; 0 where nobody says.

    `grades` are the orders of accounts of another grade.
    """

    orders: int = 0
    stops: int = 0
    grades: dict[str, int] = {}


class HostLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The windows of one host, and the weights of its requests. `open` has its limits by kind of instrument."""

    venue: str
    windows: tuple[Window, ...]
    default: float = 1.0
    rules: tuple[Rule, ...] = ()
    open: dict[InstrumentKind, OpenLimits] = {}
    host: str = ""
    """The name under which they are in the table."""

    def of(self, grade: str) -> "HostLimits":
        """Return the limits of an account of a grade."""
        return msgspec.structs.replace(self, windows=tuple(each.of(grade) for each in self.windows))

    def weight(self, path: str, query: Mapping[str, object]) -> float:
        """Return what a request weighs, by the longest path that it starts with."""
        found = [rule for rule in self.rules if path == rule.path or path.startswith(f"{rule.path}/")]
        return max(found, key=lambda rule: len(rule.path)).of(query) if found else self.default

    def draws(self, request: Request) -> list[Draw]:
        """Return what a request uses of each window."""
        weight = self.weight(request.path, request.params)
        return [draw for each in self.windows for draw in each.draws(request, weight)]


_CAREFUL = (Window("requests", 10, 1.0),)


@cache
def table() -> dict[str, HostLimits]:
    """Return the bundled limits by host."""
    text = files("abidance").joinpath("data", "limits.toml").read_text(encoding="utf-8")
    raw: dict[str, Any] = tomllib.loads(text)
    found = msgspec.convert(raw, dict[str, HostLimits])
    return {host: msgspec.structs.replace(each, host=host) for host, each in found.items()}


def grades_of(venue: str) -> frozenset[str]:
    """Return the grades of accounts that a venue has; none where all are alike."""
    windows = (window for each in table().values() if each.venue == venue for window in each.windows)
    return frozenset(grade for window in windows for grade in window.grades)


def open_limits(venue: str, kind: InstrumentKind, grade: str = "") -> OpenLimits:
    """Return how many orders an account of a grade may have open in one instrument, as its venue publishes it."""
    told = (each.open[kind] for each in table().values() if each.venue == venue and kind in each.open)
    found = next(told, OpenLimits())
    return msgspec.structs.replace(found, orders=found.grades.get(grade, found.orders))


def limits_of(url: str) -> HostLimits:
    """Return the limits of the host in `url`."""
    host = urlsplit(url).hostname or url
    return table().get(host) or HostLimits(host, _CAREFUL)

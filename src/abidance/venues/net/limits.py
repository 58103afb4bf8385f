"""What venues let us ask for, as data: the windows of each host and what each request weighs in them.

The bundled table is `data/limits.toml`. A host that it does not name is asked at most ten times a second.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many units within any `seconds`; `flat` ones count requests whatever they weigh.

    One that `falls` is no window that slides but a count, which falls evenly by its limit in `seconds`. Only requests
    below the path `under` count; `grades` are limit and seconds of accounts of another grade. `used` and `left` name
    the header in which the venue tells what was used, or is left.
    """

    name: str
    limit: float
    seconds: float
    per: Literal["address", "account"] = "address"
    flat: bool = False
    falls: bool = False
    under: str = ""
    grades: dict[str, tuple[float, float]] = {}
    used: str = ""
    left: str = ""

    def of(self, grade: str) -> "Window":
        """Return the window of an account of a grade; where there are no grades all accounts are alike."""
        if grade not in self.grades:
            return self
        limit, seconds = self.grades[grade]
        return msgspec.structs.replace(self, limit=limit, seconds=seconds)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What requests under a path weigh: always `weight`, or what the step says that holds the parameter `by`."""

    path: str
    weight: float = 0.0
    by: str = ""
    steps: tuple[tuple[float, float], ...] = ()
    absent: float = 0.0

    def of(self, query: Mapping[str, str]) -> float:
        """Return what a request with this query weighs; what cannot be read weighs most."""
        if not self.by:
            return self.weight
        given = query.get(self.by)
        if given is None and self.absent:
            return self.absent
        try:
            value = float(given or "inf")
        except ValueError:
            value = float("inf")
        return next((weight for most, weight in self.steps if value <= most), self.steps[-1][1])


class HostLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The windows of one host, and the weights of its requests."""

    venue: str
    windows: tuple[Window, ...]
    default: float = 1.0
    rules: tuple[Rule, ...] = ()

    def weight(self, path: str, query: Mapping[str, str]) -> float:
        """Return what a request weighs, by the longest path that it starts with."""
        found = [rule for rule in self.rules if path == rule.path or path.startswith(f"{rule.path}/")]
        return max(found, key=lambda rule: len(rule.path)).of(query) if found else self.default

    def weights(self, path: str, query: Mapping[str, str]) -> tuple[float, ...]:
        """Return what a request weighs in each window."""
        weight = self.weight(path, query)
        return tuple(
            (1.0 if each.flat else weight) if path.startswith(each.under) else 0.0 for each in self.windows
        )


_CAREFUL = (Window("requests", 10, 1.0),)


@cache
def table() -> dict[str, HostLimits]:
    """Return the bundled limits by host."""
    text = files("abidance").joinpath("data", "limits.toml").read_text(encoding="utf-8")
    raw: dict[str, Any] = tomllib.loads(text)
    return msgspec.convert(raw, dict[str, HostLimits])


def grades_of(venue: str) -> frozenset[str]:
    """Return the grades of accounts that a venue has; none where all are alike."""
    windows = (window for each in table().values() if each.venue == venue for window in each.windows)
    return frozenset(grade for window in windows for grade in window.grades)


def limits_of(url: str) -> HostLimits:
    """Return the limits of the host in `url`."""
    host = urlsplit(url).hostname or url
    return table().get(host) or HostLimits(host, _CAREFUL)

"""What Prometheus may ask: how requests fare, and where each run stands."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from abidance.model.event import CircuitState

if TYPE_CHECKING:
    from abidance.api.following import Followed

_OPENNESS = {CircuitState.CLOSED: 0.0, CircuitState.HALF_OPEN: 0.5, CircuitState.OPEN: 1.0}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are counted apart: whoever asks may call a method what they like, and each name would be kept for ever."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "abidance_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "abidance_http_seconds", "Time to answer.", ("route",), buckets=_BUCKETS, registry=registry
        )
        self.clients = Gauge("abidance_stream_clients", "Open streams.", registry=registry)
        self.owed = Gauge(
            "abidance_audit_owed", "Deeds that were done and are not in the audit log yet.", registry=registry
        )
        self._runs = {
            name: Gauge(f"abidance_run_{name}", text, ("run",), registry=registry)
            for name, text in (
                ("running", "1 while a process answers at the run's door."),
                ("equity", "Equity in the run's currency."),
                ("exposure_share", "Gross exposure as a share of equity."),
                ("open_orders", "Orders that may still fill."),
                ("open_positions", "Positions that are not flat."),
                ("refusals", "Orders that risk refused so far."),
                ("fills", "Fills so far."),
                ("alarms", "Notices of the level error so far, such as a position left for want of a stop."),
                ("halted", "1 while no new risk is taken."),
                ("records", "Records read of the journal."),
            )
        }

        self._circuits = Gauge(
            "abidance_run_circuit_open",
            "1 while a circuit breaker lets no new risk through, 0.5 while it is tried.",
            ("run", "venue", "part"),
            registry=registry,
        )

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Note an answered request; what matched no route, or no known method, counts under one name."""
        route = getattr(scope.get("route"), "path", "") or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, runs: "Iterable[Followed]") -> bytes:
        """Return all metrics in Prometheus' text format."""
        for gauge in self._runs.values():
            gauge.clear()
        self._circuits.clear()
        for run in runs:
            replica = run.replica
            standing = replica.standing()
            for name, value in (
                ("running", float(run.is_running)),
                ("equity", replica.state.equity()),
                ("exposure_share", replica.curve[2][-1] if replica.curve[2] else 0.0),
                ("open_orders", float(len(tuple(replica.orders.open())))),
                ("open_positions", float(len(replica.portfolio.open_positions()))),
                ("refusals", float(len(replica.refusals))),
                ("fills", float(len(replica.fills))),
                ("alarms", float(replica.told["error"])),
                ("halted", float(standing.code is not None)),
                ("records", float(replica.seq)),
            ):
                self._runs[name].labels(run.name).set(value)
            for circuit in replica.state.feeds.circuits.values():
                value = _OPENNESS[circuit.state]
                self._circuits.labels(run.name, circuit.venue, circuit.part).set(value)
        return generate_latest(self._registry)


__all__ = ["Metrics"]

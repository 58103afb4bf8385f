"""What Binance tells of its limits: in `exchangeInfo`, and to whoever places one order too many."""

from typing import Any

from abidance.model.instrument import Instrument
from abidance.testing.exchange.house import Refusal
from abidance.venues.net.limits import Window, open_limits, table

_SPANS = {"DAY": 86_400, "MINUTE": 60, "SECOND": 1}


def rate_limits(host: str) -> list[dict[str, Any]]:
    """Return what may be asked of a host in which time."""
    found = []
    for window in table()[host].windows:
        kind = "ORDERS" if window.costs else "RAW_REQUESTS" if window.flat else "REQUEST_WEIGHT"
        interval, number = _span(window)
        found.append(
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": int(window.limit)}
        )
    return found


def one_too_many(window: Window) -> Refusal:
    """Return the refusal of an order for which a window has no room; it does not say for how long."""
    interval, number = _span(window)
    text = f"Too many new orders; current limit is {window.limit:g} orders per {number} {interval}."
    return Refusal(429, {"code": -1015, "msg": text})


def open_filters(rules: Instrument) -> list[dict[str, Any]]:
    """Return the filters that say how many orders an account may have open in an instrument."""
    most = open_limits(rules.venue, rules.kind)
    return [
        {"filterType": name, word: limit, "limit": limit}
        for name, word, limit in (
            ("MAX_NUM_ORDERS", "maxNumOrders", most.orders),
            ("MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", most.stops),
        )
    ]


def _span(window: Window) -> tuple[str, int]:
    name, seconds = next((name, each) for name, each in _SPANS.items() if window.seconds % each == 0)
    return name, int(window.seconds // seconds)

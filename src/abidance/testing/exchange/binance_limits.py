"""What Binance tells of its limits and instruments: in `exchangeInfo`, and to whoever places one order too many."""

from typing import Any

from abidance.model.instrument import Instrument
from abidance.testing.exchange.house import Refusal
from abidance.testing.exchange.market import Market
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


def _filters(market: Market) -> list[dict[str, Any]]:
    rules = market.rules
    lot, least = format(rules.lot, "f"), format(rules.min_quantity, "f")
    tick = format(rules.tick, "f")
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": "9000.00000000", "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": least, "maxQty": "900.00000000", "stepSize": lot},
        *open_filters(rules),
    ]


def pair(symbol: str, market: Market) -> dict[str, Any]:
    """Return what is told of a spot instrument."""
    rules = market.rules
    notional = {
        "filterType": "NOTIONAL",
        "minNotional": format(rules.min_notional, "f"),
        "applyMinToMarket": True,
        "maxNotional": "9000000.00000000",
        "applyMaxToMarket": False,
        "avgPriceMins": 5,
    }
    return {
        "symbol": symbol,
        "status": "TRADING" if market.is_listed else "BREAK",
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "isSpotTradingAllowed": market.is_listed,
        "isMarginTradingAllowed": True,
        "filters": [*_filters(market), notional],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
    }


def contract(symbol: str, market: Market) -> dict[str, Any]:
    """Return what is told of a perpetual."""
    rules = market.rules
    notional = {"filterType": "MIN_NOTIONAL", "notional": format(rules.min_notional, "f")}
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING" if market.is_listed else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.name.settle,
        "pricePrecision": market.ticks.decimals,
        "quantityPrecision": market.lots.decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [*_filters(market), notional],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }

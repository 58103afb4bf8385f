"""What stands in ccxt's unified structures and in the requests that it makes: numbers to the last digit, ids, fees.

Nothing here knows a venue, and what cannot be read raises ValueError.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from abidance.model.money import ZERO
from abidance.venues.account import Call, sound


def limit_price(market: Mapping[str, Any]) -> float:
    """Return a number that a market takes for a price and for a quantity, for an order that is never sent."""
    steps = [decimal(each) for each in (market.get("precision") or {}).values() if each is not None]
    least = [decimal((each or {}).get("min") or 0) for each in (market.get("limits") or {}).values()]
    return float(max([Decimal(1), *steps, *least]) * 1_000)


def field_of(call: Call, probe: str) -> str:
    """Return the name under which our id is sent, however it is spelt; empty where it is not."""
    for row in (call.params, *call.rows):
        for name, value in row.items() if isinstance(row, Mapping) else ():
            if value == probe:
                bare = "".join(filter(str.isalnum, name)).lower()
                return bare.removeprefix("new").removeprefix("orig")
    return ""


def numbers(node: Any) -> Iterable[Decimal]:
    """Yield every number in what would be sent."""
    if isinstance(node, Mapping | list | tuple):
        for each in node.values() if isinstance(node, Mapping) else node:
            yield from numbers(each)
    elif not isinstance(node, bool):
        try:
            yield Decimal(str(node))
        except InvalidOperation:
            return


def plain_id(text: str) -> str:
    """Return our id in what a venue repeats of it, which may be in capitals, with dashes, or behind a mark."""
    bare = text.replace("-", "").lower()
    start = next((at for at in range(len(bare) - 31) if _is_hex(bare[at : at + 32])), None)
    return text if start is None else bare[start:]


def _is_hex(text: str) -> bool:
    return all(each in "0123456789abcdef" for each in text)


def decimal(value: Any) -> Decimal:
    """Return a number that ccxt tells. Raises ValueError."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None
    if not found.is_finite():
        raise ValueError(f"{value!r} is no number")
    return found


def amounts(rows: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return how much of each asset is told. Raises ValueError."""
    found = {asset: decimal(amount) for asset, amount in rows.items()}
    sound(*found.values())
    return found


def fee_of(trade: Mapping[str, Any], quote: str) -> tuple[Decimal, str]:
    """Return what an execution cost; nothing where the venue does not tell. Raises ValueError for two assets."""
    fees = trade.get("fees") or ([trade["fee"]] if trade.get("fee") else [])
    told = [each for each in fees if each.get("cost") is not None and each.get("currency")]
    assets = {each["currency"] for each in told}
    if len(assets) > 1:
        raise ValueError(f"fees in {' and '.join(sorted(assets))}")
    return sum((decimal(each["cost"]) for each in told), ZERO), next(iter(assets), quote)

"""From which wallet of a venue spot orders are paid, where there are several that can pay them."""

from collections.abc import Mapping

SPOT = "spot"
CROSS_MARGIN = "cross_margin"
WALLETS: Mapping[str, frozenset[str]] = {
    "BINANCE": frozenset({SPOT, CROSS_MARGIN}),
    "KUCOIN": frozenset({SPOT, CROSS_MARGIN}),
}
"""The wallets of each venue that has several; the others have one."""

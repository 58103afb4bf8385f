"""The unit that the compiled executor makes: its kernels, and the rules of fills and of Kelly themselves, no copies."""

from functools import partial
from typing import Any

from numba.extending import register_jitable

from abidance.kernel.jit import bare, kernel
from abidance.risk import sizing
from abidance.venues.sim import fills

_register: Any = register_jitable
__all__ = ["bare", "inlined", "kernel"]
inlined = partial(kernel, forceinline=True)
"""Compile a kernel into each of its callers."""

for _rule in (
    fills.slippage_rate, fills.ticks_against, fills.taker_ticks, fills.within_limit, fills.is_touched,
    fills.trigger_price, fills.is_passed, fills.is_marketable, fills.whole_lots, fills.room_lots, fills.volume_share,
    fills.liquidation_price, fills.is_liquidated, sizing.kelly_of,
):  # fmt: skip
    _register(_rule)

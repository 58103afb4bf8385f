"""The unit that the compiled executor makes: its kernels, and the fill rules themselves, not a copy of them."""

from functools import partial
from pathlib import Path
from typing import Any

from numba.extending import register_jitable

from abidance.backtest import layout
from abidance.engine import actions
from abidance.kernel import jit
from abidance.model import order, outcome
from abidance.venues.sim import fills

_register: Any = register_jitable
_HERE = Path(__file__).parent
_NAMES = ("jit", "exact", "tables", "gate", "actions", "watch", "desk", "kernels", "lane")
_UNIT = jit.Compiler(
    (
        *(_HERE / f"{name}.py" for name in _NAMES),
        *(Path(str(each.__file__)) for each in (jit, layout, fills, actions, order, outcome)),
    )
)
kernel, entrance = _UNIT.kernel, _UNIT.entrance
inlined = partial(_UNIT.kernel, forceinline=True)
"""Compile a kernel into each of its callers."""
FOLDER, IS_FIRST = _UNIT.folder, _UNIT.is_first

for _rule in (
    fills.slippage_rate, fills.ticks_against, fills.taker_ticks, fills.within_limit, fills.is_touched,
    fills.stop_price, fills.is_passed, fills.is_marketable, fills.whole_lots, fills.room_lots, fills.volume_share,
    fills.liquidation_price, fills.is_liquidated,
):  # fmt: skip
    _register(_rule)

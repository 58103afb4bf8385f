"""How kernels are compiled: by numba, without fast-math, kept on disk under a name that the sources themselves make.

numba looks at one file only when it asks whether its cache still holds. Kernels call functions of other files, so the
folder of the cache carries a hash of all of them: a rule that changed is compiled anew. Importing this module imports
numba, which takes a quarter of a second: import it where a kernel is about to run.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config, types
from numba.extending import register_jitable

from abidance.backtest import layout
from abidance.engine import actions
from abidance.model import order, outcome
from abidance.venues.sim import fills

F = TypeVar("F", bound=Callable[..., Any])

# numba says little of its own types
_numba: Any = numba
_settings: Any = config
_types: Any = types

_HERE = Path(__file__).parent
_NAMES = ("jit", "exact", "tables", "gate", "actions", "watch", "desk", "kernels", "lane")
_SOURCES = (
    *(_HERE / f"{name}.py" for name in _NAMES),
    *(Path(str(each.__file__)) for each in (layout, fills, actions, order, outcome)),
)


def _folder() -> Path:
    """Return where compiled code of exactly these sources is kept: in the user directory, like everything else."""
    digest = sha256(numba.__version__.encode())
    for path in _SOURCES:
        digest.update(path.read_bytes())
    root = Path(os.environ.get("ABIDANCE_HOME") or Path.home() / ".abidance")
    return root / "cache" / "compiled" / digest.hexdigest()[:16]


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


FOLDER = _folder()
IS_FIRST = not any(FOLDER.glob("**/*.nbc"))
"""Whether the first run is about to compile, which takes some seconds once."""
_CACHED = _usable(FOLDER)


def kernel(function: F) -> F:
    """Compile a function that only other kernels call."""
    return cast(F, _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True))


def entrance(function: F) -> F:
    """Compile a function that Python calls."""
    return cast(F, _compiled(function, no_cfunc_wrapper=True))


def _plain(kind: Any) -> Any:
    """Return a type without the values that numba knows of its numbers."""
    if isinstance(kind, _types.BaseTuple):
        return _types.BaseTuple.from_types([_plain(each) for each in kind])
    return _types.unliteral(kind)


def _once(dispatcher: Any) -> Any:
    """Let constants in a call count as plain numbers: numba would compile the function anew for each of them."""
    resolve = dispatcher.get_call_template

    def resolve_plain(arguments: Any, named: Any) -> Any:
        return resolve(tuple(_plain(each) for each in arguments), named)

    dispatcher.get_call_template = resolve_plain
    return dispatcher


def _compiled(function: Callable[..., Any], **options: bool) -> Any:
    before, _settings.CACHE_DIR = _settings.CACHE_DIR, str(FOLDER)
    try:
        return _once(_numba.njit(cache=_CACHED, fastmath=False, nogil=True, **options)(function))
    finally:
        _settings.CACHE_DIR = before


# The fill rules themselves, not a copy of them, are compiled into the kernels that call them.
for _rule in (
    fills.slippage_rate, fills.ticks_against, fills.taker_ticks, fills.within_limit, fills.is_touched,
    fills.stop_price, fills.is_passed, fills.is_marketable, fills.whole_lots, fills.room_lots, fills.volume_share,
    fills.liquidation_price, fills.is_liquidated,
):  # fmt: skip
    register_jitable(_rule)

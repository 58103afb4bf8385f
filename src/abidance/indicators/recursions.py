"""Indicators whose every value needs the one before, and comparisons of whole columns, as compiled code.

They give the same values, but for a last bit, as the indicators that stand on TA-Lib and numpy, which ask here first
and go their own way unless `use` was called: compiling takes some seconds, once for a version, so that only those call
it who compute for long or often. Columns are contiguous float64.
"""

from pathlib import Path

import numpy as np

from abidance.indicators.arrays import FloatArray, IntArray
from abidance.kernel import ports
from abidance.kernel.native import Unit

_HERE = Path(__file__)
_KERNEL = Path(str(ports.__file__))
SOURCES = (_HERE, _HERE.with_name("loops.py"), _KERNEL.with_name("jit.py"), _KERNEL.with_name("lanes.py"))
_UNIT = Unit("abidance.indicators.loops", SOURCES)
_exponential = _UNIT.function("exponential", "int64", "int64", "int64", "int64")
_crossings = _UNIT.function("exponential_crossings", *["int64"] * 7)


_in_use = False


def prepare() -> None:
    """Compile or load now what computing by compiled code calls."""
    for each in (_exponential, _crossings):
        each.prepare()


def use() -> None:
    """Let indicators of this process be computed by compiled code from now on."""
    global _in_use  # noqa: PLW0603  a process computes for a search, or it does not
    _in_use = True


def are_used() -> bool:
    """Say whether indicators are computed by compiled code."""
    return _in_use


def exponential(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential average seeded by the first known value; NaN in its first `period` - 1 rows."""
    found = np.empty(len(values))
    _exponential(_at(values), len(values), _whole(period), _at(found))
    return found


def exponential_crossings(values: FloatArray, fast: int, slow: int) -> tuple[IntArray, FloatArray] | None:
    """Return where two averages cross, and whether the fast one is above then (1 or 0).

    None where a value is not finite.
    """
    rows, above, ends = np.empty(len(values), np.int64), np.empty(len(values)), np.empty(8, np.int64)
    columns = _at(rows), _at(above), _at(ends)
    count = _crossings(_at(values), len(values), _whole(fast), _whole(slow), *columns)
    return None if count < 0 else (rows[:count].copy(), above[:count].copy())


def _at(column: FloatArray | IntArray) -> int:
    """Return where a column lies."""
    return int(column.__array_interface__["data"][0])


def _whole(period: int) -> int:
    """Return a period as a plain number that cannot overflow."""
    return min(int(period), 1 << 40)

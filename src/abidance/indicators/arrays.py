"""The array type of the room, and the two things every indicator needs: clean input and a look back."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def floats(values: ArrayLike) -> FloatArray:
    """Return `values` as a contiguous float64 column, copied only when it is not one already."""
    return np.ascontiguousarray(values, dtype=np.float64)


def previous(values: FloatArray, lag: int = 1) -> FloatArray:
    """Return the values of `lag` bars ago; NaN in the first `lag` rows."""
    shifted = np.full(len(values), np.nan)
    shifted[lag:] = values[: max(len(values) - lag, 0)]
    return shifted

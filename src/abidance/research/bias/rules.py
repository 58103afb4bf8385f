"""What a strategy's source must not say: names and shapes of code that look ahead, or that do not repeat.

A rule reads one expression or statement and says what is wrong with it. It guesses from the text alone, so what it
finds is a suspicion until a replay confirms it.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from abidance.market.bars import FIELDS
from abidance.research.bias.source import dotted
from abidance.strategy.mistakes import Place

FUTURE, CHANCE, STATE = "look-ahead", "chance", "state"


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicious piece of code."""

    kind: str
    place: Place
    message: str

    def is_in(self, place: Place, statement: ast.stmt | None) -> bool:
        """Say whether it lies in a statement, or on a line when the statement is not known."""
        end = (
            place.line
            if statement is None or hasattr(statement, "body")
            else statement.end_lineno or place.line
        )
        return self.place.file == place.file and place.line <= self.place.line <= end


@dataclass
class Surroundings:
    """What a rule may know besides the expression: imported names, the calls around it, names of stretches."""

    names: dict[str, str]
    calls: list[str] = field(default_factory=list)
    windows: set[str] = field(default_factory=set)

    def full(self, node: ast.AST) -> str:
        """Return the dotted name with imports resolved: `numpy.roll` for `np.roll`, `.mean` for any method."""
        name = dotted(node)
        first, dot, rest = name.partition(".")
        if first in self.names:
            return f"{self.names[first]}{dot}{rest}"
        return f".{name.rpartition('.')[2]}" if dot else name


Rule = Callable[[ast.Call, str, Surroundings], str | None]

_SMOOTHERS = {
    "scipy.signal.savgol_filter", "scipy.signal.filtfilt", "scipy.signal.sosfiltfilt", "scipy.signal.medfilt",
    "scipy.signal.wiener", "scipy.signal.detrend", "scipy.signal.hilbert", "scipy.signal.decimate",
    "scipy.signal.resample", "scipy.signal.find_peaks", "scipy.signal.argrelextrema", "scipy.signal.argrelmax",
    "scipy.signal.argrelmin", "scipy.ndimage.gaussian_filter1d", "scipy.ndimage.uniform_filter1d",
    "scipy.ndimage.median_filter", "scipy.ndimage.maximum_filter1d", "scipy.ndimage.minimum_filter1d",
    "numpy.gradient",
}  # fmt: skip
_FITS = {
    "numpy.polyfit", "numpy.linalg.lstsq", "numpy.linalg.svd", "numpy.corrcoef", "numpy.cov", "numpy.histogram",
    "scipy.stats.zscore", "scipy.stats.linregress", "scipy.stats.rankdata", "scipy.optimize.curve_fit",
}  # fmt: skip
_FIT_METHODS = {".fit", ".fit_transform", ".fit_predict", ".rank", ".qcut"}
_BACKWARD_METHODS = {".bfill", ".backfill", ".backward_fill", ".interpolate"}
_SHIFTS = {".shift", ".diff", ".pct_change", ".shift_and_fill"}
_MEASURES = {
    "mean", "std", "var", "max", "min", "median", "quantile", "percentile", "average", "ptp", "amax", "amin", "nanmean",
    "nanstd", "nanvar", "nanmax", "nanmin", "nanmedian", "nanquantile", "nanpercentile",
}  # fmt: skip
_PLACES = {
    "argmax",
    "argmin",
    "nanargmax",
    "nanargmin",
    "argsort",
    "sort",
    "sorted",
    "arg_max",
    "arg_min",
    "arg_sort",
    "lexsort",
}
_WINDOWED = {
    "rolling", "ewm", "expanding", "over", "group_by", "groupby", "group_by_dynamic", "resample", "sliding_window_view",
}  # fmt: skip
_KNOWN = {"isnan", "isfinite", "is_nan", "is_null", "isna", "notna"}
_RUNNING = {
    "cumsum",
    "cummax",
    "cummin",
    "cumprod",
    "cum_sum",
    "cum_max",
    "cum_min",
    "cum_prod",
    "accumulate",
}
_CONVOLUTIONS = {"convolve", "correlate", "fftconvolve", "oaconvolve"}
_JOINS = {"numpy.append", "numpy.concatenate", "numpy.hstack", "numpy.pad"}
_LONGER = {".resample", ".group_by_dynamic", ".reduceat", "numpy.repeat", ".upsample"}

_CHANCES = {
    "random": "draws lots", "numpy.random": "draws lots", "secrets": "draws lots", "uuid": "draws lots",
    "os.urandom": "draws lots", "time": "reads the clock", "datetime.datetime.now": "reads the clock",
    "datetime.datetime.utcnow": "reads the clock", "datetime.datetime.today": "reads the clock",
    "datetime.date.today": "reads the clock", "open": "reads a file", "numpy.load": "reads a file",
    "numpy.loadtxt": "reads a file", "numpy.genfromtxt": "reads a file", "numpy.fromfile": "reads a file",
    "os.getenv": "reads the environment", "os.environ": "reads the environment", "requests": "uses the network",
    "urllib": "uses the network", "http": "uses the network", "socket": "uses the network", "httpx": "uses the network",
    "aiohttp": "uses the network", "ccxt": "uses the network", "websocket": "uses the network",
    "websockets": "uses the network", "subprocess": "runs a program", "hash": "is another in each process",
    "id": "is another in each process", "pandas.Timestamp.now": "reads the clock", "input": "asks a person",
}  # fmt: skip
_READERS = ("pandas.read_", "polars.read_", "polars.scan_")
_READER_METHODS = {".read_text", ".read_bytes"}


def suspicions(node: ast.Call, around: Surroundings) -> Iterator[tuple[str, str]]:
    """Yield the kind and the message of everything wrong with a call."""
    name = around.full(node.func)
    chance = _chance(node, name)
    if chance:
        yield CHANCE, chance
    for rule in _RULES:
        message = rule(node, name, around)
        if message:
            yield FUTURE, message
            return


def _shift(node: ast.Call, name: str, _: Surroundings) -> str | None:
    if name in {"numpy.roll", "scipy.ndimage.shift"}:
        by = _argument(node, 1, "shift")
    elif f".{name.rpartition('.')[2]}" in _SHIFTS and "." in name:
        by = _argument(node, 0, "periods", "n")
    else:
        return None
    return (
        f"`{_last(name)}` by a negative number brings later rows back to earlier ones."
        if _negative(by)
        else None
    )


def _backward(node: ast.Call, name: str, _: Surroundings) -> str | None:
    given = {word.arg: word.value for word in node.keywords}
    filled = any(
        _text(given.get(word)) in {"bfill", "backfill", "backward"} for word in ("method", "strategy")
    )
    if name in _BACKWARD_METHODS or filled:
        return f"`{_last(name)}` fills holes with values that come later."
    turned = _text(given.get("direction")) == "forward" or _true(given.get("reverse"))
    return f"`{_last(name)}` takes values that come later." if turned else None


def _centred(node: ast.Call, name: str, _: Surroundings) -> str | None:
    given = {word.arg: word.value for word in node.keywords}
    if _true(given.get("center")) or _true(given.get("centre")):
        return f"`{_last(name)}` is centred: half of its window lies ahead."
    if _last(name) in _CONVOLUTIONS and _text(_argument(node, 2, "mode")) == "same":
        return f"`{_last(name)}` of mode same is centred: half of its window lies ahead."
    if name in _SMOOTHERS or name.startswith(("numpy.fft.", "scipy.fft.", "pywt.")):
        return f"`{_last(name)}` looks at rows on both sides."
    return None


def _fitted(node: ast.Call, name: str, around: Surroundings) -> str | None:
    if name not in _FITS and name not in _FIT_METHODS and not name.startswith("sklearn."):
        return None
    if name.startswith("sklearn.") and not name.rpartition(".")[2].islower():
        return None  # a model is made, not fitted
    windowed = isinstance(node.func, ast.Attribute) and not _may_be_column(node.func.value, around)
    if windowed or any(_is_window(each, around) for each in node.args):
        return None
    return f"`{_last(name)}` fits all rows at once, later ones too."


def _measured(node: ast.Call, name: str, around: Surroundings) -> str | None:
    last = _last(name)
    if last not in _MEASURES | _PLACES or {"agg", "over", "select"} & set(around.calls):
        return None
    if isinstance(node.func, ast.Attribute) and not name.startswith("numpy."):
        column, more = node.func.value, node.args[1 if last in {"quantile", "percentile"} else 0 :]
    elif name.startswith("numpy.") and node.args:
        column, more = node.args[0], node.args[2 if "quantile" in last or "percentile" in last else 1 :]
    else:
        return _builtin(node, name)
    axis = any(word.arg == "axis" and not _none(word.value) for word in node.keywords)
    if more or axis or not _may_be_column(column, around):
        return None
    what = "is a place among all rows" if last in _PLACES else "measures all rows at once"
    return f"`{last}` {what}, later ones too."


def _builtin(node: ast.Call, name: str) -> str | None:
    """Answer for the plain `max`, `min` and `sorted` of one column of bars."""
    if name not in {"max", "min", "sorted"} or len(node.args) != 1:
        return None
    column = node.args[0]
    is_column = isinstance(column, ast.Attribute) and column.attr in FIELDS
    return f"`{name}` looks at all rows at once, later ones too." if is_column else None


def _reversed(node: ast.Call, name: str, _: Surroundings) -> str | None:
    if _last(name) not in _RUNNING:
        return None
    inner = [*node.args, node.func]
    backwards = any(
        isinstance(each, ast.Slice) and _negative(each.step) for part in inner for each in ast.walk(part)
    )
    return f"`{_last(name)}` runs from the end: it knows later rows." if backwards else None


def _joined(node: ast.Call, name: str, _: Surroundings) -> str | None:
    if name == "numpy.diff" and any(word.arg == "append" for word in node.keywords):
        return "`diff` with `append` puts the next change beside each row."
    if name not in _JOINS or not node.args:
        return None
    first = (
        node.args[0].elts[0]
        if isinstance(node.args[0], ast.Tuple | ast.List) and node.args[0].elts
        else node.args[0]
    )
    if not _starts_late(first):
        return None
    return f"`{_last(name)}` of a column without its first rows moves later rows to earlier ones."


def _longer(_: ast.Call, name: str, __: Surroundings) -> str | None:
    method = f".{name.rpartition('.')[2]}"
    if name not in _LONGER and method not in _LONGER:
        return None
    return f"`{_last(name)}` may bring a longer bar back to rows before its end; `bars.higher` and `bars.align` do not."


_RULES: tuple[Rule, ...] = (_shift, _backward, _centred, _fitted, _reversed, _measured, _joined, _longer)


def _chance(node: ast.Call, name: str) -> str | None:
    if name in {"numpy.random.default_rng", "random.Random", "numpy.random.RandomState"}:
        seeded = node.args and all(
            isinstance(each, ast.Constant) and each.value is not None for each in node.args
        )
        return None if seeded else f"`{name}` without a fixed seed draws other lots each time."
    if name == "numpy.datetime64" and node.args and _text(node.args[0]) in {"now", "today"}:
        return "`datetime64` of now reads the clock."
    if name.startswith(_READERS) or name in _READER_METHODS:
        return f"`{_last(name)}` reads a file."
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        what = _CHANCES.get(".".join(parts[:count]))
        if what:
            return f"`{name}` {what}."
    return None


def of_assignment(node: ast.Assign) -> str | None:
    """Return what is wrong with `y[:-k] = ... x[k:] ...`: rows get values of later rows."""
    early = any(
        isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice) and _negative(target.slice.upper)
        and target.slice.lower is None
        for target in node.targets
    )  # fmt: skip
    late = any(_starts_late(each) for each in ast.walk(node.value))
    return "Later rows are written to earlier ones." if early and late else None


def of_subscript(node: ast.Subscript, around: Surroundings) -> str | None:
    """Return what is wrong with one place of a column of bars: `bars.close[-1]` is the last row of all."""
    name = dotted(node.value)
    is_column = name.endswith(tuple(f".{column}" for column in FIELDS))
    if (
        is_column
        and _negative(node.slice)
        and isinstance(node.ctx, ast.Load)
        and not around.calls.count("range")
    ):
        return f"`{name}[{ast.unparse(node.slice)}]` is the last row of the whole history, not of each row's."
    joins = isinstance(node.value, ast.Attribute) and around.full(node.value) == "numpy.r_"
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    if joins and parts and _starts_late(parts[0]):
        return "`r_` of a column without its first rows moves later rows to earlier ones."
    return None


def of_loop(node: ast.For) -> Iterator[tuple[ast.Subscript, str]]:
    """Yield the places where a loop over rows reads the row after the one it writes."""
    if not isinstance(node.target, ast.Name):
        return
    row = node.target.id
    places = [each for each in ast.walk(node) if isinstance(each, ast.Subscript)]
    written = {ast.unparse(each.slice) for each in places if isinstance(each.ctx, ast.Store)}
    for each in places:
        ahead = _ahead_of(each.slice, row)
        if ahead and isinstance(each.ctx, ast.Load) and row in written and ahead not in written:
            yield each, f"`{ast.unparse(each)}` is a row after the one that is written."


def _ahead_of(place: ast.expr, row: str) -> str:
    """Return `i + 1` as written for a place that many rows ahead, else nothing."""
    match place:
        case ast.BinOp(left=ast.Name(id=name), op=ast.Add(), right=ast.Constant(value=int(k))) if (
            name == row and k > 0
        ):
            return ast.unparse(place)
    return ""


def _may_be_column(node: ast.expr, around: Surroundings) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Constant | ast.Compare) or _is_window(node, around):
        return False
    called = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    called |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return not called & (_WINDOWED | _KNOWN)


def _is_window(node: ast.expr, around: Surroundings) -> bool:
    """Say whether an expression is a stretch of rows, or made of one."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        return node.slice.lower is not None or node.slice.upper is not None
    return isinstance(node, ast.Name) and node.id in around.windows


def _argument(node: ast.Call, position: int, *names: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((word.value for word in node.keywords if word.arg in names), None)


def _starts_late(node: ast.AST) -> bool:
    """Say whether an expression is `x[k:]` with k above 0."""
    if not (
        isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.upper is None
    ):
        return False
    lower = node.slice.lower
    if lower is None or node.slice.step is not None or _negative(lower):
        return False
    return not (isinstance(lower, ast.Constant) and lower.value == 0)


def _negative(node: ast.AST | None) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _true(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _last(name: str) -> str:
    return name.rpartition(".")[2]

"""Compiled: eight numbers that one instruction works on, where loops have eight courses that do not wait for another.

A processor without such wide registers takes them in parts; each number is rounded as it would be on its own.
"""

# numba's extension interface is untyped, and what it compiles is no Python that mypy could follow.
# mypy: ignore-errors

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 8
_INT, _BYTE, _SHORT = ir.IntType(64), ir.IntType(LANES), ir.IntType(32)
_WIDE = ir.VectorType(ir.DoubleType(), LANES)


class LanesType(types.Type):
    """The type of eight floats in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _WIDE)


def _picks(lanes: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_SHORT, LANES), lanes)


def _alike(builder: Any, number: Any) -> Any:
    """Return eight times the same number."""
    one = builder.insert_element(ir.Constant(_WIDE, ir.Undefined), number, _SHORT(0))
    return builder.shuffle_vector(one, one, _picks([0] * LANES))


def _chosen(builder: Any, sign: str, lanes: Any, others: Any) -> Any:
    return builder.select(builder.fcmp_ordered(sign, lanes, others), lanes, others)


@intrinsic
def apart(_typing: Any, column: Any, _first: Any, _stride: Any) -> Any:
    """Return the rows `first`, `first + stride` and so on of a column. Rows are not checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        found, at = ir.Constant(_WIDE, ir.Undefined), builder.gep(data, [arguments[1]])
        for lane in range(LANES):
            found = builder.insert_element(found, builder.load(at), _SHORT(lane))
            at = builder.gep(at, [arguments[2]])
        return found

    return _LANES(column, types.int64, types.int64), code


@intrinsic
def beside(_typing: Any, column: Any, _first: Any) -> Any:
    """Return eight rows of a column from `first` on. Rows are not checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        at = builder.bitcast(builder.gep(data, [arguments[1]]), _WIDE.as_pointer())
        return builder.load(at, align=8)

    return _LANES(column, types.int64), code


@intrinsic
def times(_typing: Any, lanes: Any, _factor: Any) -> Any:
    """Return lanes times a number."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fmul(arguments[0], _alike(builder, arguments[1]))

    return _LANES(lanes, types.float64), code


@intrinsic
def minus(_typing: Any, lanes: Any, _others: Any) -> Any:
    """Return lanes less others."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fsub(*arguments)

    return _LANES(lanes, lanes), code


@intrinsic
def highest_yet(_typing: Any, lanes: Any, _before: Any) -> Any:
    """Return of each lane the highest of it, of those before it and of a number before all."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        lanes = arguments[0]
        for step in (1, 2, 4):
            earlier = [max(lane - step, 0) for lane in range(LANES)]
            lanes = _chosen(builder, ">", lanes, builder.shuffle_vector(lanes, lanes, _picks(earlier)))
        return _chosen(builder, ">", lanes, _alike(builder, arguments[1]))

    return _LANES(lanes, types.float64), code


def _ends(sign: str) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        lanes = arguments[0]
        for step in (4, 2, 1):
            later = [(lane + step) % LANES for lane in range(LANES)]
            lanes = _chosen(builder, sign, lanes, builder.shuffle_vector(lanes, lanes, _picks(later)))
        return builder.extract_element(lanes, _SHORT(0))

    return code


@intrinsic
def greatest(_typing: Any, lanes: Any) -> Any:
    """Return the greatest of eight numbers."""
    return types.float64(lanes), _ends(">")


@intrinsic
def least(_typing: Any, lanes: Any) -> Any:
    """Return the least of eight numbers."""
    return types.float64(lanes), _ends("<")


@intrinsic
def closer(_typing: Any, lanes: Any, _goals: Any, _share: Any) -> Any:
    """Return lanes that have come closer to their goals by a share of the way."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        lanes, goals, share = arguments
        way = builder.fsub(goals, lanes)
        return builder.fadd(lanes, builder.fmul(way, _alike(builder, share)))

    return _LANES(lanes, lanes, types.float64), code


@intrinsic
def moved_up(_typing: Any, lanes: Any, _first: Any) -> Any:
    """Return lanes each of which is the one before it, after a first one."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        moved = builder.shuffle_vector(arguments[0], arguments[0], _picks([0, *range(LANES - 1)]))
        return builder.insert_element(moved, arguments[1], _SHORT(0))

    return _LANES(lanes, types.float64), code


@intrinsic
def above(_typing: Any, lanes: Any, _others: Any) -> Any:
    """Return a number whose bits say in which lanes one is greater than the other."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_ordered(">", *arguments), _BYTE)
        return builder.zext(bits, _INT)

    return types.int64(lanes, lanes), code


@intrinsic
def lane_of(_typing: Any, lanes: Any, _lane: Any) -> Any:
    """Return one of eight numbers."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return types.float64(lanes, types.int64), code


@intrinsic
def lowest(_typing: Any, _bits: Any) -> Any:
    """Return which of a number's bits is the lowest that is set. One is."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), code

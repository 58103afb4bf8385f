"""How kernels see a `World`: as one pointer, whose attributes are its tables.

numba hands an array over as seven numbers; forty of them at each call would cost a minute of compiling. Nothing is
counted or checked here: the Python object must live, and keep its tables, as long as a kernel runs.
"""

# numba's extension interface is untyped, and what it compiles is no Python that mypy could follow.
# mypy: ignore-errors

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import (
    NativeValue,
    intrinsic,
    models,
    overload_attribute,
    register_model,
    typeof_impl,
    unbox,
)  # fmt: skip

from abidance.backtest.tables import RECORDS, TABLES, WHOLE, WIDE, World
from abidance.kernel.jit import pointer


class WorldType(types.Type):
    """The type of a world in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="World")


@typeof_impl.register(World)
def _typeof(_value: World, _context: Any) -> WorldType:
    return WorldType()


@register_model(WorldType)
class _WorldModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64))


@unbox(WorldType)
def _unbox(_kind: WorldType, value: Any, context: Any) -> NativeValue:
    address = context.pyapi.object_getattr_string(value, "address")
    native = context.pyapi.long_as_longlong(address)
    context.pyapi.decref(address)
    failed = cgutils.is_not_null(context.builder, context.pyapi.err_occurred())
    return NativeValue(native, is_error=failed)


@intrinsic
def _word(_typing: Any, world: Any, at: Any) -> Any:
    """Return a word of a world's head. Only Python changes heads, between runs: compiled code reads a word once."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        head = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        word = builder.load(builder.gep(head, [arguments[1]]))
        word.set_metadata("invariant.load", builder.module.add_metadata([]))
        return word

    return types.int64(world, at), code


@intrinsic
def world_at(_typing: Any, _address: Any) -> Any:
    """Return the world whose head lies at an address."""

    def code(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return WorldType()(types.int64), code


@intrinsic
def ahead(_typing: Any, column: Any, _row: Any) -> Any:
    """Ask memory for a row that will be read soon; compiled code goes on meanwhile. Rows are not checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, flag, flag, flag])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(prefetch, [address, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(column, types.int64), code


def _attribute(position: int, name: str) -> None:
    kind = RECORDS.get(name) or np.dtype(np.int64 if name in WHOLE else np.float64)
    start, rows, columns = 3 * position, 3 * position + 1, 3 * position + 2

    if name in WIDE:

        @overload_attribute(WorldType, name)
        def wide(_world: Any) -> Any:
            def read(_world: Any) -> Any:
                return carray(
                    pointer(_word(_world, start)), (_word(_world, rows), _word(_world, columns)), kind
                )

            return read

    else:

        @overload_attribute(WorldType, name)
        def plain(_world: Any) -> Any:
            def read(_world: Any) -> Any:
                return carray(pointer(_word(_world, start)), _word(_world, rows), kind)

            return read


for _position, _name in enumerate(TABLES):
    _attribute(_position, _name)

"""How numeric code is compiled: by numba, without fast-math, kept on disk under a name that its sources make.

numba looks at one file only when it asks whether its cache still holds. Functions call those of other files, so the
folder of the cache carries a hash of all of them: a rule that changed is compiled anew. Importing this module imports
numba, which takes half a second: only what compiles does so, and `kernel.native` runs what was compiled before.
"""

# numba's extension interface is untyped.
# mypy: disable-error-code="no-untyped-call,untyped-decorator,no-any-return,attr-defined,call-arg,import-not-found"

import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import carray
from numba._dynfunc import make_function
from numba.core import cgutils, config, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler as CompilerBase
from numba.extending import intrinsic, register_jitable

from abidance.kernel.native import cache_folder

F = TypeVar("F", bound=Callable[..., Any])

# numba says little of its own types
_numba: Any = numba
_settings: Any = config
_types: Any = types


_BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _Part(JITCodeLibrary):
    """Code that only other compiled code takes in: it is optimised and made machine code there, with all the rest."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _PartPasses(CompilerBase):
    """How numba makes a part."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        context = self.state.targetctx  # of this compilation alone
        context.get_executable = _uncallable
        self.state.library = _Part(context.codegen(), func.__qualname__)
        return super().compile_extra(func)


def _uncallable(library: Any, function: Any, environment: Any) -> Any:
    """Return what stands for a part where numba keeps what Python calls."""
    library.finalize()
    return make_function(function.lookup_module(), function.qualname, "", 0, environment, (library,))


def kernel(function: F, **options: bool) -> F:
    """Compile a function that only other compiled ones call."""
    part = _numba.njit(nogil=True, error_model="numpy", pipeline_class=_PartPasses, **_BARE, **options)
    return cast(F, _once(part(function)))


def bare(function: F) -> F:
    """Compile a function of plain numbers that `native` keeps as an object file."""
    return cast(F, _numba.njit(nogil=True, error_model="numpy", **_BARE)(function))


class Compiler:
    """Compiles functions that make one unit: `sources` are all the files that any of them takes code from."""

    def __init__(self, sources: Iterable[Path]) -> None:
        digest = sha256(numba.__version__.encode())
        for path in sources:
            digest.update(path.read_bytes())
        self.folder = cache_folder() / digest.hexdigest()[:16]
        self._is_kept = _usable(self.folder)

    def entrance(self, function: F) -> F:
        """Compile a function that Python calls."""
        before, _settings.CACHE_DIR = _settings.CACHE_DIR, str(self.folder)
        try:
            compiled = _numba.njit(
                cache=self._is_kept, nogil=True, error_model="numpy", no_cfunc_wrapper=True
            )(function)
        finally:
            _settings.CACHE_DIR = before
        return cast(F, _once(compiled))


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


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


@intrinsic
def pointer(_typing: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


@register_jitable
def floats_at(address: int, count: int) -> Any:
    """Return the float64 column that lies at an address."""
    return carray(pointer(address), count, np.float64)


@register_jitable
def ints_at(address: int, count: int) -> Any:
    """Return the int64 column that lies at an address."""
    return carray(pointer(address), count, np.int64)

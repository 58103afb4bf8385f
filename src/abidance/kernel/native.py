"""Compiled code kept as object files: made by numba once for a version and a processor, then loaded without numba.

Importing numba costs half a second and a hundred megabytes, at every start; an object file is loaded in a hundredth of
both. A unit's functions take and return C's plain numbers: columns go in by address. They must not raise.
"""

import ctypes
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

# numba and llvmlite have no types.
# mypy: disable-error-code="no-untyped-call,import-untyped"
from abidance.model.errors import InvariantError

_KINDS: dict[str, Any] = {"int64": ctypes.c_int64, "float64": ctypes.c_double}
_UNREACHABLE = (
    "numba_do_raise", "numba_unpickle", "numba_runtime_build_excinfo_struct", "NRT_Free", "NRT_MemInfo_call_dtor",
)  # fmt: skip
"""What numba's code would call if a function raised, or ended an array of its own.

One name that cannot be found would leave all others of its object file without an address, too.
"""


_ENGINES: list[Any] = []
"""Whatever was loaded stays: two threads that call first may each load a function, and run what they loaded."""


class Unit:
    """The compiled functions of one module, and all the files that any of them takes code from."""

    def __init__(self, module: str, sources: Iterable[Path]) -> None:
        self._module = module
        self._sources = tuple(sources)

    def keeps(self, name: str) -> bool:
        """Return whether a function was compiled before."""
        return (self._folder / f"{name}.o").is_file()

    @property
    def _folder(self) -> Path:
        return _folder(self._sources)

    def function(self, name: str, *arguments: str) -> "Function":
        """Return the module's `name`, which takes `arguments` (int64 or float64) and returns int64.

        It is compiled or loaded when it is first called, and other Python threads run meanwhile.
        """
        return Function(self, name, arguments)

    def load(self, name: str, arguments: tuple[str, ...]) -> Any:
        """Return a function of C."""
        path = self._folder / f"{name}.o"
        whole = _whole(path)
        if whole is None:
            with _alone(path):
                whole = _whole(path)
                if whole is None:
                    whole = self._made(name, arguments)
                    _keep(path, whole)
        symbol, _, code = whole.partition(b"\0")
        engine = _engine(code)
        kinds: list[Any] = [_KINDS[each] for each in arguments]
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)
        return prototype(engine.get_function_address(symbol.decode()))

    def _made(self, name: str, arguments: tuple[str, ...]) -> bytes:
        """Compile a function; return the name of its symbol and its object code."""
        from numba import types

        dispatcher: Any = getattr(import_module(self._module), name)
        signature = tuple(getattr(types, each) for each in arguments)
        dispatcher.compile(signature)
        found = dispatcher.overloads[signature]
        assert str(types.unliteral(found.signature.return_type)) == "int64", name
        code = found.library._get_compiled_object()  # noqa: SLF001  numba has no other way to its object code
        if missing := _called_by(found.library._final_module) - {*_UNREACHABLE}:  # noqa: SLF001
            raise InvariantError(f"The compiled function {name} calls what is not there: {sorted(missing)}.")
        return bytes(found.fndesc.mangled_name.encode() + b"\0" + code)


class Function:
    """One function of a unit, loaded when it is first called."""

    def __init__(self, unit: Unit, name: str, arguments: tuple[str, ...]) -> None:
        self._unit, self._name, self._arguments = unit, name, arguments
        self._call: Any = None

    @property
    def is_kept(self) -> bool:
        """Return whether the next call loads what was compiled before; compiling takes some seconds."""
        return self._call is not None or self._unit.keeps(self._name)

    def prepare(self) -> None:
        """Compile or load the function, unless that is done."""
        if self._call is None:
            self._call = self._unit.load(self._name, self._arguments)

    def __call__(self, *values: float) -> int:
        self.prepare()
        result, raised = ctypes.c_int64(), ctypes.c_void_p()
        if self._call(ctypes.addressof(result), ctypes.addressof(raised), *values) != 0:
            raise InvariantError(f"The compiled function {self._name} raised.")
        return result.value


def _called_by(module: Any) -> set[str]:
    """Return the functions that compiled code calls and that this process has not."""
    process = ctypes.CDLL(None)
    declared = {each.name for each in module.functions if each.is_declaration}
    return {each for each in declared if not each.startswith("llvm.") and not hasattr(process, each)}


def _whole(path: Path) -> bytes | None:
    """Return what a file holds, None unless it is what was written: code that is cut short would end the process."""
    try:
        told = path.read_bytes()
    except OSError:
        return None
    digest, content = told[:32], told[32:]
    return content if sha256(content).digest() == digest else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until nobody else makes a file, who may have made it then; where no lock can be had, make it as well."""
    lock = None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a disk that refuses costs time at the next start, nothing else."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(sha256(content).digest() + content)
        Path(temporary).replace(path)


@cache
def _folder(sources: tuple[Path, ...]) -> Path:
    """Return where the code of exactly these sources for this very processor is kept."""
    import llvmlite.binding as llvm

    digest = sha256(f"{version('numba')} {version('llvmlite')} {llvm.get_host_cpu_name()}".encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    for path in (*sources, Path(__file__)):
        digest.update(path.read_bytes())
    return cache_folder() / digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return where compiled code is kept: in the user directory, or where `ABIDANCE_CACHE` says."""
    if named := os.environ.get("ABIDANCE_CACHE"):
        return Path(named)
    return Path(os.environ.get("ABIDANCE_HOME") or Path.home() / ".abidance") / "cache" / "compiled"


@cache
def _prepare() -> None:
    """Get LLVM ready for this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in _UNREACHABLE:
        llvm.add_symbol(name, abort)


def _engine(code: bytes) -> Any:
    """Return object code, laid out to be called."""
    import llvmlite.binding as llvm

    _prepare()
    target = llvm.Target.from_default_triple().create_target_machine()  # the engine's own from here on
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    return engine

"""Another time of day for a strategy's own code, so that a decision by the clock shows.

Only imports of `time` and `datetime` by files outside the libraries are answered with the other clock: what libraries
do with the time stays right.
"""

import builtins
import datetime as dt
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import abidance


class _Instances(type):
    """Lets every real datetime pass for one of a changed class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, dt.datetime)


def set_ahead(by: dt.timedelta) -> None:
    """Put the clock ahead, for the whole life of this process, for files that are imported from now on."""
    changed = {"time": _time(by), "datetime": _datetime(by)}
    libraries = [str(Path(abidance.__file__).parent), *sysconfig.get_paths().values()]
    plain = builtins.__import__

    def answer(name: str, globals: Mapping[str, Any] | None = None, *more: Any, **named: Any) -> ModuleType:
        asks = str((globals or {}).get("__file__") or sys.prefix)
        is_library = any(asks.startswith(each) for each in (*libraries, sys.prefix))
        if name in changed and not is_library:
            return changed[name]
        return plain(name, globals, *more, **named)

    vars(builtins).update(__import__=answer)


def _time(by: dt.timedelta) -> ModuleType:
    seconds = by.total_seconds()
    module = ModuleType("time")
    vars(module).update(vars(time))
    vars(module).update(
        time=lambda: time.time() + seconds,
        time_ns=lambda: time.time_ns() + int(seconds * 10**9),
        localtime=lambda moment=None: time.localtime(time.time() + seconds if moment is None else moment),
        gmtime=lambda moment=None: time.gmtime(time.time() + seconds if moment is None else moment),
    )
    return module


def _datetime(by: dt.timedelta) -> ModuleType:
    class Datetime(dt.datetime, metaclass=_Instances):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + by

        @classmethod
        def utcnow(cls) -> Any:
            return dt.datetime.now(dt.UTC).replace(tzinfo=None) + by

        @classmethod
        def today(cls) -> Any:
            return dt.datetime.now() + by  # noqa: DTZ005 - as the class that it stands for

    class Date(dt.date):
        @classmethod
        def today(cls) -> Any:
            return (dt.datetime.now() + by).date()  # noqa: DTZ005 - as the class that it stands for

    module = ModuleType("datetime")
    vars(module).update(vars(dt))
    vars(module).update(datetime=Datetime, date=Date)
    return module

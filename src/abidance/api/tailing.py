"""Logs as the stream tells them: who may follow which from where, and each piece read and written once for all."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from abidance.api import logbook
from abidance.api.access import Identity, Needs
from abidance.api.house import SERVED, House
from abidance.api.logbook import Since, Wanted
from abidance.api.problems import ProblemError
from abidance.api.schemas.logs import LogWish
from abidance.api.schemas.market import LogOut
from abidance.run.bot import LOG
from abidance.security.roles import Role, Scope

_SERVERS = Needs(Role.ADMIN, Scope.MANAGE)
_KEPT = 64
_ITEMS = TypeAdapter(list[LogOut])


@dataclass
class Tail:
    """What one client follows: it was told up to the byte `at` of `file`, when the log stood as `seen`."""

    wish: LogWish
    path: Path
    file: str
    at: int
    seen: tuple[str, int] | None = None

    @property
    def wanted(self) -> Wanted:
        """Return which lines it is told."""
        return Wanted(self.wish.level, self.wish.contains)


def tail(house: House, who: Identity, asked: Mapping[str, object]) -> Tail:
    """Return what somebody asks to follow: a bot's log by its name, or that of the server. Raises ProblemError."""
    try:
        wish = LogWish.model_validate(asked)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise ProblemError(422, f"The field {field} of a log that is to be followed does not fit.") from None
    if wish.log is None:
        _SERVERS.allow(house, who)
        path = house.userdir / SERVED
    else:
        path = house.runs.get(wish.log).folder / LOG
    return Tail(wish, path, wish.file, wish.since)


class LogNews:
    """What came to the logs that are followed, as far as was looked."""

    def __init__(self) -> None:
        self._marks: dict[Path, tuple[str, int]] = {}
        self._pieces: OrderedDict[tuple[object, ...], tuple[Since, str] | None] = OrderedDict()

    def look(self, paths: Iterable[Path]) -> bool:
        """Look how logs stand; say whether any stands otherwise."""
        before, self._marks = self._marks, {path: logbook.mark(path) for path in set(paths)}
        return before != self._marks

    def since(self, of: Tail) -> tuple[Since, str] | None:
        """Return what came after a tail's place, the lines as JSON too; None where the log must be read anew."""
        stands = self._marks.get(of.path)
        if stands is not None and of.seen == stands:
            return Since(of.file, of.at, []), "[]"
        stands = stands or logbook.mark(of.path)
        key = (of.path, stands, of.file, of.at, of.wanted)
        if key not in self._pieces:
            found = logbook.since(of.path, of.file, of.at, of.wanted)
            self._pieces[key] = found and (found, _ITEMS.dump_json(found.items).decode())
            if len(self._pieces) > _KEPT:
                self._pieces.popitem(last=False)
        piece = self._pieces[key]
        if piece is not None and (piece[0].file, piece[0].end) == (of.file, of.at):
            of.seen = stands
        return piece


__all__ = ["LogNews", "Tail", "tail"]

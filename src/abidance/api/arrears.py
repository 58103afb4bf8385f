"""Deeds that do not wait for the audit log: done though it cannot be written, alarmed, written once it can be.

They are those that take risk or rights away, such as the kill switch. Everything else is refused meanwhile. What is
owed stands on a slate, too, so that the next server pays what a killed one could not.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from abidance.api.slate import SLATE, Debt, Line, Slate
from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError
from abidance.security.audit import Audit

BEAT, PATIENCE = 1.0, 1.0
"""Seconds between tries to write what is owed; and for which a deed waits for a disk that does not answer."""
_KEPT = 1_000
_NEWEST = 1_000
"""Lines of the log among which a debt is looked for that was paid by a server that then had no time to strike it."""


class Alarm(NamedTuple):
    """What people are told of a deed that is not in the audit log; `ts` is in ms UTC."""

    ts: int
    run: str
    text: str


class Arrears:
    """What an audit log is owed, in the order in which it was done."""

    def __init__(self, audit: Audit, auditor: Executor, now: Callable[[], float]) -> None:
        self._audit = audit
        self._auditor = auditor
        self._now = now
        self._slate = Slate(audit.path.with_name(SLATE))
        self._paying = threading.Lock()
        self.alarms: deque[Alarm] = deque(maxlen=_KEPT)
        self._owed = deque(self._left())

    def __len__(self) -> int:
        return len(self._owed)

    async def write(self, line: Line) -> None:
        """Write a deed down, or owe it to the log; this returns within PATIENCE and does not raise."""
        moment = int(self._now() * 1000)
        debt = Debt(moment, line)
        writing = asyncio.get_running_loop().run_in_executor(self._auditor, self._write_or_owe, debt)
        writing.add_done_callback(partial(self._written, debt))
        done, _ = await asyncio.wait({writing}, timeout=PATIENCE)
        if not done:
            self._alarm(moment, line, "the disk does not answer")

    def _left(self) -> list[Debt]:
        """Return what another server left behind, and alarm it once more."""
        there, newest = self._slate.read(), []
        with suppress(OSError):  # a log that cannot be read either keeps no server from starting
            newest = self._audit.last(_NEWEST) if there else []
        known = {(each.request_id, each.action, each.data.get("done")) for each in newest}
        paid = [each for each in there if each.mark in known]
        left = [each for each in there if each.mark not in known]
        if paid:
            self._slate.strike(paid)
        for each in left:
            self._alarm(*each, "the server ended before it could be")
        return left

    def _write_or_owe(self, debt: Debt) -> None:
        try:
            self._write(debt.line, debt.line.data)
        except AbidanceError:
            self._slate.put(debt)
            raise

    def _written(self, debt: Debt, writing: "asyncio.Future[None]") -> None:
        if writing.cancelled():
            self._owed.append(debt)
        elif (error := writing.exception()) is not None:
            self._owed.append(debt)
            self._alarm(*debt, error.found if isinstance(error, AbidanceError) else str(error))

    def _alarm(self, moment: int, line: Line, reason: str) -> None:
        told = f"{line.action} of {line.target} by {line.actor} was let through and is not in the audit log: {reason}"
        self.alarms.append(
            Alarm(moment, line.run, f"{told.rstrip('.')}. It is written as soon as it can be.")
        )
        logger("api").error("deed_not_audited", **line._asdict(), reason=reason)

    def _write(self, line: Line, data: dict[str, Any]) -> None:
        self._audit.write(
            line.actor, line.action, line.target, data, address=line.address, request_id=line.request_id
        )

    def pay(self) -> None:
        """Write what is owed, as far as that can be done now; each line says when (`done`, ms UTC) it was done."""
        if not self._paying.acquire(timeout=PATIENCE):
            return  # somebody waits for the disk already
        paid: list[Debt] = []
        try:
            while self._owed:
                moment, line = self._owed[0]
                try:
                    self._write(line, line.data | {"done": moment})
                except AbidanceError:
                    return
                paid.append(self._owed.popleft())
                logger("api").warning("deed_audited_late", action=line.action, target=line.target)
        finally:
            if paid:
                self._slate.strike(paid)
            self._paying.release()

    async def work(self) -> None:
        """Write what is owed for ever."""
        while True:
            await asyncio.sleep(BEAT)
            if self._owed:
                await asyncio.get_running_loop().run_in_executor(self._auditor, self.pay)


__all__ = ["Arrears", "Line"]

"""Deeds that do not wait for the audit log: done though it cannot be written, alarmed, written once it can be.

They are those that take risk or rights away, such as the kill switch. Everything else is refused meanwhile.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError
from abidance.security.audit import Audit

BEAT, PATIENCE = 1.0, 1.0
"""Seconds between tries to write what is owed; and for which a deed waits for a disk that does not answer."""
_KEPT = 1_000


class Line(NamedTuple):
    """What the audit log is to say of a deed; `run` is the one that it was about, if any."""

    actor: str
    action: str
    target: str
    data: dict[str, Any]
    address: str
    request_id: str
    run: str = ""


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
        self._owed: deque[tuple[int, Line]] = deque()
        self._paying = threading.Lock()
        self.alarms: deque[Alarm] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._owed)

    async def write(self, line: Line) -> None:
        """Write a deed down, or owe it to the log; this returns within PATIENCE and does not raise."""
        moment = int(self._now() * 1000)
        writing = asyncio.get_running_loop().run_in_executor(self._auditor, self._write, line, line.data)
        writing.add_done_callback(partial(self._written, moment, line))
        done, _ = await asyncio.wait({writing}, timeout=PATIENCE)
        if not done:
            self._alarm(moment, line, "the disk does not answer")

    def _written(self, moment: int, line: Line, writing: "asyncio.Future[None]") -> None:
        if writing.cancelled():
            self._owed.append((moment, line))
        elif (error := writing.exception()) is not None:
            self._owed.append((moment, line))
            self._alarm(moment, line, error.found if isinstance(error, AbidanceError) else str(error))

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
        try:
            while self._owed:
                moment, line = self._owed[0]
                try:
                    self._write(line, line.data | {"done": moment})
                except AbidanceError:
                    return
                self._owed.popleft()
                logger("api").warning("deed_audited_late", action=line.action, target=line.target)
        finally:
            self._paying.release()

    async def work(self) -> None:
        """Write what is owed for ever."""
        while True:
            await asyncio.sleep(BEAT)
            if self._owed:
                await asyncio.get_running_loop().run_in_executor(self._auditor, self.pay)


__all__ = ["Arrears", "Line"]

"""The one door through which a running node takes orders from outside: a Unix socket in the run's folder.

A thread reads requests and hands them over; the node takes them between two events, with `drain`, so that nothing of
the engine is touched elsewhere. Only the user who runs the node may open the socket. One request and one answer a
connection, each one line of JSON. A request that bears the id of an earlier one gets that one's answer again: nothing
is done twice, in a process that begins later neither, for what was done is on record with its id.
"""

import os
import signal
import socket
import stat
import struct
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec

from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError, UsageError
from abidance.model.event import ControlAction
from abidance.run.killing import Extent

DOOR = "door.sock"
LONGEST = 1 << 16
"""Bytes of one request or answer."""
PATIENCE = 5.0
"""Seconds that either side waits for the other."""
_KEPT, _QUEUED = 1_000, 64
_BETWEEN = 0.02
"""Seconds between two looks at whether the switch was seen."""
_STUCK = "End its process (kill -9 {}) and start it again: it starts killed, and takes back what rests before all else."


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="wish"):
    """An order to a running node: what a Control event says, less its time. `id` may be empty."""

    action: ControlAction
    actor: str
    strategy: str = ""
    values: dict[str, float | int | str | bool] = {}
    id: str = ""


class Leave(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="leave"):
    """The wish that a node's process ends, as by Ctrl-C: its record is complete, and a start goes on from there."""

    actor: str


class Heed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="heed"):
    """The question whether the node has seen its kill switch as far as `extent`.

    With `is_unwritten` no disk took the switch: the node is told by this.
    """

    extent: Extent
    is_unwritten: bool = False


class Stay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stay"):
    """The wish to hear nothing but the end: the connection lasts as long as the node does."""


class Refusal(msgspec.Struct, frozen=True):
    """Why risk refused a request that came of a wish."""

    code: str
    reason: str


class Word(msgspec.Struct, frozen=True):
    """Something that people are told because of a wish."""

    level: str
    code: str
    text: str
    strategy: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What came of a wish: its place in the journal, the orders that left, refusals, notices; or an error."""

    seq: int = 0
    orders: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notices: tuple[Word, ...] = ()
    error: str = ""
    remedy: str = ""


class NotRunningError(UsageError):
    """No node runs in a folder, or it ended before it took what was asked."""


Take = Callable[[Wish], Answer]


class Answers:
    """What was answered to requests with an id: the newest thousand of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Answer] = OrderedDict()

    def of(self, id: str) -> Answer | None:
        """Return what was answered to the request of this id."""
        return self._kept.get(id)

    def keep(self, id: str, answer: Answer) -> None:
        """Remember an answer, so that the same request is not obeyed twice; without an id nothing is the same."""
        if id:
            self._kept[id] = answer
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


class _Waiting:
    """A wish on its way through the node."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.answer: Answer | None = None
        self.done = threading.Event()

    def give(self, answer: Answer) -> None:
        """Let whoever waits go on."""
        self.answer = answer
        self.done.set()


class Heeding(Protocol):
    """The kill switch of a node as its door has it, in threads of its own."""

    def heed(self, extent: Extent) -> bool:
        """Say whether the node has seen it thrown as far as that."""
        ...

    def told(self, extent: Extent) -> None:
        """Throw it although no disk took it."""
        ...


class Door:
    """The socket of one running node; `wake` is called (from another thread) when something waits.

    `answers` are those to what is on record, and to what is taken from now on.
    """

    def __init__(
        self,
        folder: Path,
        wake: Callable[[], object] | None = None,
        end: Callable[[], object] = lambda: os.kill(os.getpid(), signal.SIGTERM),
        answers: Answers | None = None,
        switch: Heeding | None = None,
    ) -> None:
        self.path = folder / DOOR
        self._switch = switch
        self.wake = wake
        self._end = end
        self._waiting: deque[_Waiting] = deque()
        self._answers = Answers() if answers is None else answers
        self._closing = False
        self._staying: set[socket.socket] = set()
        self._socket = _listen(self.path)
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def drain(self, take: Take) -> None:
        """Take what waits; call it between two events. Costs nothing when nothing waits."""
        while self._waiting:
            waiting = self._waiting.popleft()
            wish = waiting.wish
            answer = self._answers.of(wish.id)
            if answer is None:
                answer = Answer(error="The node failed at it.", remedy="Look at its log and its journal.")
                try:
                    answer = take(wish)
                finally:
                    self._answers.keep(wish.id, answer)
                    waiting.give(answer)
            else:
                waiting.give(answer)

    def close(self) -> None:
        """Close the door; whoever waits is told that the node has stopped."""
        if self._closing:
            return
        self._closing = True
        with suppress(OSError), _reaching(self.path) as address, socket.socket(socket.AF_UNIX) as own:
            own.connect(address)  # lets `accept` return
        self._thread.join(PATIENCE)
        self._socket.close()
        with suppress(OSError):
            self.path.unlink()
        for staying in tuple(self._staying):
            with suppress(OSError):
                staying.shutdown(socket.SHUT_RDWR)
        while self._waiting:
            waiting = self._waiting.popleft()
            waiting.give(Answer(error="The node has stopped.", remedy="Start it, then try again."))

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._closing:
                connection.close()
                return
            if threading.active_count() > _QUEUED or not _is_own(connection):
                connection.close()
                continue
            threading.Thread(target=self._talk, args=(connection,), name="door", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE)
            line = _read(connection)
            answer = self._answer(line) if line else None
            if isinstance(answer, Stay):
                self._stay(connection)
            elif answer is not None:
                connection.sendall(msgspec.json.encode(answer) + b"\n")

    def _stay(self, connection: socket.socket) -> None:
        """Hold a connection until either side ends it."""
        connection.settimeout(None)
        self._staying.add(connection)
        try:
            if not self._closing:
                connection.recv(1)
        finally:
            self._staying.discard(connection)

    def _answer(self, line: bytes) -> Answer | Stay:
        try:
            wish = msgspec.json.decode(line, type=Wish | Leave | Stay | Heed)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Answer(error=f"The request cannot be read ({error}).", remedy="See docs/api.md.")
        if isinstance(wish, Stay):
            return wish
        if isinstance(wish, Leave):
            logger("door").info("asked_to_leave", actor=wish.actor)
            self._end()
            return Answer()
        if isinstance(wish, Heed):
            return self._heeded(wish)
        waiting = _Waiting(wish)
        self._waiting.append(waiting)
        if self.wake is not None:
            with suppress(RuntimeError):
                self.wake()
        if not waiting.done.wait(PATIENCE - 1):
            with suppress(ValueError):  # taken back, unless it is being handled at this moment
                self._waiting.remove(waiting)
                return Answer(error="The node is busy.", remedy="Nothing was done. Try again in a moment.")
            waiting.done.wait(PATIENCE)
        return waiting.answer or Answer(
            error="The node took the request and has not answered.",
            remedy="Look at its journal before trying again.",
        )

    def _heeded(self, asked: Heed) -> Answer:
        """Wait until the node has seen its switch; a node that stands still is told of by this thread."""
        until = time.monotonic() + PATIENCE
        if self._switch is not None and asked.is_unwritten:
            self._switch.told(asked.extent)
        while self._switch is None or not self._switch.heed(asked.extent):
            if time.monotonic() > until or self._closing:
                return Answer(
                    error="The bot has not heeded its kill switch.", remedy=_STUCK.format(os.getpid())
                )
            time.sleep(_BETWEEN)
        return Answer()


def is_answering(folder: Path) -> bool:
    """Say whether a node listens at the door of a run's folder."""
    path = folder / DOOR
    if not path.exists():
        return False
    try:
        with _reaching(path) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(0.2)
            connection.connect(address)
    except OSError:
        return False
    return True


class Presence:
    """Whether a node runs in a folder, known at the moment of asking: a connection is held that ends with the node.

    Asking costs neither side anything while the connection lasts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line: socket.socket | None = None

    def __bool__(self) -> bool:
        if self._line is not None:
            try:
                self._line.recv(1)
            except BlockingIOError:
                return True
            except OSError:
                pass  # it has ended
            self.close()
        return self._begin()

    def _begin(self) -> bool:
        if not (path := self._folder / DOOR).exists():
            return False
        line = socket.socket(socket.AF_UNIX)
        line.setblocking(False)
        try:
            with _reaching(path) as address:
                line.connect(address)
            line.send(msgspec.json.encode(Stay()) + b"\n")
        except BlockingIOError:
            line.close()
            return True  # somebody listens who has no time now
        except OSError:
            line.close()
            return False
        self._line = line
        return True

    def close(self) -> None:
        """Let go of the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None


def ask(folder: Path, wish: Wish) -> Answer:
    """Hand a wish to the node that runs in `folder` and return its answer; it blocks for some seconds at most.

    Raises NotRunningError when no node runs there, and AbidanceError when it does not answer.
    """
    return _send(folder, wish)


def leave(folder: Path, actor: str) -> Answer:
    """Ask the process of a node to end; raises as `ask` does."""
    return _send(folder, Leave(actor))


def heed(folder: Path, extent: Extent, *, is_unwritten: bool = False) -> Answer:
    """Ask whether a node has seen its kill switch as far as `extent`; it waits for that. Raises as `ask` does.

    A switch that no disk took is told with `is_unwritten`.
    """
    return _send(folder, Heed(extent, is_unwritten), PATIENCE + 1, is_stuck=True)


def _send(
    folder: Path, wish: Wish | Leave | Heed, patience: float = 3 * PATIENCE, *, is_stuck: bool = False
) -> Answer:
    """Hand something over and return its answer; one who `is_stuck` unless he answers in time is to be ended."""
    line = msgspec.json.encode(wish) + b"\n"
    if len(line) > LONGEST:
        raise UsageError(f"A request of {len(line)} bytes is too long.", f"Send at most {LONGEST}.")
    remedy = "Look at its journal before trying again."
    try:
        with _reaching(folder / DOOR) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(patience)
            connection.connect(address)
            if is_stuck:
                remedy = _STUCK.format(_peer(connection)[0] or "of its process")
            connection.sendall(line)
            answer = _read(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunningError(
            f"The bot in {folder.name} is not running.", "Start it first: nothing trades while it is stopped."
        ) from None
    except OSError as error:
        raise AbidanceError(f"The bot in {folder.name} did not answer ({error}).", remedy) from error
    if not answer:
        raise AbidanceError(f"The bot in {folder.name} did not answer.", remedy)
    return msgspec.json.decode(answer, type=Answer)


def _listen(path: Path) -> socket.socket:
    """Return a listening socket in place of one that a killed node left. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    found = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # nobody else may open it, not even for a moment
    try:
        with _reaching(path) as address:
            found.bind(address)
        path.chmod(0o600)
        found.listen(16)
    except BaseException:
        found.close()
        raise
    finally:
        os.umask(before)
    return found


@contextmanager
def _reaching(path: Path) -> Iterator[str]:
    """Give an address for a socket that fits, however long its path: an address has some hundred bytes."""
    text = str(path)
    if len(os.fsencode(text)) < 100 or not sys.platform.startswith("linux"):
        yield text
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _is_own(connection: socket.socket) -> bool:
    """Say whether the same user, or root, stands at the other end, where the system tells."""
    return _peer(connection)[1] in (None, 0, os.geteuid())


def _peer(connection: socket.socket) -> tuple[int | None, int | None]:
    """Return the process and the user at the other end, None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None, None
    pid, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return pid, user


def _read(connection: socket.socket) -> bytes:
    """Return one line, empty when there is none or it is too long."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            return b""
        data += part
        if len(data) > LONGEST:
            return b""
    return bytes(data)


__all__ = [
    "DOOR", "Answer", "Answers", "Door", "Leave", "NotRunningError", "Presence", "Refusal", "Stay", "Wish", "Word", "ask", "heed", "is_answering", "leave",
]  # fmt: skip

"""Who looks costs a bot nothing: with 50 clients who poll the API it does, call by call, what it does alone.

The causes by which clients could slow an engine are counted, not timed: by how much it does in the end is told by
`benchmarks/api_engine.py`. What is left is the processor that the server itself takes.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import aiohttp
import pytest

from abidance.security.database import USERS, open_database
from abidance.security.roles import Role
from abidance.security.sessions import Tokens
from abidance.security.users import Users
from tests.e2e.program import Program
from tests.e2e.test_serve import serving, until

pytestmark = pytest.mark.e2e
CLIENTS, STEP = 50, "15"
RUN = "/api/v1/runs/bot"
POLLED = (
    "/api/v1/runs", "/api/v1/alerts", "/api/v1/unreadable-runs", RUN, f"{RUN}/orders?limit=100", f"{RUN}/fills?limit=100",
    f"{RUN}/positions", f"{RUN}/risk", f"{RUN}/equity?points=1000", f"{RUN}/strategies", f"{RUN}/refusals",
)  # fmt: skip
_OF_THREADS = ("State", "voluntary", "nonvoluntary")
_SLEEPS = "State:\tS (sleeping)"
ROOT = Path(__file__).parents[2]


class Bot:
    """A bot with real orders that moves only when it is told to (`stepped_bot`)."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._before: dict[str, int] = {}

    def step(self) -> dict[str, int]:
        """Let it live for some seconds of its own time; return what it did meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{STEP}\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        now = {name: told[name] for name in ("orders", "records")} | told["calls"]
        did = {name: count - self._before.get(name, 0) for name, count in now.items()}
        self._before = now
        return did

    def seen(self) -> dict[str, Any]:
        """Return what the system counts of its process: of each thread how often it ran, reads, writes, open files."""
        place = Path(f"/proc/{self._process.pid}")
        found: dict[str, Any] = {
            task.name: [
                line for line in (task / "status").read_text().splitlines() if line.startswith(_OF_THREADS)
            ]
            for task in (place / "task").iterdir()
        }
        return found | {"io": (place / "io").read_text(), "files": len(list((place / "fd").iterdir()))}

    def at_rest(self) -> dict[str, Any]:
        """Return the same once all its threads sleep: then it waits for its next step."""

        def found() -> dict[str, Any] | None:
            before = self.seen()
            sleeps = all(_SLEEPS in told for name, told in before.items() if name.isdigit())
            return before if sleeps and before == self.seen() else None

        return until(found)  # type: ignore[no-any-return]


@contextmanager
def living(program: Program) -> Iterator[Bot]:
    """Start a bot; all that are started so do the same."""
    folder = program.userdir / "runs"
    folder.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.stepped_bot", str(folder)],
        cwd=ROOT,
        env=program.environ | {"PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Bot(process)
        finally:
            process.kill()


def admitted(userdir: Path) -> list[str]:
    """Return a token for each client."""
    userdir.mkdir(parents=True, exist_ok=True)
    with closing(open_database(userdir / USERS)) as database:
        Users(database).add("looker", "four unrelated words", "", Role.VIEWER)
        tokens = Tokens(database)
        return [tokens.make("looker", f"client{number}", Role.VIEWER, 1)[0] for number in range(CLIENTS)]


def poll(base: str, tokens: list[str], over: Event | None = None) -> dict[int, int]:
    """Let each client ask for everything, once or until it is over; return how often what was answered."""
    statuses: dict[int, int] = {}

    async def ask(session: aiohttp.ClientSession, token: str) -> None:
        for path in POLLED:
            async with session.get(f"{base}{path}", headers={"Authorization": f"Bearer {token}"}) as answer:
                await answer.read()
            statuses[answer.status] = statuses.get(answer.status, 0) + 1

    async def ask_all() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.gather(*(ask(session, token) for token in tokens))
                if over is None or over.is_set():
                    return

    asyncio.run(ask_all())
    return statuses


def files(userdir: Path) -> dict[str, tuple[int, int]]:
    """Return all that lies there, less where it is noted, without waiting for the disk, when a token was last used."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in userdir.rglob("*")
        if path.is_file() and not path.name.startswith(USERS)
    }


@pytest.mark.slow
def test_clients_who_poll_wake_a_bot_for_nothing_and_add_no_call_to_any_of_its_steps(
    tmp_path: Path,
) -> None:
    alike = Program(tmp_path / "alone"), Program(tmp_path / "asked")  # in places whose names are as long
    userdir = alike[1].userdir
    tokens = admitted(userdir)
    with living(alike[0]) as alone, living(alike[1]) as watched, ThreadPoolExecutor(1) as clients:
        assert alone.step()["orders"] == watched.step()["orders"]  # the first one imports
        ordered = 0
        with serving(alike[1]) as (base, _):
            until(lambda: poll(base, tokens[:1]) == {200: len(POLLED)})
            alone.step(), watched.step()  # that the server came to the door was some calls, once
            for _ in range(3):
                before, there = watched.at_rest(), files(userdir)
                assert poll(base, tokens) == {200: CLIENTS * len(POLLED)}
                assert watched.seen() == before
                assert files(userdir) == there

                over = Event()
                polling = clients.submit(poll, base, tokens, over)
                try:
                    did = watched.step()
                finally:
                    over.set()
                assert set(polling.result(60)) == {200}
                assert did == alone.step()
                ordered += did["orders"]
    assert ordered

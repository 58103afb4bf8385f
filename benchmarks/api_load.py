"""What the API costs and how fast it answers: reads over a long run, and many streams.

    python benchmarks/api_load.py reads   --fills 1000000      # p99 of each read, memory of the server
    python benchmarks/api_load.py streams --clients 200        # who follows a bot that is busy, on one core

Each starts `abidance serve` as a process of its own over a user directory of its own and prints one JSON line.
`reads` writes a journal of so many round trips first (an order, its acceptance and its fill each minute, a bar each
hour) and asks for everything that can be read (`api_reads.py`), as an admin; of each route the first answer, which may
load something, is told apart. `streams` pins the server to one core
(`--core`) and lets a bot write ten steps a second; a client lost something when a number is missing. `poll` asks a
server that runs already, as dashboards do, until it is interrupted: a part of `api_engine.py`. `chrt -r 10` before it
keeps neighbours out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from api_reads import BEGAN, DONE, furnish, write_audit, write_log
from api_reads import reads as every_read
from yarl import URL

from abidance.api.house import SERVED
from abidance.journal.record import Codec, RunHeader, frame, opening
from abidance.model.command import Submit
from abidance.model.event import BalanceChanged, BarSlice, Control, ControlAction, OrderAccepted, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.market import Bar
from abidance.model.order import Fill, OrderRequest, Purpose, Side
from abidance.model.outcome import Approved, Decided, Recorded
from abidance.run.bot import JOURNAL, LOG
from abidance.run.config import load
from abidance.security.audit import AUDIT

MB = 1_000_000
SERVED_AT_MOST = 49 * MB
"""Bytes of the server's own log: it begins another one soon after."""
ID, NAME, MINUTE = "BTC/USDT@BINANCE", "EmaCross", 60 * 10**9
START = BEGAN * 10**9
POLLED = ("", "/orders?limit=100", "/fills?limit=100", "/positions", "/risk", "/equity?points=1000")


# --- a bot that traded


class Bot:
    """Writes the journal of a run that trades once a minute; `step` returns the records of the next minute."""

    def __init__(self, path: Path) -> None:
        self.instrument = Instrument(ID, Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5))
        config = load(
            [], {"instruments": [ID], "strategies": [{"strategy": NAME}], "name": "long"}, {}
        ).ready()
        plain = config.model_dump(mode="json")
        header = RunHeader("r1", "long", "paper", START, "bench", "hash", plain, (self.instrument,))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._codec = Codec((self.instrument,))
        first, mark = opening(header)
        self._crc, self.seq, self.number = mark.crc, 0, 0
        self._file = path.open("wb")
        self._file.write(first)
        self._put(BalanceChanged(START, "BINANCE", "USDT", Decimal(10**9), "opening"))
        self._put(Control(START, ControlAction.START, actor="bench"))

    def step(self) -> None:
        """Write a minute: an order that opens or closes, what became of it, and a bar when an hour is over."""
        at = self.number
        now = START + (at + 1) * MINUTE
        self.number += 1
        if at % 60 == 0:
            bar = Bar(ID, "1h", now - 60 * MINUTE, 100.0, 107.0, 99.0, 100.0 + at % 7, 1.0)
            self._put(BarSlice(now, (bar,)))
        side, purpose = (Side.SELL, Purpose.SIGNAL) if at % 2 else (Side.BUY, Purpose.ENTRY)
        request = OrderRequest(
            NAME, ID, side, Decimal(1), purpose=purpose, reduce_only=bool(at % 2), decision_price=Decimal(100)
        )
        id = f"{at:032x}"
        self._put(Decided(now, (request,), (Approved(request),), (Submit(id, request, now),), ()))
        self._put(OrderAccepted(now, id))
        price = Decimal(100 + at % 7)
        self._put(
            OrderFilled(
                now, Fill(str(at), id, ID, NAME, side, Decimal(1), price, Decimal("0.1"), "USDT", now)
            )
        )

    def _put(self, event: Recorded) -> None:
        self.seq += 1
        framed, self._crc = frame(self._codec.encode(self.seq, False, event), self._crc)
        self._file.write(framed)

    def flush(self) -> None:
        """Let readers see it."""
        self._file.flush()


# --- the server


@contextlib.contextmanager
def served(userdir: Path, core: int | None = None, *, demo: bool = True) -> Iterator[tuple[str, int]]:
    """Run the API over a user directory; yield its address and its process id."""
    command = [sys.executable, "-m", "abidance", "serve", "--port", "0", "--userdir", str(userdir)]
    command += ["--demo"] if demo else []
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "http://" in line:
                break
        else:
            raise SystemExit("The server did not start.")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield "http://" + line.split("http://")[1].split()[0].rstrip("/."), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


async def ready(session: aiohttp.ClientSession, base: str) -> None:
    """Wait until all that is on record has been read."""
    while True:
        async with session.get(f"{base}/ready") as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(0.2)


def memory_mb(pid: int) -> dict[str, float]:
    """Return the resident memory of a process, now and at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in lines
        if line.startswith(("VmRSS", "VmHWM"))
    }
    return {"now": round(found["VmRSS"], 1), "highest": round(found["VmHWM"], 1)}


def processor_s(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prefer(priority: int, *processes: int) -> None:
    """Let processes go ahead of all others, when a priority is given; it takes the right to (`chrt` does the same)."""
    for process in processes if priority else ():
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(priority))


def ranked(seconds: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the highest of some durations, in ms."""
    found = sorted(seconds)
    at = min(len(found) - 1, int(len(found) * 0.99))
    return {
        "p50_ms": round(found[len(found) // 2] * 1e3, 2),
        "p99_ms": round(found[at] * 1e3, 2),
        "max_ms": round(found[-1] * 1e3, 2),
    }


# --- reads


async def read_all(
    base: str, pid: int, given: argparse.Namespace, secret: str, began: float
) -> dict[str, Any]:
    """Ask for everything that can be read so often, one request after the other, at forty a second."""
    fills, headers = given.fills, {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await ready(session, base)
        took = time.monotonic() - began
        prefer(given.priority, os.getpid(), pid)
        async with session.get(f"{base}/api/v1/openapi.json") as answer:
            middle = given.log_mb * MB // 2, max(2, given.audit_lines // 2)
            paths = [path for path in every_read(await answer.json(), fills, *middle) if given.only in path]
        found: dict[str, Any] = {}
        for path in paths:
            spent = []
            for _ in range(given.count):
                at = time.perf_counter()
                async with session.get(URL(f"{base}{path}", encoded=True)) as answer:
                    told = await answer.read()
                    assert answer.status == 200, (path, answer.status, told[:500])
                spent.append(time.perf_counter() - at)
                await asyncio.sleep(max(0.0, 0.025 - spent[-1]))
            found[path] = {"first_ms": round(spent[0] * 1e3, 2)} | ranked(spent[1:])
    return {
        "fills": fills,
        "log_mb": given.log_mb,
        "audit_lines": given.audit_lines,
        "caught_up_after_s": round(took, 1),
        "memory_mb": memory_mb(pid),
        "worst_p99_ms": max(each["p99_ms"] for each in found.values()),
        "routes": len({path.partition("?")[0] for path in paths}),
        "reads": found,
    }


def reads(given: argparse.Namespace) -> dict[str, Any]:
    """Measure reads over a run of so many fills."""
    with tempfile.TemporaryDirectory() as made:
        folder = given.userdir or Path(made)
        path = folder / "runs" / "long" / "journal.abj"
        if not path.exists():
            bot = Bot(path)
            for _ in range(given.fills):
                bot.step()
            bot.flush()
        if given.log_mb:
            write_log(path.with_name(LOG), given.log_mb * MB)
            write_log(folder / SERVED, min(given.log_mb * MB, SERVED_AT_MOST))
        if given.audit_lines and not (folder / AUDIT).exists():
            write_audit(folder / AUDIT, given.audit_lines)
        secret = furnish(folder)
        record = Bot(folder / "backtests" / DONE / JOURNAL)
        for _ in range(2_000):
            record.step()
        record.flush()
        began = time.monotonic()
        with served(folder, demo=False) as (base, pid):
            return asyncio.run(read_all(base, pid, given, secret, began))


# --- streams


async def follow(
    session: aiohttp.ClientSession, base: str, seen: dict[str, Any], until: asyncio.Event
) -> None:
    """Follow the run, and note what comes and what is missing."""
    async with session.ws_connect(f"{base}/api/v1/stream", headers={"Origin": base}) as socket:
        await socket.send_json({"type": "subscribe", "run": "long", "run_id": None, "since": None})
        last = None
        seen["open"] += 1
        while not until.is_set():
            try:
                message = await asyncio.wait_for(socket.receive(), 5.0)
            except TimeoutError:
                seen["silent"] += 1
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                seen["closed"] += 1
                return
            told = json.loads(message.data)
            if told["type"] != "changes":
                seen["resets"] += told["type"] == "reset"
                continue
            now = time.time()
            for each in told["items"]:
                if last is not None and each["number"] != last + 1:
                    seen["missing"] += 1
                last = each["number"]
                if each["kind"] == "fill" and (made := seen["made"].get(each["data"]["id"])) is not None:
                    seen["delays"].append(now - made)
        seen["last"].append(last)


async def stream_all(base: str, pid: int, bot: Bot, given: argparse.Namespace) -> dict[str, Any]:
    """Let so many clients follow a run that goes on."""
    seen: dict[str, Any] = {
        "open": 0, "missing": 0, "resets": 0, "silent": 0, "closed": 0, "made": {}, "delays": [], "last": [],
    }  # fmt: skip
    until = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await ready(session, base)
        clients = []
        for _ in range(given.clients):
            clients.append(asyncio.ensure_future(follow(session, base, seen, until)))
            await asyncio.sleep(0.03)  # an address may ask fifty times a second
        while seen["open"] < given.clients:  # noqa: ASYNC110 - a benchmark, not a program
            await asyncio.sleep(0.1)
        before, began = processor_s(pid), time.monotonic()
        while time.monotonic() - began < given.seconds:
            seen["made"][str(bot.number)] = time.time()
            bot.step()
            bot.flush()
            await asyncio.sleep(0.1)
        used = (processor_s(pid) - before) / (time.monotonic() - began)
        await asyncio.sleep(1.5)
        until.set()
        await asyncio.gather(*clients)
    return {
        "clients": given.clients,
        "seconds": given.seconds,
        "share_of_one_core": round(used, 3),
        "fill_to_client": ranked(seen["delays"]),
        "fills_told": len(seen["delays"]),
        "fills_expected": len(seen["made"]) * given.clients,
        **{name: seen[name] for name in ("missing", "resets", "silent", "closed")},
        "same_end": len(set(seen["last"])) == 1 and len(seen["last"]) == given.clients,
        "memory_mb": memory_mb(pid),
    }


def streams(given: argparse.Namespace) -> dict[str, Any]:
    """Measure stream clients on a server that has one core."""
    with tempfile.TemporaryDirectory() as folder:
        bot = Bot(Path(folder) / "runs" / "long" / "journal.abj")
        for _ in range(1_000):
            bot.step()
        bot.flush()
        with served(Path(folder), given.core) as (base, pid):
            return asyncio.run(stream_all(base, pid, bot, given))


# --- who looks


async def poll_all(
    base: str, run: str, secrets: list[str], told: dict[str, int], over: threading.Event
) -> None:
    """Ask as a dashboard does: each client once a second, one thing after the other, with a token of its own."""

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(number / len(secrets))
        headers = {"Authorization": f"Bearer {secrets[number]}"}
        turn = number
        while not over.is_set():
            path, turn = POLLED[turn % len(POLLED)], turn + 1
            async with session.get(f"{base}/api/v1/runs/{run}{path}", headers=headers) as answer:
                await answer.read()
                told[str(answer.status)] = told.get(str(answer.status), 0) + 1
            await asyncio.sleep(1.0)

    async with aiohttp.ClientSession() as session:
        await ready(session, base)
        await asyncio.gather(*(ask(session, number) for number in range(len(secrets))))


def poll(given: argparse.Namespace) -> dict[str, Any]:
    """Poll a server until interrupted; return how often it answered with which status."""
    told: dict[str, int] = {}
    over = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: over.set())
    asyncio.run(poll_all(given.base, given.run, given.tokens.read_text().split(), told, over))
    return told


def main() -> int:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("reads")
    one.add_argument("--fills", type=int, default=1_000_000)
    one.add_argument("--count", type=int, default=200)
    one.add_argument(
        "--log-mb", type=int, default=0, help="MB of the bot's log; the server's own is 49 at most."
    )
    one.add_argument("--audit-lines", type=int, default=0, help="Lines of the audit log.")
    one.add_argument("--only", default="", help="Only the reads whose path holds this.")
    one.add_argument("--userdir", type=Path, help="Where the run is kept for another time.")
    one.add_argument("--priority", type=int, default=0, help="Measure at this real-time priority (1 to 99).")
    one = kinds.add_parser("streams")
    one.add_argument("--clients", type=int, default=200)
    one.add_argument("--seconds", type=float, default=60.0)
    one.add_argument("--core", type=int, default=0)
    one = kinds.add_parser("poll")
    one.add_argument("--base", required=True)
    one.add_argument("--run", default="long")
    one.add_argument(
        "--tokens", type=Path, required=True, help="A file with one token a line: so many clients."
    )
    given = parser.parse_args()
    print(json.dumps({"reads": reads, "streams": streams, "poll": poll}[given.kind](given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

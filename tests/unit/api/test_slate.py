"""What is owed to the audit log outlives a server that is killed, and is paid once."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abidance.api.house import House
from abidance.api.slate import ROOM, SLATE, Debt, Line, Slate
from abidance.market.store import open_tables
from tests.unit.api.conftest import QUICK, Clock

KILL = Line("ada", "control.kill", "demo", {"values": {"flatten": True}}, "127.0.0.1", "r1", "demo")
LEFT = Line("ada", "logout", "", {}, "127.0.0.1", "r2")


def opened(folder: Path, clock: Clock) -> House:
    return House(folder, open_tables(folder / "data"), passwords=QUICK, now=clock)


def owing(folder: Path, clock: Clock) -> House:
    """Return a house that could not write down two deeds."""
    made = opened(folder, clock)
    made.audit.path.mkdir()
    for line in (KILL, LEFT):
        asyncio.run(made.arrears.write(line))
    assert len(made.arrears) == 2
    return made


def test_what_a_killed_server_owed_is_written_by_the_next_one_in_its_order(
    tmp_path: Path, clock: Clock
) -> None:
    owing(tmp_path, clock)  # and is gone, without a word
    done = int(clock() * 1000)
    clock.seconds += 60
    after = opened(tmp_path, clock)
    alarms = [each.text for each in after.arrears.alarms]

    after.audit.path.rmdir()
    after.arrears.pay()

    lines = [(each.action, each.actor, each.data["done"]) for each in reversed(after.audit.last(9))]
    assert lines == [("control.kill", "ada", done), ("logout", "ada", done)]
    assert after.audit.verify().problem == ""
    assert "control.kill of demo by ada" in alarms[0]
    assert Slate(tmp_path / SLATE).read() == []
    assert len(opened(tmp_path, clock).arrears) == 0


def test_a_server_that_is_killed_after_it_paid_and_before_it_struck_pays_no_second_time(
    tmp_path: Path, clock: Clock
) -> None:
    first = owing(tmp_path, clock)
    kept = (tmp_path / SLATE).read_bytes()
    first.audit.path.rmdir()
    first.arrears.pay()
    (tmp_path / SLATE).write_bytes(kept)

    after = opened(tmp_path, clock)
    after.arrears.pay()

    assert [each.action for each in after.audit.last(9)] == ["logout", "control.kill"]
    assert Slate(tmp_path / SLATE).read() == []


def test_what_comes_while_debts_are_paid_stays_on_the_slate(tmp_path: Path) -> None:
    slate = Slate(tmp_path / SLATE)
    slate.read()
    debts = [Debt(at, KILL._replace(request_id=str(at))) for at in range(3)]
    for each in debts:
        slate.put(each)

    slate.strike(debts[:2])

    assert slate.read() == debts[2:]
    assert (tmp_path / SLATE).stat().st_size == ROOM


@pytest.mark.parametrize("rest", [b"", b"[1, [", b"nonsense", b"\0\0", b'[1, ["a"]]', b"[]", b"\xff\xfe"])
def test_a_line_that_was_not_finished_takes_none_of_the_others_away(tmp_path: Path, rest: bytes) -> None:
    slate = Slate(tmp_path / SLATE)
    slate.read()
    slate.put(Debt(1, KILL))
    written = slate.path.read_bytes().rstrip(b"\0")
    slate.path.write_bytes((written + rest).ljust(ROOM, b"\0"))

    slate.put(Debt(2, LEFT))

    assert slate.read() == [Debt(1, KILL), Debt(2, LEFT)]


def test_a_disk_that_takes_nothing_stops_no_kill(tmp_path: Path, clock: Clock) -> None:
    made = opened(tmp_path, clock)
    made.audit.path.mkdir()
    (tmp_path / SLATE).unlink()
    (tmp_path / SLATE).mkdir()

    asyncio.run(made.arrears.write(KILL))

    assert len(made.arrears) == 1
    made.audit.path.rmdir()
    made.arrears.pay()
    assert [each.action for each in made.audit.last(9)] == ["control.kill"]


FULL = """
import resource, sys
from pathlib import Path
from abidance.api.slate import ROOM, Debt, Line, Slate
slate = Slate(Path(sys.argv[1]))
slate.read()
resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))  # no file may grow beyond what was taken
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
slate.put(Debt(1, Line("ada", "control.kill", "demo", {}, "", "r")))
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system takes no room beforehand")
def test_room_that_was_taken_beforehand_is_enough_where_no_file_may_grow(tmp_path: Path) -> None:
    path = tmp_path / SLATE

    subprocess.run([sys.executable, "-c", FULL, str(path)], check=True, timeout=60)

    assert [each.line.action for each in Slate(path).read()] == ["control.kill"]
    assert path.stat().st_blocks * 512 >= ROOM

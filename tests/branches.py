"""Say which share of the branches of each room tests take, and fail where it is too small.

`coverage json -o - | python tests/branches.py ROOM...` reads the report that coverage writes.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

LEAST = 95.0
"""Percent of the branches of each room."""


def share(report: Mapping[str, Any], room: str) -> float:
    """Return the percentage of a room's branches that were taken. Raises ZeroDivisionError where none was measured."""
    files = [each["summary"] for path, each in report["files"].items() if f"/{room}/" in path]
    taken, there = (sum(int(each[name]) for each in files) for name in ("covered_branches", "num_branches"))
    return 100.0 * taken / there


def main(rooms: Sequence[str]) -> int:
    """Read a report, tell each room's share, and return the exit code."""
    report = json.load(sys.stdin)
    found = {room: share(report, room) for room in rooms}
    for room, percent in found.items():
        sys.stdout.write(
            f"{room}: {percent:.1f} % of its branches{'' if percent >= LEAST else f', less than {LEAST:g} %'}\n"
        )
    return int(min(found.values()) < LEAST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

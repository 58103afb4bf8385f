"""Whether writing a record waits for a sync that is under way: then a disk that hangs would stop the bot itself.

    python benchmarks/journal_write.py [--seconds 20] [--folder .]

The loop of a bot with real orders writes records; a thread waits for the disk. Here both do so as fast as they can, on
the file system of the folder. One JSON line tells how long syncs took, and writes during and outside of them, in ms.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.event import Timer

PAUSE = 0.0005


def measured(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Write and sync for so long, and return the percentiles."""
    journal = FileJournal(folder / "journal.abj", RunHeader("r", "bench", "live", 0, "1", "c" * 64, {}, ()))
    syncs: list[float] = []
    writes: dict[bool, list[float]] = {True: [], False: []}
    is_syncing, is_over = threading.Event(), threading.Event()

    def sync() -> None:
        while not is_over.wait(4 * PAUSE):
            is_syncing.set()
            began = time.perf_counter()
            journal.put_on_disk()
            syncs.append(time.perf_counter() - began)
            is_syncing.clear()

    thread = threading.Thread(target=sync)
    thread.start()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        during, began = is_syncing.is_set(), time.perf_counter()
        journal.append(Timer(1, "a record as short as they are", "strategy"))
        writes[during].append(time.perf_counter() - began)
        time.sleep(PAUSE)
    is_over.set()
    thread.join()
    journal.close()
    return {"syncs": told(syncs), "writes_during": told(writes[True]), "writes_outside": told(writes[False])}


def told(found: list[float]) -> dict[str, float]:
    """Return how many there were, and their percentiles in ms."""
    ordered = sorted(found) or [0.0]
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    shares = {name: round(ordered[int(len(ordered) * share)] * 1e3, 3) for name, share in at.items()}
    return {"count": len(found), **shares, "max": round(ordered[-1] * 1e3, 3)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        print(json.dumps(measured(Path(place), given.seconds)))

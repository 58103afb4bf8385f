"""Measure Abidance and its peers side by side, and print how they compare.

    python benchmarks/run.py                       # install what is missing, three rounds
    python benchmarks/run.py --heavy               # every workload, every peer
    python benchmarks/run.py --rounds 5 --save     # keep the figures in benchmarks/results/
    python benchmarks/run.py --only single --only sweep

Engines take turns, each run is a process of its own, and no ratio is printed before the
engines have been shown to have done the same work. Standard library only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import cli_start
import peers
from contest import OURS, SCRIPTS, Workload
from harness import REPOSITORY, cache_home
from measure import ScriptFailedError, sample
from report import Measured, as_json, disagreements, report, report_start
from table import markdown
from workloads import WORKLOADS, default_python

START = "start"
USUAL = ("bars", "ticks", START)


def prepare(chosen: list[Workload], heavy: bool, program: Path) -> None:
    """Install the peers of the chosen workloads, write their data, and let `program` import it."""
    peers.install(peers.PEERS["data"])
    for name in dict.fromkeys(each.peer for workload in chosen for each in workload.contestants):
        if name in peers.PEERS and (heavy or not peers.PEERS[name].heavy):
            peers.install(peers.PEERS[name])
    sets = list(dict.fromkeys(name for workload in chosen for name in workload.data))
    if sets:
        subprocess.run([str(peers.PEERS["data"].python), str(SCRIPTS / "data.py"), *sets], check=True)
    homes = dict.fromkeys(name for workload in chosen for name in workload.homes)
    if homes and program.is_file():
        subprocess.run([sys.executable, str(SCRIPTS / "abidance_home.py"), str(program), *homes], check=True)


def take_turns(workload: Workload, rounds: int) -> Measured:
    """Run every engine once a round, another one first each time; an uncounted round comes first."""
    measured = Measured(workload)
    measured.absent = {each.name: each.absence for each in workload.contestants if each.absence}
    running = [each for each in workload.contestants if not each.absence]
    measured.samples = {each.name: [] for each in running}
    rounds = min(rounds, workload.most_rounds)
    for turn in range(rounds + 1):
        label = f"round {turn} of {rounds}" if turn else "warm-up"
        shift = turn % max(len(running), 1)
        for each in running[shift:] + running[:shift]:
            if each.name in measured.failed or (turn == 0 and not each.warms_up):
                continue
            progress(f"{workload.key}: {label}: {each.name}")
            try:
                each.clear()
                taken = sample(each.command, each.read, each.environment)
            except ScriptFailedError as error:
                measured.failed[each.name] = str(error)
                measured.samples.pop(each.name, None)
                continue
            if turn:
                measured.samples[each.name].append(taken)
    progress("")
    return measured


def progress(text: str) -> None:
    """Show on a terminal what is being run."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on, without naming the host."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.is_file():
        lines = described.read_text().splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def code_version() -> str | None:
    """Return the commit that was measured, marked when the tree has changes."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def save(content: dict[str, Any]) -> Path:
    """Write the day's figures: what was measured again replaces what was saved that day, the rest stays."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    path = SCRIPTS / "results" / f"{today}.json"
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.is_file() else {}
    kept = {key: each for key, each in before.get("workloads", {}).items() if "costs" in each}
    content["workloads"] = kept | content["workloads"]
    whole = {"date": today, **before, **content}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(whole))
    return path


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure Abidance and its peers side by side.")
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of every engine (3)")
    parser.add_argument(
        "--only", choices=(*WORKLOADS, START), action="append", help="this part alone; repeatable"
    )
    parser.add_argument(
        "--heavy", action="store_true", help="every workload, and vectorbt, Jesse, freqtrade and hftbacktest"
    )
    parser.add_argument("--baseline", default=OURS, help="the engine that ratios are over (abidance)")
    parser.add_argument("--python", type=Path, default=default_python(), help="the one that holds Abidance")
    parser.add_argument("--offline", action="store_true", help="install and write nothing beforehand")
    parser.add_argument(
        "--save", action="store_true", help="write benchmarks/results/<date>.json and its table"
    )
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return asked


def main() -> int:
    """Measure what is asked for; end with 1 when an engine failed or did other work."""
    asked = arguments()
    wanted = asked.only or ((*WORKLOADS, START) if asked.heavy else USUAL)
    chosen = [WORKLOADS[name](asked.python) for name in wanted if name != START]
    if not asked.offline and chosen:
        prepare(chosen, asked.heavy, asked.python.with_name(OURS))
    here = machine()
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    done = []
    for workload in chosen:
        measured = take_turns(workload, asked.rounds)
        measured.disagreements = disagreements(measured)
        report(measured, asked.baseline)
        done.append(measured)
    code = {"code": code_version()}
    content: dict[str, Any] = {"machine": here}
    content["workloads"] = {each.workload.key: as_json(each, asked.baseline) | code for each in done}
    if START in wanted:
        content["start"] = cli_start.measure(asked.python.with_name("abidance")) | code
        report_start(content["start"])
    if asked.save:
        manifest = cache_home() / "data" / "manifest.json"
        content["data"] = json.loads(manifest.read_text())["sets"] if manifest.is_file() else {}
        print(f"\nSaved: {save(content).relative_to(REPOSITORY)}")
    return 1 if any(each.failed or each.disagreements for each in done) else 0


if __name__ == "__main__":
    sys.exit(main())

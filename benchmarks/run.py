"""Measure Abidance and its peers side by side, and print how they compare.

    python benchmarks/run.py                       # install what is missing, three rounds
    python benchmarks/run.py --rounds 5 --save     # keep the figures in benchmarks/results/
    python benchmarks/run.py --only bars --bars 1000000

Engines take turns, each run is a process of its own, and no ratio is printed before the
engines have been shown to have done the same work. Standard library only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cli_start
import peers
from harness import REPOSITORY, cache_home
from measure import Sample, ScriptFailedError, sample
from workloads import OURS, SCRIPTS, Workload, bars, default_python, ticks

NEAR = 1e-9
TICKS = 1_000_000
ONLY = ("bars", "ticks", "start")


@dataclass
class Measured:
    """The samples of one workload: by engine, one a round."""

    workload: Workload
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)


def prepare(wanted: set[str]) -> None:
    """Install the peers of the chosen workloads and write their data."""
    for name in ("data", "nautilus", "backtesting"):
        if name != "backtesting" or "bars" in wanted:
            peers.install(peers.PEERS[name])
    python = peers.PEERS["data"].python
    subprocess.run([str(python), str(SCRIPTS / "data.py")], check=True)


def take_turns(workload: Workload, rounds: int) -> Measured:
    """Run every engine once a round, another one first each time; an uncounted round comes first."""
    measured = Measured(workload)
    measured.absent = {each.name: each.absence for each in workload.contestants if each.absence}
    running = [each for each in workload.contestants if not each.absence]
    measured.samples = {each.name: [] for each in running}
    for turn in range(rounds + 1):
        label = f"round {turn} of {rounds}" if turn else "warm-up"
        shift = turn % max(len(running), 1)
        for each in running[shift:] + running[:shift]:
            if each.name in measured.failed:
                continue
            progress(f"{workload.key}: {label}: {each.name}")
            try:
                taken = sample(each.command)
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


def disagreements(measured: Measured) -> list[str]:
    """Return in words where two runs did not do the same work."""
    found = []
    workload = measured.workload
    runs = [(name, each.result) for name, taken in measured.samples.items() for each in taken]
    for name, result in runs:
        if result["items"] != workload.count:
            found.append(f"{name} took {result['items']} {workload.unit}, not {workload.count}")
    for key in workload.exact + workload.near:
        values = {(name, result["outcome"][key]) for name, result in runs}
        tolerance = NEAR if key in workload.near else 0.0
        plain = [value for _, value in values]
        if any(not math.isclose(value, plain[0], rel_tol=tolerance) for value in plain):
            said = ", ".join(f"{name} {value}" for name, value in sorted(values))
            found.append(f"{key} differ: {said}")
    return found


def median(taken: list[Sample], read: Callable[[Sample], float]) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(read(each) for each in taken)


COSTS: dict[str, Callable[[Sample], float]] = {
    "steady": lambda each: each.steady_s,
    "whole": lambda each: each.process.wall_s,
    "memory": lambda each: each.process.peak_mb,
}


def ratios(measured: Measured, baseline: str) -> dict[str, dict[str, list[float]]]:
    """Return by peer and cost the peer's cost over the baseline's, one ratio a round."""
    base = measured.samples[baseline]
    return {
        name: {
            cost: [read(peer) / read(own) for peer, own in zip(taken, base, strict=True)]
            for cost, read in COSTS.items()
        }
        for name, taken in measured.samples.items()
        if name != baseline
    }


def table(rows: list[list[str]]) -> str:
    """Lay rows out in columns, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def figure_rows(measured: Measured) -> list[list[str]]:
    """Return the table of medians."""
    unit = measured.workload.unit
    heads = ["engine", "version", f"steady {unit}/s", "steady s", "whole s", "cpu s", "peak MiB"]
    rows = [heads]
    for name, taken in measured.samples.items():
        rows.append(
            [
                name,
                str(taken[0].result["version"]),
                f"{median(taken, lambda each: each.result['items_per_s']):,.0f}",
                f"{median(taken, COSTS['steady']):.3f}",
                f"{median(taken, COSTS['whole']):.3f}",
                f"{median(taken, lambda each: each.process.cpu_s):.3f}",
                f"{median(taken, COSTS['memory']):.0f}",
            ]
        )
    return rows


def phase_lines(measured: Measured) -> list[str]:
    """Say where each whole process spent its time."""
    lines = []
    for name, taken in measured.samples.items():
        phases = [each.result["phases"] for each in taken]
        medians = {phase: statistics.median(each[phase] for each in phases) for phase in phases[0]}
        spent = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in medians.items())
        lines.append(f"  {name} spent (s): {spent}")
    return lines


def outcome_rows(measured: Measured, baseline: str) -> list[list[str]]:
    """Return what every engine decided, with the difference in PnL from the baseline's."""
    workload = measured.workload
    keys = workload.exact + workload.near + workload.shown
    outcomes = {name: taken[0].result["outcome"] for name, taken in measured.samples.items()}
    reference = baseline if baseline in outcomes else next(iter(outcomes))
    with_pnl = "pnl" in keys
    rows = [["engine", *keys, *([f"pnl less {reference}'s"] if with_pnl else [])]]
    for name, outcome in outcomes.items():
        row = [name, *(spoken(outcome[key]) for key in keys)]
        if with_pnl:
            row.append(f"{outcome['pnl'] - outcomes[reference]['pnl']:+.6f}")
        rows.append(row)
    return rows


def spoken(value: Any) -> str:
    """Write a value of an outcome."""
    return f"{value:,.6f}" if isinstance(value, float) else str(value)


def ratio_rows(found: dict[str, dict[str, list[float]]], baseline: str) -> list[list[str]]:
    """Return the table of ratios: the median over the rounds, and the least and the most."""
    rows = [[f"cost over {baseline}'s", "steady", "whole process", "peak memory"]]
    for name, costs in found.items():
        cells = [
            f"{statistics.median(each):.2f}x [{min(each):.2f}-{max(each):.2f}]" for each in costs.values()
        ]
        rows.append([name, *cells])
    return rows


def report(measured: Measured, baseline: str, rounds: int) -> None:
    """Print one workload: figures, then whether the work was the same, then ratios."""
    workload = measured.workload
    print(f"\n{workload.key}: {workload.count:,} {workload.unit}, median of {rounds}: {workload.title}")
    for name, reason in measured.absent.items():
        print(f"  {name}: {reason}")
    for name, reason in measured.failed.items():
        print(f"  {name}: FAILED, {reason}")
    if not measured.samples:
        return
    print(table(figure_rows(measured)))
    print("\n".join(phase_lines(measured)))
    print(table(outcome_rows(measured, baseline)))
    if measured.disagreements:
        print("  The engines did NOT do the same work, so there is no ratio to tell:")
        print("\n".join(f"    {each}" for each in measured.disagreements))
        return
    agreed = " and ".join(workload.exact + workload.near)
    if len(measured.samples) > 1:
        print(f"  Same work: {agreed} agree between {', '.join(measured.samples)}.")
    if baseline not in measured.samples:
        print(f"  No ratios: {baseline} has no figures.")
    elif len(measured.samples) > 1:
        print(table(ratio_rows(ratios(measured, baseline), baseline)))


def report_start(start: dict[str, Any]) -> None:
    """Print what `abidance --help` costs."""
    print("\nstart: `abidance --help`, whole process")
    if "absent" in start:
        print(f"  {OURS}: {start['absent']}")
        return
    spread = f"[{start['wall_s_least'] * 1e3:.0f}-{start['wall_s_most'] * 1e3:.0f}]"
    print(f"  median of {start['runs']}: {start['wall_s'] * 1e3:.0f} ms {spread}, {start['peak_mb']:.0f} MiB")


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


def as_json(measured: Measured, baseline: str) -> dict[str, Any]:
    """Return one workload's samples, checks and ratios as plain values."""
    comparable = baseline in measured.samples and not measured.disagreements
    return {
        "title": measured.workload.title,
        "items": measured.workload.count,
        "rounds": {name: [each.as_json() for each in taken] for name, taken in measured.samples.items()},
        "absent": measured.absent,
        "failed": measured.failed,
        "disagreements": measured.disagreements,
        "baseline": baseline,
        "ratios": ratios(measured, baseline) if comparable else {},
    }


def save(content: dict[str, Any]) -> Path:
    """Write the day's figures; a second save on the same day replaces the first."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    path = SCRIPTS / "results" / f"{today}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"date": today, **content}, indent=1) + "\n")
    return path


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure Abidance and its peers side by side.")
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of every engine (3)")
    parser.add_argument("--only", choices=ONLY, action="append", help="this part alone; repeatable")
    parser.add_argument("--bars", type=int, default=200_000, choices=(200_000, 1_000_000))
    parser.add_argument("--baseline", default=OURS, help="the engine that ratios are over (abidance)")
    parser.add_argument("--python", type=Path, default=default_python(), help="the one that holds Abidance")
    parser.add_argument("--offline", action="store_true", help="install and write nothing beforehand")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>.json")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return asked


def main() -> int:
    """Measure what is asked for; end with 1 when an engine failed or did other work."""
    asked = arguments()
    wanted = set(asked.only or ONLY)
    if not asked.offline and wanted != {"start"}:
        prepare(wanted)
    here = machine()
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    chosen = [bars(asked.python, asked.bars), ticks(asked.python, TICKS)]
    done = []
    for workload in chosen:
        if workload.key in wanted:
            measured = take_turns(workload, asked.rounds)
            measured.disagreements = disagreements(measured)
            report(measured, asked.baseline, asked.rounds)
            done.append(measured)
    content: dict[str, Any] = {"machine": here, "code": code_version()}
    content["workloads"] = {each.workload.key: as_json(each, asked.baseline) for each in done}
    if "start" in wanted:
        content["start"] = cli_start.measure(asked.python.with_name("abidance"))
        report_start(content["start"])
    if asked.save:
        manifest = cache_home() / "data" / "manifest.json"
        content["data"] = json.loads(manifest.read_text())["sets"] if manifest.is_file() else {}
        print(f"\nSaved: {save(content).relative_to(REPOSITORY)}")
    return 1 if any(each.failed or each.disagreements for each in done) else 0


if __name__ == "__main__":
    sys.exit(main())

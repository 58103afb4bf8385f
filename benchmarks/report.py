"""Words and tables for what was measured. It decides nothing but whether two engines did the same work."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contest import Workload
from measure import Sample


@dataclass
class Measured:
    """The samples of one workload: by engine, one a round."""

    workload: Workload
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)


def disagreements(measured: Measured) -> list[str]:
    """Return in words where two runs did not do the same work.

    Every engine must tell what has to be equal exactly; one that does not tell a `near` key is passed over.
    """
    found = []
    workload = measured.workload
    runs = [(name, each.result) for name, taken in measured.samples.items() for each in taken]
    for name, result in runs:
        if result["items"] != workload.count:
            found.append(f"{name} took {result['items']} {workload.unit}, not {workload.count}")
        found += [f"{name} does not tell {key}" for key in workload.exact if key not in result["outcome"]]
    for key, tolerance in (dict.fromkeys(workload.exact, 0.0) | dict(workload.near)).items():
        values = sorted({(name, result["outcome"][key]) for name, result in runs if key in result["outcome"]})
        plain = [value for _, value in values]
        if any(not math.isclose(value, plain[0], rel_tol=tolerance) for value in plain):
            said = ", ".join(f"{name} {value}" for name, value in values)
            found.append(f"{key} differ: {said}")
    return found


def median(taken: list[Sample], read: Callable[[Sample], float]) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(read(each) for each in taken)


COSTS: dict[str, Callable[[Sample], float | None]] = {
    "steady": lambda each: each.steady_s,
    "processor": lambda each: each.result["also"].get("cpu_s"),
    "without metrics": lambda each: each.result["also"].get("bare_s"),
    "whole process": lambda each: each.process.wall_s,
    "its processor time": lambda each: each.process.cpu_s,
    "peak memory": lambda each: each.process.peak_mb,
}


def ratios(measured: Measured, baseline: str) -> dict[str, dict[str, list[float]]]:
    """Return by peer and cost the peer's cost over the baseline's, one ratio a round.

    A peer's seconds without metrics are over the baseline's with them: its metrics are part of the one pass.
    """
    base = measured.samples[baseline]
    found: dict[str, dict[str, list[float]]] = {}
    for name, taken in measured.samples.items():
        if name == baseline:
            continue
        found[name] = {}
        for cost in measured.workload.costs:
            read = COSTS[cost]
            pairs = [(read(peer), read(own) or own.steady_s) for peer, own in zip(taken, base, strict=True)]
            found[name][cost] = [peer / own for peer, own in pairs if peer is not None]
    return found


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
    heads: dict[str, Callable[[list[Sample]], str]] = {
        "engine": lambda taken: "",
        "version": lambda taken: str(taken[0].result["version"]),
        f"steady {unit}/s": lambda taken: f"{median(taken, lambda each: each.result['items_per_s']):,.0f}",
        "steady s": lambda taken: f"{median(taken, lambda each: each.steady_s):.4f}",
        "whole s": lambda taken: f"{median(taken, lambda each: each.process.wall_s):.3f}",
        "cpu s": lambda taken: f"{median(taken, lambda each: each.process.cpu_s):.3f}",
        "peak MiB": lambda taken: f"{median(taken, lambda each: each.process.peak_mb):.0f}",
    }
    if "steady" not in measured.workload.costs:
        heads = {head: read for head, read in heads.items() if not head.startswith("steady")}
    rows = [
        [name, *(read(taken) for read in list(heads.values())[1:])]
        for name, taken in measured.samples.items()
    ]
    return [list(heads), *rows]


ALSO = {
    "cpu_s": "processor",
    "bare_s": "without metrics",
    "first_s": "first call",
    "full_s": "with every order and fill told",
}


def phase_lines(measured: Measured) -> list[str]:
    """Say where each whole process spent its time, and what else was timed."""
    lines = []
    for name, taken in measured.samples.items():
        for title, key in (("spent", "phases"), ("also took", "also")):
            each = [sample.result[key] for sample in taken]
            spent = ", ".join(
                f"{ALSO.get(part, part)} {statistics.median(one[part] for one in each):.4f}"
                for part in each[0]
            )
            if spent:
                lines.append(f"  {name} {title} (s): {spent}")
    return lines


def outcome_rows(measured: Measured) -> list[list[str]]:
    """Return what every engine decided: a row a figure, a column an engine."""
    workload = measured.workload
    outcomes = {name: taken[0].result["outcome"] for name, taken in measured.samples.items()}
    rows = [["outcome", *outcomes]]
    keys = (*workload.exact, *workload.near, *workload.shown)
    return rows + [[key, *(spoken(each.get(key, "-")) for each in outcomes.values())] for key in keys]


def agreements(measured: Measured) -> list[str]:
    """Return what at least two engines have told, and how near they had to be."""
    told = [set(taken[0].result["outcome"]) for taken in measured.samples.values()]
    wanted = dict.fromkeys(measured.workload.exact, "") | {
        key: f" (to {share:g})" for key, share in measured.workload.near.items()
    }
    return [key + near for key, near in wanted.items() if sum(key in each for each in told) > 1]


def spoken(value: Any) -> str:
    """Write a value of an outcome."""
    return f"{value:,.6f}" if isinstance(value, float) else str(value)


def ratio_rows(found: dict[str, dict[str, list[float]]], baseline: str) -> list[list[str]]:
    """Return the table of ratios: the median over the rounds, and the least and the most."""
    costs = [cost for cost in next(iter(found.values())) if any(each[cost] for each in found.values())]
    rows = [[f"cost over {baseline}'s", *costs]]
    for name, by_cost in found.items():
        cells = [
            f"{statistics.median(each):.2f}x [{min(each):.2f}-{max(each):.2f}]" if each else "-"
            for each in (by_cost[cost] for cost in costs)
        ]
        rows.append([name, *cells])
    return rows


def report(measured: Measured, baseline: str) -> None:
    """Print one workload: figures, then whether the work was the same, then ratios."""
    workload = measured.workload
    rounds = max((len(taken) for taken in measured.samples.values()), default=0)
    print(f"\n{workload.key}: {workload.count:,} {workload.unit}, median of {rounds}: {workload.title}")
    for name, reason in measured.absent.items():
        print(f"  {name}: {reason}")
    for name, reason in measured.failed.items():
        print(f"  {name}: FAILED, {reason}")
    if not measured.samples:
        return
    print(table(figure_rows(measured)))
    print("\n".join(phase_lines(measured)))
    print(table(outcome_rows(measured)))
    if workload.note:
        print(f"  Note: {workload.note}")
    if measured.disagreements:
        print("  The engines did NOT do the same work, so there is no ratio to tell:")
        print("\n".join(f"    {each}" for each in measured.disagreements))
        return
    if agreed := agreements(measured):
        print(f"  Same work: {', '.join(agreed)} agree between all that tell them.")
    if baseline not in measured.samples:
        print(f"  No ratios: {baseline} has no figures.")
    elif len(measured.samples) > 1:
        print(table(ratio_rows(ratios(measured, baseline), baseline)))


def report_start(start: dict[str, Any]) -> None:
    """Print what `abidance --help` costs."""
    print("\nstart: `abidance --help`, whole process")
    if "absent" in start:
        print(f"  abidance: {start['absent']}")
        return
    spread = f"[{start['wall_s_least'] * 1e3:.0f}-{start['wall_s_most'] * 1e3:.0f}]"
    print(f"  median of {start['runs']}: {start['wall_s'] * 1e3:.0f} ms {spread}, {start['peak_mb']:.0f} MiB")


def as_json(measured: Measured, baseline: str) -> dict[str, Any]:
    """Return one workload's samples, checks and ratios as plain values."""
    comparable = baseline in measured.samples and not measured.disagreements
    return {
        "key": measured.workload.key,
        "title": measured.workload.title,
        "note": measured.workload.note,
        "costs": measured.workload.costs,
        "unit": measured.workload.unit,
        "items": measured.workload.count,
        "rounds": {name: [each.as_json() for each in taken] for name, taken in measured.samples.items()},
        "absent": measured.absent,
        "failed": measured.failed,
        "disagreements": measured.disagreements,
        "baseline": baseline,
        "ratios": ratios(measured, baseline) if comparable else {},
    }

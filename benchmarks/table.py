"""Turn saved figures into the Markdown table that documents show.

python benchmarks/table.py                                  # of the newest results
python benchmarks/table.py benchmarks/results/2026-11-21.json
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from contest import OURS, SCRIPTS

NAMES = {
    "abidance": "Abidance",
    "abidance, all told": "Abidance, every order and fill listed",
    "nautilus": "NautilusTrader",
    "backtesting": "backtesting.py",
    "jesse": "Jesse",
}
RATIOS = {
    "steady": "warm",
    "processor": "its processor time",
    "without metrics": "warm, its metrics left out",
    "whole process": "whole process",
    "its processor time": "its processor time",
    "peak memory": "memory",
}
HEADS = ["workload", "engine", "a second, warm", "whole process", "peak memory", "multiple of Abidance's"]


def markdown(saved: dict[str, Any]) -> str:
    """Return the table of one day's figures, and the line that says what they were taken on."""
    rows = [HEADS, ["---"] * len(HEADS)]
    for workload in saved["workloads"].values():
        rows += workload_rows(workload)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join((*lines, "", *foot(saved))) + "\n"


def workload_rows(workload: dict[str, Any]) -> list[list[str]]:
    """Return a row an engine, ours first."""
    names = sorted(workload["rounds"], key=lambda name: (name != OURS, not name.startswith(OURS)))
    rows = []
    for number, name in enumerate(names):
        taken = workload["rounds"][name]
        version = taken[0]["version"]
        title = NAMES.get(name, name) + ("" if version == "program" else f" {version}")
        rows.append(
            [
                f"{workload['key']}: {workload['items']:,} {workload['unit']}" if number == 0 else "",
                title,
                f"{median(taken, 'items_per_s'):,.0f}" if "steady" in workload["costs"] else "-",
                f"{median(taken, 'wall_s'):.2f} s" if "whole process" in workload["costs"] else "-",
                f"{median(taken, 'peak_mb'):,.0f} MiB" if "peak memory" in workload["costs"] else "-",
                "1" if name == OURS else ratios(workload["ratios"].get(name, {})),
            ]
        )
    return rows


def median(taken: list[dict[str, Any]], key: str) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(each[key] for each in taken)


def ratios(found: dict[str, list[float]]) -> str:
    """Return the ratios in words: the median, and the least and the most."""
    words = [
        f"{RATIOS[cost]} {short(statistics.median(each))} [{short(min(each))} to {short(max(each))}]"
        for cost, each in found.items()
        if each
    ]
    return ", ".join(words) or "not comparable"


def short(value: float) -> str:
    """Write a ratio with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def foot(saved: dict[str, Any]) -> list[str]:
    """Return when, on what and how often was measured, and what differs between engines."""
    machine = saved["machine"]
    rounds = {len(taken) for each in saved["workloads"].values() for taken in each["rounds"].values()}
    notes = [
        f"- {each['key']}{_at(each)}: {each['title']}. {each['note']}".rstrip()
        for each in saved["workloads"].values()
    ]
    told = (
        f"Measured on {saved['date']}{_at(saved)}: {min(rounds)} to {max(rounds)} rounds, medians, the least and"
        f" the most in brackets, on {machine['cores']} cores of an {machine['processor']} with"
        f" {machine['memory_gib']:.0f} GiB, {machine['system']}, Python {machine['python']}."
    )
    return [*notes, "", told]


def _at(measured: dict[str, Any]) -> str:
    """Return at which commit something was measured; older figures tell it for the whole day alone."""
    return f" at {measured['code']}" if measured.get("code") else ""


def newest() -> Path:
    """Return the file of the last day that was saved."""
    return max((SCRIPTS / "results").glob("*.json"))


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    print(markdown(json.loads(path.read_text())))


if __name__ == "__main__":
    main()

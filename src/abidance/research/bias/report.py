"""What checks answer with: a verdict, a plain sentence, the lines it is about, the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from abidance.strategy.mistakes import Place


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"
    UNCHECKED = "unchecked"


_GRAVITY = (Verdict.UNCHECKED, Verdict.PASS, Verdict.WARN, Verdict.FAIL)


def worst(verdicts: "list[Verdict]") -> Verdict:
    """Return the gravest of verdicts; UNCHECKED is the lightest, and what none at all come to."""
    return max(verdicts, key=_GRAVITY.index, default=Verdict.UNCHECKED)


@dataclass(frozen=True, slots=True)
class Check:
    """The answer of one check. `evidence` holds plain values for machines: time, column, the values that differ."""

    name: str
    verdict: Verdict
    sentence: str
    remedy: str = ""
    places: tuple[Place, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return the check as plain values, ready for JSON."""
        places = [{"file": place.file, "line": place.line, "text": place.text} for place in self.places]
        return {
            "check": self.name,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "places": places,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class StrategyReport:
    """All that was checked of one strategy. `bars` counts those of all instruments; times are ns UTC.

    `replayed` counts those that were replayed, the latest of each instrument, the earliest of which opens at `since`.
    """

    strategy: str
    instruments: tuple[str, ...]
    timeframe: str
    bars: int
    start: int
    end: int
    replayed: int
    since: int
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the gravest verdict."""
        return worst([check.verdict for check in self.checks])

    def plain(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "strategy": self.strategy,
            "instruments": list(self.instruments),
            "timeframe": self.timeframe,
            "bars": self.bars,
            "start_ns": self.start,
            "end_ns": self.end,
            "replayed_bars": self.replayed,
            "replayed_since_ns": self.since,
            "verdict": self.verdict.value,
            "checks": [check.plain() for check in self.checks],
        }


def joined(found: Mapping[str, Check]) -> Check:
    """Return one check for those of several instruments: the gravest, which says where it was found."""
    gravest = worst([check.verdict for check in found.values()])
    alike = [id for id, check in found.items() if check.verdict is gravest]
    if len(found) == 1:
        return found[alike[0]]
    if gravest is Verdict.PASS:  # the one with advice says more
        said = next((id for id in alike if found[id].remedy), alike[0])
        rest = f"{said}; {len(alike) - 1} more pass too" if len(alike) > 1 else said
        return replace(found[said], sentence=f"{found[said].sentence} ({rest}.)")
    first = found[alike[0]]
    count = f"{len(alike)} of {len(found)} instruments"
    return replace(
        first,
        sentence=f"{alike[0]}: {first.sentence} ({gravest.value} on {count}.)",
        evidence={**first.evidence, "instruments": alike},
    )

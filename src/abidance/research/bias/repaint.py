"""Repaint: one instance asked at each close, as on paper and live, must decide what it decides on the whole tape."""

import numpy as np

from abidance.model.errors import StrategyError
from abidance.research.bias.lookahead import Asked, Author, evidence
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.subject import COLUMNS, Difference, Subject, differences, moment, shown
from abidance.strategy.base import BarStrategy
from abidance.strategy.decisions import Decisions, decide

NAME = "repaint"
KEEP_NOTHING = (
    "Compute everything from the bars in each call, and keep nothing in `self`, the class or the module."
)
STRETCH = 120


def check_repaint(subject: Subject, author: Author, stretch: int = STRETCH) -> Check:
    """Decide bar by bar over the stretch with the most new opinions, and compare each last row with the whole."""
    rows = busiest(subject, stretch)
    if not len(rows):
        return Check(
            NAME, Verdict.UNCHECKED, "There are no bars beyond its warm-up.", "Give a longer time range."
        )
    strategy = subject.make()
    found: list[Difference] = []
    for row in rows:
        try:
            part = decide(strategy, subject.known(row + 1), subject.exits)
        except StrategyError as error:
            told = f"Asked at each close, it fails at {moment(subject.closes(row))} UTC: {error.found}"
            return Check(NAME, Verdict.FAIL, told, error.remedy)
        found += _last_row(subject.whole, part, row)
    if not found:
        told = f"Asked at each of {len(rows)} closes, as on paper, it decides what it decides on the whole history."
        return Check(NAME, Verdict.PASS, told)
    return _parted(subject, strategy, found, author, len(rows))


def busiest(subject: Subject, stretch: int) -> range:
    """Return up to `stretch` rows, past the warm-up, that hold the most new opinions; the latest of equals."""
    low, length = subject.warmup, len(subject.bars)
    if length - low <= stretch:
        return range(low, length)
    turns = np.zeros(length + 1, dtype=np.int64)
    turns[subject.turns() + 1] = 1
    turns = np.cumsum(turns)
    starts = np.arange(low, length - stretch + 1)
    counts = turns[starts + stretch] - turns[starts]
    start = int(starts[len(counts) - 1 - np.argmax(counts[::-1])])
    return range(start, start + stretch)


def _last_row(whole: Decisions, part: Decisions, row: int) -> list[Difference]:
    """Return in which columns the last row of `part` differs from that row of the whole."""
    columns = {name: getattr(part, name)[-1:] for name in COLUMNS}
    last = Decisions(**columns, max_bars=part.max_bars, tags=part.tag(row))
    return list(differences(whole, last, row))[:1]


def _parted(
    subject: Subject, used: BarStrategy, found: list[Difference], author: Author, closes: int
) -> Check:
    parted = found[0]
    known = subject.known(parted.row + 1)
    fresh = Asked(subject.make(), known)
    if any(differences(subject.whole, subject.decide(known))):
        culprit = author.culprit(Asked(subject.make(), subject.bars), fresh)
        why, remedy = "", "Row t may look at rows 0 to t only."
    else:
        culprit = author.culprit(fresh, Asked(used, known))
        why, remedy = " A new instance would not: it keeps something from one call to the next.", KEEP_NOTHING
    told = (
        f"Asked at each close, as on paper, it decides otherwise at {len(found)} of {closes} closes: at"
        f" {moment(subject.closes(parted.row))} UTC {parted.column} is {shown(parted.second)}, but {shown(parted.first)} on"
        f" the whole history.{why} {culprit.sentence if culprit else ''}"
    )
    places = (culprit.place,) if culprit else ()
    more = {"closes": len(found)}
    return Check(NAME, Verdict.FAIL, told.strip(), remedy, places, evidence(subject, parted) | more)

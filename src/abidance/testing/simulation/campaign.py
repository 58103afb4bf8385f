"""Many worlds, one a seed: what went wrong in each, whether everything held, and a hash that says it again."""

import asyncio
import gc
import hashlib
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from abidance.testing.simulation.checker import Failure
from abidance.testing.simulation.clockwork import run_virtual
from abidance.testing.simulation.kinds import CALM, KINDS, kind_of
from abidance.testing.simulation.trouble import Trouble, faults_of
from abidance.testing.simulation.world import Errors, Place, faulty

TROUBLE = 60.0
"""Virtual seconds in which things go wrong."""
_LOOK, _LAST = 0.25, 10.0
ENOUGH = 500
"""Worlds of a kind, after which each fault should have struck in one: the rarest do in one of a hundred."""
_SWEPT = 8
"""After how many worlds what is left of them is swept: it is old to the collector, which would let it pile up."""
MOST_APART = 0.3
"""For which share of the end of the calm the two sides may differ in one and the same thing."""


@dataclass(frozen=True)
class Played:
    """What one seed came to. `settled` is after how many calm seconds both sides agreed."""

    seed: int
    kind: str
    digest: str
    failure: str
    hits: dict[str, int]
    settled: float
    checks: int
    orders: int
    fills: int
    lives: int

    @property
    def rule(self) -> str:
        """Return the name of the rule that did not hold, empty when all did."""
        return self.failure.partition(":")[0]


@dataclass
class Tally:
    """What many seeds came to."""

    seeds: int = 0
    failed: list[Played] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often what went wrong, by the kind of world and the name."""
    checks: int = 0
    orders: int = 0
    fills: int = 0
    lives: int = 0
    slowest: float = 0.0

    def add(self, played: Played) -> None:
        """Take one more."""
        self.seeds += 1
        if played.failure:
            self.failed.append(played)
        self.kinds[played.kind] += 1
        for name, count in played.hits.items():
            self.hits[played.kind, name] += count
        self.checks += played.checks
        self.orders += played.orders
        self.fills += played.fills
        self.lives += played.lives
        self.slowest = max(self.slowest, played.settled)

    @property
    def unhit(self) -> list[str]:
        """Return what never went wrong in any world, nor in those of a kind of which enough were played to tell."""
        possible = {name for kind in self.kinds for name in faults_of(KINDS[kind])}
        nowhere = possible - {name for _, name in self.hits}
        often = {kind for kind, times in self.kinds.items() if times >= ENOUGH}
        return sorted(nowhere) + [
            f"{name} in {kind}" for kind, name in self.gaps if kind in often and name not in nowhere
        ]

    @property
    def gaps(self) -> list[tuple[str, str]]:
        """Return, by kind of world that was played, what never went wrong there."""
        return [
            (kind, name)
            for kind in sorted(self.kinds)
            for name in sorted(faults_of(KINDS[kind]))
            if (kind, name) not in self.hits
        ]


def play(seed: int, kind: str = "") -> Played:
    """Play one world from beginning to end; its kind is the seed's choice unless one is named."""
    with tempfile.TemporaryDirectory(prefix="abidance-simulation-") as folder:
        place = Place(seed, Path(folder), KINDS[kind] if kind else kind_of(seed))
        trouble = Trouble(place)
        settled = CALM
        try:
            with faulty(place.disk), Errors(place.checker):
                settled = run_virtual(_course(place, trouble), place.loop)
        except Exception as error:  # noqa: BLE001 - whatever ends a world before its time is told with its seed
            text = "".join(traceback.format_exception(error)[-3:])
            place.checker.fail("simulation", f"{type(error).__name__}: {error}\n{text}", error)
        return _told(place, settled)


async def _course(place: Place, trouble: Trouble) -> float:
    """Let a world live through trouble and calm, or until a rule does not hold; return when it had settled."""
    work = [asyncio.ensure_future(each) for each in (*map(place.play, place.sites), place.keep_alive())]
    raging, settled = asyncio.ensure_future(trouble.rage(TROUBLE)), CALM
    work.append(raging)
    # silence is a fault until the connection breaks
    while place.checker.failure is None and (not raging.done() or place.is_silent):
        await _look(place, work)
    if place.checker.failure is None:
        settled = await _calm(place, trouble, work)
        await _begin_again(place, work)
    for task in work:
        task.cancel()
    return settled


async def _calm(place: Place, trouble: Trouble, work: Sequence["asyncio.Future[None]"]) -> float:
    """Look on while nothing goes wrong; return when both sides agreed first, and fail where they do not stay so.

    Who trades is never quite told of what happens this moment: no difference alone may last.
    """
    began, settled, looks = place.loop.time(), CALM, 0
    seen, texts = Counter[str](), dict[str, str]()
    while (after := place.loop.time() - began) < CALM and place.checker.failure is None:
        await _look(place, work)
        last = _differences(place, trouble)
        if not last:
            settled = min(settled, after)
        if settled < CALM and not trouble.is_bare:
            place.checker.prompt()
        if settled < CALM and after >= CALM - _LAST:
            looks += 1
            seen.update(last.keys())
        texts |= last
    lasting = [texts[what] for what, times in seen.items() if times > MOST_APART * looks]
    if settled >= CALM or lasting:
        found = lasting or [*_differences(place, trouble).values()]
        place.checker.fail("calm", f"{CALM:g} s after the last fault: {'; '.join(found)}")
    return settled


async def _begin_again(place: Place, work: Sequence["asyncio.Future[None]"]) -> None:
    """Stop in order, and see that the record repeats to what was."""
    place.wants_life = False
    for _ in range(8):
        await _look(place, work)
    place.wants_life, before = True, place.lives
    for _ in range(40):
        await _look(place, work)
    if place.checker.failure is None and (place.lives == before or place.bot is None):
        place.checker.fail("restart", f"the program does not start again: {place.ended_as}")


async def _look(place: Place, work: Sequence["asyncio.Future[None]"]) -> None:
    await asyncio.sleep(_LOOK)
    for task in work:
        if task.done():
            task.result()
    for site in place.sites:
        place.checker.conserved(site.account.purses, site.account.ledger)
    place.checker.transferred(line for site in place.sites for line in site.account.ledger)


def _differences(place: Place, trouble: Trouble) -> dict[str, str]:
    alive = place.bot is not None and place.bot.relay.is_open
    return place.checker.differences(is_alive=alive, must_protect=not trouble.is_bare)


def _told(place: Place, settled: float) -> Played:
    digest = hashlib.sha256(repr(sorted(place.hits.items())).encode())
    for site in place.sites:
        digest.update(repr(site.exchange.desk.history).encode())
    digest.update(bytes(place.checker.journal.data))
    failure: Failure | None = place.checker.failure
    text = "" if failure is None else f"{failure.rule}: {failure.text}"
    if failure is not None and failure.cause is not None and failure.rule == "program":
        text += "\n" + "".join(traceback.format_exception(failure.cause))
    story = place.checker.story
    return Played(
        place.seed, place.kind.name, digest.hexdigest(), text, dict(place.hits), settled, place.checker.checks,
        len(story.intents), len(story.fills), place.lives,
    )  # fmt: skip


def play_all(seeds: Iterable[int], jobs: int, kind: str = "") -> Iterator[Played]:
    """Play many worlds, in so many processes, and yield what each came to, in order."""
    one = partial(_play_one, kind=kind)
    if jobs <= 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, seeds, chunksize=4)


def _play_one(seed: int, kind: str) -> Played:
    played = play(seed, kind)
    if not seed % _SWEPT:
        gc.collect()
    return played

"""Dividing equity among strategies while a compiled run is played: the engine's own allocator over the run's tables."""

from typing import Any, NamedTuple

from abidance.backtest.tables import NEVER, World
from abidance.engine.allocator import Allocator
from abidance.engine.config import AllocationConfig
from abidance.model.order import Purpose
from abidance.model.outcome import Notice


class Sized(NamedTuple):
    """A strategy that has traded what it had sized by its share."""

    strategy: str
    purpose: Purpose = Purpose.ENTRY


class Shares:
    """Sets the shares of a world's strategies when they are due.

    `told` has the notices of it, each with the line of the world's log of notices that it comes before. `shares` are
    those of the start, `start` is when the run's first bar opens, `bar` the length of the run's bars, ns.
    """

    def __init__(
        self, world: World, config: AllocationConfig, shares: dict[str, float], start: int, bar: int
    ) -> None:
        self.told: list[tuple[int, Notice]] = []
        self._world = world
        self._names = list(shares)
        self._shares = shares
        self._sized: list[Sized] = []
        self._allocator: Allocator | None = None
        if config.method != "fixed":
            self._allocator = Allocator(config, shares, self, start, bar)
        world.run[0]["shares_at"] = NEVER if self._allocator is None else self._allocator.due

    def look(self, now: int) -> None:
        """Take the moment at which the shares are due, everything marked."""
        if self._allocator is None:
            return
        run, rows = self._world.run[0], self._world.strategies
        self._sized += [Sized(name) for name, row in zip(self._names, rows, strict=True) if row["sized"]]
        rows["sized"] = 0
        notice = self._allocator.on_moment(now, self._sized)
        rows["allocation"] = list(self._shares.values())
        run["shares_at"] = self._allocator.due
        if notice is not None:
            self.told.append((int(run["n_notices_log"]), notice))

    def equity(self) -> float:
        """Return what everything is worth."""
        return float(self._world.run[0]["equity"])

    def profit_of(self, strategy: str) -> float:
        """Return what a strategy has earned since the start."""
        world, number = self._world, self._names.index(strategy)
        earned = float(world.strategies["settled"][number])
        for place in self._held():
            if place["strategy"] == number:
                mark = world.tools["mark"][place["tool"]]
                earned += float(place["size"] * (mark - place["entry"]))
        return earned

    def holders(self) -> set[str]:
        """Return the strategies that hold something."""
        return {self._names[place["strategy"]] for place in self._held()}

    def _held(self) -> Any:
        world = self._world
        return world.places[world.held[: world.run[0]["n_held"]]]

"""How often a stream speaks, and from that after what silence it is taken as stale.

A liquid stream is missed within seconds, a quiet one is given the time that it usually takes. All times are steady
seconds that the caller brings.
"""

FLOOR = 5.0
"""The shortest silence that counts: bursts and short hiccups of a network are no failure."""
CEILING = 300.0
"""The longest silence that is ever granted."""
UNTRIED = 10.0
"""The silence granted before a stream has said enough to be known."""
_PATIENCE = 30.0
_ENOUGH = 8
_SPAN = 60.0


class Pace:
    """One stream's rhythm over the last one to two minutes.

    The silence that is granted is 30 times the mean interval, and at least one and a half times the longest silence
    after which the stream went on by itself, within `FLOOR` and `CEILING`.
    """

    __slots__ = ("_before", "_began", "_count", "_longest", "_untried", "last")

    def __init__(self, now: float, untried: float = UNTRIED) -> None:
        self.last = self._began = now
        self._count = 0
        self._longest = 0.0
        self._before: tuple[float, int, float] | None = None
        self._untried = untried

    def heard(self, now: float) -> None:
        """Note that the stream said something new."""
        gap = now - self.last
        self.last = now
        self._count += 1
        if gap > self._longest and self._count > 1:
            self._longest = gap
        if now - self._began >= _SPAN and self._count >= _ENOUGH:
            self._before = (self._began, self._count, self._longest)
            self._began, self._count, self._longest = now, 0, 0.0

    def limit(self) -> float:
        """Return after what silence, in seconds, the stream is stale."""
        began, count, longest = self._began, self._count, self._longest
        if self._before is not None:
            began, count, longest = self._before[0], count + self._before[1], max(longest, self._before[2])
        if count < _ENOUGH:
            return min(max(self._untried, 1.5 * longest), CEILING)
        mean = (self.last - began) / count
        return min(max(FLOOR, _PATIENCE * mean, 1.5 * longest), CEILING)

    def is_silent(self, now: float) -> bool:
        """Say whether the silence until now is longer than what is granted."""
        return now - self.last > self.limit()

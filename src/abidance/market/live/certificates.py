"""The certificate of each stream: one state for everybody, whatever number of sources stands behind it.

A source is one connection that carries the stream. The stream is certified while at least one of them is; which one is
followed changes only when it has to. Every change of the state is told once.
"""

from collections.abc import Callable
from typing import NamedTuple

from abidance.model.market import DataKind, FeedState, FeedStatus

Key = tuple[str, DataKind]
# With none certified, people are told the finding that says most.
_RANK = {FeedState.CERTIFIED: 0, FeedState.CROSSED: 1, FeedState.GAP: 2, FeedState.STALE: 3}
UNCONNECTED = "no connection yet"


class _Finding(NamedTuple):
    state: FeedState
    reason: str


class _Stream:
    __slots__ = ("followed", "reason", "sources", "state")

    def __init__(self) -> None:
        self.sources: dict[int, _Finding] = {}
        self.followed: int | None = None
        self.state: FeedState | None = None
        self.reason = ""


class Certificates:
    """The states of all streams; `tell` receives each change."""

    def __init__(self, tell: Callable[[FeedStatus], None]) -> None:
        self._tell = tell
        self._streams: dict[Key, _Stream] = {}

    def expect(self, ts: int, key: Key) -> None:
        """Announce a stream that nothing carries yet: it is stale until a source says otherwise."""
        self._settle(ts, key, self._streams.setdefault(key, _Stream()))

    def find(self, ts: int, key: Key, source: int, state: FeedState, reason: str = "") -> None:
        """Take what a source makes of a stream. A stream that was never expected is passed over."""
        stream = self._streams.get(key)
        if stream is None:
            return
        stream.sources[source] = _Finding(state, reason)
        self._settle(ts, key, stream)

    def lose(self, ts: int, source: int, reason: str) -> None:
        """Forget a source: its connection has ended."""
        for key, stream in self._streams.items():
            if stream.sources.pop(source, None) is not None:
                if not stream.sources:
                    stream.reason = reason
                self._settle(ts, key, stream, reason)

    def explain(self, key: Key, reason: str) -> None:
        """Take the reason why nothing carries a stream, for those who ask; its state stays, and nobody is told anew."""
        stream = self._streams.get(key)
        if stream is not None and not stream.sources:
            stream.reason = reason

    def reason(self, key: Key) -> str:
        """Return why a stream is not certified, empty when it is."""
        stream = self._streams.get(key)
        return stream.reason if stream is not None else ""

    def followed(self, key: Key) -> int | None:
        """Return the source whose data counts, None while none is certified."""
        stream = self._streams.get(key)
        return stream.followed if stream is not None else None

    def state(self, key: Key) -> FeedState | None:
        """Return a stream's state, None for one that was never expected."""
        stream = self._streams.get(key)
        return stream.state if stream is not None else None

    def all(self) -> dict[Key, FeedState]:
        """Return the state of every stream."""
        return {key: stream.state for key, stream in self._streams.items() if stream.state is not None}

    def _settle(self, ts: int, key: Key, stream: _Stream, lost: str = UNCONNECTED) -> None:
        sources = stream.sources
        held = sources.get(stream.followed) if stream.followed is not None else None
        if held is None or held.state is not FeedState.CERTIFIED:
            certified = [source for source, found in sources.items() if found.state is FeedState.CERTIFIED]
            stream.followed = min(certified) if certified else None
        if stream.followed is not None:
            best = _Finding(FeedState.CERTIFIED, "")
        elif sources:
            best = min(sources.values(), key=lambda found: _RANK[found.state])
        else:
            best = _Finding(FeedState.STALE, lost)
        if best.state is not stream.state:
            stream.state, stream.reason = best
            self._tell(FeedStatus(ts, *key, *best))

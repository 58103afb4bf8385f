"""Holes in what was seen live, as spans: from the moment a stream lost its certificate until it had it again."""

import msgspec

from abidance.model.market import DataKind, FeedState, FeedStatus


class GapSpan(msgspec.Struct, frozen=True):
    """From `start` up to `end` (ns UTC) a stream of an instrument could not be trusted; `state` is the worst it was."""

    instrument: str
    kind: DataKind
    start: int
    end: int
    state: FeedState
    reason: str = ""


class Gaps:
    """Folds statuses into spans. What precedes the first certificate of a stream is no hole: nothing was recorded."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, DataKind], FeedStatus] = {}
        self._begun: set[tuple[str, DataKind]] = set()

    def take(self, status: FeedStatus) -> GapSpan | None:
        """Take a change of trust; return the span that it ends, if any."""
        key = (status.instrument, status.kind)
        if status.state is not FeedState.CERTIFIED:
            if key in self._begun:
                first = self._open.setdefault(key, status)
                if first.state is FeedState.STALE:  # what is missing says more than that something is
                    self._open[key] = msgspec.structs.replace(status, ts=first.ts)
            return None
        self._begun.add(key)
        first = self._open.pop(key, None)  # type: ignore[arg-type]
        return _span(first, status.ts) if first is not None else None

    def close(self, now: int) -> list[GapSpan]:
        """End all spans: nothing more is recorded from `now` on."""
        spans = [_span(first, now) for first in self._open.values()]
        self._open.clear()
        return spans


def _span(first: FeedStatus, end: int) -> GapSpan:
    return GapSpan(first.instrument, first.kind, first.ts, end, first.state, first.reason)

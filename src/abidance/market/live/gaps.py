"""Holes in what was seen live, as spans: from the moment a stream lost its certificate until it had it again."""

from collections.abc import Iterable, Iterator

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


class Mended(msgspec.Struct, frozen=True, gc=False):
    """From `start` up to `end` (ns UTC) a stream that was in doubt is whole after all: what was missed was told later.

    No event: it comes before the certificate that ends the doubt, to whoever keeps data.
    """

    instrument: str
    kind: DataKind
    start: int
    end: int


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
        return _span(self._open.pop(key), status.ts) if key in self._open else None

    def mend(self, mended: Mended) -> None:
        """Forget the open hole of a stream."""
        self._open.pop((mended.instrument, mended.kind), None)

    def close(self, now: int) -> list[GapSpan]:
        """End all spans: nothing more is recorded from `now` on."""
        spans = [_span(first, now) for first in self._open.values()]
        self._open.clear()
        return spans


def _span(first: FeedStatus, end: int) -> GapSpan:
    return GapSpan(first.instrument, first.kind, first.ts, end, first.state, first.reason)


class GapReplay:
    """A feed of what `spans` say: a backtest on recorded data meets the holes that the live run met."""

    def __init__(self, spans: Iterable[GapSpan]) -> None:
        self._spans = sorted(spans, key=lambda span: (span.instrument, span.kind, span.start, span.end))

    def events(self, after: int | None = None) -> Iterator[FeedStatus]:
        """Yield the changes of trust later than `after` (ns UTC), beginning with the holes that are open then."""
        since = -1 if after is None else after
        changes = sorted(self._changes(), key=lambda change: change[0])
        ends = {(status.instrument, status.kind): status for _, status in changes if status.ts <= since}
        for status in ends.values():
            if status.state is not FeedState.CERTIFIED:
                yield msgspec.structs.replace(status, ts=since + 1)
        yield from (status for _, status in changes if status.ts > since)

    def _changes(self) -> Iterator[tuple[tuple[int, str, DataKind], FeedStatus]]:
        """Yield both ends of each hole; holes of a stream that touch or overlap are one."""
        for span, end in _merged(self._spans):
            stream = (span.instrument, span.kind)
            for ts, state, reason in (
                (span.start, span.state, span.reason),
                (end, FeedState.CERTIFIED, ""),
            ):
                yield (ts, *stream), FeedStatus(ts, *stream, state, reason)


def _merged(spans: Iterable[GapSpan]) -> Iterator[tuple[GapSpan, int]]:
    """Yield the first of the spans of a stream that touch, and where the last of them ends."""
    first: GapSpan | None = None
    end = 0
    for span in spans:
        if (
            first is not None
            and (span.instrument, span.kind) == (first.instrument, first.kind)
            and span.start <= end
        ):
            end = max(end, span.end)
            continue
        if first is not None:
            yield first, end
        first, end = span, span.end
    if first is not None:
        yield first, end

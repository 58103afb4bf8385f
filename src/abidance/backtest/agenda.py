"""Compiled: which place the fast lane has to look at next, and when: a tree in which the smaller of two goes up.

An entry is a slice and, in its last `_BITS` bits, a place, so that places of one slice come in their order. Nobody has
bars of a million instruments in memory.
"""

# The rows of record tables have no types that mypy could see.
# mypy: warn-return-any=False

from abidance.backtest.jit import inlined
from abidance.backtest.tables import NEVER, World

_BITS = 20


@inlined
def put(w: World, p: int, entry: int) -> None:
    """Put an entry down for a place, in the stead of the one before."""
    tree, node = w.agenda, len(w.places) + p
    tree[node] = entry
    while node > 1:
        entry = min(entry, tree[node ^ 1])
        node >>= 1
        tree[node] = entry


@inlined
def await_slice(w: World, p: int, at: int) -> None:
    """Put a place down for a slice."""
    put(w, p, (at << _BITS) + p)


@inlined
def await_next(w: World, p: int, at: int) -> None:
    """Put a place down that has just been taken. In every second case it is for the slice that comes next."""
    state = w.lane[0]
    if at == state.at:
        w.soon[state.soon] = p
        state.soon += 1
    else:
        await_slice(w, p, at)


@inlined
def soonest(w: World) -> int:
    """Return the slice for which a place is down next."""
    return w.lane[0].at if w.lane[0].soon else w.agenda[1] >> _BITS


@inlined
def take(w: World, at: int) -> int:
    """Lay the places that are down for a slice into `scan`, and return how many; they are down for none now."""
    tree, state, count = w.agenda, w.lane[0], 0
    while tree[1] >> _BITS == at:
        w.scan[count] = tree[1] & ((1 << _BITS) - 1)
        put(w, w.scan[count], NEVER)
        count += 1
    for n in range(state.soon):
        p, row = w.soon[n], count
        while row > 0 and w.scan[row - 1] > p:
            w.scan[row] = w.scan[row - 1]
            row -= 1
        w.scan[row] = p
        count += 1
    state.soon = 0
    return count

"""Whether another bot of this program trades on the account: told by the mark of its orders and when they were placed.

What an order was before our account was compared, of whatever run, tells nothing of who runs now. Nothing here asks.
"""

from collections.abc import Callable

from abidance.kernel.ids import is_of_a_run
from abidance.venues.account import Execution, OrderKey, OrderReport


class Witness:
    """Hears of orders and executions that are on no record; `is_ours` knows our ids, `on_another` takes the words."""

    def __init__(self, is_ours: Callable[[str], bool], on_another: Callable[[str], object]) -> None:
        self.compared_at: int | None = None
        """When the account was compared first, in ns of the venue's time: what is older does not tell who runs now."""
        self.undated: dict[OrderKey, OrderReport] = {}
        """Orders that a bot of this program placed, nobody knows when: it must be asked."""
        self.suspects: list[Execution] = []
        """The newest execution of an order that another bot may have placed."""
        self._is_ours = is_ours
        self._on_another = on_another
        self._left_behind: set[str] = set()
        self._another = ""

    def wants(self, report: OrderReport) -> bool:
        """Say whether it must be asked first when an order was placed, and note that."""
        if report.created is None and self._is_marked(report.order_id):
            self.undated[report.key] = report
            return True
        self.undated.pop(report.key, None)
        return False

    def meet(self, report: OrderReport) -> bool:
        """Take an order that is on no record; say whether a bot of this program placed it while we ran."""
        if not self._is_marked(report.order_id):
            return False
        id = plain(report.order_id)
        if self.compared_at is None or report.created is None or report.created <= self.compared_at:
            self._left_behind.add(id)
        if id in self._left_behind:
            return False
        self.tell(id, report)
        return True

    def is_ours_left(self, report: OrderReport) -> bool:
        """Say whether an order that is on no record was placed by this run, before it began this time."""
        id = plain(report.order_id)
        return self._is_ours(id) and id in self._left_behind

    def suspect(self, execution: Execution, known: OrderReport | None) -> None:
        """Note an execution, the newest is enough, unless it is `known` or told who placed its order."""
        is_others = execution.order_id != "" and not self._is_marked(execution.order_id)
        is_told = is_others or (known is not None and known.order_id != "") or execution.is_forced
        if not is_told and self.compared_at is not None and execution.ts > self.compared_at:
            self.suspects = [execution]

    def tell(self, id: str, news: OrderReport | Execution) -> None:
        """Tell of an order that another bot placed; one is enough, and tells who it is."""
        what = f"{news.side} {news.quantity.normalize():f} {news.instrument}"
        if not self._another:
            self._another = id
            self._on_another(
                f"another bot of this program trades on this account: its order {id} ({what}) came while this one ran."
                " Stop one of the two, then start this one again."
            )

    def _is_marked(self, order_id: str) -> bool:
        """Say whether a bot of this program placed an order, by its client id."""
        id = plain(order_id)
        return is_of_a_run(id) or self._is_ours(id)


def plain(order_id: str) -> str:
    """Return our id in a client id: venues may answer in capitals or with the dashes of a UUID; a mark may follow."""
    return order_id.replace("-", "").lower()[:32] if len(order_id) >= 32 else order_id


def mark_of(order_id: str) -> int:
    """Return the number in the mark that follows our id in a client id, 0 where there is none."""
    mark = order_id.replace("-", "").lower()[32:]
    return int(mark[1:]) if mark[:1] == "r" and mark[1:].isdecimal() else 0

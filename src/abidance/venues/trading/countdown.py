"""The dead man's switch: a countdown at the venue that takes our orders back when we are not heard, begun anew in time.

Only where no stop of ours stands at the venue (`AccountDialect.countdown`): what it takes are entries and goals that
rest. While it cannot be begun anew, nothing more is laid there.
"""

from collections.abc import Callable

from abidance.venues.account import AccountDialect, Call
from abidance.venues.net.transport import within
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register

RENEWALS = 4
"""How often it is begun anew in the time that it runs: three may be lost."""
RETRY = 5.0
"""Seconds to the next try after one that failed."""
GOODBYE = 5.0
"""Seconds for which a program that ends waits for its countdown to be called off."""
CAUSE = "dead man"


class DeadMan:
    """One account's countdown; `keep` it beside everything else, and `release` it at the end.

    `doubt` takes a reason against new risk by its cause.
    """

    def __init__(
        self, dialect: AccountDialect, register: Register, way: Way, doubt: Callable[[str, str], None]
    ) -> None:
        self._dialect = dialect
        self._register = register
        self._way = way
        self._doubt = doubt

    async def keep(self) -> None:
        """Begin the countdown anew until cancelled; end at once where there is none."""
        countdown = self._dialect.countdown
        if countdown is None:
            return
        while True:
            pause = countdown.seconds / RENEWALS
            try:
                await self._ask(countdown.begin())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this venue alone
                pause = RETRY
                why = getattr(error, "found", "") or f"{type(error).__name__}: {error}"
                self._way.log.warning("dead_man_not_renewed", reason=why)
                self._doubt(CAUSE, f"the dead man's switch cannot be renewed: {why}")
            else:
                self._doubt(CAUSE, "")
            await self._way.pulse.sleep(pause)

    async def release(self) -> None:
        """Call the countdown off, unless something of ours rests that nobody will watch: that it is to take back."""
        countdown = self._dialect.countdown
        if countdown is None or any(each.is_standing for each in self._register.open()):
            return
        try:
            asking = self._ask(countdown.call_off())
            await within(self._way.pulse, GOODBYE, asking, "Calling the dead man's switch off")
        except Exception as error:  # noqa: BLE001 - it runs out by itself, and nothing of ours is there
            self._way.log.warning("dead_man_not_called_off", reason=str(error))

    async def _ask(self, call: Call) -> None:
        assert self._dialect.countdown is not None
        self._dialect.countdown.read(await self._way.wire.ask(call))

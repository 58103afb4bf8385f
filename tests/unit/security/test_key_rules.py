"""The rules for keys: a key that can withdraw is refused, the rest is said."""

import pytest

from abidance.model.errors import ConfigError
from abidance.model.instrument import SECOND_NS, InstrumentKind
from abidance.model.permissions import Permissions
from abidance.security.permissions import DAY_NS, SOON_DAYS, judge

NOW = 1_700_000_000 * SECOND_NS
GOOD = Permissions(can_trade=True, can_withdraw=False, ip_restricted=True, expires=0)


def but(**change: object) -> Permissions:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    return Permissions(**(fields | change))


def test_a_key_that_trades_from_one_address_and_nothing_else_passes_without_a_word() -> None:
    verdict = judge(GOOD, NOW)

    verdict.enforce("BINANCE main")
    assert verdict == ((), (), (), None, None)


def test_a_key_that_can_withdraw_is_refused_whatever_else_it_is() -> None:
    verdict = judge(but(can_withdraw=True, granted=("trade",)), NOW)

    assert verdict.refusals == ("It can withdraw money.",)
    with pytest.raises(ConfigError, match="The key of BINANCE main is refused: It can withdraw money"):
        verdict.enforce("BINANCE main")


def test_a_key_without_addresses_is_a_warning() -> None:
    verdict = judge(but(ip_restricted=False), NOW)

    assert "works from every address" in verdict.warnings[0]
    verdict.enforce("x")


def test_a_key_that_may_not_trade_is_a_warning() -> None:
    assert "may not trade" in judge(but(can_trade=False), NOW).warnings[0]


def test_a_key_trades_the_kinds_of_instruments_that_it_is_made_for() -> None:
    spot, perpetual = InstrumentKind
    of_spot = judge(but(markets=frozenset({spot})), NOW)

    of_spot.enforce_for_orders("BINANCE main", {spot})
    judge(GOOD, NOW).enforce_for_orders(
        "BINANCE main", set(InstrumentKind)
    )  # the venue does not tell them apart
    for needed in ({perpetual}, {spot, perpetual}):
        with pytest.raises(ConfigError, match="The key of BINANCE main may not trade perpetual instruments"):
            of_spot.enforce_for_orders("BINANCE main", needed)


def test_what_a_venue_does_not_tell_is_a_warning_that_says_where_to_look() -> None:
    everything = judge(Permissions(by_hand="Look there."), NOW)
    one = judge(but(can_withdraw=None, by_hand="Look there."), NOW)

    for untold in ("can withdraw money", "may trade", "bound to addresses and when it ends. Look there."):
        assert untold in everything.warnings[0]
    assert one.warnings == ("The venue does not tell whether it can withdraw money. Look there.",)
    one.enforce("x")


@pytest.mark.parametrize(
    ("left", "kind", "expected"),
    [
        (SOON_DAYS * DAY_NS, "facts", "It ends on 2023-11-28."),
        (SOON_DAYS * DAY_NS - 1, "warnings", "in 13 days"),
        (DAY_NS, "warnings", "in 1 day:"),
        (1, "warnings", "in 0 days"),
        (0, "refusals", "It ended on 2023-11-14."),
        (-DAY_NS, "refusals", "It ended on 2023-11-13."),
    ],
)
def test_an_end_is_shown_warned_of_fourteen_days_before_and_then_refused(
    left: int, kind: str, expected: str
) -> None:
    verdict = judge(but(expires=NOW + left), NOW)

    assert any(expected in sentence for sentence in getattr(verdict, kind))
    assert sum(map(len, verdict[:3])) == 1


def test_an_end_beyond_all_calendars_is_told_and_breaks_nothing() -> None:
    assert judge(but(expires=1 << 62), NOW).facts == ("It ends on 2116-02-20.",)
    assert judge(but(expires=10**30), NOW).facts == ("It ends after the year 9999.",)

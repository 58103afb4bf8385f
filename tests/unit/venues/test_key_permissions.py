"""What venues tell of a key, and what is said when they do not: five venues that check signatures for themselves."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from abidance.kernel.log import PROCESS
from abidance.model.errors import AbidanceError, ConfigError, InvariantError, VenueError
from abidance.model.instrument import SECOND_NS, InstrumentKind
from abidance.model.permissions import Permissions
from abidance.security.keys import typed
from abidance.venues.account import Call, Credentials
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer, NotSentError
from abidance.venues.trading import permissions as module
from abidance.venues.trading.permissions import ask_permissions
from abidance.venues.trading.wire import Wire
from tests.unit.venues.keyed_venue import GOOD, HOSTS, KEY, PASSPHRASE, PATHS, SECRET, KeyedVenue
from tests.unit.venues.net_world import EPOCH, HandPulse

VENUES = sorted(GOOD)
MINE = Credentials(KEY, SECRET, PASSPHRASE)
SHARED = Path(__file__).parents[4] / "shared" / "data" / "wire"


async def ask(
    venue: KeyedVenue, credentials: Credentials = MINE, rest_url: str = "", pulse: HandPulse | None = None
) -> Permissions:
    return await ask_permissions(venue.venue, credentials, venue, pulse or HandPulse(), rest_url)


async def told(
    venue: KeyedVenue, credentials: Credentials = MINE, pulse: HandPulse | None = None
) -> AbidanceError:
    with pytest.raises(AbidanceError) as caught:
        await ask(venue, credentials, pulse=pulse)
    for secret in (KEY, SECRET, PASSPHRASE):
        assert secret[:8] not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("venue", VENUES)
async def test_each_venue_is_asked_at_its_own_host_with_a_signature_that_it_takes(venue: str) -> None:
    there = KeyedVenue(venue, EPOCH)

    found = await ask(there)

    method, path = PATHS[venue]
    (asked,) = there.requests
    assert asked[0] == method
    assert asked[1].partition("?")[0] == f"https://{HOSTS[venue]}{path}"
    if venue == "MEXC":
        assert (found.can_trade, found.can_withdraw, found.ip_restricted) == (None, None, None)
        assert "API Management at MEXC" in found.by_hand
    else:
        assert (found.can_trade, found.can_withdraw, found.ip_restricted) == (True, False, True)


@pytest.mark.parametrize("venue", VENUES)
async def test_a_wrong_key_a_wrong_secret_and_a_wrong_clock_are_told_apart(venue: str) -> None:
    late = HandPulse()
    late.now = 3_600.0

    key = await told(KeyedVenue(venue, EPOCH), MINE._replace(key="nobodys" + KEY))
    secret = await told(KeyedVenue(venue, EPOCH), MINE._replace(secret="bm9ib2R5cyBzZWNyZXQgYXQgYWxs"))
    clock = await told(KeyedVenue(venue, EPOCH), pulse=late)

    assert isinstance(key, ConfigError)
    assert "does not know this key" in key.found
    assert "the secret does not belong to it" in secret.found
    if venue == "KRAKEN":
        assert "has seen a later request" in clock.found
    else:
        assert isinstance(clock, VenueError)
        assert "clock of this machine is off" in clock.found


async def test_by_how_much_the_clock_is_off_is_told_when_the_answer_has_a_date() -> None:
    class Dated(KeyedVenue):
        def answer(self, *request: Any) -> Answer:
            return super().answer(*request)._replace(headers={"date": "Tue, 14 Nov 2023 22:13:20 GMT"})

    late = HandPulse()
    late.now = 90.0

    error = await told(Dated("BINANCE", EPOCH), pulse=late)

    assert error.found == "BINANCE finds that the clock of this machine is off: it is about 90 s fast."


async def test_a_wrong_passphrase_at_kucoin_is_told() -> None:
    wrong = await told(KeyedVenue("KUCOIN", EPOCH), MINE._replace(passphrase="another one"))
    missing = await told(KeyedVenue("KUCOIN", EPOCH), MINE._replace(passphrase=""))

    assert "its passphrase is another one" in wrong.found
    assert missing.found == wrong.found


async def test_a_secret_that_cannot_sign_is_told_without_being_quoted() -> None:
    there = KeyedVenue("KRAKEN", EPOCH)

    error = await told(there, MINE._replace(secret="abc"))

    assert "the secret does not belong to it" in error.found
    assert there.requests == []


@pytest.mark.parametrize(
    ("venue", "answer", "expected"),
    [
        ("BINANCE", (400, {"code": -2015, "msg": "Invalid API-key, IP, or permissions."}), "refuses the key"),
        ("BYBIT", (200, {"retCode": 10005, "retMsg": "Permission denied"}), "does not let this key"),
        ("BYBIT", (200, {"retCode": 10010, "retMsg": "Unmatched IP"}), "other addresses only"),
        ("BYBIT", (200, {"retCode": 33004, "retMsg": "Your api key has expired"}), "has ended"),
        ("KRAKEN", (200, {"error": ["EGeneral:Permission denied"]}), "does not let this key"),
        ("KUCOIN", (400, {"code": "400006", "msg": "ip"}), "other addresses only"),
        ("KUCOIN", (400, {"code": "400007", "msg": "Access denied"}), "does not let this key"),
        ("MEXC", (400, {"code": 700006, "msg": "IP non white list"}), "other addresses only"),
        ("MEXC", (400, {"code": 700007, "msg": "No permission"}), "does not let this key"),
        *[(venue, (503, b"<html>down</html>"), "too busy") for venue in VENUES],
        *[(venue, (429, b"slow down"), "too busy") for venue in VENUES],
        *[
            (venue, (200, b"<html>maintenance</html>"), "did not tell what the key may do")
            for venue in VENUES
        ],
        *[(venue, (200, b""), "did not tell what the key may do") for venue in VENUES],
        *[(venue, (200, b"{}"), "did not tell what the key may do") for venue in VENUES],
        *[(venue, (200, b"[1]"), "did not tell what the key may do") for venue in VENUES],
        *[
            (venue, (403, b'{"code": "-99999", "retCode": 99, "error": ["EX"]}'), "did not tell")
            for venue in VENUES
        ],
    ],
)
async def test_what_a_venue_answers_instead_is_told_in_a_sentence(
    venue: str, answer: tuple[int, Any], expected: str
) -> None:
    there = KeyedVenue(venue, EPOCH)
    there.said = answer

    error = await told(there)

    assert expected in error.found
    assert error.remedy


async def test_a_network_that_is_not_there_is_told_and_nothing_else_is_blamed() -> None:
    class Down(KeyedVenue):
        async def request(self, *request: Any, **named: Any) -> Answer:
            raise NotSentError("No connection: refused.")

    silent = KeyedVenue("BINANCE", EPOCH)
    silent.is_up = False

    assert (await told(Down("BINANCE", EPOCH))).found == "BINANCE cannot be reached."
    assert (await told(silent)).found == "BINANCE did not answer."


@pytest.mark.parametrize(
    ("venue", "said"),
    [
        ("BINANCE", GOOD["BINANCE"] | {"enableWithdrawals": True}),
        (
            "BYBIT",
            GOOD["BYBIT"] | {"result": GOOD["BYBIT"]["result"] | {"permissions": {"Wallet": ["Withdraw"]}}},
        ),
        (
            "KRAKEN",
            GOOD["KRAKEN"] | {"result": GOOD["KRAKEN"]["result"] | {"permissions": ["withdraw-funds"]}},
        ),
        (
            "KRAKEN",
            GOOD["KRAKEN"] | {"result": GOOD["KRAKEN"]["result"] | {"permissions": ["Withdraw Funds"]}},
        ),
        ("KUCOIN", GOOD["KUCOIN"] | {"data": {"permission": "General, Spot, Withdrawal"}}),
        ("KUCOIN", GOOD["KUCOIN"] | {"data": {"permission": "General,Trade,Transfer"}}),
    ],
)
async def test_a_key_that_can_withdraw_is_known_as_one(venue: str, said: Any) -> None:
    there = KeyedVenue(venue, EPOCH)
    there.said = (200, said)

    assert (await ask(there)).can_withdraw is True


@pytest.mark.parametrize(
    ("venue", "said"),
    [
        ("BINANCE", GOOD["BINANCE"] | {"ipRestrict": False}),
        ("BYBIT", GOOD["BYBIT"] | {"result": GOOD["BYBIT"]["result"] | {"ips": ["*"]}}),
        ("BYBIT", GOOD["BYBIT"] | {"result": GOOD["BYBIT"]["result"] | {"ips": []}}),
        ("KRAKEN", GOOD["KRAKEN"] | {"result": GOOD["KRAKEN"]["result"] | {"ip_allowlist": []}}),
        ("KUCOIN", GOOD["KUCOIN"] | {"data": {"permission": "General", "ipWhitelist": ""}}),
    ],
)
async def test_a_key_that_works_from_everywhere_is_known_as_one(venue: str, said: Any) -> None:
    there = KeyedVenue(venue, EPOCH)
    there.said = (200, said)

    assert (await ask(there)).ip_restricted is False


@pytest.mark.parametrize(("permission", "may"), [("General,Spot,Margin", True), ("General,Spot", False)])
async def test_a_key_at_kucoin_may_use_the_margin_account_by_a_right_of_its_own(
    permission: str, may: bool
) -> None:
    there = KeyedVenue("KUCOIN", EPOCH)
    there.said = (200, GOOD["KUCOIN"] | {"data": {"permission": permission}})

    assert (await ask(there)).can_borrow is may


async def test_ends_are_read_in_each_venues_own_way() -> None:
    bybit, kraken, binance = (KeyedVenue(venue, EPOCH) for venue in ("BYBIT", "KRAKEN", "BINANCE"))
    days = GOOD["BYBIT"]["result"] | {"expiredAt": "", "deadlineDay": 3}
    never = GOOD["BYBIT"]["result"] | {"expiredAt": "1970-01-01T00:00:00Z"}

    assert (await ask(bybit)).expires == 1_809_156_025 * SECOND_NS
    bybit.said = (200, GOOD["BYBIT"] | {"result": days})
    assert (await ask(bybit)).expires == EPOCH + 3 * 86_400 * SECOND_NS
    bybit.said = (200, GOOD["BYBIT"] | {"result": never})
    assert (await ask(bybit)).expires == 0
    kraken.said = (200, {"error": [], "result": GOOD["KRAKEN"]["result"] | {"valid_until": "1800000000"}})
    assert (await ask(kraken)).expires == 1_800_000_000 * SECOND_NS
    binance.said = (200, GOOD["BINANCE"] | {"tradingAuthorityExpirationTime": 1_800_000_000_000})
    assert (await ask(binance)).expires == 1_800_000_000 * SECOND_NS


async def test_a_read_only_key_may_not_trade() -> None:
    bybit, mexc = KeyedVenue("BYBIT", EPOCH), KeyedVenue("MEXC", EPOCH, canTrade=False, canWithdraw=False)
    bybit.said = (200, GOOD["BYBIT"] | {"result": GOOD["BYBIT"]["result"] | {"readOnly": 1}})

    assert (await ask(bybit)).can_trade is False
    assert ((await ask(mexc)).can_trade, (await ask(mexc)).can_withdraw) == (False, False)


async def test_a_venue_that_repeats_what_it_was_sent_does_not_get_it_shown() -> None:
    for secret in MINE:
        PROCESS.hide(secret)
    there = KeyedVenue("MEXC", EPOCH)
    there.echoes = True

    error = await told(there)

    assert "[hidden]" in error.found


async def test_a_private_key_signs_as_well() -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
    signed: list[str] = []

    class ByPublicKey(KeyedVenue):
        def answer(self, method: str, url: str, *rest: Any) -> Answer:
            payload, _, signature = url.partition("?")[2].rpartition("&signature=")
            private.public_key().verify(base64.b64decode(unquote(signature)), payload.encode())
            signed.append(payload)
            return Answer(200, {}, json.dumps(GOOD["BINANCE"]).encode())

    found = await ask(ByPublicKey("BINANCE", EPOCH), Credentials(KEY, typed(pem, "secret").reveal()))

    assert found.can_trade
    assert len(signed) == 1


@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT"])
@pytest.mark.parametrize("lines", [1, 30])
async def test_a_private_key_that_is_none_is_told_without_being_quoted(venue: str, lines: int) -> None:
    body = "\n".join(["QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJz"] * lines)
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"

    error = await told(KeyedVenue(venue, EPOCH), MINE._replace(secret=pem))

    assert "the secret does not belong to it" in error.found
    assert "QUJDREVG" not in str(error)


async def test_a_venue_of_which_nothing_is_known_is_not_asked() -> None:
    there = KeyedVenue("BINANCE", EPOCH)

    found = await ask_permissions("GATEIO", MINE, there, HandPulse())

    assert found.can_withdraw is None
    assert "Look at it at GATEIO" in found.by_hand
    assert there.requests == []


@pytest.mark.parametrize(
    "address",
    ["https://evil.example", "http://api.binance.com", "https://api.binance.com.evil.example", "http://10.0.0.1:80",
     "https://api.binance.com@evil.example", "ftp://api.binance.com", "//evil.example", "api.binance.com"],
)  # fmt: skip
async def test_signed_requests_leave_for_no_other_address(address: str) -> None:
    there = KeyedVenue("BINANCE", EPOCH)

    with pytest.raises(ConfigError, match="no address of the venue"):
        await ask(there, rest_url=address)

    assert there.requests == []


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080", "http://localhost:1", "https://api.binance.com"]
)
async def test_this_machine_and_the_venue_itself_may_be_named(address: str) -> None:
    there = KeyedVenue("BINANCE", EPOCH)

    await ask(there, rest_url=address)

    assert there.requests[0][1].startswith(address)


async def test_a_signer_that_was_tampered_with_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = KeyedVenue("BINANCE", EPOCH)
    wire = Wire(module._INQUIRIES["BINANCE"], MINE, there, Budgets(HandPulse()), HandPulse())
    await wire.open()
    wire._signer.urls["api"]["sapi"] = "https://api.binance.evil.example/sapi/v1"

    with pytest.raises(InvariantError, match=r"api\.binance\.evil\.example"):
        await wire.ask(Call(("sapi",), "GET", "account/apiRestrictions"))

    assert there.requests == []


def test_the_documented_answer_of_mexc_is_read() -> None:
    place = SHARED / "mexc" / "rest" / "docs_spot_v3_examples.json"
    if not place.exists():
        pytest.skip("needs ../shared/data/wire")
    recorded = [
        each["payload"] for each in json.loads(place.read_text()) if "canWithdraw" in str(each["payload"])
    ]

    found = [module._mexc(json.dumps(payload).encode(), 0) for payload in recorded]

    assert found
    assert all(each.can_withdraw is None and each.by_hand for each in found)


def test_whether_a_passphrase_belongs_to_a_key_is_known_of_other_venues_too() -> None:
    assert [module.wants_passphrase(each) for each in ("KUCOIN", "OKX")] == [True, True]
    assert [module.wants_passphrase(each) for each in ("KRAKEN", "GATE", "NOWHERE")] == [False, False, False]


@pytest.mark.parametrize(
    ("venue", "body", "spot", "perpetual"),
    [
        ("BINANCE", {"enableSpotAndMarginTrading": True}, True, False),
        ("BINANCE", {"enableFutures": True}, False, True),
        ("BYBIT", {"result": {"readOnly": 0, "permissions": {"Spot": ["SpotTrade"]}}}, True, False),
        (
            "BYBIT",
            {"result": {"readOnly": 0, "permissions": {"ContractTrade": ["Order", "Position"]}}},
            False,
            True,
        ),
        (
            "BYBIT",
            {"result": {"readOnly": 0, "permissions": {"Derivatives": ["DerivativesTrade"]}}},
            False,
            True,
        ),
    ],
)
def test_a_venue_that_tells_markets_apart_is_believed(
    venue: str, body: dict[str, object], spot: bool, perpetual: bool
) -> None:
    complete = {"ipRestrict": True, "enableWithdrawals": False} if venue == "BINANCE" else {}

    found = module._INQUIRIES[venue].read(json.dumps(complete | body).encode(), 0)

    assert found.markets is not None
    assert set(found.markets) == {
        kind for kind, may in zip(InstrumentKind, (spot, perpetual), strict=True) if may
    }

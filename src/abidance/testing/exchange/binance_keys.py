"""Who asks Binance: keys, signatures over what came byte by byte, times in the window, listen keys that expire."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.counter import header
from abidance.testing.exchange.house import Asked, Place, Refusal, millis

_WINDOW_MS = 5_000
_LISTEN_NS = 3600 * SECOND_NS
Handler = Callable[[Account, Mapping[str, str]], object]


class BinanceKeys:
    """The keys of one exchange. Venues that sign as Binance does say no in their own words: `refusals` by reason."""

    def __init__(self, place: Place, refusals: Mapping[str, tuple[int, int, str]] | None = None) -> None:
        self._place = place
        self._refusals = dict(_REFUSALS) | dict(refusals or {})
        self._listens: dict[str, tuple[Account, int]] = {}
        self.expired: Callable[[Account, str], None] = lambda *_: None
        """Hears whose listen key ends because nobody kept it alive."""

    def signed(self, handler: Handler) -> Callable[[Asked], object]:
        """Return what answers a request that must be signed."""

        def answer(asked: Asked) -> object:
            raw = "&".join(part for part in (asked.raw_query, asked.body.decode("utf-8", "replace")) if part)
            account = self._of(asked)
            params = dict(parse_qsl(raw, keep_blank_values=True))
            payload, _, _ = raw.rpartition("&signature=")
            self.check(account, payload, params)
            try:
                return handler(account, params)
            except ValueError:
                text = "Illegal characters found in a parameter."
                raise Refusal(400, {"code": -1100, "msg": text}) from None

        return answer

    def keyed(self, handler: Callable[[Account], object]) -> Callable[[Asked], object]:
        """Return what answers a request that must only name its key."""
        return lambda asked: handler(self._of(asked))

    def _of(self, asked: Asked) -> Account:
        found = self.known(header(asked.headers, "x-mbx-apikey") or header(asked.headers, "x-mexc-apikey"))
        if not found.permissions.admit(asked.remote):
            raise self._no("address")
        return found

    def known(self, key: str) -> Account:
        """Return whose key it is. Raises Refusal."""
        account = self._place.desk.accounts.get(key)
        if account is None or account.permissions.is_revoked:
            raise self._no("key")
        return account

    def may_trade(self, account: Account) -> None:
        """Let only those through who may trade. Raises Refusal."""
        if not account.permissions.trade:
            raise self._no("right")

    def check(self, account: Account, payload: str, params: Mapping[str, str]) -> None:
        """Refuse what is not signed by the account, or not now."""
        signature = hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), params.get("signature", "").encode()):
            raise self._no("signature")
        try:
            stamp, window = int(params["timestamp"]), int(params.get("recvWindow", _WINDOW_MS))
        except (KeyError, ValueError):
            raise self._no("no time") from None
        now = millis(self._place.now)
        if not (stamp < now + 1_000 and now - stamp <= window):
            raise self._no("time")

    def _no(self, why: str) -> Refusal:
        status, code, text = self._refusals[why]
        return Refusal(status, {"code": code, "msg": text})

    # --- listen keys

    def listen_key(self, account: Account) -> str:
        """Return the account's listen key, valid for an hour from now."""
        name = hashlib.sha256(f"{account.key}:{self._place.now // _LISTEN_NS}".encode()).hexdigest()
        for known, (owner, until) in list(self._listens.items()):
            if owner is account and until > self._place.now:
                name = known
        until = self._place.now + _LISTEN_NS
        self._listens[name] = (account, until)
        self._place.at(until, lambda: self._expire(name))
        return name

    def _expire(self, name: str) -> None:
        """Let a listen key end, unless it was kept alive meanwhile."""
        account, until = self._listens.get(name, (None, 0))
        if account is not None and until <= self._place.now:
            del self._listens[name]
            self.expired(account, name)

    def listen_keys(self, account: Account) -> list[str]:
        """Return the account's listen keys that are in force."""
        now = self._place.now
        return [name for name, (owner, until) in self._listens.items() if owner is account and until > now]

    def forget(self, account: Account) -> None:
        """Let the account's listen keys end."""
        self._listens = {name: each for name, each in self._listens.items() if each[0] is not account}

    def listening(self, name: str) -> Account | None:
        """Return whose listen key it is, None when it is none or no longer in force."""
        account, until = self._listens.get(name, (None, 0))
        return account if until > self._place.now else None


_REFUSALS: Mapping[str, tuple[int, int, str]] = {
    "key": (401, -2015, "Invalid API-key, IP, or permissions for action."),
    "address": (401, -2015, "Invalid API-key, IP, or permissions for action."),
    "right": (401, -2015, "Invalid API-key, IP, or permissions for action."),
    "signature": (400, -1022, "Signature for this request is not valid."),
    "no time": (400, -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
    "time": (400, -1021, "Timestamp for this request is outside of the recvWindow."),
}

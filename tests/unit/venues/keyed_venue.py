"""Five venues as far as a key may ask about itself: each checks the key, the signature and the time for itself.

The signatures are computed here from the venues' documents, by other code than the program's.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from abidance.model.instrument import SECOND_NS
from abidance.venues.dialect import Endpoint
from abidance.venues.net.transport import Answer, DisconnectedError, Socket

KEY = "k4Q9xTqP2mZr7LwV8sYb3NcD6fGh1JkA"
SECRET = base64.b64encode(b"a secret that only the test and its venue know, forty").decode()
PASSPHRASE = "Pass-Phrase-77"

GOOD: Mapping[str, Any] = {
    "BINANCE": {
        "ipRestrict": True,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": True,
        "enablePortfolioMarginTrading": False,
    },
    "BYBIT": {
        "retCode": 0,
        "retMsg": "",
        "result": {
            "id": "13770661",
            "note": "readwrite api key",
            "apiKey": "XXXXXX",
            "readOnly": 0,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Spot": ["SpotTrade"],
                "Wallet": ["AccountTransfer", "SubMemberTransfer"],
                "Options": [],
                "NFT": [],
            },
            "ips": ["203.0.113.7"],
            "type": 1,
            "deadlineDay": 66,
            "expiredAt": "2027-05-01T07:20:25Z",
            "createdAt": "2022-10-16T02:24:40Z",
            "isMaster": True,
        },
        "time": 1697525990798,
    },
    "KRAKEN": {
        "error": [],
        "result": {
            "api_key_name": "abidance",
            "permissions": [
                "query-funds",
                "query-open-trades",
                "query-closed-trades",
                "modify-trades",
                "close-trades",
            ],
            "ip_allowlist": ["203.0.113.7"],
            "valid_until": "0",
        },
    },
    "KUCOIN": {
        "code": "200000",
        "data": {
            "remark": "account1",
            "apiKey": "6705f5c311545b000157d3eb",
            "apiVersion": 3,
            "permission": "General,Futures,Spot,InnerTransfer,Margin",
            "ipWhitelist": "203.**.154,103.**.34",
            "createdAt": 1728443843000,
            "uid": 165111215,
            "isMaster": True,
        },
    },
    "MEXC": {
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "updateTime": None,
        "accountType": "SPOT",
        "balances": [{"asset": "MAIN", "free": "1020000", "locked": "0"}],
        "permissions": ["SPOT"],
    },
}
"""What each venue answers of a key that may read and trade and nothing else, as its documents show it."""
PATHS = {
    "BINANCE": ("GET", "/sapi/v1/account/apiRestrictions"),
    "BYBIT": ("GET", "/v5/user/query-api"),
    "KRAKEN": ("POST", "/0/private/GetApiKeyInfo"),
    "KUCOIN": ("GET", "/api/v1/user/api-key"),
    "MEXC": ("GET", "/api/v3/account"),
}
HOSTS = {
    "BINANCE": "api.binance.com",
    "BYBIT": "api.bybit.com",
    "KRAKEN": "api.kraken.com",
    "KUCOIN": "api.kucoin.com",
    "MEXC": "api.mexc.com",
}
_WRONG_KEY = {
    "BINANCE": (401, {"code": -2008, "msg": "Invalid Api-Key ID."}),
    "BYBIT": (200, {"retCode": 10003, "retMsg": "API key is invalid.", "result": {}}),
    "KRAKEN": (200, {"error": ["EAPI:Invalid key"]}),
    "KUCOIN": (401, {"code": "400003", "msg": "KC-API-KEY not exists"}),
    "MEXC": (400, {"code": 10072, "msg": "Api key info invalid"}),
}
_WRONG_SECRET = {
    "BINANCE": (400, {"code": -1022, "msg": "Signature for this request is not valid."}),
    "BYBIT": (200, {"retCode": 10004, "retMsg": "error sign!", "result": {}}),
    "KRAKEN": (200, {"error": ["EAPI:Invalid signature"]}),
    "KUCOIN": (401, {"code": "400005", "msg": "Signature error"}),
    "MEXC": (400, {"code": 700002, "msg": "Signature for this request is not valid."}),
}
_LATE = {
    "BINANCE": (400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}),
    "BYBIT": (
        200,
        {"retCode": 10002, "retMsg": "invalid request, please check your server timestamp", "result": {}},
    ),
    "KRAKEN": (200, {"error": ["EAPI:Invalid nonce"]}),
    "KUCOIN": (401, {"code": "400002", "msg": "KC-API-TIMESTAMP Invalid"}),
    "MEXC": (400, {"code": 700003, "msg": "Timestamp for this request is outside of the recvWindow."}),
}


class KeyedVenue:
    """One venue, and a transport to it. `said` replaces what it answers to a good key, `echoes` lets it repeat all."""

    def __init__(self, venue: str, now: int, **change: Any) -> None:
        self.venue, self.now = venue, now
        self.key, self.secret, self.passphrase = KEY, SECRET, PASSPHRASE
        self.said: tuple[int, Any] = (200, GOOD[venue] | change)
        self.is_up, self.echoes = True, False
        self.requests: list[tuple[str, str]] = []

    async def connect(self, endpoint: Endpoint) -> Socket:
        raise DisconnectedError("no streams here")

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        assert not query
        if not self.is_up:
            raise DisconnectedError("No answer: reset.")
        if leaving is not None:
            leaving()
        return self.answer(method, url, headers, body or b"")

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return what the venue says to a request."""
        self.requests.append((method, url))
        status, said = self._judge(
            method, url, {name.lower(): value for name, value in headers.items()}, body
        )
        if self.echoes:
            said = {"oops": [url, dict(headers), body.decode(), self.secret, self.passphrase]}
            status = 400
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        return Answer(status, {"content-type": "application/json"}, content)

    def _judge(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        parts = urlsplit(url)
        if (method, parts.path) != PATHS[self.venue]:
            return 404, {"path": parts.path}
        key, made, wanted, sent_ms = getattr(self, f"_of_{self.venue.lower()}")(
            method, parts, headers, body.decode()
        )
        if key != self.key:
            return _WRONG_KEY[self.venue]
        if abs(sent_ms - self.now * 1000 // SECOND_NS) > 30_000:
            return _LATE[self.venue]
        if not hmac.compare_digest(made, wanted):
            return _WRONG_SECRET[self.venue]
        if self.venue == "KUCOIN" and headers["kc-api-passphrase"] != self._mac(self.passphrase):
            return 401, {"code": "400004", "msg": "KC-API-PASSPHRASE error"}
        return self.said

    def _mac(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self.secret.encode(), text.encode(), "sha256")).decode()

    def _hex(self, text: str) -> str:
        return hmac.digest(self.secret.encode(), text.encode(), "sha256").hex()

    def _of_binance(
        self, method: str, parts: Any, headers: Mapping[str, str], body: str
    ) -> tuple[str, str, str, int]:
        signed, _, made = parts.query.rpartition("&signature=")
        return headers["x-mbx-apikey"], made, self._hex(signed), int(parse_qs(signed)["timestamp"][0])

    def _of_mexc(
        self, method: str, parts: Any, headers: Mapping[str, str], body: str
    ) -> tuple[str, str, str, int]:
        signed, _, made = parts.query.rpartition("&signature=")
        return headers["x-mexc-apikey"], made, self._hex(signed), int(parse_qs(signed)["timestamp"][0])

    def _of_bybit(
        self, method: str, parts: Any, headers: Mapping[str, str], body: str
    ) -> tuple[str, str, str, int]:
        sent, key = headers["x-bapi-timestamp"], headers["x-bapi-api-key"]
        wanted = self._hex(sent + key + headers["x-bapi-recv-window"] + parts.query)
        return key, headers["x-bapi-sign"], wanted, int(sent)

    def _of_kucoin(
        self, method: str, parts: Any, headers: Mapping[str, str], body: str
    ) -> tuple[str, str, str, int]:
        sent, path = headers["kc-api-timestamp"], parts.path + (f"?{parts.query}" if parts.query else "")
        return (
            headers["kc-api-key"],
            headers["kc-api-sign"],
            self._mac(sent + method + path + body),
            int(sent),
        )

    def _of_kraken(
        self, method: str, parts: Any, headers: Mapping[str, str], body: str
    ) -> tuple[str, str, str, int]:
        nonce = parse_qs(body)["nonce"][0]
        inner = parts.path.encode() + hashlib.sha256((nonce + body).encode()).digest()
        wanted = base64.b64encode(hmac.digest(base64.b64decode(self.secret), inner, "sha512")).decode()
        return headers["api-key"], headers["api-sign"], wanted, int(nonce[:13])


@contextmanager
def on_loopback(venue: KeyedVenue) -> Iterator[str]:
    """Let the venue answer on loopback, and yield the settings that name it."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            venue.now = time.time_ns()
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = venue.answer(self.command, f"http://x{self.path}", dict(self.headers), body)
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET  # noqa: N815 - the name that the server looks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f'[feed.addresses.{venue.venue}]\nrest_url = "http://127.0.0.1:{server.server_port}"\n'
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""ccxt's unified methods without its network: what each would ask, and what it makes of the answer.

A method runs until its first request, which is handed out instead of being sent; to read an answer the same method runs
again, gets it, and must end. So ccxt decides how to say and to read things, and nothing else: when, whether and how
often something is sent stays with the gateway. Numbers are text, as the venue wrote them.
"""

import json
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from abidance.model.errors import UsageError, VenueError
from abidance.venues.account import Call
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.frames import plain
from abidance.venues.net.transport import Answer

Ask = Callable[[Call], Awaitable[Answer]]


class Caught(BaseException):
    """A request that is not to be sent, on its way past everything that ccxt itself would catch."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Asked:
    """Waits for the answer to a call, which whoever runs the method gives."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Generator[Call, Answer, Answer]:
        return (yield self._call)


class Script:
    """One of ccxt's venues; `prepare` it with its markets before anything is asked by it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exchange: Any = _scripted(exchange_class(name, streaming=False))({"enableRateLimit": False})
        self._errors = import_module("ccxt.base.errors")

    @property
    def hosts(self) -> frozenset[str]:
        """Return the hosts that ccxt names for the venue."""
        found = {
            urlsplit(self.exchange.implode_hostname(each)).hostname
            for each in _leaves(self.exchange.urls["api"])
        }
        return frozenset(each for each in found if each)

    def call(self, method: str, *given: Any) -> Call:
        """Return the first request of a method; its `told` is what `read` needs. Raises VenueError."""
        if not self.exchange.markets or self.exchange.asks is not None:
            raise self._refused("its markets are not known yet")
        work = getattr(self.exchange, method)(*given)
        try:
            call: Call = work.send(None)
        except StopIteration:
            raise self._refused(f"{method} asks nothing") from None
        except Exception as error:
            raise self._refused(f"{method}: {plain(error)}") from error
        finally:
            work.close()
        return call._replace(told=(method, given))

    def read(self, answer: Answer) -> Any:
        """Return what the method that asked makes of the answer.

        Raises ccxt's errors for what it takes for a refusal, VenueError for what it cannot read.
        """
        method, given = answer.told[:2]
        work = getattr(self.exchange, method)(*given)
        try:
            work.send(None)
            work.send(answer)
        except StopIteration as end:
            return end.value
        except self._errors.BaseError:
            raise
        except Exception as error:  # ccxt's code meets what nobody foresaw
            raise self._refused(f"{method}: {plain(error)}") from error
        finally:
            work.close()
        raise self._refused(f"{method} asks more than once")

    async def prepare(self, ask: Ask) -> None:
        """Ask for the venue's spot markets. Raises VenueError."""
        exchange = self.exchange
        fetch = exchange.options.get("fetchMarkets")
        if isinstance(fetch, Mapping) and isinstance(fetch.get("types"), list):
            exchange.options["fetchMarkets"] = {**fetch, "types": ["spot"]}
        exchange.asks = ask
        try:
            exchange.set_markets(await exchange.fetch_markets({}))
        except VenueError:
            raise
        except Exception as error:
            raise self._refused(f"its markets: {plain(error)}") from error
        finally:
            exchange.asks = None

    async def warm(self, ask: Ask, mark: str, method: str, *given: Any) -> Call:
        """Return the request of a method that bears `mark`; what is asked before it is asked, and kept by ccxt.

        The request itself is not sent, and nothing that changes anything is. Raises UsageError where ccxt cannot say it
        or says it without the mark, VenueError where the venue does not answer.
        """

        async def guarded(call: Call) -> Answer:
            if mark in str((call.params, call.rows)) or call.method != "GET":
                raise Caught(call)
            return await ask(call)

        self.exchange.asks = guarded
        try:
            await getattr(self.exchange, method)(*given)
        except Caught as caught:
            return caught.call
        except VenueError:
            raise
        except self._errors.NetworkError as error:
            raise self._refused(f"{method}: {plain(error)}") from error
        except Exception as error:
            raise UsageError(f"ccxt cannot: {plain(error)}", "") from error
        finally:
            self.exchange.asks = None
        raise UsageError(f"ccxt answers {method} by itself", "")

    def kind_of(self, error: BaseException) -> frozenset[str]:
        """Return the names of the kinds of error in ccxt's words that one is."""
        return frozenset(each.__name__ for each in type(error).__mro__)

    @property
    def errors(self) -> Any:
        """Return the kind of all errors that ccxt raises by itself."""
        return self._errors.BaseError

    def _refused(self, found: str) -> VenueError:
        return VenueError(f"{self.name.upper()}, through ccxt: {found}.", "It is asked again.")


def _scripted(inner: type) -> type:
    class Scripted(inner):  # type: ignore[misc]
        number = str
        asks: Ask | None = None

        async def load_markets(self, reload: bool = False, params: Any = None) -> Any:  # noqa: ARG002
            return self.markets

        async def request(
            self,
            path: str,
            api: Any = ("public",),
            method: str = "GET",
            params: Any = None,
            config: Any = None,  # noqa: ARG002
        ) -> Any:
            section = (api,) if isinstance(api, str) else tuple(api)
            rows = tuple(params) if isinstance(params, list) else ()
            said = (
                {} if rows else {name: value for name, value in (params or {}).items() if value is not None}
            )
            call = Call(section, method, path, said, rows=rows)
            answer = await (_Asked(call) if self.asks is None else self.asks(call))
            return self._heard(call, answer)

        def _heard(self, call: Call, answer: Answer) -> Any:
            """Return an answer's JSON, after ccxt has looked for an error in it."""
            text = answer.body.decode("utf-8", "replace")
            self.last_http_response = text
            try:
                said = json.loads(text, parse_float=str)
            except ValueError:
                said = None
            self.handle_errors(
                answer.status, "", call.path, call.method, dict(answer.headers), text, said, {}, None
            )
            self.handle_http_status_code(answer.status, "", call.path, call.method, text)
            if said is None:
                raise ValueError(f"no JSON: {text[:80]!r}")
            return said

    return Scripted


def _leaves(node: Any) -> Sequence[str]:
    if isinstance(node, Mapping):
        return [leaf for each in node.values() for leaf in _leaves(each)]
    return [node] if isinstance(node, str) else []


__all__ = ["Ask", "Script"]

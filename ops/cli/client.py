"""A client of the gateway: GraphQL over HTTP and websockets, files over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from commands.wire import ERRORS
from domain.shared.errors import (
    ImeweError,
    InvalidInputError,
    UnauthenticatedError,
    UnavailableError,
)
from ops.hosting.errors import NotRunningError

PATIENCE_S = 60.0
UPLOAD_PATIENCE_S = 3600.0
DOWNLOAD_PATIENCE_S = 3600.0
"""An export of a long log is looked through before its first byte."""
CLOSE_S = 0.5
"""Messages that nobody wants any more may stand before the answer to our goodbye."""
SUBPROTOCOL = Subprotocol("graphql-transport-ws")
OF_THE_GATEWAY: dict[str, type[ImeweError]] = {
    "POSITION_NOT_REACHED": UnavailableError,
    "PROJECTION_NOT_BUILT": UnavailableError,
    "TOO_LARGE": InvalidInputError,
}
"""Codes of its own, by the errors that mean the same to a client."""
LOGIN = """mutation($mail: String!, $password: String!) {
  login(mail: $mail, password: $password) {
    token expiresAt me { accountId name grants { role organisationId } }
    problems { code message field remedy } } }"""


class SubscriptionLostError(UnavailableError):
    """The socket ended before the subscription did."""

    code = "SUBSCRIPTION_LOST"


class Client:
    """One signed-in conversation with a gateway; use it as a context.

    ``transport`` is httpx's own, for tests that need no socket.
    """

    def __init__(
        self, url: str, token: str = "", *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=PATIENCE_S,
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def signed_in(cls, url: str, *, mail: str, password: str) -> Self:
        """Log in. Raises ``UnauthenticatedError``."""
        with cls(url) as stranger:
            return cls(url, str(stranger.log_in(mail=mail, password=password)["token"]))

    def log_in(self, *, mail: str, password: str) -> dict[str, Any]:
        """``token``, ``expiresAt`` and ``me``. Raises ``UnauthenticatedError``."""
        return self.command(LOGIN, {"mail": mail, "password": password})

    def execute(self, document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The ``data`` of an answer. Raises the typed error that the answer tells."""
        answer = self._post("/graphql", json={"query": document, "variables": variables or {}})
        shown: dict[str, Any] = answer.json()
        for error in shown.get("errors", ()):
            raise _told(error)
        return dict(shown["data"])

    def command(self, document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The payload of a document with one mutation. Raises its first problem as an error."""
        (payload,) = self.execute(document, variables).values()
        for problem in payload["problems"]:
            raise error_of(problem)
        return dict(payload)

    def upload(self, path: Path) -> dict[str, Any]:
        """Store a file: ``digest``, ``size`` (bytes), ``format``, ``name``.

        It is read as it is sent. Raises ``InvalidInputError`` for what the gateway refuses.
        """
        with path.open("rb") as file:
            answer = self._post(
                "/v1/artifacts", files={"file": (path.name, file)}, timeout=UPLOAD_PATIENCE_S
            )
        return dict(answer.json()["data"])

    def download(self, path: str, query: dict[str, Any]) -> Iterator[bytes]:
        """What a path gives, as it comes. Raises the typed error that the gateway tells, and
        ``UnavailableError`` when it breaks off."""
        try:
            with self._http.stream(
                "GET", path, params=query, timeout=DOWNLOAD_PATIENCE_S
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer)
                yield from answer.iter_bytes()
        except httpx.RemoteProtocolError as error:
            raise UnavailableError("the gateway broke off", remedy="try again") from error
        except httpx.TransportError as error:
            raise NotRunningError(
                f"no gateway answers at {self.url}: {error}", remedy="start one: imewe up"
            ) from error

    def subscribe(
        self, document: str, variables: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The ``data`` of every message until the subscription ends.

        Raises ``SubscriptionLostError`` when the socket ends first, and the typed error when the
        gateway refuses.
        """
        try:
            with connect(
                "ws" + self.url.removeprefix("http") + "/graphql",
                subprotocols=[SUBPROTOCOL],
                compression=None,
                proxy=None,
                close_timeout=CLOSE_S,
            ) as socket:
                yield from self._converse(socket, document, variables or {})
        except (WebSocketException, OSError) as error:
            raise SubscriptionLostError(f"the subscription was lost: {error}") from error

    def close(self) -> None:
        """End it."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _converse(
        self, socket: ClientConnection, document: str, variables: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        _say(socket, type="connection_init", payload={"authorization": f"Bearer {self._token}"})
        asked = {"query": document, "variables": variables}
        for text in socket:
            message = json.loads(text)
            match message["type"]:
                case "connection_ack":
                    _say(socket, type="subscribe", id="1", payload=asked)
                case "ping":
                    _say(socket, type="pong")
                case "next":
                    for error in message["payload"].get("errors", ()):
                        raise _told(error)
                    yield message["payload"]["data"]
                case "error":
                    raise _told(message["payload"][0])
                case "complete":
                    return
        raise SubscriptionLostError("the gateway closed the socket")

    def _post(self, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.post(path, **options)
        except httpx.TransportError as error:
            raise NotRunningError(
                f"no gateway answers at {self.url}: {error}", remedy="start one: imewe up"
            ) from error
        if answer.is_success or "errors" in _json(answer):
            return answer
        raise _refused(answer)


def error_of(problem: dict[str, Any]) -> ImeweError:
    """The typed error of a problem."""
    kind = ({**ERRORS, **OF_THE_GATEWAY}).get(problem.get("code", ""), ImeweError)
    return kind(
        problem.get("message") or problem.get("detail") or "refused",
        field=problem.get("field") or "",
        remedy=problem.get("remedy") or "",
    )


def _told(error: dict[str, Any]) -> ImeweError:
    extensions = error.get("extensions", {})
    if problem := extensions.get("problem"):
        return error_of(problem)
    return InvalidInputError(error["message"], field=extensions.get("code", ""))


def _refused(answer: httpx.Response) -> ImeweError:
    shown = _json(answer)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return UnauthenticatedError(shown.get("detail", "log in first"), remedy="imewe login")
    if shown:
        return error_of(shown)
    return UnavailableError(f"the gateway answered {answer.status_code}")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        shown = answer.json()
    except ValueError:
        return {}
    return shown if isinstance(shown, dict) else {}


def _say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))

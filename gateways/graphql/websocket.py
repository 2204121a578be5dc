"""graphql-transport-ws (PROTOCOL.md of graphql-ws): many operations on one socket.

Nothing is acknowledged before the token is checked, and the socket ends with the token. A client
that does not take what it is sent is closed with the position of the last event it was sent, so
that it can go on from there: memory here does not grow with its slowness.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from domain.shared.errors import UnauthenticatedError
from gateways.graphql import messages
from gateways.graphql.engine import Engine, Operation
from gateways.graphql.messages import BadMessageError, CloseCode
from gateways.ports import Gateway
from gateways.security.bearer import Caller, address_of, caller, expiry

INIT_WITHIN_S = 10.0
TOKEN_AGAIN_S = 5.0
TAKEN_WITHIN_S = 10.0
"""How long a client may take to read one message once the buffers are full."""
OPERATIONS_LIMIT = 100
REASON_BYTES = 123

log = structlog.get_logger()


class Closing(Exception):  # noqa: N818 the end of a conversation is no error
    """The socket must be closed, for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sockets:
    """The handler of the websocket at ``/graphql``."""

    def __init__(
        self, engine: Engine, gateway: Gateway, *, taken_within_s: float = TAKEN_WITHIN_S
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._taken_within_s = taken_within_s

    async def serve(self, websocket: WebSocket) -> None:
        """Talk to one client until one side has enough."""
        if messages.SUBPROTOCOL not in websocket.scope.get("subprotocols", []):
            await websocket.accept()
            await websocket.close(CloseCode.BAD_SUBPROTOCOL, "Subprotocol not acceptable")
            return
        await websocket.accept(messages.SUBPROTOCOL)
        await Socket(websocket, self._engine, self._gateway, self._taken_within_s).talk()


class Socket:
    """One client."""

    def __init__(
        self, websocket: WebSocket, engine: Engine, gateway: Gateway, taken_within_s: float
    ) -> None:
        self._websocket = websocket
        self._engine = engine
        self._gateway = gateway
        self._taken_within_s = taken_within_s
        self._caller: Caller | None = None
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._ended: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()

    async def talk(self) -> None:
        """Until the client leaves, breaks the protocol, or its token ends."""
        listening = asyncio.create_task(self._listen())
        watching = asyncio.create_task(self._watch_token())
        try:
            waiting: set[asyncio.Future[Any]] = {listening, self._ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            closing = self._ended.result() if self._ended.done() else listening.result()
        finally:
            tasks = [listening, watching, *self._operations.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if closing is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(closing.code, _fitting(closing.reason))

    def end(self, code: int, reason: str) -> None:
        """Close the socket from anywhere."""
        if not self._ended.done():
            self._ended.set_result(Closing(code, reason))

    async def _listen(self) -> Closing | None:
        try:
            await self._welcome()
            while True:
                await self._obey(messages.read(await self._receive()))
        except Closing as closing:
            return closing
        except BadMessageError as error:
            return Closing(CloseCode.BAD_MESSAGE, str(error))
        except WebSocketDisconnect:
            return None

    async def _watch_token(self) -> None:
        """A token that was good may be refused before it ends: the account was closed."""
        while True:
            await asyncio.sleep(TOKEN_AGAIN_S)
            if self._caller is None:
                continue
            try:
                self._gateway.verifier.verify(self._caller.token)
            except UnauthenticatedError as error:
                self.end(CloseCode.FORBIDDEN, f"UNAUTHENTICATED: {error.message}")
                return

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        return message.get("text") or message.get("bytes") or ""

    async def _welcome(self) -> None:
        try:
            async with asyncio.timeout(INIT_WITHIN_S):
                while (message := messages.read(await self._receive()))["type"] == "ping":
                    await self._send(messages.write("pong"))
        except TimeoutError:
            raise Closing(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout") from None
        if message["type"] != "connection_init":
            raise Closing(CloseCode.UNAUTHORIZED, "Unauthorized")
        try:
            self._caller = caller(
                _authorization(message),
                self._gateway.verifier,
                address=address_of(self._websocket),
            )
            self._caller.person()
        except UnauthenticatedError as error:
            stranger = Caller(address=address_of(self._websocket))
            self._gateway.denials.report(error, stranger, action="websocket")
            raise Closing(CloseCode.FORBIDDEN, f"UNAUTHENTICATED: {error.message}") from None
        left = expiry(self._caller) - self._gateway.clock.now().timestamp()
        asyncio.get_running_loop().call_later(
            left, self.end, CloseCode.FORBIDDEN, "UNAUTHENTICATED: the token has expired"
        )
        await self._send(messages.write("connection_ack"))

    async def _obey(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "ping":
                await self._send(messages.write("pong"))
            case "pong":
                pass
            case "subscribe":
                self._begin(messages.read_subscribe(message))
            case "complete":
                task = self._operations.pop(messages.message_id(message), None)
                if task:
                    task.cancel()
            case "connection_init":
                raise Closing(CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
            case _:
                raise BadMessageError("a message of this type is not for a server")

    def _begin(self, asked: messages.Subscribe) -> None:
        if asked.id in self._operations:
            raise Closing(CloseCode.ID_TAKEN, f"Subscriber for {asked.id[:80]} already exists")
        if len(self._operations) >= OPERATIONS_LIMIT:
            raise BadMessageError(f"at most {OPERATIONS_LIMIT} operations on a socket")
        task = asyncio.create_task(self._run(asked))
        self._operations[asked.id] = task
        task.add_done_callback(self._forget(asked.id))

    def _forget(self, operation_id: str) -> Callable[[asyncio.Task[None]], None]:
        def forget(task: asyncio.Task[None]) -> None:
            if self._operations.get(operation_id) is task:
                del self._operations[operation_id]
            if not task.cancelled() and (error := task.exception()):
                log.error("subscription failed", exc_info=error)
                self.end(1011, "Something went wrong on our side")

        return forget

    async def _run(self, asked: messages.Subscribe) -> None:
        assert self._caller is not None  # noqa: S101 nothing begins before the welcome
        operation = Operation(
            query=asked.query, variables=asked.variables, operation_name=asked.operation_name
        )
        last = ""
        with contextlib.suppress(WebSocketDisconnect):
            async with contextlib.aclosing(
                self._engine.stream(operation, self._caller)
            ) as outcomes:
                async for outcome in outcomes:
                    if not outcome.executed:
                        errors = orjson.dumps(orjson.loads(outcome.body)["errors"])
                        await self._send(messages.write("error", id=asked.id, payload=errors))
                        return
                    message = messages.write("next", id=asked.id, payload=outcome.body)
                    await self._send(message, last=last)
                    last = str(outcome.position or "")
            if self._operations.get(asked.id) is asyncio.current_task():
                del self._operations[asked.id]  # the id is free again once it hears of the end
                await self._send(messages.write("complete", id=asked.id))

    async def _send(self, message: str, *, last: str = "") -> None:
        try:
            async with asyncio.timeout(self._taken_within_s), self._turn:
                await self._websocket.send_text(message)
        except TimeoutError:
            self.end(CloseCode.TRY_AGAIN_LATER, f"SUBSCRIBER_LAGGING last={last or 'none'}")
            raise WebSocketDisconnect(CloseCode.TRY_AGAIN_LATER) from None
        except RuntimeError as error:  # starlette's word for a socket that is closed already
            raise WebSocketDisconnect(CloseCode.GOING_AWAY) from error


def _fitting(reason: str) -> str:
    """A control frame carries 123 bytes of reason (RFC 6455, 5.5.1)."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")


def _authorization(message: dict[str, object]) -> str | None:
    payload = message.get("payload")
    found = payload.get("authorization") if isinstance(payload, dict) else None
    return found if isinstance(found, str) else None

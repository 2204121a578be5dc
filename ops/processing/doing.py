"""What each kind of output means outside: a command, a request to a bridge, work, an alarm."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import structlog

from commands.dispatches.messages import ChooseNode
from commands.processes.outputs import Ask, ClearTimer, Output, Relay, Send, SetTimer
from domain.ports import CommandPort
from domain.shared.errors import ConflictError, DuplicateCommandError, ImeweError, UnavailableError
from ops.messaging.relay import BridgeRefusedError, WorkRelay
from ops.messaging.timers import Timers

ASK_TRIES: Final = 5
ASK_PAUSE_S: Final = 2.0

log = structlog.get_logger()


class Doer:
    """Does one output. ``refused`` hears of every command that was refused."""

    def __init__(
        self,
        commands: CommandPort,
        relay: WorkRelay,
        timers: Timers,
        *,
        refused: Callable[[Send], None],
    ) -> None:
        self._commands = commands
        self._relay = relay
        self._timers = timers
        self._refused = refused

    async def do(self, output: Output) -> Output | None:
        """Do it; what a refused command asks for instead. Raises ``UnavailableError``."""
        match output:
            case Send():
                return await self._send(output)
            case Relay():
                await self._relay.put(output)
                log.info("build on the queue", build_id=output.build_id, node_id=output.node_id)
            case Ask():
                await self._ask(output)
            case SetTimer():
                await self._timers.set(output.timer_id, output.due)
            case ClearTimer():
                await self._timers.clear(output.timer_id)
        return None

    async def _send(self, send: Send) -> Output | None:
        try:
            await self._commands.send(
                send.name,
                asdict(send.command),
                command_id=send.command_id,
                organisation_id=send.organisation_id,
                causation=send.causation_id,
                correlation=send.correlation_id,
            )
        except (UnavailableError, ConflictError):
            raise
        except DuplicateCommandError:
            log.debug("sent before with another content", command=send.name)
        except ImeweError as refusal:
            self._refused(send)
            log.info(
                "refused",
                command=send.name,
                code=refusal.code,
                reason=refusal.message,
                correlation_id=send.correlation_id,
                instead=send.on_refusal.name if send.on_refusal else None,
            )
            return send.on_refusal
        if isinstance(send.command, ChooseNode):
            _tell(send.command, send.correlation_id)
        return None

    async def _ask(self, ask: Ask) -> None:
        """A short silence is bridged here; a cancellation has an alarm that asks again."""
        for tries_left in reversed(range(1 if ask.verb == "cancel" else ASK_TRIES)):
            try:
                await self._relay.ask(ask)
                return
            except BridgeRefusedError as refusal:
                log.info("bridge refused", verb=ask.verb, reason=refusal.message, **_about(ask))
                return
            except UnavailableError as problem:
                log.info("bridge silent", verb=ask.verb, reason=problem.message, **_about(ask))
            if tries_left:
                await asyncio.sleep(ASK_PAUSE_S)


def _tell(choice: ChooseNode, correlation_id: str) -> None:
    best = choice.decision["candidates"][0]
    log.info(
        "node chosen",
        dispatch_id=choice.dispatch_id,
        attempt=choice.attempt,
        node_id=choice.node_id,
        score=best["score"],
        runner_up=choice.decision["runner_up"],
        rejected=choice.decision["rejected"],
        correlation_id=correlation_id,
    )


def _about(ask: Ask) -> dict[str, str]:
    return {"node_id": ask.node_id, "build_id": ask.build_id}

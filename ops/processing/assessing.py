"""The bench beside the steps: assesses parts, a few at a time, as long as it takes."""

import asyncio
from dataclasses import asdict
from typing import Any, Final

import structlog

from commands.fleet.fleet import Fleet
from commands.processes.assessing import Assessor, Question, given_up, questions
from domain.ports import CommandPort
from domain.shared.errors import ConflictError, DuplicateCommandError, ImeweError, UnavailableError
from domain.shared.identifiers import derived

AT_ONCE: Final = 2
TRIES: Final = 6
FIRST_PAUSE_S: Final = 0.5

log = structlog.get_logger()


class Bench:
    """Looks at the fleet when told to; each part is under way once."""

    def __init__(self, assessor: Assessor, commands: CommandPort) -> None:
        self._assessor = assessor
        self._commands = commands
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return all(task.done() for task in self._tasks.values())

    def look(self, fleet: Fleet) -> None:
        """Begin with every part that waits; forget those that wait no more."""
        for part_id in [
            p for p, t in self._tasks.items() if t.done() and p not in fleet.unassessed
        ]:
            del self._tasks[part_id]
        for question in questions(fleet):
            if question.part_id not in self._tasks:
                self._tasks[question.part_id] = asyncio.create_task(self._answer(question))

    async def stop(self) -> None:
        """Leave it; what has no answer is asked again after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, question: Question) -> None:
        try:
            async with self._turns:
                command = await self._assessed(question)
            await self._send(question, command)
        except Exception:
            log.exception("a part could not be assessed", part_id=question.part_id)
            raise

    async def _assessed(self, question: Question) -> Any:
        pause = FIRST_PAUSE_S
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._assessor.assess(question)
            except UnavailableError as error:
                if not tries_left:
                    return given_up(question, error)
                log.info("assessed later", part_id=question.part_id, reason=error.message)
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns")  # pragma: no cover

    async def _send(self, question: Question, command: Any) -> None:
        name = type(command).__name__
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._commands.send(
                    name,
                    asdict(command),
                    command_id=str(derived("assessed", question.part_id)),
                    organisation_id=question.organisation_id,
                    causation=question.causation_id,
                    correlation=question.correlation_id,
                )
                log.info("assessed", part_id=question.part_id, answer=name)
                return
            except (UnavailableError, ConflictError):
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            except DuplicateCommandError:
                return  # answered before, in other words
            except ImeweError as refusal:
                log.warning("refused", command=name, code=refusal.code, reason=refusal.message)
                return

"""Delivers the journal's reports to the core: in order per node, until each is answered."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog

from device_bridge.journal import Journal, Report
from domain.ports import CommandPort
from domain.shared.errors import ConflictError, ImeweError, NotFoundError, UnavailableError

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 10.0
Refused = Callable[[Report, ImeweError], None]


class Courier:
    """One delivery loop per node. A report that the core refuses for good is told and dropped.

    ``NotFoundError`` on ``ConnectMachine`` is waited out: the node will be registered.
    """

    def __init__(
        self, journal: Journal, commands: CommandPort, *, refused: Refused = lambda *_: None
    ) -> None:
        self._journal = journal
        self._commands = commands
        self._refused = refused
        self._waiting: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._log = structlog.get_logger("bridge.outbox")

    async def post(self, node_id: str, name: str, payload: dict[str, Any]) -> None:
        """Write a report down and have it delivered."""
        await self._journal.post(node_id, name, payload)
        self.wake(node_id)

    def wake(self, node_id: str) -> None:
        """There is something new in the journal."""
        self._waiting[node_id].set()

    async def run(self, node_id: str) -> None:
        """Deliver for ever; cancel to stop."""
        while True:
            self._waiting[node_id].clear()
            report = await self._journal.next_report(node_id)
            if report is None:
                await self._waiting[node_id].wait()
            else:
                await self._deliver(report)

    async def _deliver(self, report: Report) -> None:
        wait = FIRST_WAIT_S
        while not await self._sent(report):
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_S)
        await self._journal.delivered(report)

    async def _sent(self, report: Report) -> bool:
        try:
            await self._commands.send(
                report.name,
                report.payload,
                command_id=report.command_id,
                causation=report.causation_id,
                correlation=report.correlation_id,
            )
        except (UnavailableError, ConflictError, TimeoutError) as problem:
            self._log.info("core_unreachable", command=report.name, problem=str(problem))
            return False
        except NotFoundError as problem:
            if report.name == "ConnectMachine":
                self._log.info("node_not_registered", node_id=report.node_id)
                return False
            self._drop(report, problem)
        except ImeweError as problem:
            self._drop(report, problem)
        return True

    def _drop(self, report: Report, problem: ImeweError) -> None:
        self._log.warning(
            "report_refused", command=report.name, node_id=report.node_id, code=problem.code,
            problem=problem.message,
        )  # fmt: skip
        self._refused(report, problem)

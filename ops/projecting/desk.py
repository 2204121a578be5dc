"""Obeys admins: one operation for each projection at a time, in a thread of its own.

Every step is in the audit trail before it is taken, and its outcome after; a step that cannot be
written there is not taken. A build whose service was killed is taken up again.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import structlog

from commands.authorisation import MANAGE_PROJECTIONS, permitted_places
from commands.principal import Principal
from domain.shared.errors import ImeweError, RebuildRunningError, UnavailableError
from ops.messaging.administration import ASKING, Handler
from ops.projecting import operations, status, verbs
from ops.projecting.explaining import last_comparison, samples
from ops.projecting.places import BUILDING, FAILED, ITSELF, Connection, alone, mark, places
from ops.projecting.planning import plan
from ops.projecting.source import EventSource
from ops.projecting.telling import Order, Report, Tell, Telling, step_of, summary
from ops.projecting.threads import beside
from ops.projecting.versions import Versions

log = structlog.get_logger()

ANSWER_S = 5.0
"""An operation that takes longer is answered as RUNNING; it is noted as such long before."""
ABANDON_S = 3.0
TAKE_UP_S = 2.0
Look = Callable[[Principal, dict[str, Any]], dict[str, Any]]
INTERRUPTED = UnavailableError(
    "the service was ended in the middle of it", remedy="look at imewe projections status"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """Where the desk's work ends. ``connect`` gives autocommit connections, ``open_log`` a reader;
    ``moved`` hears of a projection whose rows readers see anew, with the ids that changed (none:
    all may have). All are called from threads."""

    connect: Callable[[], AbstractContextManager[Connection]]
    open_log: Callable[[], AbstractContextManager[EventSource]]
    report: Report
    tell: Tell
    moved: Callable[[str, int, list[str]], None]


class ProjectionDesk:
    """The service's side of ``imewe projections``. ``disk``: a folder on the database's disk."""

    def __init__(
        self,
        wires: Wires,
        versions: Versions,
        *,
        automatic: bool = True,
        disk: Path | None = None,
    ) -> None:
        self._wires = wires
        self._versions = versions
        self._automatic = automatic
        self._disk = disk
        self._closing = threading.Event()

    @property
    def handlers(self) -> dict[str, tuple[str, Handler]]:
        """Verbs with their right, for ``AdministrationDesk``."""
        asked: dict[str, Look] = {
            "status": lambda _person, _payload: self._status(),
            "operation": lambda _person, payload: self._operation(_named(payload)),
            "plan": lambda _person, payload: self._plan(_named(payload)),
            "parked": lambda _person, payload: self._parked(_named(payload)),
            "differences": self._differences,
        }
        found: dict[str, tuple[str, Handler]] = {
            verb: (MANAGE_PROJECTIONS, _answering(look)) for verb, look in asked.items()
        }
        return found | {verb: (MANAGE_PROJECTIONS, self._obeying(verb)) for verb in verbs.VERBS}

    def close(self) -> None:
        """Take nothing up any more, and leave builds where they are: the next service goes on."""
        self._closing.set()

    def obey(self, order: Order) -> dict[str, Any]:
        """Do it, in this thread; the answer is the operation. Refusals are noted and raised."""
        self._versions.named(order.name)
        with self._wires.connect() as connection:
            if order.verb == "drop":
                self._abandon(connection, order)
            with alone(connection, order.name):
                return self._obey(connection, order)

    def take_up(self) -> None:
        """Go on with builds whose service was killed, and close what else it left open."""
        with self._wires.connect() as connection:
            begun = connection.execute(
                "SELECT name FROM imewe.operations WHERE state = 'RUNNING' UNION"
                " SELECT name FROM imewe.builds WHERE state = 'BUILDING' AND NOT unattended"
            ).fetchall()
            for (name,) in begun:
                try:
                    with alone(connection, name):
                        self._take_up(connection, name)
                except RebuildRunningError:
                    continue

    def keep_taking_up(self) -> None:
        """``take_up`` until ``close``, in this thread."""
        while not self._closing.wait(TAKE_UP_S):
            try:
                self.take_up()
            except (psycopg.Error, ImeweError) as problem:
                log.warning("builds are not taken up", problem=str(problem).strip())
            except Exception:  # whatever one build raises, the next may be taken up
                log.exception("builds are not taken up")

    def _take_up(self, connection: Connection, name: str) -> None:
        last = operations.operation(connection, name)
        for place in places(connection, name):
            if place.state == BUILDING and not place.unattended and not place.in_use:
                if self._versions.find(name, place.version) is None:
                    mark(connection, place.schema, FAILED, error="the release changed")
                    continue
                by = last.started_by if last else ITSELF
                order = Order(verb="build", name=name, by=by, token="", payload={})
                self._obey(connection, order, again=True)
                return
        if last is not None and last.state == operations.RUNNING:
            operations.fail(connection, name, INTERRUPTED)
            left = Order(verb=last.verb, name=name, by=last.started_by, token="", payload={})
            said = {**step_of(left), "outcome": "failed", "reason": INTERRUPTED.message}
            self._try_report(said, left)

    def _obey(self, connection: Connection, order: Order, *, again: bool = False) -> dict[str, Any]:
        step = step_of(order)
        begun = f"taken up again for {order.by}" if again else ""
        operations.begin(connection, order.name, order.verb, by=order.by)
        try:
            self._wires.report({**step, "outcome": "begun", "reason": begun}, order.token)
        except ImeweError as error:
            operations.fail(connection, order.name, error)
            raise
        telling = Telling(connection, order, self._wires.tell, closing=self._closing)
        try:
            with self._wires.open_log() as source:
                result = verbs.VERBS[order.verb](self._work(connection, source, order, telling))
        except Exception as error:
            self._failed(connection, order, error)
            raise
        operations.finish(connection, order.name, result)
        self._wires.moved(order.name, result.get("position", 0), [])
        telling.end("DONE")
        self._try_report({**step, "outcome": "done", "reason": summary(result)}, order)
        log.info("done", verb=order.verb, projection=order.name, by=order.by)
        return {"operation": _told(operations.operation(connection, order.name))}

    def _work(
        self, connection: Connection, source: EventSource, order: Order, telling: Telling
    ) -> verbs.Work:
        return verbs.Work(
            name=order.name,
            connection=connection,
            source=source,
            versions=self._versions,
            connect=self._wires.connect,
            progress=telling,
            by=order.by,
            payload=order.payload,
            automatic=self._automatic,
        )

    def _failed(self, connection: Connection, order: Order, error: Exception) -> None:
        refusal = error if isinstance(error, ImeweError) else ImeweError(_plain(error))
        log.warning("failed", verb=order.verb, projection=order.name, problem=str(refusal))
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if not lost and not connection.closed:
            operations.fail(connection, order.name, refusal)
            self._mark_failed(connection, order, refusal)
        said = {**step_of(order), "outcome": "failed", "reason": str(refusal)[:200]}
        self._try_report(said, order)
        self._wires.tell(order.name, {"verb": order.verb, "state": "FAILED"})

    def _mark_failed(self, connection: Connection, order: Order, refusal: ImeweError) -> None:
        """A server that was away says nothing about the build: it is taken up again."""
        if order.verb not in ("build", "rebuild") or isinstance(refusal, UnavailableError):
            return
        for place in places(connection, order.name):
            if place.state == BUILDING and not place.unattended and not place.in_use:
                mark(connection, place.schema, FAILED, error=refusal.message)

    def _try_report(self, said: dict[str, str], order: Order) -> None:
        """What is done is done; the service's log keeps what the trail does not."""
        try:
            self._wires.report(said, order.token)
        except ImeweError as problem:
            log.error("a step is not in the audit trail", step=said, problem=str(problem))

    def _abandon(self, connection: Connection, order: Order) -> None:
        """What is being built can be dropped: its builder is fenced, and lets go of the lock."""
        if not verbs.abandon(connection, order.name, str(order.payload.get("schema") or "")):
            return
        until = time.monotonic() + ABANDON_S
        while time.monotonic() < until:
            try:
                with alone(connection, order.name):
                    return
            except RebuildRunningError:
                time.sleep(0.05)

    def _obeying(self, verb: str) -> Handler:
        async def obey(person: Principal, payload: dict[str, Any]) -> dict[str, Any]:
            order = Order(
                verb=verb,
                name=_named(payload),
                by=str(person),
                token=ASKING.get(),
                payload=payload,
            )
            self._versions.named(order.name)
            return await self._start(order)

        return obey

    async def _start(self, order: Order) -> dict[str, Any]:
        """The operation when it is done, or as it is after a while; refusals are raised."""
        working = beside(partial(self.obey, order))
        done, _ = await asyncio.wait([working], timeout=ANSWER_S)
        if done:
            return working.result()
        return await asyncio.to_thread(self._operation, order.name)

    def _operation(self, name: str) -> dict[str, Any]:
        with self._wires.connect() as connection:
            return {"operation": _told(operations.operation(connection, name))}

    def _status(self) -> dict[str, Any]:
        with self._wires.connect() as connection, self._wires.open_log() as source:
            found = status.statuses(connection, self._versions.current)
            return {
                "log": source.last_position(),
                "automatic": self._automatic,
                "projections": [asdict(each) for each in found],
            }

    def _plan(self, name: str) -> dict[str, Any]:
        with self._wires.connect() as connection, self._wires.open_log() as source:
            return asdict(plan(connection, source, self._versions, name, disk=self._disk))

    def _parked(self, name: str) -> dict[str, Any]:
        if name:
            self._versions.named(name)
        with self._wires.connect() as connection:
            return {"parked": [asdict(each) for each in status.parked(connection, name)]}

    def _differences(self, person: Principal, payload: dict[str, Any]) -> dict[str, Any]:
        name = self._versions.named(_named(payload)).name
        seen = permitted_places(MANAGE_PROJECTIONS, person)
        of, first = str(payload.get("of") or ""), int(payload.get("first") or 20)
        after = int(payload.get("after") or 0)
        with self._wires.connect() as connection, self._wires.open_log() as source:
            told = asdict(last_comparison(connection, name))
            shown = [each["of"] for each in told["tables"]] if not of else [of]
            rows = [
                row
                for each in shown
                for row in samples(
                    connection, source, name, of=each, first=first, after=after, seen=seen
                )
            ]
        return {**told, "rows": rows}


def _answering(look: Look) -> Handler:
    async def answer(person: Principal, payload: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(look, person, payload)

    return answer


def _named(payload: dict[str, Any]) -> str:
    return str(payload.get("name") or "")


def _told(found: operations.Operation | None) -> dict[str, Any] | None:
    return asdict(found) if found else None


def _plain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip()[:500]

"""One stored program, from the order to start it to the end that its machine reports."""

import asyncio

from device_bridge import gcode
from device_bridge.dialects.remote_job import Phase, RemoteJob, file_name
from device_bridge.protocols import Progressed, RunHandle, RunResult

PARTS = 1000
"""Steps of progress when nobody counted the program's lines."""


class RemoteRun:
    """Counts what the machine says; it gives out nothing.

    ``lines_done`` is the machine's own share of the file times its lines, at least 1 from the
    moment at which the machine named the program as its own.
    """

    def __init__(self, build_id: str, *, lines_total: int = PARTS, filament_mm: float = 1.75):
        self.build_id = build_id
        self.file_name = file_name(build_id)
        self.seen = False
        self.lines_done = 0
        self.lines_total = lines_total
        self._diameter = filament_mm
        self._used_mm = 0.0
        self._seconds: float | None = None
        self._result: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self.handle = RunHandle(build_id=build_id, lines_total=lines_total, result=self._result)

    @property
    def over(self) -> bool:
        """Whether the result is known."""
        return self._result.done()

    @property
    def finished(self) -> bool:
        """It ended well."""
        return self._result.done() and self._result.result().outcome == "finished"

    def saw(self, found: RemoteJob) -> Progressed | None:
        """The machine named this program; the progress to tell when it went on."""
        before, self.seen = self.lines_done, True
        share = 1.0 if found.phase is Phase.COMPLETED else min(max(found.share or 0.0, 0.0), 1.0)
        lines = int(share * self.lines_total)
        self.lines_done = min(max(self.lines_done, lines, 1), self.lines_total)
        if found.filament_mm is not None:
            self._used_mm = max(self._used_mm, found.filament_mm)
        if found.seconds is not None:
            self._seconds = found.seconds
        if self.lines_done == before:
            return None
        return Progressed(
            build_id=self.build_id, lines_done=self.lines_done, lines_total=self.lines_total
        )

    def end(self, outcome: str, *, reason: str = "", native_text: str = "") -> RunResult:
        """Settle the result; the first settlement holds."""
        if not self._result.done():
            self._result.set_result(
                RunResult(
                    outcome=outcome,
                    lines_done=self.lines_done,
                    lines_total=self.lines_total,
                    material_mm3=gcode.volume_mm3(self._used_mm, self._diameter),
                    reason=reason,
                    native_text=native_text,
                    duration_ms=None if self._seconds is None else round(self._seconds * 1000),
                )
            )
        return self._result.result()

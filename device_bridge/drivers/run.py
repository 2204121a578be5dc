"""One program on its way into a machine."""

import asyncio
from collections.abc import Iterator
from itertools import chain

from device_bridge import gcode
from device_bridge.protocols import JobSpec, RunHandle, RunResult


class Run:
    """Gives out a program's commands and counts what came back as taken."""

    def __init__(
        self,
        job: JobSpec,
        survey: gcode.Survey,
        *,
        longest: int,
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
    ) -> None:
        self.build_id = job.build_id
        self.held = False
        self.lines_done = 0
        self.lines_total = survey.lines + len(before) + len(after)
        self._diameter = job.filament_mm
        self._material = gcode.FilamentMeter()
        self._commands: Iterator[str] = chain(
            before, gcode.commands(job.program, longest=longest), after
        )
        self._result: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self.handle = RunHandle(
            build_id=job.build_id, lines_total=self.lines_total, result=self._result
        )

    @property
    def over(self) -> bool:
        """Whether the result is known."""
        return self._result.done()

    def next(self) -> str | None:
        """The next command, or ``None`` while held and at the end."""
        return None if self.held else next(self._commands, None)

    def taken(self, command: str) -> None:
        """The machine took one command."""
        self._material.take(command)
        self.lines_done += 1

    @property
    def complete(self) -> bool:
        """Every command was taken."""
        return self.lines_done >= self.lines_total

    def end(self, outcome: str, *, reason: str = "", native_text: str = "") -> RunResult:
        """Settle the result; the first settlement holds."""
        if not self._result.done():
            self._result.set_result(
                RunResult(
                    outcome=outcome,
                    lines_done=self.lines_done,
                    lines_total=self.lines_total,
                    material_mm3=gcode.volume_mm3(self._material.filament_mm, self._diameter),
                    reason=reason,
                    native_text=native_text,
                )
            )
        return self._result.result()

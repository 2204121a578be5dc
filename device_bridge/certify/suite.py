"""The whole suite over one driver: a fresh machine and a fresh driver for every check."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from device_bridge.certify.bench import Bench, CheckFailedError, watched
from device_bridge.certify.check import Applies, Check, State, Verdict
from device_bridge.certify.losing import LOSING
from device_bridge.certify.reading import READING
from device_bridge.certify.running import RUNNING
from device_bridge.certify.stopping import STOPPING
from device_bridge.drivers.catalogue import checked
from device_bridge.drivers.spec import DriverSpec, Peer, Quality
from device_bridge.machines import MachineConfig
from domain.shared.errors import ImeweError, InvalidInputError

CHECKS: tuple[Check, ...] = (*READING, *RUNNING, *STOPPING, *LOSING)
LONGEST_S = 120.0


def checks_for(spec: DriverSpec) -> list[Check]:
    """The checks that a driver must pass, in the order in which they run."""
    kind = Applies.READ_ONLY if spec.read_only else Applies.RUNNING
    return [check for check in CHECKS if check.applies in (Applies.ALL, kind)]


async def certify(
    spec: DriverSpec, folder: Path, *, only: frozenset[str] = frozenset()
) -> AsyncIterator[Verdict]:
    """Check a driver on its virtual peer; verdicts come one by one.

    Raises ``InvalidInputError`` when it has no peer.
    """
    if spec.peer is None:
        raise InvalidInputError(
            f"{spec.name} brings no virtual machine", remedy="give a real one with --port"
        )
    for number, check in enumerate(_wanted(spec, only)):
        own = folder / str(number)
        own.mkdir(parents=True)
        if reason := spec.exempt.get(check.name):
            yield Verdict(name=check.name, state=State.EXEMPT, text=reason, seconds=0.0)
            continue
        async with spec.peer(own) as peer:
            yield await _verdict(spec, peer, check, own)


async def certify_machine(
    spec: DriverSpec,
    machine: MachineConfig,
    folder: Path,
    *,
    program: str,
    moves: bool,
    only: frozenset[str] = frozenset(),
) -> AsyncIterator[Verdict]:
    """Check a driver on a real machine: only what moves nothing, unless ``moves``.

    ``program`` then runs several times over; it should take a few minutes. When nobody answers
    to begin with, nothing more is tried.
    """
    checked(machine, spec)
    peer = Peer(machine=machine, program=program, long_program=program, refused_program="M112\n")
    for check in _wanted(spec, only):
        if check.moves and not moves:
            text = "it would move the machine: --moves allows it"
            yield Verdict(name=check.name, state=State.SKIPPED, text=text, seconds=0.0)
        elif reason := spec.exempt.get(check.name):
            yield Verdict(name=check.name, state=State.EXEMPT, text=reason, seconds=0.0)
        else:
            verdict = await _verdict(spec, peer, check, folder, real=True)
            yield verdict
            if check.name == "identity" and verdict.state is State.FAILED:
                return


def earned(spec: DriverSpec, verdicts: list[Verdict]) -> Quality | None:
    """The quality that these verdicts bear out; ``None`` when not even reading works.

    Gold also needs a real machine, which no virtual one can stand in for.
    """
    good = {v.name for v in verdicts if v.state in (State.PASSED, State.EXEMPT)}
    reading = {check.name for check in checks_for(spec) if check.applies is Applies.ALL}
    if not reading <= good:
        return None
    if spec.read_only or not {check.name for check in checks_for(spec)} <= good:
        return Quality.BRONZE
    return Quality.GOLD if spec.tried_on_hardware else Quality.SILVER


def claims_too_much(spec: DriverSpec, quality: Quality | None) -> bool:
    """Whether a driver says more of itself than it earned."""
    order = list(Quality)
    return quality is None or order.index(spec.quality) > order.index(quality)


def _wanted(spec: DriverSpec, only: frozenset[str]) -> list[Check]:
    known = {check.name for check in CHECKS}
    if strange := only - known:
        raise InvalidInputError(
            f"there is no check {', '.join(sorted(strange))}",
            remedy="imewe bridge certify --list",
        )
    return [check for check in checks_for(spec) if not only or check.name in only]


async def _verdict(
    spec: DriverSpec, peer: Peer, check: Check, folder: Path, *, real: bool = False
) -> Verdict:
    if lacking := [need for need in check.needs if not _has(peer, need)]:
        text = f"the machine offers no {', '.join(lacking)}"
        return Verdict(name=check.name, state=State.SKIPPED, text=text, seconds=0.0)
    started = monotonic()
    state, text = State.FAILED, ""
    try:
        async with _bench(spec, peer, folder, real=real) as bench, asyncio.timeout(LONGEST_S):
            text = await check.run(bench)
        state = State.PASSED
    except CheckFailedError as failure:
        text = str(failure)
    except TimeoutError:
        text = f"not over within {LONGEST_S:.0f} s"
    except ImeweError as refusal:
        text = f"{refusal.code}: {refusal.message}"
    except Exception as crash:  # a driver under test may fail in any way
        text = f"it crashed: {type(crash).__name__}: {crash}"
    return Verdict(name=check.name, state=state, text=text, seconds=monotonic() - started)


@asynccontextmanager
async def _bench(spec: DriverSpec, peer: Peer, folder: Path, *, real: bool) -> AsyncIterator[Bench]:
    """A bench that is cleared away; what escaped from the driver meanwhile fails the check."""
    async with watched() as escaped:
        bench = Bench(spec, peer, folder)
        try:
            yield bench
        finally:
            with contextlib.suppress(Exception):  # the check has its own verdict by now
                if real:
                    await bench.make_safe()
            with contextlib.suppress(Exception):
                await bench.close()
    if escaped:
        raise CheckFailedError(f"an exception escaped: {escaped[0]}")


def _has(peer: Peer, need: str) -> bool:
    offered: dict[str, object] = {
        "program": peer.program,
        "long_program": peer.long_program,
        "blocking_program": peer.blocking_program,
        "refused_program": peer.refused_program,
        "starts": peer.starts,
        "received": peer.received,
        "hot": peer.hot,
        "unplug": peer.unplug,
        "fail": peer.fail,
        "babble": peer.babble,
        "flood": peer.flood,
    }
    return bool(offered[need])

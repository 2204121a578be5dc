"""Virtual machines that speak over bytes, made ready for the certifier."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device_bridge.drivers.spec import Peer, PeerMaker
from device_bridge.machines import MachineConfig
from device_bridge.virtual.machine import MachinePlan, VirtualMachine

FLOOD_LINES = 20
FLOOD_PAUSE_S = 0.005


def _steps(count: int, *, feed: int) -> str:
    return "".join(f"G1 X{number % 50} Y{number % 2} F{feed}\n" for number in range(1, count + 1))


PRINTING: dict[str, str] = {
    "program": f"G90\nM104 S60\n{_steps(60, feed=6000)}",
    "long_program": f"G90\nM104 S60\n{_steps(4000, feed=3600)}",
    "blocking_program": "G28\nM109 S250\nG1 X10 F600\n",
    "refused_program": "G1 X1 F600\nM112\nG1 X2\n",
}
MILLING: dict[str, str] = {
    "program": f"G21 G90\nM3 S500\n{_steps(60, feed=6000)}M5\nM30\n",
    "long_program": f"G21 G90\nM3 S500\n{_steps(4000, feed=3600)}M5\nM30\n",
    "blocking_program": "G21 G90\nM3 S500\nG1 X200 F60\nG4 P600\nG1 X0 F60\nM5\n",
    "refused_program": "G1 X1 F600\n$X\nG1 X2\n",
}


def printer_peer(dialect: str, *, link: str = "pty", failing: str = "thermal") -> PeerMaker:
    """A virtual printer of this firmware; ``failing`` is the fault that it fails a program by."""
    return _peer_maker(
        MachinePlan(name="printer", dialect=dialect, link=link),
        programs=PRINTING,
        failing=failing,
        chatter=b" T:21.50 /0.00 B:20.00 /0.00 @:0 B@:0\n",
    )


def mill_peer(dialect: str, *, link: str = "pty") -> PeerMaker:
    """A virtual mill of this firmware."""
    return _peer_maker(
        MachinePlan(name="mill", dialect=dialect, link=link),
        programs=MILLING,
        failing="error",
        chatter=b"<Run|MPos:1.000,1.000,0.000|FS:600,500|Ov:100,100,100>\r\n",
    )


def _peer_maker(
    plan: MachinePlan, *, programs: dict[str, str], failing: str, chatter: bytes
) -> PeerMaker:
    @asynccontextmanager
    async def made(folder: Path) -> AsyncIterator[Peer]:
        machine = VirtualMachine(plan, folder=folder)
        machine.start()
        floods: list[asyncio.Task[None]] = []
        try:
            yield Peer(
                machine=_config(plan, machine),
                program=programs["program"],
                long_program=programs["long_program"],
                blocking_program=programs["blocking_program"],
                refused_program=programs["refused_program"],
                starts=lambda: machine.ledger.counts.starts,
                # GRBL's ``?`` asks and moves nothing: it is not counted as sent.
                received=lambda: machine.received_bytes - machine.received_questions,
                hot=lambda: _hot(machine),
                unplug=machine.unplug,
                fail=lambda: machine.faults.add(failing),
                babble=machine.say,
                flood=lambda for_s: floods.append(_flooding(machine, chatter, for_s)),
            )
        finally:
            for flood in floods:
                flood.cancel()
            machine.stop()

    return made


def _config(plan: MachinePlan, machine: VirtualMachine) -> MachineConfig:
    return MachineConfig(
        node_id="certify",
        name=plan.name,
        dialect=plan.dialect,
        port=machine.address,
        virtual=True,
    )


def _hot(machine: VirtualMachine) -> bool:
    body = machine.firmware.body
    return body.spindle_w > 0 or any(heater.target_c > 0 for heater in body.heaters.values())


def _flooding(machine: VirtualMachine, chatter: bytes, for_s: float) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(_flood(machine, chatter, for_s))


async def _flood(machine: VirtualMachine, chatter: bytes, for_s: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + for_s
    while loop.time() < end:
        machine.say(chatter * FLOOD_LINES)
        await asyncio.sleep(FLOOD_PAUSE_S)

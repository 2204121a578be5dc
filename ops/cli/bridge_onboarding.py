"""`imewe bridge scan`, `probe`, `propose`, `approve`: from the box to a node of the fleet."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from device_bridge.discovery import Found, announced, marked, named_ports, serial_ports
from device_bridge.drivers.catalogue import OWN_FOLDER
from device_bridge.drivers.spec import scheme_of
from device_bridge.machines import MachineConfig, read_machines
from device_bridge.probing import Probed, candidates, probe
from device_bridge.proposals import (
    FILE,
    Proposal,
    keep_proposals,
    machine_of,
    mismatches,
    proposal_named,
    proposed,
    read_proposals,
)
from domain.node.profile import checked_profile
from domain.shared.errors import ImeweError, InvalidInputError, NotFoundError
from ops.cli.bridge_drivers import given_options
from ops.cli.bridge_machines import FILE as MACHINES
from ops.cli.bridge_machines import check_machine, take_up
from ops.cli.client import Client
from ops.cli.homes import Home
from ops.cli.joining import configure, known_id, register
from ops.cli.profiles import registered_profile, size_of
from ops.cli.reach import AsJson, Reach, Url, machine_id, show
from ops.settings import Settings

Ports = Annotated[list[str] | None, typer.Argument(help="Paths or URLs to look at beside.")]
Option = Annotated[
    list[str] | None, typer.Option(help="key=value the driver needs to ask; key=@file.")
]
NoNetwork = Annotated[bool, typer.Option("--no-network", help="Only serial ports.")]
Rate = Annotated[int, typer.Option(help="Bits per second of serial ports.")]


def scan(
    ports: Ports = None,
    option: Option = None,
    baudrate: Rate = 115200,
    home: Home = None,
    *,
    asking: Annotated[
        bool, typer.Option("--probe", help="Open what is not known yet, and ask who it is.")
    ] = False,
    no_network: NoNetwork = False,
    as_json: AsJson = False,
) -> None:
    """Look for machines: USB serial ports, and printers that announce themselves. Opens nothing.

    Example: imewe bridge scan
    """
    folder = Settings.from_environment(home).home
    found = _look(folder, ports or [], network=not no_network)
    answers: dict[str, Any] = {}
    if asking:
        for each in found:
            if not each.machine:
                answers[each.port] = _asked(each, folder, given_options(option or []), baudrate)
    show(
        [
            {
                **each.as_json(),
                **({"probed": _told(answers[each.port])} if each.port in answers else {}),
            }
            for each in found
        ],
        as_json=as_json,
        headings=("port", "says", "usb", "machine"),
        rows=[
            (
                each.port,
                _words(answers[each.port]) if each.port in answers else each.says,
                each.usb,
                each.machine or "new",
            )
            for each in found
        ],
    )


def probe_port(
    port: Annotated[str, typer.Argument(help="A path or an URL.")],
    dialect: Annotated[
        str, typer.Option("--driver", "--dialect", help="Ask as this driver only.")
    ] = "",
    node: Annotated[
        str, typer.Option(help="A registered machine to compare with, by name or id.")
    ] = "",
    option: Option = None,
    baudrate: Rate = 115200,
    home: Home = None,
    url: Url = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Ask a machine who it is. Nothing moves, but opening a USB port restarts many boards: never
    ask a machine that prints from its own card. Exits 1 when it is not what --node promises.

    Example: imewe bridge probe /dev/ttyUSB0 --node prusa-1
    """
    folder = Settings.from_environment(home).home
    (found,) = marked(named_ports([port]), [])
    dialects = [dialect] if dialect else candidates(port, folder=folder / OWN_FOLDER)
    options = given_options(option or [])
    probed = _probed(found, dialects, folder, options=options, baudrate=baudrate)
    proposal = proposed(probed)
    differences = []
    if node:
        with Reach.find(url, home).client() as client:
            registered = registered_profile(client, machine_id(client, node))
        differences = mismatches(proposal.profile, registered)
    told = {**_told(proposal), "tried": probed.tried, "mismatches": differences}
    rows = [
        ("driver", proposal.driver),
        ("firmware", proposal.firmware),
        *proposal.capabilities.items(),
        *((f"proposed {name}", value) for name, value in proposal.profile.items()),
        ("a person must say", ", ".join(proposal.missing)),
        *(("MISMATCH", each) for each in differences),
    ]
    show(told, as_json=as_json, headings=("what", "value"), rows=rows)
    if differences:
        raise typer.Exit(1)


def propose(
    ports: Ports = None,
    option: Option = None,
    baudrate: Rate = 115200,
    home: Home = None,
    *,
    no_network: NoNetwork = False,
    as_json: AsJson = False,
) -> None:
    """Scan, ask everything that is not known yet, and keep what answered for approval.

    Nothing becomes a machine of the fleet by this.

    Example: imewe bridge propose
    """
    folder = Settings.from_environment(home).home
    options = given_options(option or [])
    fresh: list[Proposal] = []
    for each in _look(folder, ports or [], network=not no_network):
        if each.machine:
            continue
        answer = _asked(each, folder, options, baudrate)
        if isinstance(answer, Proposal):
            fresh.append(answer)
        else:
            typer.echo(f"imewe: {each.port}: {answer.message}", err=True)
    known = keep_proposals(folder / FILE, fresh) if fresh else read_proposals(folder / FILE)
    taken_up = {machine.node_id for machine in read_machines(folder / MACHINES)}
    waiting = [each for each in known if each.node_id not in taken_up]
    show(
        [_told(each) for each in waiting],
        as_json=as_json,
        headings=("proposal", "name", "driver", "firmware", "port", "a person must say"),
        rows=[(p.id, p.name, p.driver, p.firmware, p.port, ", ".join(p.missing)) for p in waiting],
    )


def approve(
    proposal: Annotated[str, typer.Argument(help="Its id, or how it begins.")],
    name: Annotated[str, typer.Option(help="How you call it; else as it calls itself.")] = "",
    process: Annotated[str, typer.Option(help="fdm, mill or laser.")] = "",
    materials: Annotated[str, typer.Option(help="For example PLA,PETG.")] = "",
    size: Annotated[str, typer.Option(help="The largest piece in mm: 250x210x210.")] = "",
    bridge: Annotated[str, typer.Option(help="The bridge beside it.")] = "local",
    home: Home = None,
    url: Url = None,
    *,
    hold: Annotated[
        bool, typer.Option("--hold", help="It takes no work until staff resumes it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a proposed machine a node, as you: registered, configured, taken up by the bridge.

    Nothing starts on it before somebody has cleared its bed.

    Example: imewe bridge approve 3f2a91c0 --name prusa-1 --materials PLA,PETG --size 250x210x210
    """
    folder = Settings.from_environment(home).home
    wanted = proposal_named(folder / FILE, proposal)
    profile = dict(wanted.profile)
    if process:
        profile["process"] = process
    if materials:
        profile["materials"] = [each.strip() for each in materials.split(",")]
    if size:
        profile["max_size"] = size_of(size)
    name = name or wanted.name
    machines = folder / MACHINES
    check_machine(machines, machine_of(wanted, wanted.node_id, name))
    with Reach.find(url, home).client() as client:
        if not wanted.node_id:
            checked_profile(profile)
            _refuse_a_taken_name(client, name)
            fresh = register(client, name=name, bridge=bridge, hold=hold)
            wanted = replace(wanted, node_id=fresh, name=name)
            keep_proposals(folder / FILE, [wanted])  # said again after a failure it goes on here
        configure(client, wanted.node_id, profile)
    node_id = wanted.node_id
    take_up(machines, machine_of(wanted, node_id, name))
    told = {"node_id": node_id, "name": name, "port": wanted.port, "driver": wanted.driver}
    row = (name, node_id, "held" if hold else "look at its bed, then: imewe nodes clear-bed")
    show(told, as_json=as_json, headings=("name", "node", "next"), rows=[row])


def _look(folder: Path, ports: Sequence[str], *, network: bool) -> list[Found]:
    heard = asyncio.run(announced()) if network else []
    return marked([*named_ports(ports), *serial_ports(), *heard], read_machines(folder / MACHINES))


def _asked(
    found: Found, folder: Path, options: dict[str, str], baudrate: int
) -> Proposal | ImeweError:
    """One port's proposal, or why there is none: one machine never stops the others."""
    dialects = candidates(found.port, folder=folder / OWN_FOLDER, hint=found.hint)
    try:
        probed = _probed(found, dialects, folder, options=options, baudrate=baudrate)
    except ImeweError as problem:
        return problem
    return proposed(probed, found)


def _probed(
    found: Found,
    dialects: Sequence[str],
    folder: Path,
    *,
    options: dict[str, str],
    baudrate: int,
) -> Probed:
    if scheme_of(found.port) == "serial" and not Path(found.port).exists():
        raise NotFoundError(f"there is no port {found.port}", field="port")
    machine = MachineConfig(
        node_id="probe",
        name="probe",
        dialect="",
        port=found.port,
        baudrate=baudrate,
        options=options,
    )
    return asyncio.run(probe(machine, dialects, folder=folder / OWN_FOLDER))


def _refuse_a_taken_name(client: Client, name: str) -> None:
    """A new machine must not put on the profile of another that bears its name."""
    if known_id(client, name) is not None:
        raise InvalidInputError(
            f"a machine is called {name} already", field="name", remedy="say another --name"
        )


def _told(answer: Proposal | ImeweError) -> dict[str, Any]:
    return answer.as_json() if isinstance(answer, Proposal) else {"problem": answer.message}


def _words(answer: Proposal | ImeweError) -> str:
    if isinstance(answer, Proposal):
        return f"{answer.driver}: {answer.firmware}"
    return answer.message

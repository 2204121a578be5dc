"""`imewe bridge`: which machine hangs on which port of this computer."""

import json
from pathlib import Path
from typing import Annotated

import typer

from device_bridge.drivers.catalogue import OWN_FOLDER
from device_bridge.machines import MachineConfig, read_machines
from domain.shared.errors import InvalidInputError
from ops.cli.bridge_certify import certify_driver
from ops.cli.bridge_drivers import given_options, list_drivers, shown_machine
from ops.cli.bridge_machines import FILE, take_up
from ops.cli.bridge_onboarding import approve, probe_port, propose, scan
from ops.cli.bridge_safety import safety
from ops.cli.bridge_stop import stop
from ops.cli.homes import Home
from ops.cli.reach import AsJson, Polite, show
from ops.hosting.home import lock_holder, make_home, write_private
from ops.messaging.accounts import bridge_user
from ops.messaging.bridges import enrol, wait_until_known
from ops.messaging.server import credentials
from ops.settings import Settings

app = typer.Typer(
    help="Which machine hangs on which port of this computer.", no_args_is_help=True, cls=Polite
)
app.command("drivers")(list_drivers)
app.command("certify")(certify_driver)


@app.command("list")
def list_machines(home: Home = None, *, as_json: AsJson = False) -> None:
    """List the machines of this computer's bridge.

    Example: imewe bridge list
    """
    found = read_machines(_file(home))
    rows = [
        (m.name, m.dialect, m.port, m.baudrate, "virtual" if m.virtual else "", m.node_id)
        for m in found
    ]
    headings = ("name", "dialect", "port", "baud", "", "node")
    folder = _file(home).with_name(OWN_FOLDER)
    told = [shown_machine(each, folder) for each in found]
    show(told, as_json=as_json, headings=headings, rows=rows)


@app.command()
def add(
    node_id: Annotated[str, typer.Argument(help="The node that it is: imewe nodes register.")],
    port: Annotated[str, typer.Argument(help="A path or an URL: /dev/ttyUSB0, tcp://mill:23.")],
    dialect: Annotated[
        str, typer.Option("--driver", "--dialect", help="Its driver: imewe bridge drivers.")
    ] = "marlin",
    name: Annotated[str | None, typer.Option(help="How you call it; else the port.")] = None,
    baudrate: Annotated[int, typer.Option(help="Bits per second.")] = 115200,
    meter: Annotated[str, typer.Option(help="The port of its power meter, if it has one.")] = "",
    option: Annotated[
        list[str] | None,
        typer.Option(help="key=value, as the driver has them; key=@file reads the value."),
    ] = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add a machine, or give a known node another port. The bridge notices within seconds.

    Example: imewe bridge add 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70 /dev/ttyUSB0
    """
    path = _file(home)
    wanted = MachineConfig(
        node_id=node_id,
        name=name or Path(port).name,
        dialect=dialect,
        port=port,
        baudrate=baudrate,
        meter=meter,
        options=given_options(option or []),
    )
    take_up(path, wanted)
    show(
        shown_machine(wanted, path.with_name(OWN_FOLDER)),
        as_json=as_json,
        headings=("name", "dialect", "port", "node"),
        rows=[(wanted.name, wanted.dialect, wanted.port, wanted.node_id)],
    )


@app.command("enrol")
def enrol_bridge(
    bridge_id: Annotated[str, typer.Argument(help="A word for it, for example hall-2.")],
    node: Annotated[
        list[str] | None, typer.Option(help="The id of a machine it drives; may be repeated.")
    ] = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Let another bridge log in, for its own machines only; say it again for more machines.

    Its password goes into a file of its own; a running server knows it within seconds.

    Example: imewe bridge enrol hall-2 --node 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    settings = Settings.from_environment(home)
    if settings.nats_url:
        raise InvalidInputError(
            "this nats-server is not ours", remedy="give the bridge a user in its configuration"
        )
    nodes = enrol(make_home(settings.home), bridge_id, node or [])
    user = bridge_user(bridge_id)
    running = lock_holder(settings.home) is not None
    if running:
        wait_until_known(settings, user, nodes)
    path = settings.home / f"{user}.json"
    write_private(path, json.dumps({user: credentials(settings.home)[user]}))
    found = {"bridge": bridge_id, "nodes": nodes, "credentials": str(path), "known": running}
    rows = [(bridge_id, len(nodes), path, "yes" if running else "at the next imewe up")]
    show(found, as_json=as_json, headings=("bridge", "machines", "credentials", "known"), rows=rows)


def _file(home: Path | None) -> Path:
    return Settings.from_environment(home).home / FILE


app.command("stop")(stop)
app.command("safety")(safety)
app.command("scan")(scan)
app.command("probe")(probe_port)
app.command("propose")(propose)
app.command("approve")(approve)

"""`imewe up` with stand-ins for our services. Arguments: home, then manners of ``bridge``."""

import sys
from pathlib import Path

from ops.cli.up import print_json
from ops.hosting.units import ServiceProcess
from ops.observability.logging import configure
from ops.settings import Settings
from ops.supervisor import supervise

FAKE = Path(__file__).with_name("fake_service.py")


def main() -> None:
    settings = Settings.from_environment(Path(sys.argv[1]))
    configure("console", service="supervisor")
    roles = {"commands": "wait", "bridge": "wait", "gateway": "serve"}
    units = [
        ServiceProcess(
            name,
            [
                *(sys.executable, "-P", str(FAKE), str(settings.home), name, role),
                sys.argv[2] if name == "bridge" else "polite",
            ],
            settings.home,
        )
        for name, role in roles.items()
    ]
    supervise(settings, units, print_json)


if __name__ == "__main__":
    main()

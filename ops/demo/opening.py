"""`imewe up --virtual-shop`: gives a home the demo's virtual machines if it has none."""

from collections.abc import Callable
from functools import partial

import structlog

from device_bridge.virtual.shop import PLANS, read_plans
from domain.shared.errors import UnauthenticatedError
from ops.cli.client import Client
from ops.demo.shop import DemoError, furnish
from ops.hosting.entrance import first_admin, gateway_url
from ops.settings import Settings

log = structlog.get_logger()


def preparation(settings: Settings) -> Callable[[], None]:
    """What must be done, once the gateway answers, before the virtual shop starts.

    Raises ``InvalidInputError`` at once for machines of the home that cannot be read.
    """
    place = settings.home / PLANS
    if place.exists():
        read_plans(place)
    return partial(furnish_empty, settings)


def furnish_empty(settings: Settings) -> None:
    """Register the demo's machines where the home has no virtual ones.

    Raises ``DemoError`` when the first admin cannot log in any more.
    """
    if (settings.home / PLANS).exists():
        return
    admin = first_admin(settings)
    try:
        with Client.signed_in(
            gateway_url(settings), mail=admin.mail, password=admin.password
        ) as portal:
            names = furnish(portal, settings.home)
    except UnauthenticatedError as error:
        raise DemoError(
            f"no virtual machines can be made: {admin.mail} cannot log in",
            remedy="mend admin.json in the home, or start without --virtual-shop",
        ) from error
    log.info("a virtual shop was made", machines=len(names))

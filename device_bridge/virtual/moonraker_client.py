"""One websocket of a virtual Moonraker, and what it subscribed to."""

from typing import Any

from device_bridge.virtual.web import Guest

Objects = dict[str, dict[str, Any]]


class Client:
    """One websocket: what it subscribed to, and what it was told last."""

    def __init__(self, guest: Guest, *, trusted: bool) -> None:
        self.guest = guest
        self.trusted = trusted
        self.wanted: dict[str, Any] = {}
        self.told: Objects = {}

    def select(self, objects: Objects) -> Objects:
        """The wanted fields of these objects."""
        return {
            name: {k: v for k, v in objects[name].items() if fields is None or k in fields}
            for name, fields in self.wanted.items()
            if name in objects
        }

    def difference(self, objects: Objects) -> Objects:
        """What changed of the wanted fields since the last time."""
        now = self.select(objects)
        changed = {
            name: {k: v for k, v in fields.items() if self.told.get(name, {}).get(k) != v}
            for name, fields in now.items()
        }
        self.told = now
        return {name: fields for name, fields in changed.items() if fields}

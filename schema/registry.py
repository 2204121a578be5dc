"""Which step carries an old version of an event to the next.

A released version of an event never changes, and a stored event is never written again. A class
that became different has a higher ``class_version``, and a module in ``schema/upcasters`` holds
one pure function for each step: it takes the body of a stored event as the older version wrote it
and returns it as the next version would have. They are chained on reading.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

import schema.upcasters as _modules

Body = dict[str, Any]
Upcaster = Callable[[Body], Body]


class MissingUpcasterError(LookupError):
    """There is no step from this version of this event to the next."""

    def __init__(self, topic: str, version: int) -> None:
        super().__init__(f"no upcaster leads from version {version} of {topic} to {version + 1}")
        self.topic = topic
        self.version = version


class Upcasters:
    """Steps by topic and the version they start from."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Upcaster] = {}

    def step(self, topic: str, *, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Decorate the function that leads from one version of a topic to the next."""

        def register(upcaster: Upcaster) -> Upcaster:
            if (topic, from_version) in self._steps:
                raise ValueError(f"{topic} has two upcasters from version {from_version}")
            self._steps[topic, from_version] = upcaster
            return upcaster

        return register

    def has(self, topic: str, *, from_version: int) -> bool:
        """Whether there is such a step."""
        return (topic, from_version) in self._steps

    def apply(self, topic: str, body: Body, *, from_version: int, to_version: int) -> Body:
        """The body as ``to_version`` would have written it. Raises ``MissingUpcasterError``."""
        for version in range(from_version, to_version):
            upcaster = self._steps.get((topic, version))
            if upcaster is None:
                raise MissingUpcasterError(topic, version)
            body = upcaster(body)
        return body


UPCASTERS = Upcasters()
"""The steps of this program; ``schema/upcasters`` registers them here."""


@cache
def known_upcasters() -> Upcasters:
    """The steps of this program, all modules of ``schema/upcasters`` read."""
    for module in pkgutil.iter_modules(_modules.__path__):
        importlib.import_module(f"{_modules.__name__}.{module.name}")
    return UPCASTERS

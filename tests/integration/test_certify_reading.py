"""The drivers that only read pass the conformance suite on their virtual machines."""

import asyncio
from pathlib import Path

import pytest

from device_bridge.certify.check import State, Verdict
from device_bridge.certify.suite import certify, checks_for, earned
from device_bridge.drivers.catalogue import driver_named
from device_bridge.drivers.spec import Quality

SLOW_TO_START = {"opcua": frozenset({"nonsense"})}
"""Every check has a machine of its own; of one that takes seconds to start, this one has to do."""


@pytest.mark.parametrize("name", ["mtconnect", "modbus_meter", "opcua", "mqtt", "shdr"])
def test_a_reading_driver_of_ours_earns_what_it_claims(
    tmp_path: Path, name: str, long_tests: bool
) -> None:
    spec = driver_named(name)
    only = frozenset[str]() if long_tests else SLOW_TO_START.get(name, frozenset())

    async def gathered() -> list[Verdict]:
        return [verdict async for verdict in certify(spec, tmp_path, only=only)]

    found = asyncio.run(gathered())
    assert [verdict for verdict in found if verdict.state is not State.PASSED] == []
    assert len(found) == len(only or checks_for(spec))
    assert only or earned(spec, found) is Quality.BRONZE

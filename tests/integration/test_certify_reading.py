"""The drivers that only read pass the conformance suite on their virtual machines."""

import asyncio
from pathlib import Path

import pytest

from device_bridge.certify.check import State
from device_bridge.certify.suite import certify, earned
from device_bridge.drivers.catalogue import driver_named
from device_bridge.drivers.spec import Quality


@pytest.mark.parametrize("name", ["mtconnect", "modbus_meter"])
def test_a_reading_driver_of_ours_earns_what_it_claims(tmp_path: Path, name: str) -> None:
    spec = driver_named(name)

    async def gathered() -> list[tuple[str, State, str]]:
        verdicts = [verdict async for verdict in certify(spec, tmp_path)]
        assert earned(spec, verdicts) is Quality.BRONZE
        return [(v.name, v.state, v.text) for v in verdicts]

    found = asyncio.run(gathered())
    assert [one for one in found if one[1] is not State.PASSED] == []

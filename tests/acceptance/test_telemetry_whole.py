"""What the virtual machines measured while they made something, as a person asks for it."""

from pathlib import Path
from typing import Any

import pytest

from tests.whole import Whole

pytestmark = pytest.mark.stack

BUILDS = "query($id: ID!) { job(id: $id) { parts { builds { id nodeId startedAt endedAt } } } }"
HISTORY = """query($ids: [ID!]!) { buildTelemetry(buildIds: $ids) { attempt history {
  since until stepMs series { channel unit at low high number } gaps { cause } } } }"""
CHANNELS = """query($id: ID!) { telemetryChannels(nodeId: $id) {
  channels { name unit last } metrics { temperature } refused { fault detail } } }"""


def test_a_build_has_its_temperatures_from_its_beginning_to_its_end(
    whole: Whole, program: Path
) -> None:
    job_id = whole.submit(program)
    whole.until_ended(job_id)
    parts = whole.portal.execute(BUILDS, {"id": job_id})["job"]["parts"]
    build = parts[0]["builds"][-1]

    def measured() -> Any:
        shown = whole.portal.execute(HISTORY, {"ids": [build["id"]]})
        history = shown["buildTelemetry"][0]["history"]
        names = {each["channel"] for each in history["series"] if sum(each["number"]) > 1}
        wanted = {"temperature.hotend0.actual_c", "temperature.bed.actual_c"}
        return history if wanted <= names else None

    history = whole.until(measured, "the build's temperatures")
    assert (history["since"], history["gaps"]) == (build["startedAt"], [])
    hot_end = next(s for s in history["series"] if s["channel"] == "temperature.hotend0.actual_c")
    assert hot_end["unit"] == "°C"
    assert min(value for value in hot_end["low"] if value is not None) > 15
    assert 150 < max(value for value in hot_end["high"] if value is not None) < 300
    shown = whole.portal.execute(CHANNELS, {"id": build["nodeId"]})["telemetryChannels"]
    assert shown["refused"] == []
    assert all(each["unit"] for each in shown["channels"]), shown["channels"]

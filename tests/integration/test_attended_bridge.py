"""A whole bridge beside a machine without a wire: tasks, words of a person, restarts."""

from pathlib import Path
from typing import Any

from device_bridge.agent import Agent
from device_bridge.machines import MachineConfig, write_machines
from tests.integration.bridge_rig import until
from tests.integration.bridge_shop import NODE, bridge

PERSON = "user/7c1f"
PATIENCE_S = 30.0


def attended(home: Path, **options: str) -> None:
    """Write the machine down for a bridge."""
    machine = MachineConfig(
        node_id=NODE, name="resin", dialect="attended", port="person", options=options
    )
    write_machines(home / "machines.json", [machine])


async def task(agent: Agent) -> dict[str, Any]:
    """The one task, once there is one."""

    found: list[dict[str, Any]] = []

    def seen() -> bool:
        found[:] = [t for p in vars(agent)["_places"].values() if (t := p.session.task())]
        return bool(found)

    await until(seen, within_s=PATIENCE_S)
    assert (await agent.control("tasks", {}))["tasks"]
    return found[0]


async def say(agent: Agent, said: str, **more: Any) -> dict[str, Any]:
    """A person's word about the build."""
    request = {"node_id": NODE, "build_id": "b1", "said": said, "operator": PERSON, **more}
    return await agent.control("attend", request)


async def test_a_person_fetches_the_file_starts_and_finishes(tmp_path: Path) -> None:
    attended(tmp_path, folder=str(tmp_path / "card"), instructions="mind the resin")
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        waiting = await task(agent)
        assert waiting["state"] == "WAITING"
        assert waiting["instructions"] == "mind the resin"
        assert _content(waiting) == "G1 X1\n"
        assert not core.commands("StartBuild")
        assert (await say(agent, "start"))["fresh"]
        await core.told("StartBuild", within_s=PATIENCE_S)
        again = await say(agent, "start")
        assert again["ok"] and not again["fresh"]
        assert (await say(agent, "finish", material_mg=12400))["execution"] == "READY"
        finished = await core.told("FinishBuild", within_s=PATIENCE_S)
        assert finished["material_mg"] == 12400
        assert finished["material_mm3"] == 10000
        assert finished["energy_source"] == "none"
        await until(lambda: not _building(agent), within_s=PATIENCE_S)
        again = await say(agent, "finish")
        assert again["ok"] and not again["fresh"]
        assert (await say(agent, "scrap", reason="late"))["error"]["code"] == "CONFLICT"
        assert len(core.commands("FinishBuild")) == len(core.commands("StartBuild")) == 1
        assert _content(waiting) is None


async def test_nothing_ends_that_nobody_began(tmp_path: Path) -> None:
    attended(tmp_path)
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        await task(agent)
        for said in ("finish", "scrap", "pause", "resume"):
            assert (await say(agent, said, reason="why"))["error"]["code"] == "NOT_STARTED"
        assert (await say(agent, "jump"))["error"]["code"] == "INVALID_INPUT"
        assert (await say(agent, "start"))["ok"]
        assert (await say(agent, "scrap"))["error"]["code"] == "INVALID_INPUT"
        assert (await say(agent, "scrap", reason="warped"))["ok"]
        failed = await core.told("FailBuild", within_s=PATIENCE_S)
        assert failed["reason"] == "SCRAPPED_BY_PERSON"
        assert failed["native_text"] == f"{PERSON}: warped"


async def test_a_task_survives_restarts_before_and_after_its_start(tmp_path: Path) -> None:
    attended(tmp_path, folder=str(tmp_path / "card"))
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        await task(agent)
    async with bridge(tmp_path) as (agent, core):
        assert (await task(agent))["state"] == "WAITING"
        assert (await say(agent, "start"))["ok"]
        await core.told("StartBuild", within_s=PATIENCE_S)
    async with bridge(tmp_path) as (agent, core):
        asked = await task(agent)
        assert "restarted" in asked["ask"]
        await until(lambda: _state(agent) == "ACTIVE", within_s=PATIENCE_S)
        again = await say(agent, "start")
        assert again["ok"] and not again["fresh"]
        assert (await say(agent, "finish"))["ok"]
        await core.told("FinishBuild", within_s=PATIENCE_S)
        assert not core.commands("ReportOutcomeUnknown")


async def test_what_nobody_wants_any_more_cannot_be_started(tmp_path: Path) -> None:
    attended(tmp_path)
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        await task(agent)
        assert (await agent.control("cancel", {"node_id": NODE, "build_id": "b1"}))["ok"]
        await core.told("ConfirmCancelled", within_s=PATIENCE_S)
        assert not (await say(agent, "start")).get("fresh")
        assert not core.commands("StartBuild")


async def test_pause_and_cancel_wait_for_the_person(tmp_path: Path) -> None:
    attended(tmp_path)
    request = {"node_id": NODE, "build_id": "b1"}
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        await task(agent)
        await say(agent, "start")
        assert (await agent.control("pause", request))["ok"]
        await until(lambda: "hold" in _ask(agent), within_s=PATIENCE_S)
        assert not core.commands("ReportPaused")
        assert (await say(agent, "pause"))["ok"]
        await core.told("ReportPaused", within_s=PATIENCE_S)
        assert (await say(agent, "resume"))["ok"]
        await core.told("ReportResumed", within_s=PATIENCE_S)
        assert (await agent.control("cancel", request))["ok"]
        await until(lambda: "stop" in _ask(agent), within_s=PATIENCE_S)
        assert not core.commands("ConfirmCancelled")
        assert (await say(agent, "scrap", reason="not wanted"))["ok"]
        await core.told("ConfirmCancelled", within_s=PATIENCE_S)


async def test_an_emergency_stop_says_that_it_stopped_nothing(tmp_path: Path) -> None:
    attended(tmp_path)
    async with bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X1\n")
        await task(agent)
        await say(agent, "start")
        receipt = await agent.emergency_stop(NODE, PERSON)
        assert not receipt["confirmed"]
        assert "Tell the person" in receipt["native_text"]
        assert _ask(agent).startswith("EMERGENCY STOP")
        cleared = await agent.control("clear_fault", {"node_id": NODE, "operator": PERSON})
        assert cleared["error"]["code"] == "MACHINE_BUSY"
        await say(agent, "scrap", reason="stopped by hand")
        failed = await core.told("FailBuild", within_s=PATIENCE_S)
        assert failed["reason"] == "EMERGENCY_STOP"
        await until(lambda: not _building(agent), within_s=PATIENCE_S)
        assert (await agent.control("clear_fault", {"node_id": NODE, "operator": PERSON}))["ok"]


def _session(agent: Agent) -> Any:
    return vars(agent)["_places"][NODE].session


def _building(agent: Agent) -> str:
    return str(_session(agent).build_id)


def _state(agent: Agent) -> str:
    return str(_session(agent).status.execution)


def _ask(agent: Agent) -> str:
    return str((_session(agent).task() or {}).get("ask", ""))


def _content(task: dict[str, Any]) -> str | None:
    path = Path(task["file"])
    return path.read_text() if path.exists() else None

"""Services announce themselves, and the CLI finds them."""

import json
import os
import time
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from domain.shared.errors import InvalidInputError, UnavailableError
from ops.cli.main import COMMANDS, application
from ops.cli.run import REGISTRY, load
from ops.database.migrations import Migration, migrate, shipped
from ops.hosting.entrance import first_admin, http_port, settle_http_port
from ops.hosting.errors import HostingError
from ops.hosting.home import make_home
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.services import ping_all, register, semantic
from ops.settings import Settings

CLI = application(COMMANDS)
PATIENCE_S = 30.0


async def test_a_registered_service_answers_with_its_pid_and_home(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    gateway = await connect(fresh_settings, "gateway")
    bridge = await connect(fresh_settings, "bridge")
    asking = await connect(fresh_settings, "supervisor")
    await register(gateway, fresh_settings, "gateway")
    await register(bridge, fresh_settings, "bridge", metadata={"bridge": "local"})
    until = time.monotonic() + PATIENCE_S
    while len(found := await ping_all(asking)) < 2:
        assert time.monotonic() < until, found
    assert [each.name for each in found] == ["bridge", "gateway"]
    assert {each.pid for each in found} == {os.getpid()}
    assert found[0].metadata["bridge"] == "local"
    assert found[0].metadata["home"] == str(fresh_settings.home)
    for client in (gateway, bridge, asking):
        await client.close()
    assert fresh_nats.poll() is None


def test_status_without_a_service_says_so_with_its_exit_code(
    fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    result = CliRunner().invoke(CLI, ["status", "--json", "--home", str(fresh_home)])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["services"] == []
    assert fresh_nats.poll() is None


def test_status_of_a_stopped_installation_is_a_typed_refusal(
    fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    fresh_nats.stop()
    result = CliRunner().invoke(CLI, ["status", "--home", str(fresh_home)])
    assert isinstance(result.exception, UnavailableError)
    assert "no nats-server" in str(result.exception)


def test_doctor_finds_nothing_wrong_here(fresh_home: Path) -> None:
    result = CliRunner().invoke(CLI, ["doctor", "--json", "--home", str(fresh_home)])
    findings = {each["name"]: each for each in json.loads(result.stdout)}
    assert result.exit_code == 0, result.stdout
    assert findings["package names"]["detail"] == "all eight are ours"
    assert findings["lock"]["detail"] == "free"


def test_a_service_that_does_not_exist_is_refused_with_the_names_that_do() -> None:
    with pytest.raises(InvalidInputError) as refused:
        load("oven")
    assert "gateway" in refused.value.remedy
    assert "gateway" in REGISTRY


def test_the_version_is_told_in_the_protocols_way() -> None:
    assert semantic("0.1.0.dev0") == "0.1.0-dev0"
    assert semantic("1.2.3") == "1.2.3"


def test_the_gateways_port_is_chosen_once_and_kept(fresh_home: Path) -> None:
    settings = Settings(home=make_home(fresh_home))
    port = http_port(settings)
    assert port > 0
    assert http_port(settings) == settle_http_port(settings) == port
    assert http_port(Settings(home=fresh_home, http_port=8080)) == 8080


def test_the_first_admins_password_is_made_once_unless_it_is_given(fresh_home: Path) -> None:
    settings = Settings(home=make_home(fresh_home))
    assert first_admin(settings) == first_admin(settings)
    given = Settings(home=fresh_home, admin_password="chosen")
    assert first_admin(given).password == "chosen"
    assert first_admin(settings).password == "chosen"
    assert (fresh_home / "admin.json").stat().st_mode & 0o777 == 0o600


def test_each_migration_is_applied_once_and_all_or_none(database_url: str) -> None:
    first = Migration("0001.sql", "CREATE TABLE imewe.a (x int)")
    second = Migration("0002.sql", "CREATE TABLE imewe.b (x int); SELECT 1/0")
    with psycopg.connect(database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(connection, [first, second])
        assert connection.execute("SELECT to_regclass('imewe.a')").fetchone() == (None,)
        assert migrate(connection, [first]) == ["0001.sql"]
        assert migrate(connection, [first]) == []
        with pytest.raises(HostingError, match="edited"):
            migrate(connection, [Migration("0001.sql", "CREATE TABLE imewe.c (x int)")])


def test_the_shipped_migrations_apply_to_an_empty_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert migrate(connection) == [each.name for each in shipped()]

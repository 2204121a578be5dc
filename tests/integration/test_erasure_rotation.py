"""Another key-encryption key: every text opens before, while and after, and the old key is gone."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.shared.errors import IllegalTransitionError, UnavailableError
from ops.eventstore.client import Client
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.rotation import KekRotation
from ops.eventstore.secrets import SecretBucket
from ops.eventstore.streams import ensure_streams, secrets_config
from ops.messaging.connection import address
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.needles import files_with

PEOPLE = ("anna", "ben", "carla")


class FragileBucket(SecretBucket):
    """Breaks before its n-th change, like a process that is killed there."""

    left = -1

    def add(self, name: str, value: bytes) -> bool:
        self._count()
        return super().add(name, value)

    def erase(self, name: str) -> None:
        self._count()
        super().erase(name)

    def _count(self) -> None:
        if self.left == 0:
            raise UnavailableError("killed")
        self.left -= 1


class OvertakenBucket(SecretBucket):
    """Somebody else erases Anna just before a key of hers is written."""

    def __init__(self, client: Client, other: Secrets) -> None:
        super().__init__(client)
        self._other = other

    def add(self, name: str, value: bytes) -> bool:
        if name.startswith("key.") and name.endswith(".anna"):
            self._other.erase_person("anna")
        return super().add(name, value)


@pytest.fixture
def client(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[Client]:
    maker = Client(address(fresh_settings, "log_supervisor"))
    ensure_streams(maker, [secrets_config("IMEWE_SECRETS")])
    maker.close()
    client = Client(address(fresh_settings, "log_commands"))
    yield client
    client.close()


def keeper(client: Client, home: Path) -> tuple[Secrets, KekRotation]:
    """What a process of its own has."""
    keyring = Keyring(home)
    secrets = Secrets(SecretBucket(client), keyring)
    return secrets, KekRotation(secrets, keyring)


def test_all_texts_and_look_ups_are_as_before_and_the_old_key_stands_nowhere(
    client: Client, fresh_home: Path, fresh_nats: EmbeddedNats
) -> None:
    secrets, rotation = keeper(client, fresh_home)
    sealed = {who: secrets.protect(who, "name", f"name of {who}") for who in PEOPLE}
    fingerprints = {who: secrets.key_of(who) for who in PEOPLE}
    secrets.remember_mail("anna@example.org", "anna")
    blind = secrets.lookup_key("requests")
    old = (fresh_home / "kek").read_bytes()
    bucket = SecretBucket(client)
    wrapped = [bucket.get(name) for name in bucket.names("key")]
    assert rotation.begin().left == len(PEOPLE) + 1
    other, _ = keeper(client, fresh_home)  # another copy of the service, amid the rotation
    assert other.reveal("anna", "name", sealed["anna"]) == "name of anna"
    rotation.finish()
    status = rotation.status()
    assert (status.running, status.left) == (False, 0)
    for each in (secrets, other, keeper(client, fresh_home)[0]):
        assert {who: each.reveal(who, "name", sealed[who]) for who in PEOPLE} == {
            who: f"name of {who}" for who in PEOPLE
        }
        assert each.find_mail("ANNA@example.org") == "anna"
        assert each.lookup_key("requests") == blind
        assert {who: each.key_of(who) for who in PEOPLE} == fingerprints
    fresh_nats.stop()
    gone = [old, *(value[16:] for value in wrapped if value)]
    assert files_with(fresh_home, gone) == {}


def test_killed_before_any_change_it_goes_on_and_loses_nothing(
    client: Client, fresh_home: Path
) -> None:
    secrets, _ = keeper(client, fresh_home)
    sealed = {who: secrets.protect(who, "name", who) for who in PEOPLE}
    for step in range(2 * len(PEOPLE)):
        bucket, keyring = FragileBucket(client), Keyring(fresh_home)
        fragile = KekRotation(Secrets(bucket, keyring), keyring)
        fragile.begin()
        bucket.left = step
        with pytest.raises(UnavailableError, match="killed"):
            fragile.finish()
        survivor, again = keeper(client, fresh_home)
        assert again.status().running
        for who in PEOPLE:
            assert survivor.reveal(who, "name", sealed[who]) == who
        assert again.finish()
        assert not again.finish()
        assert len(Keyring(fresh_home).keks()) == 1
        for who in PEOPLE:
            assert survivor.reveal(who, "name", sealed[who]) == who


def test_a_key_that_is_made_while_its_person_is_erased_does_not_stay(
    client: Client, fresh_home: Path
) -> None:
    other, _ = keeper(client, fresh_home)
    late = Secrets(OvertakenBucket(client, other), Keyring(fresh_home))
    with pytest.raises(IllegalTransitionError):
        late.protect("anna", "name", "Anna")
    assert other.remains("anna") == []


def test_a_key_that_moves_while_its_person_is_erased_does_not_stay(
    client: Client, fresh_home: Path
) -> None:
    other, rotation = keeper(client, fresh_home)
    other.protect("anna", "name", "Anna")
    rotation.begin()
    keyring = Keyring(fresh_home)
    late = Secrets(OvertakenBucket(client, other), keyring)
    assert KekRotation(late, keyring).finish()
    assert other.remains("anna") == []
    assert not [name for name in SecretBucket(client).names("key") if name.endswith(".anna")]


def test_zeros_stand_where_the_old_key_stood(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    (tmp_path / "same place").hardlink_to(tmp_path / "kek")
    keyring.begin_rotation()
    assert not (tmp_path / "same place").read_bytes().strip(b"\0")
    (tmp_path / "second place").hardlink_to(tmp_path / "kek")
    keyring.end_rotation()
    assert not (tmp_path / "second place").read_bytes().strip(b"\0")
    assert len(keyring.keks()) == 1


def test_people_who_come_and_go_meanwhile_are_kept_and_erased_as_ever(
    client: Client, fresh_home: Path
) -> None:
    secrets, rotation = keeper(client, fresh_home)
    for number in range(12):
        secrets.protect(f"old{number}", "name", "x")
    made: dict[str, Any] = {}

    def come() -> None:
        mine, _ = keeper(client, fresh_home)
        for number in range(12):
            made[f"new{number}"] = mine.protect(f"new{number}", "name", f"new{number}")

    def go() -> None:
        mine, _ = keeper(client, fresh_home)
        for number in range(12):
            mine.erase_person(f"old{number}")

    threads = [threading.Thread(target=act) for act in (come, go)]
    for thread in threads:
        thread.start()
    rotation.begin()
    rotation.finish()
    for thread in threads:
        thread.join(30)
    rotation.finish()
    survivor, _ = keeper(client, fresh_home)
    for who, personal in made.items():
        assert survivor.reveal(who, "name", personal) == who
    names = SecretBucket(client).names("key")
    assert not [name for name in names if ".old" in name]
    with pytest.raises(IllegalTransitionError):
        survivor.protect("old3", "name", "again")


def test_who_opened_the_file_of_keys_just_before_it_was_replaced_reads_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring(tmp_path)
    before = ring.current
    ring.begin_rotation()
    ring.end_rotation()
    read_text = Path.read_text
    zeros = ["\0" * 64]
    monkeypatch.setattr(Path, "read_text", lambda path: zeros.pop() if zeros else read_text(path))
    assert ring.current.id != before.id
    assert zeros == []

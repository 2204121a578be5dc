"""Secrets: what was erased stands in no file of the store."""

import base64
import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.accounts.authentication import NOTE, Authentication
from domain.shared.errors import (
    DamagedSecretError,
    IllegalTransitionError,
    InvalidInputError,
)
from domain.shared.personal import Personal
from ops.eventstore.client import Client, JetStreamError, Publication, read_answer
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.secrets import SecretBucket
from ops.eventstore.streams import ensure_streams, secrets_config
from ops.eventstore.wire import Address
from ops.messaging.server import EmbeddedNats, credentials
from ops.settings import Settings


@pytest.fixture
def client(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[Client]:
    passwords = credentials(fresh_settings.home)

    def as_user(user: str) -> Client:
        return Client(
            Address(host="127.0.0.1", port=fresh_nats.port, user=user, password=passwords[user])
        )

    supervisor = as_user("log_supervisor")
    ensure_streams(supervisor, [secrets_config("IMEWE_SECRETS")])
    supervisor.close()
    client = as_user("log_commands")
    yield client
    client.close()


@pytest.fixture
def bucket(client: Client) -> SecretBucket:
    return SecretBucket(client)


@pytest.fixture
def secrets(bucket: SecretBucket, fresh_home: Path) -> Secrets:
    return Secrets(bucket, Keyring(fresh_home))


def files_with(home: Path, needle: bytes) -> list[Path]:
    return [p for p in home.rglob("*") if p.is_file() and needle in p.read_bytes()]


def test_a_value_is_kept_replaced_and_erased(bucket: SecretBucket) -> None:
    assert bucket.get("password.anna") is None
    bucket.put("password.anna", b"one")
    bucket.put("password.anna", b"two")
    bucket.put("password.b*> b@c", b"other")
    assert bucket.get("password.anna") == b"two"
    assert bucket.names("password") == ["password.anna", "password.b*> b@c"]
    bucket.erase("password.anna")
    bucket.erase("password.anna")
    assert bucket.get("password.anna") is None
    assert bucket.names("password") == ["password.b*> b@c"]
    assert bucket.names("nothing") == []


def test_no_revision_of_a_value_stays_in_the_files(
    bucket: SecretBucket, fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    needles = [b"needle-" + os.urandom(8).hex().encode() for _ in range(4)]
    for number, needle in enumerate(needles):
        bucket.put(f"neighbour.{number}", b"keeps the block of the file alive")
        bucket.put("totp.anna", needle)
    bucket.put("neighbour.last", b"as well")
    assert files_with(fresh_settings.home, needles[-1])
    for needle in needles[:-1]:
        assert not files_with(fresh_settings.home, needle)
    bucket.erase("totp.anna")
    fresh_nats.stop()
    for needle in needles:
        assert not files_with(fresh_settings.home, needle)
    fresh_nats.start()
    assert bucket.get("totp.anna") is None


def test_the_server_itself_refuses_to_overwrite(bucket: SecretBucket, client: Client) -> None:
    bucket.put("password.anna", b"one")
    with pytest.raises(JetStreamError):
        read_answer(client.publish([Publication("$KV.IMEWE_SECRETS.password.anna", b"", b"two")]))
    assert bucket.get("password.anna") == b"one"
    assert not bucket.add("password.anna", b"two")
    assert bucket.add("password.anna", b"one")


def test_a_put_that_crashed_after_the_erasure_is_repaired_by_saying_it_again(
    bucket: SecretBucket,
) -> None:
    bucket.put("password.anna", b"one")
    bucket.erase("password.anna")
    bucket.put("password.anna", b"two")
    assert bucket.get("password.anna") == b"two"


def test_concurrent_puts_leave_one_of_their_values(bucket: SecretBucket) -> None:
    values = [f"value {n}".encode() for n in range(4)]
    threads = [threading.Thread(target=bucket.put, args=("password.anna", v)) for v in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.get("password.anna") in values


def test_a_personal_text_opens_only_for_its_person_and_field(secrets: Secrets) -> None:
    sealed = secrets.protect("anna", "name", "Anna Müller")
    stored = Personal.from_stored(sealed.stored())
    assert secrets.reveal("anna", "name", stored) == "Anna Müller"
    assert "Anna" not in str(stored) + base64.b64decode(stored.ct).decode(errors="ignore")
    assert secrets.protect("anna", "name", "Anna Müller").ct != sealed.ct
    with pytest.raises(DamagedSecretError):
        secrets.reveal("anna", "address", stored)
    with pytest.raises(DamagedSecretError):
        secrets.reveal("anna", "name", dataclasses.replace(stored, ct=sealed.nonce))
    secrets.protect("ben", "name", "Ben")
    assert secrets.reveal("ben", "name", stored) is None
    with pytest.raises(InvalidInputError):
        secrets.protect("anna.ben", "name", "a name under another's")


def test_one_that_only_looks_sealed_keeps_no_other_note_from_being_read(
    secrets: Secrets,
) -> None:
    people = Authentication(secrets)
    note = people.sealed_note("anna", "squeaks")
    assert people.opened_word(NOTE, note) == "squeaks"
    assert people.opened_word(NOTE, "squeaks") == "squeaks"
    mail = secrets.protect("anna", "mail", "anna@example.org")
    for word in (mail.compact(), dataclasses.replace(mail, ct="AAAA").compact()):
        with pytest.raises(DamagedSecretError):
            people.opened_word(NOTE, word)


def test_erasing_a_person_erases_every_copy_and_the_mail_index(
    secrets: Secrets, bucket: SecretBucket
) -> None:
    sealed = secrets.protect("anna", "name", "Anna")
    other = secrets.protect("ben", "name", "Ben")
    assert secrets.remember_mail("Anna@Example.org ", "anna")
    assert secrets.remember_mail("ben@example.org", "ben")
    assert secrets.find_mail("anna@example.ORG") == "anna"
    secrets.erase_person("anna")
    secrets.erase_person("anna")
    assert secrets.reveal("anna", "name", sealed) is None
    assert secrets.find_mail("anna@example.org") is None
    assert bucket.names("mails") == [n for n in bucket.names("mails") if n.startswith("mails.ben")]
    assert secrets.is_erased("anna")
    assert not secrets.is_erased("ben")
    with pytest.raises(IllegalTransitionError):
        secrets.protect("anna", "name", "another Anna")
    assert secrets.remains("anna") == []
    assert secrets.reveal("anna", "name", sealed) is None
    assert secrets.reveal("ben", "name", other) == "Ben"
    assert secrets.find_mail("ben@example.org") == "ben"


def test_one_mail_leads_to_one_person(secrets: Secrets) -> None:
    assert secrets.remember_mail("anna@example.org", "anna")
    assert secrets.remember_mail("anna@example.org", "anna")
    assert not secrets.remember_mail("ANNA@example.org", "ben")
    secrets.forget_mail("anna@example.org")
    assert secrets.remember_mail("anna@example.org", "ben")


def test_the_store_holds_no_key_in_the_clear(
    secrets: Secrets, bucket: SecretBucket, tmp_path: Path
) -> None:
    secrets.protect("anna", "name", "Anna")
    (name,) = bucket.names("key")
    another = Secrets(bucket, Keyring(tmp_path))
    assert name.endswith(".anna")
    assert another.reveal("anna", "name", secrets.protect("anna", "name", "Anna")) is None


def test_values_of_the_port_do_not_meet_the_keys(secrets: Secrets, bucket: SecretBucket) -> None:
    secrets.put("key.x.anna", b"mine")
    assert secrets.get("key.x.anna") == b"mine"
    assert bucket.names("key") == []
    secrets.erase("key.x.anna")
    assert secrets.get("key.x.anna") is None


def test_the_key_of_a_home_is_made_once_and_private(tmp_path: Path) -> None:
    (kek,) = Keyring(tmp_path).keks()
    assert [each.id for each in Keyring(tmp_path).keks()] == [kek.id]
    assert [p.name for p in tmp_path.iterdir()] == ["kek"]
    assert (tmp_path / "kek").stat().st_mode & 0o777 == 0o600

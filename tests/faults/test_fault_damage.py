"""Bits flip and writes are torn: what is damaged is named, or made again; nothing is silent."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ops.database.server import EmbeddedPostgres
from ops.eventstore.chain import verify
from ops.eventstore.client import Client, Publication, read_answer
from ops.eventstore.envelope import Record, head_block, record_of
from ops.hosting.account import server_account
from ops.messaging.server import EmbeddedNats
from ops.notary.evidence import read_history
from ops.notary.head_stream import HeadStream
from ops.notary.verifying import Found, LogCheck, check_log
from ops.projecting.comparing import model_states
from ops.projecting.rebuild import rebuild
from ops.settings import Settings
from projections.catalogue import CATALOGUE, projection_named
from tests.eventlog import an_envelope, own_log, records
from tests.integration.test_evolution_snapshots import Kettle, boiled, kitchen, versions_of
from tests.notarial import Shop, following, opened_shop
from tests.projecting import migrated, project
from tests.stories import MemoryLog, busy_shop

SIGNED = 40


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_home: Path) -> Iterator[Shop]:
    with opened_shop(fresh_nats, fresh_home) as opened:
        yield opened


@pytest.mark.parametrize(
    ("torn", "ending"), [(1, "stopped"), (700, "killed"), (6000, "stopped"), (6000, "killed")]
)
def test_a_log_whose_last_write_was_torn_is_whole_up_to_there_and_what_is_missing_is_said(
    shop: Shop, fresh_nats: EmbeddedNats, fresh_home: Path, tmp_path: Path, torn: int, ending: str
) -> None:
    shop.write(SIGNED)
    with following(shop, tmp_path) as notary:
        notary.until_signed(SIGNED)
    before = records(shop)
    _end(fresh_nats, ending)
    blocks = fresh_home.glob("nats/**/IMEWE_EVENTS/msgs/*.blk")
    newest = max(blocks, key=lambda path: int(path.stem))
    os.truncate(newest, newest.stat().st_size - torn)
    fresh_nats.start()

    left = records(shop)
    assert [r.hash for r in left] == [r.hash for r in before[: len(left)]]
    assert len(left) < SIGNED
    assert verify(left, last=len(left)) is None
    found = _audited(shop, left)
    assert found.flaw is not None
    assert found.flaw.sequence == len(left) + 1
    with following(shop, tmp_path) as notary:
        assert notary.until_flawed().sequence == len(left) + 1
    assert shop.heads()[-1].size == SIGNED  # nothing is signed over the hole


def test_events_that_are_written_over_a_hole_are_found(
    shop: Shop, fresh_nats: EmbeddedNats, fresh_home: Path, tmp_path: Path
) -> None:
    """The writer knows nothing of the hole: other events come to stand where signed ones stood."""
    shop.write(SIGNED)
    with following(shop, tmp_path) as notary:
        notary.until_signed(SIGNED)
    fresh_nats.stop()
    (block,) = fresh_home.glob("nats/**/IMEWE_EVENTS/msgs/*.blk")
    os.truncate(block, block.stat().st_size - 700)
    fresh_nats.start()
    left = len(records(shop))
    shop.versions.clear()
    shop.write(SIGNED)
    found = _audited(shop, records(shop))
    assert found.flaw is not None
    assert found.flaw.sequence <= left + 1
    with following(shop, tmp_path) as notary:
        assert notary.until_flawed().sequence == left + 1


@pytest.mark.parametrize("where", ["state", "place", "header"])
def test_a_snapshot_that_is_not_as_it_was_written_is_left_alone(
    nats_server: EmbeddedNats, settings: Settings, where: str
) -> None:
    with own_log(nats_server, settings) as log:
        app = kitchen(log)
        kettle = Kettle._create(Kettle.Bought, id=uuid4(), colour="red")
        app.record(kettle, envelope=an_envelope())
        boiled(app, kettle.id, 24)
        assert versions_of(app, kettle.id) == [10, 20]
        client = Client(log.address("log_commands"))
        subject = f"{log.names.snapshot_subjects}.{kettle.id}"
        body = b'{"last_by_subj":"%b"}' % subject.encode()
        get = f"$JS.API.DIRECT.GET.{log.names.snapshot_stream}"
        _put(client, _flipped(record_of(client.request(get, body)), where))
        client.close()

        fresh = kitchen(log)
        assert vars(fresh.load(kettle.id))["litres"] == 24
        assert fresh.load(kettle.id).version == 25
        boiled(fresh, kettle.id, 10)
        assert versions_of(fresh, kettle.id)[-1:] == [30]
        assert vars(fresh.load(kettle.id))["litres"] == 34
        app.close()
        fresh.close()


def test_a_flipped_bit_in_the_file_of_snapshots_costs_nothing(
    fresh_nats: EmbeddedNats, fresh_settings: Settings, fresh_home: Path
) -> None:
    with own_log(fresh_nats, fresh_settings) as log:
        app = kitchen(log)
        kettle = Kettle._create(Kettle.Bought, id=uuid4(), colour="red")
        app.record(kettle, envelope=an_envelope())
        boiled(app, kettle.id, 24)
        app.close()
        fresh_nats.stop()
        (block,) = fresh_home.glob(f"nats/**/{log.names.snapshot_stream}/msgs/*.blk")
        _flip(block, block.read_bytes().rindex(b'"litres":') + len('"litres":'))
        fresh_nats.start()
        fresh = kitchen(log)
        assert vars(fresh.load(kettle.id))["litres"] == 24
        fresh.close()


def test_a_flipped_bit_in_a_read_model_is_refused_by_the_server_and_mended_by_a_rebuild(
    fresh_home: Path,
) -> None:
    server = EmbeddedPostgres(fresh_home, server_account(), options=("fsync=off",))
    server.start()
    events, nodes = busy_shop(4).events, projection_named("nodes")
    with migrated(server.url) as connection:
        project(connection, events)
        before = model_states(connection, CATALOGUE)
        (path,) = connection.execute(
            "SELECT pg_relation_filepath(%s)", [f"nodes_v{nodes.version}.nodes"]
        ).fetchone() or ("",)
        (name,) = connection.execute(
            f"SELECT name FROM nodes_v{nodes.version}.nodes".encode()
        ).fetchone() or ("",)
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    server.stop()
    file = Path(folder) / path
    _flip(file, file.read_bytes().index(str(name).encode()))
    server.start()
    with migrated(server.url) as connection:
        with pytest.raises(psycopg.errors.DataCorrupted):
            model_states(connection, CATALOGUE)
        rebuild(connection, MemoryLog(events), nodes)
        after = model_states(connection, CATALOGUE)
    server.stop()
    assert [each.hash for each in after] == [each.hash for each in before]


def _end(server: EmbeddedNats, how: str) -> None:
    if how == "killed":
        server.kill()
        server.finish_stop(10)
    else:
        server.stop()


def _audited(shop: Shop, log: list[Record]) -> Found:
    client = Client(shop.address("log_notary"))
    check = LogCheck(read_history(HeadStream(client)))
    client.close()
    return check_log(check, lambda after, limit: log[after : after + limit], len(log))


def _flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


def _flipped(record: Record, where: str) -> Record:
    if where == "state":
        assert b'"litres":19' in record.body
        return Record(
            sequence=record.sequence,
            subject=record.subject,
            headers=record.headers,
            body=record.body.replace(b'"litres":19', b'"litres":18'),
        )
    name, text = {
        "place": ("Imewe-Snapshots", "10:zz"),
        "header": ("Imewe-Version", "19"),
    }[where]
    headers = {**record.headers, name: text}
    return Record(
        sequence=record.sequence, subject=record.subject, headers=headers, body=record.body
    )


def _put(client: Client, record: Record) -> None:
    headers = {k: v for k, v in record.headers.items() if not k.startswith("Nats-")}
    read_answer(client.publish([Publication(record.subject, head_block(headers), record.body)]))

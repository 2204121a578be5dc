"""Erasing, rotating and reading notes through the gateway, with fakes at every wire."""

from typing import Any

import pytest

from domain.shared.errors import ForbiddenError, NotFoundError, UnavailableError
from domain.shared.personal import Personal
from gateways.graphql.notes import ERASED, NOT_NOW, NOT_YOURS, Notes
from tests.gateway_tools import PERSON, Bench, FakePeople

CERTIFICATE: dict[str, Any] = {
    "subject_id": PERSON,
    "organisation_id": "o",
    "key_id": f"{PERSON}.0a1b2c3d",
    "algorithm": "A256GCM",
    "key_fingerprint": "sha256:00",
    "destroyed": ["data key"],
    "ordered_by": "user/ada",
    "ordered_at": "2026-11-22T00:00:00.000Z",
    "ordered_position": 6,
    "erased_at": "2026-11-22T00:00:01.000Z",
    "event_id": "e",
    "position": 7,
    "hash": "sha256:01",
    "previous_hash": "sha256:02",
    "stays": ["ciphertext"],
    "check": ["look"],
    "text": "CERTIFICATE",
}
ERASE = """mutation { eraseSubject(subjectId: "x", reason: "asked") { subjectId position
  problems { code } certificate { position keyId destroyed text } } }"""
ROTATE = "mutation { rotateKek { problems { code remedy } kek { id rotating left } } }"
PROOF = 'query { erasureCertificate(subjectId: "x") { position text } }'


def sealed(number: int) -> str:
    return Personal(enc="A256GCM", key=f"a.{number:08x}", nonce="AA==", ct="AA==").compact()


async def test_an_erasure_is_one_command_and_its_answer_the_certificate() -> None:
    bench = Bench()

    async def send(name: str, payload: dict[str, Any], **more: str) -> dict[str, Any]:
        assert (name, payload) == ("EraseSubject", {"subject_id": "x", "reason": "asked"})
        return {"position": 7, "id": PERSON, "certificate": CERTIFICATE}

    bench.commands.send = send  # type: ignore[method-assign]
    told = (await bench.ask(ERASE))["data"]["eraseSubject"]
    assert (told["subjectId"], told["position"], told["problems"]) == (PERSON, "7", [])
    proof = {
        "position": "7",
        "keyId": CERTIFICATE["key_id"],
        "destroyed": ["data key"],
        "text": "CERTIFICATE",
    }
    assert told["certificate"] == proof


async def test_a_refused_erasure_has_no_certificate() -> None:
    bench = Bench()
    bench.commands.refusal = ForbiddenError("you may not erase subject")
    told = (await bench.ask(ERASE))["data"]["eraseSubject"]
    assert (told["problems"], told["certificate"]) == ([{"code": "FORBIDDEN"}], None)


async def test_the_certificate_is_asked_for_in_the_callers_name() -> None:
    bench = Bench()
    assert (await bench.ask(PROOF))["data"]["erasureCertificate"] is None
    bench.people.certificates["x"] = CERTIFICATE
    told = (await bench.ask(PROOF))["data"]["erasureCertificate"]
    assert told == {"position": "7", "text": "CERTIFICATE"}
    bench.people.refusal = NotFoundError("there is no such person")
    assert (await bench.ask(PROOF))["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_rotation_is_asked_of_the_service_that_holds_the_keys() -> None:
    bench = Bench()
    answer = {"kek_id": "0a1b2c3d", "running": True, "left": 4}
    bench.administration.answers = {"rotate_kek": answer, "kek": answer}
    told = (await bench.ask(ROTATE))["data"]["rotateKek"]
    assert told["kek"] == {"id": "0a1b2c3d", "rotating": True, "left": 4}
    assert [asked[:2] for asked in bench.administration.asked] == [("commands", "rotate_kek")]
    status = await bench.ask("{ keyEncryptionKey { left } }")
    assert status["data"] == {"keyEncryptionKey": {"left": 4}}
    bench.administration.refusal = UnavailableError("away", remedy="try again")
    told = (await bench.ask(ROTATE))["data"]["rotateKek"]
    assert told == {"problems": [{"code": "UNAVAILABLE", "remedy": "try again"}], "kek": None}


async def test_a_token_of_a_closed_account_is_refused() -> None:
    bench = Bench()
    token = bench.token()
    assert "errors" not in await bench.ask("{ me { name } }", token=token)
    bench.gone.add(PERSON)
    async with bench.client(token) as client:
        answer = await client.post("/graphql", json={"query": "{ me { name } }"})
    assert "UNAUTHENTICATED" in answer.text


@pytest.mark.parametrize(
    ("known", "shown"),
    [({sealed(1): "squeaks"}, "squeaks"), ({sealed(1): None}, ERASED), ({}, NOT_YOURS)],
)
async def test_a_note_is_told_erased_or_kept(known: dict[str, str | None], shown: str) -> None:
    people = FakePeople()
    people.notes = known
    notes = Notes(people, "token")
    assert await notes.in_clear(f"Held: {sealed(1)}") == f"Held: {shown}"
    assert await notes.in_clear("plain") == "plain"
    assert people.asked == [([sealed(1)], "token")]


async def test_a_note_that_cannot_be_opened_now_hides_nothing_else() -> None:
    people = FakePeople()
    people.refusal = UnavailableError("away")
    assert await Notes(people, "token").in_clear(f"Held: {sealed(1)}") == f"Held: {NOT_NOW}"


async def test_notes_inside_of_any_json_are_opened() -> None:
    people = FakePeople()
    people.notes = {sealed(1): "one", sealed(2): 'a "quoted" two'}
    told = {"reason": sealed(1), "more": [sealed(2), 3, None], "both": f"{sealed(1)} {sealed(2)}"}
    assert await Notes(people, "t").all_in_clear(told) == {
        "reason": "one",
        "more": ['a "quoted" two', 3, None],
        "both": 'one a "quoted" two',
    }

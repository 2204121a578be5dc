"""Commands, answers and tokens as they travel."""

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from commands.tokens import Signer, Verifier
from commands.wire import ERRORS, Request, read_answer, read_request, write_answer, write_refusal
from domain.account.roles import Role
from domain.shared import errors
from domain.shared.errors import (
    ImeweError,
    InvalidInputError,
    UnauthenticatedError,
    UnavailableError,
)
from domain.shared.scope import Grant
from tests.fake_ports import FakeClock
from tests.write_side import KEY, ORG, account_id

REQUEST = Request(
    sender_kind="service",
    sender_id="gateway",
    name="CancelJob",
    body=b"{}",
    command_id="c1",
    token="a.b.c",
    organisation_id="org",
    causation="e1",
    correlation="s1",
    traceparent="00-ab-cd-01",
)


def test_a_request_is_read_as_it_was_written() -> None:
    assert REQUEST.subject == "imewe.command.service.gateway.CancelJob"
    assert read_request(REQUEST.subject, REQUEST.headers, REQUEST.body) == REQUEST


def test_what_is_not_said_is_not_sent() -> None:
    bare = Request(sender_kind="bridge", sender_id="local", name="X", body=b"", command_id="c")
    assert bare.headers == {"Imewe-Command-Id": "c"}
    assert read_request(bare.subject, bare.headers, b"") == bare


@pytest.mark.parametrize(
    "subject",
    ["imewe.command.service.X", "imewe.command.a.b.c.D", "imewe.command.a..D", "imewe.other.a.b.C"],
)
def test_a_subject_of_another_shape_is_no_command(subject: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_request(subject, REQUEST.headers, b"{}")
    assert refused.value.field == "subject"


@pytest.mark.parametrize("command_id", ["", "x" * 201, "a\nb"])
def test_a_command_needs_a_decent_id(command_id: str) -> None:
    for headers in ({"Imewe-Command-Id": command_id}, None):
        with pytest.raises(InvalidInputError) as refused:
            read_request(REQUEST.subject, headers, b"{}")
        assert refused.value.field == "Imewe-Command-Id"


def test_an_answer_is_read_as_it_was_written() -> None:
    assert read_answer(write_answer({"position": 7, "id": "j"})) == {"position": 7, "id": "j"}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_a_refusal_is_raised_as_the_error_it_was(code: str) -> None:
    error = ERRORS[code]("no", field="name", remedy="try another")
    with pytest.raises(ImeweError) as refused:
        read_answer(write_refusal(error))
    assert refused.type is ERRORS[code]
    told = refused.value
    assert (told.message, told.field, told.remedy) == ("no", "name", "try another")


def test_every_typed_error_of_the_domain_travels() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {kind for kind in kinds if issubclass(kind, ImeweError)} == set(ERRORS.values())


def test_an_error_of_our_own_substrate_travels_without_its_code() -> None:
    class LeaseLostError(UnavailableError):
        code = "LEASE_LOST"

    assert json.loads(write_refusal(LeaseLostError("gone")))["error"]["code"] == "ERROR"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]"])
def test_an_answer_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    with pytest.raises(UnavailableError):
        read_answer(body)


class Tokens:
    """A signer and a verifier on one pair of keys and one clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.signer = Signer(KEY.as_pem(private=True))
        self.verifier = Verifier(KEY.as_pem(private=False), clock=self.clock)

    def sign(self, **changes: Any) -> str:
        whole: dict[str, Any] = {
            "account_id": account_id("anna"),
            "name": "Anna",
            "grants": [{"role": "designer", "organisation_id": ORG}],
            "token_id": "t",
            "now": self.clock.now(),
            "ttl_s": 60,
        }
        return self.signer.sign(**{**whole, **changes})


def test_a_token_tells_who_a_person_is_and_what_roles_are_held() -> None:
    tokens = Tokens()
    for _ in range(2):
        person = tokens.verifier.verify(tokens.sign())
        assert (person.kind, person.id, person.name) == ("user", account_id("anna"), "Anna")
        assert person.grants == (Grant(role=Role.DESIGNER, organisation_id=ORG),)


def test_a_token_ends_even_when_it_was_good_before() -> None:
    tokens = Tokens()
    token = tokens.sign()
    tokens.verifier.verify(token)
    tokens.clock.advance(seconds=60)
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verifier.verify(token)


def test_a_forged_token_is_refused() -> None:
    tokens = Tokens()
    head, claims, signature = tokens.sign().split(".")
    stranger = Signer(OKPKey.generate_key("Ed25519").as_pem(private=True))
    forged = [
        stranger.sign(
            account_id=account_id("anna"),
            name="Anna",
            grants=[],
            token_id="t",
            now=tokens.clock.now(),
            ttl_s=60,
        ),
        f"{head}.{claims}.{signature[::-1]}",
        f"{head}.{claims[:-4]}AAAA.{signature}",
        f"{head}.{claims}.",
        "eyJhbGciOiJub25lIn0." + claims + ".",
        jwt.encode({"alg": "HS256"}, {"sub": "x"}, OctKey.import_key("x" * 32)),
        "no token",
        "",
    ]
    for token in forged:
        with pytest.raises(UnauthenticatedError, match="not one of ours"):
            tokens.verifier.verify(token)


CLAIMS: dict[str, Any] = {
    "iss": "imewe",
    "aud": "imewe",
    "sub": account_id("anna"),
    "name": "Anna",
    "grants": [],
    "jti": "t",
    "iat": 0,
    "exp": 2**40,
}


@pytest.mark.parametrize(
    "changes",
    [
        *({claim: None} for claim in CLAIMS if claim not in {"name", "iat", "jti"}),
        {"iss": "else"},
        {"aud": "else"},
        {"sub": "no uuid"},
        {"exp": "soon"},
        {"grants": [{"role": "root", "organisation_id": ORG}]},
        {"grants": [{"role": "admin"}]},
        {"grants": ["admin"]},
    ],
)
def test_a_token_that_lacks_a_claim_or_says_nonsense_is_refused(changes: dict[str, Any]) -> None:
    tokens = Tokens()
    good = jwt.encode({"alg": "Ed25519"}, CLAIMS, KEY, algorithms=["Ed25519"])
    assert tokens.verifier.verify(good).id == account_id("anna")
    told = {**CLAIMS, **changes}
    for claims in (told, {claim: value for claim, value in told.items() if value is not None}):
        token = jwt.encode({"alg": "Ed25519"}, claims, KEY, algorithms=["Ed25519"])
        with pytest.raises(UnauthenticatedError):
            tokens.verifier.verify(token)


def test_a_claim_of_another_name_makes_up_for_none_that_is_missing() -> None:
    claims = {**{name: value for name, value in CLAIMS.items() if name != "jti"}, "another": "x"}
    token = jwt.encode({"alg": "Ed25519"}, claims, KEY, algorithms=["Ed25519"])
    with pytest.raises(UnauthenticatedError):
        Tokens().verifier.verify(token)

"""Uploads and downloads over HTTP, with a store that remembers."""

from collections.abc import AsyncIterator

import pytest

from domain.shared.errors import InvalidInputError, StorageFullError
from gateways.rest.multipart import read_file
from tests.gateway_tools import ELSEWHERE, ORGANISATION, Bench, FakeFiles

BOUNDARY = "xx"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
HEAD = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.stl"\r\n\r\n'
FIELD = b'--xx\r\nContent-Disposition: form-data; name="note"\r\n\r\n'
TAIL = b"\r\n--xx--\r\n"


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read_whole(body: bytes, *, size: int = 7, kind: str = FORM) -> tuple[str, bytes]:
    file = await read_file(kind, pieces(body, size))
    return file.name, b"".join([chunk async for chunk in file.chunks])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
async def test_a_file_comes_out_as_it_went_in_however_the_body_is_cut(size: int) -> None:
    content = b"solid\r\n--x\r\n--xx-no\r\n" + bytes(range(256)) * 3
    body = FIELD + b"skipped\r\n" + HEAD + content + TAIL
    assert await read_whole(body, size=size) == ("a.stl", content)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (HEAD + b"half", "cut off"),
        (HEAD, "cut off"),
        (HEAD + b"all\r\n--xx", "cut off"),
        (FIELD + b"only" + TAIL, "holds no file"),
        (b"", "holds no file"),
        (b"no form at all, but long enough to be looked at", "malformed"),
        (HEAD + b"one\r\n" + HEAD + b"two" + TAIL, "more than one file"),
        (FIELD + b"x" * 5000 + b"\r\n" + HEAD + b"y" + TAIL, "too long"),
    ],
)
async def test_a_body_that_is_no_upload_is_refused_with_the_reason(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        await read_whole(body)


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "", f"{FORM}{'x' * 300}"]
)
async def test_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInputError):
        await read_whole(HEAD + b"x" + TAIL, kind=kind)


async def test_an_upload_is_answered_with_its_digest() -> None:
    bench = Bench()
    async with bench.client() as client:
        answer = await client.post("/v1/artifacts", files={"file": ("part.stl", b"abc")})
    assert answer.status_code == 201
    assert answer.json() == {
        "status": "success",
        "data": {"digest": "d" * 64, "size": 3, "format": "stl", "name": "part.stl"},
        "timestamp": "2026-01-12T10:30:00.000Z",
    }
    assert answer.headers["location"] == f"/v1/artifacts/{'d' * 64}"


async def test_a_large_file_streams_through_in_pieces() -> None:
    bench = Bench()
    block = b"\x00" * 65536

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(256):
            yield block
        yield TAIL

    async with bench.client() as client:
        headers = {"content-type": FORM}
        answer = await client.post("/v1/artifacts", content=body(), headers=headers)
    assert answer.json()["data"]["size"] == 256 * 65536
    assert bench.files.largest <= 65536


async def test_a_cut_off_upload_is_refused_and_never_finished() -> None:
    bench = Bench()
    async with bench.client() as client:
        headers = {"content-type": FORM}
        answer = await client.post("/v1/artifacts", content=HEAD + b"half", headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "INVALID_INPUT"
    assert "cut off" in answer.json()["detail"]
    assert not bench.files.finished


async def test_an_upload_that_says_it_is_too_long_is_refused_before_it_comes() -> None:
    bench = Bench(upload_limit_bytes=1000)
    async with bench.client() as client:
        files = {"file": ("part.stl", b"x" * 100_000)}
        answer = await client.post("/v1/artifacts", files=files)
    assert answer.status_code == 413
    assert answer.json()["code"] == "TOO_LARGE"
    assert bench.files.taken == b""


async def test_an_upload_that_does_not_say_is_refused_once_it_is_too_long() -> None:
    bench = Bench(upload_limit_bytes=1000)

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(100):
            yield b"x" * 10_000

    async with bench.client() as client:
        headers = {"content-type": FORM}
        answer = await client.post("/v1/artifacts", content=body(), headers=headers)
    assert answer.status_code == 413
    assert not bench.files.finished
    assert len(bench.files.taken) < 100_000


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        (("admin",), 201),
        (("designer",), 201),
        (("viewer", "designer"), 201),
        (("operator",), 403),
        (("vendor",), 403),
        (("viewer",), 403),
        (("auditor",), 403),
    ],
)
async def test_who_may_order_parts_may_bring_the_files_for_them(
    roles: tuple[str, ...], status: int
) -> None:
    bench = Bench()
    async with bench.client(bench.token(*roles)) as client:
        answer = await client.post("/v1/artifacts", files={"file": ("part.stl", b"abc")})
    assert answer.status_code == status, answer.text


async def test_nobody_uploads_or_downloads_without_a_token() -> None:
    async with Bench().client("") as client:
        for answer in (
            await client.post("/v1/artifacts", files={"file": ("part.stl", b"abc")}),
            await client.get(f"/v1/artifacts/{'d' * 64}"),
        ):
            assert answer.status_code == 401
            assert answer.json()["code"] == "UNAUTHENTICATED"
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_nobody_uploads_for_an_organisation_of_others() -> None:
    async with Bench().client() as client:
        headers = {"imewe-organisation": ELSEWHERE}
        files = {"file": ("part.stl", b"abc")}
        answer = await client.post("/v1/artifacts", files=files, headers=headers)
    assert answer.status_code == 403


async def test_a_full_store_is_told_as_such() -> None:
    class Full(FakeFiles):
        async def put(self, *given: object, **named: object) -> None:  # type: ignore[override]
            raise StorageFullError("the store is full")

    async with Bench(artifacts=Full()).client() as client:
        answer = await client.post("/v1/artifacts", files={"file": ("part.stl", b"abc")})
    assert answer.status_code == 507


async def test_a_download_gives_the_bytes_under_their_name() -> None:
    async with Bench().client() as client:
        answer = await client.get(f"/v1/artifacts/{'d' * 64}")
    assert answer.content == b"abc"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4%20b.stl"
    assert answer.headers["etag"] == f'"{"d" * 64}"'


async def test_another_organisations_file_is_as_one_that_does_not_exist() -> None:
    bench = Bench()
    async with bench.client(bench.token("admin", place=ELSEWHERE)) as client:
        foreign = await client.get(f"/v1/artifacts/{'d' * 64}")
    async with bench.client() as client:
        unknown = await client.get(f"/v1/artifacts/{'e' * 64}")
    assert foreign.status_code == unknown.status_code == 404
    assert ORGANISATION not in foreign.text


async def test_health_says_what_cannot_be_reached() -> None:
    async with Bench().client("") as client:
        assert (await client.get("/healthz")).json() == {"ok": True, "unreachable": []}
    async with Bench(health=lambda: ["nats"]).client("") as client:
        answer = await client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["unreachable"] == ["nats"]


async def test_an_unknown_path_is_a_problem_document() -> None:
    async with Bench().client() as client:
        answer = await client.get("/v1/unicorns")
    assert answer.status_code == 404
    assert answer.json()["code"] == "NOT_FOUND"

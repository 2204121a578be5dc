"""Bad files and bad orders at the running system: a typed refusal, and nothing half done."""

import json
import struct
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.whole import Whole
from tests.whole_invariants import Refusal, check_everything, stored_messages
from tests.whole_orders import SUBMIT, small_program
from tests.whole_people import token

pytestmark = pytest.mark.stack

BOUNDARY = "imewe-test"
LIMIT_BYTES = 1024**3
A_TRIANGLE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0)
OPEN_MESH = bytes(80) + struct.pack("<I", 1) + A_TRIANGLE
TEXT_STL = b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"

BAD_FILES = {
    "nothing": ("part.stl", b"", "empty"),
    "binary STL cut off": ("part.stl", OPEN_MESH[:-10], "damaged or no STL"),
    "binary STL with a tail": ("part.stl", OPEN_MESH + b"\0" * 7, "damaged or no STL"),
    "binary STL without a header": ("part.stl", bytes(40), "cut off"),
    "binary STL of no triangle": ("part.stl", bytes(84), "no triangle"),
    "text STL cut off": ("part.stl", TEXT_STL, "cut off"),
    "STEP": ("part.stl", b"ISO-10303-21;\nHEADER;", "STEP"),
    "PNG": ("part.stl", b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG"),
    "PDF": ("part.gcode", b"%PDF-1.7\n", "PDF"),
    "gzip": ("part.obj", b"\x1f\x8b" + bytes(40), "gzip"),
    "prose": ("part.gcode", b"Dear printer, please make me a bracket.\n", "none of"),
    "bytes of nothing": ("part.gcode", bytes(range(256)) * 4, "binary data"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_none_of_ours_is_refused_at_the_door(
    whole: Whole, refused: Refusal, tmp_path: Path, name: str
) -> None:
    file_name, content, words = BAD_FILES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    with refused("INVALID_INPUT", "file"):
        try:
            whole.portal.upload(path)
        except Exception as problem:
            assert words in str(problem)
            raise


def _send(whole: Whole, body: bytes, **headers: str) -> httpx.Response:
    given = {
        "Authorization": f"Bearer {token(whole, 'designer')}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{whole.url}/v1/artifacts", content=body, headers=given)


def _form(content: bytes, *, name: str = "part.gcode", closed: bool = True) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + (f"\r\n--{BOUNDARY}--\r\n".encode() if closed else b"")


BAD_FORMS: dict[str, tuple[bytes, dict[str, str]]] = {
    "cut off in the file": (_form(b"G28\n" * 99_999, closed=False), {}),
    "no file": (f"--{BOUNDARY}--\r\n".encode(), {}),
    "no form": (b"G28\n", {"Content_Type": "text/plain"}),
    "no boundary": (b"G28\n", {"Content_Type": "multipart/form-data"}),
    "rubbish": (b"rubbish" * 100, {}),
}


@pytest.mark.parametrize("name", BAD_FORMS)
def test_a_broken_upload_is_refused_and_leaves_no_chunk(whole: Whole, name: str) -> None:
    body, headers = BAD_FORMS[name]
    before = stored_messages(whole)
    answer = _send(whole, body, **headers)
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (422, "INVALID_INPUT", "file")
    assert answer.headers["content-type"] == "application/problem+json"
    assert stored_messages(whole) == before


def test_a_file_over_the_limit_is_refused_before_it_is_sent(whole: Whole) -> None:
    before = stored_messages(whole)
    place = urlsplit(whole.url)
    with closing(HTTPConnection(str(place.hostname), place.port, timeout=30)) as connection:
        connection.putrequest("POST", "/v1/artifacts")
        connection.putheader("Authorization", f"Bearer {token(whole, 'designer')}")
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(LIMIT_BYTES * 2))
        connection.endheaders()
        answer = connection.getresponse()
        told = json.loads(answer.read())
    assert (answer.status, told["code"]) == (413, "TOO_LARGE")
    assert str(LIMIT_BYTES) in told["detail"]
    assert stored_messages(whole) == before


BAD_ORDERS: dict[str, tuple[dict[str, Any], str]] = {
    "no parts": ({"parts": []}, "parts"),
    "priority 0": ({"priority": 0}, "priority"),
    "priority 11": ({"priority": 11}, "priority"),
    "quantity 0": ({"quantity": 0}, "parts.0.quantity"),
    "quantity -1": ({"quantity": -1}, "parts.0.quantity"),
    "quantity 1001": ({"quantity": 1001}, "parts.0.quantity"),
    "no name": ({"name": "  "}, "name"),
    "a name with a line break": ({"name": "a\nb"}, "name"),
    "no material": ({"materialType": ""}, "parts.0.materialType"),
    "201 lines": ({"lines": 201}, "parts"),
}


def _order(digest: str, **changed: Any) -> dict[str, Any]:
    part = {"name": "box", "artifactDigest": digest, "materialType": "PLA", "quantity": 1}
    part |= {name: value for name, value in changed.items() if name in part and name != "name"}
    parts = [part] * changed.get("lines", 1)
    rest = {name: value for name, value in changed.items() if name in ("name", "priority", "parts")}
    return {"name": "order", "parts": parts, **rest}


@pytest.mark.parametrize("name", BAD_ORDERS)
def test_an_impossible_order_is_refused_and_names_its_field(
    whole: Whole, refused: Refusal, digest: str, name: str
) -> None:
    changed, field = BAD_ORDERS[name]
    with refused("INVALID_INPUT", field):
        whole.command(SUBMIT, input=_order(digest, **changed))


def test_an_order_of_a_file_that_nobody_uploaded_is_refused(whole: Whole, refused: Refusal) -> None:
    with refused("NOT_FOUND", "parts.0.artifactDigest"):
        whole.command(SUBMIT, input=_order("0" * 64))
    with refused("NOT_FOUND", "parts.0.artifactDigest"):
        whole.command(SUBMIT, input=_order("../../etc/passwd"))


UNKNOWN = {
    "of the order": {"colour": "red"},
    "of a part": {"parts": [{"colour": "red"}]},
    "that is missing": {"parts": None},
    "of another type": {"priority": "high"},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_field_is_refused_before_anything_runs(
    whole: Whole, refused: Refusal, digest: str, name: str
) -> None:
    with refused("INVALID_INPUT", "GRAPHQL_VALIDATION_FAILED"):
        whole.command(SUBMIT, input={**_order(digest), **UNKNOWN[name]})
    with refused("INVALID_INPUT", "GRAPHQL_VALIDATION_FAILED"):
        whole.portal.execute("mutation { submitEverything { jobId } }")


def _rejected(whole: Whole, path: Path, *, material: str = "PLA") -> list[dict[str, Any]]:
    job_id = whole.submit(path, material=material)
    job = whole.until_ended(job_id)
    assert job["status"] == "REJECTED"
    (part,) = job["parts"]
    assert not part["builds"]
    assert part["productionStatus"] == "REJECTED"
    check_everything(whole, job_id)
    return list(part["reasons"])


def test_an_open_mesh_is_taken_and_rejected_with_its_reason(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "open.stl"
    path.write_bytes(OPEN_MESH)
    (reason,) = _rejected(whole, path)
    assert reason["code"] == "NOT_WATERTIGHT"
    assert "Repair the mesh" in reason["remedy"]


def test_a_material_that_nobody_has_is_rejected(whole: Whole, program: Path) -> None:
    (reason,) = _rejected(whole, program, material="UNOBTAINIUM")
    assert reason["code"] == "NO_MATERIAL"
    assert "UNOBTAINIUM" in reason["message"]


def test_a_part_larger_than_every_machine_is_rejected_and_told_the_largest(
    whole: Whole, tmp_path: Path
) -> None:
    (reason,) = _rejected(whole, small_program(tmp_path, layers=2, side=400.0))
    assert reason["code"] == "TOO_LARGE"
    assert "250" in reason["message"]

"""The form of a proof file, and the standalone verifier as a stranger runs it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ops.notary import verify_imewe
from tests.proving import at, changed, files, found_in, lines_in, sealed


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the standalone verifier says of bytes."""
    path = tmp_path / "x.imewe-proof.jsonl"
    return lambda data, **how: found_in(path, data, **how)


Check = Callable[..., dict[str, Any]]


def test_a_last_line_that_counts_otherwise_is_found(check: Check) -> None:
    for end in ({"events": 1}, {"unsigned_tail": 0}):
        assert check(sealed(lines_in(files().whole), **end))["exit"] == 1


def test_what_follows_the_last_line_is_found(check: Check) -> None:
    assert check(files().job + b"\n")["exit"] == 1
    assert check(files().job + files().foreign)["exit"] == 1


def test_a_line_in_another_form_is_found(check: Check) -> None:
    *lines, last = files().job.splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.startswith(b'{"event"'))
    lines[place] = lines[place].replace(b'{"sequence":', b'{"sequence":7,"sequence":', 1)
    data = b"".join(lines)
    old = json.loads(last)["end"]["sha256"].encode()
    data += last.replace(old, sha256(data).hexdigest().encode())
    assert check(data)["exit"] == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"not JSON\n", b"[]\n", b'{"imewe_proof":2}\n', b'{"end":{}}\n', b"\xff\xfe"],
)
def test_what_is_no_proof_file_is_said_to_be_none(check: Check, data: bytes) -> None:
    assert check(data)["exit"] == 2


def test_a_file_without_any_head_proves_nothing(check: Check) -> None:
    def behead(lines: list[Any]) -> None:
        lines[:] = [line for line in lines if "head" not in line]

    found = check(changed(files().whole, behead))
    assert (found["exit"], found["verified"]) == (2, False)


def test_a_packed_file_is_read_and_a_damaged_one_found(tmp_path: Path) -> None:
    packed = gzip.compress(files().whole)
    path = tmp_path / "x.jsonl.gz"
    assert found_in(path, packed)["verified"]
    assert found_in(path, packed[:-200])["exit"] == 1
    assert found_in(path, packed[:8])["exit"] == 2


def run(*words: str | Path) -> tuple[int, str]:
    """Run it as a stranger does: outside the repository, without Imewe on the path."""
    script = Path(str(verify_imewe.__file__)).read_text()
    copy = Path(words[0]).parent / "verify_imewe.py"
    copy.write_text(script)
    command = [sys.executable, "-I", str(copy), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=copy.parent, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_stranger_runs_the_one_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(files().whole)
    bad.write_bytes(changed(files().whole, lambda lines: lines.pop(at(lines, 90))))
    code, told = run(good)
    assert (code, told.splitlines()[0]) == (
        0,
        f"VERIFIED: events 1 to {files().signed}: {files().signed} events are as they were signed",
    )
    assert "the first in the file" in told
    assert f"unsigned tail: {files().size - files().signed} events, not verified" in told
    assert "(yours)" in run(good, "--key", files().keys[0])[1]
    assert run(bad) == (1, "TAMPERED WITH: event 90: missing, or out of order\n")
    code, told = run(tmp_path / "none.jsonl", "--json")
    assert (code, '"exit": 2' in told) == (2, True)


def test_it_stays_one_readable_file_with_one_dependency() -> None:
    script = Path(str(verify_imewe.__file__)).read_text()
    assert len(script.splitlines()) <= 300
    imported = {line.split()[1].split(".")[0] for line in script.splitlines() if "import " in line}
    assert imported - set(sys.stdlib_module_names) <= {"cryptography", "package"}

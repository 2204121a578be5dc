"""What was released stays readable: files, versions, upcasters, in a small package of its own."""

import importlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing import utils
from typer.testing import CliRunner

from domain.shared.errors import ConflictError
from ops.cli.main import application
from ops.schema_differences import Difference, differences
from ops.schema_files import RELEASED, released, write_contracts
from ops.schema_releases import Finding, findings, release
from schema.registry import MissingUpcasterError, Upcasters, known_upcasters

MODULE = '''
"""A package of events, as a release has it."""
from typing import Any
from domain.shared.aggregate import Created, ImeweAggregate

class Lantern(ImeweAggregate):
    TOPIC = "imewe.lantern:Lantern"
    class Hung(Created):
        """{words}"""
        TOPIC = "imewe.lantern:Hung"
        class_version = {version}
        {fields}
    {more}
'''
LIT = '''class Lit(ImeweAggregate.Event):
        """It burns."""
        TOPIC = "imewe.lantern:Lit"
        by: str
'''
HEIGHT = "height: int"
NUMBERS = itertools.count()


class Package:
    """Releases of one package, one after the other, over one folder of contracts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upcasters = Upcasters()
        self.aggregates: list[Any] = []

    def written(
        self, fields: str, *, version: int = 1, words: str = "It hangs.", more: str = LIT
    ) -> "Package":
        """Write the package anew and generate its contracts."""
        _forget()
        name = f"lanterns_{next(NUMBERS)}"
        text = MODULE.format(fields=fields, version=version, words=words, more=more)
        (self.folder / f"{name}.py").write_text(text)
        self.aggregates = [importlib.import_module(name).Lantern]
        write_contracts(self.folder, aggregates=self.aggregates)
        return self

    def release(self) -> list[str]:
        return release(self.folder, aggregates=self.aggregates, upcasters=self.upcasters)

    def findings(self) -> list[Finding]:
        return findings(self.folder, aggregates=self.aggregates, upcasters=self.upcasters)

    def found(self) -> dict[str, str]:
        return {each.name: each.problem for each in self.findings()}

    def file(self, name: str) -> Path:
        return self.folder / "events" / f"{name}.json"


def _forget() -> None:
    for topic in [each for each in utils._topic_cache if each.startswith("imewe.lantern")]:
        del utils._topic_cache[topic]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Package(tmp_path).written(HEIGHT)
    _forget()


def test_before_the_first_release_everything_may_change(package: Package) -> None:
    assert package.findings() == []
    assert package.written("height: str\n        by: str").findings() == []
    assert not (package.folder / RELEASED).exists()


def test_a_release_lists_every_version_once(package: Package) -> None:
    assert package.release() == ["lantern.hung.v1", "lantern.lit.v1"]
    assert package.release() == []
    assert set(released(package.folder)) == {"lantern.hung.v1", "lantern.lit.v1"}
    assert all(each.startswith("sha256:") for each in released(package.folder).values())
    assert package.findings() == []


@pytest.mark.parametrize(
    ("fields", "words", "fits"),
    [
        ("height: str", "the type of field height was changed from integer to string", False),
        ("height: float", "the type of field height was widened from integer to number", True),
        ("tall: int", "field height was renamed to tall", False),
        ("tall: str", "field height was removed; required field tall was added", False),
        ("height: int\n        by: str", "required field by was added", False),
        ("pass", "field height was removed", False),
        ("height: list[int]", "changed from integer to array", False),
    ],
)
def test_a_class_that_differs_from_what_was_released_needs_a_new_version(
    package: Package, fields: str, words: str, fits: bool
) -> None:
    package.release()
    before = package.file("lantern.hung.v1").read_text()
    (finding,) = package.written(fields).findings()
    assert finding.name == "lantern.hung.v1"
    assert words in finding.problem
    assert ("still fit" in finding.problem) is fits
    assert "class_version to 2" in finding.remedy
    assert package.file("lantern.hung.v1").read_text() == before
    with pytest.raises(ConflictError, match=r"lantern\.hung\.v1"):
        package.release()


def test_other_words_of_the_same_event_are_no_new_version(package: Package) -> None:
    package.release()
    before = package.file("lantern.hung.v1").read_text()
    assert package.written(HEIGHT, words="It hangs on a hook.").findings() == []
    assert package.file("lantern.hung.v1").read_text() == before


def test_a_new_version_needs_an_upcaster_from_each_before_it(package: Package) -> None:
    package.release()
    package.written("height: int\n        by: str", version=2)
    assert package.found() == {"lantern.hung.v2": "no upcaster leads from version 1 to 2"}
    with pytest.raises(ConflictError):
        package.release()
    package.upcasters.step("imewe.lantern:Hung", from_version=1)(lambda b: {**b, "by": ""})
    assert package.findings() == []
    assert package.release() == ["lantern.hung.v2"]
    package.written("height: int", version=3)
    assert package.found() == {"lantern.hung.v3": "no upcaster leads from version 2 to 3"}
    assert package.file("lantern.hung.v1").exists()
    assert package.file("lantern.hung.v2").exists()


def test_versions_go_up_by_one(package: Package) -> None:
    package.release()
    package.upcasters.step("imewe.lantern:Hung", from_version=1)(dict)
    package.upcasters.step("imewe.lantern:Hung", from_version=2)(dict)
    assert (
        "version 1 was released last"
        in package.written(HEIGHT, version=3).found()["lantern.hung.v3"]
    )
    package.written(HEIGHT, version=2).release()
    assert "version 2 was released last" in package.written(HEIGHT).found()["lantern.hung.v1"]


def test_a_released_file_neither_changes_nor_vanishes(package: Package) -> None:
    package.release()
    path = package.file("lantern.hung.v1")
    text = path.read_text()
    path.write_text(text.replace("integer", "string"))
    assert package.found()["lantern.hung.v1"].startswith("was released and its file changed")
    path.unlink()
    assert package.found()["lantern.hung.v1"] == "was released and its file is gone"
    path.write_text(text)
    assert package.findings() == []


def test_a_released_event_keeps_a_class_that_reads_it(package: Package) -> None:
    package.release()
    package.written(HEIGHT, more="")
    assert package.found() == {"lantern.lit.v1": "was released and no class reads it"}
    assert package.file("lantern.lit.v1").exists(), "its schema stays"


def test_contracts_that_were_not_generated_are_not_released(package: Package) -> None:
    package.file("lantern.hung.v1").write_text("{}\n")
    with pytest.raises(ConflictError, match="not what its class says"):
        package.release()
    assert released(package.folder) == {}


def test_the_difference_of_nested_fields_is_told_by_path() -> None:
    text, number = {"type": "string"}, {"type": "integer"}
    old = {"properties": {"a": {"type": "array", "items": text}, "b": text, "c": {}, "d": text}}
    new = {
        "properties": {
            "a": {"type": "array", "items": number},
            "b": {**text, "x-personal": "originator"},
            "c": text,
            "d": {},
        }
    }
    assert sorted(differences(old, new)) == [
        Difference("field b became personal and sealed", False),
        Difference("the type of field a (items) was changed from string to integer", False),
        Difference("the type of field c was narrowed from any to string", False),
        Difference("the type of field d was widened from string to any", True),
    ]
    optional = {"properties": {"a": text}, "required": []}
    required = {"properties": {"a": text}, "required": ["a"]}
    assert differences(optional, required) == [Difference("field a became required", False)]
    assert differences(required, optional) == [Difference("field a became optional", True)]
    assert differences(optional, {"properties": {"a": text, "b": text}}) == [
        Difference("optional field b was added", True)
    ]
    assert differences(required, required) == []


def test_upcasters_are_chained_and_never_guessed() -> None:
    steps = Upcasters()
    steps.step("imewe.a:B", from_version=1)(lambda body: {**body, "x": 1})
    steps.step("imewe.a:B", from_version=2)(lambda body: {**body, "y": body["x"] + 1})
    stored = {"z": 0}
    assert steps.apply("imewe.a:B", stored, from_version=1, to_version=3) == {
        "z": 0,
        "x": 1,
        "y": 2,
    }
    assert stored == {"z": 0}
    with pytest.raises(MissingUpcasterError, match="version 3"):
        steps.apply("imewe.a:B", stored, from_version=1, to_version=4)
    with pytest.raises(ValueError, match="two upcasters"):
        steps.step("imewe.a:B", from_version=1)(dict)
    assert known_upcasters() is known_upcasters()


def test_the_contracts_of_this_program_keep_what_was_released() -> None:
    assert [f"{each.name}: {each.problem}" for each in findings()] == []
    result = CliRunner().invoke(application(["schema"]), ["schema", "check", "--files", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])

"""What became different between two versions of an event, in words, and what that means."""

from typing import Any, NamedTuple

_WIDER = {("integer", "number")}


class Difference(NamedTuple):
    """One difference. ``old_reads``: whether bodies of the old version still fit the new one."""

    words: str
    old_reads: bool


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    """Compare two schemas of one event, as ``ops.schema_files.event_schema`` makes them."""
    return _fields("", old, new)


def _fields(path: str, old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    before, after = old.get("properties", {}), new.get("properties", {})
    gone = [name for name in before if name not in after]
    come = [name for name in after if name not in before]
    found: list[Difference] = []
    for name in list(gone):
        twin = next((each for each in come if before[name] == after[each]), None)
        if twin is not None:
            words = (
                f"field {path}{name} was renamed to {twin}, or another of its type took its place"
            )
            found.append(Difference(words, old_reads=False))
            gone.remove(name)
            come.remove(twin)
    found += [Difference(f"field {path}{name} was removed", old_reads=False) for name in gone]
    for name in come:
        needed = name in new.get("required", ())
        how = "required" if needed else "optional"
        found.append(Difference(f"{how} field {path}{name} was added", old_reads=not needed))
    for name in before.keys() & after.keys():
        found += _one(f"{path}{name}", before[name], after[name])
        found += _need(f"{path}{name}", name, old, new)
    return found


def _one(path: str, old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    if ("x-personal" in old) != ("x-personal" in new):
        now = "personal and sealed" if "x-personal" in new else "no longer personal"
        return [Difference(f"field {path} became {now}", old_reads=False)]
    if old.get("type") != new.get("type"):
        return [_type(path, old.get("type"), new.get("type"))]
    found = _fields(f"{path}.", old, new) if "properties" in old and "properties" in new else []
    for inner, words in (("items", "items"), ("additionalProperties", "values")):
        if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
            found += _one(f"{path} ({words})", old[inner], new[inner])
    if not found and old != new:
        found.append(Difference(f"field {path} is described otherwise", old_reads=False))
    return found


def _type(path: str, old: str | None, new: str | None) -> Difference:
    if new is None or (old, new) in _WIDER:
        return Difference(
            f"the type of field {path} was widened from {old} to {new or 'any'}", True
        )
    if old is None or (new, old) in _WIDER:
        words = f"the type of field {path} was narrowed from {old or 'any'} to {new}"
        return Difference(words, old_reads=False)
    return Difference(f"the type of field {path} was changed from {old} to {new}", old_reads=False)


def _need(path: str, name: str, old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    was, is_now = name in old.get("required", ()), name in new.get("required", ())
    if was == is_now:
        return []
    words = f"field {path} became {'required' if is_now else 'optional'}"
    return [Difference(words, old_reads=was)]

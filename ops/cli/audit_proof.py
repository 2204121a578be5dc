"""`imewe audit export|verify|verifier`: proofs for strangers, and the check of a whole log."""

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import ConflictError, InvalidInputError
from ops.cli.homes import chosen_home
from ops.cli.proof_writing import ticking, write_proof
from ops.cli.reach import AsJson, opened
from ops.cli.refusals import EXIT_REFUSED
from ops.eventstore.chain import Flaw
from ops.hosting.home import refuse_in_use
from ops.notary import verify_imewe
from ops.notary.evidence import History, demand_newest, read_history
from ops.notary.exporting_whole import Wanted, log_files, log_size, proof_file
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head, read_note
from ops.notary.home_log import log_client
from ops.notary.merkle import HashStore
from ops.notary.state import FOLDER, TREE
from ops.notary.verifying import Found, LogCheck, check_log, read_state, write_state
from ops.settings import Settings

STATE = "audit-verify.json"

Output = Annotated[Path, typer.Option(help="The file to write; .gz packs it. Never replaced.")]
From = Annotated[int | None, typer.Option("--from", help="The first event.", min=1)]
To = Annotated[int | None, typer.Option("--to", help="The last event.", min=1)]
Job = Annotated[str | None, typer.Option("--job", help="One job, whole, and nothing else.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="From a stopped home, whose files you may read.")
]


def export(
    ctx: typer.Context,
    output: Output,
    job: Job = None,
    first: From = None,
    last: To = None,
    *,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Write one file that proves a job, or the events of a range: events, heads, keys, proofs.

    A range ends with a signed head: it goes on to the next one behind --to. Without a job and a
    range it is the whole log; what is exported is said on standard error. Check the file with
    `imewe audit verify FILE`, or anywhere with `imewe audit verifier`.

    Example: imewe audit export --job 6f1f3c2e-7d0b-5f6c-9a52-0b8f5d1c2a77 --output job.jsonl
    """
    asked = {k: v for k, v in {"job": job, "from": first, "to": last}.items() if v is not None}
    wanted = Wanted.of(asked)
    if output.exists():
        raise InvalidInputError(f"{output} is there already", field="output")
    if offline:
        settings = _settings(ctx)
        refuse_in_use(settings.home)
        with log_client(settings) as client:
            told = write_proof(output, proof_file(client, settings.home, wanted, told=_progress()))
    else:
        with opened(ctx) as gateway:
            told = write_proof(output, gateway.download("/v1/audit/export", asked))
    words = f"{output}: {told.get('events', 0):,} events, {told['bytes']:,} bytes"
    typer.echo(json.dumps(told) if as_json else words)


def verify(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A proof file; else the home's log.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="A key that you know already.")] = None,
    head: Annotated[list[Path] | None, typer.Option(help="A signed head that you kept.")] = None,
    state: Annotated[Path | None, typer.Option(help="Go on from here, and keep it.")] = None,
    *,
    afresh: Annotated[bool, typer.Option("--afresh", help="Forget an unfinished check.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a proof file, or the whole log of a home that runs or is stopped.

    Exit code 0: verified; 1: the first bad event is named; 2: the file proves nothing. A check
    that was stopped goes on where it was.

    Example: imewe audit verify
    """
    if file is not None:
        words = [str(file), *(f"--key={each}" for each in key or ())]
        words += [f"--head={each}" for each in head or ()] + ["--json"] * as_json
        raise typer.Exit(verify_imewe.main(words))
    settings = _settings(ctx)
    place = state or settings.home / STATE
    try:
        kept = [Head.read(read_note(_text(each)).text) for each in head or ()]
        found, history = _check(settings, key or [], kept, place, afresh=afresh, keep=bool(state))
    except ConflictError as error:
        found, history = Found(flaw=Flaw(0, error.message)), History()
    _tell(found, history, given=bool(key), as_json=as_json)


def verifier(*, as_json: AsJson = False) -> None:
    """Print the standalone verifier: one Python file for any machine. As JSON with its sha256.

    Example: imewe audit verifier > verify_imewe.py
    """
    text = Path(verify_imewe.__file__).read_text(encoding="utf-8")
    if as_json:
        digest = sha256(text.encode()).hexdigest()
        typer.echo(json.dumps({"name": "verify_imewe.py", "sha256": digest, "text": text}))
    else:
        typer.echo(text, nl=False)


def _check(
    settings: Settings,
    keys: list[str],
    kept: list[Head],
    place: Path,
    *,
    afresh: bool,
    keep: bool,
) -> tuple[Found, History]:
    with log_client(settings) as client, ExitStack() as stack:
        history = read_history(HeadStream(client))
        demand_newest(settings.home, history)
        _demand_keys(history, keys)
        _demand_heads(history, kept)
        check = LogCheck(history, kept=_kept_tree(settings, stack))
        known = None if afresh else read_state(place, history.origin)
        if known:
            check.resume(known)
            typer.echo(f"going on behind event {check.checked:,}", err=True)
        log = log_files(client)
        found = check_log(
            check,
            lambda after, limit: log.stretch(after + 1, limit),
            log_size(client),
            told=_progress(),
            save=lambda told: write_state(place, history.origin, told),
        )
    if keep and not found.flaw:
        write_state(place, history.origin, check.state())
    elif not keep:
        place.unlink(missing_ok=True)
    return found, history


def _tell(found: Found, history: History, *, given: bool, as_json: bool) -> None:
    keys = [key.key.text for key, _ in history.keys]
    shown: dict[str, Any] = {
        "verified": found.flaw is None,
        "checked": found.checked,
        "signed": found.signed,
        "unsigned_tail": found.unsigned_tail,
        "heads": found.heads,
        "keys": keys,
        "first_bad": (found.flaw.sequence or None) if found.flaw else None,
        "reason": found.flaw.reason if found.flaw else "",
    }
    if as_json:
        typer.echo(json.dumps(shown))
    elif found.flaw:
        where = f"event {found.flaw.sequence}: " if found.flaw.sequence else ""
        typer.echo(f"TAMPERED WITH: {where}{found.flaw.reason}")
        typer.echo(f"signed and as it was: up to event {found.signed}")
    else:
        typer.echo(f"VERIFIED: events 1 to {found.signed}, {found.heads} signed heads")
        typer.echo(f"unsigned tail: {found.unsigned_tail} events: their chain holds, no more")
        if keys and not given:
            typer.echo(f"key: {keys[0]} (the log's first: compare it with what you kept)")
    if found.flaw:
        raise typer.Exit(EXIT_REFUSED)


def _demand_keys(history: History, given: list[str]) -> None:
    if given and not {key.key.text for key, _ in history.keys} & set(given):
        raise ConflictError("no key that signed this log is one that you gave", field="key")


def _demand_heads(history: History, kept: list[Head]) -> None:
    """Nothing that was signed is ever taken away: a head that was kept must be among them."""
    ours = {head for head, _ in history.heads}
    for head in kept:
        if head not in ours:
            reason = f"the head of size {head.size} that you kept is none that signed this log"
            raise ConflictError(reason, field="head")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} cannot be read: {error}", field="head") from error


def _kept_tree(settings: Settings, stack: ExitStack) -> HashStore | None:
    try:
        tree = HashStore(settings.home / FOLDER / TREE, read_only=True)
    except OSError:
        return None
    return stack.enter_context(closing(tree))


def _settings(ctx: typer.Context) -> Settings:
    return Settings.from_environment(chosen_home(ctx))


def _progress() -> Callable[[int, int], None]:
    """Says on standard error how far it is, every two seconds."""
    tick = ticking()

    def progress(done: int, of: int) -> None:
        tick(lambda: f"event {done:,} of {of:,}")

    return progress

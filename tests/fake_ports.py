"""What surrounds the write side, in memory, with the habits of the real thing."""

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from commands.auditing.entry import Entry
from commands.auditing.trail import Written
from domain.ports import ArtifactRef, DataKey
from domain.shared.errors import IllegalTransitionError, NotFoundError, UnavailableError
from domain.shared.personal import Personal

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
DIGEST = "d" * 64


class FakeClock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


class FakeSecrets:
    """``PeopleStore``; sealing only looks like it."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.mails: dict[str, str] = {}
        self.gone: set[str] = set()

    def put(self, name: str, value: bytes) -> None:
        self.values[name] = value

    def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    def erase(self, name: str) -> None:
        self.values.pop(name, None)

    def protect(self, subject_id: str, field: str, text: str) -> Personal:
        if subject_id in self.gone:
            raise IllegalTransitionError("this person was erased")
        sealed = b64encode(text[::-1].encode() or b" ").decode()
        return Personal(
            enc="FAKE",
            key=f"{subject_id}.00000000",
            nonce=b64encode(field.encode()).decode(),
            ct=sealed,
        )

    def reveal(self, subject_id: str, field: str, personal: Personal) -> str | None:
        sealed_for = (personal.subject_id, b64decode(personal.nonce).decode())
        if subject_id in self.gone or sealed_for != (subject_id, field):
            return None
        return b64decode(personal.ct).decode()[::-1]

    def key_of(self, subject_id: str) -> DataKey | None:
        if subject_id in self.gone:
            return None
        return DataKey(name=f"{subject_id}.00000000", algorithm="FAKE", fingerprint="sha256:0")

    def is_erased(self, subject_id: str) -> bool:
        return subject_id in self.gone

    def erase_person(self, subject_id: str) -> None:
        self.gone.add(subject_id)
        self.mails = {mail: who for mail, who in self.mails.items() if who != subject_id}

    def remains(self, subject_id: str) -> list[str]:
        return [mail for mail, who in self.mails.items() if who == subject_id]

    def names(self, first_word: str) -> list[str]:
        start = f"{first_word}."
        return [name.removeprefix(start) for name in self.values if name.startswith(start)]

    def remember_mail(self, mail: str, subject_id: str) -> bool:
        return self.mails.setdefault(mail.casefold(), subject_id) == subject_id

    def find_mail(self, mail: str) -> str | None:
        return self.mails.get(mail.casefold())

    def forget_mail(self, mail: str) -> None:
        self.mails.pop(mail.casefold(), None)


class FakeArtifacts:
    """Knows the files of one organisation."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], ArtifactRef] = {}

    def add(self, organisation_id: str, digest: str = DIGEST) -> ArtifactRef:
        ref = ArtifactRef(digest=digest, size=10, format="gcode", name="hook.gcode")
        self.files[organisation_id, digest] = ref
        return ref

    def info(self, digest: str, organisation_id: str) -> ArtifactRef:
        if (organisation_id, digest) not in self.files:
            raise NotFoundError(f"There is no file {digest}.", field="artifact")
        return self.files[organisation_id, digest]


class FakeAuditLog:
    """``AuditLog``; while ``away`` it refuses."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.written: list[Written] = []
        self.names: dict[str, datetime] = {}
        self.away = False
        self.asked = 0

    def append(self, entry: Entry, *, name: str) -> bool:
        self.asked += 1
        if self.away:
            raise UnavailableError("the audit trail cannot be written")
        known = self.names.get(name)
        if known is not None and self.clock.now() - known < timedelta(minutes=2):
            return False
        self.names[name] = self.clock.now()
        self.written.append(Written(len(self.written) + 1, entry, "sha256:0"))
        return True

    def newest(self, *, before: int | None, limit: int) -> list[Written]:
        until = len(self.written) if before is None else before - 1
        return self.written[max(0, until - limit) : until][::-1]


class FakeAnswers:
    """``AnswerStore``; ``breakages`` are called once each before a value is kept."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.breakages: deque[Callable[[], None]] = deque()

    def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    def erase_of(self, account_id: str, commands: list[str]) -> None:
        self.values = {
            place: value
            for place, value in self.values.items()
            if not place.startswith(account_id) and place.partition(".")[2] not in commands
        }

    def put(self, name: str, value: bytes) -> None:
        if self.breakages:
            self.breakages.popleft()()
        self.values.setdefault(name, value)

"""What surrounds the write side, in memory, with the habits of the real thing."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from commands.auditing.entry import Entry
from commands.auditing.trail import Written
from domain.ports import ArtifactRef
from domain.shared.errors import NotFoundError, UnavailableError
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

    def put(self, name: str, value: bytes) -> None:
        self.values[name] = value

    def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    def erase(self, name: str) -> None:
        self.values.pop(name, None)

    def protect(self, subject_id: str, field: str, text: str) -> Personal:
        return Personal(enc="fake", key=subject_id, nonce=field, ct=text[::-1])

    def reveal(self, subject_id: str, field: str, personal: Personal) -> str | None:
        return personal.ct[::-1] if (personal.key, personal.nonce) == (subject_id, field) else None

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

    def put(self, name: str, value: bytes) -> None:
        if self.breakages:
            self.breakages.popleft()()
        self.values.setdefault(name, value)

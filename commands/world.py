"""What a handler may use: the aggregates, the present, and the ports it was given."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError

from commands.accounts.authentication import Authentication
from commands.application import Imewe
from commands.principal import USER, Principal
from commands.turns import Turn
from domain.ports import ArtifactRef
from domain.shared.aggregate import Fact, ImeweAggregate
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.identifiers import derived

A = TypeVar("A", bound=ImeweAggregate)


class ArtifactCatalogue(Protocol):
    """Looks up uploaded files; safe to call from many threads."""

    def info(self, digest: str, organisation_id: str) -> ArtifactRef:
        """The file of that organisation. Raises ``NotFoundError``."""


class AlreadyObeyedError(Exception):
    """This aggregate exists already, or has obeyed this very command: nothing is left to do."""

    def __init__(self, aggregate: ImeweAggregate) -> None:
        super().__init__(str(aggregate.id))
        self.aggregate = aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What lies outside and lives as long as the service."""

    application: Imewe
    authentication: Authentication
    artifacts: ArtifactCatalogue


@dataclass(slots=True, kw_only=True)
class World:
    """One attempt at one command. Each aggregate is loaded once, and the first
    one only when its ``turn`` has come.

    ``organisation_id`` may be empty for services and bridges, which work for all; then the
    aggregate's own counts. ``careful``: an earlier attempt met a change by somebody else.
    """

    ports: Ports
    principal: Principal
    organisation_id: str
    command_name: str
    now: datetime
    turn: Turn
    careful: bool = False
    loaded: dict[UUID, ImeweAggregate] = field(default_factory=dict)
    beside: list[ImeweAggregate] = field(default_factory=list)
    """What changed with the aggregate that the handler returns: recorded in one batch with it."""

    @property
    def by(self) -> str:
        """The principal as events name it."""
        return str(self.principal)

    def get(self, kind: type[A], aggregate_id: str) -> A:
        """The aggregate of that id. One of another organisation does not exist.

        Raises ``NotFoundError``.
        """
        found = self.find(kind, _uuid(kind, aggregate_id))
        if found is None:
            raise _missing(kind, aggregate_id)
        return found

    def find(self, kind: type[A], aggregate_id: UUID) -> A | None:
        """The same, or ``None`` when there is none. Raises ``AlreadyObeyedError``."""
        self.turn.wait_for(aggregate_id)
        found = self.loaded.get(aggregate_id) or self._load(aggregate_id)
        if found is None:
            return None
        if not isinstance(found, kind) or self.organisation_id not in {
            "",
            found.organisation_id,
        }:
            raise _missing(kind, str(aggregate_id))
        self.loaded[aggregate_id] = found
        if self.command_name in found.commands:
            raise AlreadyObeyedError(found)
        return found

    def find_anywhere(self, kind: type[A], aggregate_id: str) -> A | None:
        """The aggregate of any organisation, to look at only."""
        found = self._load(_uuid(kind, aggregate_id))
        return found if isinstance(found, kind) else None

    def fresh(
        self, kind: type[ImeweAggregate], new_id: UUID | None = None, *, look: bool = False
    ) -> UUID:
        """The id of an aggregate that this command begins: as given, else made from the command's
        name. Raises ``AlreadyObeyedError`` when it is there.

        The first attempt takes it to be new: the log refuses it if not. ``look`` says that
        something outside the log must not happen twice either.
        """
        new = new_id or derived(kind.__name__.lower(), self.command_name)
        if self.careful or look:
            found = self.find(kind, new)
            if found is not None:
                raise AlreadyObeyedError(found)
        return new

    def past(self, aggregate: ImeweAggregate) -> list[Fact]:
        """All events of a loaded aggregate, for the few decisions that need them."""
        return self.ports.application.past(aggregate.id, aggregate.version)

    def home(self) -> str:
        """The organisation of what this command begins. Raises ``InvalidInputError``."""
        if not self.organisation_id:
            raise InvalidInputError("say for which organisation", field="organisation_id")
        return self.organisation_id

    def in_own_words(self, text: str) -> str:
        """A person's note, sealed under the person's key; what a service or a bridge says stays
        as it is. Raises ``IllegalTransitionError`` when the person was erased meanwhile."""
        if not text or self.principal.kind != USER:
            return text
        return self.ports.authentication.sealed_note(self.principal.id, text)

    def _load(self, aggregate_id: UUID) -> ImeweAggregate | None:
        try:
            return self.ports.application.load(aggregate_id)
        except AggregateNotFoundError:
            return None


def _uuid(kind: type[ImeweAggregate], text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _missing(kind, text) from None


def _missing(kind: type[ImeweAggregate], text: str) -> NotFoundError:
    word = kind.__name__.lower()
    return NotFoundError(f"there is no {word} {text[:60]}", field=f"{word}_id")

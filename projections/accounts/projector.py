"""Folds people with their grants, and organisations."""

from collections.abc import Iterable
from dataclasses import replace

from domain.account.aggregate import Account
from domain.organisation.aggregate import Organisation
from domain.shared.recorded import RecordedEvent
from projections.accounts.rows import AccountRow, OrganisationRow
from projections.projection import Projection, topics_of
from projections.rows import Need, Rows
from projections.table import Table

ACCOUNTS = Table(
    AccountRow,
    "accounts",
    ("id",),
    indexes=("organisation_id, created",),
    fixed=("organisation_id", "opened_at", "created"),
)
ORGANISATIONS = Table(OrganisationRow, "organisations", ("id",), fixed=("created",))


class Accounts(Projection):
    """Announces ids of accounts and organisations."""

    name = "accounts"
    version = 2
    topics = topics_of(Account, Organisation)
    tables = (ACCOUNTS, ORGANISATIONS)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """The account or the organisation."""
        table = ACCOUNTS if recorded.kind == "account" else ORGANISATIONS
        return [Need(table, ("id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Fold into the row of the account or of the organisation."""
        if recorded.kind == "account":
            _fold_account(rows, recorded)
        else:
            _fold_organisation(rows, recorded)
        rows.touch(str(recorded.aggregate_id))


def _fold_account(rows: Rows, recorded: RecordedEvent) -> None:
    event = recorded.event
    account_id = str(recorded.aggregate_id)
    if isinstance(event, Account.Opened):
        rows.put(ACCOUNTS, _opened(event, recorded))
        return
    row = replace(
        rows.get(ACCOUNTS, account_id), position=recorded.position, version=recorded.version
    )
    match event:
        case Account.RoleGranted():
            row = replace(row, grants=[*row.grants, _grant(event.role, event.in_organisation)])
        case Account.RoleRevoked():
            gone = _grant(event.role, event.in_organisation)
            row = replace(row, grants=[grant for grant in row.grants if grant != gone])
        case Account.Closed():
            row = replace(row, closed=True)
        case Account.Erased():
            row = replace(row, erased_at=recorded.envelope.occurred_at)
        case _:
            pass
    rows.put(ACCOUNTS, row)


def _fold_organisation(rows: Rows, recorded: RecordedEvent) -> None:
    event = recorded.event
    organisation_id = str(recorded.aggregate_id)
    match event:
        case Organisation.Founded():
            row = OrganisationRow(
                id=organisation_id,
                name=event.name,
                created=recorded.position,
                position=recorded.position,
                version=recorded.version,
            )
        case _:
            known = rows.get(ORGANISATIONS, organisation_id)
            row = replace(
                known,
                name=event.name if isinstance(event, Organisation.Renamed) else known.name,
                position=recorded.position,
                version=recorded.version,
            )
    rows.put(ORGANISATIONS, row)


def _grant(role: str, organisation_id: str) -> dict[str, str]:
    return {"role": role, "organisation_id": organisation_id}


def _opened(event: Account.Opened, recorded: RecordedEvent) -> AccountRow:
    return AccountRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        mail=event.mail,
        name=event.name,
        grants=[],
        closed=False,
        erased_at=None,
        opened_at=recorded.envelope.occurred_at,
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )

"""Decisions about months."""

from uuid import UUID

from commands.handling import handles
from commands.periods.messages import ClosePeriod, CutOffPeriod
from commands.world import World
from domain.organisation.aggregate import Organisation
from domain.period.aggregate import Period, PeriodStatus, month_of, period_id, span_of
from domain.shared.errors import IllegalTransitionError, InvalidInputError, NotFoundError


@handles(CutOffPeriod, tell=lambda period: {"status": period.status, "month": period.month})
def cut_off_period(command: CutOffPeriod, world: World) -> Period:
    place = world.home()
    span_of(command.month)
    known = world.find(Period, period_id(place, command.month))
    if known is not None:
        return known
    period = Period.cut_off(
        period_id(place, command.month),
        organisation_id=place,
        month=command.month,
        now=world.now,
    )
    _refuse_before(command.month, place, world)
    return period


@handles(ClosePeriod, tell=lambda period: {"status": period.status, "month": period.month})
def close_period(command: ClosePeriod, world: World) -> Period:
    place = world.home()
    span_of(command.month)
    period = world.find(Period, period_id(place, command.month))
    if period is None:
        raise NotFoundError(f"{command.month} was not cut off yet", field="month")
    if command.position != world.ports.application.position_of(period.id, 1):
        raise InvalidInputError("the report counts up to another position", field="position")
    period.close(position=command.position, figures=command.figures, digest=command.digest)
    return period


def _refuse_before(month: str, place: str, world: World) -> None:
    """Months are closed in their order, so that each adjustment has one month to be booked in."""
    organisation = world.find(Organisation, UUID(place))
    if organisation is None:
        return
    first, last = month_of(organisation.created_on), _month_before(month)
    if month < first:
        raise InvalidInputError(f"the organisation began in {first}", field="month")
    before = world.find(Period, period_id(place, last))
    if last >= first and (before is None or before.status != PeriodStatus.CLOSED):
        raise IllegalTransitionError(
            f"{last} is not closed yet", field="month", remedy=f"close {last} first"
        )


def _month_before(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year - (number == 1):04}-{(number - 2) % 12 + 1:02}"

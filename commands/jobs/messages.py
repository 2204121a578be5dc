"""Commands about orders."""

from datetime import datetime

from commands.message import message, value


@value
class PartOrder:
    """One line of an order: a stored model or program, a material, a number of pieces."""

    name: str
    artifact_digest: str
    material: str
    quantity: int = 1


@message
class SubmitJob:
    """A designer orders parts. The job's id follows from the command's name."""

    name: str
    parts: list[PartOrder]
    priority: int = 5
    deadline: datetime | None = None


@message
class ReprioritizeJob:
    """A designer or an admin changes the place in the queue (1 to 10)."""

    job_id: str
    priority: int


@message
class CancelJob:
    """A designer or an admin wants it stopped."""

    job_id: str
    reason: str = ""


@message
class FollowPart:
    """The processes report a part's derived state to its job."""

    job_id: str
    part_id: str
    part_status: str

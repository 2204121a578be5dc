"""Stored events through a gateway, with a person's token: what the person audits."""

from typing import Any

from ops.cli.client import Client
from ops.eventstore.envelope import Record
from ops.replaying.lines import record_told
from ops.replaying.sources import Pages

FIRST = 500
EVENTS = """query($after: Position!, $first: Int!, $upTo: Position!) {
  storedEvents(after: $after, first: $first, upTo: $upTo) {
  position leftOut end organisations
  events { position time subject headers text body } } }"""


class GatewayLog:
    """The log as a gateway shows it. ``left_out`` counts others' events so far."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.left_out = 0
        begun = self._page(0, 1, up_to=0)
        self.organisations = tuple(begun["organisations"])
        self.end = int(begun["end"])

    def pages(self, *, first: int, last: int) -> Pages:
        """The events of positions ``first`` to ``last`` that may be seen."""
        after = first - 1
        while after < last:
            page = self._page(after, min(FIRST, last - after), up_to=last)
            if int(page["position"]) <= after:
                return
            after = int(page["position"])
            self.left_out += page["leftOut"]
            yield [_record(told) for told in page["events"]], after

    def _page(self, after: int, first: int, *, up_to: int) -> dict[str, Any]:
        asked = {"after": str(after), "first": first, "upTo": str(up_to)}
        return dict(self._client.execute(EVENTS, asked)["storedEvents"])


def _record(told: dict[str, Any]) -> Record:
    given = {name: value for name, value in told.items() if value is not None}
    return record_told({**given, "sequence": int(told["position"])})

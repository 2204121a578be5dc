"""The questions of `imewe events`, and decisions told on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.tables import print_table

_EVENT = """eventId position topic kind aggregateId version actor organisationId
  commandId causationId correlationId occurredAt recordedAt schemaVersion previousHash hash body"""
_TOLD = "{ words event { eventId position topic } }"
EXPLAIN = f"""query($id: ID!) {{ explain(eventId: $id) {{ words event {{ {_EVENT} }}
  beginning {{ commandId actor actorName at }} chain {_TOLD} ledTo {_TOLD} more occasionOf {_TOLD}
  decision {{ nodeId attempt policy policyVersion fleetPosition runnerUp words work
    occasion {_TOLD}
    candidates {{ nodeId score terms {{ name value weight share }} }}
    rejections {{ nodeId reason message }} rejected {{ reason count message }} }} }} }}"""
POSITION = """query($after: Position) { eventHistory(first: 1, afterSequence: $after) {
  edges { node { eventId position } } } }"""
TREE = """query($of: StoryOf!, $first: Int!) { causationTree(of: $of, first: $first) {
  truncated nodes { id parentId depth link words actor at commandId
    event { position topic kind aggregateId } } } }"""
STATE = """query($kind: String!, $id: ID!, $then: AsOf) {
  stateAt(kind: $kind, id: $id, asOf: $then) {
    kind id version position occurredAt recordedAt hash status state } }"""
DIFF = """query($kind: String!, $id: ID!, $from: AsOf!, $to: AsOf) {
  diff(kind: $kind, id: $id, from: $from, to: $to) { from to aggregates { edges { node {
    kind id events before { status } after { status }
    differences { path how before after changes
      event { eventId position topic actor occurredAt } } } } } } }"""
FLEET = """query($kind: String!, $from: AsOf!, $to: AsOf, $first: Int!, $after: String) {
  diff(kind: $kind, from: $from, to: $to, first: $first, after: $after) { from to
    aggregates { pageInfo { hasNextPage endCursor }
      edges { node { kind id events first last before { status } after { status } } } } } }"""


def short(actor: str) -> str:
    """``user/1d2c3b4a``: enough of an id to tell people apart on a line."""
    kind, _, name = actor.partition("/")
    return f"{kind}/{name[:8]}" if kind == "user" else actor


def tell_decision(console: Console, decision: dict[str, Any]) -> None:
    """The grounds of a choice of a machine: words, scores, refusals."""
    console.print(Text(decision["words"]))
    if occasion := decision["occasion"]:
        event = occasion["event"]
        console.print(Text(f"Its occasion: {occasion['words']} ({event['position']})"))
    names = [term["name"] for each in decision["candidates"][:1] for term in each["terms"]]
    scores = Table("machine", "score", *names)
    for each in decision["candidates"]:
        terms = [f"{term['value']:.3f} x {term['weight']:g}" for term in each["terms"]]
        scores.add_row(each["nodeId"], f"{each['score']:.3f}", *terms)
    print_table(scores, console)
    if decision["rejections"]:
        refused = Table("could not", "why")
        for each in decision["rejections"]:
            refused.add_row(each["nodeId"], Text(each["message"]))
        print_table(refused, console)

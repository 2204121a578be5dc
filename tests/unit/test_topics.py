"""A follower of the log reads every event there is, whatever it imports beside the reader."""

import json
import subprocess
import sys
from pathlib import Path

from domain.aggregates import AGGREGATES
from ops.settings import CHECKOUT

RESOLVE_ALL = """
import json, sys
import ops.eventstore.reader
from eventsourcing.utils import TopicError, resolve_topic

unknown = []
for topic in json.load(sys.stdin):
    try:
        resolve_topic(topic)
    except TopicError:
        unknown.append(topic)
print(json.dumps(unknown))
"""


def topics() -> list[str]:
    found = sorted((CHECKOUT / "schema" / "events").glob("*.v*.json"))
    return [json.loads(path.read_text())["title"] for path in found]


def test_the_reader_alone_knows_the_topic_of_every_event() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", RESOLVE_ALL],
        input=json.dumps([*topics(), "imewe.lamp:Hung"]),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(topics()) > 60
    assert json.loads(done.stdout) == ["imewe.lamp:Hung"]


def test_every_aggregate_of_the_domain_is_listed() -> None:
    written = {path.parent.name for path in Path(CHECKOUT / "domain").glob("*/aggregate.py")}
    listed = {each.__module__.split(".")[1] for each in AGGREGATES}
    assert listed == written - {"shared"}

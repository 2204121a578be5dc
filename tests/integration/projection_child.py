"""Folds a story with small batches until it is killed: `projection_child.py CONNINFO JOBS`."""

import sys
from functools import partial

import psycopg

from ops.projecting.runner import Runner
from projections.catalogue import CATALOGUE
from tests.projecting import SmallBatches
from tests.stories import busy_shop

if __name__ == "__main__":
    url, jobs = sys.argv[1:]
    Runner(
        SmallBatches(busy_shop(int(jobs)).events, size=20),
        CATALOGUE,
        connect=partial(psycopg.connect, url, autocommit=True),
        announce=lambda _announcement: None,
    ).run()

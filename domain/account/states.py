"""How far an account's erasure has come."""

from enum import StrEnum


class Erasure(StrEnum):
    """``BEGUN``: ordered, and not to be taken back. ``DONE``: the key is destroyed."""

    NONE = "none"
    BEGUN = "begun"
    DONE = "done"

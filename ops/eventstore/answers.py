"""Answers to people's commands, kept for 24 hours so that a retry finds them."""

from domain.shared.errors import InvalidInputError
from ops import failpoints
from ops.eventstore.client import Client
from ops.eventstore.secrets import SecretBucket


class Answers:
    """``AnswerStore`` and ``KeptAnswers`` in a bucket of the log's account.

    A value lies under ``<account id>.<command name>``. It holds a position, ids, and a keyed digest
    of the request, and no text of a person's.
    """

    def __init__(self, client: Client) -> None:
        self._bucket = SecretBucket(client, "IMEWE_ANSWERS")

    def get(self, name: str) -> bytes | None:
        """See ``AnswerStore``."""
        return self._bucket.get(name)

    def put(self, name: str, value: bytes) -> None:
        """See ``AnswerStore``."""
        failpoints.reach("commands.answer.before")
        self._bucket.add(name, value)
        failpoints.reach("commands.answer.after")

    def erase_of(self, account_id: str, commands: list[str]) -> None:
        """See ``KeptAnswers``: what the person was answered, and what others were who asked for
        the account, the first time with its name and mail."""
        if not account_id:
            raise InvalidInputError("whose answers?", field="account_id")
        for name in self._bucket.names(account_id):
            self._bucket.erase(name)
        for command in commands:
            for name in self._bucket.found(f"*.{command}"):
                self._bucket.erase(name)

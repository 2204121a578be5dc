"""Secrets in buckets whose values can be destroyed for good.

A name holds one value at most. The server refuses a second (``discard_new_per_subject``), so a
value is erased from the store's files *before* its successor is written. A crash between the two
leaves the name empty; whoever wanted to put the value says so again (its command was never
answered).
"""

import time
from urllib.parse import quote, unquote

from domain.shared.errors import ConflictError, InvalidInputError, UnavailableError
from ops.eventstore.client import Client, JetStreamError, Publication, read_answer
from ops.eventstore.envelope import head_block
from ops.eventstore.wire import ConnectionLostError, NoAnswerError, parse_headers

ATTEMPTS = 20
OCCUPIED = frozenset({10071, 10077, 10164})
"""Another value is there: by the expectation, or by the stream's own limit."""


class SecretBucket:
    """Named bytes in a bucket made by ``streams.secrets_config``.

    A name is words joined by full stops; a word may be any text but empty.
    """

    def __init__(self, client: Client, bucket: str = "IMEWE_SECRETS") -> None:
        self._client = client
        self._stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."

    def get(self, name: str) -> bytes | None:
        """The value, or ``None``."""
        found = self._find(name)
        return None if found is None else found[1]

    def put(self, name: str, value: bytes) -> None:
        """Erase what the name holds, then write the value."""
        for _ in range(ATTEMPTS):
            self.erase(name)
            if self.add(name, value):
                return
        raise ConflictError("the secret is being changed by others")

    def add(self, name: str, value: bytes) -> bool:
        """Write a value under an empty name; False when the name holds another one."""
        head = head_block({"Nats-Expected-Last-Subject-Sequence": "0"})
        frame = Publication(self._subject(name), head, value)
        for _ in range(ATTEMPTS):
            try:
                read_answer(self._client.publish([frame]))
            except (ConnectionLostError, NoAnswerError):
                time.sleep(0.05)  # nobody knows: say it again, the name takes one value only
            except JetStreamError as error:
                if error.number not in OCCUPIED:
                    raise
                return self.get(name) == value
            else:
                return True
        raise UnavailableError("the store of secrets does not answer")

    def erase(self, name: str) -> None:
        """Overwrite the value in the store's files; nothing happens to an empty name."""
        while (found := self._find(name)) is not None:
            payload = {"seq": found[0], "no_erase": False}
            try:
                self._client.api(f"STREAM.MSG.DELETE.{self._stream}", payload)
            except JetStreamError:
                if self._find(name) == found:  # else somebody was faster
                    raise

    def names(self, prefix: str) -> list[str]:
        """The names that begin with these words and hold a value."""
        return self._listed(f"{self._subject(prefix)}.>")

    def found(self, pattern: str) -> list[str]:
        """The names like this one that hold a value; the word ``*`` stands for any word."""
        words = [word if word == "*" else quote(word, safe="") for word in pattern.split(".")]
        return self._listed(self._prefix + ".".join(words))

    def _listed(self, subjects: str) -> list[str]:
        wanted = {"subjects_filter": subjects}
        answer = self._client.api(f"STREAM.INFO.{self._stream}", wanted)
        found = answer["state"].get("subjects") or {}
        return sorted(_name(subject.removeprefix(self._prefix)) for subject in found)

    def _find(self, name: str) -> tuple[int, bytes] | None:
        message = self._client.request(
            f"$JS.API.DIRECT.GET.{self._stream}",
            b'{"last_by_subj":"%b"}' % self._subject(name).encode(),
        )
        if message.status:
            return None
        return int(parse_headers(message.head)["Nats-Sequence"]), message.body

    def _subject(self, name: str) -> str:
        words = name.split(".")
        if not all(words):
            raise InvalidInputError("a word of a secret's name is empty", field="name")
        return self._prefix + ".".join(quote(word, safe="") for word in words)


def _name(subject: str) -> str:
    return ".".join(unquote(word) for word in subject.split("."))

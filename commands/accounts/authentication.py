"""Secrets about people: password hashes, the look-up by mail address, sealed names.

Nothing in here is an event; all of it lies in a store of secrets and can be erased.
"""

from threading import BoundedSemaphore
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from domain.ports import DataKey, SecretStore
from domain.shared.checks import REMARK_LIMIT, named
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from domain.shared.personal import Personal

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
LONGEST_MAIL = 254
NOTE = "note"
"""The field under which a person's own words are sealed, wherever they are said."""
ADDRESS = "address"
"""The field of network addresses in the audit trail."""
MAIL_TAKEN = "this mail address has an account already"
ARGON2ID = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
HASHES_AT_ONCE = 2
"""Each takes 19 MiB and some 20 ms of a core; more at once would starve the commands."""


class PeopleStore(SecretStore, Protocol):
    """Secrets, and the blind index of mail addresses: keyed, and erased with the person."""

    def remember_mail(self, mail: str, subject_id: str) -> bool:
        """Let ``find_mail`` find the person; False when the mail is another person's."""

    def find_mail(self, mail: str) -> str | None:
        """The person of a mail address, or ``None``."""

    def forget_mail(self, mail: str) -> None:
        """Erase one address from the index."""

    def key_of(self, subject_id: str) -> DataKey | None:
        """What can be told of a person's key, or ``None`` when there is none."""

    def is_erased(self, subject_id: str) -> bool:
        """Whether the erasure of the person has begun."""

    def erase_person(self, subject_id: str) -> None:
        """Destroy a person's key and mail index for good; no new key is made for that person."""

    def remains(self, subject_id: str) -> list[str]:
        """Names of what is still held of a person; empty after ``erase_person``."""

    def names(self, first_word: str) -> list[str]:
        """The second words of the names of values that begin with this word."""


class Authentication:
    """Keeps and checks what proves a person. Safe to share by threads."""

    def __init__(self, secrets: PeopleStore, *, hasher: PasswordHasher = ARGON2ID) -> None:
        self._secrets = secrets
        self._hasher = hasher
        self._turn = BoundedSemaphore(HASHES_AT_ONCE)
        self._nobody = self._hasher.hash("nobody's password")

    def sealed(self, account_id: str, *, mail: str, name: str) -> tuple[Personal, Personal]:
        """Mail and name under the person's own key. Raises ``InvalidInputError``."""
        seal = self._secrets.protect
        checked = checked_mail(mail), named("name", name)
        return seal(account_id, "mail", checked[0]), seal(account_id, "name", checked[1])

    def opened_name(self, account_id: str, name: Personal) -> str:
        """The name again; empty when the person's key was destroyed."""
        return self._secrets.reveal(account_id, "name", name) or ""

    def opened(self, account_id: str, *, mail: Personal, name: Personal) -> dict[str, str | None]:
        """``mail`` and ``name`` again; ``None`` when the person's key was destroyed."""
        reveal = self._secrets.reveal
        return {
            "mail": reveal(account_id, "mail", mail),
            "name": reveal(account_id, "name", name),
        }

    def sealed_note(self, account_id: str, text: str) -> str:
        """A person's own words in one word. Raises ``InvalidInputError`` when they are too many,
        ``IllegalTransitionError`` when the person was erased."""
        if len(text) > REMARK_LIMIT:
            raise InvalidInputError(f"a note has at most {REMARK_LIMIT} characters", field="reason")
        return self._secrets.protect(account_id, NOTE, text).compact()

    def sealed_address(self, account_id: str, address: str) -> str:
        """A network address in one word; empty when the person was erased."""
        try:
            return self._secrets.protect(account_id, ADDRESS, address).compact()
        except IllegalTransitionError:
            return ""

    def opened_word(self, field: str, text: str) -> str | None:
        """What ``sealed_note`` or ``sealed_address`` made, opened again; any other text as it is;
        ``None`` when the person's key was destroyed."""
        personal = Personal.from_compact(text)
        if personal is None:
            return text
        return self._secrets.reveal(personal.subject_id, field, personal)

    def key_of(self, account_id: str) -> DataKey | None:
        """What can be told of a person's key."""
        return self._secrets.key_of(account_id)

    def is_erased(self, account_id: str) -> bool:
        """Whether the erasure of the person has begun: nobody acts under that account again."""
        return self._secrets.is_erased(account_id)

    def destroy(self, account_id: str) -> None:
        """Destroy for good what is held of a person: the key, the mail index, the password."""
        self._secrets.erase_person(account_id)
        self.forget_password(account_id)

    def remains(self, account_id: str) -> list[str]:
        """Names of what ``destroy`` has not destroyed; empty after it."""
        password = f"password.{account_id}"
        kept = [password] if self._secrets.get(password) is not None else []
        return kept + self._secrets.remains(account_id)

    def note_erasure(self, account_id: str) -> None:
        """Remember, beside the log, that an erasure is about to be ordered."""
        if self._secrets.get(f"erasing.{account_id}") is None:
            self._secrets.put(f"erasing.{account_id}", b"1")

    def noted_erasures(self) -> list[str]:
        """Accounts with an erasure that was noted and not seen to its end."""
        return self._secrets.names("erasing")

    def forget_erasure(self, account_id: str) -> None:
        """It is done."""
        self._secrets.erase(f"erasing.{account_id}")

    def account_of(self, mail: str) -> str | None:
        """The account that was enrolled under a mail address."""
        return self._secrets.find_mail(mail)

    def enrol(self, account_id: str, *, mail: str, password: str) -> None:
        """Keep a new account's password and make it found by its mail, and no other account.

        Raises ``InvalidInputError`` when somebody else took the address just now.
        """
        self.replace_password(account_id, password)
        if not self._secrets.remember_mail(mail, account_id):
            raise InvalidInputError(MAIL_TAKEN, field="mail")

    def release_mail(self, mail: str) -> None:
        """Let another account be enrolled under the address."""
        self._secrets.forget_mail(mail)

    def replace_password(self, account_id: str, password: str) -> None:
        """Keep the hash of a new password; the old one is erased. Raises ``InvalidInputError``."""
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise InvalidInputError(
                f"a password needs {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters",
                field="password",
            )
        with self._turn:
            made = self._hasher.hash(password)
        self._secrets.put(f"password.{account_id}", made.encode())
        if self._secrets.is_erased(account_id):
            self.forget_password(account_id)
            raise IllegalTransitionError("this person was erased")

    def forget_password(self, account_id: str) -> None:
        """Nobody signs in to this account again."""
        self._secrets.erase(f"password.{account_id}")

    def proves(self, account_id: str | None, password: str) -> bool:
        """Whether the password is the account's. ``None`` takes as long as a wrong password."""
        held = self._secrets.get(f"password.{account_id or 'nobody'}")
        with self._turn:
            try:
                self._hasher.verify(held.decode() if held else self._nobody, password)
            except (VerificationError, InvalidHashError):
                return False
        return held is not None and account_id is not None


def checked_mail(mail: str) -> str:
    """A mail address as it was typed, without outer blanks. Raises ``InvalidInputError``."""
    text = mail.strip()
    local, at, host = text.rpartition("@")
    if not (at and local and host) or len(text) > LONGEST_MAIL or not text.isprintable():
        raise InvalidInputError("this is no mail address", field="mail")
    if any(character.isspace() for character in text):
        raise InvalidInputError("a mail address has no blanks", field="mail")
    return text

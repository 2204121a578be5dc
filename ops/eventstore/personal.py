"""Personal data: sealed under a key of each person, destroyed with that key.

Texts are sealed with AES-256-GCM; who and which field is authenticated with them, so a sealed text
moved elsewhere does not open. The person's key lies in the bucket of secrets, wrapped by a
key-encryption key (KEK) of the home, under a name that says which KEK: a rewrapped key is a new
name. Destroying the one key destroys every copy of the texts, in events, snapshots, read models
and exports.

An erased person leaves a tombstone, which is set *before* the key goes: whoever makes a key, or
keeps something else of a person, looks for it afterwards and takes back what came too late.
"""

import base64
import hashlib
import hmac
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.ports import DataKey
from domain.shared.errors import (
    DamagedSecretError,
    IllegalTransitionError,
    InvalidInputError,
    UnavailableError,
)
from domain.shared.personal import Personal
from ops.eventstore.keyring import KEY_BYTES, Kek, Keyring
from ops.eventstore.secrets import SecretBucket

ALGORITHM = "A256GCM"
NONCE_BYTES = 12
MARK_BYTES = 4
ROOT = "root"
"""The subject under which the key of the look-ups lies; no person's id, which are UUIDs."""


class _PersonalKey(NamedTuple):
    name: str
    """What ``Personal.key`` says; a new key of an erased person has another name."""
    secret: bytes


class Secrets:
    """The ``SecretStore`` port of ``domain.ports``, and the persons' keys and mail addresses."""

    def __init__(self, bucket: SecretBucket, keyring: Keyring) -> None:
        self._bucket = bucket
        self._keyring = keyring
        self._root: bytes | None = None
        self._moving = RLock()

    def put(self, name: str, value: bytes) -> None:
        """Store a value; an older one of that name is erased first."""
        self._bucket.put(f"value.{name}", value)

    def get(self, name: str) -> bytes | None:
        """The value, or ``None`` when there is none or it was erased."""
        return self._bucket.get(f"value.{name}")

    def erase(self, name: str) -> None:
        """Destroy the value so that no file of the store holds it."""
        self._bucket.erase(f"value.{name}")

    def names(self, first_word: str) -> list[str]:
        """The second words of the names of values that begin with this word."""
        found = self._bucket.names(f"value.{first_word}")
        return [name.removeprefix(f"value.{first_word}.") for name in found]

    def protect(self, subject_id: str, field: str, text: str) -> Personal:
        """Seal a person's text; the person's key is made when it is not there.

        Raises ``IllegalTransitionError`` when the person was erased.
        """
        key = self._key(subject_id) or self._new_key(subject_id)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(key.secret).encrypt(nonce, text.encode(), _bound(subject_id, field))
        return Personal(enc=ALGORITHM, key=key.name, nonce=_text(nonce), ct=_text(sealed))

    def reveal(self, subject_id: str, field: str, personal: Personal) -> str | None:
        """Open it, or ``None`` when its key was destroyed. Raises ``DamagedSecretError``."""
        key = self._key(subject_id)
        if key is None or key.name != personal.key:
            return None
        try:
            nonce, sealed = base64.b64decode(personal.nonce), base64.b64decode(personal.ct)
            return AESGCM(key.secret).decrypt(nonce, sealed, _bound(subject_id, field)).decode()
        except (InvalidTag, ValueError) as error:
            raise DamagedSecretError(f"{field} of {subject_id} does not open") from error

    def key_of(self, subject_id: str) -> DataKey | None:
        """What can be told of a person's key, or ``None`` when there is none."""
        key = self._key(subject_id)
        if key is None:
            return None
        digest = hashlib.sha256(b"imewe data key" + key.secret).hexdigest()
        return DataKey(name=key.name, algorithm=ALGORITHM, fingerprint=f"sha256:{digest}")

    def is_erased(self, subject_id: str) -> bool:
        """Whether the erasure of the person has begun."""
        return self._bucket.get(f"gone.{_word(subject_id)}") is not None

    def erase_person(self, subject_id: str) -> None:
        """Destroy a person's key and mail index. Safe to say again after a crash."""
        self._bucket.add(f"gone.{_word(subject_id)}", b"1")
        with self._moving:
            for name in self._key_names(subject_id):
                self._bucket.erase(name)
        for name in self._bucket.names(f"mails.{_word(subject_id)}"):
            self._bucket.erase(f"mail.{name.rpartition('.')[2]}")
            self._bucket.erase(name)

    def remains(self, subject_id: str) -> list[str]:
        """What the store still holds of a person but the tombstone: names of secrets."""
        keys = [name for name in self._key_names(subject_id) if self._bucket.get(name) is not None]
        return keys + self._bucket.names(f"mails.{_word(subject_id)}")

    def remember_mail(self, mail: str, subject_id: str) -> bool:
        """Let ``find_mail`` find the person; False when the mail is another person's."""
        index = self._index(mail)
        self._bucket.add(f"mails.{_word(subject_id)}.{index}", b"1")
        if self._bucket.add(f"mail.{index}", subject_id.encode()):
            return True
        self._bucket.erase(f"mails.{_word(subject_id)}.{index}")
        return False

    def find_mail(self, mail: str) -> str | None:
        """The data subject of a mail address, or ``None``."""
        found = self._bucket.get(f"mail.{self._index(mail)}")
        return None if found is None else found.decode()

    def forget_mail(self, mail: str) -> None:
        """Erase one address from the index."""
        index = self._index(mail)
        found = self._bucket.get(f"mail.{index}")
        if found is not None:
            self._bucket.erase(f"mail.{index}")
            self._bucket.erase(f"mails.{found.decode()}.{index}")

    def lookup_key(self, purpose: str) -> bytes:
        """A key to make look-ups blind with, the same for the home's whole life: it is made from
        a random one that lies wrapped in the store, so that a new KEK changes no look-up."""
        if self._root is None:
            self._root = (self._key(ROOT) or self._new_key(ROOT)).secret
        return hmac.digest(self._root, f"imewe {purpose}".encode(), "sha256")

    def subjects_under(self, kek: Kek) -> list[str]:
        """Whose keys a KEK wraps."""
        return [name.rpartition(".")[2] for name in self._bucket.names(f"key.{kek.id}")]

    def rewrap(self, subject_id: str, *, old: Kek, new: Kek) -> None:
        """Wrap a key by another KEK: the new name is written before the old one is erased."""
        with self._moving:
            stored = self._bucket.get(_key_name(old, subject_id))
            if stored is None:
                return
            mark, secret = _unwrapped(old, subject_id, stored)
            self._bucket.add(_key_name(new, subject_id), _wrapped(new, subject_id, mark, secret))
            if subject_id != ROOT and self.is_erased(subject_id):
                self._bucket.erase(_key_name(new, subject_id))
            self._bucket.erase(_key_name(old, subject_id))

    def _key(self, subject_id: str) -> _PersonalKey | None:
        for kek in self._looked_through():
            stored = self._bucket.get(_key_name(kek, subject_id))
            if stored is not None:
                mark, secret = _unwrapped(kek, subject_id, stored)
                return _PersonalKey(f"{subject_id}.{mark.hex()}", secret)
        return None

    def _looked_through(self) -> Iterator[Kek]:
        """Every KEK, and the first again: a key may move while it is looked for. If the KEKs are
        others at the end, all of them again."""
        keks, seen = self._keyring.keks(), [""]
        while seen != [kek.id for kek in keks]:
            seen = [kek.id for kek in keks]
            yield from keks
            if len(keks) > 1:
                yield keks[0]
            keks = self._keyring.keks()

    def _new_key(self, subject_id: str) -> _PersonalKey:
        """Make a key; when another process was faster, its key counts."""
        kek = self._keyring.current
        name = _key_name(kek, subject_id)
        fresh = _wrapped(kek, subject_id, os.urandom(MARK_BYTES), os.urandom(KEY_BYTES))
        with self._only_for_the_living(subject_id, name):
            self._bucket.add(name, fresh)
        if kek.id != self._keyring.current.id:  # a rotation began meanwhile and may have been here
            self.rewrap(subject_id, old=kek, new=self._keyring.current)
        made = self._key(subject_id)
        if made is None:
            raise UnavailableError(f"the key of {subject_id} was destroyed meanwhile")
        return made

    @contextmanager
    def _only_for_the_living(self, subject_id: str, name: str) -> Iterator[None]:
        """Take back what was kept under the name if the person was erased."""
        yield
        if subject_id != ROOT and self.is_erased(subject_id):
            self._bucket.erase(name)
            raise IllegalTransitionError("this person was erased")

    def _key_names(self, subject_id: str) -> list[str]:
        return [_key_name(kek, subject_id) for kek in self._keyring.keks()]

    def _index(self, mail: str) -> str:
        plain = unicodedata.normalize("NFKC", mail.strip()).casefold()
        key = self.lookup_key("blind index of mail")
        return hmac.digest(key, plain.encode(), "sha256").hex()


def _key_name(kek: Kek, subject_id: str) -> str:
    return f"key.{kek.id}.{_word(subject_id)}"


def _wrapped(kek: Kek, subject_id: str, mark: bytes, secret: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    name = _key_name(kek, subject_id).encode()
    return mark + nonce + kek.cipher.encrypt(nonce, secret, name)


def _unwrapped(kek: Kek, subject_id: str, stored: bytes) -> tuple[bytes, bytes]:
    """The key's mark and the key. Raises ``DamagedSecretError``."""
    mark, nonce = stored[:MARK_BYTES], stored[MARK_BYTES : MARK_BYTES + NONCE_BYTES]
    name = _key_name(kek, subject_id).encode()
    try:
        return mark, kek.cipher.decrypt(nonce, stored[MARK_BYTES + NONCE_BYTES :], name)
    except InvalidTag as error:
        raise DamagedSecretError(f"the key of {subject_id} does not open") from error


def _word(subject_id: str) -> str:
    """One word of a secret's name, or one person's names would lie under another's."""
    if not subject_id or "." in subject_id:
        raise InvalidInputError("a data subject's id is one word", field="subject_id")
    return subject_id


def _bound(subject_id: str, field: str) -> bytes:
    return f"{len(subject_id)}:{subject_id}:{field}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

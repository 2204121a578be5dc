"""Personal data: sealed under a key of each person, destroyed with that key.

Texts are sealed with AES-256-GCM; who and which field is authenticated with them, so a sealed text
moved elsewhere does not open. The person's key lies in the bucket of secrets, wrapped by the
key-encryption key (KEK) of the home, under a name that says which KEK: a rewrapped key is a new
name. Destroying the one key destroys every copy of the texts, in events, snapshots, read models
and exports.
"""

import base64
import hashlib
import hmac
import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.shared.errors import InvalidInputError, UnavailableError
from domain.shared.personal import Personal
from ops.eventstore.secrets import SecretBucket

ALGORITHM = "A256GCM"
KEY_BYTES = 32
NONCE_BYTES = 12
MARK_BYTES = 4


class DamagedSecretError(UnavailableError):
    """A sealed text or key does not open under the key that must open it."""

    code = "DAMAGED_SECRET"


class _PersonalKey(NamedTuple):
    name: str
    """What ``Personal.key`` says; a new key of an erased person has another name."""
    secret: bytes


class Secrets:
    """The ``SecretStore`` port of ``domain.ports``, and the persons' keys and mail addresses."""

    def __init__(self, bucket: SecretBucket, kek: bytes) -> None:
        if len(kek) != KEY_BYTES:
            raise ValueError("a key-encryption key has 32 bytes")
        self._bucket = bucket
        self._kek = AESGCM(kek)
        self._kek_id = hashlib.sha256(b"imewe kek name" + kek).hexdigest()[:8]
        self._index_key = hmac.digest(kek, b"imewe blind index of mail", "sha256")

    def put(self, name: str, value: bytes) -> None:
        """Store a value; an older one of that name is erased first."""
        self._bucket.put(f"value.{name}", value)

    def get(self, name: str) -> bytes | None:
        """The value, or ``None`` when there is none or it was erased."""
        return self._bucket.get(f"value.{name}")

    def erase(self, name: str) -> None:
        """Destroy the value so that no file of the store holds it."""
        self._bucket.erase(f"value.{name}")

    def protect(self, subject_id: str, field: str, text: str) -> Personal:
        """Seal a person's text; the person's key is made when it is not there."""
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

    def erase_person(self, subject_id: str) -> None:
        """Destroy a person's key and mail index. Safe to say again after a crash."""
        self._bucket.erase(self._key_name(subject_id))
        for name in self._bucket.names(f"mails.{_word(subject_id)}"):
            self._bucket.erase(f"mail.{name.rpartition('.')[2]}")
            self._bucket.erase(name)

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

    def _key(self, subject_id: str) -> _PersonalKey | None:
        name = self._key_name(subject_id)
        stored = self._bucket.get(name)
        if stored is None:
            return None
        mark, nonce = stored[:MARK_BYTES], stored[MARK_BYTES : MARK_BYTES + NONCE_BYTES]
        try:
            secret = self._kek.decrypt(nonce, stored[MARK_BYTES + NONCE_BYTES :], name.encode())
        except InvalidTag as error:
            raise DamagedSecretError(f"the key of {subject_id} does not open") from error
        return _PersonalKey(f"{subject_id}.{mark.hex()}", secret)

    def _new_key(self, subject_id: str) -> _PersonalKey:
        """Make a key; when another process was faster, its key counts."""
        name = self._key_name(subject_id)
        nonce = os.urandom(NONCE_BYTES)
        wrapped = self._kek.encrypt(nonce, os.urandom(KEY_BYTES), name.encode())
        self._bucket.add(name, os.urandom(MARK_BYTES) + nonce + wrapped)
        made = self._key(subject_id)
        if made is None:
            raise UnavailableError(f"the key of {subject_id} was destroyed meanwhile")
        return made

    def _key_name(self, subject_id: str) -> str:
        return f"key.{self._kek_id}.{_word(subject_id)}"

    def _index(self, mail: str) -> str:
        plain = unicodedata.normalize("NFKC", mail.strip()).casefold()
        return hmac.digest(self._index_key, plain.encode(), "sha256").hex()


def key_encryption_key(home: Path) -> bytes:
    """The KEK of a home, made at first use; without it no personal data of the home opens."""
    path = home / "kek"
    if not path.exists():
        fresh = home / f".kek-{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(KEY_BYTES).hex())
            file.flush()
            os.fsync(descriptor)
        _first(fresh, path)
    return bytes.fromhex(path.read_text())


def _first(fresh: Path, path: Path) -> None:
    """Give the file its name unless another process was faster."""
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _word(subject_id: str) -> str:
    """One word of a secret's name, or one person's names would lie under another's."""
    if not subject_id or "." in subject_id:
        raise InvalidInputError("a data subject's id is one word", field="subject_id")
    return subject_id


def _bound(subject_id: str, field: str) -> bytes:
    return f"{len(subject_id)}:{subject_id}:{field}".encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

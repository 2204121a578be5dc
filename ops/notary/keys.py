"""The notary's keys: Ed25519, numbered, named after the log they sign.

The private half lies in ``home/keys/notary-<n>.pem`` (mode 0600). The public half is written as a
C2SP verifier key, ``<name>+<hex key id>+<base64 of the algorithm byte and the key>``.
"""

import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.shared.errors import InvalidInputError
from ops.hosting.home import write_private
from ops.notary.heads import NoteError, open_note, sign_note

FOLDER = "keys"
ED25519 = b"\x01"
"""The algorithm byte of C2SP; other bytes are the slot for other algorithms."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name: a ``Checker``."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The key as a line of text."""
        coded = b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{coded}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``text``. Raises ``NoteError``, also for an algorithm that is not known here."""
        try:
            name, key_id, coded = text.split("+", 2)
            raw = b64decode(coded, validate=True)
        except ValueError as error:
            raise NoteError("this is no verifier key") from error
        key = cls(name, raw[1:])
        if raw[:1] != ED25519 or len(key.public) != 32 or key.text != text or " " in name:
            raise NoteError("this is no verifier key of a known algorithm")
        if key.key_id.hex() != key_id:
            raise NoteError("the verifier key does not have the id that it names")
        return key

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key made ``signature`` over ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class NotaryKey:
    """A private key with its name: a ``Signer``."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self.name = name
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())

    def signature(self, text: str) -> bytes:
        """The key id and the signature over ``text``."""
        return self.verifier.key_id + self._private.sign(text.encode())


def key_name(origin: str, number: int) -> str:
    """What the key with this number is called."""
    return f"{origin}/notary-{number}"


def key_path(home: Path, number: int) -> Path:
    """Where its private half lies."""
    return home / FOLDER / f"notary-{number}.pem"


def make_key(home: Path, origin: str, number: int) -> NotaryKey:
    """The key with this number, made when there is none; of two makers the first one's counts."""
    path = key_path(home, number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        _write_new(path)
    return load_key(home, origin, number)


def load_key(home: Path, origin: str, number: int) -> NotaryKey:
    """The key with this number. Raises ``InvalidInputError`` when the home does not hold it."""
    path = key_path(home, number)
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"{path} holds no key of the notary", remedy="put the key back from a backup"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidInputError(f"{path} holds a key of another kind")
    return NotaryKey(key_name(origin, number), private)


def _write_new(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write_private(
        fresh, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    )
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass  # another process was faster
    finally:
        fresh.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """From heads of ``size`` on, ``key`` signs. ``before``: the note of the rotation before."""

    origin: str
    number: int
    size: int
    key: VerifierKey
    time: str
    before: str

    @property
    def text(self) -> str:
        """What the old key and the new one sign."""
        return (
            f"{self.origin}/keys\nkey {self.number}\nfrom {self.size}\nvkey {self.key.text}\n"
            f"time {self.time}\nbefore sha256:{self.before}\n"
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``text`` wrote, to the byte. Raises ``NoteError``."""
        try:
            origin, number, size, key, time, before, _end = text.split("\n")
            rotation = cls(
                origin=origin.removesuffix("/keys"),
                number=int(number.removeprefix("key ")),
                size=int(size.removeprefix("from ")),
                key=VerifierKey.read(key.removeprefix("vkey ")),
                time=time.removeprefix("time "),
                before=before.removeprefix("before sha256:"),
            )
        except ValueError as error:
            raise NoteError("this is no rotation of keys") from error
        if rotation.text != text:
            raise NoteError("this is no rotation of keys")
        return rotation


def sign_rotation(rotation: Rotation, *, old: NotaryKey | None, new: NotaryKey) -> str:
    """The whole note; the first key of all vouches for itself only."""
    return sign_note(rotation.text, [key for key in (old, new) if key])


def open_rotation(note: str, known: VerifierKey | None) -> Rotation:
    """A rotation that the key ``known`` and the new one signed. Raises ``NoteError``.

    ``known`` is ``None`` for the first key of a log.
    """
    text = note.rpartition("\n\n")[0] + "\n"
    rotation = Rotation.read(text)
    needed = [key for key in (known, rotation.key) if key]
    _text, good = open_note(note, needed)
    if len(set(good)) < len(needed):
        raise NoteError(f"key {rotation.number} was not signed by the old and the new key")
    return rotation

"""The Ed25519 key pair that signs people's tokens, in ``home/keys``."""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ops.hosting.home import write_private

FOLDER = "keys"
PRIVATE = "token-private.pem"
PUBLIC = "token-public.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeys:
    """Both halves as PEM; who only checks tokens takes only the public one."""

    private: bytes
    public: bytes


def token_keys(home: Path) -> TokenKeys:
    """The pair of a home, made at first use; of two makers at once, the first one's counts."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / PRIVATE
    if not path.exists():
        _make(path)
    private = path.read_bytes()
    public = _public_half(private)
    if not (folder / PUBLIC).exists():
        write_private(folder / PUBLIC, public.decode())
    return TokenKeys(private=private, public=public)


def _make(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    write_private(fresh, text)
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass  # another process was faster
    finally:
        fresh.unlink()


def _public_half(private: bytes) -> bytes:
    key = load_pem_private_key(private, password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

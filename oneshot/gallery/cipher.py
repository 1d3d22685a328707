"""Embeddings made unreadable on disk: AES-256-GCM under a key worked out from a secret."""

import hashlib
import os
from pathlib import Path

from oneshot import extras
from oneshot.errors import OneShotError

SALT_BYTES = 16
NONCE_BYTES = 12
LEAST_BYTES = 12
"""A shorter secret can be tried out."""

VARIABLE = "ONESHOT_KEY"


class Cipher:
    """Seals and opens bytes. The same secret and salt give the same key.

    Args:
        secret: any text or bytes that only its owner has, such as 32 random bytes; blanks around it do
            not count.
        salt: SALT_BYTES random bytes, kept beside what is sealed; they are no secret.

    Raises:
        OneShotError: the secret is too short, or the `cryptography` package is missing.
    """

    def __init__(self, secret: bytes, salt: bytes):
        ciphers = "cryptography.hazmat.primitives.ciphers.aead"
        aead = extras.load(ciphers, "an encrypted gallery", "encryption")
        secret = secret.strip()
        if len(secret) < LEAST_BYTES:
            raise OneShotError(f"the gallery's key is too short; give at least {LEAST_BYTES} bytes")
        # scrypt makes guessing slow: 32 MiB and a tenth of a second a guess.
        key = hashlib.scrypt(secret, salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32)
        self._aead = aead.AESGCM(key)

    def seal(self, data: bytes, about: str) -> bytes:
        """`data` unreadable; it opens with the same `about` only, so that it cannot be moved elsewhere."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, data, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes | None:
        """What was sealed; None where the key or `about` is another, or a bit was changed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            return None


def secret_from(key_file: Path | str | None = None) -> bytes | None:
    """The secret in a file, else in the environment variable ONESHOT_KEY, else None: no encryption.

    Raises:
        OneShotError: the file cannot be read, or is empty.
    """
    if key_file is None:
        return os.environ[VARIABLE].encode() if os.environ.get(VARIABLE) else None
    try:
        secret = Path(key_file).read_bytes()
    except OSError as error:
        raise OneShotError(f"{key_file}: the key cannot be read ({error.strerror}); check the name") from None
    if not secret.strip():
        raise OneShotError(f"{key_file}: the key file is empty; write a secret of 32 random bytes into it")
    return secret

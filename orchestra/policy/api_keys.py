"""API keys: what servers of an application prove themselves by, as opposed to its users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from orchestra.policy.secret_files import naming, warn_if_exposed
from orchestra.refusal import RefusedError

HEADER = "X-API-Key"

SCHEME = "apikey"
"""The scheme of ``Authorization`` with which a key can come as well."""

NO_KEY = f"an API key is needed, in the header {HEADER}"
"""What somebody is told who has none."""

SHORTEST = 16
"""How many characters a key has at the least."""

_KEY = re.compile(rf"[\w.~+/=-]{{{SHORTEST},255}}", re.ASCII)

ALLOWED = f"a file with keys of {SHORTEST} to 255 letters, digits and -._~+/=, one in each line"
"""What a file of keys must be, in words."""


def find_key(headers: Mapping[str, str]) -> str | None:
    """The API key of a request; ``None`` if it has none.

    :param headers: of the request, by their names in lower case.
    """
    key = headers.get(HEADER.lower())
    if key is None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != SCHEME:
            return None
    return key.strip()


class ApiKeys:
    """The keys that are known. Whoever has one may do everything."""

    def __init__(self, keys: Iterable[str] = (), path: str | None = None) -> None:
        """
        :param keys: each 16 to 255 letters, digits and ``-._~+/=``.
        :param path: of a file with more of them, one in each line; what begins with ``#`` is a
            comment.
        :raises ValueError: if there is none, or one is not allowed.
        :raises OSError: if the file cannot be read.
        """
        self._given = tuple(keys)
        self._path = path
        self._digests = self._read()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._digests)

    def __str__(self) -> str:
        """How many there are, in words."""
        return f"{len(self)} API key{'' if len(self) == 1 else 's'}"

    def reload(self) -> str:
        """Read the file again. If it cannot be used, what was known stays known.

        :returns: a line for the log.
        :raises ValueError: if the file cannot be read, there is no key, or one is not allowed.
        """
        with naming(str(self._path)):
            self._digests = self._read()
        return f"Reloaded {self._path}: {self}."

    def check(self, key: str) -> None:
        """Make sure that a key is known.

        :raises RefusedError: with 401, if it is not.
        """
        # It is digests that are compared: how long that takes tells nothing about a key.
        if sha256(key.encode("utf-8", "replace")).digest() not in self._digests:
            raise RefusedError(401, "the API key is not known")

    def _read(self) -> frozenset[bytes]:
        keys = list(self._given)
        if self._path is not None:
            for number, line in enumerate(Path(self._path).read_bytes().splitlines(), 1):
                key = line.decode("ascii", "replace").strip()
                if key and not key.startswith("#"):
                    if not _KEY.fullmatch(key):
                        raise ValueError(f"line {number} is no key; must be {ALLOWED}")
                    keys.append(key)
            warn_if_exposed(self._path)
        if not keys:
            raise ValueError(f"has no key; must be {ALLOWED}")
        if not all(_KEY.fullmatch(key) for key in keys):
            raise ValueError(f"an API key must have {SHORTEST} to 255 letters, digits and -._~+/=")
        return frozenset(sha256(key.encode()).digest() for key in keys)

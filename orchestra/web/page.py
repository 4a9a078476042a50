"""A page: the files of a folder, kept in memory as browsers are given them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from math import inf
from mimetypes import MimeTypes
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger

INDEX = "index.html"
"""The file that a folder must have: what is shown at ``/``."""

MAX_SIZE = 64 * 1024 * 1024
"""How large the files of a page may be in all, in bytes."""

MAX_FILES = 2000
"""How many files and folders a page may have: they are looked at in the reactor's thread."""

ALLOWED = (
    f"a folder with an {INDEX}, and with {MAX_FILES} files and folders or less of "
    f"{MAX_SIZE // 2**20} MiB or less in all"
)
"""What can be a page, in words."""

LOOK_AGAIN = 1.0
"""After how many seconds a folder may be looked at again."""

MAX_COMPRESSED = 512 * 1024
"""How large a file may be that is compressed, in bytes: to do so holds up everybody else."""

_log = Logger(namespace="orchestra")

# Without the tables of the machine, so that a type is the same everywhere.
_TYPES = MimeTypes()
for _ending, _type in {
    ".js": "text/javascript",  # RFC 9239
    ".mjs": "text/javascript",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mid": "audio/midi",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
}.items():
    _TYPES.add_type(_type, _ending)

_COMPRESSIBLE = frozenset(
    {"application/json", "application/wasm", "application/xml", "font/otf", "font/ttf"}
)


class Representation(NamedTuple):
    """A file as it is sent."""

    body: bytes
    etag: str
    """Strong: the same bytes have the same (RFC 9110 section 8.8.3)."""

    encoding: str | None = None
    """What it is compressed with."""


class File:
    """A file of a page."""

    def __init__(self, content_type: str, body: bytes, digest: str) -> None:
        """
        :param digest: a hash of the body.
        """
        self.content_type = content_type
        self.plain = Representation(body, f'"{digest[:32]}"')

    @cached_property
    def compressed(self) -> Representation | None:
        """The file compressed with gzip; ``None`` if that is of no use, or takes too long."""
        body, etag, _ = self.plain
        if not _is_compressible(self.content_type) or len(body) > MAX_COMPRESSED:
            return None
        smaller = gzip.compress(body, 6, mtime=0)  # higher ones take twice as long, for 1 %
        if len(smaller) >= len(body):
            return None
        return Representation(smaller, f'{etag[:-1]}-gzip"', "gzip")


class Page:
    """What a browser is shown that opens the server's address: the files of a folder.

    ``index.html`` is the page itself. In all HTML, ``hall/{version}/`` is replaced by the same
    with :attr:`version`, so that ``hall/{version}/app.js`` is a URL of the folder's ``app.js``
    that browsers may keep for good.

    All of it is read at once. Names that begin with a dot are left out, and so are folders behind
    symbolic links. It knows nothing of requests.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        headers: Mapping[str, str] = {},
    ) -> None:
        """
        :param folder: where the files are.
        :param headers: that go with each of them, such as a ``Content-Security-Policy``.
        :raises ValueError: if it is no folder that can be read, has no ``index.html``, or is too
            large.
        """
        self._folder = os.path.abspath(folder)  # the process may go somewhere else
        self.headers = {"X-Content-Type-Options": "nosniff", **headers}
        """What goes with each file."""
        self.version = ""
        """A hash of all files: of their names, and what is in them."""
        self._files: dict[bytes, File] = {}
        self._listed = _list(self._folder)
        self._look_after = -inf
        self._problem: str | None = None
        self._read()

    def __repr__(self) -> str:
        return f"<Page {os.path.basename(self._folder)} {self.version}>"

    def get(self, name: bytes) -> File | None:
        """A file by its name: the path that leads to it from the folder."""
        return self._files.get(name)

    def refresh(self, now: float) -> None:
        """Read the folder again if something in it has changed, unless it was just looked at.

        If it cannot be used any more all stays as it was, and the log says why, once.

        :param now: the time, in seconds.
        """
        if now < self._look_after:
            return
        self._look_after = now + LOOK_AGAIN
        before, self._listed = self._listed, {}
        try:
            self._listed = _list(self._folder)
            if self._listed != before:
                self._read()
                self._problem = None
        except ValueError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _log.error(
                    "The page in {folder} stays as it was: {reason}",
                    event="page-failed",
                    folder=self._folder,
                    reason=self._problem,
                )

    def _read(self) -> None:
        bodies = {name: body for name in self._listed if (body := self._body(name)) is not None}
        if INDEX not in bodies:
            raise ValueError(f"has no {INDEX}; must be {ALLOWED}")
        digests = {name: sha256(body).hexdigest() for name, body in bodies.items()}
        whole = sha256()
        for name in sorted(bodies):
            whole.update(f"{digests[name]} {len(name)} {name}".encode(errors="surrogateescape"))
        version = whole.hexdigest()[:16]
        files = {}
        for name, body in bodies.items():
            kind, digest = content_type(name), digests[name]
            if kind.startswith("text/html"):
                body = body.replace(b"hall/{version}/", b"hall/%b/" % version.encode())
                digest = sha256(body).hexdigest()
            files[os.fsencode(name)] = File(kind, body, digest)
        self._files, self.version = files, version

    def _body(self, name: str) -> bytes | None:
        try:
            return Path(self._folder, name).read_bytes()
        except FileNotFoundError:  # it is being replaced, and will be looked at again
            return None
        except OSError as error:
            raise _unusable(name, error) from None


def content_type(name: str) -> str:
    """The media type of a file, by its name."""
    kind, encoding = _TYPES.guess_type(Path(name).name)
    if encoding is not None:  # it is compressed, and is not to be unpacked by whoever gets it
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _is_compressible(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("+json", "+xml")) or kind in _COMPRESSIBLE


def _list(folder: str) -> dict[str, tuple[int, ...]]:
    # The files below a folder, each with what is different when it has changed.
    found: dict[str, tuple[int, ...]] = {}
    count = size = 0
    folders = [""]
    for place in folders:
        try:
            with os.scandir(os.path.join(folder, place)) as entries:
                for entry in entries:
                    name = place + entry.name
                    if entry.name.startswith("."):
                        continue
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
                    elif (stat := _stat(entry)) is not None:
                        found[name] = stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
                        size += stat.st_size
                    if size > MAX_SIZE or count > MAX_FILES:
                        raise ValueError(f"is too large; must be {ALLOWED}")
        except FileNotFoundError as error:
            if not place:
                raise _unusable(place, error) from None
            # A folder that was deleted meanwhile has nothing in it.
        except OSError as error:
            raise _unusable(place, error) from None
    return found


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    # Of a file; of nothing else, and of none that was deleted meanwhile.
    try:
        return entry.stat() if entry.is_file() else None
    except FileNotFoundError:
        return None


def _unusable(name: str, error: OSError) -> ValueError:
    where = f"{name if name.isprintable() else repr(name)}: " if name else ""
    return ValueError(f"{where}{error.strerror}; must be {ALLOWED}")

"""Files with secrets, which ought to be nobody else's to read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import Logger

_log = Logger(namespace="orchestra")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Have errors about a file, and about what is in it, say which file it is."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def warn_if_exposed(path: str) -> None:
    """Log a warning if every user of the machine can read a file that has secrets.

    It is no error: in a container, where there is one user, files of secrets are often like that.

    :raises OSError: if there is no such file.
    """
    if os.stat(path).st_mode & stat.S_IROTH:
        _log.warn(
            "{path}: has secrets, and every user of this machine can read it; "
            "should be readable by the server's user alone (chmod 400)",
            event="exposed",
            path=path,
        )

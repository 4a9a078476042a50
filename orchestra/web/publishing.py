"""Publishing by POST: what a body is, and what it is published with."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestra.message import Content
from orchestra.refusal import RefusedError

_TYPE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)\s*((?:;.*)?)", re.ASCII | re.DOTALL)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]*)", re.IGNORECASE)
_TEXT = re.compile(r"text/.*|application/(json|xml|(.*\+)?(json|xml)|x-ndjson)")
_BINARY = re.compile(
    r"(image|audio|video|font)/.*|application/(octet-stream|cbor|msgpack|protobuf)"
)
_KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([!#-~]{1,255})')

_ALLOWED = (
    "Content-Type must be text/*, application/json or another type that is text, or "
    "application/octet-stream, image/*, audio/*, video/* or another that is binary"
)


def content_of(body: bytes, headers: Mapping[str, str]) -> Content:
    """What the body of a request is as a message.

    Without a type it is binary (RFC 9110 section 8.3). Forms are refused: they have a type that a
    page of any site may send, and are no messages.

    :param headers: of the request, by their names in lower case.
    :raises RefusedError: if it is of no type that is a message, or text that is not UTF-8.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "Content-Encoding must be identity")
    match = _TYPE.fullmatch(headers.get("content-type", "application/octet-stream"))
    if match is None:
        raise RefusedError(415, _ALLOWED)
    kind = match[1].lower()
    if _BINARY.fullmatch(kind):
        return body, True
    if not _TEXT.fullmatch(kind):
        raise RefusedError(415, _ALLOWED)
    charset = _CHARSET.search(match[2])
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise RefusedError(415, "the charset must be UTF-8")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "text must be UTF-8") from None
    return body, False


def key_of(headers: Mapping[str, str]) -> str | None:
    """The idempotency key of a request (draft-ietf-httpapi-idempotency-key-header).

    :returns: the key, without the quotation marks that it may have; ``None`` if there is none.
    :raises RefusedError: if it cannot be one.
    """
    text = headers.get("idempotency-key")
    if text is None:
        return None
    match = _KEY.fullmatch(text)
    if match is None:
        raise RefusedError(400, "Idempotency-Key must have 1 to 255 printable ASCII characters")
    return match[1] or match[2]

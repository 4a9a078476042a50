"""The AsyncAPI document, for tests: which of its messages something is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

PATH = Path(__file__).parent.parent / "docs" / "asyncapi.json"
DOCUMENT: dict[str, Any] = json.loads(PATH.read_text())


def _strict(schema: Any) -> Any:
    # The same without room for what is not in it.
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(part) for key, part in schema.items()}
    if "properties" in schema:
        found.setdefault("additionalProperties", False)
    return found


_SCHEMAS = {"components": {"schemas": _strict(DOCUMENT["components"]["schemas"])}}
_VALIDATORS = {
    name: Draft7Validator(_strict(message["payload"]) | _SCHEMAS)
    for name, message in DOCUMENT["components"]["messages"].items()
}


def messages_of(operation: str) -> list[str]:
    """The names of those that an operation has.

    :param operation: its name; with `` reply`` behind it, those that it is replied to with.
    """
    name, _, reply = operation.partition(" ")
    described = DOCUMENT["operations"][name]
    references = (described["reply"] if reply else described)["messages"]
    return [reference["$ref"].rpartition("/")[2] for reference in references]


def fitting(value: Any, operation: str) -> list[str]:
    """The names of those messages of an operation that a value is, without other fields."""
    return [name for name in messages_of(operation) if _VALIDATORS[name].is_valid(value)]

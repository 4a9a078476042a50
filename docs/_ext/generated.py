"""What the reference takes from the code: the command line's options, and interfaces.

``.. orchestra-options::`` describes each option of ``twistd orchestra``, and
``.. orchestra-interface:: MODULE.NAME`` a zope.interface, which Sphinx's autodoc takes for data.
Both write reStructuredText, for the directives of Sphinx's own domains.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from zope.interface.interface import InterfaceClass, Method

from orchestra.tap import Options
from orchestra.values import OPTIONS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_VALUES = {
    "bytes": "BYTES",
    "seconds": "SECONDS",
    "number": "N",
    "folder": "DIR",
    "file": "FILE",
    "string": "TEXT",
}
"""How an option's value is called, by a word of what is allowed. The first one counts."""


def options() -> Iterator[str]:
    """Describe each option, in the order of the alphabet."""
    known = Options()
    takes_value = {name.removesuffix("="): name.endswith("=") for name in known.longOpt}
    shorts = {name: short for short, name in known.synonyms.items() if len(short) == 1}
    for name in sorted(takes_value):
        text, default = _text_and_default(known, name)
        allowed = _allowed(name)
        value = f" {_value_name(known, name, allowed or text)}" if takes_value[name] else ""
        forms = [f"--{name}{value}"]
        if name in shorts:
            forms.append(f"-{shorts[name]}{value}")
        yield f".. option:: {', '.join(forms)}"
        yield ""
        yield f"   {_marked_up(text[0].upper() + text[1:], takes_value)}."
        yield ""
        notes = []
        if value and default is not None:
            notes.append(f"Default: ``{default}``.")
        if value and allowed not in (None, "a string") and allowed not in text:
            notes.append(f"Allowed: {_marked_up(allowed, takes_value)}.")
        if name not in OPTIONS:
            notes.append("On the command line only.")
        yield f"   {' '.join(notes)}"
        yield ""


def _text_and_default(known: Options, name: str) -> tuple[str, str | None]:
    # Where an option has no value that stands for its default, its text says it.
    text = " ".join(known.docs[name].split()).rstrip(".")
    match = re.fullmatch(r"(.*) \[default: (.*)\]", text)
    if match is not None:
        return match[1], match[2]
    default = known.defaults.get(name)
    if default is None:
        return text, None
    shown = str(default).removesuffix(".0")
    return text, shown if shown == shown.strip() else f'"{shown}"'


def _allowed(name: str) -> str | None:
    # What the check says to a value that it cannot like.
    if name in OPTIONS:
        try:
            OPTIONS[name](object())
        except ValueError as error:
            return str(error).removeprefix("must be ").removeprefix("a list of strings, each ")
    return None


def _value_name(known: Options, name: str, text: str) -> str:
    method = getattr(known, f"opt_{name.replace('-', '_')}", None)
    if method is not None:
        (parameter,) = inspect.signature(method).parameters
        return parameter.upper()
    if name.endswith("-file"):
        return "FILE"
    return next((value for word, value in _VALUES.items() if word in text), "VALUE")


def _marked_up(text: str, names: Container[str]) -> str:
    # With links to the options that it names, and nothing else that would be a link or a markup.
    def marked_up(match: re.Match[str]) -> str:
        part = match[0]
        if part.removeprefix("--") in names:
            return f":option:`{part}`"
        return f"``{part}``" if len(part) > 1 else f"\\{part}"

    return re.sub(r"https?://[^\s,;]+|--[a-z-]*[a-z]|[\\*`_|]", marked_up, text)


def interface(path: str) -> Iterator[str]:
    """Describe an interface: what it has and what it asks for.

    :param path: the module and the name.
    """
    module, _, name = path.rpartition(".")
    described: InterfaceClass = getattr(import_module(module), name)
    yield f".. py:class:: {name}"
    yield f"   :module: {module}"
    yield ""
    yield from _indented(described.__doc__)
    for its_name, part in described.namesAndDescriptions():
        if isinstance(part, Method):
            yield f"   .. py:method:: {its_name}{part.getSignatureString()}"
        else:
            yield f"   .. py:attribute:: {its_name}"
        yield ""
        yield from _indented(part.__doc__, 6)


def _indented(docstring: str, spaces: int = 3) -> Iterator[str]:
    for line in inspect.cleandoc(docstring).splitlines():
        yield f"{' ' * spaces}{line}" if line else ""
    yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Give Sphinx the directives."""
    # Here, so that the functions above can be called without Sphinx.
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class OptionsDirective(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            self.env.note_reread()  # the code may have changed
            return self.parse_text_to_nodes("\n".join(options()))

    class InterfaceDirective(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            self.env.note_reread()
            return self.parse_text_to_nodes("\n".join(interface(self.arguments[0])))

    app.add_directive("orchestra-options", OptionsDirective)
    app.add_directive("orchestra-interface", InterfaceDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

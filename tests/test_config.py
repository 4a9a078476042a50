"""The configuration file, by itself and with a command line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra.config import Config, ConfigError
from orchestra.history import Retention
from orchestra.service import OrchestraService
from orchestra.settings import ChannelSettings
from orchestra.tap import Options, makeService
from orchestra.values import CHANNEL, OPTIONS
from tests.test_tap import parse, server

WHOLE = """\
# A concert hall.
port = 8081
listen = ["unix:/tmp/hall"]
prefix = "> "
compress = true
origin = ["https://example.com", "null"]
trusted-proxy = ["10.0.0.1"]
max-message-rate = 5
message-burst = 10
history-messages = 100
history-age = 60
slow-reader = "skip"
grace = 0.5

[channels."prices/*"]
history-messages = 1
slow-reader = "latest"
publishers = ["127.0.0.1", "unix"]

[channels.chat]
prefix = ""
max-message-size = 400
max-message-rate = 0.5
max-connections = 20
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "orchestra.toml"


def made(*arguments: str) -> OrchestraService:
    return server(parse(*arguments))


def test_every_key_arrives(written: Path) -> None:
    """What the file says is what the server is made with, its channels included."""
    written.write_text(WHOLE)
    service = made("--config", str(written))
    hub, factory = service.hub, service.factory
    assert hub.retention == Retention(messages=100, age=60)
    assert hub.slow_reader == "skip"
    assert hub.settings("prices/gold/spot") == ChannelSettings(
        retention=Retention(messages=1, age=60),
        slow_reader="latest",
        publishers=("127.0.0.1", "unix"),
    )
    assert hub.settings("chat") == ChannelSettings(
        prefix="", max_message_size=400, max_message_rate=0.5, max_connections=20
    )
    assert hub.settings("prices") == hub.settings("chat/room") == ChannelSettings()
    assert factory.compress
    assert factory.defaults.prefix == "> "
    assert (factory.defaults.max_message_rate, factory.defaults.message_burst) == (5, 10)
    assert service.grace == 0.5
    assert len(parse("--config", str(written))["endpoints"]) == 2


def test_the_command_line_wins(written: Path) -> None:
    """An option that is given there counts, even with its default value, and a list as a whole."""
    written.write_text(WHOLE)
    arguments = ["--config", str(written), "--prefix=Echo: ", "-p", "0", "--slow-reader", "close"]
    options = parse(*arguments, "--listen", "tcp:0", "--origin=*", "--history-me=1000")
    assert options["prefix"] == "Echo: "
    assert options["origin"] == ["*"]
    assert list(options["endpoints"].values()) == ["--port 0", "--listen tcp:0"]
    assert options["slow-reader"] == "close"
    assert options["retention"] == Retention(messages=1000, age=60)
    assert options["trusted-proxy"] == ["10.0.0.1"]
    # What is set for a channel is more particular than either.
    assert options["channels"]["prices/*"].retention == Retention(messages=1, age=60)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("port = 8080\nhistory-mesages = 1\n", [":2: history-mesages: is no key", "messages, "]),
        ("\n\n# why\nport = 99999 # no\n", [":4: port = 99999: must be a whole number from 0"]),
        ('port = "http"\n', [":1: port = 'http': must be a whole number"]),
        ("port = true\n", [":1: port = True: must be a whole number"]),
        ("grace = [\n  1,\n]\n", [":1: grace = [1]: must be a number of seconds"]),
        ("history-bytes = 1.5", [":1: history-bytes = 1.5: must be a whole number of bytes"]),
        ("history-age = nan", [":1: history-age = nan: must be a number of seconds"]),
        ("prefix = 5", [":1: prefix = 5: must be a string"]),
        ("compress = 2", [":1: compress = 2: must be true or false"]),
        ('slow-reader = "wait"', [":1: slow-reader = 'wait': must be close, skip or latest"]),
        ('log-format = "xml"', [":1: log-format = 'xml': must be text or json"]),
        ('origin = "*"', [":1: origin = '*': must be a list of strings, each *, same"]),
        ('origin = ["null",\n"a"]', [":1: origin = 'a': must be *, same, null"]),
        ('trusted-proxy = ["me"]', [":1: trusted-proxy = 'me': must be an address such as"]),
        (
            '\nlisten = ["tcp:0", "tcp:x"]',
            [":2: listen = 'tcp:x': ", "must be a Twisted endpoint"],
        ),
        ('listen = [""]', [':1: listen = "": ', "must be a Twisted endpoint"]),
        ("port = 0\nmessage-burst = 5", [":2: message-burst = 5: goes only with a max-message"]),
        ("config = 'x'", [":1: config: is no key"]),
        ("[channels.a]\nport = 1", [":2: port: is no key; must be one of history-age,"]),
        (
            '[channels."a/*"]\n\nhistory-age = -1',
            [":3: history-age = -1: must be a number of seconds"],
        ),
        ("channels.a.prefix = 1", [":1: prefix = 1: must be a string"]),
        ("port = 1\nchannels = 1", [":2: channels: must be tables such as"]),
        ("[channels]\n# all\na = 1", [":3: a: must be a table"]),
        ('[channels."/a"]', [":1: /a: must be a name", "without a / in front"]),
        ('[channels.""]', [":1: : must be a name of 1 to 255 bytes"]),
        (
            '[channels.a]\npublishers = ["10.0.0.1/8"]',
            [":2: publishers = '10.0.0.1/8': must"],
        ),
        (
            "metrics = 9090\nmetrics-channels = ['/a']",
            [":2: metrics-channels = '/a': must be a name"],
        ),
        ("metrics-channels = ['a']", [":1: metrics-channels = 'a': goes only with a metrics"]),
        ("metrics = true", [":1: metrics = True: must be a Twisted endpoint string, or a port"]),
        ("metrics = 'nonsense:1'", [":1: metrics = 'nonsense:1': ", "must be a Twisted endpoint"]),
        ("\npage = true", [":2: page = True: must be a folder with an index.html"]),
        ("page = ''", [':1: page = "": must be a folder with an index.html']),
        ('page = "a\\u0000"', [":1: page = 'a\\x00': must be a folder with an index.html"]),
        ("page = '/nowhere'", [":1: page = '/nowhere': No such file or directory; must be"]),
        ("no-page = 2", [":1: no-page = 2: must be true or false"]),
        ("port = \n", [":1: Invalid value"]),
        ("port = 1\nport = 2\n", [":2: Cannot overwrite a value"]),
        ("prefix = '''a\nb", [":2: "]),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(
    written: Path, text: str, parts: list[str]
) -> None:
    """One line names the file, the line, the key, the value and what is allowed."""
    written.write_text(text)
    with pytest.raises(SystemExit) as caught:
        parse("--config", str(written))
    line = str(caught.value.code)
    assert line.startswith(f"orchestra: {written}:")
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_a_file_that_is_no_text_is_refused(written: Path) -> None:
    """TOML is UTF-8."""
    written.write_bytes(b"prefix = '\xff'")
    with pytest.raises(SystemExit, match="must be UTF-8"):
        parse("--config", str(written))
    with pytest.raises(SystemExit, match="Is a directory; must be a TOML file"):
        parse("--config", str(written.parent))


def test_a_burst_needs_a_rate_in_a_channel_too(written: Path) -> None:
    """It may be that of the channel, or that of all."""
    written.write_text("[channels.a]\nmessage-burst = 5\n")
    with pytest.raises(SystemExit, match=":2: message-burst = 5: goes only with"):
        parse("--config", str(written))
    parse("--config", str(written), "--max-message-rate=1")
    written.write_text("[channels.a]\nmessage-burst = 5\nmax-message-rate = 1\n")
    parse("--config", str(written))


def test_a_file_can_be_checked_alone(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check-config says that all is well and ends, with exit status 0."""
    written.write_text(WHOLE)
    with pytest.raises(SystemExit) as caught:
        parse("--check-config", "--config", str(written))
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"orchestra: {written}: all is well\n"
    written.write_text("port = -1\n")
    with pytest.raises(SystemExit, match=r":1: port = -1"):
        parse("--check-config", "--config", str(written))


def test_every_option_can_stand_in_the_file() -> None:
    """All but those that are about the file itself, and about the command."""
    names = {option[0] for option in (*Options.optParameters, *Options.optFlags)}
    assert names | {"listen", "origin", "trusted-proxy", "metrics-channels"} == set(OPTIONS) | {
        "config",
        "check-config",
    }


KEYS = st.sampled_from([*OPTIONS, *CHANNEL, "channels", "x", "a.b", '"*"'])
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "1.5",
        "nan",
        "true",
        '"x"',
        "['x']",
        "[1]",
        "{}",
        "{a = 1}",
        "'''\n'''",
        "1979-05-27",
    ]
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    st.sampled_from(["[channels.a]", "[channels.'*']", "[x]", "[[channels]]", "# c", "", "'"]),
)


@given(st.lists(LINES, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_is_a_traceback(written: Path, lines: list[str]) -> None:
    """Whatever is in it is understood or refused, and who is refused is told a line there is."""
    written.write_text("\n".join(lines))
    try:
        Config(str(written)).channels(Retention())
    except ConfigError as refusal:
        text = str(refusal).removeprefix(f"{written}:")
        number, _, _ = text.partition(":")
        assert 1 <= int(number) <= 1 + written.read_text().count("\n")
        assert "\n" not in " ".join(text.split())
    else:
        tomllib.loads(written.read_text())


def test_the_service_of_a_file_is_made(written: Path) -> None:
    """The options of a file are all that a service needs."""
    written.write_text("port = 0\n")
    makeService(parse("--config", str(written)))

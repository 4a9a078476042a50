"""SDKs where no WebSocket comes through, and pages that only listen, with the real server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Curl
from tests.end_to_end.proxies import NGINX_OLD, NGINX_TCP, proxying
from tests.end_to_end.sdk import EMULATED, HTTP_STREAM, SSE, WEBSOCKET, Node
from tests.end_to_end.server import PATIENCE, Place, Server, serving
from tests.end_to_end.tokens import SECRET, token

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "without-websockets.rst"
CONNECT = '{"id":1,"connect":{}}'


@contextmanager
def listening(*options: str) -> Iterator[Iterator[Any]]:
    """What curl gets on a stream, as objects of JSON, until the block is left."""
    command = ["curl", "--disable", "--noproxy", "*", "--silent", "--no-buffer"]
    command += ["--max-time", str(PATIENCE), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = (line.removeprefix("data: ") for line in process.stdout)
        try:
            yield (json.loads(line) for line in lines if line.startswith("{"))
        finally:
            process.kill()


def stream(place: Place, way: str, first: str) -> list[str]:
    """What curl is to ask for."""
    url = place.http(f"/connection/{way}")
    if way == HTTP_STREAM:
        return ["--data-binary", first, url]
    return ["--get", "--data-urlencode", f"cf_connect={first}", url]


@pytest.mark.parametrize("way", [HTTP_STREAM, SSE])
def test_a_session_with_curl(server: Server, curl: Curl, way: str) -> None:
    """Replies come on the stream, commands by requests of their own."""
    channel = f"curl-{way}"
    with listening(*stream(server, way, CONNECT)) as replies:
        session = next(replies)["connect"]["session"]
        for command in (
            {"id": 2, "subscribe": {"channel": channel}},
            {"id": 3, "publish": {"channel": channel, "data": {"a": "ü"}}},
        ):
            body = {"session": session, "node": "orchestra", "data": json.dumps(command)}
            answer = curl.post(server.http("/emulation"), json.dumps(body))
            assert (answer.status, answer.body) == (204, b"")
        assert [next(replies) for _ in range(2)] == [
            {"id": 2, "subscribe": {}},
            {"id": 3, "publish": {}},
        ]
        assert next(replies)["push"]["pub"]["data"] == {"a": "ü"}
    server.wait_for("A musician has left")
    assert curl.post(server.http("/emulation"), json.dumps(body)).status == 404


def test_a_page_that_only_listens_with_curl(tmp_path: Path, curl: Curl) -> None:
    """What its token has it hear, by GET and by POST, and the end."""
    (tmp_path / "secret").write_text(SECRET)
    with serving(tmp_path, "--token-key-file=secret") as server:
        asked = json.dumps({"token": token(channels=["strings"])})
        url = server.http("/connection/uni_sse")
        ways = (stream(server, "uni_sse", asked), ["--data", asked, url])
        with listening(*ways[0]) as got, listening(*ways[1]) as posted:
            for pushes in (got, posted):
                assert list(next(pushes)["connect"]["subs"]) == ["strings"]
            bearer = ("--header", f"Authorization: Bearer {token()}")
            assert curl.post(server.http("/strings"), "hello", *bearer).status == 200
            for pushes in (got, posted):
                assert next(pushes) == {
                    "channel": "strings",
                    "pub": {"data": "hello", "offset": 1},
                }
            server.process.send_signal(signal.SIGTERM)
            for pushes in (got, posted):
                assert list(pushes) == [{"disconnect": {"code": 3001, "reason": "shutdown"}}]
        with pytest.raises(StopIteration):
            next(got)
        assert server.ended() == 0


@pytest.mark.parametrize("way", EMULATED)
def test_a_proxy_that_lets_no_web_socket_through(
    node: Node, server: Server, tmp_path: Path, way: str
) -> None:
    """The SDK goes on to a stream by itself, and nothing of it is kept back on its way."""
    channel = f"fallback-{way}"
    with proxying(NGINX_OLD, tmp_path, server.port) as proxy:
        sdk = node.new(proxy, WEBSOCKET, way)
        assert sdk.connect()["transport"] == way.partition("-")[0]
        subscription = sdk.subscribe(channel)
        began = time.monotonic()
        for number in range(20):
            subscription.do("publish", number)
            assert subscription.hear() == [number]
        assert time.monotonic() - began < PATIENCE / 2
        sdk.do("disconnect")


@pytest.mark.parametrize("way", EMULATED)
def test_a_request_that_comes_to_another_server(
    node: Node, server: Server, tmp_path: Path, way: str
) -> None:
    """It is answered so that the SDK connects anew, and does not wait for what never comes."""
    with serving(tmp_path) as another:
        sdk = node.new(server, way, emulationEndpoint=another.http("/emulation"))
        sdk.connect()
        sdk.so_far("connecting")
        sdk.order("publish", "elsewhere", 1)
        assert sdk.wait("connecting")["reason"] == "transport closed"
        sdk.do("disconnect")
        assert another.stop() == 0


@pytest.mark.parametrize("way", EMULATED)
def test_the_server_stops(node: Node, tmp_path: Path, way: str) -> None:
    """The SDK is told so, and comes back."""
    with serving(tmp_path) as server:
        sdk = node.connected(server, way)
        sdk.so_far("connecting")
        assert server.stop() == 0
    context = sdk.wait("connecting")
    assert (context["code"], context["reason"]) == (3001, "shutdown")
    sdk.do("disconnect")


@pytest.mark.parametrize("way", EMULATED)
def test_a_token_that_is_wrong(node: Node, tmp_path: Path, way: str) -> None:
    """The SDK gives up, as it does with a WebSocket."""
    (tmp_path / "secret").write_text(SECRET)
    with serving(tmp_path, "--token-key-file=secret") as server:
        sdk = node.new(server, way, token=token("wrong" * 8))
        sdk.do("connect")
        assert sdk.wait("disconnected")["code"] == 3500
        assert server.stop() == 0


# The guide.


def documented(number: int, place: Place) -> str:
    """A part of the guide's code, for a server that there is."""
    found = re.findall(r"code-block:: javascript\n\n((?:    .*\n|\n)+)", GUIDE.read_text())[number]
    code = re.sub("^    ", "", found, flags=re.MULTILINE)
    code = code.replace("wss://example.com/", place.url())
    return code.replace("https://example.com/", place.http())


def run(folder: Path, code: str, *waiting_for: str) -> None:
    """Run code in Node as a page would have it, until it has printed some lines."""
    before = (
        'import { EventSource } from "eventsource";\nimport WebSocket from "ws";\n'
        "Object.assign(globalThis, { EventSource, WebSocket });\n"
    )
    (folder / "documented.mjs").write_text(before + code)
    with subprocess.Popen(
        ["node", "documented.mjs"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for expected in waiting_for:
                assert process.stdout.readline().rstrip("\n") == expected
        finally:
            process.kill()


@pytest.mark.parametrize(("kind", "way"), [(NGINX_TCP, WEBSOCKET), (NGINX_OLD, HTTP_STREAM)])
def test_the_ways_in_the_guide(
    server: Server, tmp_path: Path, node_folder: Path, kind: str, way: str
) -> None:
    """They are tried one after the other."""
    with proxying(kind, tmp_path, server.port) as proxy:
        run(node_folder, documented(0, proxy), f"connected by {way}")


def test_the_page_in_the_guide(tmp_path: Path, node_folder: Path) -> None:
    """It hears what its token has it hear, and gives up without a valid one."""
    (tmp_path / "secret").write_text(SECRET)
    with serving(tmp_path, "--token-key-file=secret") as server:
        code = documented(1, server)
        run(node_folder, code, "disconnected with 3500")
        code = code.replace("TOKEN", token(channels=["strings"]))
        publish = (
            f"fetch({json.dumps(server.http('/strings'))}, {{ method: 'POST', body: 'hello',"
            f" headers: {{ Authorization: 'Bearer {token()}', 'Content-Type': 'text/plain' }} }});"
        )
        code = code.replace(
            "const push = JSON.parse(data);",
            f"const push = JSON.parse(data); if (push.connect) {publish}",
        )
        run(node_folder, code, "strings hello")
        assert server.stop() == 0

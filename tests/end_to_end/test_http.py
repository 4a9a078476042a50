"""The HTTP side of the real server, as curl sees it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Answer, Curl, Event
from tests.end_to_end.server import PATIENCE, Server, pouring, serving

MIB = 1024 * 1024

MESSAGES: dict[str, str | bytes] = {
    "a word": "hello",
    "nothing": "",
    "no bytes": b"",
    "lines": "one\ntwo\n\n  four\n",
    "what looks like fields": "data: x\nid: 7\n\nevent: gap\n: a comment",
    "many scripts": "Grüße 🎻 \u2028 \x00",
    "bytes": bytes(range(256)),
    "a MiB of text": "x" * MIB,
    "a MiB of lines": "x\n" * (MIB // 2),
    "a MiB of bytes": b"\x00\xff" * (MIB // 2),
}


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps three messages of each channel."""
    folder = tmp_path_factory.mktemp("forgetful")
    with serving(folder, "--history-messages=3") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def event_of(answer: Answer, message: str | bytes) -> Event:
    """The event that a message is to be, by the answer to its POST."""
    said = json.loads(answer.body)
    place = f"{said['epoch']}:{said['offset']}"
    if isinstance(message, bytes):
        return Event("binary", base64.b64encode(message).decode(), place)
    return Event("message", message, place)


def play(curl: Curl, url: str, messages: range) -> None:
    """Post numbers, one after the other."""
    for number in messages:
        assert curl.post(url, str(number)).status == 200


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_everybody_hears_what_is_posted(server: Server, curl: Curl, message: str | bytes) -> None:
    """A stream hears it to the byte, at the place that the answer tells; a WebSocket as ever."""
    with curl.stream(server.http("/posted")) as stream, server.connect("/posted") as client:
        answer = curl.post(server.http("/posted"), message)
        assert answer.statuses[-1:] == [200]
        assert answer.headers["content-type"] == "application/json"
        assert stream.hear() == event_of(answer, message)
        heard = "Echo: " + message if isinstance(message, str) else message
        assert client.recv(timeout=PATIENCE) == heard


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_stream_hears_what_a_websocket_plays(
    server: Server, curl: Curl, message: str | bytes
) -> None:
    """The same events come of it, without the prefix that WebSockets get."""
    with curl.stream(server.http("/played")) as stream, server.connect("/played") as client:
        client.send(message)
        event = stream.hear()
        if isinstance(message, bytes):
            assert (event.kind, base64.b64decode(event.data)) == ("binary", message)
        else:
            assert (event.kind, event.data) == ("message", message)
        assert event.id == stream.last_id != ""


def test_ends_of_lines_are_all_the_same_to_a_stream(server: Server, curl: Curl) -> None:
    """A carriage return cannot make a field of what comes after it."""
    with curl.stream(server.http("/returns")) as stream:
        assert curl.post(server.http("/returns"), "a\rid: 1\r\nb\n\rc").status == 200
        assert stream.hear().data == "a\nid: 1\nb\n\nc"


@pytest.mark.parametrize(
    ("kind", "is_text"),
    [
        ("text/plain; charset=utf-8", True),
        ("application/json", True),
        ("image/png", False),
        ("application/octet-stream", False),
    ],
)
def test_the_type_says_what_a_body_is(
    server: Server, curl: Curl, kind: str, is_text: bool
) -> None:
    """The same body is text or binary data, by its Content-Type."""
    with curl.stream(server.http("/types")) as stream:
        assert curl.post(server.http("/types"), "{}", kind=kind).status == 200
        assert stream.hear()[:2] == (("message", "{}") if is_text else ("binary", "e30="))


def test_a_stream_is_not_kept_and_not_held_back(server: Server, curl: Curl) -> None:
    """Its head tells caches and proxies so, and its first block when to come back, and whence."""
    with curl.stream(server.http("/head")) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.retry >= 1000
        answer = curl.post(server.http("/head"), "first")
        assert stream.last_id == event_of(answer, "").id.replace(":1", ":0")


def test_whoever_comes_back_has_missed_nothing(server: Server, curl: Curl) -> None:
    """Killed again and again while messages pour, it goes on each time after its last event."""
    heard: list[str] = []
    with ExitStack() as stack:
        stream = stack.enter_context(curl.stream(server.http("/back")))
        stop = stack.enter_context(pouring(server, "/back"))
        for _ in range(5):
            heard += [stream.hear().data for _ in range(100)]
            stream.process.kill()
            back = curl.stream(server.http("/back"), last_id=stream.last_id)
            stream = stack.enter_context(back)
        count = stop()
        heard += [stream.hear().data for _ in range(count - len(heard))]
        assert curl.post(server.http("/back"), "the end").status == 200
        assert stream.hear().data == "the end"
    assert heard == [str(number) for number in range(count)]


def test_the_url_says_where_to_begin(server: Server, curl: Curl) -> None:
    """With the last messages, or after one; but whoever was told a later place begins there."""
    url = server.http("/begin")
    play(curl, url, range(1, 6))
    with curl.stream(url + "?last=2") as stream:
        assert [stream.hear().data for _ in range(2)] == ["4", "5"]
        epoch = stream.last_id.partition(":")[0]
    with curl.stream(f"{url}?since={epoch}:2") as stream:
        assert stream.last_id == f"{epoch}:2"
        assert [stream.hear().data for _ in range(3)] == ["3", "4", "5"]
    with curl.stream(f"{url}?since={epoch}:2&last=5", last_id=f"{epoch}:4") as stream:
        assert stream.hear() == Event("message", "5", f"{epoch}:5")
    answer = curl(f"{url}?since=yesterday", "--header", "Accept: text/event-stream")
    assert (answer.status, answer.body) == (
        400,
        b"since must be an epoch and an offset, as in 1f2e3d4c:42\n",
    )


def test_a_gap_is_told(forgetful: Server, curl: Curl) -> None:
    """Who comes back too late is told how many are gone, gets what is there, and only once."""
    url = forgetful.http("/gap")
    with curl.stream(url) as stream:
        play(curl, url, range(1, 3))
        assert [stream.hear().data for _ in range(2)] == ["1", "2"]
    play(curl, url, range(3, 11))
    with curl.stream(url, last_id=stream.last_id) as back:
        gap = back.hear()
        assert (gap.kind, json.loads(gap.data)) == ("gap", {"missed": 5})
        assert [back.hear().data for _ in range(3)] == ["8", "9", "10"]
    for place in (gap.id, back.last_id):
        with curl.stream(url, last_id=place) as again:
            assert curl.post(url, "next").status == 200
            assert again.hear().kind == "message"


@pytest.mark.parametrize("last_id", ["00000000:2", "what another server said"])
def test_a_place_that_is_unknown_is_a_gap(server: Server, curl: Curl, last_id: str) -> None:
    """How much is missing cannot be known; what is retained comes after that."""
    url = server.http("/elsewhere")
    assert curl.post(url, "first").status == 200
    with curl.stream(url, last_id=last_id) as stream:
        gap = stream.hear()
        assert (gap.kind, json.loads(gap.data)) == ("gap", {"missed": None})
        assert stream.hear().data == "first"


def test_a_heartbeat(tmp_path: Path, curl: Curl) -> None:
    """A stream in which nobody plays says now and then that it is there."""
    with serving(tmp_path, "--ping-interval=0.2") as server:
        with curl.stream(server.http("/silence")) as stream:
            assert [stream.comment() for _ in range(2)] == ["", ""]
            assert curl.post(server.http("/silence"), "hello").status == 200
            assert stream.hear().data == "hello"
            assert stream.comment() == ""
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/healthz", "*/*"),
        ("/readyz", "*/*"),
        ("/", "text/html"),
        ("/headed?presence=count", "*/*"),
        ("/headed", "*/*"),
    ],
)
def test_head(server: Server, curl: Curl, path: str, accept: str) -> None:
    """The head is that of GET, the length of the body included, and that is all."""
    get, head = (
        curl(server.http(path), "--header", f"Accept: {accept}", *options)
        for options in ((), ("--head",))
    )
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(len(get.body))


def test_the_head_of_a_stream(server: Server, curl: Curl) -> None:
    """It is that of the stream, which has no length."""
    url = server.http("/headed")
    head = curl(url, "--head", "--header", "Accept: text/event-stream")
    assert (head.status, head.body) == (200, b"")
    with curl.stream(url) as stream:
        for name in ("content-type", "cache-control", "x-accel-buffering"):
            assert head.headers[name] == stream.headers[name]
    assert "content-length" not in head.headers


def test_head_joins_nothing(server: Server, curl: Curl) -> None:
    """Whoever asks only for the head of a stream is nobody who has come and left."""
    url = server.http("/unjoined")
    with curl.stream(url + "?presence") as watching:
        curl(url, "--head", "--header", "Accept: text/event-stream")
        assert curl.post(url, "after").status == 200
        assert watching.hear()[:2] == ("message", "after")


def test_options(server: Server, curl: Curl) -> None:
    """The methods are told, in an answer that has neither a body nor the length of one."""
    answer = curl(server.http("/strings"), "--request", "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(
    ("path", "options", "status", "headers"),
    [
        ("/strings", ["--request", "DELETE"], 405, {"allow": "GET, HEAD, POST, OPTIONS"}),
        ("/strings", [], 426, {"upgrade": "websocket"}),
        ("/api/strings", ["--data", "", "--header", "Content-Type: text/plain"], 404, {}),
        ("/strings?presence=all", [], 400, {}),
        ("/strings", ["--data", "a=b"], 415, {}),
        ("/strings", ["--form", "a=b"], 415, {}),
        ("/strings", ["--data", "{}", "--header", "Content-Type: application/pdf"], 415, {}),
        ("/strings", ["--data", "\udc80", "--header", "Content-Type: text/plain"], 400, {}),
    ],
)
def test_what_cannot_be_served(
    server: Server, curl: Curl, path: str, options: list[str], status: int, headers: dict[str, str]
) -> None:
    """It is refused with a status that says what kind of wrong it is, and a line that says why."""
    answer = curl(server.http(path), *options)
    assert answer.status == status
    assert headers.items() <= answer.headers.items()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize("expect", [True, False], ids=["asking first", "at once"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_without_end_is_refused(
    server: Server, curl: Curl, tmp_path: Path, chunked: bool, expect: bool
) -> None:
    """The answer comes while it is still being sent, and nothing of it is played."""
    url = server.http("/endless")
    options = ["--request", "POST", "--header", "Content-Type: text/plain"]
    if not expect:
        options += ["--header", "Expect:"]
    with curl.stream(url) as stream:
        if chunked:
            options += ["--header", "Transfer-Encoding: chunked", "--upload-file", "-"]
            with open("/dev/zero", "rb") as endless:
                answer = curl(url, *options, stdin=endless)
        else:
            huge = tmp_path / "huge"
            huge.touch()
            os.truncate(huge, 2**40)
            answer = curl(url, *options, "--upload-file", str(huge))
        # Whoever asks is told to go on only where the body might be short enough.
        assert answer.statuses == ([100, 413] if chunked and expect else [413])
        assert answer.body == b"a message must be 1048576 bytes or less\n"
        assert curl.post(url, "after").status == 200
        assert stream.hear().data == "after"


@pytest.mark.parametrize("expect", [True, False], ids=["asking first", "at once"])
@pytest.mark.parametrize("size", [MIB, MIB + 1])
def test_the_largest_body(server: Server, curl: Curl, size: int, expect: bool) -> None:
    """A message may be just as large as the limit says, however it is sent."""
    header = "Expect: 100-continue" if expect else "Expect:"
    answer = curl.post(server.http("/largest"), "x" * size, "--header", header)
    if size > MIB:
        assert answer.statuses == [413]
    else:
        assert answer.statuses == ([100, 200] if expect else [200])


def test_too_many_messages(tmp_path: Path, curl: Curl) -> None:
    """An address that posts more than it may is told when to try again; others are heard."""
    limits = ("--max-message-rate=0.001", "--message-burst=2")
    with serving(tmp_path, *limits) as server:
        url = server.http("/strings")
        with curl.stream(url) as stream:
            answers = [curl.post(url, f"alice {number}") for number in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 429]
            assert answers[-1].headers["retry-after"] == "1"
            assert curl.post(url, "bob", "--interface", "127.0.0.2").status == 200
            heard = [stream.hear().data for _ in range(3)]
            assert heard == ["alice 0", "alice 1", "bob"]
        assert server.stop() == 0


def test_pages_of_other_sites_are_kept_out(server: Server, curl: Curl) -> None:
    """Neither a POST nor a stream nor presence is for a page of another origin; one's own may."""
    url = server.http("/pages")
    foreign = ("--header", "Origin: http://elsewhere.example")
    own = ("--header", f"Origin: {server.http('')}")
    with curl.stream(url, *own) as stream:
        assert stream.headers["access-control-allow-origin"] == server.http("")
        assert curl.post(url, "foreign", *foreign).status == 403
        for options in ((), ("--header", "Accept: text/event-stream")):
            answer = curl(url + "?presence", *options, *foreign)
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        assert curl.post(url, "own", *own).status == 200
        assert stream.hear().data == "own"


def test_a_post_that_is_repeated_is_played_once(server: Server, curl: Curl) -> None:
    """By its key it is known; the answer is that of the first time, and says so."""
    url = server.http("/once")
    key = ("--header", "Idempotency-Key: 8e03978e")
    with curl.stream(url) as stream:
        first, second = (curl.post(url, "once", *key) for _ in range(2))
        assert (first.status, second.status) == (200, 200)
        assert first.body == second.body
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert curl.post(url, "something else", *key).status == 422
        assert curl.post(url, "after").status == 200
        assert [stream.hear().data for _ in range(2)] == ["once", "after"]


def test_requests_share_a_connection(server: Server, curl: Curl) -> None:
    """It stays open for the next request, after a refusal too."""
    urls = [server.http(path) for path in ("/shared", "/api", "/shared")]
    options = ["--header", "Content-Type: text/plain", "--data", "x", *urls[1:]]
    with curl.stream(urls[0]) as stream:
        answer = curl(urls[0], *options, "--write-out", "connections: %{num_connects}\n")
        assert re.findall(rb"connections: (\d)", answer.body) == [b"1", b"0", b"0"]
        assert [stream.hear().data for _ in range(2)] == ["x", "x"]


def test_who_is_there(server: Server, curl: Curl) -> None:
    """Streams and WebSockets are members alike; who is killed has left, in every account of it."""
    url = server.http("/present")
    with curl.stream(url + "?presence") as watching:
        with curl.stream(url) as stream, server.connect("/present") as client:
            joined = [json.loads(watching.hear().data)["join"] for _ in range(2)]
            known = json.loads(curl(url + "?presence").body)
            assert (known["clients"], known["identities"]) == (3, 0)
            assert known["members"][1:] == joined
            stream.process.kill()
            left = watching.hear()
            assert (left.kind, json.loads(left.data)) == ("presence", {"leave": joined[0]})
            assert json.loads(curl(url + "?presence").body)["members"][1:] == joined[1:]
            client.close()
            assert json.loads(watching.hear().data) == {"leave": joined[1]}
        assert json.loads(curl(url + "?presence=count").body) == {"clients": 1, "identities": 0}
        assert curl.post(url, "alone").status == 200
        assert watching.hear()[:2] == ("message", "alone")


def test_stopping(tmp_path: Path, curl: Curl) -> None:
    """Each stream gets all that was published, however late it reads, and ends in good order."""
    messages = [f"{number}" + "x" * MIB for number in range(3)]
    with serving(tmp_path, "--max-message-size=2000000") as server:
        url = server.http("/stop")
        with curl.stream(url) as one, curl.stream(url + "?presence") as other:
            assert [curl.post(url, message).status for message in messages] == [200] * 3
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("Received SIGTERM, stopping.")
            for stream in (one, other):
                heard = [event.data for event in stream if event.kind == "message"]
                assert heard == messages
                assert stream.comments == ["going away"]
                assert stream.ended() == 0
            assert server.ended() == 0
    assert "Traceback" not in server.text
    assert "did not leave in time" not in server.text

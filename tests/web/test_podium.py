"""The podium's numbers in memory: what they are, and who may see them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.observe.collector import OrchestraCollector
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Grant
from orchestra.refusal import RefusedError
from orchestra.web import podium
from orchestra.websocket.factory import OrchestraFactory
from tests.events import lines
from tests.memory import MemoryTransport, join
from tests.policy.asked import HOWS, AskedPolicy, only
from tests.web.client import UPGRADE, Answer, WebClient, answers, request
from tests.web.conftest import Serve

pytestmark = pytest.mark.usefixtures("log")

PATH = "/podium/numbers"
KEY = "key-of-an-operator"


def numbers(factory: OrchestraFactory, **headers: str) -> Any:
    """What somebody is told who may ask."""
    answer = WebClient(factory).get(PATH, **headers)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.json


def values(told: Any) -> dict[str, float]:
    """The samples without labels, and the sums of those that have some."""
    found: dict[str, float] = {}
    for sample in told["samples"]:
        found[sample["name"]] = found.get(sample["name"], 0) + sample["value"]
    return found


# What they are.


def test_they_are_what_the_metrics_tell(serve: Serve, clock: Clock) -> None:
    """Every sample with its labels, but for those of histograms."""
    factory = serve({"counted_apart": ["strings"]})
    player, _ = join(factory, "/strings"), join(factory, "/strings")
    player.send("C#4")
    clock.advance(0)
    told = numbers(factory)
    expected = [
        {"name": sample.name, "labels": sample.labels, "value": sample.value}
        for family in OrchestraCollector(factory).collect()
        if family.type != "histogram"
        for sample in family.samples
    ]
    assert told["samples"] == expected
    found = values(told)
    assert found["orchestra_connections"] == found["orchestra_channel_subscribers"] == 2
    assert found["orchestra_published_messages_total"] == 1
    assert found["orchestra_deliveries_total"] == 2
    assert not any("bucket" in name for name in found)


def test_the_busiest_channels(factory: OrchestraFactory) -> None:
    """They are those with the most subscribers, of which as many are told as there is room for."""
    for number in range(podium.BUSIEST + 5):
        for _ in range(number % 7):
            join(factory, f"/c{number}")
    factory.hub.publish("c6", b"12345")
    factory.hub.publish("c6", b"678")
    told = numbers(factory)["busiest"]
    assert len(told) == podium.BUSIEST
    subscribers = [channel["subscribers"] for channel in told]
    assert subscribers == sorted(subscribers, reverse=True)
    assert told[0] == {
        "channel": "c6",
        "subscribers": 6,
        "published": 2,
        "retained_messages": 2,
        "retained_bytes": 8,
    }


def test_only_some_channels_are_looked_at(factory: OrchestraFactory) -> None:
    """It takes no longer the more there are; all of them count."""
    for number in range(5):
        factory.hub.publish(f"c{number}", b"")
    join(factory, "/last")
    assert [each.channel for each in factory.hub.busiest(2, 5)] == ["c0", "c1"]
    assert [each.channel for each in factory.hub.busiest(2, 6)] == ["last", "c0"]
    assert factory.hub.busiest(0, 6) == factory.hub.busiest(2, 0) == []
    assert values(numbers(factory))["orchestra_channels"] == 6


def test_all_who_ask_at_once_are_told_the_same(factory: OrchestraFactory, clock: Clock) -> None:
    """It is collected once for all of them, and anew half a second later."""
    first = numbers(factory)
    factory.hub.publish("main", b"")
    clock.advance(0.49)
    assert numbers(factory) == first
    clock.advance(0.01)
    second = numbers(factory)
    assert values(second)["orchestra_published_messages_total"] == 1
    assert second["time"] - first["time"] == 0.5
    assert second["server"] == first["server"]


def test_each_server_has_a_name_of_its_own(serve: Serve) -> None:
    """By which whoever asks knows that counters have begun anew."""
    assert numbers(serve())["server"] != numbers(serve())["server"]


def test_a_clock_that_goes_back_keeps_nothing(
    factory: OrchestraFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reactor's clock may be that of the wall."""
    assert numbers(factory)["time"] == 1000
    monkeypatch.setattr(factory.reactor, "rightNow", 500.0)
    assert numbers(factory)["time"] == 500


def test_how_it_may_be_asked(factory: OrchestraFactory) -> None:
    """HEAD tells the headers; nothing else is there, below or beside."""
    answer = WebClient(factory).do("HEAD", PATH)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100
    for method in ("POST", "PUT", "OPTIONS"):
        answer = WebClient(factory).do(method, PATH)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    for path in (PATH + "/", PATH + "/x", "/podium/", "/podium/number"):
        assert WebClient(factory).get(path).status == 404
    assert WebClient(factory).get(PATH, **UPGRADE).status == 404
    assert WebClient(factory).get(PATH + "?a=b").status == 200


def test_without_a_page_there_is_none(serve: Serve) -> None:
    """Whoever asks, and by whatever method."""
    factory = serve(page=None, api_keys=ApiKeys([KEY]))
    for method in ("GET", "POST"):
        assert WebClient(factory).do(method, PATH, X_API_Key=KEY).status == 404


# Who may see them.


def ask_from(factory: OrchestraFactory, address: str, host: str, **headers: str) -> Answer:
    """Ask from another address, for a host."""
    protocol: Any = factory.buildProtocol(IPv4Address("TCP", address, 50000))
    transport = MemoryTransport(protocol)
    transport.getPeer = lambda: IPv4Address("TCP", address, 50000)  # type: ignore[method-assign]
    protocol.makeConnection(transport)
    asked = request("GET", PATH, **headers).replace(b"localhost:8080", host.encode())
    transport.protocol.dataReceived(asked)
    ((answer,), _) = answers(transport.take(), ["GET"])
    transport.abortConnection()
    return answer


@pytest.mark.parametrize(
    ("address", "host", "headers", "status"),
    [
        ("127.0.0.1", "localhost", {}, 200),
        ("127.0.0.7", "127.0.0.7:8080", {}, 200),
        ("127.0.0.1", "localhost", {"Origin": "http://localhost"}, 200),
        ("203.0.113.9", "localhost", {}, 403),
        ("127.0.0.1", "evil.example:8080", {}, 403),
        ("127.0.0.1", "evil.example", {"Origin": "http://evil.example"}, 403),
        ("127.0.0.1", "localhost", {"Origin": "http://evil.example"}, 403),
        ("127.0.0.1", "localhost", {"X_Forwarded_For": "127.0.0.1"}, 403),
        ("127.0.0.1", "localhost", {"Via": "1.1 proxy"}, 403),
        ("127.0.0.1", "localhost", {"X_API_Key": KEY}, 200),
    ],
)
def test_without_keys_and_tokens_only_this_machine_may(
    serve: Serve,
    address: str,
    host: str,
    headers: dict[str, str],
    status: int,
    log: list[LogEvent],
) -> None:
    """As its own name, and through nothing. Who may not is told what it takes, not a number."""
    answer = ask_from(serve(), address, host, **headers)
    assert answer.status == status
    if status == 403:
        assert "origin" in answer.text or "http://localhost" in answer.text
        assert "samples" not in answer.text
        assert "www-authenticate" not in answer.headers, "nothing would let them in"
        assert any(" 403 " in line for line in lines(log))


def test_a_trusted_proxy_may_tell_of_this_machine(serve: Serve) -> None:
    """It is asked for by somebody at the machine, and not by somebody elsewhere."""
    factory = serve(trusted_proxies=["127.0.0.1"])
    for told, status in {"127.0.0.1": 200, "203.0.113.9": 403, "unknown": 403}.items():
        assert ask_from(factory, "127.0.0.1", "localhost", X_Forwarded_For=told).status == status
        headers = {"X_Forwarded_For": "127.0.0.1", "X_Real_IP": told}
        assert ask_from(factory, "127.0.0.1", "localhost", **headers).status == status
    answer = ask_from(factory, "127.0.0.1", "localhost", Forwarded='for="')
    assert (answer.status, "Forwarded" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("?", 403)],
)
def test_a_page_of_another_origin_may_not_ask_without_saying_its_own(
    serve: Serve, site: str, status: int
) -> None:
    """As for an image or a script, which send no origin. A key does not let it in, either."""
    for factory, headers in (
        (serve(), {}),
        (serve(origins=["*"]), {"Origin": "http://evil.example"}),
        (serve(api_keys=ApiKeys([KEY])), {"X_API_Key": KEY}),
    ):
        answer = ask_from(factory, "127.0.0.1", "localhost", Sec_Fetch_Site=site, **headers)
        assert answer.status == status
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("headers", [{"X_API_Key": KEY}, {"Authorization": f"ApiKey {KEY}"}])
@pytest.mark.parametrize("policy", [None, AskedPolicy(grant=only("sub"))])
def test_whoever_has_a_key_may(
    serve: Serve, policy: AskedPolicy | None, headers: dict[str, str]
) -> None:
    """By either header, from anywhere, and whatever the policy would say."""
    factory = serve(api_keys=ApiKeys([KEY]), policy=policy)
    assert ask_from(factory, "203.0.113.9", "hall.example", **headers).status == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "an API key is needed"),
        ({"X_API_Key": KEY[:-1]}, "not known"),
        ({"X_API_Key": ""}, "not known"),
        ({"Authorization": f"Bearer {KEY}"}, "an API key is needed"),
    ],
)
def test_with_keys_nobody_else_may(serve: Serve, headers: dict[str, str], reason: str) -> None:
    """Not at this machine either; and by whatever method."""
    for method in ("GET", "HEAD", "POST"):
        answer = WebClient(serve(api_keys=ApiKeys([KEY]))).do(method, PATH, **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "apikey")
        assert reason in answer.text or method == "HEAD"


@pytest.mark.parametrize("how", HOWS)
def test_with_a_policy_whoever_may_do_everything_may(serve: Serve, how: str) -> None:
    """Also if it takes its time. It is asked about somebody who has no channel."""
    policy = AskedPolicy("connect", how=how)
    policy.subscribe = None  # type: ignore[assignment, method-assign]
    factory = serve(policy=policy)
    client = WebClient(factory)
    client.ask("GET", PATH + "?token=T")
    assert client.read() == []
    policy.allow()
    (answer,) = client.read()
    assert answer.status == 200
    (asked,) = policy.questions("connect")
    assert (asked.channel, asked.query("token"), asked.address) == ("", "T", "127.0.0.1")


def test_whoever_may_do_some_things_may_not(serve: Serve) -> None:
    """All channels are told of by their names, and some of them are none of their business."""
    policy = AskedPolicy(grant=only("sub", "pub", "prs", "hst"))
    policy.subscribe = None  # type: ignore[assignment, method-assign]
    answer = WebClient(serve(policy=policy)).get(PATH)
    assert (answer.status, "without caps" in answer.text) == (403, True)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_policy_that_is_asked_for_each_channel_lets_nobody_see_all(serve: Serve) -> None:
    """What it would say of the channels that there are is not in a grant; an API key does."""
    factory = serve(policy=AskedPolicy(), api_keys=ApiKeys([KEY]))
    assert WebClient(factory).get(PATH).status == 403
    assert WebClient(factory).get(PATH, X_API_Key=KEY).status == 200


def test_whom_a_policy_refuses_may_not(serve: Serve, clock: Clock) -> None:
    """It says why. A grant that has ended is none."""
    policy = AskedPolicy(grant=Grant(expires=1.0))
    policy.subscribe = None  # type: ignore[assignment, method-assign]
    factory = serve({"wall_clock": clock.seconds}, policy=policy)
    answer = WebClient(factory).get(PATH)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "expired" in answer.text
    policy.raises["connect"] = RefusedError(403, "you are not the conductor")
    assert "not the conductor" in WebClient(factory).get(PATH).text


def test_somebody_who_leaves_meanwhile(serve: Serve) -> None:
    """The question is taken back, and nothing is told."""
    policy = AskedPolicy("connect")
    client = WebClient(serve(policy=policy))
    client.ask("GET", PATH)
    client.vanish()
    assert policy.cancelled == 1

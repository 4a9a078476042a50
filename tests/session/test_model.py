"""Whatever a client does, and whatever happens to it: what it is told fits together."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import txaio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.task import Clock

import tests.memory
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.message import Message
from orchestra.policy.grants import ServerSubscription
from orchestra.refusal import RefusedError
from orchestra.settings import LATEST, SKIP, ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import MemoryClient
from tests.outlets import Outlet, Payloads
from tests.policy.asked import AskedPolicy
from tests.session.sdk import URL

NAMES = ("close", SKIP, LATEST, "other")
CHANNELS = st.sampled_from(NAMES)
KEEP = 40
"""How many messages a channel retains."""

ROOM = 1000
"""How many bytes a transport buffers before it is full. The outflow gives it more at a time."""

PAD = "x" * 3000
"""What makes a message so large that a few of them fill an outflow."""

WISHES = st.fixed_dictionaries(
    {
        "positioned": st.booleans(),
        "recoverable": st.booleans(),
        "join_leave": st.booleans(),
        "flag": st.sampled_from([0, 2]),
    }
)


class View:
    """A channel as the client knows it."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.is_positioned = bool(result.get("positioned"))
        self.is_recoverable = bool(result.get("recoverable"))
        self.epoch = result.get("epoch", "")
        self.offset: int | None = result.get("offset", 0) if self.is_positioned else None
        self.here: dict[str, bool] = {}
        self.is_servers = False


class Sessions(RuleBasedStateMachine):
    """A client of many channels, the server that it is at, and those who publish there."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(1000)
        self.loop_before, txaio.config.loop = txaio.config.loop, self.clock
        self.room_before, tests.memory.BUFFER = tests.memory.BUFFER, ROOM
        self.count = 0
        self.known: dict[str, tuple[str, int]] = {}
        self.rpcs: list[Any] = []

    @initialize(
        late=st.sampled_from([(), (), (), ("connect",), ("subscribe",), ("publish",)]),
        wishes=st.lists(WISHES, max_size=4),
    )
    def begin(self, late: tuple[str, ...], wishes: list[dict[str, Any]]) -> None:
        self.policy = AskedPolicy(*late)
        self.hub = Hub(
            Retention(messages=KEEP, bytes=100_000),
            clock=self.clock.seconds,
            wall_clock=self.clock.seconds,
            channels={name: ChannelSettings(slow_reader=name) for name in (SKIP, LATEST)},
        )
        self.server = OrchestraFactory(
            self.hub,
            policy=self.policy,
            policy_timeout=0,
            handshake_timeout=0,
            reactor=self.clock,
            rpc={"late": self.late},
        )
        self.log: dict[str, list[Any]] = {name: [] for name in NAMES}
        for name in NAMES:
            self.hub.subscribe(name, self.note(name))
        self.come()
        for name, wish in zip(NAMES, wishes, strict=False):
            self.subscribe(name, wish, recover=False)

    def late(self, caller: Any, data: Any) -> Any:
        self.rpcs.append(txaio.create_future())
        return self.rpcs[-1]

    def note(self, name: str) -> Any:
        def note(message: Message) -> None:
            self.log[name].append(json.loads(message.payload)["n"])
            assert message.offset == len(self.log[name])

        return note

    def come(self) -> None:
        self.wire = MemoryClient(self.server, URL)
        self.wire.read()
        self.outbox: deque[str] = deque()
        self.views: dict[str, View] = {}
        self.sent: deque[int] = deque()
        self.calls: set[int] = set()
        self.asked: dict[int, dict[str, Any]] = {}
        self.is_closed = False
        self.active_at = self.clock.seconds()
        self.send(self.command("connect"))

    # What the client does.

    def command(self, name: str, **request: Any) -> dict[str, Any]:
        self.count += 1
        self.asked[self.count] = {name: request}
        if name == "rpc":
            self.calls.add(self.count)
        else:
            self.sent.append(self.count)
        return {"id": self.count, name: request}

    def send(self, *commands: dict[str, Any]) -> None:
        self.outbox.append("\n".join(map(json.dumps, commands)))
        self.deliver()

    def deliver(self) -> None:
        while self.outbox and self.wire.transport.reading and not self.is_gone:
            self.wire.send(self.outbox.popleft())
            self.active_at = self.clock.seconds()

    @property
    def is_gone(self) -> bool:
        return self.wire.transport.disconnected or self.wire.server.state != 3

    @rule()
    def stay(self) -> None:
        if self.is_gone:
            self.come_back()

    @rule(channel=CHANNELS, wishes=WISHES, recover=st.booleans())
    def subscribe(self, channel: str, wishes: dict[str, Any], recover: bool) -> None:
        if self.is_gone:
            self.come_back()
        if recover and channel in self.known:
            epoch, offset = self.known[channel]
            wishes = {**wishes, "recover": True, "epoch": epoch, "offset": offset}
        self.send(self.command("subscribe", channel=channel, **wishes))

    @rule(channel=CHANNELS, wishes=WISHES)
    def subscribe_again(self, channel: str, wishes: dict[str, Any]) -> None:
        self.unsubscribe(channel)
        self.subscribe(channel, wishes, recover=True)

    @rule(channel=CHANNELS)
    def unsubscribe(self, channel: str) -> None:
        self.send(self.command("unsubscribe", channel=channel))

    @rule(channels=st.lists(CHANNELS, min_size=1, max_size=6), pad=st.sampled_from(["", PAD]))
    def publish(self, channels: list[str], pad: str) -> None:
        commands = []
        for channel in channels:
            command = self.command("publish", channel=channel)
            command["publish"]["data"] = {"n": command["id"], "pad": pad}
            commands.append(command)
        self.send(*commands)

    @rule(channel=CHANNELS, name=st.sampled_from(["history", "presence", "ping"]))
    def ask(self, channel: str, name: str) -> None:
        request = {} if name == "ping" else {"channel": channel}
        self.send(self.command(name, **request, **({"limit": -1} if name == "history" else {})))

    @rule(count=st.integers(1, 20))
    def call(self, count: int) -> None:
        self.send(*[self.command("rpc", method="late") for _ in range(count)])

    @rule()
    def read_some(self) -> None:
        self.hear(self.wire.transport.take())

    @rule()
    def read_all(self) -> None:
        while data := self.wire.transport.take():
            self.hear(data)

    @rule()
    def come_back(self) -> None:
        self.wire.vanish()
        self.remember(*self.views)
        self.come()

    # What others do.

    @rule(
        channels=st.sets(CHANNELS, min_size=1),
        count=st.sampled_from([1, 2, 5, 10, 10, KEEP + 2]),
        pad=st.sampled_from(["", PAD]),
        is_over=st.booleans(),
    )
    def others_publish(self, channels: set[str], count: int, pad: str, is_over: bool) -> None:
        for channel in sorted(channels):
            for _ in range(count):
                self.count += 1
                self.hub.publish(channel, json.dumps({"n": self.count, "pad": pad}).encode())
        if is_over:
            self.clock.advance(0)

    @rule(channel=CHANNELS, since=st.booleans(), moves=st.booleans())
    def server_subscribes(self, channel: str, since: bool, moves: bool) -> None:
        if self.wire.server in self.server.clients:
            wanted = ServerSubscription(channel, join_leave=moves)
            self.wire.server.subscribe(wanted, self.hub.position(channel) if since else None)

    @rule(channel=CHANNELS)
    def server_unsubscribes(self, channel: str) -> None:
        self.wire.server.unsubscribe(channel, 2000, "server unsubscribe")

    @rule(channel=CHANNELS)
    def another_comes_and_goes(self, channel: str) -> None:
        member = self.hub.member(f"another-{self.count}")
        self.count += 1
        place = self.hub.attach(channel, Outlet(), Payloads(), member=member)
        self.hub.unsubscribe(place)

    @precondition(lambda self: self.policy.waiting)
    @rule(is_allowed=st.booleans())
    def decide(self, is_allowed: bool) -> None:
        if is_allowed or self.policy.asked[-1][0] == "connect":
            self.policy.allow()
        else:
            self.policy.refuse(RefusedError(403, "no"))

    @precondition(lambda self: self.rpcs)
    @rule()
    def answer(self) -> None:
        answer = self.rpcs.pop(0)
        if not answer.called:
            answer.callback({"here": 1})

    @rule(seconds=st.sampled_from([0, 0, 0, 1, 15, 30]))
    def time_goes_by(self, seconds: int) -> None:
        for _ in range(seconds or 1):
            self.clock.advance(min(seconds, 1))
            self.deliver()

    # What the client is told.

    def hear(self, data: bytes) -> None:
        before = len(self.wire.messages)
        self.wire.ws.receive_data(data)
        for event in self.wire.ws.events_received():
            self.wire._frame(event)
        for frame in self.wire.messages[before:]:
            for line in str(frame).split("\n"):
                assert not self.is_closed, "something comes after the end"
                self.told(json.loads(line))
        if self.wire.close_frame and not self.is_closed:
            self.closed(*self.wire.close_frame)
        if data and not self.wire.server.is_leaving:
            self.active_at = self.clock.seconds()
        if self.wire.transport.reading and not self.wire.transport.disconnected:
            for answer in self.wire.ws.data_to_send():
                self.wire.server.dataReceived(answer)
        self.deliver()

    def told(self, reply: dict[str, Any]) -> None:
        if not reply:
            self.outbox.append("{}")
        elif "push" in reply:
            self.pushed(**reply["push"])
        else:
            self.answered(reply.pop("id"), **reply)

    def answered(self, command: int, error: Any = None, **results: Any) -> None:
        if command in self.calls:
            self.calls.remove(command)
            assert results == {"rpc": {"data": {"here": 1}}}
            return
        assert command == self.sent.popleft(), "answers come in the order of the questions"
        ((name, asked),) = self.asked[command].items()
        assert error or name in results
        if error:
            assert name != "connect"
            assert error["code"] in {"publish": [103], "subscribe": [103, 105, 112]}[name], error
        elif name == "subscribe":
            self.subscribed(asked["channel"], results["subscribe"], asked)
        elif name == "unsubscribe":
            self.remember(asked["channel"])
            self.views.pop(asked["channel"], None)

    def subscribed(self, channel: str, result: Any, asked: Any) -> None:
        assert channel not in self.views, "it has been subscribed already"
        view = self.views[channel] = View(result)
        assert view.is_positioned == bool(
            asked.get("positioned") or asked.get("recoverable") or asked.get("recover")
        )
        if asked.get("recover"):
            assert result["was_recovering"]
            if result.get("recovered"):
                assert (view.epoch, view.offset) == (asked["epoch"], asked["offset"])
            else:
                assert not asked["flag"]
        for publication in result.get("publications", []):
            self.published(channel, publication)

    def pushed(self, channel: str = "", **what: Any) -> None:
        ((kind, told),) = what.items()
        if kind == "subscribe":
            self.subscribed(channel, told, {"positioned": told.get("positioned")})
            self.views[channel].is_servers = True
            return
        assert channel in self.views, f"{kind} of a channel that it does not listen to"
        if kind == "pub":
            self.published(channel, told)
        elif kind == "unsubscribe":
            if told["code"] == 2500:
                assert channel in (SKIP, LATEST)
                assert self.views[channel].is_positioned
            else:
                assert told["code"] == 2000
            self.remember(channel)
            del self.views[channel]
        else:
            here, who = self.views[channel].here, told["info"]["client"]
            assert here.get(who) != (kind == "join"), "who comes and leaves does so in turns"
            here[who] = kind == "join"

    def published(self, channel: str, publication: Any) -> None:
        view, offset = self.views[channel], publication["offset"]
        if view.offset is not None:
            if view.is_positioned or channel not in (SKIP, LATEST):
                assert offset == view.offset + 1, "one follows the other"
            assert offset > view.offset
        view.offset = offset
        assert publication["data"]["n"] == self.log[channel][offset - 1]

    def remember(self, *channels: str) -> None:
        for channel in channels:
            view = self.views.get(channel)
            if view is not None and view.is_recoverable:
                assert view.offset is not None
                self.known[channel] = view.epoch, view.offset

    def closed(self, code: int, reason: str) -> None:
        self.is_closed = True
        if code == 3012:
            assert self.clock.seconds() - self.active_at >= 19
        elif code == 3010:
            assert any(self.views[c].is_servers for c in (SKIP, LATEST) if c in self.views)
        else:
            assert code == 3008, reason

    # What holds all the time.

    @invariant()
    def little_is_kept(self) -> None:
        session = self.wire.server
        kept = len(session._replies) + len(session.queue)
        assert kept <= 20, "a frame's worth"
        waiting = sum(map(len, session._outflow._waiting))
        assert waiting <= 3 * 100_000 + 64 * 1024 + 2 * 64 * 1024

    def teardown(self) -> None:
        try:
            if hasattr(self, "server"):
                self.end()
        finally:
            txaio.config.loop = self.loop_before
            tests.memory.BUFFER = self.room_before

    def end(self) -> None:
        for _ in range(3 * len(self.sent) + 60):
            while self.policy.waiting:
                self.policy.allow()
            while self.rpcs:
                self.answer()
            self.clock.advance(0)
            self.read_all()
            self.little_is_kept()
        if not (self.is_closed or self.is_gone):
            assert [*self.sent, *self.calls, *self.outbox] == [], "all is answered"
            assert set(self.views) == set(self.wire.server.subscriptions)
            for channel, view in self.views.items():
                top = len(self.log[channel])
                assert view.offset in (None, top), "all has come that was published"
            for name in NAMES:
                assert len(self.hub.presence(name)) == (name in self.views)
        self.wire.vanish()
        listening = {name: count for name, count in self.hub.channels().items() if count}
        assert not any(name in NAMES and count > 1 for name, count in listening.items())
        assert not self.server.clients


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)

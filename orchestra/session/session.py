"""A session: an SDK's connection, with commands and replies, and a place in many channels."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from orchestra.connection import close_codes
from orchestra.connection.client import Client
from orchestra.connection.close_codes import Close
from orchestra.connection.timers import Timer
from orchestra.connection.turns import SLICE
from orchestra.counters import WEBSOCKET
from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.codec import JSON, BadCommandError, Codec
from orchestra.dialects.centrifuge.codes import Disconnect, Error, Unsubscribed
from orchestra.dialects.centrifuge.encodings import Framing
from orchestra.dialects.centrifuge.schema import (
    Command,
    Push,
    Refresh,
    Reply,
)
from orchestra.message import Content
from orchestra.policy.grants import SUBSCRIBE, Grant, ServerSubscription
from orchestra.policy.limits import TokenBucket
from orchestra.position import Position
from orchestra.session.commands import COMMANDS, answer, check_message, check_publisher, time_left
from orchestra.session.refusals import DisconnectError, told_of
from orchestra.session.subscribing import Wishes, as_push, subscribe_unasked
from orchestra.session.subscription import Subscription
from orchestra.settings import ChannelSettings

MUCH = 64 * 1024
"""How many bytes of replies are collected before they are sent."""

BURST = 64
"""How many messages are published at once before it is looked at whether others should have a
turn."""

MAX_CALLS = 16
"""How many calls of a client are answered at a time."""

# What the server closes with, in the words of this protocol.
_IN_ITS_WORDS = {
    close_codes.GOING_AWAY: codes.SHUTDOWN,
    close_codes.EXPIRED: codes.CONNECTION_EXPIRED,
    close_codes.INTERNAL_ERROR: codes.SERVER_ERROR,
    close_codes.SLOW_READER: codes.SLOW,
}


class Session(Client):
    """A client that speaks the Centrifuge protocol. It performs commands one after the other.

    While one of them is being decided on, or the replies to earlier ones have not been read, the
    next ones wait, and nothing more is read from the client. So whatever a client asks for, what
    it makes the server keep is bounded.

    What each command does is in :mod:`orchestra.session.commands`; how bytes come and go is for a
    subclass to say.
    """

    codec: Codec = JSON
    """How commands and replies are written."""

    frame: Framing
    """How replies are put into what is written."""

    remote = ""
    """Its address."""

    uri = ""
    """The target of its request."""

    headers: Mapping[str, str] = {}
    """Of its request, by their names in lower case."""

    emulated = ""
    """By which secret name others send its commands; empty if it sends them itself."""

    is_connected = False
    """Whether its command to connect was accepted."""

    _farewell: Disconnect | None = None
    _connect_timer: Timer | None = None
    _ping_timer: Timer | None = None
    _pong_timer: Timer | None = None
    _awaited: Deferred[None] | None = None  # on a command, while that takes time

    def prepare(self) -> None:
        """Make what belongs to this session alone."""
        self.subscriptions: dict[str, Subscription] = {}
        """Its places, by the names of the channels."""
        self._calls: set[Deferred[None]] = set()  # that are not answered yet
        self._finishing: set[Subscription] = set()
        self._commands: deque[Command] = deque()
        self._replies: list[bytes] = []
        self._size = 0
        self._starting: list[Subscription] = []  # once the reply is written that says so
        self._allowances: dict[ChannelSettings, TokenBucket | None] = {}
        self._is_working = self._has_turn = self._is_waiting = False
        self._held = 0  # for how many reasons nothing is to be performed
        self._heard_at = 0.0
        self._is_refused = self._is_over = False

    def begin(self) -> None:
        """Wait for the command to connect."""
        self._set_connect_timer()

    def _set_connect_timer(self) -> None:
        timeout = self.factory.openHandshakeTimeout
        if timeout:
            self._connect_timer = self.factory.timers.call_later(timeout, self._is_late)

    def _is_late(self) -> None:
        # It is not, if it has come in time and the policy takes its time.
        if not (self.is_connected or self._awaited):
            self.disconnect(codes.STALE)

    # The way in.

    def received(self, *frames: bytes) -> None:
        """Perform the commands that the client has sent.

        :param frames: with commands; those that came together.
        """
        self._heard_at = self.factory.reactor.seconds()
        if self._farewell is not None:
            return
        bad = None
        try:
            for frame in frames:
                self._commands.extend(self.codec.decode(frame))
        except BadCommandError as error:
            bad = replace(codes.BAD_FRAME, reason=str(error))
        self._work()
        if bad is not None:
            self.disconnect(bad)

    def perform(self, command: Command) -> None:
        """Perform a command, after those that came before."""
        self._commands.append(command)
        self._work()

    def pause_reading(self) -> None:
        """Perform nothing more, until :meth:`resume_reading` is called as many times."""
        self._held += 1

    def resume_reading(self) -> None:
        """Go on with what the client has sent."""
        self._held -= 1
        self._work()

    def read_no_more(self) -> None:
        """Take nothing from the client, until :meth:`read_on` is called; by default as ever."""

    def read_on(self) -> None:
        """Take what the client sends again."""

    def _work(self) -> None:
        if self._is_working or self._has_turn or self.is_gone:
            return
        self._is_working = True
        ends = 0.0
        seconds = self.factory.turns.seconds
        try:
            while self._commands and self._awaited is None and not self._must_wait:
                command = self._commands[0]
                if command.publish is not None and command.id and self._publishes_at_once:
                    self._publish(command.publish.channel)
                else:
                    self._commands.popleft()
                    self._perform(command)
                if self._size > MUCH:
                    self.flush()
                now = seconds()
                ends = ends or now + SLICE
                if now >= ends and self._commands:
                    self._has_turn = True
                    self.factory.turns.wait(_Turn(self))
                    break
            self.flush()
        finally:
            self._is_working = False
        self._wait(bool(self._commands))

    @property
    def _must_wait(self) -> bool:
        return bool(self._held) or self._outflow.full or len(self._calls) >= MAX_CALLS

    def _wait(self, waits: bool) -> None:
        # Nothing more is read while there are commands that wait.
        if waits and not self._is_waiting:
            self._is_waiting = True
            self.read_no_more()
        elif self._is_waiting and not waits:
            self._is_waiting = False
            self._heard_at = self.factory.reactor.seconds()  # what it sent meanwhile comes now
            if not self.is_gone:
                self.read_on()

    def take_turn(self) -> None:
        """Go on with the commands that wait."""
        self._has_turn = False
        self._work()

    def _perform(self, command: Command) -> None:
        name = next((name for name in COMMANDS if getattr(command, name) is not None), None)
        if name is None and not command.id and self.is_connected:
            return  # a pong, whose coming says it all
        if self._is_refused:
            return  # it was sent before the client knew
        if name is None or (name == "connect") is self.is_connected:
            self.disconnect(codes.BAD_FRAME)
        elif not command.id and name != "send":
            self.disconnect(replace(codes.BAD_FRAME, reason="a command must have an id"))
        else:
            answering = Deferred.fromCoroutine(answer(self, command, name))
            if name == "rpc":
                self._call(answering)
            else:
                self._wait_for(answering)

    def _wait_for(self, decision: Deferred[None]) -> None:
        if not decision.called:
            self._awaited = decision

            def go_on(_: object) -> None:
                self._awaited = None
                self._work()

            decision.addBoth(go_on)

    def _call(self, call: Deferred[None]) -> None:
        # Others go on while it is being answered, unless there are too many.
        if not call.called:
            self._calls.add(call)

            def go_on(_: object) -> None:
                self._calls.discard(call)
                self._work()

            call.addBoth(go_on)

    # Publishing.

    @property
    def _publishes_at_once(self) -> bool:
        # Whether nobody else has to be asked about what it publishes.
        return self.is_connected and not self.factory.access.asks_to_publish

    def _publish(self, channel: str) -> None:
        # The next commands, as far as they publish in that channel: what holds there is looked at
        # once for all of them.
        settings, refusal = self.factory.defaults, None
        try:
            settings = check_publisher(self, channel)
        except Exception as error:
            refusal = error
        commands, published = self._commands, self.codec.published
        contents: list[Content] = []
        left = BURST
        while left and commands:
            number, request = commands[0].id, commands[0].publish
            if request is None or not number or request.channel != channel:
                break
            left -= 1
            commands.popleft()
            if refusal is not None:
                self.refuse(number, refusal)
                continue
            try:
                contents.append(check_message(self, request, settings))
            except Exception as error:
                self.refuse(number, error)
            else:
                self.reply(published(number))
        if contents:
            self.play(channel, contents)

    def play(self, channel: str, contents: list[Content]) -> None:
        """Publish what may be published."""
        factory = self.factory
        factory.activity.notes(self.peer, channel, len(factory.clients), contents)
        factory.hub.publish_all(channel, contents, self.publisher, WEBSOCKET)
        if factory.backpressure.is_high:
            factory.backpressure.hold(self)

    def allowance(self, settings: ChannelSettings) -> TokenBucket | None:
        """How much it may publish in channels with some settings, if that is limited."""
        if settings not in self._allowances:
            self._allowances[settings] = self.factory.allowance(settings)
        return self._allowances[settings]

    # The way out.

    def reply(self, reply: bytes) -> None:
        """Send a reply, together with others.

        :param reply: encoded.
        """
        self._replies.append(reply)
        self._size += len(reply)

    def answer(self, command: int, name: str, result: Any) -> None:
        """Tell what has come of a command.

        :param command: its id.
        :param name: its name.
        """
        self.reply(self.codec.encode(Reply(id=command, **{name: result})))

    def refuse(self, command: int, error: Exception) -> None:
        """Tell why a command was not performed.

        :param command: its id.
        """
        if isinstance(error, DisconnectError):
            self.disconnect(error.disconnect)
            return
        found = told_of(error)
        if found is None:
            self.factory.report(Failure(error), "a command could not be performed")
            found = codes.INTERNAL
        self.answer_with_error(command, found)

    def answer_with_error(self, command: int, error: Error) -> None:
        """Tell why a command was not performed, in the words of the protocol.

        :param command: its id.
        """
        self.reply(self.codec.encode(Reply(id=command, error=error)))

    def push(self, push: Push) -> None:
        """Send something that is no reply to a command."""
        self.reply(self.codec.encode(Reply(push=push)))
        if not self._is_working:
            self.flush()

    def start(self, subscription: Subscription) -> None:
        """Have a subscription read, once all is written that goes before."""
        self._starting.append(subscription)

    def flush(self) -> None:
        """Write the replies that there are, and have those subscriptions read that begin with
        that."""
        replies, self._replies = self._replies, []
        self._size = 0
        if replies and not (self.is_gone or self._is_over):
            self.write(self.frame(replies))
        starting, self._starting = self._starting, []
        for subscription in starting:
            if not (self._outflow.full or subscription.subscriber.gone):
                subscription.resume()

    # The outlets of its subscriptions.

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more to be read."""
        return self._outflow.full

    def pause(self) -> None:
        """Read no further: the outflow is full, or full again."""
        self._heard_at = self.factory.reactor.seconds()  # it has read what filled it before
        for subscription in self.subscriptions.values():
            subscription.pause()
        for subscription in self._finishing:
            subscription.pause()

    def listen(self) -> None:
        """Read, unless the outflow is full, and go on with what the client has sent."""
        self._heard_at = self.factory.reactor.seconds()  # it reads
        reading = [*self._finishing, *self.subscriptions.values()]
        for count, subscription in enumerate(reading):
            if self._outflow.full:
                # Next time it is for those who have read nothing this time to begin.
                for name in [
                    s.channel for s in reading[:count] if s.channel in self.subscriptions
                ]:
                    self.subscriptions[name] = self.subscriptions.pop(name)
                return
            subscription.resume()
        self._work()

    def missed(self, subscription: Subscription, missed: int | None) -> None:
        """A subscription has missed messages."""
        self.factory.activity.missed(self.peer, subscription.channel, missed)
        if not subscription.is_positioned or self._farewell is not None:
            return
        if subscription.is_servers:  # which the client cannot ask for anew, unless it comes back
            self.disconnect(codes.INSUFFICIENT_STATE)
        else:
            self.drop(subscription, codes.UNSUBSCRIBED_INSUFFICIENT_STATE)

    def evicted(self, subscription: Subscription, missed: int) -> None:
        """A subscription fell off the log: the client is too slow."""
        self._too_slow(subscription.channel, missed)

    def failed(self, subscription: Subscription) -> None:
        """What a channel has cannot be put to the client."""
        self._forget(subscription)
        subscription.leave()
        self.close(close_codes.INTERNAL_ERROR)
        self._end_if_finished()

    def finished(self, subscription: Subscription) -> None:
        """A subscription has read all that it was to read before the farewell."""
        self._finishing.discard(subscription)
        subscription.leave()
        self._end_if_finished()

    def subscription_expired(self, subscription: Subscription) -> None:
        """What lets a subscription listen holds no longer."""
        self.drop(subscription, codes.UNSUBSCRIBED_EXPIRED)

    def drop(self, subscription: Subscription, why: Unsubscribed) -> None:
        """Unsubscribe, and tell the client."""
        self._forget(subscription)
        subscription.leave()
        self.push(Push(subscription.channel, unsubscribe=why))

    def _forget(self, subscription: Subscription) -> None:
        if self.subscriptions.get(subscription.channel) is subscription:
            del self.subscriptions[subscription.channel]
        self._finishing.discard(subscription)

    # Its life.

    def come_in(self) -> None:
        """It is let in: register, and begin with pings."""
        self.is_connected = True
        self.register()
        self._set_ping()

    def not_connected(self) -> None:
        """It is not let in, and has been told why: it is closed soon, if it does not close."""
        self._is_refused = True
        if self.is_connected:  # and then something failed
            self.disconnect(codes.SERVER_ERROR)
        else:
            self._stop_timers()
            self._set_connect_timer()

    @property
    def is_leaving(self) -> bool:
        """Whether it has gone, or is being closed."""
        return self.is_gone or self._farewell is not None

    @property
    def ping_seconds(self) -> int:
        """How many seconds there are between pings, at the most; 0 for no pings."""
        return ceil(self.factory.autoPingInterval or 0)

    @property
    def awaits_pong(self) -> bool:
        """Whether a ping must be answered."""
        return bool(self.factory.autoPingInterval and self.factory.autoPingTimeout)

    def renew(self, grant: Grant) -> None:
        """Go on with another grant, and leave the channels that it does not allow."""
        before, self.grant = self.grant, grant
        self.watch_expiry()
        for subscription in tuple(self.subscriptions.values()):
            if subscription.grant is before:
                subscription.grant = grant
                if not (subscription.is_servers or grant.allows(SUBSCRIBE, subscription.channel)):
                    self.drop(subscription, codes.UNSUBSCRIBED_BY_SERVER)

    # What the server API asks for.

    def unsubscribe(self, channel: str, code: int, reason: str) -> bool:
        """Have it listen to a channel no more, and tell it why.

        :returns: whether it did.
        """
        subscription = self.subscriptions.get(channel)
        if subscription is None:
            return False
        self.drop(subscription, Unsubscribed(code, reason))
        return True

    def subscribe(self, subscription: ServerSubscription, since: Position | None = None) -> bool:
        """Have it listen to a channel that it has not asked for.

        :param since: up to where it knows the channel already.
        :returns: whether it does now, and did not before.
        :raises RefusedError: if there is no place in the channel.
        """
        if self.is_leaving or subscription.channel in self.subscriptions:
            return False
        wishes = Wishes() if since is None else Wishes(since=(since.epoch, since.offset))
        result = subscribe_unasked(self, subscription, wishes)
        publications = result.publications
        self.push(Push(channel=subscription.channel, subscribe=as_push(result)))
        for publication in publications:
            self.push(Push(channel=subscription.channel, pub=publication))
        self.flush()
        return True

    def refresh(self, expires: float | None) -> None:
        """Let it stay for another time, and tell it for how long.

        :param expires: until when, in seconds of Unix time; ``None`` for always.
        """
        self.renew(dataclasses.replace(self.grant, expires=expires))
        expiring, ttl = time_left(self, self.grant)
        self.push(Push(refresh=Refresh(expires=expiring, ttl=ttl)))

    # Its life, by the clock.

    def _set_ping(self) -> None:
        if self.factory.autoPingInterval:
            self._ping_timer = self.factory.timers.call_later(
                self.factory.autoPingInterval, self._send_ping
            )

    def _send_ping(self) -> None:
        # Who has not read what was sent before need not read this: reading is life enough.
        if not self._outflow.full:
            self.write(self.frame([self.codec.encode(Reply())]))
        if self.awaits_pong:
            now = self.factory.reactor.seconds()
            self._pong_timer = self.factory.timers.call_later(
                self.factory.autoPingTimeout, partial(self._look_for_life, now)
            )
        self._set_ping()

    def _look_for_life(self, since: float) -> None:
        # Of one that is held nothing is read, and so no answer either; unless it is held because
        # it reads nothing itself.
        is_held = (self._is_waiting or self._held) and not self._outflow.full
        if self._heard_at < since and not is_held:
            self.stop_listening()  # nor would it read the rest
            self.disconnect(codes.NO_PONG)
            self._end_if_finished()

    def _stop_timers(self) -> None:
        for timer in (self._connect_timer, self._ping_timer, self._pong_timer):
            if timer is not None:
                timer.cancel()

    def disconnect(self, why: Disconnect) -> None:
        """Close the connection, in the words of the protocol."""
        self.close(Close(why.code, why.reason))

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        self._too_slow(self.listens_to, 0)

    def _too_slow(self, channel: str, missed: int) -> None:
        self.stop_listening()  # it would not read the rest
        self.factory.activity.evicted(self.peer, channel, missed)
        self.close(close_codes.SLOW_READER)
        self._end_if_finished()

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far."""
        if self._farewell is not None or self.is_gone:
            return
        self._farewell = _IN_ITS_WORDS.get(
            close._replace(come_back=None), Disconnect(close.code, close.reason)
        )
        self._commands.clear()
        self._wait(False)
        self.flush()
        leaving, self.subscriptions = self.subscriptions, {}
        self._finishing |= set(leaving.values())
        for subscription in tuple(self._finishing):
            subscription.finish()
        self._end_if_finished()

    def _end_if_finished(self) -> None:
        if self._farewell is not None and not self._finishing and not self._is_over:
            self._is_over = True
            self._stop_timers()
            self.say_farewell(Close(self._farewell.code, self._farewell.reason))

    def stop_listening(self) -> None:
        """Leave every channel."""
        for subscription in (*self.subscriptions.values(), *self._finishing):
            subscription.leave()
        self.subscriptions.clear()
        self._finishing.clear()

    def finish_listening(self) -> None:
        """Write what is published and not written yet, if there is room for it, and leave."""
        for subscription in tuple(self.subscriptions.values()):
            subscription.finish()
        self.stop_listening()

    def leave(self, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the channels and the factory."""
        self._stop_timers()
        self._commands.clear()
        super().leave(code, reason)
        for decision in (*([self._awaited] if self._awaited else []), *self._calls):
            decision.cancel()


class _Turn:
    """A session's place in the queue of those who wait for their turn."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def work_on(self) -> None:
        self._session.take_turn()

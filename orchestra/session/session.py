"""A session: an SDK's connection, with commands and replies, and a place in many channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from twisted.python.failure import Failure

from orchestra.connection import close_codes
from orchestra.connection.client import Client
from orchestra.connection.close_codes import Close
from orchestra.connection.timers import Timer
from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.codec import JSON, Codec
from orchestra.dialects.centrifuge.codes import Disconnect, Error, Unsubscribed
from orchestra.dialects.centrifuge.encodings import Framing
from orchestra.dialects.centrifuge.refusals import DisconnectError, told_of
from orchestra.dialects.centrifuge.schema import Push, Refresh, Reply
from orchestra.policy.grants import PRESENCE, SUBSCRIBE, Grant, ServerSubscription
from orchestra.policy.limits import TokenBucket
from orchestra.position import Position
from orchestra.session.commands import time_left
from orchestra.session.pings import Pings
from orchestra.session.queue import CommandQueue
from orchestra.session.subscribing import Wishes, as_push, subscribe_unasked
from orchestra.session.subscription import Subscription
from orchestra.settings import ChannelSettings

NEW_CHANNELS = 10
"""How many channels a client may bring into being in a second. Each takes memory for as long as
its history is kept."""

NEW_CHANNELS_BURST = 256
"""How many it may at once, after it has brought less than that."""

LEAVE_TIMEOUT = 5.0
"""In how many seconds a client that is not let in must have left, if no other timeout is set."""

# What the server closes with, in the words of this protocol.
_IN_ITS_WORDS = {
    close_codes.GOING_AWAY: codes.SHUTDOWN,
    close_codes.EXPIRED: codes.CONNECTION_EXPIRED,
    close_codes.INTERNAL_ERROR: codes.SERVER_ERROR,
    close_codes.SLOW_READER: codes.SLOW,
}


class Session(Client):
    """A client that speaks the Centrifuge protocol: its life, its subscriptions, its replies.

    When its commands are performed is for its :class:`orchestra.session.queue.CommandQueue` to
    say, what each does is in :mod:`orchestra.session.commands`, and how bytes come and go is for
    a subclass.
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

    can_answer = True
    """Whether it has commands, with which it can answer pings."""

    is_connected = False
    """Whether its command to connect was accepted."""

    is_refused = False
    """Whether it was not."""

    unsent = 0
    """How many bytes of replies are collected, and not sent yet."""

    _farewell: Disconnect | None = None
    _is_over = False  # the farewell is said
    _connect_timer: Timer | None = None

    def prepare(self) -> None:
        """Make what belongs to this session alone."""
        self.subscriptions: dict[str, Subscription] = {}
        """Its places, by the names of the channels."""
        self.allowances: dict[ChannelSettings, TokenBucket | None] = {}
        """How much it may publish in channels with some settings, if that is limited."""
        self.queue = CommandQueue(self)
        """Its commands that wait."""
        self.pings = Pings(self)
        """What looks whether it is still there."""
        self.new_channels = TokenBucket(
            NEW_CHANNELS, NEW_CHANNELS_BURST, self.factory.reactor.seconds()
        )
        """How many channels it may bring into being."""
        self._finishing: set[Subscription] = set()
        self._replies: list[bytes] = []
        self._starting: list[Subscription] = []  # once the reply is written that says so

    # How it begins.

    def begin(self) -> None:
        """Wait for the command to connect."""
        self._wait_at_most(self.factory.openHandshakeTimeout)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds:
            self._connect_timer = self.factory.timers.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        # It is not, if it has come in time and the policy takes its time.
        if not (self.is_connected or self.queue.is_deciding):
            self.disconnect(codes.STALE)

    def come_in(self) -> None:
        """It is let in: register, and begin with pings."""
        self.is_connected = True
        self.register()
        self.pings.start()

    def not_connected(self) -> None:
        """It is not let in, and has been told why: it is closed soon, if it does not close."""
        self.is_refused = True
        if self.is_connected:  # and then something failed
            self.disconnect(codes.SERVER_ERROR)
        elif not self.is_leaving:
            self._stop_timers()
            factory = self.factory
            # Without any of these it would stay for as long as it likes.
            self._wait_at_most(
                factory.openHandshakeTimeout or factory.closeHandshakeTimeout or LEAVE_TIMEOUT
            )

    # The way in.

    def pause_reading(self) -> None:
        """Perform nothing more, until :meth:`resume_reading` is called as many times."""
        self.queue.hold()

    def resume_reading(self) -> None:
        """Go on with what the client has sent."""
        self.queue.release()

    def read_no_more(self) -> None:
        """Take nothing from the client, until :meth:`read_on` is called; by default as ever."""

    def read_on(self) -> None:
        """Take what the client sends again."""

    # The way out.

    def reply(self, *replies: bytes) -> None:
        """Send replies, together with others.

        :param replies: encoded.
        """
        self._replies += replies
        self.unsent += sum(map(len, replies))

    def answer(self, command: int, name: str, result: Any) -> None:
        """Tell what has come of a command.

        :param command: its id.
        :param name: its name.
        """
        self.reply(self.codec.encode(Reply(id=command, **{name: result})))

    def refuse(self, command: int, error: Exception) -> None:
        """Tell why a command was not performed, if it is one that is answered.

        :param command: its id; 0 for one that is not.
        """
        if isinstance(error, DisconnectError):
            self.disconnect(error.disconnect)
            return
        found = told_of(error)
        if found is None:
            self.factory.report(Failure(error), "a command could not be performed")
            found = codes.INTERNAL
        if command:  # without an id the reply would be taken for a ping
            self.answer_with_error(command, found)

    def answer_with_error(self, command: int, error: Error) -> None:
        """Tell why a command was not performed, in the words of the protocol.

        :param command: its id.
        """
        self.reply(self.codec.encode(Reply(id=command, error=error)))

    def push(self, *pushes: Push) -> None:
        """Send what is no reply to a command, all of it before anything else."""
        for push in pushes:
            self.reply(self.codec.encode(Reply(push=push)))
        if not self.queue.is_working:
            self.flush()

    def start(self, subscription: Subscription) -> None:
        """Have a subscription read, once all is written that goes before."""
        self._starting.append(subscription)

    def flush(self) -> None:
        """Write the replies that there are, and have those subscriptions read that begin with
        that."""
        while self._replies or self._starting:  # to begin with one may end it
            replies, self._replies = self._replies, []
            self.unsent = 0
            if replies and not (self.is_gone or self._is_over):
                data = self.frame(replies)
                self.write(data)
                if self._outflow.full:  # these bytes are shared with nobody
                    self.factory.backpressure.filled(self, self._outflow.holds + len(data))
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
        self.pings.heard()  # it has read what filled it before
        for subscription in self.subscriptions.values():
            subscription.pause()
        for subscription in self._finishing:
            subscription.pause()

    def listen(self) -> None:
        """Read, unless the outflow is full, and go on with what the client has sent."""
        self.pings.heard()  # it reads
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
        self.queue.work()

    def missed(self, subscription: Subscription, missed: int | None) -> None:
        """A subscription has missed messages."""
        self.factory.activity.missed(self.peer, subscription.channel, missed)
        if not subscription.is_positioned:
            return
        if self._farewell is None and not subscription.is_servers:
            self.drop(subscription, codes.UNSUBSCRIBED_INSUFFICIENT_STATE)
            return
        # What comes behind a hole is not to be told: the client would go on from there.
        self._forget(subscription)
        subscription.leave()
        # It cannot ask anew for what it has not asked for, unless it comes back.
        self.disconnect(codes.INSUFFICIENT_STATE)
        self._end_if_finished()

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

    def renew(self, grant: Grant) -> None:
        """Go on with another grant, and leave the channels that it does not allow."""
        before, self.grant = self.grant, grant
        self.watch_expiry()
        for subscription in tuple(self.subscriptions.values()):
            if subscription.grant is before:
                subscription.grant = grant
                if subscription.is_servers:
                    continue
                if not grant.allows(SUBSCRIBE, subscription.channel):
                    self.drop(subscription, codes.UNSUBSCRIBED_BY_SERVER)
                elif not grant.allows(PRESENCE, subscription.channel):
                    subscription.watch_no_more()

    # What the server API asks for.

    def unsubscribe(self, channel: str, code: int, reason: str) -> None:
        """Have it listen to a channel no more, and tell it why."""
        subscription = self.subscriptions.get(channel)
        if subscription is not None:
            self.drop(subscription, Unsubscribed(code, reason))

    def subscribe(self, subscription: ServerSubscription, since: Position | None = None) -> None:
        """Have it listen to a channel that it has not asked for, unless it does already.

        :param since: up to where it knows the channel already.
        :raises RefusedError: if there is no place in the channel.
        """
        if self.is_leaving or subscription.channel in self.subscriptions:
            return
        wishes = Wishes() if since is None else Wishes(since=(since.epoch, since.offset))
        result = subscribe_unasked(self, subscription, wishes)
        channel = subscription.channel
        missed = [Push(channel, pub=publication) for publication in result.publications]
        self.push(Push(channel, subscribe=as_push(result)), *missed)

    def refresh(self, expires: float | None) -> None:
        """Let it stay for another time, and tell it for how long.

        :param expires: until when, in seconds of Unix time; ``None`` for always.
        """
        self.renew(dataclasses.replace(self.grant, expires=expires))
        expiring, ttl = time_left(self, self.grant)
        self.push(Push(refresh=Refresh(expires=expiring, ttl=ttl)))

    # How it ends.

    @property
    def is_leaving(self) -> bool:
        """Whether it has gone, or is being closed."""
        return self.is_gone or self._farewell is not None

    def disconnect(self, why: Disconnect) -> None:
        """Close the connection, in the words of the protocol."""
        self.close(Close(why.code, why.reason))

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        self._too_slow(self.listens_to, 0)

    def no_pong(self) -> None:
        """Close the connection of a client that gives no sign of life."""
        self._end_at_once(Close(codes.NO_PONG.code, codes.NO_PONG.reason))

    def _too_slow(self, channel: str, missed: int) -> None:
        self.factory.activity.evicted(self.peer, channel, missed)
        self._end_at_once(close_codes.SLOW_READER)

    def _end_at_once(self, close: Close) -> None:
        self.stop_listening()  # it would not read the rest
        self.close(close)
        self._end_if_finished()

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far."""
        if self._farewell is not None or self.is_gone:
            return
        self._farewell = _IN_ITS_WORDS.get(
            close._replace(come_back=None), Disconnect(close.code, close.reason)
        )
        self.queue.clear()
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
        super().leave(code, reason)
        self.queue.stop()

    def _stop_timers(self) -> None:
        self.pings.stop()
        if self._connect_timer is not None:
            self._connect_timer.cancel()

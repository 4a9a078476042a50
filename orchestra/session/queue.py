"""The commands that a session was sent: when each is performed, and when nothing more is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred

from orchestra.connection.turns import COSTLY, SLICE
from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.codec import BadCommandError
from orchestra.dialects.centrifuge.schema import Command
from orchestra.session import commands
from orchestra.session.publishing import publish, publish_burst, publishes_at_once

if TYPE_CHECKING:
    from orchestra.session.session import Session

MUCH = 64 * 1024
"""How many bytes of replies are collected before they are sent."""

MAX_BEGINNING = 64 * 1024
"""How many bytes of commands are read at once before the client is let in: what is in them takes
time, and nobody knows who it is."""

MAX_CALLS = 16
"""How many calls of a client are answered at a time."""

COMMANDS: dict[str, Callable[[Session, Any], Awaitable[Any]]] = {
    "connect": commands.connect,
    "subscribe": commands.subscribe,
    "unsubscribe": commands.unsubscribe,
    "publish": publish,
    "presence": commands.presence,
    "presence_stats": commands.presence_stats,
    "history": commands.history,
    "ping": commands.ping,
    "send": commands.send,
    "rpc": commands.rpc,
    "refresh": commands.refresh,
    "sub_refresh": commands.sub_refresh,
}
"""Those that are spoken, by their names in a command."""


class CommandQueue:
    """The commands of a session, which are performed one after the other.

    While one of them is being decided on, or the replies to earlier ones have not been read, the
    next ones wait, and nothing more is read from the client. So whatever a client asks for, what
    it makes the server keep is bounded.

    What each command does is in :mod:`orchestra.session.commands` and
    :mod:`orchestra.session.publishing`; how replies are sent is for the session to say.
    """

    __slots__ = (
        "_awaited",
        "_calls",
        "_commands",
        "_has_turn",
        "_held",
        "_is_waiting",
        "_session",
        "is_working",
    )

    def __init__(self, session: Session) -> None:
        self._session = session
        self._commands: deque[Command] = deque()
        self._awaited: Deferred[None] | None = None  # on a command, while that takes time
        self._calls: set[Deferred[None]] = set()  # that are not answered yet
        self._held = 0  # for how many reasons nothing is to be performed
        self._has_turn = self._is_waiting = False
        self.is_working = False
        """Whether it is performing, and sends the replies after that."""

    def __len__(self) -> int:
        """How many commands wait."""
        return len(self._commands)

    @property
    def is_deciding(self) -> bool:
        """Whether a command is being decided on."""
        return self._awaited is not None

    @property
    def is_held(self) -> bool:
        """Whether nothing is read from the client, or nothing performed, for now."""
        return bool(self._is_waiting or self._held)

    def received(self, *frames: bytes) -> None:
        """Perform the commands that the client has sent.

        :param frames: with commands; those that came together.
        """
        session = self._session
        session.pings.heard()
        if session.is_leaving:
            return
        started = session.factory.turns.seconds()
        bad = None
        try:
            if not session.is_connected and sum(map(len, frames)) > MAX_BEGINNING:
                raise BadCommandError(f"until it is connected, {MAX_BEGINNING} bytes at the most")
            for frame in frames:
                self._commands.extend(session.codec.decode(frame))
        except BadCommandError as error:
            bad = replace(codes.BAD_FRAME, reason=str(error))
        self.work(started)
        if bad is not None:
            session.disconnect(bad)

    def perform(self, command: Command) -> None:
        """Perform a command, after those that came before."""
        self._commands.append(command)
        self.work()

    def hold(self) -> None:
        """Perform nothing more, until :meth:`release` is called as many times."""
        self._held += 1

    def release(self) -> None:
        """Go on with what the client has sent."""
        self._held -= 1
        self.work()

    def clear(self) -> None:
        """Forget what waits: nothing more is performed."""
        self._commands.clear()
        self._wait(False)

    def stop(self) -> None:
        """Forget all of it: the client is gone."""
        self._commands.clear()
        for decision in (*([self._awaited] if self._awaited else []), *self._calls):
            decision.cancel()

    def work_on(self) -> None:
        """Go on with the commands that wait, now that it has its turn."""
        self._has_turn = False
        self.work()

    def work(self, started: float = 0.0) -> None:
        """Perform the commands that wait, as far as they may be and there is time.

        :param started: when what belongs to this work has begun, by the reactor's clock; now, by
            default.
        """
        session, waiting = self._session, self._commands
        if self.is_working or session.is_gone:
            return
        if self._has_turn:
            self._wait(bool(waiting))
            return
        self.is_working = True
        turns = session.factory.turns
        started = started or turns.seconds()
        ends = started + SLICE
        try:
            while waiting and self._awaited is None and not self._must_wait:
                command = waiting[0]
                if command.publish is not None and command.id and publishes_at_once(session):
                    publish_burst(session, command.publish.channel, waiting)
                else:
                    waiting.popleft()
                    self._perform(command)
                if session.unsent > MUCH:
                    session.flush()
                now = turns.seconds()
                # What comes next waits as well, if that has taken so long that the others need
                # a rest.
                if (now >= ends and waiting) or now - started > COSTLY:
                    self._has_turn = True
                    turns.wait(self, now - started)
                    break
            session.flush()
        finally:
            self.is_working = False
        self._wait(bool(waiting))

    @property
    def _must_wait(self) -> bool:
        return bool(self._held) or self._session.is_full or len(self._calls) >= MAX_CALLS

    def _wait(self, waits: bool) -> None:
        # Nothing more is read while there are commands that wait.
        session = self._session
        if waits and not self._is_waiting:
            self._is_waiting = True
            session.read_no_more()
        elif self._is_waiting and not waits:
            self._is_waiting = False
            session.pings.heard()  # what it sent meanwhile comes now
            if not session.is_gone:
                session.read_on()

    def _perform(self, command: Command) -> None:
        session = self._session
        name = next((name for name in COMMANDS if getattr(command, name) is not None), None)
        if name is None and not command.id and session.is_connected:
            return  # a pong, whose coming says it all
        if session.is_refused:
            return  # it was sent before the client knew
        if name is None or (name == "connect") is session.is_connected:
            session.disconnect(codes.BAD_FRAME)
        elif not command.id and name != "send":
            session.disconnect(replace(codes.BAD_FRAME, reason="a command must have an id"))
        else:
            answering = Deferred.fromCoroutine(_answer(session, command, name))
            if name == "rpc":
                self._call(answering)
            else:
                self._wait_for(answering)

    def _wait_for(self, decision: Deferred[None]) -> None:
        if not decision.called:
            self._awaited = decision

            def go_on(_: object) -> None:
                self._awaited = None
                self.work()

            decision.addBoth(go_on)

    def _call(self, call: Deferred[None]) -> None:
        # Others go on while it is being answered, unless there are too many.
        if not call.called:
            self._calls.add(call)

            def go_on(_: object) -> None:
                self._calls.discard(call)
                self.work()

            call.addBoth(go_on)


async def _answer(session: Session, command: Command, name: str) -> None:
    # Performs a command, and replies to it, whatever comes of it.
    try:
        result = await COMMANDS[name](session, getattr(command, name))
        if command.id and not session.is_gone:
            session.answer(command.id, name, result)
    except Exception as error:
        # It may have left before it was decided; and what is cancelled then does not matter.
        if not (session.is_gone or (session.is_leaving and isinstance(error, CancelledError))):
            session.refuse(command.id, error)
            if name == "connect":
                session.not_connected()

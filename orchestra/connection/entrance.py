"""The entrance: who is let in, first to the server and then to a channel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from orchestra.policy.access import AccessRequest
from orchestra.policy.addresses import address_of
from orchestra.policy.grants import EVERYTHING, HISTORY, PUBLISH, SUBSCRIBE, Grant
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings
from orchestra.urls import Target, parse_target

if TYPE_CHECKING:
    from orchestra.connection.channel_client import ChannelClient
    from orchestra.connection.client import Client
    from orchestra.websocket.factory import OrchestraFactory


class Entrance:
    """Lets clients in, or raises :class:`orchestra.RefusedError`.

    It asks those who decide: for origins and addresses the factory's admission, for grants its
    access. It takes in nobody itself; :meth:`OrchestraFactory.register` does.
    """

    def __init__(self, factory: OrchestraFactory) -> None:
        self._factory = factory

    def whose(
        self, peer: IAddress | None, shown: str, headers: Mapping[str, str]
    ) -> tuple[str, str]:
        """Whose request it is, while any are served.

        :param peer: the other end of the connection.
        :param shown: the same for the log.
        :param headers: of the request, by their names in lower case.
        :returns: an address, and the same for the log: it is what a proxy tells, if one does.
        :raises RefusedError: if none are served any more, or a trusted proxy forwards what cannot
            be understood.
        """
        self.check_accepting()
        nearest = address_of(peer)
        address = self._factory.admission.address(nearest, headers)
        return address, shown if address == nearest else address

    def greet(self, client: Client, headers: Mapping[str, str]) -> str:
        """Look at where a client comes from.

        :param headers: of its request, by their names in lower case.
        :returns: its address.
        :raises RefusedError: if it may not come in.
        """
        # The log has it as well, should the client be refused.
        address, client.peer = self.whose(client.transport.getPeer(), client.peer, headers)
        self._factory.admission.check(headers)
        return address

    def admit(
        self, client: ChannelClient, headers: Mapping[str, str], uri: str
    ) -> Deferred[None] | None:
        """Let a client in that wants to listen to one channel.

        :param headers: of its request, by their names in lower case.
        :param uri: the request's target.
        :returns: a Deferred, if who may come in is not decided at once.
        :raises RefusedError: if it may not come in; a Deferred may fail with it, too.
        """
        address = self.greet(client, headers)
        target = parse_target(uri)
        access = self._factory.access
        if access.is_open:
            self.seat(client, address, target, EVERYTHING)
            return None
        request = AccessRequest("GET", target.channel, address, uri, headers)
        grant = access.connect(request)
        admitted: Deferred[Any] | None
        if isinstance(grant, Deferred):
            admitted = grant.addCallback(partial(self._admit, client, address, target))
        else:
            admitted = self._admit(client, address, target, grant)
        # Meanwhile others may have taken the last place.
        return None if admitted is None else admitted.addCallback(lambda _: self.check_room())

    def _admit(
        self, client: ChannelClient, address: str, target: Target, grant: Grant
    ) -> Deferred[None] | None:
        grant.check(SUBSCRIBE, target.channel)
        decision = self._factory.access.subscribe(grant, target.channel)
        if decision is not None:
            return decision.addCallback(lambda _: self.seat(client, address, target, grant))
        self.seat(client, address, target, grant)
        return None

    def seat(self, client: ChannelClient, address: str, target: Target, grant: Grant) -> None:
        """Give a client that may listen a place in its channel.

        :param address: whose it is.
        :param grant: what it may do.
        :raises RefusedError: if there is none, or it wants more than it may have.
        """
        self.welcome(client, grant)
        if target.last or target.since is not None:
            grant.check(HISTORY, target.channel)
        client.may_publish = grant.allows(PUBLISH, target.channel)
        settings = self._factory.settings(target.channel)
        if settings is not self._factory.defaults:
            client.may_publish &= self._factory.may_publish(address, settings)
            self.check_channel(target.channel, settings)
        self.count(client, address)
        client.target = target

    def welcome(self, client: Client, grant: Grant) -> None:
        """Note what a client may do, which is known now.

        :raises RefusedError: if it is too late.
        """
        self.check_accepting(client.is_gone)  # both may have changed since it came
        grant.check_time(self._factory.hub.wall_clock)
        client.grant = grant
        if grant.identity is not None:
            client.identity = grant.identity

    def count(self, client: Client, address: str) -> None:
        """Count a client among the connections of its address, unless it is already.

        :raises RefusedError: if there are as many as there may be.
        """
        if client.address is None and self._factory.admission.enter(address):
            client.address = address

    def check_channel(self, channel: str, settings: ChannelSettings) -> None:
        """Make sure that there may be one more client in a channel.

        :param settings: the channel's.
        :raises RefusedError: if there are as many as there may be.
        """
        if 0 < (settings.max_connections or 0) <= len(self._factory.hub.presence(channel)):
            raise RefusedError(503, "the channel is full", kind="channel_full")

    def check_accepting(self, is_gone: bool = False) -> None:
        """Make sure that clients are let in.

        :param is_gone: whether the one that wants to come in has gone already.
        :raises RefusedError: if they are not.
        """
        if is_gone or not self._factory.accepting:
            raise RefusedError(503, "the server is shutting down", kind="shutting_down")

    def check_room(self) -> None:
        """Make sure that there may be one more client.

        :raises RefusedError: if there are as many as there may be.
        """
        if self._factory.is_full:
            raise RefusedError(503, "the server is full")

"""Who has a name and a password may come in; twisted.cred checks both."""

import os
from base64 import b64decode

from twisted.application.service import Application
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from zope.interface import implementer

from orchestra import (
    AccessRequest,
    Capability,
    Grant,
    Hub,
    OrchestraFactory,
    OrchestraService,
    Policy,
    RefusedError,
)


@implementer(IRealm)
class Realm:
    """Says what whoever has logged in may do: to cred it is that, and not a person."""

    def requestAvatar(self, avatarId, mind, *interfaces):
        name = avatarId.decode()
        allow = {"sub", "pub", "hst"} if name == "conductor" else {"sub"}
        capability = Capability(("*",), frozenset(allow), wildcard=True)
        return Grant, Grant(identity=name, capabilities=(capability,)), lambda: None


class Passwords(Policy):
    """Asks for a name and a password (RFC 7617), and has a portal look at them."""

    challenge = 'Basic realm="orchestra"'

    def __init__(self, portal):
        self._portal = portal

    def __str__(self):
        return "names and passwords"

    async def connect(self, request: AccessRequest) -> Grant:
        _, _, text = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = b64decode(text).partition(b":")
        except ValueError:
            raise RefusedError(400, "the header Authorization is malformed") from None
        try:
            _, grant, _ = await self._portal.login(UsernamePassword(name, password), None, Grant)
        except UnauthorizedLogin:
            raise RefusedError(401, "the name or the password is wrong") from None
        return grant


checker = InMemoryUsernamePasswordDatabaseDontUse(conductor=b"baton", oboe=b"reed")
factory = OrchestraFactory(Hub(), policy=Passwords(Portal(Realm(), [checker])))

application = Application("passwords")
service = OrchestraService(factory, "tcp:" + os.environ.get("PORT", "8080"))
service.setServiceParent(application)

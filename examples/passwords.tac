"""Who has a name and a password may come in; twisted.cred checks both."""

import os
from base64 import b64decode

from twisted.application.service import Application
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from zope.interface import implementer

from orchestra import Capability, Grant, OrchestraFactory, OrchestraService, Policy, RefusedError

LISTEN = Capability(("*",), frozenset({"sub"}), wildcard=True)


@implementer(IRealm)
class Realm:
    """Says what each of them may do: the conductor everything, the others only listen."""

    def requestAvatar(self, name, mind, *interfaces):
        may = None if name == b"conductor" else (LISTEN,)
        return Grant, Grant(name.decode(), capabilities=may), lambda: None


class Passwords(Policy):
    """Takes a name and a password from the request (RFC 7617), and asks a portal."""

    challenge = 'Basic realm="orchestra"'

    def __init__(self, portal):
        self.portal = portal

    async def connect(self, request):
        _, _, text = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = b64decode(text).partition(b":")
            _, grant, _ = await self.portal.login(UsernamePassword(name, password), None, Grant)
        except (ValueError, UnauthorizedLogin):
            raise RefusedError(401, "the name or the password is wrong") from None
        return grant


checker = InMemoryUsernamePasswordDatabaseDontUse(conductor=b"baton", oboe=b"reed")
factory = OrchestraFactory(policy=Passwords(Portal(Realm(), [checker])))

application = Application("passwords")
service = OrchestraService(factory, "tcp:" + os.environ.get("PORT", "8080"))
service.setServiceParent(application)

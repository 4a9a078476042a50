"""Each has a channel, in which nobody else plays, and may listen in all."""

import os

from twisted.application.service import Application

from orchestra import Grant, OrchestraFactory, OrchestraService, Policy, RefusedError


class Rules(Policy):
    def connect(self, request):
        return Grant(identity=request.query("name"))

    def publish(self, grant, channel, content):
        if channel != grant.identity:
            raise RefusedError(403, "only its owner plays in this channel")


factory = OrchestraFactory(policy=Rules())
application = Application("rules")
OrchestraService(factory, "tcp:" + os.environ.get("PORT", "8080")).setServiceParent(application)

"""A server with settings of its own: twistd --nodaemon --python orchestra.tac"""

import os

from twisted.application.service import Application

from orchestra import Hub, OrchestraFactory, OrchestraService, Retention

hub = Hub(Retention(messages=100, age=60))
factory = OrchestraFactory(hub, prefix="")
service = OrchestraService(factory, "tcp:" + os.environ.get("PORT", "8080"), grace=5)

application = Application("orchestra")
service.setServiceParent(application)

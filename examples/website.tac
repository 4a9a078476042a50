"""A web site with an orchestra at /live: twistd --nodaemon --python website.tac"""

import os

from twisted.application import service, strports
from twisted.web.server import Site
from twisted.web.static import Data

from orchestra import OrchestraFactory, OrchestraResource, OrchestraService

factory = OrchestraFactory()
root = Data(b"The orchestra plays at /live.\n", "text/plain")
root.putChild(b"", root)
root.putChild(b"live", OrchestraResource(factory))

application = service.Application("website")
strports.service("tcp:" + os.environ.get("PORT", "8080"), Site(root)).setServiceParent(application)
OrchestraService(factory).setServiceParent(application)  # sees the clients off at the end

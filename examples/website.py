"""A web site with an orchestra at /live: python website.py"""

import os

from twisted.internet import endpoints, reactor
from twisted.web.server import Site
from twisted.web.static import Data

from orchestra import OrchestraFactory, OrchestraResource, OrchestraService

factory = OrchestraFactory()
site = Data(b"The orchestra plays at /live.\n", "text/plain")
site.putChild(b"", site)
site.putChild(b"live", OrchestraResource(factory))

service = OrchestraService(factory)  # without an endpoint: sees the clients off at the end
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoints.serverFromString(reactor, "tcp:" + os.environ.get("PORT", "8080")).listen(Site(site))
reactor.run()

"""A page that plays in an orchestra: twistd --nodaemon --python tutorial.tac"""

import os
from pathlib import Path

from twisted.application import service, strports
from twisted.web.server import Site
from twisted.web.static import File

from orchestra import OrchestraFactory, OrchestraResource, OrchestraService

factory = OrchestraFactory()
page = File(Path(__file__).with_name("tutorial.html"))
page.putChild(b"", page)
page.putChild(b"live", OrchestraResource(factory))

application = service.Application("tutorial")
strports.service("tcp:" + os.environ.get("PORT", "8080"), Site(page)).setServiceParent(application)
OrchestraService(factory).setServiceParent(application)

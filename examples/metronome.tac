"""A service of one's own that plays along: twistd --nodaemon --python metronome.tac"""

import os
from itertools import count

from twisted.application.internet import TimerService
from twisted.application.service import Application

from orchestra import Hub, OrchestraService

hub = Hub()
beats = count(1)
metronome = TimerService(0.5, lambda: hub.publish("main", b"beat %d" % next(beats)))

application = Application("metronome")
metronome.setServiceParent(application)
OrchestraService(hub, "tcp:" + os.environ.get("PORT", "8080")).setServiceParent(application)

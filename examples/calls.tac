"""Answers what clients call, and plays what they send: twistd --nodaemon --python calls.tac"""

import os

from twisted.application.service import Application

from orchestra import Hub, OrchestraFactory, OrchestraService, RefusedError

TEMPI = {"largo": 50, "andante": 90, "presto": 180}
hub = Hub()


async def tempo(caller, data):
    if str(data) not in TEMPI:
        raise RefusedError(400, "there is no such tempo")
    return TEMPI[data]


def applaud(caller, data):
    hub.publish("applause", str(data).encode(), publisher=caller.client)


factory = OrchestraFactory(hub, rpc={"tempo": tempo}, on_message=applaud)
application = Application("calls")
OrchestraService(factory, "tcp:" + os.environ.get("PORT", "8080")).setServiceParent(application)

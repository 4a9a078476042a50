"""Code that listens and answers: twistd --nodaemon --python answer.tac"""

import os

from twisted.application.service import Application

from orchestra import Hub, Message, OrchestraService

hub = Hub()


def answer(message: Message) -> None:
    if message.payload == b"A":
        hub.publish("main", b"the oboe gives an A")


hub.subscribe("main", answer)
application = Application("answer")
OrchestraService(hub, "tcp:" + os.environ.get("PORT", "8080")).setServiceParent(application)

"""Two services that play together through a server: twistd --nodaemon --python duet.tac"""

import os
from itertools import cycle

from twisted.application.internet import TimerService
from twisted.application.service import Application, MultiService

from orchestra.client import OrchestraClient, Received

SERVER = os.environ.get("ORCHESTRA", "http://localhost:8080/")
CHORDS = {b"C4": b"C E G", b"E4": b"E G B", b"G4": b"G B D", b"A4": b"A C E"}


class Soloist(MultiService):
    """Plays a phrase note by note, over and over."""

    def __init__(self) -> None:
        super().__init__()
        self.phrase = cycle(CHORDS)
        self.client = OrchestraClient(SERVER)
        self.client.setServiceParent(self)
        TimerService(0.5, self.play).setServiceParent(self)

    def play(self) -> None:
        self.client.publish("solo", next(self.phrase))


class Accompanist(MultiService):
    """Answers each note with its chord."""

    def __init__(self) -> None:
        super().__init__()
        self.client = OrchestraClient(SERVER)
        self.client.setServiceParent(self)
        self.client.subscribe("solo", self.answer)

    def answer(self, note: Received) -> None:
        if note.payload in CHORDS:
            self.client.publish("accompaniment", CHORDS[note.payload])


application = Application("duet")
Soloist().setServiceParent(application)
Accompanist().setServiceParent(application)

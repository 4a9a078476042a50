"""Makes ``orchestra`` a command of twistd and of ``python -m twisted``."""

from twisted.application.service import ServiceMaker

orchestra = ServiceMaker(
    "Orchestra",
    "orchestra.tap",
    "A real-time broadcast server for WebSocket clients.",
    "orchestra",
)

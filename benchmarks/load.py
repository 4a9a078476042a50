"""The load client. It runs as a process of its own: ``python -m benchmarks.load JOB``.

A job is a JSON object: ``do`` names one of the functions here, ``port`` and ``pid`` are the
server's, the rest are the function's arguments. The result is printed as JSON.

It is built to cost far less than any server: sockets are polled, and what comes is counted in
bytes, for all messages of a run have the same size. Only samples of it are looked at.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benchmarks import sdk
from benchmarks.system import allow_open_files, cores, cpu, memory
from benchmarks.wire import STAMP, Stamped, age, frame, frame_size, handshake, masked

PATIENCE = 10.0
"""How long nothing may happen, in seconds, before a job gives up."""

STALL_LIMIT = 60.0
"""How long a player may take among stalled readers, in seconds, before it is left at that."""

PAUSE = 0.001
"""How long one waits between messages who only wants to know how long they take, in seconds."""

AT_ONCE = 64
"""How many handshakes may be under way at the same time."""

QUEUE = 4000
"""How many may wait to be let in when all come at once. The servers' queues are a little longer:
whoever finds one full is not heard by the kernel for a second, which is no server's doing."""

_PORTS_PER_ADDRESS = 20_000


class Client:
    """One connection: what it has sent and received, and what it could not send yet."""

    def __init__(self, port: int, number: int, waits: bool = True, path: str = "/") -> None:
        """
        :param number: chooses the address, since one has not ports for all.
        :param waits: whether to wait for the connection and ask for the handshake.
        :param path: of the URL.
        """
        self.port = port
        self._path = path
        address = f"127.0.0.{1 + number // _PORTS_PER_ADDRESS}"
        if waits:
            self.socket = socket.create_connection((address, port), timeout=PATIENCE)
            self.ask()
        else:
            self.socket = socket.socket()
            self.socket.setblocking(False)
            self.socket.connect_ex((address, port))
        self.answer = b""  # to the handshake
        self.sent = 0  # messages
        self.received = 0  # bytes
        self.messages: Stamped | sdk.Commands | None = None  # what it plays, if it does
        self.echoed = 0  # of those that it has sent
        self.rest = b""

    def ask(self) -> None:
        """Send the client's side of the handshake."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(handshake(self.port, self._path))

    def shaken(self) -> None:
        """Wait for the server's side of the handshake."""
        while not self.take_answer():
            pass
        self.socket.setblocking(False)

    def take_answer(self) -> bool:
        """Receive of the server's side of the handshake, behind which nothing comes by itself.

        :returns: whether that was all of it.
        """
        more = self.socket.recv(4096)
        self.answer += more
        if more and not self.answer.endswith(b"\r\n\r\n"):
            return False
        if not self.answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"refused: {self.answer[:60]!r}")
        return True

    def play(self, count: int = 1) -> None:
        """Send so many messages, stamped now."""
        assert self.messages is not None, "it has nothing to play"
        self.sent += count
        self.send(self.messages.frame(count))

    def send(self, data: bytes) -> None:
        """Send frames, or as much of them as the socket takes now."""
        self.rest += data
        with suppress(BlockingIOError):
            self.rest = self.rest[self.socket.send(self.rest) :]


def join(port: int, count: int, path: str = "/") -> list[Client]:
    """Connect so many clients, with no more than :data:`AT_ONCE` handshakes under way."""
    clients: list[Client] = []
    for number in range(count):
        clients.append(Client(port, number, path=path))
        if number >= AT_ONCE:
            clients[number - AT_ONCE].shaken()
    for client in clients[-AT_ONCE:]:
        client.shaken()
    return clients


def rush(port: int, count: int) -> list[Client]:
    """Connect so many clients, all at once, as far as they can wait: up to :data:`QUEUE`."""
    poll = select.epoll()
    clients: list[Client] = []
    waiting: dict[int, Client] = {}

    def come(number: int) -> None:
        client = Client(port, number, waits=False)
        clients.append(client)
        waiting[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLOUT)

    for number in range(min(count, QUEUE)):
        come(number)
    while waiting:
        ready = poll.poll(PATIENCE, count)
        if not ready:
            raise TimeoutError(f"{len(waiting)} clients are not let in")
        for fd, event in ready:
            if event & select.EPOLLOUT:
                waiting[fd].ask()
                poll.modify(fd, select.EPOLLIN)
            elif waiting[fd].take_answer():
                poll.unregister(fd)
                del waiting[fd]
                if len(clients) < count:
                    come(len(clients))
    return clients


class Crowd:
    """Many clients that hear everything, of whom the first few play."""

    def __init__(self, port: int, clients: int, players: int, size: int) -> None:
        """
        :param size: bytes of payload of each message.
        """
        self.clients = self._join(port, clients)
        self.players = self.clients[:players]
        for number, player in enumerate(self.players):
            player.messages = self._messages(size, chr(ord("A") + number))
        self._size = size
        self._buffer = memoryview(bytearray(1 << 20))
        self._by_fd = {client.socket.fileno(): client for client in self.clients}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        # One in so many is looked at; the players are not special.
        self._sampled = set(list(self._by_fd)[:: max(1, clients // 50)])
        self.ages: list[float] = []
        self.reply = 0
        """How many bytes a message is as the server sends it."""
        self._calibrate()

    def _join(self, port: int, count: int) -> list[Client]:
        return join(port, count)

    def _messages(self, size: int, letter: str) -> Stamped | sdk.Commands:
        return Stamped(size, letter.encode())

    def _calibrate(self) -> None:
        # By a first message, which everybody hears.
        self.players[0].play()
        heard = b""
        self.clients[0].socket.setblocking(True)
        while not (size := frame_size(heard)) or len(heard) < size:
            heard += self.clients[0].socket.recv(65536)
        self.clients[0].socket.setblocking(False)
        self.clients[0].received = len(heard)
        deadline = time.monotonic() + PATIENCE
        while any(client.received < size for client in self.clients):
            if time.monotonic() > deadline:
                raise TimeoutError("not everybody heard the first message")
            self.hear(0.1)
        for client in self.clients:
            client.sent = client.received = 0
        self.reply = size

    def push(self) -> None:
        """Send what players could not send before."""
        for player in self.players:
            if player.rest:
                player.send(b"")

    def hear(self, timeout: float) -> bool:
        """Receive what there is.

        Of some clients, the age of the last whole message in each piece received is kept.

        :param timeout: seconds to wait for something.
        :returns: whether there was anything.
        """
        ready = self._poll.poll(timeout, len(self.clients))
        for fd, _ in ready:
            client = self._by_fd[fd]
            try:
                size = client.socket.recv_into(self._buffer)
            except BlockingIOError:
                continue
            if not size:
                raise ConnectionError("the server has closed a connection")
            waited = self._heard(client, fd, size)
            if waited is not None:
                self.ages.append(waited)
        return bool(ready)

    def _heard(self, client: Client, fd: int, size: int) -> float | None:
        # So many bytes are in the buffer. If it is sampled, the age of the last message is told.
        if self.reply and client.messages is not None:
            first = (self.reply - self._size - client.received) % self.reply
            marks = bytes(self._buffer[first : size : self.reply])
            client.echoed += marks.count(client.messages.mark)
        client.received += size
        if self.reply and fd in self._sampled:
            end = size - client.received % self.reply
            if end >= STAMP:
                return age(bytes(self._buffer[end - STAMP : end]))
        return None

    def deliveries(self) -> float:
        """How many messages have been heard, by all clients together."""
        return sum([client.received for client in self.clients]) / self.reply


class SdkCrowd(Crowd):
    """A crowd that speaks the Centrifuge protocol, as SDKs do. It makes sure that each of them
    hears every message."""

    def _join(self, port: int, count: int) -> list[Client]:
        clients = join(port, count, sdk.PATH)
        for client in clients:
            client.send(sdk.greeting())
        for client in clients:
            client.socket.settimeout(PATIENCE)
            heard = b""
            while sdk.SUBSCRIBED not in heard:
                more = client.socket.recv(4096)
                if not more:
                    raise ConnectionError(f"not subscribed: {heard[-60:]!r}")
                heard += more
            client.socket.setblocking(False)
        return clients

    def _messages(self, size: int, letter: str) -> Stamped | sdk.Commands:
        return sdk.Commands(size, letter)

    def _calibrate(self) -> None:
        self._so_far = {fd: sdk.Heard() for fd in self._by_fd}
        self.players[0].play()
        self.wait_for(1)
        for heard in self._so_far.values():
            heard.expect_all()

    def wait_for(self, offset: int) -> None:
        """Receive until everybody has heard the message at an offset.

        :raises TimeoutError: if it takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while silent := sum([heard.offset < offset for heard in self._so_far.values()]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{silent} clients did not hear message {offset}")
            self.hear(0.1)

    def _heard(self, client: Client, fd: int, size: int) -> float | None:
        heard, piece = self._so_far[fd], self._buffer[:size]
        if client.messages is not None:
            # A mark may have begun in the piece before.
            begun = heard.tail[1 - len(client.messages.mark) :]
            client.echoed += b"".join((begun, piece)).count(client.messages.mark)
        heard.take(piece)
        return heard.age() if fd in self._sampled else None

    def deliveries(self) -> float:
        """How many messages have been heard, by all clients together."""
        return sum([heard.offset for heard in self._so_far.values()])

    def finish(self) -> None:
        """Make sure that everybody hears all that was played.

        :raises TimeoutError: if somebody does not.
        """
        while any(player.rest for player in self.players):
            self.push()
            self.hear(0.01)
        self.wait_for(sum([player.sent for player in self.players]))
        for player in self.players:
            if player.echoed != player.sent:
                raise sdk.MissedError(f"{player.sent} sent, {player.echoed} of them heard")


def percentile(values: list[float], share: float) -> float | None:
    """The value that so large a share of them does not exceed; ``None`` of nothing."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def latency(ages: list[float]) -> dict[str, float | None]:
    """What is told of the samples of a run, in milliseconds."""
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    found = {name: percentile(ages, share) for name, share in shares.items()}
    return {name: None if value is None else value * 1000 for name, value in found.items()}


def saturated(
    port: int, pid: int, clients: int, players: int, window: int, size: int, seconds: float
) -> dict[str, float | None]:
    """As much as the server can do: each player keeps some of its own messages in flight.

    :param window: messages of its own that a player has in flight.
    :param seconds: how long is measured, after a fifth of it for warming up.
    """
    return saturate(Crowd(port, clients, players, size), pid, window, seconds)


def sdk_saturated(
    port: int, pid: int, clients: int, players: int, window: int, size: int, seconds: float
) -> dict[str, float | None]:
    """The same in the Centrifuge protocol; and in the end everybody must have heard everything."""
    crowd = SdkCrowd(port, clients, players, size)
    values = saturate(crowd, pid, window, seconds)
    crowd.finish()
    return values


def saturate(crowd: Crowd, pid: int, window: int, seconds: float) -> dict[str, float | None]:
    """Have each player of a crowd keep some of its own messages in flight."""

    def run(until: float) -> None:
        while time.monotonic() < until:
            for player in crowd.players:
                if missing := window - (player.sent - player.echoed):
                    player.play(missing)
            crowd.push()
            if not crowd.hear(PATIENCE):
                raise TimeoutError("the server went silent with messages on their way")

    run(time.monotonic() + seconds / 5)
    crowd.ages.clear()
    deliveries, start = crowd.deliveries(), time.monotonic()
    used, own = cpu(pid), time.process_time()
    run(start + seconds)
    elapsed, delivered = time.monotonic() - start, crowd.deliveries() - deliveries
    used, own = cpu(pid) - used, time.process_time() - own
    return {
        "deliveries_per_s": delivered / elapsed or None,
        "cpu_us_per_delivery": used * 1e6 / delivered if delivered else None,
        "core_percent": used / elapsed * 100,
        "load_core_percent": own / elapsed * 100,
        **latency(crowd.ages),
    }


def paced(
    port: int, pid: int, clients: int, players: int, rate: float, size: int, seconds: float
) -> dict[str, float | None]:
    """A steady load.

    :param rate: messages a second, of all players together.
    """
    crowd = Crowd(port, clients, players, size)
    used, start, sent = cpu(pid), time.monotonic(), 0
    total = int(rate * seconds)
    deadline = start + seconds + min(seconds, PATIENCE)
    while (now := time.monotonic()) < deadline:
        for _ in range(min(int((now - start) * rate), total) - sent):
            crowd.players[sent % players].play()
            sent += 1
        crowd.push()
        crowd.hear(0.001)
        if sent == total and crowd.deliveries() >= total * clients:
            break
    delivered = crowd.deliveries()
    return {
        "delivered": delivered / (total * clients),
        "cpu_us_per_delivery": (cpu(pid) - used) * 1e6 / delivered if delivered else None,
        **latency(crowd.ages),
    }


def connections(port: int, pid: int, clients: int) -> dict[str, float | None]:
    """Clients that join and then do nothing."""
    join(port, AT_ONCE)  # which are gone at once: the first connections cost more than others
    time.sleep(0.3)
    used, held = cpu(pid), memory(pid)
    joined = join(port, clients)
    time.sleep(0.3)
    return {
        "cpu_us_per_connection": (cpu(pid) - used) * 1e6 / len(joined),
        "kib_per_connection": (memory(pid) - held) / 1024 / len(joined),
    }


def storm(port: int, pid: int, clients: int, size: int) -> dict[str, float | None]:
    """Clients that are all cut off at once, and all come back at once.

    They are back when each has received a message.

    :param size: bytes of payload of that.
    """
    cut = Crowd(port, clients, 1, size).clients  # each of which has heard a message
    used, start = cpu(pid), time.monotonic()
    for client in cut:
        client.socket.close()
    back = rush(port, clients)
    silent = {client.socket.fileno(): client for client in back}
    poll = select.epoll()
    for fd in silent:
        poll.register(fd, select.EPOLLIN)
    message = frame(b"x" * size)
    deadline = time.monotonic() + PATIENCE
    while silent:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(silent)} clients heard nothing")
        back[0].send(message)  # again, where one can be let in before it is subscribed
        while silent and (ready := poll.poll(1.0, clients)):
            for fd, _ in ready:
                if not silent[fd].socket.recv(65536):
                    raise ConnectionError("the server has closed a connection")
                poll.unregister(fd)
                del silent[fd]
    return {
        "back_s": time.monotonic() - start,
        "cpu_us_per_reconnect": (cpu(pid) - used) * 1e6 / clients,
    }


def stalled(
    port: int, pid: int, readers: int, megabytes: float, size: int, window: int
) -> dict[str, float | None]:
    """A player that plays a great deal, with readers that never read.

    :param readers: how many there are.
    :param size: bytes of payload of each message.
    :param window: messages that the player has in flight.
    """
    silent = join(port, readers)
    for client in silent:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    player = Client(port, 0)
    player.shaken()
    message = frame(b"x" * size)
    total = int(megabytes * 1e6 / size)
    before = peak = memory(pid)
    buffer = bytearray(1 << 20)
    start = last = time.monotonic()
    while player.received < total * size:
        now = time.monotonic()
        if now - last > PATIENCE or now - start > STALL_LIMIT:
            break
        while player.sent < total and not player.rest:
            if player.sent - player.received // size >= window:
                break
            player.sent += 1
            player.send(message)
        wants = [player.socket] if player.rest else []
        readable, writable, _ = select.select([player.socket], wants, [], 0.05)
        if writable:
            player.send(b"")
        if readable:
            received = player.socket.recv_into(buffer)
            if not received:
                break
            player.received += received
            last = time.monotonic()
        peak = max(peak, memory(pid))
    elapsed = last - start
    finished = player.received >= total * size
    return {
        "growth_mib": (peak - before) / 2**20,
        "seconds": elapsed if finished else None,
    }


def round_trip(port: int, pid: int, size: int, seconds: float) -> dict[str, float | None]:
    """One client, one message at a time."""
    client = Client(port, 0)
    client.shaken()
    waited = trips(client, size, seconds)
    steady = waited[len(waited) // 5 :]
    return {
        f"{name}_us": None if value is None else value * 1e6
        for name, value in {
            "p50": percentile(steady, 0.5),
            "p99": percentile(steady, 0.99),
        }.items()
    }


def trips(client: Client, size: int, seconds: float, pause: float = 0.0) -> list[float]:
    """Send messages, each after the one before has come back.

    :param size: bytes of payload of each.
    :param pause: seconds between them.
    :returns: how long each took, in seconds.
    """
    client.socket.setblocking(True)
    client.socket.settimeout(PATIENCE)
    waited: list[float] = []
    messages = Stamped(size, b"x")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sent = messages.frame()
        stamp = masked(sent[-STAMP:])
        start = time.perf_counter()
        client.socket.sendall(sent)
        heard = client.socket.recv(65536)
        while stamp not in heard:  # others may be heard before it
            more = client.socket.recv(65536)
            if not more:
                raise ConnectionError("the server has closed the connection")
            heard = heard[-STAMP:] + more
        waited.append(time.perf_counter() - start)
        if pause:
            time.sleep(pause)
    return waited


def attacked(port: int, pid: int, kind: str, size: int, seconds: float) -> dict[str, float | None]:
    """How long others wait for their echo while somebody is hostile.

    :param kind: one of :data:`benchmarks.attacks.ATTACKS`.
    :param seconds: how long is measured before the attack, and again in the midst of it.
    """
    client = Client(port, 0)
    client.shaken()
    trips(client, size, seconds / 5)
    quiet = percentile(trips(client, size, seconds, PAUSE), 0.5)
    before = memory(pid)
    command = [sys.executable, "-m", "benchmarks.attacks", kind, str(port), str(STALL_LIMIT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None
        try:
            if not attacker.stdout.readline():
                raise ConnectionError("the attack could not begin")
            trips(client, size, seconds / 5, PAUSE)
            noisy = percentile(trips(client, size, seconds, PAUSE), 0.5)
            grown = memory(pid) - before
        finally:
            attacker.kill()
    return {
        "times_quiet": noisy / quiet if noisy and quiet else None,
        "growth_mib": grown / 2**20,
    }


def idle(port: int, pid: int, clients: int, seconds: float) -> dict[str, float | None]:
    """Clients that only answer pings."""
    by_fd = {client.socket.fileno(): client for client in join(port, clients)}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    pings = 0
    used, start = cpu(pid), time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        for fd, _ in poll.poll(left, clients):
            ping = by_fd[fd].socket.recv(4096)
            if not ping:
                raise ConnectionError("the server has closed a connection")
            if ping[0] == 0x89:
                by_fd[fd].send(frame(ping[2 : frame_size(ping)], opcode=10))
                pings += 1
    return {
        "core_percent": (cpu(pid) - used) / seconds * 100,
        "pings_per_s": pings / seconds,
    }


JOBS: dict[str, Callable[..., dict[str, float | None]]] = {
    job.__name__: job
    for job in (
        saturated,
        sdk_saturated,
        paced,
        connections,
        storm,
        stalled,
        round_trip,
        idle,
        attacked,
    )
}


def main(text: str) -> None:
    """Do a job and print what came of it."""
    job: dict[str, Any] = json.loads(text)
    allow_open_files()
    os.sched_setaffinity(0, cores()[1])
    try:
        result: dict[str, Any] = JOBS[job.pop("do")](**job)
    except (OSError, TimeoutError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

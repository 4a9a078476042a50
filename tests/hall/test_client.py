"""The hall's client against a WebSocket, a clock and a chance that do what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

STAGE = """async () => {
    const { Client } = await import("/hall/x/client.js")
    const { Socket, sockets, Timers } = await import("/fakes.js")
    const timers = new Timers()
    class Server extends Socket {
        send(text) {
            if (!this.isOpen) events.push(["too early"]) // browsers would throw
            this.sent.push(...text.split("\\n").map(line => JSON.parse(line)))
        }
        say(...replies) { this.hear(replies.map(reply => JSON.stringify(reply)).join("\\n")) }
        // Answer the last command of a kind.
        answer(name, result) {
            const { id } = this.sent.findLast(command => name in command)
            this.say({ id, ...(result.error ? result : { [name]: result }) })
        }
    }
    const told = (name, event) => { events.push([name, event]); stage.then?.(name, event) }
    window.sockets = sockets
    window.events = []
    window.stage = {
        random: 0,
        then: null,
        get left() { return timers.pending.size },
        advance(ms) { timers.advance(ms) },
        of(kind) { return events.filter(([name]) => name === kind).map(([, event]) => event) },
        // The server lets it in.
        open(result = {}) {
            const socket = sockets.at(-1)
            socket.open()
            socket.answer("connect", { client: "me", ping: 25, pong: true, ...result })
            return socket
        },
        // And answers the commands by which it subscribes.
        enter(result = { recoverable: true, epoch: "e" }, end = { epoch: "e" }) {
            const socket = this.open()
            if (socket.sent.some(command => command.history)) socket.answer("history", end)
            socket.answer("subscribe", result)
            return socket
        },
    }
    const handlers = Object.fromEntries(
        ["open", "subscribed", "publication", "join", "leave", "cut", "refused"]
            .map(name => ["on" + name, event => told(name, event)]))
    window.client = new Client({
        url: "ws://x/", channel: "c", token: "t", handlers,
        WebSocket: Server, random: () => stage.random, timers,
    })
    window.push = (push) => ({ push: { channel: "c", ...push } })
    window.pub = (data, offset) => ({ data, offset, info: { client: "you" } })
    window.fate = promise => promise.then(
        value => ["done", value],
        error => [error.name, error.code, error.message, error.temporary])
    client.connect()
}"""


@pytest.fixture
def stage(hall: Page) -> Page:
    """A page with a client that has begun to connect."""
    hall.evaluate(STAGE)
    return hall


def play(stage: Page, script: str, argument: Any = None) -> Any:
    """What a script returns; then the client is closed, and no timer and no listener stays."""
    found = stage.evaluate(f"async argument => {{ {script} }}", argument)
    left = stage.evaluate(
        """() => {
            client.close()
            const count = sockets.length
            for (const kind of ["online", "pageshow", "pagehide"]) dispatchEvent(new Event(kind))
            document.dispatchEvent(new Event("visibilitychange"))
            const open = sockets.filter(one => one.onmessage)
            return [stage.left, sockets.length - count, open.length]
        }"""
    )
    assert left == [0, 0, 0]
    return found


def test_backoff(hall: Page) -> None:
    """The wait is any from 200 ms up to twice as much with each failure, and 20 s at the most; it
    is short again after a reset."""
    waits = hall.evaluate(
        """async () => {
            const { Backoff } = await import("/hall/x/backoff.js")
            const waits = value => {
                const backoff = new Backoff(() => value)
                const found = Array.from({ length: 2000 }, () => backoff.next())
                backoff.reset()
                return [...found.slice(0, 9), Math.max(...found), backoff.next()]
            }
            return [0, 0.5, 1].map(waits)
        }"""
    )
    longest = [400, 800, 1600, 3200, 6400, 12800, 20000, 20000, 20000, 20000, 400]
    assert waits == [[200] * 11, [(wait + 200) / 2 for wait in longest], longest]


def test_it_comes_in(stage: Page) -> None:
    """It says its token, subscribes to be able to come back, and tells of each step."""
    found = play(
        stage,
        """
        const before = [...events]
        const socket = stage.enter()
        return { before, url: socket.url, sent: socket.sent, events, count: sockets.length }
        """,
    )
    assert found == {
        "before": [],
        "url": "ws://x/",
        "sent": [
            {"id": 1, "connect": {"name": "hall", "token": "t"}},
            {"id": 2, "subscribe": {"channel": "c", "recoverable": True, "join_leave": True}},
        ],
        "events": [
            ["open", {"client": "me"}],
            ["subscribed", {"recovered": False, "wasRecovering": False, "missed": 0}],
        ],
        "count": 1,
    }


def test_it_tries_again(stage: Page) -> None:
    """After each attempt it waits longer, by chance; after it was subscribed, it begins anew."""
    counts, delays = play(
        stage,
        """
        stage.random = 1
        const counts = []
        for (const delay of [400, 800]) {
            sockets.at(-1).end(1006)
            stage.advance(delay - 1)
            counts.push(sockets.length)
            stage.advance(1)
            counts.push(sockets.length)
        }
        stage.open()
        sockets.at(-1).end(1006)
        stage.advance(1600)
        stage.enter().end(1001, "away")
        client.connect()
        counts.push(sockets.length)
        client.retry()
        client.retry()
        counts.push(sockets.length)
        return [counts, stage.of("cut")]
        """,
    )
    assert counts == [1, 2, 2, 3, 4, 5]
    assert delays == [
        *[{"code": 1006, "reason": "", "delay": delay} for delay in (400, 800, 1600)],
        {"code": 1001, "reason": "away", "delay": 400},
    ]


@pytest.mark.parametrize("how", ["close frame", "push"])
def test_how_connections_end(stage: Page, how: str) -> None:
    """It comes back unless the code says that this is in vain."""
    found = play(
        stage,
        """
        return [3500, 3999, 4500, 4999, 1009, 1000, 1006, 1011, 3000, 3499, 4000, 4499, 5000].map(
            code => {
                client.connect()
                const socket = stage.enter()
                events.length = 0
                const count = sockets.length
                const disconnect = { code, reason: "why" }
                if (argument === "push") socket.say({ push: { disconnect } })
                else socket.end(code, "why")
                stage.advance(100000)
                dispatchEvent(new Event("online"))
                const found = [socket.isClosed, sockets.length > count, events[0]]
                client.close()
                return found
            })
        """,
        how,
    )
    final = [{"code": code, "reason": "why"} for code in (3500, 3999, 4500, 4999, 1009)]
    others = [1000, 1006, 1011, 3000, 3499, 4000, 4499, 5000]
    cuts = [{"code": code, "reason": "why", "delay": 200} for code in others]
    assert found == [
        *([True, False, ["refused", event]] for event in final),
        *([True, True, ["cut", event]] for event in cuts),
    ]


@pytest.mark.parametrize("command", ["connect", "subscribe"])
def test_how_it_is_refused(stage: Page, command: str) -> None:
    """An error that is temporary is one more failed attempt; any other one is the end, until it is
    asked to connect again, maybe with another token."""
    found = play(
        stage,
        """
        const error = { code: 100, message: "later", temporary: true }
        const begin = () => {
            if (argument === "connect") sockets.at(-1).open()
            else stage.open()
            sockets.at(-1).answer(argument, { error })
        }
        begin()
        stage.advance(200)
        Object.assign(error, { code: 103, message: "no", temporary: undefined })
        begin()
        stage.advance(100000)
        const count = sockets.length
        client.token = "u"
        client.connect()
        const socket = stage.enter()
        return [count, events.filter(([kind]) => kind !== "open"), socket.sent[0].connect.token]
        """,
        command,
    )
    assert found == [
        2,
        [
            ["cut", {"code": 100, "reason": "later", "delay": 200}],
            ["refused", {"code": 103, "reason": "no"}],
            ["subscribed", {"recovered": False, "wasRecovering": False, "missed": 0}],
        ],
        "u",
    ]


def test_a_silent_connection(stage: Page) -> None:
    """It is cut 5 s after there should have been a ping; all that is heard puts that off."""
    found = play(
        stage,
        """
        const socket = stage.enter()
        const silent = []
        for (const say of [() => socket.say({}), () => socket.say(push({ pub: pub(1, 1) }))]) {
            stage.advance(29999)
            silent.push(events.length)
            say()
        }
        const fates = [fate(client.publish(1)), fate(client.rpc("x"))]
        stage.advance(29999)
        silent.push(socket.isClosed)
        stage.advance(1)
        return [silent, socket.isClosed, events.at(-1), await Promise.all(fates)]
        """,
    )
    silent = {"code": 0, "reason": "the server says nothing", "delay": 200}
    cut = ["CallError", 0, "the line was cut", True]
    assert found == [[2, 2, False], True, ["cut", silent], [cut, cut]]


def test_a_connection_without_pings(stage: Page) -> None:
    """If the server sends none, it may be silent for as long as it likes."""
    found = play(
        stage,
        """
        const socket = stage.open({ ping: 0, pong: false })
        socket.answer("subscribe", {})
        stage.advance(1e9)
        socket.say({})
        return [socket.isClosed, socket.sent.length]
        """,
    )
    assert found == [False, 2]


def test_what_takes_too_long(stage: Page) -> None:
    """To open, to connect and to subscribe may take 10 s, whatever else is heard meanwhile."""
    found = play(
        stage,
        """
        const begins = [
            () => {},
            () => sockets.at(-1).open(),
            () => stage.open(),
            () => stage.enter().say(push({ unsubscribe: { code: 2500, reason: "" } })),
        ]
        return begins.map(begin => {
            begin()
            const socket = sockets.at(-1)
            for (let i = 0; i < 9; i++) { stage.advance(1000); socket.say({}) }
            stage.advance(999)
            const found = [socket.isClosed]
            stage.advance(1)
            found.push(socket.isClosed, stage.of("cut").length)
            client.retry()
            return found
        })
        """,
    )
    assert found == [[False, True, count] for count in (1, 2, 3, 4)]


def test_pings_are_answered(stage: Page) -> None:
    """By an empty command, if the server needs that."""
    found = play(
        stage,
        """
        const socket = stage.enter()
        socket.say({}, {})
        return socket.sent.slice(2)
        """,
    )
    assert found == [{}, {}]


def test_commands(stage: Page) -> None:
    """Each has an answer of its own, whatever their order; without a connection they fail at once,
    and so do those that are still waited for when that is cut or closed."""
    found = play(
        stage,
        """
        const early = await fate(client.publish(1))
        const socket = stage.enter()
        const calls = [
            client.publish({ a: 1 }), client.rpc("m", [1]), client.presence(), client.history(2),
            client.rpc("none"), client.rpc("broken"),
        ].map(fate)
        const sent = socket.sent.slice(2)
        const ids = sent.map(({ id }) => id)
        const error = { code: 111, message: "slowly", temporary: true }
        const refusal = { code: 108 }
        socket.say({ id: ids[5], error }, { id: ids[4], error: refusal }, { id: 4711, rpc: {} })
        socket.say(
            { id: ids[3], history: { publications: [{ data: null, offset: 2 }, pub(1, 1)] } },
            { id: ids[2], presence: { presence: { me: { client: "me", user: "ann" } } } })
        socket.say({ id: ids[1], rpc: { data: "r" } }, { id: ids[0], publish: {} })
        const [published, called, present, history, ...failed] = await Promise.all(calls)
        const cut = [fate(client.presence())]
        socket.end(1006)
        cut.push(fate(client.presence()))
        client.retry()
        stage.enter()
        cut.push(fate(client.presence()))
        client.close()
        return {
            early, sent: sent.map(({ id, ...command }) => command), published, called,
            present: [...present[1]], history: history[1], failed, cut: await Promise.all(cut),
        }
        """,
    )
    nobody = ["CallError", 0, "not connected", True]
    assert found == {
        "early": nobody,
        "sent": [
            {"publish": {"channel": "c", "data": {"a": 1}}},
            {"rpc": {"method": "m", "data": [1]}},
            {"presence": {"channel": "c"}},
            {"history": {"channel": "c", "limit": 2, "reverse": True}},
            {"rpc": {"method": "none"}},
            {"rpc": {"method": "broken"}},
        ],
        "published": ["done", None],
        "called": ["done", "r"],
        "present": [["me", {"client": "me", "user": "ann"}]],
        "history": [
            {"data": 1, "info": {"client": "you"}, "offset": 1},
            {"data": None, "info": None, "offset": 2},
        ],
        "failed": [
            ["CallError", 108, "", False],
            ["CallError", 111, "slowly", True],
        ],
        "cut": [
            ["CallError", 0, "the line was cut", True],
            nobody,
            ["CallError", 0, "the client was closed", True],
        ],
    }


def test_what_was_missed(stage: Page) -> None:
    """It comes back to the last message that it has heard. It is told first that it has recovered,
    and how many messages that is; then come those, of the reply and after it, each marked."""
    found = play(
        stage,
        """
        stage.enter({ recoverable: true, epoch: "e", offset: 3 })
            .say(push({ pub: pub("a", 4) }), push({ pub: pub("b", 5) }))
        sockets.at(-1).end(1006)
        client.retry()
        events.length = 0
        const socket = stage.open()
        const reply = { recoverable: true, epoch: "e", offset: 5, was_recovering: true,
            recovered: true, publications: [pub("c", 6), pub("d", 7)] }
        const [history, subscribe] = socket.sent.slice(1)
        socket.say({ id: history.id, history: { epoch: "e", offset: 8 } })
        socket.say({ id: subscribe.id, subscribe: reply },
            push({ pub: pub("e", 8) }), push({ pub: pub("f", 9) }))
        const { subs } = socket.sent[0].connect
        socket.end(1006)
        client.retry()
        const { id, ...last } = stage.open().sent.at(-1)
        return { subs, history, subscribe, last, events: events.slice(1, -2) }
        """,
    )
    position = {"recover": True, "epoch": "e", "offset": 5}
    wishes = {"channel": "c", "recoverable": True, "join_leave": True}
    assert found == {
        "subs": {"c": position},
        "history": {"id": 2, "history": {"channel": "c"}},
        "subscribe": {"id": 3, "subscribe": {**wishes, **position}},
        "last": {"subscribe": {**wishes, **position, "offset": 9}},
        "events": [
            ["subscribed", {"recovered": True, "wasRecovering": True, "missed": 3}],
            *(
                [
                    "publication",
                    {
                        "data": data,
                        "offset": offset,
                        "info": {"client": "you"},
                        "recovered": offset < 9,
                    },
                ]
                for offset, data in enumerate("cdef", 6)
            ),
        ],
    }


@pytest.mark.parametrize("how", ["no past", "another epoch", "no history"])
def test_what_is_lost(stage: Page, how: str) -> None:
    """It goes on from where the server says, if it may; what comes then is new."""
    found = play(
        stage,
        """
        const first = { recoverable: argument !== "no past", epoch: "e", offset: 3 }
        stage.enter(first).end(1006)
        client.retry()
        events.length = 0
        const second = { recoverable: argument !== "no past", epoch: "f", offset: 7 }
        const end = argument === "no history" ? { error: { code: 103 } } : second
        const socket = stage.enter(second, end)
        const { recover = false, epoch, offset } = socket.sent.at(-1).subscribe
        socket.say(push({ pub: pub("a", 8) }))
        socket.end(1006)
        client.retry()
        const next = stage.open().sent.at(-1).subscribe
        const [[, subscribed], [, { recovered }]] = events.slice(1, 3)
        return [recover, epoch, offset, subscribed, recovered, next.epoch, next.offset]
        """,
        how,
    )
    subscribed = {"recovered": False, "wasRecovering": True, "missed": 0}
    if how == "no past":
        assert found == [False, None, None, subscribed, False, None, None]
    else:
        assert found == [True, "e", 3, subscribed, False, "f", 8]


def test_one_that_the_server_gives(stage: Page) -> None:
    """If it hears the channel by the reply to connect, it does not ask for it."""
    found = play(
        stage,
        """
        const given = { recoverable: true, epoch: "e", offset: 1 }
        const first = stage.open({ subs: { c: given, d: given } })
        first.say(push({ pub: pub("a", 2) }))
        first.end(1006)
        client.retry()
        events.length = 0
        const again = { ...given, offset: 2, recovered: true, publications: [pub("b", 3)] }
        const second = stage.open({ subs: { c: again } })
        const counts = [first.sent.length, second.sent.length]
        return [counts, second.sent[0].connect.subs, events.slice(1)]
        """,
    )
    missed = {"data": "b", "offset": 3, "info": {"client": "you"}, "recovered": True}
    assert found == [
        [1, 1],
        {"c": {"recover": True, "epoch": "e", "offset": 2}},
        [
            ["subscribed", {"recovered": True, "wasRecovering": True, "missed": 1}],
            ["publication", missed],
        ],
    ]


@pytest.mark.parametrize(("code", "comes_back"), [(2000, 0), (2499, 0), (2500, 1), (2501, 1)])
def test_the_server_unsubscribes_it(stage: Page, code: int, comes_back: bool) -> None:
    """It subscribes again on the same connection, from where it was, or takes it for a refusal."""
    found = play(
        stage,
        """
        const socket = stage.enter()
        socket.say(push({ pub: pub("a", 1) }),
            push({ unsubscribe: { code: argument, reason: "why" } }))
        const sent = socket.sent.slice(2).map(({ id, ...command }) => command)
        if (sent.length) socket.answer("subscribe", { recoverable: true, epoch: "f", offset: 9 })
        socket.say(push({ pub: pub("b", 10) }))
        return [sent, events.slice(3).map(([kind]) => kind), socket.isClosed, sockets.length]
        """,
        code,
    )
    position = {"recover": True, "epoch": "e", "offset": 1}
    wishes = {"channel": "c", "recoverable": True, "join_leave": True}
    if comes_back:
        sent = [{"history": {"channel": "c"}}, {"subscribe": {**wishes, **position}}]
        assert found == [sent, ["subscribed", "publication"], False, 1]
    else:
        assert found == [[], ["refused"], True, 1]


def test_what_is_pushed(stage: Page) -> None:
    """Several replies may come in a message. Those of other channels, and those that nobody knows,
    are nothing; a handler that fails is reported, and the others go on."""
    found = play(
        stage,
        """
        const errors = []
        window.onerror = message => errors.push(message)
        stage.then = name => { if (name === "publication") throw new Error("mine") }
        const socket = stage.open()
        const { id } = socket.sent.at(-1)
        const you = { info: { client: "you" } }
        const replies = [
            { id, subscribe: {} }, { id, subscribe: {} },
            push({ join: you }), { push: { channel: "d", join: you } }, push({ pub: pub(1, 1) }),
            push({ message: {} }), { id: 4711 }, push({ leave: you }), push({ pub: {} }),
        ]
        socket.hear(replies.map(reply => JSON.stringify(reply)).join("\\n") + "\\n\\n")
        return [events.slice(2), errors, socket.sent.length]
        """,
    )
    you = {"client": "you"}
    assert found == [
        [
            ["join", you],
            ["publication", {"data": 1, "offset": 1, "info": you, "recovered": False}],
            ["leave", you],
            ["publication", {"data": None, "offset": 0, "info": None, "recovered": False}],
        ],
        ["Uncaught Error: mine"] * 2,
        2,
    ]


def test_what_is_not_understood(stage: Page) -> None:
    """A connection that says no JSON, or nothing in an object, is cut; what came before counts."""
    found = play(
        stage,
        """
        return ["{", "\\u0000", "5", "null", "\\"\\""].map(text => {
            const socket = stage.enter({})
            events.length = 0
            socket.hear(JSON.stringify(push({ pub: pub(1, 1) })) + "\\n" + text + "\\n{}")
            const found = [socket.isClosed, events.map(([kind, event]) => [kind, event.reason])]
            client.retry()
            return found
        })
        """,
    )
    cut = ["cut", "the server says what is not understood"]
    assert found == [[True, [["publication", None], cut]]] * 5


@pytest.mark.parametrize("event", ["open", "subscribed", "publication", "cut", "refused"])
def test_whoever_is_told_may_close(stage: Page, event: str) -> None:
    """Nothing more is heard then, and nothing is tried."""
    found = play(
        stage,
        """
        stage.then = (name, event) => { if (name === argument) client.close() }
        const socket = sockets.at(-1)
        socket.open()
        const { id } = socket.sent[0]
        const publications = [pub(1, 1), pub(2, 2)]
        socket.say({ id, connect: { subs: { c: { recovered: true, publications } } } },
            push({ pub: pub(3, 3) }), push({ unsubscribe: { code: 2000, reason: "" } }))
        if (argument === "cut") { client.connect(); sockets.at(-1).end(1006) }
        stage.advance(100000)
        return [events.at(-1)[0], stage.of("publication").length, sockets.length]
        """,
        event,
    )
    heard = {"open": 0, "subscribed": 0, "publication": 1, "cut": 3, "refused": 3}[event]
    assert found == [event, heard, 1 + (event == "cut")]


def test_the_page_and_its_network(stage: Page) -> None:
    """When there may be a way again it is tried at once; when there may be none any more, the
    server has 5 s to answer. Who leaves the page leaves the connection, and who comes back has
    another one."""
    found = play(
        stage,
        """
        let visibility = "visible"
        Object.defineProperty(
            document, "visibilityState", { get: () => visibility, configurable: true })
        const happens = (kind, value = "visible") => {
            visibility = value
            const target = kind === "visibilitychange" ? document : window
            target.dispatchEvent(new Event(kind))
        }
        const steps = []
        const step = () => steps.push([sockets.length, events.splice(0).map(([kind]) => kind)])
        for (const kind of ["online", "pageshow", "visibilitychange"]) {
            sockets.at(-1).end(1006)
            happens("visibilitychange", "hidden")
            step()
            happens(kind)
            happens(kind) // while it connects
            step()
        }
        const socket = stage.enter()
        happens("online")
        const probe = socket.sent.at(-1)
        stage.advance(4999)
        socket.answer("ping", {})
        stage.advance(29999)
        step()
        happens("online")
        stage.advance(4999)
        step()
        stage.advance(1)
        step()
        client.retry()
        const left = stage.enter()
        happens("pagehide")
        happens("visibilitychange", "hidden")
        stage.advance(100000)
        client.retry()
        client.connect()
        const last = events.at(-1)
        step()
        happens("pageshow")
        step()
        delete document.visibilityState
        return [steps, probe.ping, left.isClosed, last]
        """,
    )
    assert found == [
        [
            *[[1, ["cut"]], [2, []], [2, ["cut"]], [3, []], [3, ["cut"]], [4, []]],
            [4, ["open", "subscribed"]],
            [4, []],
            [4, ["cut"]],
            [5, ["open", "subscribed", "cut"]],
            [6, []],
        ],
        {},
        True,
        ["cut", {"code": 1001, "reason": "the page was left", "delay": 0}],
    ]

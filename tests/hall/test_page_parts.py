"""Parts of the hall's page, each alone: who plays with it and what time it is are given to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIME = """
const time = {now: 1e6, timers: new Map(), last: 0, frames: []};
const now = () => time.now;
window.setTimeout = (callback, ms = 0) => {
  time.last += 1;
  time.timers.set(time.last, {callback, at: time.now + Math.max(0, ms)});
  return time.last;
};
window.clearTimeout = id => void time.timers.delete(id);
window.requestAnimationFrame = callback => time.frames.push(callback);
const frame = () => { for (const callback of time.frames.splice(0)) callback(); };
const pass = async ms => {
  const until = time.now + ms;
  for (;;) {
    for (let turn = 0; turn < 20; turn += 1) await null;
    const [id, timer] = [...time.timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
    if (id === undefined || timer.at > until) break;
    time.now = timer.at;
    time.timers.delete(id);
    timer.callback();
  }
  time.now = until;
};
const said = [];
const noting = (name, ...methods) => Object.fromEntries(
  methods.map(method => [method, (...given) => said.push([name, method, ...given])]));
"""
"""Time that passes when it is told to, and a list of what was said to whom."""


def run(page: Page, body: str, given: object = None) -> Any:
    """What a function's body returns, where time stands still."""
    return page.evaluate(f"async given => {{ {TIME} {body} }}", given)


# What is played by others

STAGE = """
const {Ensemble} = await import('/hall/x/ensemble.js');
const ensemble = new Ensemble({
  sound: noting('sound', 'on', 'off', 'silence'), seats: noting('seats', 'on', 'off', 'dark'),
  score: noting('score', 'on', 'off', 'end'), now,
  clock: {isKnown: true, toLocal: at => at},
});
const hear = (kind, at, note = 'C4') =>
  ensemble.hear('ann', {kind, note, instrument: 'flute', at: 1e6 + at, loud: 0.8});
const when = (name, method) => said.filter(one => one[0] === name && one[1] === method)
  .map(one => one.at(method === 'on' && name === 'sound' ? -2 : -1) - 1e6);
"""


@pytest.mark.parametrize("late", [0, 900, 1100, 5000])
def test_an_end_is_never_too_late(hall: Page, late: int) -> None:
    """However late it is: nothing is heard, lit or drawn any more."""
    body = """hear('on', 100); await pass(500 + given); hear('off', 500); await pass(50);
    return said.filter(one => one[1] === 'off').map(one => one.slice(0, 2).join(' '))"""
    assert run(hall, STAGE + body, late) == ["sound off", "seats off", "score off"]


def test_an_end_is_after_the_begin(hall: Page) -> None:
    """Also if it says otherwise, because a clock was set meanwhile."""
    body = """hear('on', 100); hear('off', 40); await pass(200);
    return said.map(one => one.slice(0, 2).join(' ')).concat(when('sound', 'off'))"""
    assert run(hall, STAGE + body) == [
        *("sound on", "sound off", "seats on", "score on", "seats off", "score off"),
        160,
    ]


def test_what_is_too_late_is_only_drawn(hall: Page) -> None:
    """In its places, each note up to its own end."""
    body = """await pass(5000);
    for (const at of [0, 1000, 2000]) { hear('on', at); hear('off', at + 500); }
    return [when('score', 'on'), when('score', 'off'), said.some(one => one[1] === 'on'
      && one[0] !== 'score')]"""
    assert run(hall, STAGE + body) == [[0, 1000, 2000], [500, 1500, 2500], False]


def test_a_note_that_begins_anew_is_not_ended_by_the_former(hall: Page) -> None:
    """Though both say that they are at about the same time."""
    body = """hear('on', 0); hear('off', 300); hear('on', 200); await pass(1000);
    return said.filter(one => one[0] === 'seats').map(one => one[1])"""
    assert run(hall, STAGE + body) == ["on", "on"]


@pytest.mark.parametrize("end", ["leave('ann')", "silence(['ann'])"])
def test_who_has_left_does_not_begin(hall: Page, end: str) -> None:
    """What was to come is neither heard nor seen."""
    body = f"""hear('on', 500); ensemble.{end}; await pass(1000);
    return said.filter(one => one[1] === 'on' || one[1] === 'silence').map(one => one[1])"""
    found = run(hall, STAGE + body)
    assert found[0] == "on"
    assert set(found[1:]) == {"silence"}


# What is played here

DESK = """
const {Player} = await import('/hall/x/player.js');
const {CallError} = await import('/hall/x/client.js');
const published = [], alone = [];
const answers = given.map(one => one && new CallError(one[0], one[1], one[2]));
const client = {async publish(message) {
  published.push([Object.keys(message)[0], time.now - 1e6]);
  const error = answers.shift();
  if (error) throw error;
}};
const player = new Player({
  client, now, sound: noting('sound', 'on', 'off'), clock: {toServer: at => at},
  onplay() {}, onalone: error => alone.push(error.message),
});
"""
MANY = [111, "too many requests", True]
NOT_ALLOWED = [103, "permission denied", False]
NO_CONNECTION = [0, "not connected", True]


def test_an_end_that_was_refused_is_said_again(hall: Page) -> None:
    """Each half a second, until it is taken, and a few times at the most."""
    body = "player.on('C4', 1); player.off('C4'); await pass(10000); return [published, alone]"
    published, alone = run(hall, DESK + body, [None, MANY, MANY])
    assert published == [["on", 0], ["off", 0], ["off", 500], ["off", 1000]]
    assert alone == ["too many requests"] * 2
    published, _ = run(hall, DESK + body, [None, *[MANY] * 50])
    assert published == [["on", 0], *(["off", at] for at in range(0, 2500, 500))]


@pytest.mark.parametrize("error", [NOT_ALLOWED, NO_CONNECTION], ids=str)
def test_an_end_that_will_not_be_taken_is_said_once(hall: Page, error: list[Any]) -> None:
    """Who may not play is told so; where there is no line, the page says that already."""
    body = "player.on('C4', 1); player.off('C4'); await pass(9000); return [published, alone]"
    published, alone = run(hall, DESK + body, [error, error])
    assert published == [["on", 0], ["off", 0]]
    assert alone == ([error[1]] * 2 if error[0] else [])


def test_a_begin_is_not_said_again(hall: Page) -> None:
    """It would be out of time. But it is told that nobody hears it."""
    body = "player.on('C4', 1); await pass(9000); return [published, alone]"
    assert run(hall, DESK + body, [MANY]) == [[["on", 0]], ["too many requests"]]


def test_a_note_that_has_begun_anew_is_not_ended(hall: Page) -> None:
    """The end of the former is not said again."""
    body = """player.on('C4', 1); player.off('C4'); await pass(200); player.on('C4', 1);
    await pass(9000); return published"""
    published = run(hall, DESK + body, [None, MANY])
    assert published == [["on", 0], ["off", 0], ["on", 200]]


# Who is there

HERE = """
const {Musicians} = await import('/hall/x/musicians.js');
const musicians = new Musicians();
const here = () => [...musicians.here.values()].map(one => one.isMe ? 'me' : one.client);
"""


def test_who_moves_while_it_is_asked_who_is_there(hall: Page) -> None:
    """The answer may be read late: then they come or leave after it."""
    body = """for (const client of ['old', 'gone']) musicians.join({client});
    musicians.ask();
    musicians.join({client: 'new'}); musicians.leave({client: 'left'});
    musicians.join({client: 'back'}); musicians.leave({client: 'back'});
    musicians.join({client: 'back'});
    musicians.set(['old', 'left', 'other'].map(client => ({client})));
    const first = here(); musicians.set([{client: 'old'}]);
    return [first, here()]"""
    assert run(hall, HERE + body) == [["old", "other", "new", "back"], ["old"]]


def test_where_nobody_may_know_who_is_there_one_is_there_once(hall: Page) -> None:
    """After each cut under another id."""
    body = """for (const client of ['a', 'b', 'c']) {
      musicians.addOwnId(client); musicians.ask(); musicians.set([{client}]);
    }
    return here()"""
    assert run(hall, HERE + body) == ["me"]


def test_names_that_are_given_are_cleaned(hall: Page) -> None:
    """Those of the application as those of seats; who has none is a plain line."""
    body = """const named = given.map(info => musicians.who({client: 'x', ...info}).name);
    musicians.introduce({client: 'y'}, '', 'flute');
    return [...named, musicians.who({client: 'y'}).name]"""
    infos: list[dict[str, object]] = [
        {"conn_info": {"name": "\u202e Ann\n"}, "user": "x"},
        {"conn_info": {"name": "n" * 30}},
        {"conn_info": {"name": "\u2066"}, "user": " ben "},
        {"conn_info": {"name": 7}},
        {"conn_info": "Ann"},
        {"conn_info": None, "user": ""},
        {},
    ]
    expected = ["Ann", "n" * 23 + "…", "ben", *["plain line"] * 4, "plain line"]
    assert run(hall, HERE + body, infos) == expected


# What is said, and who comes and goes

HOUSE = """
document.body.innerHTML = `<div id=log style="height: 100px; overflow: auto"></div>
  <form id=say-form><input id=say></form>
  <span id=count></span><div id=stage style="width: 900px; height: 300px"><ol id=seats></ol>
  </div>`;
const log = document.getElementById('log');
const lines = () => [...log.children].map(line => line.textContent);
"""


def test_lines_are_shown_once_a_frame(hall: Page) -> None:
    """The last 200 of them, however many there are; whoever reads the end, goes on to read it."""
    body = """const {Programme} = await import('/hall/x/programme.js');
    const programme = new Programme(async () => true);
    const tell = count => { for (let i = 0; i < count; i += 1) programme.tell(`line ${i}`); };
    tell(150); programme.say('x', 'Ann', 'hello'); programme.echo('C4');
    const before = lines().length, asked = time.frames.length; frame();
    const first = [lines().length, ...lines().slice(-2)];
    const end = log.scrollHeight - log.clientHeight - log.scrollTop;
    tell(100); frame(); const then = [lines().length, lines().at(-1)];
    tell(5000); frame(); const last = [lines().length, lines()[0]];
    log.scrollTop = 0; tell(1); frame();
    return [before, asked, first, end, then, last, log.scrollTop, time.frames.length]"""
    before, asked, first, end, then, last, top, due = run(hall, HOUSE + body)
    assert (before, asked, due) == (0, 1, 0)
    assert first == [152, "Ann hello", "Echo: C4"]
    assert end == pytest.approx(0, abs=1)
    assert then == [200, "line 99"]
    assert last == [200, "line 4800"]
    assert top == 0


def test_seats_are_shown_once_a_frame(hall: Page) -> None:
    """All who are there then, and nobody else."""
    body = """const {Seats} = await import('/hall/x/seats.js');
    const seats = new Seats(), here = new Map(), titles = () =>
      [...document.querySelectorAll('#seats li')].map(seat => seat.title);
    const join = client => here.set(client, {client, name: client, instrument: null, isMe: false});
    join('a'); seats.show(here); join('b'); seats.show(here); here.delete('a'); seats.show(here);
    const before = titles(), asked = time.frames.length; frame();
    return [before, asked, titles(), document.getElementById('count').textContent]"""
    assert run(hall, HOUSE + body) == [[], 1, ["b"], "1"]


def test_many_who_come_or_leave_are_summed_up(hall: Page) -> None:
    """A few are told of by name; of more it is told once a second how many they are."""
    body = """const {Door} = await import('/hall/x/door.js');
    const door = new Door(text => said.push([time.now - 1e6, text]));
    door.come('Cid'); for (let i = 0; i < 17; i += 1) door.leave(`${i}`);
    await pass(1500); door.leave('late'); await pass(3000); door.leave('Ann');
    await pass(5000); return said"""
    assert run(hall, body) == [
        [0, "Cid"],
        *([0, f"{number}"] for number in range(5)),
        [1000, "12 more musicians have left."],
        [2000, "One more musician has left."],
        [4500, "Ann"],
    ]


# Where it is, and what time

WHERE = """history.replaceState(null, '', given);
const address = await import('/hall/x/address.js');
return [address.channel(), address.urlOf(address.channel())]"""


@pytest.mark.parametrize(
    ("url", "channel", "path"),
    [
        ("/?token=secret", "main", ""),
        ("/?token=secret#strings", "strings", "strings"),
        ("/#a%2Fb%3Fc", "a/b?c", "a/b%3Fc"),
        ("/#//evil.example/x", "//evil.example/x", "%2F%2Fevil.example%2Fx"),
        ("/#https://evil.example/", "https://evil.example/", "https%3A%2F%2Fevil.example%2F"),
        ("/#%5C%5Cevil.example", "\\\\evil.example", "%5C%5Cevil.example"),
        ("/#../x", "../x", "..%2Fx"),
        ("/#javascript:alert(1)", "javascript:alert(1)", "javascript%3Aalert(1)"),
    ],
)
def test_the_url_of_a_channel(hall: Page, url: str, channel: str, path: str) -> None:
    """It is on this host, decodes to the channel, and has nothing of the page's query."""
    assert hall.evaluate(f"async given => {{ {WHERE} }}", url) == [
        channel,
        f"http://localhost/{path}",
    ]


def test_the_time_is_asked_for_as_long_as_there_is_a_line(hall: Page) -> None:
    """After an answer that fails or is none, too."""
    body = """const {Timekeeper} = await import('/hall/x/timekeeper.js');
    const {CallError} = await import('/hall/x/client.js');
    const times = [null, {time: 'now'}, {}, {time: 5}, {time: 1 / 0}, new CallError(100, 'x'),
      {time: 6}, {time: 7}, new CallError(0, 'cut'), {time: 8}];
    const client = {async rpc() {
      said.push(time.now - 1e6);
      const answer = times.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    }};
    const added = [], clock = {add: (sent, server) => added.push(server), error: 3};
    const known = [];
    const keeper = new Timekeeper({client, clock, now, onknown: error => known.push(error)});
    void keeper.begin(); await pass(60000);
    return [said, added, known]"""
    asked, added, known = run(hall, body)
    assert asked == [0, 100, 200, 300, 400, 500, 600, 10_600, 20_600]
    assert added == [5, 6, 7]
    assert known == [3, 3, 3]


# What index.html has to say as well

LIMITS = """
const html = await (await fetch('/hall/x/index.html')).text();
const page = new DOMParser().parseFromString(html, 'text/html');
const all = {};
for (const field of page.querySelectorAll('input')) {
  const {maxLength, min, max} = field;
  if (field.name === 'instrument') (all.instruments ??= []).push(field.value);
  else all[field.id] = field.type === 'range' ? [Number(min), Number(max)] : maxLength;
}
const {LONGEST_NAME, LONGEST_TEXT} = await import('/hall/x/messages.js');
const {SLOWEST, FASTEST} = await import('/hall/x/tempo.js');
const {INSTRUMENTS} = await import('/hall/x/notes.js');
return [all, {instruments: INSTRUMENTS, name: LONGEST_NAME, say: LONGEST_TEXT,
  tempo: [SLOWEST, FASTEST], volume: [0, 100]}]
"""


def test_fields_have_the_limits_that_the_modules_have(hall: Page) -> None:
    """How long a name and a text may be, how fast the tempo, and which instruments there are."""
    fields, limits = run(hall, LIMITS)
    assert {name: fields[name] for name in limits} == limits

"""What is sent. Each attack goes on until its time is over; some are asked for by many at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from bench.hostile.field import AT_ONCE, Field, Notes
from bench.hostile.mutating import mutated
from bench.hostile.sound import SESSION, TOKEN
from bench.hostile.world import HOSTILE, LOOPS, SIMULATED, TOLD, USER
from routing.gateway.auth import new_key
from tests.support.hostile import NAMES, PATHS, body_of

Attack = Callable[[Field, Notes, Random, float], Awaitable[None]]

CHAT: Final = PATHS["openai_chat"]
SIZES: Final = (200 << 10, 1 << 20, 8 << 20, 31 << 20)
GIB_2: Final = 2 << 30
PATIENCE_S: Final = 20.0


def post(path: str, body: bytes, *lines: str, key: str = HOSTILE) -> bytes:
    shown = (f"authorization: Bearer {key}",) if key else ()
    head = (f"POST {path} HTTP/1.1", "host: localhost", *shown, *lines)
    return "\r\n".join((*head, f"content-length: {len(body)}", "\r\n")).encode() + body


def chat(model: str) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).encode()


# Slow ones


async def slow_heads(field: Field, notes: Notes, rng: Random, until: float) -> None:
    """A head that comes byte by byte."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nx-".encode() + b"a" * 500
    await _drip(field, notes, rng, until, at_once=head[:9], then=head[9:])


async def slow_bodies(field: Field, notes: Notes, rng: Random, until: float) -> None:
    """A body that is said to be long, with a valid key or none, and comes byte by byte."""
    shown = rng.choice((f"authorization: Bearer {HOSTILE}\r\n", ""))
    length = rng.choice(("content-length: 1000000", "transfer-encoding: chunked"))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n{shown}{length}\r\n\r\n"
    body = b"1\r\n \r\n" * 200 if "chunked" in length else b" " * 500
    await _drip(field, notes, rng, until, at_once=head.encode(), then=body)


async def _drip(
    field: Field, notes: Notes, rng: Random, until: float, *, at_once: bytes, then: bytes
) -> None:
    async with field.answering(notes, at_once) as (connection, answer):
        for byte in then:
            connection.writer.write(bytes((byte,)))
            done, _ = await asyncio.wait((answer,), timeout=rng.uniform(0.2, 0.6))
            if done:
                notes.saw(answer.result()[0], "a slow request")
                return
            if time.monotonic() > until:
                break
        notes.answers["left open"] += 1


# Those who are not let in


async def wrong_passwords(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """At the admin's login, of accounts that are there and that are not."""
    name = rng.choice((USER, f"user{rng.randrange(100)}"))
    form = f"csrfmiddlewaretoken={TOKEN}&username={name}&password={rng.random()}&next=/admin/"
    lines = (f"cookie: csrftoken={TOKEN}", "content-type: application/x-www-form-urlencoded")
    raw = post("/admin/login/", form.encode(), *lines, key="")
    await field.ask(notes, raw, what="a wrong password", patience_s=PATIENCE_S)


async def wrong_keys(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """At the API and at inference, of the right form or not; and sessions that nobody has."""
    key = rng.choice((new_key(), f"sy_{rng.getrandbits(160):x}", "x", ""))
    session = f"cookie: sessionid={rng.getrandbits(160):032x}"
    path = rng.choice((CHAT, "/api/providers", "/api/requests?limit=100", "/admin/"))
    lines = (session,) if not key else ()
    raw = post(path, chat("m"), *lines, key=key)
    await field.ask(notes, raw, what=f"a wrong key at {path}", patience_s=PATIENCE_S)


async def two_gib(field: Field, notes: Notes, rng: Random, until: float) -> None:
    """Anonymous bodies of 2 GiB at the admin side, sent for as long as they are taken."""
    path = rng.choice(("/admin/", "/admin/login/", "/api/config/apply", "/api/keys", "/"))
    length = rng.choice((f"content-length: {GIB_2}", "transfer-encoding: chunked"))
    zeros = b"0" * AT_ONCE
    if "chunked" in length:
        zeros = b"%x\r\n%b\r\n" % (AT_ONCE, zeros)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n"
    async with field.answering(notes, head.encode()) as (connection, answer):
        for _ in range(GIB_2 // AT_ONCE):
            if time.monotonic() > until or connection.writer.transport.is_closing():
                break
            connection.writer.write(zeros)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await connection.writer.drain()
            except (OSError, TimeoutError):
                break  # it is not read any more
            notes.mib += len(zeros) / (1 << 20)
        done, _ = await asyncio.wait((answer,), timeout=1)
        if done:
            notes.saw(answer.result()[0], f"2 GiB at {path}")
        else:
            notes.answers["silence"] += 1


# Many at once on one connection


async def pipelined(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Hundreds of requests in one write."""
    sound = post(CHAT, chat(SIMULATED))
    kinds = (
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", 3000), (sound, 300),
        (post(CHAT, chat("nobody"), key="wrong"), 1000),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 100),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx-api-key: %b\r\n\r\n" % HOSTILE.encode(), 500),
    )  # fmt: skip
    one, count = rng.choice(kinds)
    await field.burst(notes, one * count, count, what="a pipelined request")


async def upgrades(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """The same, each offering to change to HTTP/2."""
    offer = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    short = "connection: upgrade\r\nupgrade: h2c\r\n"
    one = f"GET /healthz HTTP/1.1\r\nhost: a\r\n{rng.choice((offer, short))}\r\n".encode()
    await field.burst(notes, one * 3500, 3500, what="an upgrade")


async def crumbs(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Bodies in chunks of a byte, and an endless chunk's head."""
    raw = post(CHAT, b"")[:-4].replace(b"content-length: 0", b"transfer-encoding: chunked")
    body = rng.choice(
        (b"1\r\n \r\n" * 200_000, b"1;" + b"a" * (1 << 20), b"0\r\n" + b"a:b\r\n" * 99_999)
    )
    await field.ask(notes, raw + b"\r\n\r\n" + body, what="crumbs", patience_s=3)


async def hang_ups(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Connections that are reset before, in, and after a request."""
    raw = post(CHAT, json.dumps({**json.loads(chat(SIMULATED)), "stream": True}).encode())
    for _ in range(20):
        notes.sent += 1
        try:
            connection = await field.connect()
            connection.writer.write(raw[: rng.choice((0, 9, len(raw) - 5, len(raw)))])
            await asyncio.sleep(rng.choice((0, 0.001, 0.02)))
            connection.reset()
            notes.answers["left"] += 1
        except OSError:
            notes.answers["no connection"] += 1


# Large and odd ones


async def large_bodies(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Bodies that cost as much to read as can be, of up to 31 MiB."""
    protocol, name, size = rng.choice(list(PATHS)), rng.choice(NAMES), rng.choice(SIZES)
    body = await asyncio.to_thread(body_of, protocol, name, size)
    model = rng.choice((SIMULATED, TOLD))
    body = body.replace(b'"model":"m"', b'"model":"%b"' % model.encode(), 1)
    raw = post(PATHS[protocol].replace("/m:", f"/{model}:"), body)
    what = f"{size >> 10} KiB of {name} by {protocol} for {model}"
    await field.ask(notes, raw, what=what, patience_s=PATIENCE_S)


async def deep_bodies(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """A hundred thousand brackets and more, closed or not."""
    depth = rng.choice((70, 1_000, 100_000, 1_000_000))
    opens, closes = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    deep = opens * depth + b"1" + closes * (depth if rng.random() < 0.7 else 0)
    protocol = rng.choice(list(PATHS))
    sound = body_of(protocol, "short parts", 200)
    name = rng.choice((b',"metadata":', b',"tools":', b',"x":'))
    body = rng.choice((deep, sound[:-1] + name + deep + b"}"))
    path = rng.choice((PATHS[protocol], PATHS[protocol], "/api/explain"))
    await field.ask(notes, post(path, body), what=f"{depth} deep", patience_s=PATIENCE_S)


async def loops(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Models whose provider is this gateway."""
    raw = post(CHAT, chat(rng.choice(LOOPS)))
    await field.ask(notes, raw, what="a loop", patience_s=PATIENCE_S)


async def heads(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """Large and many header fields, at and above what is allowed."""
    fields = rng.choice((
        [("x-a", "a" * (16 << 10))], [("x-a", "a" * (1 << 20))],
        [(f"x-{n}", "a") for n in range(96)],
        [(f"x-{n}", "a") for n in range(5000)], [(f"openai-{n}", "a" * 6000) for n in range(10)],
        [("cookie", "a=b; " * 3000)], [("cookie", "sessionid=" + "a" * 9000)],
        [("x-forwarded-for", "1.2.3.4, " * 1500)], [("authorization", "Bearer " + "a" * 15000)],
        [("via", "1.1 x, " * 2000)], [("accept-language", "en;q=0.1," * 1700)],
        [("x-switchyard-session", "a" * 9000)], [("anthropic-beta", "a," * 7000)],
        [("accept", "text/html;q=0.1," * 900)], [("range", "bytes=" + "0-1," * 3000)],
    ))  # fmt: skip
    lines = [f"{name}: {value}" for name, value in fields]
    path = rng.choice(
        (CHAT, CHAT, "/admin/login/", "/api/providers", "/v1/models?" + "a=b&" * 3000)
    )
    raw = post(path, chat(rng.choice((SIMULATED, TOLD))), *lines)
    await field.ask(notes, raw, what=f"{lines[0][:40]}… at {path[:40]}")


async def methods(field: Field, notes: Notes, rng: Random, _until: float) -> None:
    """HEAD, OPTIONS and methods that nobody speaks, everywhere."""
    method = rng.choice(("HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PATCH", "DELETE",
                         "PUT", "SEARCH", "GET", "get", "FOO", "PRI"))  # fmt: skip
    path = rng.choice((CHAT, "/v1/models", "/healthz", "/readyz", "/metrics", "/", "/admin/", "*",
                       "/admin/login/", "/api/providers", "/api/schema/", "/static/admin/css/x",
                       "http://elsewhere.example/v1/models", "//", "/v1/../admin/"))  # fmt: skip
    shown = rng.choice((f"authorization: Bearer {HOSTILE}\r\n", ""))
    raw = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{shown}\r\n"
    await field.ask(notes, raw.encode(), what=f"{method} {path}", patience_s=PATIENCE_S)


# How many ask for it at once. `mutated` is apart: it goes on beside all the others.
ATTACKS: Final[dict[str, tuple[Attack, int]]] = {
    "slow heads": (slow_heads, 150),
    "slow bodies": (slow_bodies, 200),
    "wrong passwords": (wrong_passwords, 16),
    "wrong keys": (wrong_keys, 24),
    "2 GiB bodies": (two_gib, 4),
    "pipelined": (pipelined, 6),
    "upgrades": (upgrades, 6),
    "crumbs": (crumbs, 6),
    "hang-ups": (hang_ups, 8),
    "large bodies": (large_bodies, 4),
    "deep bodies": (deep_bodies, 4),
    "loops": (loops, 8),
    "heads": (heads, 8),
    "methods": (methods, 16),
}
MUTATED: Final = "mutated"
MUTANTS_AT_ONCE: Final = 64
UNFRAMED_S: Final = 0.5


async def keep_on(field: Field, name: str, seed: int, until: float) -> None:
    """The attack of that name by as many as it takes, until its time is over."""
    attack, at_once = ATTACKS[name]
    notes = field.of(name)

    async def ask(number: int) -> None:
        rng = Random(f"{seed}:{name}:{number}")
        while time.monotonic() < until:
            try:
                await attack(field, notes, rng, until)
            except ConnectionError:
                notes.answers["no connection"] += 1

    await asyncio.gather(*(ask(number) for number in range(at_once)))


async def mutants(field: Field, seed: int, per_second: float, until: float) -> None:
    """Broken requests, from number 0 on, in the order of their numbers."""
    gate = asyncio.Semaphore(MUTANTS_AT_ONCE)
    began = time.monotonic()

    async def ask(number: int) -> None:
        await mutant(field, seed, number)
        gate.release()

    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            due = began + number / per_second
            if due >= until:
                return
            await asyncio.sleep(due - time.monotonic())
            await gate.acquire()
            tasks.create_task(ask(number))


async def mutant(field: Field, seed: int, number: int) -> int:
    """The status that this one is answered with."""
    one = mutated(seed, number)
    raw = one.raw.replace(SESSION, field.session)
    patience_s = PATIENCE_S if one.is_framed else UNFRAMED_S
    what = f"--only mutated --number {number} ({one.how})"
    return (await field.ask(field.of(MUTATED), raw, what=what, patience_s=patience_s))[0]

"""
Benches, pins and the word of edits between hosts by Redis or Valkey: within milliseconds, while it
is there.

A hash holds every bench, and each change of it is published. Scripts compare before they write, so
that no late writer undoes anything. The hash is nobody's only memory: whoever finds that it has
lost what he put in (a restart, a FLUSHALL) puts in all that he knows again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from controlplane.control.hub import Told
from failover.engine.bench_entries import BenchEntry, Place
from routing.gateway.deciding.affinity import PinEntry
from routing.gateway.keylimits.redis import Argument, LuaScript, Redis, RedisAway

if TYPE_CHECKING:
    from controlplane.control.hub import Hub

CALL_S: Final = 2.0  # a server that needs longer is away
RETRY_S: Final = 0.5
LOOK_EVERY_S: Final = 1.0
READ_EVERY_S: Final = 60.0
AT_ONCE: Final = 200
PINS_EVERY_S: Final = 0.05
PINS_AT_ONCE: Final = 2000
BENCHES: Final = b"switchyard:{shared}:benches"
FILLED: Final = b"switchyard:{shared}:filled"
PINS: Final = b"switchyard:{shared}:pins"
PINS_END: Final = b"switchyard:{shared}:pins:end"
NEWS_OF_BENCHES: Final = b"switchyard:news:benches"
NEWS_OF_PINS: Final = b"switchyard:news:pins"
NEWS_OF_EDITS: Final = b"switchyard:news:edits"
PINS_KEPT: Final = 200_000

PUT_BENCHES: Final = LuaScript("""
local news = {}
for i = 2, #ARGV, 3 do
  local rank = ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  if not old or string.sub(old, 1, #rank) < rank then
    redis.call('HSET', KEYS[1], ARGV[i], rank .. ARGV[i + 2])
    news[#news + 1] = ARGV[i + 2]
  end
end
if #news > 0 then
  redis.call('PUBLISH', 'switchyard:news:benches', ARGV[1] .. '[' .. table.concat(news, ',') .. ']')
end
return #news
""")

PUT_PINS: Final = LuaScript("""
local news = {}
for i = 3, #ARGV, 4 do
  local used = ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  if not old or string.sub(old, 1, #used) < used then
    redis.call('HSET', KEYS[1], ARGV[i], used .. ARGV[i + 3])
    redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i])
    news[#news + 1] = ARGV[i + 3]
  end
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, 1000)
local extra = redis.call('ZCARD', KEYS[2]) - 200000
if #gone == 0 and extra > 0 then
  gone = redis.call('ZRANGE', KEYS[2], 0, math.min(extra, 1000) - 1)
end
for _, field in ipairs(gone) do
  redis.call('HDEL', KEYS[1], field)
  redis.call('ZREM', KEYS[2], field)
end
if #news > 0 then
  redis.call('PUBLISH', 'switchyard:news:pins', ARGV[1] .. '[' .. table.concat(news, ',') .. ']')
end
return #news
""")

FORGET: Final = LuaScript("""
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
""")

logger = logging.getLogger("switchyard.control")
_encode = msgspec.json.Encoder().encode
_bench: msgspec.json.Decoder[BenchEntry] = msgspec.json.Decoder(BenchEntry)
_benches: msgspec.json.Decoder[list[BenchEntry]] = msgspec.json.Decoder(list[BenchEntry])
_pin: msgspec.json.Decoder[PinEntry] = msgspec.json.Decoder(PinEntry)
_pins: msgspec.json.Decoder[list[PinEntry]] = msgspec.json.Decoder(list[PinEntry])


class Bus:
    """What `hub` knows, by the server at `url`, both ways. Raises ValueError if it is no URL."""

    def __init__(self, url: str, hub: Hub, *, wall: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self._wall = wall
        self._me = secrets.token_hex(8).encode()
        alone = "other hosts hear of benches by the database alone"
        self._redis = Redis(
            url,
            [PUT_BENCHES, PUT_PINS, FORGET],
            timeout_s=CALL_S,
            retry_s=RETRY_S,
            alone=alone,
        )
        self._radio = Redis(
            url,
            timeout_s=CALL_S,
            retry_s=RETRY_S,
            channels=[NEWS_OF_BENCHES, NEWS_OF_PINS, NEWS_OF_EDITS],
            heard=self._heard,
            alone=alone,
        )
        self._redis.changed = self._radio.changed = self._changed
        self._is_filled = False
        self._read_at = float("-inf")
        self._ours: dict[Place, BenchEntry] = {}
        self._moved: dict[tuple[str, int], PinEntry] = {}
        self._due = asyncio.Event()
        self._edited = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        hub.told.append(Told(benches=self._hear, pins=self._hear_pins, edits=self._edited.set))

    def start(self) -> None:
        self._redis.start()
        self._radio.start()
        self._tasks = [
            asyncio.create_task(self._put_forever(), name="bus"),
            asyncio.create_task(self._look_forever(), name="bus: state"),
            asyncio.create_task(self._put_pins_forever(), name="bus: pins"),
            asyncio.create_task(self._tell_edits_forever(), name="bus: edits"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(RedisAway):  # it is in the database all the same
            await self._put(list(self._ours.values()))
        await self._redis.aclose()
        await self._radio.aclose()

    # What this host knows

    def _hear(self, news: Sequence[BenchEntry], by: object) -> None:
        if by is not self and self._redis.is_up:
            self._ours.update((entry.place, entry) for entry in news)
            self._due.set()

    def _hear_pins(self, news: Sequence[PinEntry], by: object) -> None:
        if by is self or not self._redis.is_up:
            return
        for entry in news:
            if len(self._moved) < PINS_AT_ONCE:  # of what is more, the next use tells
                self._moved[(entry.pool, entry.session)] = entry

    async def _put_forever(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            ours, self._ours = list(self._ours.values()), {}
            with contextlib.suppress(RedisAway):  # all of it is put in when it is back
                await self._put(ours)

    async def _put(self, entries: Sequence[BenchEntry]) -> None:
        for first in range(0, len(entries), AT_ONCE):
            arguments: list[Argument] = [self._me]
            for entry in entries[first : first + AT_ONCE]:
                arguments += [_encode(entry.place), _rank(entry), _encode(entry)]
            await self._redis.run(PUT_BENCHES, [BENCHES], *arguments)

    async def _put_pins_forever(self) -> None:
        while True:
            await asyncio.sleep(PINS_EVERY_S)
            if self._moved:
                moved, self._moved = list(self._moved.values()), {}
                with contextlib.suppress(RedisAway):  # who uses a pin tells of it again
                    await self._put_pins(moved)

    async def _put_pins(self, entries: Sequence[PinEntry]) -> None:
        for first in range(0, len(entries), AT_ONCE):
            arguments: list[Argument] = [self._me, f"{self._wall():.3f}"]
            for entry in entries[first : first + AT_ONCE]:
                field = _encode((entry.pool, entry.session))
                ends_at = f"{entry.used_at + entry.ttl_s:.3f}"
                arguments += [field, _microseconds(entry.used_at), ends_at, _encode(entry)]
            await self._redis.run(PUT_PINS, [PINS, PINS_END], *arguments)

    async def _tell_edits_forever(self) -> None:
        while True:
            await self._edited.wait()
            self._edited.clear()
            with contextlib.suppress(RedisAway):  # others look at the database by themselves
                await self._redis.ask(b"PUBLISH", NEWS_OF_EDITS, self._me)

    # What other hosts know

    def _heard(self, channel: bytes, message: bytes) -> None:
        sender, news = message[: len(self._me)], message[len(self._me) :]
        if sender == self._me:
            return
        if channel == NEWS_OF_EDITS:
            self._hub.edited.set()
            return
        try:
            if channel == NEWS_OF_BENCHES:
                self._hub.take(_benches.decode(news), by=self)
            else:
                self._hub.take_pins(_pins.decode(news), by=self)
        except msgspec.DecodeError as error:
            logger.warning("news from another host cannot be read: %s", error)

    def _changed(self, reason: str) -> None:
        """One of the connections has come or gone: what was told meanwhile was missed."""
        del reason
        self._is_filled = False
        self._read_at = float("-inf")

    async def _look_forever(self) -> None:
        while True:
            if self._redis.is_up and self._radio.is_up:
                with contextlib.suppress(RedisAway):  # looked at again when it is back
                    await self._look()
            await asyncio.sleep(LOOK_EVERY_S if self._is_filled else 0.05)

    async def _look(self) -> None:
        """Whether the server answers, and still has what was put in."""
        await self._radio.ask(b"PING")
        if self._is_filled:
            self._is_filled = bool(await self._redis.ask(b"SISMEMBER", FILLED, self._me))
        is_new = not self._is_filled
        if is_new or self._wall() >= self._read_at + READ_EVERY_S:
            self._is_filled = True  # unless the connection is lost meanwhile
            await self._read()
            self._read_at = self._wall()
        if is_new:
            await self._put(self._hub.board.everything(self._wall()))
            await self._put_pins(self._hub.pins.everything(self._wall()))
            await self._redis.ask(b"SADD", FILLED, self._me)
            await self._redis.ask(b"EXPIRE", FILLED, 86400)

    async def _read(self) -> None:
        wall = self._wall()
        async for field, raw in self._pairs(BENCHES):
            try:
                entry = _bench.decode(raw[_RANK_DIGITS:])
            except msgspec.DecodeError:  # of a release that is newer than this one
                continue
            if entry.is_over(wall):
                await self._redis.run(FORGET, [BENCHES], field, raw)
            else:
                self._hub.take([entry], by=self)
        found = []
        async for _field, raw in self._pairs(PINS):
            with contextlib.suppress(msgspec.DecodeError):  # as above
                found.append(_pin.decode(raw[_TIME_DIGITS:]))
        self._hub.take_pins(found, by=self)

    async def _pairs(self, key: bytes) -> Any:
        cursor = b"0"
        while True:
            cursor, flat = await self._redis.ask(b"HSCAN", key, cursor, b"COUNT", 500)
            for place in range(0, len(flat), 2):
                yield flat[place], flat[place + 1]
            if cursor == b"0":
                return


_TIME_DIGITS: Final = 20


def _microseconds(wall: float) -> bytes:
    """Sorts as text as it does as a number."""
    return b"%020d" % max(0, int(wall * 1e6))


def _rank(entry: BenchEntry) -> bytes:
    """
    What of the order of entries counts in the hash, as digits.

    Entries that differ only in words have one rank; of those the database picks.
    """
    return b"%020d%d%b%b%010d" % (
        entry.epoch,
        entry.released,
        _microseconds(entry.until),
        _microseconds(entry.since),
        entry.count,
    )


_RANK_DIGITS: Final = 20 + 1 + 2 * _TIME_DIGITS + 10

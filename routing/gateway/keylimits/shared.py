"""
The same counts as routing.gateway.keylimits.counters, for all hosts, in Redis or Valkey.

One script call admits a request; times are the server's, so hosts need not agree on theirs. A
request at once is a lease that its worker renews, so that what a dead host held comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from routing.gateway.keylimits.counters import PARALLEL, REQUESTS, TOKENS, Quota, Taken
from routing.gateway.keylimits.redis import LuaScript, Redis, RedisAway

LEASE_MS: Final = 30_000
_STOPS: Final = ("", REQUESTS, TOKENS, PARALLEL)

# A window is a hash: f and n number its first and its next entry, u and s are the sums, and each
# entry is "start newest count tokens". Numbers begin at the time, so that one that was given out
# before the server lost its data meets no other entry. Times are microseconds.
_WINDOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, leases = KEYS[1], KEYS[2]

local function read(number)
  local text = redis.call('HGET', window, string.format('%.0f', number))
  if not text then return nil end
  local start, newest, count, sum = string.match(text, '(%S+) (%S+) (%S+) (%S+)')
  return tonumber(start), tonumber(newest), tonumber(count), tonumber(sum)
end

local function write(number, start, newest, count, sum)
  redis.call('HSET', window, string.format('%.0f', number),
    string.format('%.0f %.0f %.0f %.0f', start, newest, count, sum))
end
"""

TAKE: Final = LuaScript(
    _WINDOW
    + """
local rpm, tpm, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, lease, lease_ms = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local new = tonumber(ARGV[7])

local state = redis.call('HMGET', window, 'f', 'n', 'u', 's')
local first, following = tonumber(state[1] or now), tonumber(state[2] or now)
local used, spent = tonumber(state[3] or 0), tonumber(state[4] or 0)
local start, newest, count, sum
if first < following then
  start, newest, count, sum = read(following - 1)
  if not newest or newest > now + 1000000 then
    redis.call('DEL', window)
    first, following, used, spent = now, now, 0, 0
  end
end
while first < following do
  local _, last, gone, gone_sum = read(first)
  if last and last > now - 60000000 then break end
  redis.call('HDEL', window, string.format('%.0f', first))
  used, spent, first = used - (gone or 0), spent - (gone_sum or 0), first + 1
end
if first == following then used, spent = 0, 0 end

local running = 0
if most >= 0 then
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  running = redis.call('ZCARD', leases)
end

local function room(part, excess)
  for number = first, following - 1 do
    local _, last, entry_count, entry_sum = read(number)
    excess = excess - (part == 1 and entry_count or entry_sum)
    if excess <= 0 then return last + 60000000 - now end
  end
  return -1
end

local stopped, wait, reset = 0, -1, 0
if rpm >= 0 and used >= rpm then
  stopped, wait = 1, room(1, used + 1 - rpm)
elseif tpm >= 0 and spent + tokens > tpm then
  stopped = 2
  if tokens <= tpm then wait = room(2, spent + tokens - tpm) end
elseif most >= 0 and running >= most then
  stopped = 3
end
if stopped > 0 then
  if first < following then reset = newest + 60000000 - now end
  return {stopped, used, spent, running, wait, reset, -1}
end

if tpm < 0 then tokens = 0 end
if first < following and now - start < 250000 then
  write(following - 1, start, now, count + new, sum + tokens)
else
  write(following, now, now, new, tokens)
  following = following + 1
end
redis.call('HSET', window, 'f', string.format('%.0f', first), 'n',
  string.format('%.0f', following), 'u', string.format('%.0f', used + new), 's',
  string.format('%.0f', spent + tokens))
redis.call('PEXPIRE', window, 120000)
if most >= 0 then
  redis.call('ZADD', leases, now + lease_ms * 1000, lease)
  redis.call('PEXPIRE', leases, lease_ms)
  running = running + 1
end
return {0, used + new, spent + tokens, running, -1, 60000000, following - 1}
"""
)

SETTLE: Final = LuaScript(
    _WINDOW
    + """
local entry, more, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
if lease ~= '' then redis.call('ZREM', leases, lease) end
if more == 0 then return 0 end
local start, newest, count, sum = read(entry)
if not start then return 0 end
write(entry, start, newest, count, sum + more)
redis.call('HINCRBY', window, 's', string.format('%.0f', more))
return 1
"""
)

RENEW: Final = LuaScript(
    _WINDOW
    + """
local lease_ms = tonumber(ARGV[1])
for number = 2, #ARGV do redis.call('ZADD', leases, now + lease_ms * 1000, ARGV[number]) end
redis.call('PEXPIRE', leases, lease_ms)
return now
"""
)

SCRIPTS: Final = (TAKE, SETTLE, RENEW)


class SharedCounters:
    """The counts of all hosts that have the same `redis`."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def take(
        self, subject: bytes, quota: Quota, tokens: int, lease: str, *, count: int = 1
    ) -> Taken:
        """As KeyCounters.take; `lease` names this request. Raises RedisAway within 50 ms."""
        reply = await self.redis.run(
            TAKE,
            _keys(subject),
            _limit(quota.rpm),
            _limit(quota.tpm),
            _limit(quota.max_parallel),
            tokens,
            lease,
            LEASE_MS,
            count,
        )
        try:
            stopped, requests, spent, parallel, wait_us, reset_us, entry = reply
        except (TypeError, ValueError) as error:
            raise RedisAway("its answer is none of ours") from error
        return Taken(
            stopped=_STOPS[stopped],
            requests=requests,
            tokens=spent,
            parallel=parallel,
            wait_s=wait_us / 1e6 if wait_us >= 0 else None,
            reset_s=reset_us / 1e6,
            entry=entry,
        )

    def settle(self, subject: bytes, entry: int, *, more: int, lease: str) -> None:
        """As KeyCounters.settle; lost if Redis is away, and then made good by time."""
        self.redis.tell(SETTLE, _keys(subject), entry, more, lease)

    def renew(self, leases: Mapping[bytes, Iterable[str]]) -> None:
        """Go on holding what is held, by subject. This also gives Redis back what it lost."""
        for subject, names in leases.items():
            self.redis.tell(RENEW, _keys(subject), LEASE_MS, *names)


def _limit(value: int | None) -> int:
    return -1 if value is None else value


def _keys(subject: bytes) -> tuple[bytes, bytes]:
    # In braces, so that a cluster keeps both at one node.
    name = subject.hex().encode()
    return b"switchyard:limits:{%b}:window" % name, b"switchyard:limits:{%b}:open" % name

"""
Thousands of decisions of a gateway, decided again from their records.

REPLAY_DECISIONS=10000 decides as many; the suite decides fewer.
"""

import json
import os
from hashlib import sha256
from random import Random

import pytest

from failover.engine.plan import Inputs, Nobody, Standing
from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import CredentialSpec, ModelFacts, Prices
from routing.gateway.app import Gateway
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import MASTER
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    KeySpec,
    RoutingDefaults,
    RuleSpec,
    decode,
    encode,
)
from routing.gateway.deciding.strategies import STRATEGIES
from routing.gateway.deciding.table import compile_table
from routing.gateway.explain.replay import decide_again
from routing.gateway.records.record import detail_of, row_of
from tests.support.builders import (
    FakeClock,
    FakeResponse,
    bench_entry,
    content,
    pool,
    provider,
    snapshot,
)
from tests.support.planning import weighted

OK = (
    b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}'
)
DECISIONS, EDITS = int(os.environ.get("REPLAY_DECISIONS", "2000")), 40
PROVIDERS = [f"p{number}" for number in range(7)]
MODELS = ["x", "y"]
NAMES = ["m0", "m1", "m2", "m3", "m4", "fast", "own", "p0/x", "p3/other", "x", "m0,m1", "nope,own"]
PATTERNS = {"all": (), "some": ("m*", "own"), "few": ("p1/*", "m3", "x"), "none": ("z",)}
ANSWERS = (
    (84, lambda: FakeResponse(pieces=[OK])),
    (6, lambda: FakeResponse(503, [b"{}"])),
    (4, lambda: FakeResponse(500, [b"{}"])),
    (3, lambda: FakeResponse(429, [b"{}"], [(b"retry-after", b"20")])),
    (3, lambda: FakeResponse(401, [b"{}"])),
)


class Fickle:
    """A transport whose providers fail now and then."""

    def __init__(self, dice):
        self._dice = dice
        self._weights, self._answers = zip(*ANSWERS, strict=True)

    async def send(self, *args, **kwargs):
        return self._dice.choices(self._answers, self._weights)[0]()

    async def aclose(self):
        pass


def some_facts(dice):
    return ModelFacts(
        context_window=dice.choice([None, None, 60, 2000]),
        capabilities=dice.choice([{}, {}, {"tools": False}, {"streaming": False, "tools": True}]),
        prices=dice.choice([None, Prices(input=dice.random(), output=dice.random())]),
    )


def some_candidate(dice, name, model):
    return CandidateSpec(
        provider=name,
        model=model,
        priority=dice.choice([1, 1, 1, 2]),
        weight=dice.randint(1, 5),
        rpm=dice.choice([None] * 5 + [20]),
        max_parallel=dice.choice([None] * 5 + [3]),
        enabled=dice.random() > 0.08,
    )


def some_pool(dice, name):
    pairs = [(p, m) for p in PROVIDERS for m in MODELS]
    return pool(
        name,
        *(some_candidate(dice, *pair) for pair in dice.sample(pairs, dice.randint(1, 8))),
        strategy=dice.choice([None, *STRATEGIES]),
        enabled=dice.random() > 0.05,
        stay_after_failover=dice.choice([None, True]),
        session_affinity=dice.choice([None, None, False]),
        affinity_key=dice.choice([None, "user_path"]),
        failover=FailoverPolicy(
            enabled=dice.random() > 0.1,
            max_attempts=dice.choice([1, 3, 3, 5]),
            same_candidate_retries=0,
        ),
    )


def some_content(dice):
    secrets = tuple(CredentialSpec(label=label, secret=label) for label in ("one", "two"))
    return content(
        *(some_pool(dice, f"m{number}") for number in range(5)),
        providers=tuple(
            provider(
                name,
                kind=dice.choice(["openai", "openai_compatible"]),
                credentials=secrets[: dice.choice([1, 1, 2])],
                models=tuple(MODELS[: dice.randint(0, 2)]),
                facts={model: some_facts(dice) for model in MODELS},
                enabled=dice.random() > 0.05,
            )
            for name in PROVIDERS
        ),
        aliases=(
            AliasSpec(name="fast", target="m1"),
            AliasSpec(
                name="own",
                strategy=dice.choice(list(STRATEGIES)),
                targets=(some_candidate(dice, "p1", "x"), some_candidate(dice, "p2", "y")),
            ),
        ),
        rules=(
            RuleSpec(primary="m0", fallbacks=("m2", "p5/x")),
            RuleSpec(primary="fast", fallbacks=("own",)),
        ),
        keys=tuple(
            KeySpec(name=name, digest=sha256(name.encode()).digest(), models=models, user_path="/t")
            for name, models in PATTERNS.items()
        ),
        disabled_models=dice.choice([(), ("m2",)]),
        defaults=RoutingDefaults(strategy=dice.choice(["priority_failover", "round_robin"])),
    )


class Traffic:
    """A gateway in a world that changes, and the records of what it decided."""

    def __init__(self, seed):
        self.dice = Random(seed)
        self.clock = FakeClock()
        self.gateway = Gateway(
            decrypt=lambda token: token,
            environ={},
            transport=Fickle(self.dice),
            rng=Random(seed),
            clock=self.clock,
            wall=self.clock.wall,
        )
        self.snapshots = {}
        self.rows = []
        self.leases = []
        self.gateway.recorder.observers = [self._note]

    def _note(self, records):
        for record in records:
            if record.detail.decision.resolved_by:
                detail = row_of(record)[-1]
                self.rows.append((record.generation, record.requested_model, record.key, detail))

    def edit(self):
        generation = len(self.snapshots) + 1
        made = snapshot(some_content(self.dice), generation)
        self.snapshots[generation] = encode(made)
        self.gateway.load(made)

    def disturb(self):
        dice, gateway = self.dice, self.gateway
        now = self.clock.now = round(self.clock.now + dice.random() * 2, 3)
        if dice.random() < 0.03:
            name = f"{dice.choice(PROVIDERS)}/{dice.choice(['*', 'x', 'y'])}"
            entry = bench_entry(name, until=self.clock.wall() + 30, manual=dice.random() < 0.5)
            gateway.benches.bench(entry, now)
        if dice.random() < 0.05:
            for entry in gateway.benches.entries(now)[:1]:
                gateway.benches.release(entry.key, now)
        if dice.random() < 0.02:
            gateway.live.mark_unhealthy(dice.sample(PROVIDERS, dice.randint(0, 2)))
        if len(self.leases) > 8:
            self.leases.pop(0).end()
        measured = [
            candidate
            for name in gateway.table.pools
            for candidate in gateway.table.pool(name).candidates
            if candidate.is_measured
        ]
        if measured and dice.random() < 0.5:
            lease = gateway.live.loads.begin(dice.choice(measured), 10, now)
            lease.answered(dice.random(), now)
            self.leases.append(lease)

    async def request(self):
        dice = self.dice
        fields = {"model": dice.choice(NAMES)}
        fields["messages"] = [{"role": "user", "content": "hi " * dice.choice([1, 1, 200])}]
        if dice.random() < 0.2:
            fields["tools"] = [{"type": "function"}]
        if dice.random() < 0.2:
            fields["stream"] = True
        if dice.random() < 0.3:
            fields["max_tokens"] = dice.choice([5, 1000])
        headers = [(b"authorization", f"Bearer {dice.choice([*PATTERNS] + ['all'] * 4)}".encode())]
        if dice.random() < 0.5:
            headers.append((b"x-switchyard-session", b"s%d" % dice.randint(0, 30)))
        if dice.random() < 0.1:
            headers.append((b"x-switchyard-provider", dice.choice([*PROVIDERS, "zz"]).encode()))
        if dice.random() < 0.1:
            headers.append((b"x-switchyard-no-failover", b"true"))
        body = json.dumps(fields).encode()

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            pass

        path = dice.choice(["/v1/chat/completions"] * 9 + ["/v1/embeddings"])
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        if path == "/v1/embeddings":
            body = json.dumps({"model": fields["model"], "input": "hi"}).encode()
        await self.gateway(scope, receive, send)

    async def run(self, requests):
        await self.gateway.startup()
        for number in range(requests):
            if number % (DECISIONS // EDITS) == 0:
                self.edit()
            self.disturb()
            await self.request()
            if number % 100 == 0:
                await self.gateway.recorder._flush()
        await self.gateway.shutdown()


def decision(table, requested, key_name, detail):
    """What is decided again from a record, in the record's own terms."""
    asked = detail.features
    keys = {key.spec.name: key for key in table.keys.values()}
    features = Features(
        protocol=detail.protocol,
        key=keys.get(key_name, MASTER),
        needs=frozenset(asked.needs),
        input_tokens=asked.estimated_input_tokens or 0,
        max_output_tokens=asked.max_output_tokens,
        preferred_provider=asked.preferred_provider,
        no_failover=asked.no_failover,
        session=int(asked.session, 16) if asked.session else None,
    )
    resolution = resolve(table, requested)
    made = decide_again(table, resolution, features, detail.decision.inputs)
    if isinstance(made, Nobody):
        rejected = {(r.candidate.name, r.reason) for r in made.rejected}
        return (), rejected, "", resolution.groups[0].pool.strategy, False, ()
    return (
        tuple(c.name for c in made.steps),
        {(r.candidate.name, r.reason) for r in made.rejected},
        "" if made.preferred in (None, made.steps[0]) else made.preferred.name,
        made.strategy,
        made.last_standing,
        made.warnings,
    )


async def test_thousands_of_recorded_decisions_decided_again_differ_in_nothing():
    traffic = Traffic(seed=20)
    await traffic.run(DECISIONS + DECISIONS // 50)  # some end before anything is decided
    tables = {
        generation: compile_table(decode(raw), decrypt=lambda token: token, environ={})
        for generation, raw in traffic.snapshots.items()
    }
    assert len(traffic.rows) >= DECISIONS
    kinds = set()
    for generation, requested, key_name, text in traffic.rows:
        detail = detail_of(text)
        told = detail.decision
        then = (
            told.planned,
            {(r.candidate, r.reason) for r in told.rejected},
            told.preferred,
            told.strategy,
            told.last_standing,
            told.warnings,
        )
        assert decision(tables[generation], requested, key_name, detail) == then
        kinds |= {told.strategy, *(r.reason for r in told.rejected)}
        kinds |= {f"stands:{told.last_standing}", f"pin:{bool(told.pin)}"}
    # It would prove little if the traffic had been dull.
    assert kinds >= {
        *STRATEGIES,
        "benched",
        "benched_manually",
        "unhealthy",
        "saturated",
        "key_not_allowed",
        "context_too_small",
        "unsupported:tools",
        "unsupported:streaming",
        "unsupported:embeddings",
        "candidate_disabled",
        "canonical_model_disabled",
        "provider_disabled",
        "failover_disabled",
        "stands:True",
        "pin:True",
    }


@pytest.mark.pure
def test_dice_are_asked_no_more_than_they_were_then():
    world = weighted(1, 1, 1, strategy="weighted_random")
    made = world.plan()
    features = Features(protocol="openai_chat", key=MASTER)
    resolution = resolve(world.table, "m")
    again = decide_again(world.table, resolution, features, made.inputs)
    assert again.steps == made.steps
    fewer = Inputs(draws=made.inputs.draws[:1])
    with pytest.raises(LookupError):
        decide_again(world.table, resolution, features, fewer)


@pytest.mark.pure
def test_a_decision_that_read_nothing_is_decided_again_from_the_table_alone():
    world = weighted(1, 1, strategy="fill_first")
    made = world.plan()
    assert made.inputs is None
    features = Features(protocol="openai_chat", key=MASTER)
    assert decide_again(world.table, resolve(world.table, "m"), features, None).steps == made.steps


@pytest.mark.pure
def test_what_is_decided_again_is_remembered_by_nobody():
    world = weighted(1, 1)
    read = Inputs(standings={"a/x": Standing(reason="benched", returns_in_s=5.0, yields=True)})
    features = Features(protocol="openai_chat", key=MASTER)
    made = decide_again(world.table, resolve(world.table, "m"), features, read)
    made.commit()
    assert [c.name for c in made.steps] == ["b/x"]
    assert world.live.rotations == {}

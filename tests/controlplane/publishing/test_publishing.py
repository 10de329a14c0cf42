"""The snapshot: what it holds, how it is numbered, how it reaches the disk."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction
from simple_history.models import HistoricalRecords

from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.edits.models import EditCounter
from controlplane.models import ApiKey, PublishedSnapshot, Settings, Team
from controlplane.publishing import publisher
from controlplane.publishing.content import Builder
from controlplane.publishing.publisher import SNAPSHOT_FILE, Publication, publish
from failover.engine.policy import Backoff, BenchPolicy, RetryFirst
from failover.models import FailoverRule
from providers.adapters.spec import ModelFacts, Timeouts
from providers.models import Credential, Provider
from routing.gateway.deciding.snapshot import (
    Content,
    PoolSpec,
    checksum,
    decode,
    pack,
)
from routing.gateway.link.channel import KEPT_SNAPSHOT_FILE
from routing.models import Alias, Candidate, CanonicalModel
from tests.support.configuration import ENVIRON, EXAMPLE_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db


def apply(text: str, **environ: str) -> None:
    mirror(parse(text, filename="c.yaml", environ=environ))


def pool(name: str, *models: str, **fields: Any) -> CanonicalModel:
    row = CanonicalModel.objects.create(name=name, **fields)
    for position, model in enumerate(models):
        Candidate.objects.create(
            canonical_model=row, provider_name="p", model=model, position=position
        )
    return row


def test_an_empty_database_is_the_default_content() -> None:
    assert Builder().build() == Content()


def test_the_example_without_keys_is_its_pools_over_the_defaults() -> None:
    apply(EXAMPLE_TEXT)
    content = Builder().build()
    assert content.defaults == Content().defaults
    assert content.bench == Content().bench
    assert content.disabled_models == ("openai_main/text-embedding-3-small",)
    assert [spec.name for spec in content.providers] == [
        "anthropic_backup",
        "anthropic_primary",
        "gemini_main",
        "lab",
        "openai_main",
    ]
    sonnet, mini = content.pools
    assert (sonnet.strategy, mini.strategy) == (None, "weighted_round_robin")
    assert sonnet.failover is None
    assert mini.failover is not None
    assert mini.failover.max_attempts == 2
    assert mini.failover.retry_on_statuses == content.defaults.failover.retry_on_statuses
    assert mini.timeouts == Timeouts(first_token_s=20)
    assert [(spec.provider, spec.weight) for spec in mini.candidates] == [
        ("openai_main", 3),
        ("lab", 1),
    ]
    assert [(spec.name, spec.target, len(spec.targets)) for spec in content.aliases] == [
        ("fast", "gpt-4o-mini", 0),
        ("opus-4.5", "", 2),
        ("sonnet", "claude-sonnet-4-6", 0),
    ]
    assert content.aliases[1].strategy == "fill_first"
    assert [(rule.primary, rule.source) for rule in content.rules] == [
        ("claude-sonnet-4-6", "config")
    ]


def test_secrets_travel_encrypted_only() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    snapshot = repr(Builder().build())
    for secret in ENVIRON.values():
        assert secret not in snapshot
    primary = Builder().build().providers[1]
    assert [credential.label for credential in primary.credentials] == ["key-1", "key-2"]
    token = Credential.objects.get(label="key-2", provider__name="anthropic_primary").secret.token
    assert primary.credentials[1].secret == token


def test_a_config_row_wins_over_the_dashboards_of_its_name() -> None:
    Provider.objects.create(name="a", kind="groq")
    Provider.objects.create(name="b", kind="groq")
    pool("m", "mine")
    FailoverRule.objects.create(primary_model="m", fallback_models=["mine"])
    Alias.objects.create(name="s", target="mine")
    apply(
        "providers: {a: {kind: openai}}\n"
        "routing: {model_pools: {m: {aliases: [s], candidates: [{provider: a, model: file}]}}}\n"
        "failover: {rules: {m: [file]}}\n"
    )
    content = Builder().build()
    assert [(spec.name, spec.kind) for spec in content.providers] == [
        ("a", "openai"),
        ("b", "groq"),
    ]
    assert [candidate.model for candidate in content.pools[0].candidates] == ["file"]
    assert (content.pools[0].source, content.aliases[0].target) == ("config", "m")
    assert content.rules[0].fallbacks == ("file",)
    apply("")
    assert [candidate.model for candidate in Builder().build().pools[0].candidates] == ["mine"]


def test_the_configurations_values_win_over_the_settings() -> None:
    settings = Settings.load()
    settings.strategy = "round_robin"
    settings.max_attempts = 9
    settings.failover_in_pools = False
    settings.timeouts = {"connect_s": 1, "idle_s": 2}
    settings.bench_failures = 7
    settings.backoff_base_ms = 5
    settings.retry_first_times = 2
    settings.disabled_models = ["z", "a", "a"]
    settings.save()
    apply(
        "routing: {defaults: {failover: {max_attempts: 4}, timeouts: {idle_s: 3}}}\n"
        "bench: {window_s: 30, max_outage_s: 5}\n",
        FAILOVER_ENABLED="false",
    )
    content = Builder().build()
    assert content.defaults.strategy == "round_robin"
    assert content.defaults.failover.max_attempts == 4
    assert content.defaults.failover.enabled is False
    assert content.defaults.failover.backoff == Backoff(base_ms=5)
    assert content.defaults.failover.retry_first == RetryFirst(times=2)
    assert content.defaults.timeouts == Timeouts(connect_s=1, idle_s=3)
    assert content.bench == BenchPolicy(failures=7, window_s=30, max_outage_s=5)
    assert content.failover_enabled is False
    assert content.disabled_models == ("a", "z")


def test_a_pools_part_of_a_block_keeps_the_general_rest() -> None:
    settings = Settings.load()
    settings.backoff_max_ms = 77
    settings.retry_on_timeouts = False
    settings.save()
    pool("m", "x", failover={"backoff": {"base_ms": 1}, "retry_on_statuses": [500]})
    policy = Builder().build().pools[0].failover
    assert policy is not None
    assert policy.backoff == Backoff(base_ms=1, max_ms=77)
    assert (policy.retry_on_timeouts, policy.retry_on_statuses) == (False, (500,))


@pytest.mark.parametrize(
    ("own", "published"),
    [
        ({}, RetryFirst(times=1, max_wait_s=9)),
        ({"statuses": [429]}, RetryFirst(times=1, max_wait_s=9, statuses=(429,))),
        ({"times": 0}, RetryFirst(times=0, max_wait_s=9)),
    ],
)
def test_a_pools_retry_first_is_once_where_it_says_nothing_else(own, published) -> None:
    settings = Settings.load()
    settings.retry_first_max_wait_s = 9
    settings.save()
    pool("m", "x", failover={"retry_first": own})
    policy = Builder().build().pools[0].failover
    assert policy is not None
    assert policy.retry_first == published


def test_a_providers_bench_goes_over_the_general_one() -> None:
    Provider.objects.create(name="a", kind="openai", bench={"failures": 9})
    Provider.objects.create(name="b", kind="openai")
    apply("bench: {window_s: 30}")
    assert Builder().build().provider_bench == {"a": BenchPolicy(failures=9, window_s=30)}


def test_what_is_switched_off_is_there_and_says_so() -> None:
    Provider.objects.create(name="p", kind="openai", enabled=False)
    row = pool("m", "x", enabled=False)
    row.candidates.update(enabled=False)
    Alias.objects.create(name="s", target="m", enabled=False)
    FailoverRule.objects.create(primary_model="m", fallback_models=["s"], enabled=False)
    content = Builder().build()
    for spec in (*content.providers, *content.pools, *content.aliases, *content.rules):
        assert spec.enabled is False
    assert content.pools[0].candidates[0].enabled is False


def test_a_credential_or_key_that_is_off_opens_nothing() -> None:
    provider = Provider.objects.create(name="p", kind="openai")
    Credential.objects.create(provider=provider, label="off", secret="x", enabled=False)
    Credential.objects.create(provider=provider, label="on", secret="y")
    for name in ("off", "on"):
        key = ApiKey(name=name, enabled=name == "on")
        key.set_key(name)
        key.save()
    content = Builder().build()
    assert [credential.label for credential in content.providers[0].credentials] == ["on"]
    assert [key.name for key in content.keys] == ["on"]


def test_a_key_carries_its_rights_and_limits() -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    key = ApiKey(
        name="k",
        team=Team.objects.create(name="t"),
        models=["claude-*"],
        scopes=["admin"],
        rpm=5,
        user_path="/t",
        expires_at=expires,
    )
    key.set_key("sy_text")
    key.save()
    spec = Builder().build().keys[0]
    assert spec.digest.hex() == key.digest
    assert (spec.team, spec.models, spec.scopes, spec.rpm, spec.user_path) == (
        "t",
        ("claude-*",),
        ("admin",),
        5,
        "/t",
    )
    assert spec.expires_at == expires.timestamp()


def test_candidates_keep_their_place_and_names_are_sorted() -> None:
    pool("zeta", "b", "a")
    pool("Alpha", "x")
    pool("beta", "x")
    content = Builder().build()
    assert [spec.name for spec in content.pools] == ["Alpha", "beta", "zeta"]
    assert [candidate.model for candidate in content.pools[2].candidates] == ["b", "a"]


def test_the_number_of_queries_does_not_grow(
    django_assert_num_queries: Callable[..., Any],
) -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    with django_assert_num_queries(15):
        Builder().build()
    for number in range(5):
        pool(f"more-{number}", "x", "y")
        Provider.objects.create(name=f"more-{number}", kind="openai")
    with django_assert_num_queries(15):
        Builder().build()


def test_a_row_that_no_snapshot_can_hold_is_named(tmp_path: Path) -> None:
    pool("m", "x")
    before = publish(tmp_path)
    CanonicalModel.objects.update(timeouts={"first_token_s": "soon"})
    with pytest.raises(ValueError, match="timeouts of pool m cannot be published"):
        publish(tmp_path)
    assert decode((tmp_path / SNAPSHOT_FILE).read_bytes()) == before


# numbers and files


def test_equal_content_keeps_its_generation_and_file(tmp_path: Path) -> None:
    pool("m", "x")
    first = publish(tmp_path)
    written = (tmp_path / SNAPSHOT_FILE).stat()
    assert publish(tmp_path) == first
    again = (tmp_path / SNAPSHOT_FILE).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert PublishedSnapshot.objects.count() == 1


def test_other_content_gets_the_next_generation(tmp_path: Path) -> None:
    first = publish(tmp_path)
    pool("m", "x")
    second = publish(tmp_path)
    assert (first.generation, second.generation) == (1, 2)
    assert second.content.pools[0].name == "m"
    assert decode((tmp_path / SNAPSHOT_FILE).read_bytes()) == second


def test_the_file_is_private_and_leaves_no_drafts(tmp_path: Path) -> None:
    publish(tmp_path / "new")
    files = list((tmp_path / "new").iterdir())
    assert {file.name for file in files} == {SNAPSHOT_FILE, KEPT_SNAPSHOT_FILE}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("damage", [b"", b"\x00garbage"])
def test_a_torn_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    snapshot = publish(tmp_path)
    (tmp_path / SNAPSHOT_FILE).write_bytes(damage)
    assert publish(tmp_path) == snapshot
    assert decode((tmp_path / SNAPSHOT_FILE).read_bytes()) == snapshot


def test_a_snapshot_survives_the_way_through_the_file(tmp_path: Path) -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    snapshot = publish(tmp_path)
    read = decode((tmp_path / SNAPSHOT_FILE).read_bytes())
    assert read == snapshot
    assert checksum(read.content) == snapshot.checksum


def test_every_host_writes_the_same_bytes(tmp_path: Path) -> None:
    pool("m", "x")
    publish(tmp_path / "one")
    publish(tmp_path / "two")
    one, two = ((tmp_path / host / SNAPSHOT_FILE).read_bytes() for host in ("one", "two"))
    assert one == two


def test_a_new_database_goes_on_from_the_number_on_disk(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        pool(name, "x")
        last = publish(tmp_path)
    PublishedSnapshot.objects.all().delete()
    CanonicalModel.objects.all().delete()
    assert publish(tmp_path).generation == last.generation + 1


def test_a_number_that_another_host_took_is_not_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path)
    pool("m", "x")
    build = Builder.build
    rivals = iter([2])

    def other_host_is_faster(builder: Builder, *, whole: bool) -> Content:
        for generation in rivals:
            PublishedSnapshot.objects.create(generation=generation, checksum="of another host")
        return build(builder, whole=whole)

    monkeypatch.setattr(Builder, "build", other_host_is_faster)
    snapshot = publish(tmp_path)
    assert snapshot.generation == 3
    numbers = PublishedSnapshot.objects.values_list("generation", flat=True)
    assert sorted(numbers) == [1, 2, 3]


def test_what_was_read_before_another_host_published_does_not_go_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path / "slow")
    pool("first", "x")
    once = iter([None])

    def another_host_publishes_a_later_edit(content: Content) -> bytes:
        for _ in once:
            pool("second", "x")
            publish(tmp_path / "fast")
        return pack(content)

    monkeypatch.setattr(publisher, "pack", another_host_publishes_a_later_edit)
    snapshot = publish(tmp_path / "slow")

    assert [spec.name for spec in snapshot.content.pools] == ["first", "second"]
    assert snapshot.generation == 2
    assert PublishedSnapshot.objects.count() == 2


def test_numbers_that_are_always_taken_end_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(**_fields: Any) -> PublishedSnapshot:
        raise IntegrityError("taken")

    monkeypatch.setattr(PublishedSnapshot.objects, "create", taken)
    with pytest.raises(IntegrityError):
        publish(tmp_path)
    assert not (tmp_path / SNAPSHOT_FILE).exists()


def test_an_edit_during_the_reading_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool("first", "x")
    build = Builder.build
    edits = iter([lambda: pool("second", "x")])

    def cut_through(builder: Builder, *, whole: bool) -> Content:
        content = build(builder, whole=whole)
        if edit := next(edits, None):
            edit()
        return content

    monkeypatch.setattr(Builder, "build", cut_through)
    snapshot = publish(tmp_path)
    assert EditCounter.load().value > 0
    assert [spec.name for spec in snapshot.content.pools] == ["first", "second"]
    assert snapshot.generation == 1


def test_what_no_worker_could_load_is_not_published(tmp_path: Path) -> None:
    good = publish(tmp_path)
    Provider.objects.create(name="a", kind="groq", headers={"content-length": "1"})
    with pytest.raises(ValueError, match="provider a"):
        publish(tmp_path)
    assert decode((tmp_path / "snapshot.msgpack").read_bytes()) == good


def test_a_models_stated_context_window_is_published() -> None:
    apply("providers: {a: {kind: openai, models: [m, {id: n, metadata: {context_window: 9}}]}}\n")
    assert Builder().build().providers[0].facts == {"n": ModelFacts(context_window=9)}


# What edits leave to be read


def test_after_an_edit_of_one_pool_only_that_pool_is_read(
    tmp_path: Path,
) -> None:
    publication = Publication(tmp_path)
    pools = [pool(name, "x", "y") for name in "abc"]
    publication.publish()
    builder = publication._builder
    before = {spec.name: spec for spec in builder.build(whole=False).pools}

    Candidate.objects.filter(canonical_model=pools[2]).update(weight=9)  # noted by nobody
    pools[1].candidates.create(provider_name="p", model="z", position=9)
    content = publication.publish(whole=False).content

    after = {spec.name: spec for spec in content.pools}
    assert [c.model for c in after["b"].candidates] == ["x", "y", "z"]
    assert after["a"] is before["a"]
    assert after["c"] is before["c"]
    assert {c.weight for c in publication.publish().content.pools[2].candidates} == {9}


@pytest.mark.parametrize("whole", [True, False])
def test_every_edit_of_pools_is_seen_by_one_who_goes_by_notes(tmp_path: Path, whole: bool) -> None:
    """A publication that reads little publishes what one that reads all does."""
    publication = Publication(tmp_path)
    first, second = pool("first", "x"), pool("second", "x", "y")
    apply(
        "providers: {a: {kind: openai}}\n"
        "routing: {model_pools: {third: {candidates: [{provider: a, model: m}]}}}\n"
    )
    publication.publish()

    def publishes() -> list[PoolSpec]:
        found = publication.publish(whole=whole).content
        assert found == Builder().build()
        return list(found.pools)

    first.name = "renamed"
    first.save()
    assert [spec.name for spec in publishes()] == ["renamed", "second", "third"]
    second.candidates.first().delete()  # type: ignore[union-attr]
    assert [c.model for c in publishes()[1].candidates] == ["y"]
    pool("third", "mine")
    assert publishes()[2].source == "config"
    apply("providers: {a: {kind: openai}}\n")
    assert [c.model for c in publishes()[2].candidates] == ["mine"]
    settings = Settings.load()
    settings.max_attempts = 7
    settings.save()
    second.failover = {"retry_on_timeouts": False}
    second.save()
    assert [spec.failover and spec.failover.max_attempts for spec in publishes()] == [None, 7, None]
    settings.max_attempts = 8
    settings.save()
    assert [spec.failover and spec.failover.max_attempts for spec in publishes()] == [None, 8, None]
    second.delete()
    assert [spec.name for spec in publishes()] == ["renamed", "third"]


def test_a_row_that_cannot_be_published_is_met_again_until_it_is_mended(tmp_path: Path) -> None:
    publication = Publication(tmp_path)
    row = pool("m", "x")
    publication.publish()
    row.timeouts = {"connect_s": "soon"}
    row.save()

    for _ in range(2):
        with pytest.raises(ValueError, match="timeouts of pool m"):
            publication.publish(whole=False)
    row.timeouts = {"connect_s": 2}
    row.save()
    assert publication.publish(whole=False).content.pools[0].timeouts == Timeouts(connect_s=2)


@pytest.mark.django_db(transaction=True)
def test_a_request_that_edits_a_pool_in_two_transactions_is_heard_twice(
    tmp_path: Path, rf: Any
) -> None:
    publication = Publication(tmp_path)
    row = pool("m", "x")
    publication.publish()
    HistoricalRecords.context.request = rf.post("/")
    try:
        with transaction.atomic():
            row.strategy = "round_robin"
            row.save()
        publication.publish(whole=False)
        with transaction.atomic():
            row.strategy = "fill_first"
            row.save()
    finally:
        del HistoricalRecords.context.request

    assert publication.publish(whole=False).content.pools[0].strategy == "fill_first"

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from failover.cautions import (
    KnownProvider,
    Meaning,
    Member,
    address_cautions,
    key_cautions,
    meaning_of,
    members_cautions,
    protocol_cautions,
    retry_first_cautions,
    rule_cautions,
    unknown_fallbacks,
)
from providers.adapters.registry import ADAPTERS, KNOWN_KINDS
from providers.adapters.spec import NO_FACTS, ModelFacts, ProviderSpec
from providers.adapters.upstream import Upstream
from providers.validation import PROTOCOL_NAMES

pytestmark = pytest.mark.pure


@dataclass
class World:
    """A Scene made of dictionaries."""

    providers: dict[str, KnownProvider] = field(default_factory=dict)
    names: dict[str, Meaning] = field(default_factory=dict)
    known: dict[str, ModelFacts] = field(default_factory=dict)
    inventory: dict[str, tuple[Member, ...]] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)
    rules_are_on: bool = True
    disabled_models: frozenset[str] = frozenset()

    def provider(self, name):
        return self.providers.get(name)

    def named(self, name):
        return self.names.get(name)

    def listed(self, model):
        return self.inventory.get(model, ())

    def facts(self, member):
        return self.known.get(member.name, NO_FACTS)

    def notes(self, member):
        return self.plans.get(member.name, [])


def world(**more) -> World:
    providers = {
        name: KnownProvider(name=name, host=f"{name}.example.com") for name in ("a", "b", "c")
    }
    names = {"big": pool("a/big"), "small": pool("b/small")}
    return World(providers=providers, names=names, **more)


def pool(*targets: str, **more) -> Meaning:
    return Meaning(members=tuple(member(target) for target in targets), **more)


def member(target: str, **more) -> Member:
    provider, model = target.split("/", 1)
    return Member(provider=provider, model=model, **more)


def said(cautions) -> list[tuple[int | None, str]]:
    return [(caution.place, caution.text) for caution in cautions]


def of_rule(scene: World, *fallbacks: str, primary: str = "big") -> list[tuple[int | None, str]]:
    return said(rule_cautions(scene, primary, fallbacks))


def of_pool(scene: World, *members: Member, strategy: str = "priority_failover"):
    return said(members_cautions(scene, members, strategy))


def test_a_good_rule_and_a_good_pool_give_no_caution():
    scene = world(known={"b/small": ModelFacts(context_window=8)})
    assert of_rule(scene, "small", "c/x") == []
    assert of_pool(scene, member("a/x"), member("b/y")) == []
    assert said(address_cautions("https://far.example.com/v1")) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": {"small": pool(off="model pool small is disabled")}}, "small is disabled"),
        ({"names": {"small": pool()}}, "it has no candidates"),
        ({"names": {"small": pool("gone/x")}}, "there is no provider gone"),
        ({"providers": {"b": KnownProvider(name="b", enabled=False)}}, "provider b is disabled"),
        (
            {"names": {"small": Meaning(members=(member("b/x", enabled=False),))}},
            "every candidate is disabled",
        ),
    ],
)
def test_a_fallback_that_nobody_can_serve_is_told(change, words):
    scene = world()
    for name, entries in change.items():
        getattr(scene, name).update(entries)
    ((place, text),) = of_rule(scene, "c/x", "small")
    assert place == 1
    assert text.startswith("nobody can serve it: ")
    assert words in text


def test_a_fallback_with_one_candidate_left_is_not_dead():
    scene = world()
    scene.names["small"] = Meaning(members=(member("b/x", enabled=False), member("c/x")))
    assert of_rule(scene, "small") == []


def test_an_unknown_fallback_is_told_by_its_place():
    scene = world(inventory={"bare": (member("c/bare"),)})
    ((place, text),) = said(unknown_fallbacks(scene, ["small", "a/x", "bare", "smal", "x/y"][:4]))
    assert (place, "passed over" in text) == (3, True)
    assert meaning_of(scene, "x/y") is None
    assert meaning_of(scene, "a/") is None


def test_a_smaller_window_than_the_models_own_is_told_and_an_unknown_one_is_not():
    facts = {"a/big": ModelFacts(context_window=200_000), "b/small": ModelFacts(context_window=8)}
    ((place, text),) = of_rule(world(known=facts), "small", "c/x")
    assert place == 0
    assert "context window (8 tokens) is smaller than the model's own (200,000)" in text
    ((place, text),) = of_pool(world(known=facts), member("a/big"), member("b/small"))
    assert place == 1
    assert "smaller than the first candidate's" in text
    assert of_pool(world(known=facts), member("b/small"), member("a/big")) == []


def test_the_largest_window_of_a_pool_is_what_counts():
    facts = {"a/big": ModelFacts(context_window=9), "b/small": ModelFacts(context_window=8)}
    scene = world(known={**facts, "c/x": ModelFacts(context_window=9)})
    scene.names["small"] = pool("b/small", "c/x")
    assert of_rule(scene, "small") == []


def test_a_capability_is_missing_only_where_it_is_known_to_be():
    able = ModelFacts(capabilities={"tools": True, "vision": True, "audio": False})
    facts = {"a/big": able, "b/small": ModelFacts(capabilities={"tools": False})}
    ((_place, text),) = of_rule(world(known=facts), "small", "c/x")
    assert text == "it cannot do what the model's own can: tools"


def test_one_failure_domain_for_all_is_told():
    shared = {"vendor": "v", "region": "us"}
    scene = world()
    assert "share provider a" in of_rule(scene, "a/other")[0][1]
    scene.providers["b"] = KnownProvider(name="b", host="a.example.com")
    assert "share host a.example.com" in of_rule(scene, "small")[0][1]
    assert "share host a.example.com" in of_pool(scene, member("a/x"), member("b/y"))[0][1]
    assert of_rule(scene, "small", "c/x") == []  # one way out is enough
    for name in "ab":
        scene.providers[name] = KnownProvider(name=name, host=name, domain=shared)
    assert "share failure domain region us, vendor v" in of_rule(scene, "small")[0][1]


def test_providers_that_operators_say_fail_together_do_whatever_else_their_domains_say():
    scene = world()
    for name, region in [("a", "us"), ("b", "eu")]:
        domain = {"region": region, "together": "grid"}
        scene.providers[name] = KnownProvider(name=name, host=name, domain=domain)
    assert "share failure domain together grid" in of_rule(scene, "small")[0][1]


def test_domains_that_operators_say_are_different_are_believed_over_one_host():
    scene = world()
    for name, region in [("a", "us"), ("b", "eu")]:
        scene.providers[name] = KnownProvider(name=name, host="one", domain={"region": region})
    assert of_rule(scene, "small") == []


def test_providers_that_call_nobody_share_no_host():
    scene = world()
    scene.providers |= {name: KnownProvider(name=name) for name in "ab"}
    assert of_rule(scene, "small") == []


def test_a_rule_that_is_not_followed_says_so():
    assert "switched off" in of_rule(world(rules_are_on=False), "small")[0][1]
    scene = world(disabled_models=frozenset({"big"}))
    assert "disabled for this model" in of_rule(scene, "small")[0][1]
    scene.names["big"] = pool("a/text-embedding-3-small")
    assert "embeddings follow no rules" in of_rule(scene, "small")[1][1]


@pytest.mark.parametrize(
    ("strategy", "priority", "words"),
    [
        ("weighted_random", 2, "alone in its priority"),
        ("priority_failover", 1, "ignores weights"),
        ("round_robin", 1, "ignores weights"),
    ],
)
def test_a_weight_without_effect_is_told(strategy, priority, words):
    heavy = member("b/y", weight=3, priority=priority)
    ((place, text),) = of_pool(world(), member("a/x"), heavy, strategy=strategy)
    assert place == 1
    assert words in text
    assert of_pool(world(), member("a/x"), member("b/y", weight=3), strategy="least_busy") == []


def test_mixed_embedding_models_are_told():
    facts = {"a/x": ModelFacts(capabilities={"embeddings": True})}
    assert "mixes embedding" in of_pool(world(known=facts), member("a/x"), member("b/y"))[0][1]
    assert of_pool(world(known=facts), member("a/x"), member("b/x")) == []


def test_a_disabled_provider_beside_a_live_one_is_told():
    scene = world()
    scene.providers["b"] = KnownProvider(name="b", enabled=False)
    assert of_pool(scene, member("a/x"), member("b/y")) == [(1, "provider b is disabled")]


def test_what_a_vendor_plans_is_told_where_the_model_is_named():
    scene = world(plans={"b/small": ["its vendor retires it on 2026-12-01"]})
    assert of_pool(scene, member("a/x"), member("b/small")) == [
        (1, "its vendor retires it on 2026-12-01")
    ]
    assert of_rule(scene, "c/x", "b/small") == [(1, "its vendor retires it on 2026-12-01")]
    assert of_rule(scene, "c/x", "small") == []  # its pool has been told


@pytest.mark.parametrize(
    ("rule", "attempts", "words"),
    [
        ({}, 2, "no effect: the last of 2 calls"),
        ({"times": 3}, 1, "no effect: the last of 1 call"),
        ({"statuses": [429]}, 3, "is the same model"),
    ],
)
def test_a_retry_first_that_does_nothing_or_for_nothing_is_told(rule, attempts, words):
    same = [member("a/x"), member("b/x")]
    ((place, text),) = said(retry_first_cautions(same, rule, attempts))
    assert place is None
    assert words in text
    assert said(retry_first_cautions(same, {**rule, "times": 0}, attempts)) == []
    assert said(retry_first_cautions(same, None, attempts)) == []
    assert said(retry_first_cautions(same[:1], rule, attempts)) == []


def test_a_retry_first_before_another_model_gives_no_caution():
    assert said(retry_first_cautions([member("a/x"), member("b/y")], {}, 3)) == []


def test_a_key_that_may_be_a_word_is_told_by_its_place():
    ((place, text),) = said(key_cautions(["key-four", "", "null", "long-enough"]))
    assert place == 2
    assert "shorter than 8 characters" in text


def test_plain_http_is_told_unless_it_stays_on_this_machine():
    assert "plain http" in said(address_cautions("http://far.example.com/v1"))[0][1]
    for near in ("http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:8/v1", ""):
        assert said(address_cautions(near)) == []


@pytest.mark.parametrize("kind", sorted(KNOWN_KINDS))
def test_what_a_kind_cannot_speak_is_told_and_nothing_else(kind):
    adapter = ADAPTERS.get(kind)
    able = set(adapter.paths) if adapter else set()
    told = said(protocol_cautions(kind, PROTOCOL_NAMES))
    assert [place for place, _ in told] == [
        place for place, name in enumerate(PROTOCOL_NAMES) if name not in able
    ]
    for place, text in told:
        assert f"kind {kind} cannot speak {PROTOCOL_NAMES[place]}, so it is passed over" in text
        assert text.endswith(f"; allowed: {', '.join(sorted(able)) or 'none in this version'}")


def test_what_is_told_of_a_protocol_is_what_a_compiled_provider_does():
    for kind in ADAPTERS:
        spec = ProviderSpec(
            name="a", kind=kind, base_url="https://a.example.com", protocols=PROTOCOL_NAMES
        )
        spoken = Upstream.compile(spec, lambda secret: secret, {}).protocols
        told = {PROTOCOL_NAMES[place] for place, _ in said(protocol_cautions(kind, PROTOCOL_NAMES))}
        assert spoken == set(PROTOCOL_NAMES) - told


@pytest.mark.parametrize(
    ("listens", "url", "is_own"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1", True),
        ("http://127.0.0.1:8000", "http://localhost:8000", True),
        ("http://127.0.0.1:8000", "http://0.0.0.0:8000/v1", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8001/v1", False),
        ("http://127.0.0.1:8000", "http://10.0.0.9:8000/v1", False),
        ("http://0.0.0.0:8000", "http://127.0.0.9:8000/v1", True),
        ("http://0.0.0.0:8000", "http://[::1]:8000/v1", True),
        ("http://0.0.0.0:80", "http://localhost/v1", True),
        ("http://0.0.0.0:8000", "http://192.0.2.1:8000/v1", False),
        ("http://[::]:8000", "http://[::ffff:127.0.0.1]:8000/v1", True),
        ("http://127.0.0.1:8000", "https://llm.example.com/v1", True),
        ("http://127.0.0.1:8000", "https://api.example.com/v1", False),
        ("", "http://127.0.0.1:8000/v1", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:x/v1", False),
    ],
)
def test_an_address_that_this_gateway_listens_at_is_warned_of(listens, url, is_own):
    environ = {"SWITCHYARD_LISTENS": listens, "ALLOWED_HOSTS": "localhost, llm.example.com"}
    cautions = [caution.text for caution in address_cautions(url, environ)]
    assert any("refused as a loop" in text for text in cautions) is is_own

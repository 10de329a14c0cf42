"""The configuration file: what is legal, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.config.document import Document, parse
from controlplane.config.general import (
    SETTING_OF_KEY,
    TIMEOUT_KEYS,
    effective_settings,
    setting_sources,
)
from controlplane.config.yaml import ConfigErrors
from controlplane.models import Settings
from tests.support.configuration import EXAMPLE, mistakes, read

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.pure

# Pairs of lines: what a file says, and what is said of it.
MISTAKES = [
    tuple(pair.split("\n"))
    for pair in Path(__file__).with_name("mistakes.txt").read_text().strip().split("\n\n")
]
POOL = """\
providers:
  a: {kind: openai, api_key: key-of-a}
  b: {kind: openai, api_key: key-of-b, base_url: "https://b.example.com"}
routing:
  model_pools:
    m:
      candidates:
        - {provider: a, model: x}
        - {provider: b, model: y}
"""


def only_mistake(text: str, **variables: str) -> str:
    found = mistakes(text, **variables)
    assert len(found) == 1, found
    return found[0]


def value(document: Document, key: str) -> Any:
    return document.values[key]["value"]


def said_of_the_example(**environ: str) -> list[str]:
    """Its warnings, apart from models that are about to retire, which depends on the day."""
    document = parse(EXAMPLE.read_text(), filename=str(EXAMPLE), environ=environ)
    assert set(document.blocks.routing.model_pools) == {"claude-sonnet-4-6", "gpt-4o-mini"}
    assert document.rules == {"claude-sonnet-4-6": ("openai_main/gpt-4o", "gpt-4o-mini")}
    return [warning for warning in document.warnings if "its vendor" not in warning]


def test_the_example_passes_with_an_empty_environment() -> None:
    *others, keyless = said_of_the_example()
    assert keyless.endswith('keys[0]: "team-a" has no key, so it is left out')
    assert others
    assert all("nobody can serve it" in warning for warning in others)


def test_the_example_passes_with_keys() -> None:
    said = said_of_the_example(OPENAI_API_KEY="key-of-openai", ANTHROPIC_KEY_1="key-of-anthropic")
    smaller, lesser = (
        warning for warning in said if "than the model" in warning or "can:" in warning
    )
    assert lesser.endswith("it cannot do what the model's own can: reasoning")
    assert "claude-sonnet-4-6[0]: its context window (128,000 tokens) is smaller" in smaller


def test_the_values_that_the_example_shows_are_the_defaults() -> None:
    document = parse(EXAMPLE.read_text(), filename="c.yaml", environ={})
    settings = Settings()
    shown = {
        key: given["value"]
        for key, given in document.values.items()
        if key in SETTING_OF_KEY and key != "failover.disabled_models"
    }
    assert len(shown) > 20
    assert shown == {key: getattr(settings, SETTING_OF_KEY[key]) for key in shown}


@pytest.mark.parametrize(
    ("given", "times"), [("{}", 1), ("{statuses: [429]}", 1), ("{times: 3}", 3), ("{times: 0}", 0)]
)
def test_whoever_gives_retry_first_means_once_where_nothing_else_is_said(
    given: str, times: int
) -> None:
    document = read(f"routing: {{defaults: {{failover: {{retry_first: {given}}}}}}}")
    assert document.values["routing.defaults.failover.retry_first.times"]["value"] == times


def test_a_retry_first_that_does_nothing_is_a_warning() -> None:
    document = read(
        """
        providers: {a: {kind: simulator}, b: {kind: simulator}}
        routing:
          model_pools:
            m:
              candidates: [{provider: a, model: x}, {provider: b, model: y}]
              failover: {max_attempts: 2, retry_first: {}}
        """
    )
    (warning,) = document.warnings
    assert warning.startswith("c.yaml:7: routing.model_pools.m.failover.retry_first: retry_first")
    assert "has no effect" in warning


def test_every_general_value_has_its_setting() -> None:
    first = {"statuses": [429], "times": 1, "max_wait_s": 1}
    policy = {"hedge_after_ms": 1, "retry_first": first}
    more = {"routing": {"defaults": {"timeouts": {"idle_s": 1}, "failover": policy}}}
    keys = set(parse(EXAMPLE.read_text(), filename="c.yaml", environ={}).values)
    keys |= set(parse(json.dumps(more), filename="c.yaml", environ={}).values)
    without = {key for key in keys if key.startswith(("capture.", "failover.rules.", TIMEOUT_KEYS))}
    assert keys - without == set(SETTING_OF_KEY)
    assert f"{TIMEOUT_KEYS}idle_s" in without


def test_a_settings_value_and_source_are_those_that_win() -> None:
    values = read(
        "routing: {defaults: {params: strict, timeouts: {idle_s: 5}}}", FAILOVER_ENABLED="off"
    ).values
    row = Settings(params="lenient", max_attempts=7, timeouts={"idle_s": 1, "connect_s": 2})
    effective = effective_settings(row, values)
    assert (effective["params"], effective["max_attempts"]) == ("strict", 7)
    assert effective["timeouts"] == {"idle_s": 5, "connect_s": 2}
    assert row.timeouts == {"idle_s": 1, "connect_s": 2}
    assert setting_sources(values) == {
        "failover_enabled": "environment",
        "params": "file",
        "timeouts": "file",
    }


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "providers: {}\n"])
def test_a_file_without_pools_is_legal(text: str) -> None:
    assert read(text).blocks.routing.model_pools == {}


def test_a_partial_block_says_nothing_of_the_rest() -> None:
    document = read("routing: {defaults: {failover: {max_attempts: 5, backoff: {base_ms: 7}}}}")
    assert document.values == {
        "routing.defaults.failover.backoff.base_ms": {"value": 7, "source": "file"},
        "routing.defaults.failover.max_attempts": {"value": 5, "source": "file"},
    }


def test_every_mistake_is_named_at_once_in_the_order_of_the_file() -> None:
    found = mistakes(
        """\
        providers:
          a:
            kind: opena
            base_url: ftp://x
        routing:
          defaults:
            failover:
              retry_on_statuses: [99, 500]
          model_pools:
            m:
              candidates:
                - provider: nobody
                  model: x
                  weight: 0
        failover:
          rules:
            m: [m]
        extra: 1
        """
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["c.yaml:3", "providers.a.kind"],
        ["c.yaml:4", "providers.a.base_url"],
        ["c.yaml:8", "routing.defaults.failover.retry_on_statuses[0]"],
        ["c.yaml:12", "routing.model_pools.m.candidates[0].provider"],
        ["c.yaml:14", "routing.model_pools.m.candidates[0].weight"],
        ["c.yaml:17", "failover.rules.m[0]"],
        ["c.yaml:18", "extra"],
    ]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_what_is_wrong_is_named_with_what_is_allowed(text: str, expected: str) -> None:
    assert only_mistake(text) == f"c.yaml:1: {expected}"


@pytest.mark.parametrize("fault", ["nonsense", "status:99", "cut", "flaky:2"])
def test_a_simulators_fault_must_be_one_that_it_knows(fault: str) -> None:
    found = only_mistake(f"providers: {{a: {{kind: simulator, fault: '{fault}'}}}}")
    assert found.startswith(f'c.yaml:1: providers.a.fault: no fault (text "{fault}"), allowed: ')
    assert read("providers: {a: {kind: simulator, fault: 'status:503'}}")


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    found = only_mistake("providers: {a: {kind: opena}}")
    assert found.startswith(
        'c.yaml:1: providers.a.kind: unknown (text "opena"), allowed: anthropic,'
    )
    assert found.endswith('; did you mean "openai"?')


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "azure_openai", "bedrock", "simulator"])
def test_every_known_kind_is_legal(kind: str) -> None:
    assert read(f"providers: {{a: {{kind: {kind}}}}}").blocks.providers["a"].kind == kind


@pytest.mark.parametrize(
    "block",
    [
        "api_key: 12345678",
        "api_key: [sk-12345678]",
        "api_key: 'sk 12345678'",
        "api_keys: {a: '12345678'}",
        "apikey: '12345678'",
        "headers: {x-a: 12345678}",
        "headers: '12345678'",
        'headers: {x-a: "12345678\\n"}',
        "proxy: 'socks://u:12345678@h'",
        "base_url: 'https://u:12345678@h'",
        "kind: openai_compatible\n    base_url: '12345678'",
    ],
)
def test_no_message_holds_what_may_be_a_secret(block: str) -> None:
    kind = "" if "kind" in block else "    kind: openai\n"
    found = mistakes(f"providers:\n  a:\n{kind}    {block}\n")
    assert found
    assert not any("12345678" in line for line in found)


def test_a_missing_provider_is_named_with_the_closest_one() -> None:
    found = only_mistake(POOL.replace("provider: b", "provider: bb"))
    assert found == (
        'c.yaml:9: routing.model_pools.m.candidates[1].provider: no such provider ("bb"),'
        ' allowed: a name under providers; did you mean "b"?'
    )


def test_an_aliass_targets_need_providers_too() -> None:
    found = only_mistake("aliases: {a: {targets: [{provider: nobody, model: m}]}}")
    assert 'aliases.a.targets[0].provider: no such provider ("nobody")' in found


def test_a_candidate_stands_once_in_a_pool() -> None:
    found = only_mistake(POOL.replace("{provider: b, model: y}", "{provider: a, model: x}"))
    assert found.endswith('candidates[1]: listed twice ("a/x"), allowed: once')


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("      aliases: [m]\n", 'aliases[0]: a pool has this name ("m"), allowed: another name'),
        ("      aliases: [s, s]\n",
         'aliases[1]: an alias has this name ("s", line 10), allowed: another name'),
        ("      aliases: [s]\naliases: {s: m}\n",
         'aliases.s: an alias has this name ("s", line 10), allowed: another name'),
        ("aliases: {m: m}\n", 'aliases.m: a pool has this name ("m"), allowed: another name'),
    ],
)  # fmt: skip
def test_two_names_may_not_be_alike(more: str, expected: str) -> None:
    found = mistakes(POOL + more)
    assert found[0].endswith(expected)


def test_a_key_given_twice_is_a_mistake_that_names_both_lines() -> None:
    found = only_mistake("bench:\n  failures: 3\n  window_s: 1\n  failures: 4\n")
    assert found == "c.yaml:4: bench.failures: this key stands twice, first in line 2"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1", "c.yaml:1: this is not YAML"),
        ("bench:\n  failures: 1\n window_s: 2\n", "c.yaml:3: this is not YAML"),
        ("bench: {}\n---\nbench: {}\n", "c.yaml:2: this is not YAML"),
        ("bench: {}\n# \x07\n", "c.yaml:2: this character is not allowed in YAML"),
        ("- a\n", "c.yaml:1: the file must be a mapping"),
        ("bench: !!python/object:os.system {}\n", "c.yaml:1: bench: the tag "),
        ("bench: {failures: !secret x}\n", "c.yaml:1: bench.failures: the tag !secret"),
        ("? [a]\n: 1\n", "c.yaml:1: a key must be text"),
        ('bench: {"a\\0": 1}\n', "c.yaml:1: bench."),
        (
            'failover: {rules_path: "a\\0b"}\n',
            "c.yaml:1: failover.rules_path: text must not hold NUL",
        ),
    ],
)
def test_what_is_no_yaml_of_ours_is_refused_with_its_line(text: str, start: str) -> None:
    assert mistakes(text)[0].startswith(start)


def test_anchors_and_merge_keys_work() -> None:
    document = read(
        """\
        providers:
          a: &base {kind: openai, timeouts: {connect_s: 1}}
          b: {<<: *base, kind: groq}
          c: *base
        """
    )
    blocks = document.blocks.providers
    assert (blocks["b"].kind, blocks["b"].timeouts.connect_s) == ("groq", 1)
    assert blocks["c"] == blocks["a"]


def test_an_anchor_within_itself_is_refused() -> None:
    assert "contains itself" in mistakes("bench: &a {window_s: [*a]}\n")[0]


def test_yaml_1_2_leaves_words_and_numbers_as_they_are() -> None:
    document = read("failover: {rules: {no: [on, yes]}}\nbench: {failures: 012}\n")
    assert document.rules == {"no": ("on", "yes")}
    assert value(document, "bench.failures") == 12


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_duration_is_a_number_with_a_unit(given: str, seconds: int) -> None:
    document = read(f"routing: {{defaults: {{session_affinity_ttl: {given}}}}}")
    assert value(document, "routing.defaults.session_affinity_ttl") == seconds


# variables


def test_a_variable_expands_to_its_value_or_to_its_default() -> None:
    text = 'providers: {a: {kind: openai, base_url: "${URL:-https://x/v1}", api_key: "${KEY}"}}'
    unset = read(text, KEY="k").blocks.providers["a"]
    empty = read(text, KEY="k", URL="").blocks.providers["a"]
    given = read(text, KEY="k", URL="https://y").blocks.providers["a"]
    assert [block.base_url for block in (unset, empty, given)] == [
        "https://x/v1", "https://x/v1", "https://y",
    ]  # fmt: skip
    assert given.api_key == "k"


def test_an_unset_variable_is_a_mistake_that_names_it() -> None:
    found = only_mistake('providers: {a: {kind: openai, api_key: "${NOPE}"}}')
    assert found == (
        "c.yaml:1: providers.a.api_key: the environment variable NOPE is not set;"
        " set it, or write ${NOPE:-default}"
    )


def test_a_variables_value_cannot_bring_yaml_in() -> None:
    found = mistakes(
        "providers:\n  p:\n    kind: openai\n    auth: ${A}\n", A="bearer\n  q: {kind: openai}"
    )
    assert len(found) == 1
    assert "providers.p.auth: unknown" in found[0]


def test_a_variables_value_is_not_expanded_again() -> None:
    document = read("providers: {a: {kind: openai, failure_domain: {x: '${X}'}}}", X="${Y}")
    assert document.blocks.providers["a"].failure_domain == {"x": "${Y}"}


def test_a_doubled_dollar_is_a_dollar() -> None:
    document = read("providers: {a: {kind: openai, headers: {x-a: '$${NAME} $5'}}}")
    assert document.blocks.providers["a"].headers == {"x-a": "${NAME} $5"}


@pytest.mark.parametrize("text", ["${}", "${a b}", "${A", "${1A}"])
def test_a_broken_variable_is_refused(text: str) -> None:
    found = only_mistake(f"failover: {{rules_path: '{text}'}}")
    assert "a broken variable, allowed: ${NAME}, ${NAME:-default}, or $${" in found


def test_a_number_or_switch_may_come_from_a_variable() -> None:
    document = read(
        'bench: {failures: "${F}", window_s: "${W:-5}"}\nfailover:\n  enabled: ${E}\n',
        F="7", E="false",
    )  # fmt: skip
    assert value(document, "bench.failures") == 7
    assert value(document, "bench.window_s") == 5
    assert value(document, "failover.enabled") is False


def test_text_from_a_variable_stays_text() -> None:
    document = read("providers: {a: {kind: openai, api_key: '${K}'}}", K="0123")
    assert document.blocks.providers["a"].api_key == "0123"


def test_variables_expand_in_values_only() -> None:
    assert "variables expand in values" in only_mistake("aliases: {'${A}': b}", A="x")


# rules_path and the environment


def test_rules_win_over_the_rules_file_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"a": ["x"], "b": [" y "]}')
    document = parse(
        "failover: {rules_path: more.json, rules: {a: [z]}}",
        filename=str(tmp_path / "c.yaml"),
        environ={},
    )
    assert document.rules == {"a": ("z",), "b": ("y",)}


def test_mistakes_in_the_rules_file_name_that_file_and_line(tmp_path: Path) -> None:
    rules = tmp_path / "more.json"
    rules.write_text('{\n "a": ["b"],\n "c": ["c", "", 3, "d", "d"],\n "e": "f",\n "a": ["g"]\n}')
    with pytest.raises(ConfigErrors) as refused:
        parse("failover: {rules_path: more.json}", filename=str(tmp_path / "c.yaml"), environ={})
    assert [line.removeprefix(str(rules)) for line in refused.value.errors] == [
        ":2: a: a second rule for this model, allowed: one",
        ':3: c[0]: the model itself ("c"), allowed: other names',
        ":3: c[1]: blank, allowed: a name",
        ":3: c[2]: wrong type (number 3), allowed: a name",
        ':3: c[4]: listed twice ("d"), allowed: once',
        ':4: e: wrong type (text "f"), allowed: a list of names',
    ]


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"a": ["b"]} x', "NaN"])
def test_a_rules_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    rules = tmp_path / "more.json"
    rules.write_text(text)
    with pytest.raises(ConfigErrors) as refused:
        parse("failover: {rules_path: more.json}", filename=str(tmp_path / "c.yaml"), environ={})
    assert refused.value.errors[0].startswith(f"{rules}:1: ")


def test_a_rules_file_that_is_not_there_is_a_mistake_of_the_file() -> None:
    found = only_mistake("failover: {rules_path: /nowhere/rules.json}")
    assert found == (
        "c.yaml:1: failover.rules_path: /nowhere/rules.json cannot be read:"
        " No such file or directory"
    )


def test_the_environment_wins_over_the_file() -> None:
    document = read(
        "failover: {enabled: true, disabled_models: [a], rules: {m: [x], n: [x]}}",
        FAILOVER_ENABLED="false",
        FAILOVER_DISABLED_MODELS_JSON='["b", "c"]',
        FAILOVER_RULES_JSON='{"m": ["y"]}',
    )
    assert document.values == {
        "failover.enabled": {"value": False, "source": "environment"},
        "failover.disabled_models": {"value": ["b", "c"], "source": "environment"},
        "failover.rules.m": {"value": ["y"], "source": "environment"},
        "failover.rules.n": {"value": ["x"], "source": "file"},
    }
    assert document.rules == {"m": ("y",), "n": ("x",)}


def test_an_empty_variable_says_nothing() -> None:
    document = read(
        "failover: {enabled: false}",
        FAILOVER_ENABLED="",
        FAILOVER_DISABLED_MODELS_JSON=" ",
        FAILOVER_RULES_JSON="",
        FEATURE_FALLBACK_MODE="",
    )
    assert document.values == {"failover.enabled": {"value": False, "source": "file"}}


def test_disabled_models_may_be_an_object_of_booleans() -> None:
    document = read("", FAILOVER_DISABLED_MODELS_JSON='{"a": true, "b": false, "c": true}')
    assert value(document, "failover.disabled_models") == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("FAILOVER_ENABLED", "maybe", 'wrong type (text "maybe"), allowed: true or false'),
        ("FAILOVER_DISABLED_MODELS_JSON", "null",
         "wrong type (null), allowed: an array of names, or an object of booleans"),
        ("FAILOVER_DISABLED_MODELS_JSON", '{"a": null}',
         'wrong type (null for "a"), allowed: an array of names, or an object of booleans'),
        ("FAILOVER_DISABLED_MODELS_JSON", "[null]", "wrong type (null), allowed: a name"),
        ("FAILOVER_RULES_JSON", "null", "wrong type (null), allowed: an object of lists of names"),
        ("FAILOVER_RULES_JSON", '{"a": null}', "a: wrong type (null), allowed: a list of names"),
        ("FAILOVER_RULES_JSON", '{"a": ["a"]}',
         'a[0]: the model itself ("a"), allowed: other names'),
        ("FEATURE_FALLBACK_MODE", "sometimes",
         'unknown (text "sometimes"), allowed: off, manual, auto; better: FAILOVER_ENABLED'),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(name: str, text: str, expected: str) -> None:
    assert mistakes("", {name: text}) == [f"{name}: {expected}"]


def test_mistakes_of_file_and_environment_come_together() -> None:
    found = mistakes("bench: {failures: 0}", FAILOVER_ENABLED="maybe")
    assert [line.split(":")[0] for line in found] == ["c.yaml", "FAILOVER_ENABLED"]


def test_the_legacy_mode_off_switches_failover_off_with_one_deprecation() -> None:
    document = read("failover: {enabled: true}", FEATURE_FALLBACK_MODE="off")
    assert document.values["failover.enabled"] == {"value": False, "source": "environment"}
    assert len(document.warnings) == 1


@pytest.mark.parametrize("mode", ["manual", "auto"])
def test_other_legacy_modes_are_accepted_and_ignored(mode: str) -> None:
    document = read("", FEATURE_FALLBACK_MODE=mode)
    assert document.values == {}
    assert len(document.warnings) == 1


def test_the_new_switch_wins_over_the_legacy_mode() -> None:
    document = read("", FEATURE_FALLBACK_MODE="off", FAILOVER_ENABLED="true")
    assert value(document, "failover.enabled") is True


# warnings


def test_a_weight_alone_in_its_priority_is_a_warning() -> None:
    text = POOL.replace("model: x}", "model: x, weight: 3}").replace("y}", "y, priority: 2}")
    assert read(text).warnings == (
        (
            "c.yaml:8: routing.model_pools.m.candidates[0].weight: this weight has no effect:"
            " it is alone in its priority"
        ),
    )


def test_a_weight_under_a_strategy_that_ignores_it_is_a_warning() -> None:
    text = POOL.replace("model: x}", "model: x, weight: 3}") + "      strategy: round_robin\n"
    assert "strategy round_robin ignores weights" in read(text).warnings[0]
    assert not read(text.replace("round_robin", "weighted_round_robin")).warnings


def test_a_pool_that_mixes_embedding_models_is_a_warning() -> None:
    text = POOL.replace("model: x", "model: text-embedding-3-small")
    assert "mixes embedding models (text-embedding-3-small, y)" in read(text).warnings[0]
    same = text.replace("model: y", "model: text-embedding-3-small")
    assert not read(same).warnings


def test_names_that_only_admin_may_know_are_warnings() -> None:
    document = read(POOL + "aliases: {s: n}\nfailover: {rules: {m: [a/z, mm, a/]}}\n")
    assert [line.split(": ")[1] for line in document.warnings] == [
        "aliases.s", "failover.rules.m[1]", "failover.rules.m[2]",
    ]  # fmt: skip


def test_what_helps_nobody_is_a_warning_at_its_place() -> None:
    document = read(
        """\
        providers:
          a: {kind: openai, api_key: k-of-a-123, models: [{id: x, metadata: {context_window: 9}}]}
          b: {kind: openai, api_key: k-of-b-123, base_url: "http://b.example.com", enabled: false}
          c:
            kind: openai
            api_key: k-of-c-123
            models: [{id: z, metadata: {context_window: 8, capabilities: {tools: false}}}]
        routing:
          model_pools:
            m:
              aliases: [n]
              candidates: [{provider: a, model: x}, {provider: b, model: y}]
            off:
              enabled: false
              candidates: [{provider: a, model: x}]
        aliases:
          o: off
          p: {targets: [{provider: a, model: x}, {provider: c, model: z}]}
        failover:
          rules:
            m: [b/y, o]
            n: [c/z]
        """
    )
    assert [line.removeprefix("c.yaml:") for line in document.warnings] == [
        (
            "3: providers.b.base_url: it is called by plain http:"
            " keys and prompts can be read on the way"
        ),
        "12: routing.model_pools.m.candidates[1]: provider b is disabled",
        "17: aliases.o: nobody can serve it: model pool off is disabled",
        (
            "18: aliases.p.targets: the candidates may all fail together: they share host"
            " api.openai.com"
        ),
        (
            "18: aliases.p.targets[1]: its context window (8 tokens) is smaller than the first"
            " candidate's (9)"
        ),
        "21: failover.rules.m[0]: nobody can serve it: provider b is disabled",
        "21: failover.rules.m[1]: nobody can serve it: model pool off is disabled",
        (
            "22: failover.rules.n[0]: its context window (8 tokens) is smaller than the model's own"
            " (9)"
        ),
    ]


def test_a_rule_from_elsewhere_is_warned_of_where_it_stands() -> None:
    text = POOL.replace("key-of-a}", "key-of-a, enabled: false}")
    (caution, *_others) = [
        line for line in read(text, FAILOVER_RULES_JSON='{"m": ["a/z"]}').warnings if "JSON" in line
    ]
    assert caution == "FAILOVER_RULES_JSON: m[0]: nobody can serve it: provider a is disabled"


def test_a_key_so_short_that_it_may_be_a_word_is_a_warning() -> None:
    document = read(
        """
        providers:
          a: {kind: openai, api_key: key-two}
          b: {kind: openai, api_keys: [key-four, none]}
          c: {kind: openai, api_key: ''}
        """
    )
    assert [line.partition(": it is shorter")[0] for line in document.warnings] == [
        "c.yaml:3: providers.a.api_key",
        "c.yaml:4: providers.b.api_keys[1]",
    ]


def test_a_protocol_that_the_kind_cannot_speak_is_a_warning() -> None:
    document = read(
        """
        providers:
          a: {kind: openai, protocols: [anthropic_messages, openai_images]}
          b: {kind: gemini, protocols: [openai_chat, gemini_generate]}
        """
    )
    images, chat = document.warnings
    assert images.startswith(
        "c.yaml:3: providers.a.protocols[1]: kind openai cannot speak openai_images,"
        " so it is passed over; allowed: anthropic_count_tokens, anthropic_messages,"
    )
    assert chat == (
        "c.yaml:4: providers.b.protocols[0]: kind gemini cannot speak openai_chat,"
        " so it is passed over; allowed: gemini_count_tokens, gemini_generate"
    )


def test_a_repeated_credential_is_a_warning() -> None:
    document = read("providers: {a: {kind: openai, api_keys: [key-long, key-long, '']}}")
    assert "api_keys[1]: the same key again, so it is left out" in document.warnings[0]


def test_the_checksum_moves_with_everything_that_counts(tmp_path: Path) -> None:
    rules = tmp_path / "r.json"
    rules.write_text("{}")
    text = f"failover: {{rules_path: {rules}}}"
    seen = {read(text).checksum, read(text).checksum}
    assert len(seen) == 1
    seen |= {read(text + "\n").checksum, read(text, FAILOVER_ENABLED="true").checksum}
    rules.write_text('{"a": ["b"]}')
    seen.add(read(text).checksum)
    assert len(seen) == 4


def test_a_variable_that_is_no_text_is_refused() -> None:
    found = only_mistake("providers: {a: {kind: openai, failure_domain: {x: '${V}'}}}", V="\udcff")
    assert "providers.a.failure_domain.x: text must not hold" in found

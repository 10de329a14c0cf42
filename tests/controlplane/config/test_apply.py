"""A configuration as text: written from what is stored, and made admin's again."""

from __future__ import annotations

import pytest

from controlplane.config.apply import apply_text
from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.config.objects import collect, effective
from controlplane.config.yaml import ConfigErrors
from controlplane.models import ApiKey, Settings, digest_of
from failover.models import FailoverRule
from providers.models import Credential, Provider
from routing.models import Alias, Candidate, CanonicalModel
from tests.support import rows
from tests.support.configuration import ENVIRON, EXAMPLE_TEXT, a_bit_of_everything, exported

pytestmark = pytest.mark.django_db


def apply(text: str, *, is_preview: bool = False, **environ: str):
    return apply_text(text, filename="c.yaml", environ=environ, is_preview=is_preview)


def errors(text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigErrors) as refused:
        apply(text, **environ)
    return refused.value.errors


def test_what_is_exported_applies_without_a_change_and_is_exported_again_the_same():
    a_bit_of_everything()
    text = exported()
    assert apply(text).changes == []
    assert exported() == text


def test_what_is_exported_makes_the_same_of_anything_else_and_keeps_secrets():
    a_bit_of_everything()
    text, keys = exported(), Credential.objects.order_by("pk").values_list("secret", flat=True)
    before = list(keys)
    Candidate.objects.all().delete()
    CanonicalModel.objects.filter(name="small").update(strategy="round_robin", native_first=True)
    CanonicalModel.objects.create(name="more")
    FailoverRule.objects.all().delete()
    Alias.objects.all().delete()
    Provider.objects.filter(name="lab").update(timeouts={}, kind="openai")
    Settings.objects.update(max_attempts=9, hedge_after_ms=None, timeouts={"connect_s": 1})
    ApiKey.objects.update(enabled=True, rpm=None, team=None, expires_at=None)
    assert len(apply(text).changes) == 10
    assert exported() == text
    assert list(keys) == before
    assert ApiKey.objects.get(name="first key").digest == digest_of("sy_one")
    assert Provider.objects.get(name="lab").headers["x-api-token"].reveal() == "hush"


def test_an_export_has_the_configurations_object_and_not_the_one_that_it_shadows():
    rows.provider("lab", kind="groq")
    rows.provider("lab", kind="mistral", managed_source="config")
    rows.provider("own", kind="openai")

    kinds = {key.name: block["kind"] for key, block in effective(collect()).items() if key.name}

    assert kinds == {"lab": "mistral", "own": "openai"}
    assert "kind: mistral" in exported()
    assert "groq" not in exported()


def test_an_export_holds_no_secret():
    a_bit_of_everything()
    text = exported()
    assert "hush" not in text
    assert "sk-" not in text
    for digest in ApiKey.objects.values_list("digest", flat=True):
        assert digest not in text
    assert "${PROVIDER_KEY_LAB_SPARE_KEY}" in text


def test_an_export_passes_for_a_configuration_file_with_its_variables():
    a_bit_of_everything()
    CanonicalModel.objects.filter(name="empty").delete()
    text = exported()
    secret = {"PROV", "API_", "WEBH"}
    names = {name.split("}")[0] for name in text.split("{")[1:] if name[:4] in secret}
    places = {name for name in names if "PROXY" in name or "URL" in name}
    environ = {name: f"http://{name}" if name in places else f"value-{name}" for name in names}
    document = parse(text, filename="c.yaml", environ=environ)
    assert document.blocks.providers["lab"].headers["x-team"] == "value-PROVIDER_HEADER_LAB_X_TEAM"
    assert document.blocks.failover.disabled_rules == ["small"]


def test_the_example_file_is_exported_applied_and_exported_the_same():
    mirror(parse(EXAMPLE_TEXT, filename="example.yaml", environ=ENVIRON))
    text = exported()
    assert apply(text).changes == []
    assert exported() == text


def test_the_example_file_applied_is_what_it_is_mirrored():
    outcome = apply(EXAMPLE_TEXT.replace("capture:", "#"), **ENVIRON)
    applied = exported()
    assert {change.action for change in outcome.changes} >= {"added"}
    for kind in (Alias, CanonicalModel, FailoverRule, ApiKey, Provider):
        kind.objects.all().delete()
    mirror(parse(EXAMPLE_TEXT.replace("capture:", "#"), filename="e.yaml", environ=ENVIRON))
    assert exported() == applied


def test_a_preview_tells_what_applying_does_and_does_nothing():
    a_bit_of_everything()
    before = collect()
    text = "aliases: {tiny: small}\nrouting: {model_pools: {small: {candidates: []}}}"
    seen = apply(text, is_preview=True)
    assert collect() == before
    done = apply(text)
    assert seen == done
    assert [str(change) for change in done.changes] == [
        "removed alias null",
        "removed pool empty",
        "changed pool small",
    ]


def test_a_section_that_is_left_out_is_left_alone():
    a_bit_of_everything()
    before = collect()
    outcome = apply("bench: {failures: 4}")
    assert [(c.key.kind, [str(f) for f in c.fields]) for c in outcome.changes] == [
        ("settings", ["bench.failures: 3 → 4"])
    ]
    assert {k: v for k, v in collect().items() if k.kind != "settings"} == {
        k: v for k, v in before.items() if k.kind != "settings"
    }


def test_secrets_are_written_from_variables_and_shown_as_changed():
    rows.provider("lab", secret="old")
    key = "providers: {lab: {kind: openai, api_keys: [{label: main, key: '${K}'}]}}"
    outcome = apply(key, K="new")
    (change,) = outcome.changes
    assert [str(field) for field in change.fields] == ["api_keys[main].key: secret → changed"]
    assert Credential.objects.get().secret.reveal() == "new"
    assert apply(key).changes == []  # unset: the stored one
    assert Credential.objects.get().secret.reveal() == "new"


def test_a_secret_that_is_not_stored_cannot_be_kept():
    said = errors(
        "providers:\n  lab: {kind: openai, api_key: '${K}', proxy: '${P}'}\n"
        "keys:\n  - {name: a, key: '${A}'}"
    )
    kept = "nothing is stored that could be kept, allowed: a value, or a variable that is set"
    assert said == (
        f"c.yaml:2: providers.lab.proxy: {kept}",
        f"c.yaml:2: providers.lab.api_key: {kept}",
        f"c.yaml:4: keys[0].key: {kept}",
    )
    assert not Provider.objects.exists()


def test_what_the_configuration_manages_is_refused_with_its_place_unless_it_is_the_same():
    mirror(parse(EXAMPLE_TEXT, filename="example.yaml", environ=ENVIRON))
    before = collect()
    text = exported().replace("first_token_s: 20", "first_token_s: 21")
    (said,) = errors(text)
    assert "routing.model_pools.gpt-4o-mini: managed by configuration" in said
    assert "timeouts.first_token_s: 20 → 21" in said
    (said,) = errors("aliases: {}\nrouting: {defaults: {strategy: round_robin}}")
    assert said.startswith("c.yaml:2: routing.defaults.strategy: managed by configuration (file)")
    outcome = apply("aliases: {mine: gpt-4o-mini}")
    assert outcome.notes == [
        f"alias {name} is managed by configuration, so it stays, though it is not in c.yaml"
        for name in ("fast", "opus-4.5", "sonnet")
    ]
    assert len(collect()) == len(before) + 1


def test_nothing_is_applied_if_anything_is_wrong_and_everything_wrong_is_named():
    rows.provider("lab")
    rows.pool("small", "lab/s")
    before = collect()
    assert errors("providers: {}") == (
        (
            "c.yaml:1: providers: lab would be gone, but is in use."
            " The model pool small has it as a candidate."
        ),
    )
    assert errors("aliases:\n  a: nowhere\n  small: a\n") == (
        "c.yaml:3: aliases.small: 'small' is a model pool already; a name can be one or the other",
    )
    assert errors("failover: {rules_path: /etc/passwd}") == (
        "c.yaml:1: failover.rules_path: cannot be applied, allowed: rules",
    )
    assert errors("capture: {requests: true}") == (
        (
            "c.yaml:1: capture.requests: admin has no such setting, allowed: in the configuration"
            " file only"
        ),
    )
    (said,) = errors("bench:\n  cooldown_s: 900")
    assert said == "c.yaml:1: bench.max_cooldown_s: the longest bench is shorter than the first"
    assert collect() == before


def test_a_key_that_somebody_has_already_is_refused():
    rows.api_key("one", "sy_same")
    text = "keys: [{name: one, key: '${X}'}, {name: two, key: sy_same}]"
    assert errors(text) == (
        'c.yaml:1: keys[1].key: the same key as "one" in admin, allowed: another key',
    )

"""
One truth: what the form, the API or the file accepts can be exported, checked, applied to an empty
database, and gone back to.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.config.apply import apply_text
from controlplane.config.document import parse
from controlplane.config.general import SETTING_OF_KEY
from controlplane.config.mirror import mirror
from controlplane.config.yaml import ConfigErrors
from controlplane.edits.kinds import KINDS
from controlplane.edits.models import Revision
from controlplane.models import ConfigSource, Settings, Team
from controlplane.publishing.publisher import publish
from controlplane.revisions.returning import roll_back
from failover.models import FailoverRule
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.configuration import exported
from tests.support.forms import (
    address,
    candidate,
    inline,
    pool_form,
    provider_form,
    settings_form,
    typed,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

NUMBERS = st.sampled_from(
    [0, 1, 0.5, 1.0, 2, 5, 99, 100, 101, 500, 900, 2147483647, 2147483648, 1e9, 1e-31, 3.2e8, -1,
     "5", True, None],
)  # fmt: skip
WORDS = st.sampled_from(
    ["a", "A", "lab", "small", "lab/m", "gone", "x" * 200, "/team", "team", "no", "1", "é", "~",
     "a b", "a,b", "${A}", "x" * 201, "lab/" + "x" * 250, "x" * 301, "a\u2028b", "", " a "],
)  # fmt: skip
NAMES = st.one_of(st.integers(0, 99).map("n{}".format), WORDS)
TIMEOUTS = st.dictionaries(st.sampled_from(["connect_s", "idle_s", "never_s"]), NUMBERS, max_size=2)
STATUSES = st.lists(st.sampled_from([429, 500, 500.0, 502, 99]), max_size=3)
BACKOFF = st.dictionaries(st.sampled_from(["base_ms", "factor", "max_ms"]), NUMBERS, max_size=2)
RETRY = st.fixed_dictionaries(
    {}, optional={"times": NUMBERS, "statuses": STATUSES, "max_wait_s": NUMBERS}
)
POLICY: dict[str, Any] = {
    "max_attempts": NUMBERS, "same_candidate_retries": NUMBERS, "deadline_s": NUMBERS,
    "hold_s": NUMBERS, "hedge_after_ms": NUMBERS, "retry_on_statuses": STATUSES,
    "retry_first": RETRY, "backoff": BACKOFF, "gate": st.sampled_from(["whole_answer", "x"]),
}  # fmt: skip
CAPTURE = st.dictionaries(st.sampled_from(["requests", "keep_days"]), NUMBERS, max_size=2)
BENCH = st.dictionaries(
    st.sampled_from(["failures", "failure_ratio", "cooldown_s", "max_cooldown_s"]), NUMBERS,
    max_size=3,
)  # fmt: skip
KINDS_OF = st.sampled_from(["openai", "openai_compatible", "simulator", "azure_openai", "vllm"])
ADDRESSES = st.sampled_from(["", "", "http://127.0.0.1:9/v1", "ftp://x", "https://h/v1"])
METADATA = st.sampled_from(
    [{}, {"context_window": 5.0}, {"pricing": {"tiers": []}}, {"capabilities": {}}, {"family": ""},
     {"pricing": {"input_per_mtok": 0.1, "tiers": [{"above_input_tokens": 2147483648}]}}],
)  # fmt: skip


def one_of_each(optional: dict[str, Any], **required: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A few fields of an object, the others left out: most odd values would refuse the whole."""
    some = st.lists(st.sampled_from(sorted(optional)), max_size=2, unique=True)
    return some.flatmap(
        lambda names: st.fixed_dictionaries(
            {**required, **{name: optional[name] for name in names}}
        )
    )


PROVIDER = one_of_each(
    {
        "base_url": ADDRESSES,
        "auth": st.sampled_from(["x-api-key", "basic"]),
        "timeouts": TIMEOUTS,
        "bench": BENCH,
        "failure_domain": st.dictionaries(WORDS, WORDS, max_size=2),
        "health": st.fixed_dictionaries({}, optional={"interval_s": NUMBERS}),
        "protocols": st.lists(st.sampled_from(["openai_chat", "rerank", "x"]), max_size=2),
        "headers": st.dictionaries(st.sampled_from(["x-a", "X-A", "host"]), WORDS, max_size=2),
        "fault": st.sampled_from(["status:503", "nonsense"]),
        "proxy": st.sampled_from(["http://u:p@h:1", "http://h:1", "h"]),
        "enabled": st.booleans(),
        "credentials": st.lists(
            st.fixed_dictionaries({"label": WORDS, "secret": st.sampled_from(["s", "a b"])}),
            max_size=2,
        ),
        "models": st.lists(
            st.fixed_dictionaries({"model_id": WORDS, "metadata": METADATA}), max_size=2
        ),
    },
    name=NAMES,
    kind=KINDS_OF,
)
CANDIDATES = st.lists(
    one_of_each(
        {"priority": NUMBERS, "weight": NUMBERS, "rpm": NUMBERS, "timeouts": TIMEOUTS},
        provider_name=st.sampled_from(["lab", "lab", "nobody"]),
        model=NAMES,
    ),
    max_size=2,
)
POOL = one_of_each(
    {
        "session_affinity_ttl_s": NUMBERS,
        "strategy": st.sampled_from(["fill_first", "x"]),
        "timeouts": TIMEOUTS,
        "failover": one_of_each(POLICY),
        "capture": CAPTURE,
        "native_first": st.sampled_from([True, False, None]),
    },
    name=NAMES,
    candidates=CANDIDATES,
)
ALIAS = st.one_of(
    st.fixed_dictionaries({"name": NAMES, "target": st.sampled_from(["small", "n1", "gone"])}),
    st.fixed_dictionaries({"name": NAMES, "targets": CANDIDATES}),
)
RULE = st.fixed_dictionaries(
    {"primary_model": WORDS, "fallback_models": st.lists(WORDS, min_size=1, max_size=3)},
    optional={"enabled": st.booleans()},
)
KEY = one_of_each(
    {
        "models": st.lists(WORDS, max_size=2),
        "user_path": WORDS,
        "team": WORDS,
        "scopes": st.lists(st.sampled_from(["inference", "admin"]), max_size=3),
        "rpm": NUMBERS,
        "capture": CAPTURE,
        "expires_at": st.sampled_from(["2030-01-01T00:00:00.123456+14:00", "1600-01-01T00:00Z"]),
    },
    name=NAMES,
)
WEBHOOK = one_of_each(
    {
        "kind": st.sampled_from(["signed", "slack", "x"]),
        "secret": WORDS,
        "enabled": st.booleans(),
    },
    name=NAMES,
    url=st.sampled_from(
        [
            "https://203.0.113.7/T0/B0?x=${A}",
            "http://127.0.0.1:9/x",
            "https://203.0.113.8",
            "ftp://x",
        ]
    ),
)
NUMBER_SETTING = st.tuples(
    st.sampled_from(
        ["deadline_s", "hold_s", "max_attempts", "same_candidate_retries", "retry_first_times",
         "backoff_base_ms", "backoff_factor", "backoff_max_ms", "hedge_after_ms", "bench_failures",
         "bench_failure_ratio", "bench_window_s", "bench_cooldown_s", "session_affinity_ttl_s",
         "alerts_failover_rate"],
    ),
    NUMBERS,
)  # fmt: skip
ADDRESS = st.sampled_from(["a@example.com", "A@example.com", "b@example.com", "a", "x y@z", ""])
HOURS = st.sampled_from(["22:00-07:00", "22:00-07:00 UTC", "7:00-7:00", "25:00-1:00", ""])
SETTING = st.one_of(
    NUMBER_SETTING,
    NUMBER_SETTING,
    st.tuples(st.just("alerts_email"), st.lists(ADDRESS, max_size=3)),
    st.tuples(st.just("alerts_quiet_hours"), HOURS),
)


def held(text: str) -> dict[str, str]:
    """A value for each variable of an export, of a form that its place takes."""
    names = re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)\}", text)
    return {n: f"http://u:{n}@h:1" if "PROXY" in n else f"value-{n}" for n in names}


def forget_everything() -> None:
    for kind in reversed(KINDS.values()):
        apps.get_model(kind.model).objects.all().delete()
    for model in (Team, Settings, ConfigSource):
        model.objects.all().delete()


def goes_all_the_way(folder: Path) -> None:
    """Publish what is stored, export it, check it, apply it to nothing, and go back to it."""
    publish(folder)
    text = exported()
    parse(text, filename="check.yaml", environ=held(text))
    assert apply_text(text, filename="same.yaml", environ={}).changes == []
    forget_everything()
    apply_text(text, filename="empty.yaml", environ=held(text))
    assert exported() == text
    publish(folder)
    good = Revision.objects.first()
    assert good is not None
    for model in (CanonicalModel, FailoverRule, Settings):
        for row in model.objects.all():
            row.delete()
    publish(folder)
    assert roll_back(good.pk).left_out == []
    assert exported() == text


@pytest.fixture
def scene(db) -> Client:
    """Somebody signed in, a provider and a pool that others can name."""
    rows.provider("lab", secret="s")
    rows.pool("small", "lab/m")
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


LESS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=max(2, settings.default.max_examples // 10),
    derandomize=settings.default.max_examples < 100,  # who looks for more asks for "thorough"
)
OBJECT = st.one_of(
    st.tuples(st.just("providers"), PROVIDER),
    st.tuples(st.just("pools"), POOL),
    st.tuples(st.just("aliases"), ALIAS),
    st.tuples(st.just("failover"), RULE),
    st.tuples(st.just("keys"), KEY),
)
ENTRY = st.one_of(OBJECT, OBJECT, OBJECT, st.tuples(st.just("webhooks"), WEBHOOK))


@LESS
@given(objects=st.lists(OBJECT, min_size=10, max_size=30))
def test_what_the_api_accepts_is_good_everywhere(scene, tmp_path, objects):
    with transaction.atomic():
        for path, body in objects:
            send = scene.put if path == "failover" else scene.post
            answer = send(f"/api/{path}", data=body, content_type="application/json")
            assert answer.status_code < 500, (path, body)
        goes_all_the_way(tmp_path)
        transaction.set_rollback(True)


@LESS
@given(
    changed=st.lists(SETTING, min_size=2, max_size=5),
    objects=st.lists(ENTRY, min_size=3, max_size=8),
)
def test_what_a_form_accepts_is_good_everywhere(scene, tmp_path, changed, objects):
    with transaction.atomic():
        for name, value in changed:
            given_value = "" if value is None else value
            if isinstance(value, list):
                given_value = "\n".join(value)
            page = address("controlplane_settings", "change", 1)
            scene.post(page, settings_form(**{name: given_value}))
        for path, body in objects:
            model, form = FORMS[path](body)
            assert scene.post(address(model, "add"), form).status_code in {200, 302}
        goes_all_the_way(tmp_path)
        transaction.set_rollback(True)


def _provider(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    fields = _typed({name: value for name, value in body.items() if name not in PARTS})
    fields["protocols"] = "\n".join(body.get("protocols", ()))
    parts = [
        inline(
            "credentials", *({**entry, "enabled": "on"} for entry in body.get("credentials", ()))
        ),
        inline(
            "models",
            *({**m, "metadata": json.dumps(m["metadata"])} for m in body.get("models", ())),
        ),
    ]
    return "providers_provider", provider_form(**fields, **parts[0], **parts[1])


def _pool(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    fields = _typed({name: value for name, value in body.items() if name not in PARTS})
    members = [
        {**candidate(c["provider_name"], c["model"], place), **_typed(c)}
        for place, c in enumerate(body["candidates"])
    ]  # fmt: skip
    return "routing_canonicalmodel", pool_form(*members, **fields)


def _alias(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    targets = [
        {"provider_name": c["provider_name"], "model": c["model"], "priority": 1, "weight": 1}
        for c in body.get("targets", ())
    ]
    form = {"name": body["name"], "target": body.get("target", ""), "enabled": "on"}
    return "routing_alias", form | inline("targets", *targets)


def _rule(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    lines = "\n".join(body["fallback_models"])
    form = {"primary_model": body["primary_model"], "fallback_models": lines, "enabled": "on"}
    return "failover_failoverrule", form


def _key(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    fields = _typed({n: value for n, value in body.items() if n not in {"team", "expires_at"}})
    fields["models"] = "\n".join(body.get("models", ()))
    fields["scopes"] = body.get("scopes", ["inference"])
    return "controlplane_apikey", {"enabled": "on", **fields}


def _webhook(body: dict[str, Any]) -> tuple[str, dict[str, object]]:
    return "controlplane_webhook", {"kind": "signed", **body}


def _typed(fields: dict[str, Any]) -> dict[str, object]:
    """As the fields of a form have it."""
    found: dict[str, object] = {}
    for name, value in fields.items():
        if name in BLOCKS:
            found |= typed(name, value)
        elif isinstance(value, dict | list):
            found[name] = json.dumps(value)
        else:
            found[name] = "" if value is None else value
    return found


PARTS = {"credentials", "models", "candidates", "protocols"}
BLOCKS = {"timeouts", "bench", "health", "failover", "capture"}
FORMS = {
    "providers": _provider,
    "pools": _pool,
    "aliases": _alias,
    "failover": _rule,
    "keys": _key,
    "webhooks": _webhook,
}


LISTS = {("keys",), ("alerts", "webhooks")}  # of a file; its other objects stand by their names


def _put(root: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    *blocks, last = place
    for name in blocks:
        root = root.setdefault(name, {})
    if place in LISTS:
        root.setdefault(last, []).append(value)
    else:
        root[last] = value


def _filed(path: str, body: dict[str, Any]) -> tuple[tuple[str, ...], Any]:
    """The place of an object in a file, and what stands there."""
    rest = {name: value for name, value in body.items() if name not in {"name", "targets"}}
    for old, new in (
        ("credentials", "api_keys"),
        ("session_affinity_ttl_s", "session_affinity_ttl"),
    ):
        if old in rest:
            rest[new] = rest.pop(old)
    if "api_keys" in rest:
        rest["api_keys"] = [{"label": c["label"], "key": c["secret"]} for c in rest["api_keys"]]
    if "session_affinity_ttl" in rest:
        rest["session_affinity_ttl"] = f"{rest['session_affinity_ttl']}s"
    for name in ("candidates", "targets"):
        if name in body:
            rest[name] = [
                {("provider" if k == "provider_name" else k): v for k, v in member.items()}
                for member in body[name]
            ]
    match path:
        case "providers":
            rest["models"] = [{**m, "id": m["model_id"]} for m in body.get("models", ())]
            for entry in rest["models"]:
                del entry["model_id"]
            return ("providers", body["name"]), rest
        case "pools":
            return ("routing", "model_pools", body["name"]), rest
        case "aliases":
            return ("aliases", body["name"]), rest
        case "failover":
            return ("failover", "rules", body["primary_model"]), body["fallback_models"]
        case "webhooks":
            return ("alerts", "webhooks"), body
    return ("keys",), {**rest, "name": body["name"], "key": f"sk-{body['name']}"}


@LESS
@given(objects=st.lists(ENTRY, min_size=8, max_size=15), general=st.lists(SETTING, max_size=3))
def test_what_a_file_accepts_is_good_everywhere(scene, tmp_path, objects, general):
    """One object after another is put into the file, and stays if the file is still accepted."""
    del scene
    dotted = {field: key for key, field in SETTING_OF_KEY.items()}
    root: dict[str, Any] = {"providers": {"lab": {"kind": "openai", "api_key": "s"}}}
    entries = [_filed(path, body) for path, body in objects]
    entries += [(tuple(dotted[name].split(".")), value) for name, value in general]
    for place, value in entries:
        trial = deepcopy(root)
        _put(trial, place, value)
        try:
            parse(json.dumps(trial), filename="c.yaml", environ={})
        except ConfigErrors:
            continue
        root = trial
    with transaction.atomic():
        forget_everything()
        mirror(parse(json.dumps(root), filename="c.yaml", environ={}))
        goes_all_the_way(tmp_path)
        transaction.set_rollback(True)

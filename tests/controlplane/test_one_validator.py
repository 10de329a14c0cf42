"""
One truth: what the form, the API or the file accepts can be exported, checked, applied to an empty
database, and gone back to.
"""

from __future__ import annotations

import json
import re
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
from controlplane.config.objects import collect, effective
from controlplane.edits.kinds import KINDS
from controlplane.models import Settings, Team
from controlplane.publishing.publisher import publish
from controlplane.revisions.returning import roll_back
from tests.support import rows
from tests.support.configuration import exported

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
SETTING = st.tuples(
    st.sampled_from(
        ["deadline_s", "hold_s", "max_attempts", "same_candidate_retries", "retry_first_times",
         "backoff_base_ms", "backoff_factor", "backoff_max_ms", "hedge_after_ms", "bench_failures",
         "bench_failure_ratio", "bench_window_s", "bench_cooldown_s", "session_affinity_ttl_s",
         "alerts_failover_rate"],
    ),
    NUMBERS,
)  # fmt: skip


def held(text: str) -> dict[str, str]:
    """A value for each variable of an export, of a form that its place takes."""
    names = re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)\}", text)
    return {n: f"http://u:{n}@h:1" if "PROXY" in n else f"value-{n}" for n in names}


def forget_everything() -> None:
    for kind in reversed(KINDS.values()):
        apps.get_model(kind.model).objects.all().delete()
    Team.objects.all().delete()
    Settings.objects.all().delete()


def goes_all_the_way(folder: Path) -> None:
    """Publish what is stored, export it, check it, apply it to nothing, and go back to it."""
    stored, text = effective(collect()), exported()
    publish(folder)
    good = roll_back_target()
    parse(text, filename="check.yaml", environ=held(text))
    assert apply_text(text, filename="same.yaml", environ={}).changes == []
    forget_everything()
    apply_text(text, filename="empty.yaml", environ=held(text))
    again = effective(collect())
    assert shape(again) == shape(stored)
    assert exported() == text
    publish(folder)
    rows.CanonicalModel.objects.all().delete()
    rows.FailoverRule.objects.all().delete()
    Settings.objects.all().delete()
    publish(folder)
    roll_back(good)
    assert shape(effective(collect())) == shape(stored)


def roll_back_target() -> int:
    from controlplane.edits.models import Revision  # noqa: PLC0415

    newest = Revision.objects.first()
    assert newest is not None
    return newest.pk


def shape(state: Any) -> Any:
    """What is stored, whatever the secrets are."""
    return json.loads(json.dumps({str(k): v for k, v in state.items()}, default=lambda _: "secret"))


LESS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=max(3, settings.default.max_examples // 5),
)


@pytest.fixture
def scene(db) -> None:
    rows.provider("lab", secret="s")
    rows.pool("small", "lab/m")


@LESS
@given(
    objects=st.lists(
        st.one_of(
            st.tuples(st.just("providers"), PROVIDER),
            st.tuples(st.just("pools"), POOL),
            st.tuples(st.just("aliases"), ALIAS),
            st.tuples(st.just("failover"), RULE),
            st.tuples(st.just("keys"), KEY),
        ),
        min_size=10,
        max_size=30,
    )
)
def test_what_the_api_accepts_is_good_everywhere(scene, tmp_path, objects):
    with transaction.atomic():
        client = Client()
        client.force_login(User.objects.create_superuser("ada"))
        for path, body in objects:
            send = client.put if path == "failover" else client.post
            answer = send(f"/api/{path}", data=body, content_type="application/json")
            assert answer.status_code < 500, (path, body)
        goes_all_the_way(tmp_path)
        transaction.set_rollback(True)

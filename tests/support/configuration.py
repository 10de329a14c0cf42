"""Configuration for tests: the example file, what is wrong with a text, and a bit of everything."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from controlplane.alerts.models import Webhook
from controlplane.config.document import Document, parse
from controlplane.config.objects import collect, effective
from controlplane.config.text import text_of
from controlplane.config.yaml import ConfigErrors
from controlplane.models import Settings, Team
from providers.models import Credential, ProviderModel
from routing.models import Alias, AliasTarget, Candidate
from tests.support import rows

if TYPE_CHECKING:
    from collections.abc import Mapping


EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def mistakes(text: str, environ: Mapping[str, str] | None = None, **variables: str) -> list[str]:
    with pytest.raises(ConfigErrors) as refused:
        read(text, environ, **variables)
    return list(refused.value.errors)


ENVIRON = {
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_KEY_1": "ak-1",
    "ANTHROPIC_KEY_2": "ak-2",
    "TEAM_A_KEY": "sy_0123456789abcdefghijklmnopqrstuv",
}
EXAMPLE_TEXT = EXAMPLE.read_text()


def exported() -> str:
    return text_of(effective(collect()))


def a_bit_of_everything() -> None:
    lab = rows.provider(
        "lab",
        kind="openai_compatible",
        base_url="http://127.0.0.1:1/v1",
        headers={"x-api-token": "hush", "x-team": "${not a variable}"},
        proxy="http://me:hush@127.0.0.1:9",
        timeouts={"connect_s": 2.5, "total_s": 30.0},
        failure_domain={"region": "eu: 1"},
        bench={"failures": 5},
    )
    for position, label in enumerate(["main", "spare key"]):
        Credential.objects.create(
            provider=lab,
            label=label,
            secret=f"sk-{label}-x",
            position=position,
            enabled=not position,
        )
    ProviderModel.objects.create(provider=lab, model_id="m1", metadata={"context_window": 5})
    ProviderModel.objects.create(provider=lab, model_id="m2", position=1)
    rows.provider("sim", kind="simulator", fault="status:503", enabled=False)
    rows.pool("small", "lab/m1", "sim/1.5", session_affinity_ttl_s=90.5, native_first=False)
    Candidate.objects.filter(provider_name="sim").update(weight=3, rpm=7, enabled=False)
    rows.pool("empty")
    rows.alias("tiny", "small")
    many = Alias.objects.create(name="null", strategy="fill_first")
    AliasTarget.objects.create(alias=many, provider_name="lab", model="m2", priority=2)
    rows.rule("small", "lab/m2", "tiny", enabled=False)
    rows.rule("yes", "small")
    rows.api_key(
        "first key", "sy_one", team=Team.objects.create(name="Team ü"), models=["gpt-*"], rpm=3
    )
    rows.api_key(
        "off", "sy_two", enabled=False, scopes=["admin"], expires_at="2027-01-31T12:00:00Z"
    )
    settings = Settings.load()
    settings.hedge_after_ms = 1500.0
    settings.timeouts = {"idle_s": 7}
    settings.disabled_models = ["small"]
    settings.alerts_email = ["ops@example.com"]
    settings.alerts_quiet_hours = "22:00-07:00 Europe/Lisbon"
    settings.save()
    Webhook.objects.create(name="ops", url="https://8.8.8.8/hush", secret="hush-hush-hush")
    Webhook.objects.create(
        name="chat room", url="https://hooks.example.com/hush", kind="slack", enabled=False
    )


def read(text: str, environ: Mapping[str, str] | None = None, **variables: str) -> Document:
    return parse(dedent(text), filename="c.yaml", environ=environ or variables)

"""
The table of rights, walked: every act by every role on every surface, and whether it happened.

What counts is not the answer but what is so afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from controlplane.access.acts import ACTS, as_table
from controlplane.alerts.models import Webhook
from controlplane.config.objects import collect
from controlplane.config.text import text_of
from controlplane.models import ApiKey, Settings
from controlplane.publishing.publisher import publish
from controlplane.revisions import history
from providers.models import Credential, Provider
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.api import Api
from tests.support.forms import address, inline
from tests.support.gateways import ROOT

pytestmark = pytest.mark.django_db

MASTER = "the-master-key-of-the-tests"
ADMIN_KEY = "sy_admin"
OLD, NEW = "https://old.example.com/v1", "https://new.example.com/v1"


def send(client: Client, method: str, path: str, body: object) -> None:
    text = "" if body is None else body
    getattr(client, method)(f"/api/{path}", data=text, content_type="application/json")


def key_form(**fields: object) -> dict[str, object]:
    return {"name": "k", "scopes": "inference", "enabled": "on", **fields}


def provider_form(*credentials: dict[str, object], stored: int = 0) -> dict[str, object]:
    return {
        "name": "lab", "kind": "openai", "enabled": "on", "trust_env_proxy": "on",
        "base_url": OLD, "failure_domain": "{}",
        "headers": "{}", **inline("credentials", *credentials, stored=stored), **inline("models"),
    }  # fmt: skip


def user_form(user: User, **fields: object) -> dict[str, object]:
    """What the page of a user sends, with what is so now."""
    usual = {
        "username": user.username, "is_active": "on", "is_staff": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
        "user_permissions": list(user.user_permissions.values_list("pk", flat=True)),
        "groups": list(user.groups.values_list("pk", flat=True)),
    }  # fmt: skip
    return usual | fields


def permission(name: str) -> Permission:
    app, _, codename = name.partition(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


@dataclass(frozen=True, kw_only=True)
class Deed:
    """How an act is done on each surface, and whether it is done. `extra`: what its page needs."""

    done: Callable[[], bool]
    api: Callable[[Client], None] | None = None
    admin: Callable[[Client], None] | None = None
    extra: tuple[str, ...] = field(default=())


def on_key(name: str, **fields: object) -> Callable[[Client], None]:
    """The page of a key, sent with these fields."""

    def post(client: Client) -> None:
        page = address("controlplane_apikey", "change", ApiKey.objects.get(name=name).pk)
        client.post(page, key_form(name=name, **fields))

    return post


def rotate_on_page(name: str) -> Callable[[Client], None]:
    def post(client: Client) -> None:
        page = address("controlplane_apikey", "rotate", ApiKey.objects.get(name=name).pk)
        client.post(page, {"overlap_s": "3600"})

    return post


def patch_key(name: str, **fields: object) -> Callable[[Client], None]:
    return lambda client: send(client, "patch", f"keys/{name}", fields)


def apply(text: str) -> Callable[[Client], None]:
    return lambda client: send(client, "post", "config/apply", {"yaml": text})


def user(name: str) -> User:
    return User.objects.get(username=name)


def on_user(name: str, **fields: Any) -> Callable[[Client], None]:
    def post(client: Client) -> None:
        page = address("auth_user", "change", user(name).pk)
        made = {n: value() if callable(value) else value for n, value in fields.items()}
        client.post(page, user_form(user(name), **made))

    return post


def reset_password(client: Client) -> None:
    page = reverse("admin:auth_user_password_change", args=[user("strong").pk])
    words = {"password1": "quite-another-1", "password2": "quite-another-1"}
    client.post(page, {**words, "usable_password": "true"})
    strong = user("strong")
    client.post(address("auth_user", "change", strong.pk), user_form(strong, username="taken"))


def delete_user(client: Client) -> None:
    strong = user("strong").pk
    client.post(address("auth_user", "delete", strong), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [strong], "post": "yes"}
    client.post(address("auth_user", "changelist"), chosen)


def widen_group(client: Client) -> None:
    group = Group.objects.get(name="viewers")
    both = [permission(name).pk for name in ("providers.view_provider", "auth.delete_user")]
    page = address("auth_group", "change", group.pk)
    client.post(page, {"name": "viewers", "permissions": both})


def confirm_in_list(client: Client) -> None:
    moved = Provider.objects.get(name="moved").pk
    chosen = {"action": "confirm_keys", "_selected_action": [moved]}
    client.post(address("providers_provider", "changelist"), chosen)


def write_credential(client: Client) -> None:
    page = address("providers_provider", "change", Provider.objects.get(name="lab").pk)
    stored = Credential.objects.get(provider__name="lab")
    typed = {"id": stored.pk, "label": "main", "secret": "sk-2", "enabled": "on", "position": 0}
    client.post(page, provider_form(typed, stored=1))


def add_credential(client: Client) -> None:
    page = address("providers_provider", "change", Provider.objects.get(name="lab").pk)
    stored = Credential.objects.get(provider__name="lab")
    kept = {"id": stored.pk, "label": "main", "secret": "", "enabled": "on", "position": 0}
    typed = {"label": "more", "secret": "sk-3", "enabled": "on", "position": 1}
    client.post(page, provider_form(kept, typed, stored=1))


def roll_back(kind: str) -> Callable[[Client], None]:
    def go(client: Client) -> None:
        client.post(reverse("admin:controlplane_revision_rollback", args=[numbers[kind]]))

    return go


def accept_on_page(client: Client) -> None:
    page = client.get(address("controlplane_suggestion", "changelist"))
    seen = page.context["rows"][0]["seen"] if page.status_code == 200 else ""
    body = {"act": "accept", "number": 1, "seen": seen}
    client.post(address("controlplane_suggestion", "changelist"), body)


def secret_of(label: str, provider: str = "lab") -> str:
    row = Credential.objects.filter(provider__name=provider, label=label).first()
    return row.secret.reveal() if row else ""


def key(name: str) -> ApiKey | None:
    return ApiKey.objects.filter(name=name, managed_source="dashboard").first()


def is_admin(name: str) -> bool:
    row = key(name)
    return row is not None and "admin" in row.scopes and row.enabled


def webhook_form() -> dict[str, object]:
    url = "https://8.8.8.8/hook"
    return {"name": "ops", "url": url, "secret": "s" * 12, "kind": "signed", "enabled": "on"}


def with_one_more_key() -> str:
    """All keys that there are, which a text with keys has to name, and an admin key beside them."""
    blocks = keys_tree()
    mine = "  - {name: k, key: sy_known-to-me-0123456789-abcdef, scopes: [admin]}"
    return f"keys:\n{blocks}{mine}\n"


def keys_tree() -> str:
    text = text_of({key: block for key, block in collect().items() if key.kind == "key"})
    return text.partition("keys:\n")[2]


numbers: dict[str, int] = {}
ADMIN = {"scopes": ["admin"]}
VIEWER = "providers.view_provider"
DEEDS: dict[str, Deed] = {
    "make a key": Deed(
        done=lambda: key("k") is not None,
        api=lambda client: send(client, "post", "keys", {"name": "k"}),
        admin=lambda client: client.post(address("controlplane_apikey", "add"), key_form()),
    ),
    "make an admin key": Deed(
        done=lambda: is_admin("k"),
        api=lambda client: send(client, "post", "keys", {"name": "k", **ADMIN}),
        admin=lambda client: client.post(
            address("controlplane_apikey", "add"), key_form(scopes=["inference", "admin"])
        ),
    ),
    "limit a key": Deed(
        done=lambda: key("caller").rpm == 7,
        api=patch_key("caller", rpm=7),
        admin=on_key("caller", rpm=7),
    ),
    "rotate a key": Deed(
        done=lambda: key("caller").former_until is not None,
        api=lambda client: send(client, "post", "keys/caller/rotate", {}),
        admin=rotate_on_page("caller"),
    ),
    "rotate an admin key": Deed(
        done=lambda: key("ending").former_until is not None,
        api=lambda client: send(client, "post", "keys/ending/rotate", {}),
        admin=rotate_on_page("ending"),
    ),
    "promote a key": Deed(
        done=lambda: is_admin("caller"),
        api=patch_key("caller", scopes=["inference", "admin"]),
        admin=on_key("caller", scopes=["inference", "admin"]),
    ),
    "wake an admin key": Deed(
        done=lambda: is_admin("asleep") or key("ending").expires_at.year > 2100,
        api=lambda client: (
            patch_key("asleep", enabled=True)(client),
            patch_key("ending", expires_at="2150-01-01T00:00:00Z")(client),
        ),
        admin=lambda client: (
            on_key("asleep", scopes="admin")(client),
            on_key(
                "ending", scopes="admin", expires_at_0="2150-01-01", expires_at_1="00:00:00"
            )(client),
        ),
    ),
    "weaken an admin key": Deed(
        done=lambda: not is_admin("ending"),
        api=patch_key("ending", enabled=False),
        admin=on_key("ending", scopes="inference"),
    ),
    "delete an admin key": Deed(
        done=lambda: key("ending") is None,
        api=lambda client: send(client, "delete", "keys/ending", None),
        admin=lambda client: client.post(
            address("controlplane_apikey", "delete", key("ending").pk), {"post": "yes"}
        ),
        extra=("controlplane.view_apikey",),
    ),
    "write a provider's key": Deed(
        done=lambda: secret_of("main") == "sk-2",
        api=lambda client: send(
            client, "patch", "providers/lab", {"credentials": [{"label": "main", "secret": "sk-2"}]}
        ),
        admin=write_credential,
    ),
    "add a provider's key": Deed(
        done=lambda: secret_of("more") == "sk-3",
        api=lambda client: send(
            client, "patch", "providers/lab",
            {"credentials": [{"label": "main"}, {"label": "more", "secret": "sk-3"}]},
        ),
        admin=add_credential,
        extra=("providers.view_credential",),
    ),
    "confirm a provider's keys": Deed(
        done=lambda: Credential.objects.get(provider__name="moved").is_confirmed,
        api=lambda client: send(client, "post", "providers/moved/confirm", {}),
        admin=confirm_in_list,
    ),
    "apply a pool": Deed(
        done=lambda: CanonicalModel.objects.filter(name="made").exists(),
        api=apply("routing: {model_pools: {small: {candidates: [{provider: lab, model: s}]},"
                  " made: {candidates: [{provider: lab, model: s}]}}}"),
    ),
    "apply settings": Deed(
        done=lambda: Settings.load().bench_failures == 9, api=apply("bench: {failures: 9}")
    ),
    "apply an admin key": Deed(
        done=lambda: is_admin("k"),
        api=lambda client: send(client, "post", "config/apply", {"yaml": with_one_more_key()}),
    ),
    "apply a provider's key": Deed(
        done=lambda: secret_of("main", "more") == "sk-9",
        api=apply("providers: {lab: {kind: openai, base_url: 'https://old.example.com/v1',"
                  " api_keys: [{key: '${X}', label: main}]},"
                  " moved: {kind: openai, base_url: 'https://new.example.com/v1',"
                  " api_keys: [{key: '${X}', label: main}]},"
                  " more: {kind: openai, api_keys: [{key: sk-9, label: main}]}}"),
    ),
    "roll back a pool": Deed(
        done=lambda: CanonicalModel.objects.get(name="small").strategy == "",
        api=lambda client: send(client, "post", f"revisions/{numbers['pool']}/rollback", {}),
        admin=roll_back("pool"),
    ),
    "roll back an admin key": Deed(
        done=lambda: is_admin("fallen"),
        api=lambda client: send(client, "post", f"revisions/{numbers['key']}/rollback", {}),
        admin=roll_back("key"),
    ),
    "accept a suggestion": Deed(
        done=lambda: not CanonicalModel.objects.get(name="small").candidates.get().enabled,
        api=lambda client: send(client, "post", "suggestions/1/accept", None),
        admin=accept_on_page,
        extra=("controlplane.view_suggestion",),
    ),
    "change a webhook": Deed(
        done=lambda: Webhook.objects.get().url.reveal() == "https://8.8.8.8/hook",
        admin=lambda client: client.post(
            address("controlplane_webhook", "change", Webhook.objects.get().pk), webhook_form()
        ),
    ),
    "change a weaker account": Deed(
        done=lambda: user("weak").first_name == "Changed",
        admin=on_user("weak", first_name="Changed"),
    ),
    "give a permission one has": Deed(
        done=lambda: user("weak").has_perm(VIEWER),
        admin=on_user("weak", user_permissions=lambda: [permission(VIEWER).pk]),
    ),
    "give a permission one lacks": Deed(
        done=lambda: user("weak").has_perm("auth.delete_user"),
        admin=on_user("weak", user_permissions=lambda: [permission("auth.delete_user").pk]),
    ),
    "give a group one exceeds": Deed(
        done=lambda: user("weak").has_perm(VIEWER),
        admin=on_user("weak", groups=lambda: [Group.objects.get(name="viewers").pk]),
    ),
    "give a group that exceeds one": Deed(
        done=lambda: user("weak").has_perm("auth.delete_user"),
        admin=on_user("weak", groups=lambda: [Group.objects.get(name="mighty").pk]),
    ),
    "make a superuser": Deed(
        done=lambda: user("weak").is_superuser, admin=on_user("weak", is_superuser="on")
    ),
    "set a stronger account's password": Deed(
        done=lambda: not User.objects.filter(username="strong").exists()
        or user("strong").check_password("quite-another-1"),
        admin=reset_password,
    ),
    "delete a stronger account": Deed(
        done=lambda: not User.objects.filter(username="strong").exists(),
        admin=delete_user,
    ),
    "widen a group": Deed(
        done=lambda: Group.objects.get(name="viewers").permissions.count() > 1, admin=widen_group
    ),
}  # fmt: skip


@pytest.fixture
def world(quick_passwords):
    rows.api_key("admin", ADMIN_KEY, scopes=["admin"])
    rows.api_key("caller", "sy_caller")
    rows.api_key("asleep", "sy_asleep", scopes=["admin"], enabled=False)
    end = datetime(2100, 1, 1, tzinfo=UTC)
    rows.api_key("ending", "sy_ending", scopes=["admin"], expires_at=end)
    rows.provider("lab", base_url=OLD, secret="sk-1")
    moved = rows.provider("moved", base_url=OLD, secret="sk-1")
    moved.base_url = NEW
    moved.save()
    rows.pool("small", "lab/s")
    rows.suggestion("small", rows.edit("pool", "small", "enabled", True, False, "lab/s"), pk=1)
    Webhook.objects.create(name="ops", url="https://9.9.9.9/hook", secret="another-secret")
    User.objects.create_user("weak", is_staff=True)
    # Inactive: it may be woken, and is as strong as then.
    strong = User.objects.create_user("strong", password="x", is_staff=True, is_active=False)
    strong.groups.add(Group.objects.create(name="mighty"))
    Group.objects.get(name="mighty").permissions.add(permission("auth.delete_user"))
    Group.objects.create(name="viewers").permissions.add(permission(VIEWER))
    with override_settings(MASTER_KEY=MASTER):
        yield


@pytest.fixture(autouse=True)
def quick_passwords():
    """None of them is for anybody to guess."""
    quick = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=quick):
        yield


@pytest.fixture
def revisions(tmp_path):
    """Two revisions to go back to: before a pool changed, and before a key lost its scope."""

    def make(act: str) -> None:
        if act == "roll back a pool":
            numbers["pool"] = _recorded(tmp_path)
            CanonicalModel.objects.get(name="small").delete()
            rows.pool("small", "lab/s", strategy="round_robin")
            _recorded(tmp_path)
        if act == "roll back an admin key":
            fallen = rows.api_key("fallen", "sy_fallen", scopes=["admin"])
            numbers["key"] = _recorded(tmp_path)
            fallen.scopes = ["inference"]
            fallen.save()
            _recorded(tmp_path)

    return make


def _recorded(folder: Any) -> int:
    publish(folder)
    revision = history.Revision.objects.first()
    assert revision is not None
    return revision.pk


def person(*permissions: str, **fields: Any) -> Client:
    made = User.objects.create_user("person", **{"is_staff": True, **fields})
    made.user_permissions.add(*(permission(name) for name in permissions))
    client = Client()
    client.force_login(made)
    return client


def everything_but(needs: tuple[str, ...]) -> list[str]:
    """Every permission that there is, but one of those (the last), or what the strong have."""
    names = {f"{p.content_type.app_label}.{p.codename}" for p in
             Permission.objects.select_related("content_type")}  # fmt: skip
    return sorted(names - {needs[-1] if needs else "auth.delete_user"})


def roles(act: str) -> dict[str, tuple[Callable[[], Client], bool]]:
    """Each role: how it comes, and whether the act is its to do."""
    needs, extra = ACTS[act].needs, DEEDS[act].extra
    return {
        "nobody": (Client, False),
        "a person who is no staff": (lambda: person(*needs, *extra, is_staff=False), False),
        "staff without permission": (person, False),
        "staff with what it needs": (lambda: person(*needs, *extra), bool(needs)),
        "staff with all but one": (lambda: person(*everything_but(needs)), False),
        "an inactive superuser": (lambda: person(is_superuser=True, is_active=False), False),
        "a superuser": (lambda: person(is_superuser=True), True),
    }


KEYS: dict[str, bool] = {"sy_caller": False, "sy_wrong": False, ADMIN_KEY: True, MASTER: True}


def test_the_table_and_the_deeds_are_of_the_same_acts() -> None:
    assert set(DEEDS) == set(ACTS)


@pytest.mark.parametrize("act", sorted(ACTS))
def test_an_act_is_done_by_who_may_and_by_nobody_else(world, revisions, act: str) -> None:
    deed = DEEDS[act]
    revisions(act)
    surfaces = {"api": deed.api, "admin": deed.admin}

    for surface, do in surfaces.items():
        if do is None:
            continue
        comers = dict(roles(act))
        if surface == "api":
            comers |= {key: (lambda key=key: Api(key).client, may) for key, may in KEYS.items()}
        for role, (client, may) in comers.items():
            with transaction.atomic():
                assert not deed.done()
                with suppress(PermissionDenied):
                    do(client())
                happened = deed.done()
                transaction.set_rollback(True)
            assert happened == may, f"{act}, {surface}, {role}"


def test_the_page_of_rights_shows_the_table() -> None:
    assert as_table() in (ROOT / "docs/access.md").read_text("utf-8")

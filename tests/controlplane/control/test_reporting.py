"""What hosts tell of themselves in the database, and what is shown of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from controlplane.control.hub import Hub, LastRound
from controlplane.control.reporting import Reporter
from controlplane.hosts.fleet import fleet
from controlplane.hosts.models import HostReport
from controlplane.models import PublishedSnapshot
from providers.secrets.encryption import load_keyring
from routing.gateway.link.fleet import Fleet, HostSeen, WorkerSeen

if TYPE_CHECKING:
    from pathlib import Path


def told(name: str, **more: Any) -> HostSeen:
    fields = {"id": name, "host": name, "data_dir": "/data", "pid": 1, **more}
    return HostSeen(**fields)


def store(host: HostSeen, silent_s: float = 0.0) -> None:
    report = msgspec.json.encode(host).decode()
    HostReport.objects.create(
        host=host.id, report=report, seen_at=Now() - timedelta(seconds=silent_s)
    )


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    async def publish() -> LastRound:
        return LastRound()

    return Hub(tmp_path / "control.sock", publish)


def report(hub: Hub, data_dir: Path, environ: dict[str, str], *, is_over: bool = False) -> Fleet:
    """What the hub's workers hear after one look; the host stays unless `is_over`."""
    reporter = Reporter(hub, data_dir, environ)
    found = reporter._exchange(reporter._mine())
    if is_over:
        reporter._leave()
    return found


@pytest.mark.django_db
def test_the_database_says_how_long_a_host_has_been_silent():
    store(told("a"))
    store(told("b"), silent_s=30)

    hosts = fleet().hosts

    assert [(host.host, host.state) for host in hosts] == [("a", "current"), ("b", "silent")]
    assert 30 <= hosts[1].silent_s < 60


@pytest.mark.django_db
def test_a_report_of_a_newer_release_is_left_out_and_the_others_are_shown(caplog):
    store(told("a"))
    HostReport.objects.create(host="b", report='{"id": 7}', seen_at=timezone.now())

    assert [host.host for host in fleet().hosts] == ["a"]
    assert "a host's report cannot be read" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_host_tells_of_itself_once_and_takes_its_leave(hub: Hub, tmp_path: Path):
    hub.announce(LastRound(generation=3, config_checksum="c", refused=("no",), refused_at=5.0))
    environ = {"SWITCHYARD_CONFIG": "/etc/switchyard.yaml"}

    report(hub, tmp_path, environ)
    found = report(hub, tmp_path, environ)

    (host,) = found.hosts
    assert HostReport.objects.count() == 1
    assert host.config_file == "/etc/switchyard.yaml"
    assert (host.generation, host.config_checksum, host.refused) == (3, "c", ("no",))
    assert host.keys_fingerprint == load_keyring({}, tmp_path).fingerprint
    report(hub, tmp_path, environ, is_over=True)
    assert not HostReport.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_host_that_is_gone_is_forgotten_after_an_hour(hub: Hub, tmp_path: Path):
    store(told("gone"), silent_s=3700)
    store(told("silent"), silent_s=3500)

    found = report(hub, tmp_path, {})

    assert "silent" in {host.host for host in found.hosts}
    assert "gone" not in {host.host for host in found.hosts}


@pytest.mark.django_db(transaction=True)
def test_without_the_database_workers_hear_of_their_own_host_and_how_long_the_others_are_unheard(
    hub: Hub, tmp_path: Path
):
    store(told("other"), silent_s=5)
    reporter = Reporter(hub, tmp_path, {})
    mine = reporter._mine()
    reporter._exchange(mine)
    reporter._known_at -= 60

    found = reporter._alone(msgspec.structs.replace(mine, generation=9))

    states = {host.id: host.state for host in found.hosts}
    assert states == {mine.id: "current", "other": "silent"}
    assert found.generation == 9


def test_keys_are_compared_by_their_order_and_never_shown(tmp_path: Path):
    one, two = (load_keyring({}, tmp_path / name) for name in "ab")
    first, second = ((tmp_path / name / "encryption_keys").read_text().strip() for name in "ab")
    both = load_keyring({"ENCRYPTION_KEYS": f"{first},{second}"}, tmp_path)
    turned = load_keyring({"ENCRYPTION_KEYS": f"{second},{first}"}, tmp_path)

    fingerprints = [ring.fingerprint for ring in (one, two, both, turned)]

    assert len(set(fingerprints)) == 4
    assert load_keyring({"ENCRYPTION_KEYS": first}, tmp_path).fingerprint == fingerprints[0]
    assert not any(print_ in first + second for print_ in fingerprints)


@pytest.fixture
def three() -> None:
    """A host that is well, one with another file whose edit was refused, and a silent one."""
    PublishedSnapshot.objects.create(generation=412, checksum="c")
    workers = (WorkerSeen(worker="1", pid=71, plane="both", generation=412),)
    late = (WorkerSeen(worker="1", pid=72, plane="inference", generation=0),)
    store(told("well", workers=workers))
    store(told("also-well", workers=workers))
    store(
        told(
            "odd",
            workers=late,
            config_checksum="other",
            refused=("switchyard.yaml:3: <b>wieght</b>",),
            refused_at=1_700_000_000.0,
        )
    )
    store(told("gone", workers=workers), silent_s=30)


@pytest.mark.django_db
@pytest.mark.usefixtures("three")
def test_the_page_says_in_words_who_is_behind_differs_was_refused_or_is_silent(client):
    client.force_login(User.objects.create_superuser("ada"))

    page = client.get(reverse("processes")).content.decode()

    assert "2 of 4 on 412" in page
    assert "configuration file differs from its peers" in page
    assert "The last edit of its file was refused (" in page
    assert ">2023-11-14 22:13:20 UTC</time>" in page
    assert "wieght" in page
    assert "<b>wieght" not in page
    assert re.search(r"silent for 3\d s", page)  # a busy machine takes a moment
    assert "1 behind for" in page


@pytest.mark.django_db
@pytest.mark.usefixtures("three")
def test_the_part_that_updates_is_no_whole_page(client):
    client.force_login(User.objects.create_superuser("ada"))

    part = client.get(reverse("processes") + "?part=1").content.decode()

    assert "2 of 4 on 412" in part
    assert "<html" not in part


@pytest.mark.django_db
def test_the_page_needs_the_right_to_see_processes(client):
    client.force_login(User.objects.create_user("bob", is_staff=True))

    assert client.get(reverse("processes")).status_code == 403


@pytest.mark.django_db
@pytest.mark.usefixtures("three")
def test_the_api_tells_the_same(client):
    client.force_login(User.objects.create_superuser("ada"))

    told = client.get("/api/processes").json()

    assert told["serving"] == "2 of 4 on 412"
    by_host = {host["host"]: host for host in told["hosts"]}
    assert by_host["odd"]["differs"] == ["configuration file"]
    assert by_host["odd"]["refused_at"] == "2023-11-14T22:13:20Z"
    assert by_host["odd"]["workers"][0]["behind"] == 1
    assert by_host["gone"]["state"] == "silent"

"""What admin, the API and commands say of an edit that is not live everywhere."""

from __future__ import annotations

import io
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import override_settings

from controlplane.models import Team
from providers.models import Provider
from routing.gateway.link.channel import Published, line
from tests.support.forms import address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[socket.socket]:
    """A control child that is stopped: it takes connections and says nothing."""
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener, override_settings(DATA_DIR=tmp_path):
        listener.bind(str(tmp_path / "run" / "control.sock"))
        listener.listen(16)
        yield listener


def test_an_edit_in_admin_that_nobody_confirms_is_told_in_a_message_once(
    client: Client, deaf: socket.socket
) -> None:
    del deaf
    client.force_login(User.objects.create_superuser("ada"))
    form: dict[str, Any] = {"name": "blue"}
    page = client.post(address("controlplane_team", "add"), form, follow=True)

    assert Team.objects.filter(name="blue").exists(), page.content.decode()[-3000:]
    assert page.content.decode().count("has not confirmed") == 1


def test_where_no_host_is_served_there_is_nobody_to_ask_and_nothing_to_tell(
    client: Client,
) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    page = client.post(address("controlplane_team", "add"), {"name": "red"}, follow=True)

    assert Team.objects.filter(name="red").exists()
    assert "has not confirmed" not in page.content.decode()


def test_a_command_tells_what_is_not_live(deaf: socket.socket, tmp_path: Path) -> None:
    """A worker refuses it, says the control child; the command has done what it can."""
    file = tmp_path / "c.yaml"
    file.write_text("providers: {sim: {kind: simulator}}\n")

    def answer() -> None:
        connection, _ = deaf.accept()
        with connection:
            connection.recv(1 << 16)
            refused = ("worker 7: it cannot be compiled",)
            connection.sendall(line(Published(generation=1, refused=refused)))

    answering = threading.Thread(target=answer)
    answering.start()
    said = io.StringIO()
    call_command("config", "apply", str(file), stdout=io.StringIO(), stderr=said)
    answering.join(10)

    assert Provider.objects.filter(name="sim").exists()
    assert said.getvalue() == (
        "warning: The edit is saved, but not live everywhere: worker 7: it cannot be compiled\n"
    )

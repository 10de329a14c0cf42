"""`POST /api/providers/{name}/test` against real servers: what it says is what happened."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.urls import reverse

from controlplane.edits.models import EditCounter
from providers.models import Provider
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.forms import address, inline, provider_form

pytestmark = pytest.mark.django_db
SECRET = "sk-very-secret-0123456789"


class Server:
    """Answers every GET as it was told to, and remembers who asked how."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b'{"data": [{"id": "x"}]}', {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_words: object) -> None:
                """Nobody reads it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Api()


def tried(api: Api, name: str = "lab", body: object = None) -> dict[str, object]:
    answer = api("post", f"providers/{name}/test", body or {})
    assert answer.status_code == 200, answer.content
    assert SECRET not in answer.content.decode()
    return answer.json()


def test_a_provider_that_lists_models_is_well(api, server):
    rows.provider("lab", base_url=server.url + "/", secret=SECRET, headers={"X-Team": "t"})
    found = tried(api)
    assert (found["ok"], found["status"], found["models"]) == (True, 200, 1)
    assert found["message"] == "It answers, and lists 1 model."
    assert found["credential"] == "main"
    assert found["latency_ms"] > 0
    ((path, headers),) = server.asked
    assert path == "/v1/models"
    assert (headers["authorization"], headers["x-team"]) == (f"Bearer {SECRET}", "t")


@pytest.mark.parametrize(
    ("status", "ok", "words"),
    [
        (401, False, "refuses the key (401)"),
        (403, None, "lists no models (403)"),
        (404, None, "it may serve"),
        (405, None, "it may serve"),
        (429, None, "limiting calls"),
        (500, False, "status 500"),
        (302, False, "redirects are never followed"),
    ],
)
def test_what_the_provider_answers_is_told_without_the_key(api, server, status, ok, words):
    server.status = status
    server.headers = {"location": f"{server.url}/elsewhere"}
    server.body = json.dumps({"error": {"message": f"bad key {SECRET}"}}).encode()
    rows.provider("lab", base_url=server.url, secret=SECRET)
    found = tried(api)
    assert (found["ok"], found["status"]) == (ok, status)
    assert words in found["message"]
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"object": "page"}', b"", b"[" * 100_000])
def test_an_answer_that_is_no_list_is_not_taken_for_one(api, server, body):
    server.body = body
    rows.provider("lab", base_url=server.url, secret=SECRET)
    found = tried(api)
    assert (found["ok"], found["models"]) == (False, None)
    assert "no list of models" in found["message"]


def test_a_list_that_comes_packed_is_read_as_traffic_reads_it(api, server):
    server.body = gzip.compress(server.body)
    server.headers = {"content-encoding": "gzip"}
    rows.provider("lab", base_url=server.url, secret=SECRET)

    found = tried(api)

    assert (found["ok"], found["models"]) == (True, 1)
    assert server.asked[0][1]["accept-encoding"] == "identity"


GOOGLES_REFUSAL = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
    }
}


def test_anthropics_models_are_listed_in_its_own_way(api, server):
    server.body = b'{"data":[{"type":"model","id":"claude-x"}],"has_more":false}'
    rows.provider("lab", kind="anthropic", base_url=server.url, secret=SECRET)

    found = tried(api)

    assert (found["ok"], found["models"]) == (True, 1)
    ((path, headers),) = server.asked
    assert path == "/v1/models?limit=1000"
    assert headers["x-api-key"] == SECRET
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


def test_geminis_models_are_listed_in_its_own_way(api, server):
    server.body = b'{"models":[{"name":"models/gemini-x"},{"name":"models/gemini-y"}]}'
    rows.provider("lab", kind="gemini", base_url=server.url, secret=SECRET)

    assert (tried(api)["ok"], tried(api)["models"]) == (True, 2)

    path, headers = server.asked[0]
    assert path == "/v1/models?pageSize=1000"
    assert headers["x-goog-api-key"] == SECRET
    assert "anthropic-version" not in headers
    server.status, server.body = 400, json.dumps(GOOGLES_REFUSAL).encode()
    assert tried(api)["message"].startswith("It refuses the key (400). It says: API key not valid")


def test_it_goes_through_the_providers_proxy(api, server):
    proxy = server.url.removesuffix("/v1")
    rows.provider("lab", base_url="http://lab.invalid/v1", secret=SECRET, proxy=proxy)

    found = tried(api)

    assert found["ok"] is True
    assert server.asked[0][0] == "http://lab.invalid:80/v1/models"
    assert server.asked[0][1]["host"] == "lab.invalid"


def test_a_provider_that_nobody_answers_for_is_unreachable(api, server):
    rows.provider("lab", base_url=server.url, secret=SECRET)
    server.stop()
    found = tried(api)
    assert (found["ok"], found["status"]) == (False, None)
    assert found["message"].startswith("It cannot be reached: ")
    server.stop = lambda: None


def test_an_endless_answer_is_cut_off(api, server):
    server.body = b"x" * (5 << 20)
    rows.provider("lab", base_url=server.url, secret=SECRET)
    assert "larger than" in tried(api)["message"]


def test_without_a_key_no_call_is_made_where_one_is_needed(api, server):
    rows.provider("lab", base_url=server.url)
    assert "no key" in tried(api)["message"]
    rows.provider("local", base_url=server.url, kind="openai_compatible")
    assert tried(api, "local")["ok"] is True
    rows.provider("own", base_url=server.url, headers={"Authorization": "Bearer own"})
    assert tried(api, "own")["ok"] is True
    assert [headers.get("authorization") for _path, headers in server.asked] == [None, "Bearer own"]


def test_a_credential_is_chosen_by_its_label(api, server):
    lab = rows.provider("lab", base_url=server.url, secret=SECRET)
    rows.Credential.objects.create(provider=lab, label="spare", secret="sk-spare", enabled=False)
    assert tried(api, body={"credential": "spare"})["credential"] == "spare"
    assert server.asked[0][1]["authorization"] == "Bearer sk-spare"
    assert api("post", "providers/lab/test", {"credential": "none"}).status_code == 400


def test_the_simulator_answers_and_fails_as_told(api):
    rows.provider("sim", kind="simulator")
    assert tried(api, "sim")["ok"] is True
    rows.provider("bad", kind="simulator", fault="status:503")
    found = tried(api, "bad")
    assert (found["ok"], found["status"]) == (False, 503)
    rows.provider("void", kind="simulator", fault="empty")
    assert tried(api, "void")["ok"] is False


def test_a_kind_that_cannot_be_called_yet_says_so(api):
    rows.provider("azure", kind="azure_openai", secret=SECRET, base_url="https://a.example.com")
    assert "cannot be called yet" in tried(api, "azure")["message"]


def test_a_provider_of_the_configuration_is_tried_and_nothing_is_changed(api, server):
    rows.provider("lab", base_url=server.url, secret=SECRET, managed_source="config")
    before = EditCounter.load().value
    assert tried(api)["ok"] is True
    assert EditCounter.load().value == before
    assert api("post", "providers/nobody/test", {}).status_code == 404


def test_what_a_test_has_listed_is_proposed_for_candidates(api, admin_client, server):
    server.body = b'{"data": [{"id": "m-1"}, {"id": "m-2"}]}'
    row = rows.provider("lab", base_url=server.url, secret=SECRET)
    page = address("providers_provider", "test", row.pk)

    looked = admin_client.get(page).content.decode()
    assert "Test now" in looked
    assert server.asked == []
    shown = admin_client.post(page).content.decode()

    assert "It answers, and lists 2 models." in shown
    assert "m-1, m-2" in shown
    assert SECRET not in shown
    asked = {"of": "ids", "in": "lab", "q": "m"}
    assert admin_client.get(reverse("known-names"), asked).json() == {"names": ["m-1", "m-2"]}


def test_a_new_provider_is_saved_and_tested_in_one_go(admin_client, server):
    add = address("providers_provider", "add")
    assert "Save and test" in admin_client.get(add).content.decode()
    credential = {"label": "main", "secret": SECRET, "enabled": "on", "position": 0}
    form = provider_form(base_url=server.url, **inline("credentials", credential))

    done = admin_client.post(add, {**form, "providers_provider_save_and_test": "1"}, follow=True)

    row = Provider.objects.get(name="lab")
    assert done.redirect_chain == [(address("providers_provider", "change", row.pk), 302)]
    assert "lab: It answers, and lists 1 model." in done.content.decode()
    assert server.asked[0][1]["authorization"] == f"Bearer {SECRET}"


def test_a_form_with_mistakes_calls_nobody(admin_client, server):
    form = provider_form(base_url=server.url, name="no name")
    page = address("providers_provider", "add")
    again = admin_client.post(page, {**form, "providers_provider_save_and_test": "1"})
    assert again.status_code == 200
    assert server.asked == []

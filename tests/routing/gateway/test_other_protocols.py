"""Requests that providers of another protocol are told, or cannot be; and paths that say more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateways import ROOT
from tests.support.made_up_family import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


class Provider(BaseHTTPRequestHandler):
    """Speaks chat and the made-up protocols; `ill` fails at all of them."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, dict[str, str], Any]] = []  # noqa: RUF012 - emptied by the fixture

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, dict(self.headers), body))
        if self.path.startswith("/ill/"):
            self._answer(503, {"error": {"message": "away"}})
        elif self.path.endswith("/chat/completions"):
            told = {"role": "assistant", "content": "by chat"}
            choice = {"index": 0, "message": told, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            self._answer(200, {"id": "c", "choices": [choice], "usage": usage})
        else:
            self._answer(200, {"said": "by itself", "id": f"id-{len(self.asked)}"})

    def _answer(self, status: int, document: Any) -> None:
        said = json.dumps(document)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        for name in ("request-id", "anthropic-ratelimit-x", "x-ratelimit-x", "anthropic-o"):
            self.send_header(name, "theirs")
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


ALL = ("terse", "anthropic_tally", "gemini_called")
SPEAKS: dict[str, tuple[str, ...]] = {
    "own": ALL,
    "ill": ALL,
    "chat": (),
    "talk": (),
    "k1": ("kept",),
    "k2": ("kept",),
}
LABELS = {"k1": ["one", "two"]}
POOLS: dict[str, dict[str, Any]] = {
    "chatty": {"candidates": ["chat/x", "talk/y"]},
    "mixed": {"candidates": ["chat/x", "own/y"]},
    "failing": {"candidates": ["ill/x", "chat/x", "own/y"]},
    "sinking": {"candidates": ["ill/x", "chat/x"]},
    "native": {"candidates": ["chat/x", "own/y"], "native_first": True},
    "strict": {"candidates": ["chat/x", "own/y"], "params": "strict"},
    "keepers": {"candidates": ["k1/x", "k2/x"], "strategy": "round_robin"},
    "one": {"candidates": ["k2/x", "chat/y"]},
    "turns": {"candidates": ["chat/x", "own/y", "own/z"], "strategy": "round_robin"},
}
STRICT, LENIENT = "strict", "lenient"


def asked(url: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    Provider.asked.clear()
    world = json.dumps({"pools": POOLS, "speaks": SPEAKS, "labels": LABELS})
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.translating_gateway", world, url],
        cwd=ROOT, input=lines, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def terse(model: str, params: str = "", **members: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    if params:
        headers["x-switchyard-params"] = params
    return {
        "path": "/v1/terse",
        "body": {"model": model, "say": "hi", **members},
        "headers": headers,
    }


def who(told: dict[str, Any]) -> str:
    headers = told["headers"]
    return f"{headers['x-switchyard-provider']}/{headers['x-switchyard-provider-model']}"


def left_out(told: dict[str, Any]) -> dict[str, str]:
    decided = told["record"]["detail"]["decision"]
    return {entry["candidate"]: entry["reason"] for entry in decided.get("rejected", ())}


def test_what_a_provider_of_another_protocol_cannot_take_is_left_out_and_told(url: str) -> None:
    (told,) = asked(url, terse("chatty", choosiness=1))

    assert (told["status"], told["body"], who(told)) == (200, {"said": "by chat"}, "chat/x")
    assert told["headers"]["x-switchyard-dropped"] == "choosiness"
    (attempt,) = told["record"]["detail"]["attempts"]
    assert attempt[-1] == ["choosiness"]
    ((path, _, body),) = Provider.asked
    assert path == "/chat/chat/completions"
    assert (body["model"], body["messages"]) == ("x", [{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (terse("mixed", STRICT, choosiness=1), "unsupported:choosiness"),
        (terse("strict", choosiness=1), "unsupported:choosiness"),
        (terse("mixed", echoes=2), "unsupported:echoes"),
        (terse("mixed", unsaid=1), "unsupported:unsaid"),
    ],
    ids=["strict by header", "strict by pool", "unfit", "contradictory"],
)
def test_who_cannot_take_a_request_is_left_out_before_any_call(
    url: str, request_: dict[str, Any], reason: str
) -> None:
    (told,) = asked(url, request_)

    assert (told["status"], who(told)) == (200, "own/y")
    assert told["headers"]["x-switchyard-attempts"] == "1"
    assert told["headers"]["x-switchyard-failover"] == "false"
    assert "x-switchyard-dropped" not in told["headers"]
    assert left_out(told) == {"chat/x": reason}
    assert [path for path, _, _ in Provider.asked] == ["/own/terse"]


def test_a_header_may_ask_a_strict_pool_to_be_lenient(url: str) -> None:
    (told,) = asked(url, terse("strict", LENIENT, choosiness=1))

    assert who(told) == "chat/x"
    assert told["record"]["detail"]["features"].get("strict_params", False) is False


def test_another_word_for_it_is_refused(url: str) -> None:
    (told,) = asked(url, terse("mixed", "Strict"))

    assert told["status"] == 400
    assert "x-switchyard-params is 'Strict'; allowed are lenient and strict" in str(told["body"])
    assert Provider.asked == []


def test_who_is_unfit_is_passed_over_when_its_turn_comes_and_that_is_no_call(url: str) -> None:
    (told,) = asked(url, terse("failing", echoes=2))

    assert (told["status"], who(told)) == (200, "own/y")
    assert told["headers"]["x-switchyard-attempts"] == "2"
    assert told["record"]["calls"] == 2
    assert told["record"]["detail"]["skipped"] == [
        {"candidate": "chat/x", "reason": "unsupported:echoes"}
    ]


def test_where_the_others_are_unfit_the_failure_of_who_is_not_is_told(url: str) -> None:
    (told,) = asked(url, terse("sinking", echoes=2))

    assert told["status"] == 502
    assert told["record"]["detail"]["skipped"] == [
        {"candidate": "chat/x", "reason": "unsupported:echoes"}
    ]


def test_what_nobody_can_take_is_a_mistake_of_the_caller_that_names_it(url: str) -> None:
    unfit, contradictory, strict = asked(
        url,
        terse("chatty", echoes=2),
        terse("chatty", unsaid=1),
        terse("chatty", STRICT, choosiness=1),
    )

    assert (unfit["status"], unfit["record"]["code"]) == (400, "unsupported_parameter")
    assert unfit["body"] == {
        "oops": "Nobody who serves this model can take 'echoes' "
        "(chat/x: unsupported:echoes, talk/y: unsupported:echoes)."
    }
    assert left_out(unfit) == dict.fromkeys(["chat/x", "talk/y"], "unsupported:echoes")
    assert contradictory["status"] == 400
    assert contradictory["body"] == {"oops": "'unsaid' contradicts 'say'."}
    assert strict["status"] == 400
    assert "can take 'choosiness'" in strict["body"]["oops"]
    outcomes = {told["record"]["outcome"] for told in (unfit, contradictory, strict)}
    assert outcomes == {"refused"}
    assert Provider.asked == []


def test_native_candidates_come_first_where_the_pool_says_so(url: str) -> None:
    native, other = asked(url, terse("native"), terse("mixed"))

    assert (who(native), who(other)) == ("own/y", "chat/x")
    assert native["record"]["detail"]["decision"]["planned"] == ["own/y", "chat/x"]


def test_turns_are_taken_by_those_alone_who_can_take_the_request(url: str) -> None:
    told = asked(url, *[terse("turns", echoes=2)] * 4)

    assert [who(one) for one in told] == ["own/y", "own/z", "own/y", "own/z"]


def explained(told: dict[str, Any]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Who would be tried, with what it would not get; and the rejected with their reasons."""
    said = told["explained"]
    candidates = {f"{c['provider_name']}/{c['model']}": c["dropped"] for c in said["candidates"]}
    rejected = {f"{e['provider_name']}/{e['model']}": e["reason"] for e in said["rejected"]}
    return candidates, rejected


def test_explaining_says_before_what_is_dropped_and_who_is_passed_over(url: str) -> None:
    lenient, strict, later, contradictory = asked(
        url,
        terse("mixed", choosiness=1),
        terse("strict", choosiness=1),
        terse("failing", echoes=2),
        terse("chatty", unsaid=1),
    )

    assert explained(lenient) == ({"chat/x": ["choosiness"], "own/y": []}, {})
    assert explained(strict) == ({"own/y": []}, {"chat/x": "unsupported:choosiness"})
    assert explained(later) == ({"ill/x": [], "own/y": []}, {"chat/x": "unsupported:echoes"})
    assert contradictory["explained"]["refusal"]["message"] == "'unsaid' contradicts 'say'."


# Paths that name the model, and keys in queries


def test_a_model_in_the_path_is_resolved_and_the_query_goes_on_without_the_key(url: str) -> None:
    body = {"say": "hi"}
    path = "/v1/models/native:sayAloud/"
    by_query, by_header, unknown, keyless = asked(
        url,
        {"path": path, "body": body, "headers": {}, "query": f"alt=sse&key={KEY}"},
        {"path": path, "body": body, "headers": {"x-goog-api-key": KEY}, "query": "key=other"},
        {"path": "/v1beta/models/a/b:sayAloud", "body": body},
        {"path": path, "body": body, "headers": {}, "query": "key=other"},
    )

    assert (by_query["status"], who(by_query)) == (200, "own/y")
    assert by_query["record"]["detail"]["endpoint"] == "/v1beta/models/{model}:sayAloud"
    assert by_query["record"]["requested_model"] == "native"
    assert by_header["status"] == 200
    assert unknown["status"] == 404
    assert "a%2Fb" in unknown["body"]["ouch"]  # as it was handed on: one segment
    assert (keyless["status"], list(keyless["body"])) == (401, ["ouch"])
    assert [path for path, _, _ in Provider.asked] == [
        "/own/models/y:sayAloud?alt=sse",
        "/own/models/y:sayAloud",
    ]
    seen = json.dumps([by_query, by_header, keyless, [call[:2] for call in Provider.asked]])
    assert KEY not in seen


def test_a_key_in_the_query_counts_for_nobody_else(url: str) -> None:
    (told,) = asked(url, {**terse("own/y"), "headers": {}, "query": f"key={KEY}"})

    assert told["status"] == 401


def test_a_deployment_in_the_path_is_the_model(url: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "ignored"}
    (told,) = asked(url, {"path": "/openai/deployments/chatty/chat/completions", "body": body})

    assert (told["status"], who(told)) == (200, "chat/x")
    assert told["record"]["detail"]["endpoint"] == "/v1/chat/completions"


# Counting


def tally(model: str, **more: Any) -> dict[str, Any]:
    return {"path": "/v1/terse/tally", "body": {"model": model, "say": "hi " * 30}, **more}


def test_tokens_are_counted_by_who_can_and_estimated_where_nobody_can(url: str) -> None:
    counted, unspoken, failed = asked(url, tally("mixed"), tally("chatty"), tally("ill/x"))

    assert (counted["body"]["said"], who(counted)) == ("by itself", "own/y")
    assert "x-switchyard-estimated" not in counted["headers"]
    for told, calls in ((unspoken, 0), (failed, 2)):
        assert (told["status"], list(told["body"])) == (200, ["tally"])
        assert told["body"]["tally"] > 10
        assert told["headers"]["x-switchyard-estimated"] == "true"
        record = told["record"]
        assert (record["outcome"], record["provider"], record["calls"]) == ("answered", "", calls)
        assert record["detail"]["is_estimated"] is True
    assert left_out(unspoken) == dict.fromkeys(["chat/x", "talk/y"], "unsupported:endpoint")
    assert unspoken["explained"]["refusal"] is None
    assert unspoken["explained"]["warnings"] == [
        "nobody can count it: the gateway answers with an estimate"
    ]


def test_what_is_wrong_with_a_request_is_no_reason_to_estimate(url: str) -> None:
    unknown, keyless = asked(url, tally("nobody"), tally("mixed", headers={}))

    assert (unknown["status"], keyless["status"]) == (404, 401)


# What providers keep


def kept(model: str, after: str = "") -> dict[str, Any]:
    body = {"model": model, "say": "silence" if after == "fail" else "hi"}
    return {"path": "/v1/kept", "body": {**body, "after": after} if after else body}


def test_what_one_provider_keeps_is_asked_for_there_with_the_same_key(url: str) -> None:
    told = asked(
        url, kept("keepers"), kept("keepers"), *[kept("keepers", f"id-{n}") for n in (1, 2, 1, 1)]
    )

    assert [who(one) for one in told] == ["k1/x", "k2/x", "k1/x", "k2/x", "k1/x", "k1/x"]
    keys = [headers["authorization"] for _, headers, _ in Provider.asked]
    assert keys[0] == keys[2] == keys[4] == keys[5]
    assert left_out(told[2]) == {"k2/x": "kept_elsewhere"}
    assert told[2]["headers"]["x-switchyard-failover"] == "false"


def test_what_nobody_knows_is_not_found_even_where_one_alone_could_have_it(url: str) -> None:
    several, one = asked(url, kept("keepers", "id-of-old"), kept("one", "id-of-old"))

    for told in (several, one):
        assert (told["status"], told["record"]["code"]) == (404, "not_found")
        assert "not known here" in told["body"]["oops"]
        assert told["explained"]["refusal"]["status"] == 404
    assert Provider.asked == []


# Headers


def test_an_anthropic_client_finds_the_requests_id_and_its_providers_limits(url: str) -> None:
    anthropic, other, refused = asked(url, tally("own/y"), terse("own/y"), tally("nobody"))

    told = anthropic["headers"]
    assert told["request-id"] == told["x-request-id"]
    assert told["anthropic-ratelimit-x"] == "theirs"
    assert told["x-switchyard-upstream-request-id"] == "theirs"
    assert not {"x-ratelimit-x", "anthropic-o"} & told.keys()
    assert refused["headers"]["request-id"] == refused["headers"]["x-request-id"]
    assert other["headers"]["x-ratelimit-x"] == "theirs"
    assert not {"request-id", "anthropic-ratelimit-x"} & other["headers"].keys()

"""What the gateway reads in a Messages request, and what it leaves alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import Failure, ProtocolError
from providers.protocols import PROTOCOLS, Reply
from providers.protocols.messages import COUNT, MESSAGES
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

SAYS = [{"role": "user", "content": "x"}]


def says(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("target", "messages", "count"),
    [
        ("/v1/messages", "", ""),
        ("/v1/messages/", "", ""),
        ("", "", ""),
        ("/v1/messages?beta=true", "/messages?beta=true", "/messages/count_tokens?beta=true"),
        ("/v1/messages?beta=true&x=1&key=sk-1&API_KEY=k", "/messages?beta=true&x=1",
         "/messages/count_tokens?beta=true&x=1"),
        ("/v1/messages?key=sk-1", "", ""),
        ("/v1/messages?a=\r\nx: y", "", ""),
        ("/v1/messages?beta=true#x", "/messages?beta=true", "/messages/count_tokens?beta=true"),
    ],
)  # fmt: skip
def test_the_query_goes_along_without_a_key_in_it(target: str, messages: str, count: str) -> None:
    body = json.dumps({"model": "m", "messages": SAYS}).encode()
    assert MESSAGES.parse(body, target).upstream_path("m") == messages
    assert COUNT.parse(body, target).upstream_path("m") == count


def test_every_member_stays_the_bytes_that_were_sent_but_the_model() -> None:
    body = (
        b'{"zeta": {"b":1.10,"a":[1e2]}, "model":"m", "messages":[{"role":"user","content":"\xc3'
        b'\xa9\\ud83d"}], "max_tokens":10,"thinking":{"type":"adaptive"},"new_field":null}'
    )
    sent = MESSAGES.parse(body).encode("claude-opus-4-6")
    assert sent == (
        b'{"zeta":{"b":1.10,"a":[1e2]},"model":"claude-opus-4-6","messages":[{"role":"user",'
        b'"content":"\xc3\xa9\\ud83d"}],"max_tokens":10,"thinking":{"type":"adaptive"},'
        b'"new_field":null}'
    )


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
DOCUMENT = {"type": "document", "source": {"type": "text", "data": "x"}}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({}, set()),
        ({"stream": True}, {"streaming"}),
        ({"messages": says(IMAGE)}, {"vision"}),
        ({"messages": says(DOCUMENT, IMAGE)}, {"vision", "files"}),
        ({"messages": says({"type": "tool_result", "tool_use_id": "a", "content": [IMAGE]})},
         {"vision"}),
        ({"messages": says({"type": "tool_use", "id": "a", "name": "f", "input": DOCUMENT})},
         set()),
        ({"messages": [{"role": "user", "content": json.dumps(IMAGE)}]}, set()),
        ({"messages": [{"role": "user", "content": {"type": "image"}}]}, {"vision"}),
        ({"messages": [7, {"role": "user", "content": [IMAGE]}]}, {"vision"}),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
         {"tools"}),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
         {"tools", "parallel_tools"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning"}),
        ({"thinking": {"type": "disabled"}}, set()),
        ({"thinking": None}, set()),
        ({"output_config": {"effort": "low"}}, {"reasoning"}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"json_schema"}),
        ({"output_format": {"type": "json_schema", "schema": {}}}, {"json_schema"}),
        ({"output_config": 7, "thinking": [], "tools": {}}, set()),
    ],
)  # fmt: skip
def test_what_a_request_needs(members: dict[str, Any], needs: set[str]) -> None:
    assert asked("anthropic_messages", **members).needs == needs


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "x"}, "messages"),
        ({"messages": SAYS}, "model"),
        ({"model": "", "messages": SAYS}, "model"),
        ({"model": "m", "messages": SAYS, "stream": "yes"}, "stream"),
    ],
)
def test_what_routing_needs_is_checked(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        MESSAGES.parse(json.dumps(body).encode())
    assert refused.value.param == param


def test_what_only_a_provider_can_judge_is_left_to_it() -> None:
    request = asked("anthropic_messages", max_tokens="many", system=7, metadata=[])
    assert (request.max_output_tokens, request.session) == (None, None)


def test_the_user_is_the_session_and_max_tokens_the_output() -> None:
    request = asked("anthropic_messages", metadata={"user_id": "u"}, max_tokens=7)
    assert (request.session, request.max_output_tokens) == ("u", 7)


def test_all_that_is_read_is_estimated_and_a_picture_by_what_it_costs() -> None:
    def tokens(**members: Any) -> int:
        return asked("anthropic_messages", **members).estimated_input_tokens

    assert tokens(system="x" * 400) - tokens() == pytest.approx(100, abs=2)
    assert tokens(tools=[{"name": "x" * 400}]) - tokens() == pytest.approx(100, abs=10)
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}
    picture = says({"type": "image", "source": source})
    assert 1000 < tokens(messages=picture) < 1100


KEPT = [
    (b"anthropic-version", b"2026-10-21"),
    (b"anthropic-beta", b"context-1m-2025-08-07, a-beta-that-nobody-knows"),
    (b"anthropic-workspace-id", b"wrkspc_1"),
    (b"anthropic-dangerous-direct-browser-access", b"true"),
    (b"x-claude-code-session-id", b"s"),
    (b"x-claude-code-agent-id", b"a"),
    (b"x-claude-code-token-budget", b"9"),
    (b"x-stainless-lang", b"python"),
]
LEFT = [
    (b"authorization", b"Bearer sk"),
    (b"x-api-key", b"sk"),
    (b"anthropic-api-key", b"sk"),
    (b"anthropic-auth-token", b"sk"),
    (b"anthropic-organization-id", b"o"),
    (b"anthropic-user-profile-id", b"p"),
    (b"cookie", b"c"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-switchyard-session", b"s"),
    (b"host", b"h"),
    (b"anthropic-beta", b"a\r\nx: y"),
]


@pytest.mark.parametrize("protocol", ["anthropic_messages", "anthropic_count_tokens"])
def test_anthropics_headers_go_along_and_no_credential_or_account_does(protocol: str) -> None:
    assert PROTOCOLS[protocol].forwarded([*LEFT, *KEPT]) == KEPT


# Counting


def test_a_count_is_asked_for_without_a_stream_and_costs_no_output() -> None:
    request = asked("anthropic_count_tokens", stream=True, max_tokens=9)
    assert (request.stream, request.needs, request.max_output_tokens) == (False, set(), None)
    assert not COUNT.has_streams
    assert not COUNT.has_output
    assert COUNT.codec is None


def test_where_nobody_can_be_asked_the_estimate_is_the_answer() -> None:
    request = asked("anthropic_count_tokens", messages=[{"role": "user", "content": "x" * 400}])
    told = COUNT.estimated(request)
    assert told is not None
    assert json.loads(told) == {"input_tokens": request.estimated_input_tokens}
    assert request.estimated_input_tokens > 100


@pytest.mark.parametrize(
    ("body", "is_answer"),
    [
        (b'{"input_tokens": 7, "context_management": {"original_input_tokens": 9}}', True),
        (b'{"input_tokens": 0}', True),
        (b'{"tokens": 7}', False),
        (b'{"input_tokens": "7"}', False),
        (b"[7]", False),
        (b'{"type":"error","error":{"type":"api_error","message":"no"}}', False),
        (b"", False),
    ],
)
def test_a_count_is_passed_on_as_it_came_if_it_is_one(body: bytes, is_answer: bool) -> None:
    reply = asked("anthropic_count_tokens").read(b"application/json", body, JUDGE)
    assert isinstance(reply, Reply if is_answer else Failure)
    if isinstance(reply, Reply):
        assert reply.body == body
        assert reply.usage.output_tokens is None

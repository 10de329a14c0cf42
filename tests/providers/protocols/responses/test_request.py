"""What a request of the Responses API may look like, and what goes to a provider of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS
from providers.protocols.canonical import Reasoning
from providers.protocols.sealing import seal
from tests.support.wire import parse

pytestmark = pytest.mark.pure

INPUT = b'"input":"hi"'
SEALED = seal(Reasoning(text="hm", signature="s", origin="anthropic_messages"))


def body(extra: bytes = b"", given: bytes = INPUT) -> bytes:
    return b'{"model":"m",' + given + extra + b"}"


@pytest.mark.parametrize(
    ("sent", "param", "message"),
    [
        (b'{"input":"x"}', "model", "'model' is missing; it must be a non-empty string."),
        (b'{"model":"m"}', "input", "'input' is missing; it must be a string or a list."),
        (b'{"model":"m","input":{}}', "input", "'input' must be a string or a list, not {}."),
        (body(given=b'"input":null'), "input", "'input' must be a string or a list, not null."),
        (body(b',"stream":1'), "stream", "'stream' must be true or false, not 1."),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(
    sent: bytes, param: str, message: str
) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse("openai_responses", sent)
    assert (refused.value.param, refused.value.message) == (param, message)


@pytest.mark.parametrize("name", ["prompt", "previous_response_id", "conversation"])
def test_input_may_be_missing_where_the_provider_has_it(name: str) -> None:
    request = parse("openai_responses", b'{"model":"m","%b":"x"}' % name.encode())
    assert request.encode("n") == b'{"model":"n","%b":"x"}' % name.encode()
    assert request.estimated_input_tokens == 0


def test_only_the_model_changes_byte_for_byte() -> None:
    members = (
        b'"z":{"b":1.10,"a":[1e5,-0.0]},"model":"old","input":[ {"type" : "reasoning",'
        b'"encrypted_content":"gAAAA\\u003d","summary":[]},'
        b'{"role":"user","content":"\\ud83d \xc3\xa9"} ]'
        b',"stream":true,"store":false'
    )
    encoded = parse("openai_responses", b"{" + members + b"}").encode("new")
    assert encoded == b"{" + members.replace(b'"old"', b'"new"') + b"}"


def test_reasoning_that_another_protocol_made_stays_here() -> None:
    user = b'{"role" : "user","content":"a \\"gw1.\\" \\u00e9"}'
    sealed = json.dumps({"type": "reasoning", "summary": [], "encrypted_content": SEALED}).encode()
    said = json.dumps({"role": "user", "content": SEALED}).encode()
    request = parse("openai_responses", body(given=b'"input":[%b, %b ,%b]' % (user, sealed, said)))

    assert request.encode("m") == body(given=b'"input":[%b,%b]' % (user, said))

    half = body(given=b'"input":["\\ud83d",%b]' % sealed)
    assert json.loads(parse("openai_responses", half).encode("m"))["input"] == ["\ud83d"]


def test_a_text_that_begins_as_a_sealed_one_does_is_left_alone() -> None:
    sent = body(given=b'"input":"gw1.x"')
    assert parse("openai_responses", sent).encode("m") == sent


@pytest.mark.parametrize(
    ("extra", "needs"),
    [
        (b"", set()),
        (b',"stream":true', {"streaming"}),
        (b',"reasoning":{"effort":"low"}', {"reasoning"}),
        (b',"reasoning":{"effort":"none"}', set()),
        (b',"reasoning":{"effort":null,"summary":"auto"}', set()),
        (b',"reasoning":null', set()),
        (b',"tools":[{"type":"function"}]', {"tools"}),
        (b',"tools":[ ]', set()),
        (b',"tools":[{}],"parallel_tool_calls":true', {"tools", "parallel_tools"}),
        (b',"tools":[{}],"parallel_tool_calls":false', {"tools"}),
        (b',"text":{"format":{"type":"json_schema","name":"n"}}', {"json_schema"}),
        (b',"text":{"format":{"type":"text"},"verbosity":"low"}', set()),
        (b',"text":7', set()),
    ],
)
def test_needs_are_read_from_the_fields(extra: bytes, needs: set[str]) -> None:
    assert parse("openai_responses", body(extra)).needs == needs


@pytest.mark.parametrize(
    ("part", "need"),
    [("input_image", "vision"), ("input_audio", "audio"), ("input_file", "files")],
)
def test_content_parts_tell_what_is_needed_but_their_mention_in_a_text_does_not(
    part: str, need: str
) -> None:
    def needs(content: Any) -> frozenset[str]:
        sent = {"model": "m", "input": [{"role": "user", "content": content}]}
        return parse("openai_responses", json.dumps(sent).encode()).needs

    assert needs([{"type": part, part: {}}]) == {need}
    assert needs(json.dumps([{"type": part}])) == frozenset()


@pytest.mark.parametrize(
    ("extra", "session"),
    [
        (b"", None),
        (b',"user":"u"', "u"),
        (b',"user":"u","safety_identifier":"s"', "s"),
        (b',"user":"u","safety_identifier":"s","prompt_cache_key":"p"', "p"),
    ],
)
def test_the_session_is_the_first_name_that_the_caller_gives(
    extra: bytes, session: str | None
) -> None:
    assert parse("openai_responses", body(extra)).session == session


def test_instructions_and_tools_are_input_too() -> None:
    text = b'"' + b"x" * 4_000 + b'"'
    request = parse("openai_responses", body(b',"instructions":%b,"tools":[%b]' % (text, text)))
    assert request.estimated_input_tokens == pytest.approx(2_000, abs=5)
    image = b'[{"type":"input_image","image_url":"data:image/png;base64,' + b"A" * 400_000 + b'"}]'
    media = parse("openai_responses", body(given=b'"input":' + image))
    assert media.estimated_input_tokens == pytest.approx(1_000, abs=100)


def test_the_cap_is_of_all_that_is_written() -> None:
    assert parse("openai_responses", body(b',"max_output_tokens":7')).max_output_tokens == 7
    assert parse("openai_responses", body()).max_output_tokens is None


def test_what_codex_sends_along_goes_on_and_no_credential_does() -> None:
    kept = [
        (b"openai-beta", b"responses=experimental"),
        (b"x-codex-turn-state", b"opaque"),
        (b"originator", b"codex_cli_rs"),
        (b"session_id", b"s-1"),
        (b"session-id", b"s-1"),
        (b"thread-id", b"t-1"),
        (b"x-stainless-lang", b"python"),
    ]
    names = (
        b"authorization", b"api-key", b"cookie", b"chatgpt-account-id", b"openai-organization",
        b"openai-project", b"x-switchyard-provider", b"user-agent", b"x-forwarded-for",
    )  # fmt: skip
    torn = [(b"x-codex-x", b"a\r\nhost: evil")]
    protocol = PROTOCOLS["openai_responses"]
    assert protocol.forwarded([*((name, b"x") for name in names), *kept, *torn]) == kept

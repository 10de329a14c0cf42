"""What a request may look like, and what survives of it on the way to a provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ProtocolError
from providers.protocols.nesting import MAX_BRACKETS, MAX_DEPTH, is_too_deep
from tests.support.wire import parse

pytestmark = pytest.mark.pure

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'


def chat(extra: bytes = b"", messages: bytes = MESSAGES) -> bytes:
    return b'{"model":"m",' + messages + extra + b"}"


def refused(body: bytes, protocol: str = "openai_chat") -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(protocol, body)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"not json", "invalid character"),
        (b"[]", "not a list"),
        (b'"text"', "not a string"),
        (b"null", "not null"),
        (b"true", "not a boolean"),
        (b"12", "not a number"),
        (b'{"model":"m"', "ends too early"),
        (chat() + b" x", "trailing"),
        (chat(b',"temperature":NaN'), "invalid character"),
        (chat(b',"x":"\\ud80"'), "Invalid"),
        (chat(b',"x":"\\ud800",'), "JSON"),
        (chat(b',"x":"\xff"'), "UTF-8"),
        (b"\xef\xbb\xbf" + chat(), "invalid character"),
        (chat(b',"x":[01]'), "invalid number"),
        (chat(b',"x":' + b"[" * 100_000), "too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_in_clear_words(body: bytes, said: str) -> None:
    error = refused(body)
    assert said in error.message
    assert error.code == "invalid_json"


@pytest.mark.parametrize(
    ("protocol", "body", "param", "message"),
    [
        (
            "openai_chat",
            b"{" + MESSAGES + b"}",
            "model",
            "'model' is missing; it must be a non-empty string.",
        ),
        (
            "openai_chat",
            b'{"model":"",' + MESSAGES + b"}",
            "model",
            "'model' must be a non-empty string, not \"\".",
        ),
        (
            "openai_chat",
            b'{"model":7,' + MESSAGES + b"}",
            "model",
            "'model' must be a non-empty string, not 7.",
        ),
        (
            "openai_chat",
            b'{"model":"m"}',
            "messages",
            "'messages' is missing; it must be a non-empty list.",
        ),
        (
            "openai_chat",
            b'{"model":"m","messages":[ \n]}',
            "messages",
            "'messages' must be a non-empty list, not [ \n].",
        ),
        (
            "openai_chat",
            b'{"model":"m","messages":null}',
            "messages",
            "'messages' must be a non-empty list, not null.",
        ),
        (
            "openai_completions",
            b'{"model":"m","prompt":{"a":1}}',
            "prompt",
            "'prompt' must be a string or a list, not {\"a\":1}.",
        ),
        (
            "openai_embeddings",
            b'{"model":"m","input":3}',
            "input",
            "'input' must be a string or a list, not 3.",
        ),
        (
            "openai_chat",
            chat(b',"stream":"yes"'),
            "stream",
            "'stream' must be true or false, not \"yes\".",
        ),
        ("openai_chat", chat(b',"stream":1'), "stream", "'stream' must be true or false, not 1."),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(
    protocol: str, body: bytes, param: str, message: str
) -> None:
    error = refused(body, protocol)
    assert (error.param, error.message) == (param, message)


def test_a_long_value_is_shortened_in_a_refusal() -> None:
    message = refused(b'{"model":"m","messages":"' + b"\xc3\xa4" * 5_000 + b'"}').message
    assert len(message) < 150
    assert message.endswith("ä….")


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("openai_chat", chat(b',"stream":null')),
        ("openai_chat", chat(b',"n":"what","temperature":[],"stop":{}')),
        ("openai_completions", b'{"model":"m","prompt":""}'),
        ("openai_completions", b'{"model":"m","prompt":[1,2]}'),
        ("openai_embeddings", b'{"model":" m ","input":["a"],"stream":"whatever"}'),
    ],
)
def test_every_other_field_is_the_providers_to_judge(protocol: str, body: bytes) -> None:
    request = parse(protocol, body)
    assert request.stream is False
    assert json.loads(request.encode("x")) == json.loads(body) | {"model": "x"}


def test_only_the_model_changes_byte_for_byte() -> None:
    members = (
        b'"z_unknown":{"b":1.10,"a":[1e5,-0.0,12345678901234567890123]},"model":"old",'
        b'"messages":[ {"role" : "user","content":"\\u00e9 \\/ \xf0\x9f\x8c\x8d"} ],"top_p":0.10'
    )
    encoded = parse("openai_chat", b"{" + members + b"}").encode('new/"model"')
    assert encoded == b"{" + members.replace(b'"old"', b'"new/\\"model\\""') + b"}"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.text(min_size=1))
def test_whatever_the_caller_adds_survives(extra: dict[str, Any], model: str) -> None:
    body = extra | {"model": "m", "messages": [{}]}
    for name in ("stream", "stream_options"):
        body.pop(name, None)
    raw = json.dumps(body).encode()
    sent = json.loads(parse("openai_chat", raw).encode(model))
    assert list(sent.items()) == list((body | {"model": model}).items())


STREAM_OPTIONS = [
    (b"", b',"stream_options":{"include_usage":true}'),
    (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
    (b',"stream_options":{}', b',"stream_options":{"include_usage":true}'),
    (
        b',"stream_options":{"include_obfuscation":false,"x":1.10,"include_usage":false}',
        b',"stream_options":{"include_obfuscation":false,"x":1.10,"include_usage":true}',
    ),
    (
        b',"stream_options":{ "include_usage" : true }',
        b',"stream_options":{ "include_usage" : true }',
    ),
    (b',"stream_options":"odd"', b',"stream_options":"odd"'),
]
HALVES = (rb"\ud83d", rb"\udE00", rb"x \uD83D y", rb"\ud83d\ud83d")


@pytest.mark.parametrize("half", HALVES)
def test_half_a_surrogate_pair_goes_upstream_byte_for_byte(half: bytes) -> None:
    body = b'{ "model" : "m", "messages":[{"content":"%b"}] , "%b":[1.0, {"a" : 2}], "stream":true}'
    request = parse("openai_chat", body % (half, half))

    sent = request.encode("m", inject=False)

    assert b'"messages":[{"content":"%b"}]' % half in sent
    assert b':[1.0, {"a" : 2}]' in sent
    assert json.loads(sent) == json.loads(body % (half, half))
    assert request.stream


def test_a_model_with_half_a_surrogate_pair_is_refused() -> None:
    assert refused(rb'{"model":"\ud83d","messages":[1]}').param == "model"


@pytest.mark.parametrize("text", ["Съешь ещё этих мягких", "plain", "😀 и é", 'a"b\\c\n\u2028'])
def test_a_text_counts_the_same_however_it_is_escaped(text: str) -> None:
    messages = [{"role": "user", "content": text * 50}]
    plain, escaped = (
        parse(
            "openai_chat", json.dumps(body, ensure_ascii=is_ascii, separators=(",", ":")).encode()
        )
        for body in [{"model": "m", "messages": messages, "tools": messages}]
        for is_ascii in (False, True)
    )
    assert escaped.estimated_input_tokens == plain.estimated_input_tokens


@pytest.mark.parametrize(
    ("sent", "asked"),
    STREAM_OPTIONS,
)
def test_a_stream_asks_for_usage_and_keeps_its_other_options(sent: bytes, asked: bytes) -> None:
    request = parse("openai_chat", chat(b',"stream":true' + sent))
    assert request.encode("m") == chat(b',"stream":true' + asked)
    assert request.encode("m", inject=False) == chat(b',"stream":true' + sent)
    assert request.wants_usage is (b'"include_usage" : true' in sent)


def test_a_plain_request_never_asks_for_stream_options() -> None:
    assert parse("openai_chat", chat()).encode("m") == chat()
    with_options = chat(b',"stream_options":{"include_usage":true}')
    request = parse("openai_chat", with_options)
    assert request.encode("m") == with_options
    assert not request.wants_usage


@pytest.mark.parametrize(
    ("extra", "needs"),
    [
        (b"", set()),
        (b',"stream":true', {"streaming"}),
        (b',"reasoning_effort":"low"', {"reasoning"}),
        (b',"reasoning_effort":"none"', set()),
        (b',"reasoning_effort":null', set()),
        (b',"tools":[{"type":"function"}]', {"tools"}),
        (b',"tools":[]', set()),
        (b',"functions":[{}]', {"tools"}),
        (b',"tools":[{}],"parallel_tool_calls":true', {"tools", "parallel_tools"}),
        (b',"tools":[{}],"parallel_tool_calls":false', {"tools"}),
        (b',"modalities":["text","audio"]', {"audio"}),
        (b',"response_format":{"type":"json_schema","json_schema":{}}', {"json_schema"}),
        (b',"response_format":{"type":"json_object"}', set()),
    ],
)
def test_needs_are_read_from_the_fields(extra: bytes, needs: set[str]) -> None:
    assert parse("openai_chat", chat(extra)).needs == needs


@pytest.mark.parametrize(
    ("part", "need"), [("image_url", "vision"), ("input_audio", "audio"), ("file", "files")]
)
def test_content_parts_tell_what_is_needed_but_their_mention_in_a_text_does_not(
    part: str, need: str
) -> None:
    def needs(content: Any) -> frozenset[str]:
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        return parse("openai_chat", json.dumps(body).encode()).needs

    assert needs([{"type": part, part: {}}]) == {need}
    assert needs(json.dumps([{"type": part}])) == frozenset()
    assert needs(part) == frozenset()


@pytest.mark.parametrize(
    ("extra", "session"),
    [
        (b"", None),
        (b',"user":"u"', "u"),
        (b',"user":"u","safety_identifier":"s"', "s"),
        (b',"user":"u","safety_identifier":"s","prompt_cache_key":"p"', "p"),
        (b',"user":"u","prompt_cache_key":"","safety_identifier":7', "u"),
    ],
)
def test_the_session_is_the_first_name_that_the_caller_gives(
    extra: bytes, session: str | None
) -> None:
    assert parse("openai_chat", chat(extra)).session == session


def test_input_is_estimated_at_four_bytes_a_token_and_media_flat() -> None:
    text = parse("openai_chat", chat(messages=b'"messages":["' + b"x" * 4_000 + b'"]'))
    assert text.estimated_input_tokens == pytest.approx(1_000, abs=5)
    url = (
        b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + b"A" * 400_000 + b'"}}'
    )
    audio = b'{"type":"input_audio","input_audio":{"data":"' + b"A" * 400_000 + b'"}}'
    media = parse("openai_chat", chat(messages=b'"messages":[' + url + b"," + audio + b"]"))
    assert media.estimated_input_tokens == pytest.approx(2_000, abs=100)


@pytest.mark.parametrize(
    ("extra", "tokens"),
    [
        (b"", None),
        (b',"max_tokens":5', 5),
        (b',"max_tokens":5,"max_completion_tokens":7', 7),
        (b',"max_tokens":-1', None),
        (b',"max_tokens":"5"', None),
        (b',"max_tokens":1e3', None),
        (b',"max_tokens":' + b"9" * 400, None),
    ],
)
def test_requested_output_is_a_whole_number_or_unknown(extra: bytes, tokens: int | None) -> None:
    assert parse("openai_chat", chat(extra)).max_output_tokens == tokens


def nested(depth: int) -> bytes:
    """A body whose arrays and objects are `depth` levels deep in all."""
    return chat(b',"x":' + b"[" * (depth - 1) + b"]" * (depth - 1))


def test_nesting_is_bounded_at_64_levels() -> None:
    assert MAX_DEPTH == 64
    parse("openai_chat", nested(64))
    assert "64 levels" in refused(nested(65)).message
    assert "64 levels" in refused(nested(5_000)).message


def test_brackets_in_strings_do_not_nest() -> None:
    text = json.dumps("[{" * 500 + '"\\' * 50 + "[")
    parse("openai_chat", chat(b',"x":' + text.encode()))


def test_a_body_of_brackets_alone_is_refused_without_being_walked() -> None:
    assert is_too_deep(b"[]" * (MAX_BRACKETS // 2 + 1))
    assert not is_too_deep(b"[]" * (MAX_BRACKETS // 2))


def test_millions_of_strings_with_brackets_are_refused_without_being_walked() -> None:
    assert is_too_deep(b'["["],' * (MAX_BRACKETS // 2 + 1))
    assert not is_too_deep(b'"","\\\\","\\"[",' * 1000)


@settings(max_examples=40)
@given(json_values, st.integers(0, 80))
def test_depth_is_told_right_whatever_is_inside(value: Any, wraps: int) -> None:
    for _ in range(wraps):
        value = [value]
    # Enough brackets beside it that the cheap count cannot decide.
    raw = json.dumps([value, [[]] * 40]).encode()
    assert is_too_deep(raw) == (max(depth(value), 2) + 1 > MAX_DEPTH)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@pytest.mark.parametrize(
    ("protocol", "more", "several"),
    [
        ("openai_chat", "", False),
        ("openai_chat", ',"n":1', False),
        ("openai_chat", ',"n":null', False),
        ("openai_chat", ',"n":2', True),
        ("openai_completions", ',"prompt":"a"', False),
        ("openai_completions", ',"prompt":["a","b"]', True),
    ],
)
def test_several_choices_may_come_where_they_were_asked_for(
    protocol: str, more: str, several: bool
) -> None:
    body = '{"model":"m","messages":[{}],"stream":true' + more + "}"
    assert parse(protocol, body.encode()).several is several

"""A provider compiled: where it is called, with which head, and what is refused."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from providers.adapters.auth import AUTHS, AuthScheme, Sent
from providers.adapters.registry import ADAPTERS, KNOWN_KINDS
from providers.adapters.spec import CredentialSpec, ProviderSpec
from providers.adapters.upstream import Upstream, blames
from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS
from providers.transport import Endpoint, Transport
from providers.validation import PROTOCOL_NAMES

SECRET = "hidden-key-value"
pure = pytest.mark.pure


def compiled(environ: dict[str, str] | None = None, **settings: Any) -> Upstream:
    key = CredentialSpec(label="main", secret="token")
    auths = settings.pop("auths", AUTHS)
    spec = {"name": "p", "kind": "openai", "credentials": (key,)} | settings
    return Upstream.compile(ProviderSpec(**spec), lambda token: SECRET, environ or {}, auths=auths)


def head(upstream: Upstream, *headers: tuple[bytes, bytes], **options: Any) -> list[bytes]:
    options = {"protocol": "openai_chat", "size": 12, "stream": False} | options
    raw = upstream.head(
        options["protocol"],
        upstream.credentials[0],
        headers,
        body=b"x" * options["size"],
        stream=options["stream"],
    )
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


@pure
def test_the_head_is_complete_and_the_credential_is_its_last_line() -> None:
    assert head(compiled()) == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"host: api.openai.com",
        b"content-type: application/json",
        b"accept-encoding: identity",
        b"user-agent: switchyard",
        b"accept: application/json",
        b"content-length: 12",
        b"authorization: Bearer hidden-key-value",
    ]
    assert b"accept: text/event-stream" in head(compiled(), stream=True)


@pure
@pytest.mark.parametrize(
    ("base_url", "target", "host", "endpoint"),
    [
        ("https://h/v1", b"/v1/embeddings", b"h", ("https", "h", 443)),
        ("https://h/v1/", b"/v1/embeddings", b"h", ("https", "h", 443)),
        ("http://h", b"/embeddings", b"h", ("http", "h", 80)),
        (
            "http://127.0.0.1:8001/a/b/",
            b"/a/b/embeddings",
            b"127.0.0.1:8001",
            ("http", "127.0.0.1", 8001),
        ),
        ("https://h:443/", b"/embeddings", b"h", ("https", "h", 443)),
        ("https://[::1]:9/v1", b"/v1/embeddings", b"[::1]:9", ("https", "::1", 9)),
        (
            "https://h/v1?api-version=1 2",
            b"/v1/embeddings?api-version=1%202",
            b"h",
            ("https", "h", 443),
        ),
        (
            "https://H.Example/ä b",
            b"/%C3%A4%20b/embeddings",
            b"h.example",
            ("https", "h.example", 443),
        ),
        (
            "https://bücher.example",
            b"/embeddings",
            b"xn--bcher-kva.example",
            ("https", "xn--bcher-kva.example", 443),
        ),
    ],
)
def test_a_base_url_is_used_as_the_operator_wrote_it(
    base_url: str, target: bytes, host: bytes, endpoint: tuple[str, str, int]
) -> None:
    upstream = compiled(base_url=base_url)
    lines = head(upstream, protocol="openai_embeddings")
    assert lines[:2] == [b"POST " + target + b" HTTP/1.1", b"host: " + host]
    scheme, name, port = endpoint
    assert upstream.endpoint == Endpoint(scheme=scheme, host=name, port=port)


@pure
@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "ftp://h"},
        {"base_url": "h.example/v1"},
        {"base_url": "https://"},
        {"base_url": "https://h:99999"},
        {"base_url": "https://user:pw-text@h"},
        {"base_url": "https://h/#x"},
        {"proxy": "socks5://h:1"},
        {"auth": "basic"},
        {"kind": "nonsense"},
        {"headers": {"x-a": "b\r\nhost: evil"}},
        {"headers": {"x-a": "b\0"}},
        {"headers": {"x-a\r\nx": "b"}},
        {"headers": {"x a": "b"}},
        {"headers": {"": "b"}},
        {"headers": {"x-a": "€"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"kind": "simulator", "fault": "nonsense"},
    ],
)
def test_what_cannot_work_is_refused_by_name_and_without_secrets(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^provider p: ") as caught:
        compiled(**settings)
    assert "pw-text" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pure
@pytest.mark.parametrize("secret", ["a\r\nb: c", "a\nb", "a\0", "ключ"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_quoting_it(secret: str) -> None:
    spec = ProviderSpec(
        name="p", kind="openai", credentials=(CredentialSpec(label="m", secret="t"),)
    )
    with pytest.raises(ValueError, match="the key has characters") as caught:
        Upstream.compile(spec, lambda token: secret, {})
    assert secret not in str(caught.value)


@pure
def test_a_key_pasted_with_white_space_around_it_works() -> None:
    spec = ProviderSpec(
        name="p", kind="openai", credentials=(CredentialSpec(label="m", secret="t"),)
    )
    upstream = Upstream.compile(spec, lambda token: " key\n", {})
    assert head(upstream)[-1] == b"authorization: Bearer key"


@pure
def test_a_key_never_shows_in_a_repr() -> None:
    upstream = compiled()
    credential = upstream.credentials[0]
    assert (credential.label, credential.key_id) == ("main", "p:main")
    assert SECRET not in repr((upstream, credential, upstream.endpoint))


@pure
@pytest.mark.parametrize(
    ("auth", "line"),
    [
        ("", b"authorization: Bearer hidden-key-value"),
        ("bearer", b"authorization: Bearer hidden-key-value"),
        ("x-api-key", b"x-api-key: hidden-key-value"),
        ("api-key", b"api-key: hidden-key-value"),
        ("x-goog-api-key", b"x-goog-api-key: hidden-key-value"),
    ],
)
def test_the_key_goes_where_the_provider_wants_it(auth: str, line: bytes) -> None:
    assert head(compiled(auth=auth))[-1] == line


@pure
def test_the_operators_headers_are_sent_and_win_over_ours_and_the_callers() -> None:
    upstream = compiled(headers={"User-Agent": "me", "X-Team": "é", "Accept": "*/*"})
    lines = head(
        upstream, (b"x-team", b"caller"), (b"user-agent", b"caller"), (b"openai-beta", b"yes")
    )
    assert b"user-agent: me" in lines
    assert b"x-team: \xe9" in lines
    assert b"openai-beta: yes" in lines
    assert [line for line in lines if line.startswith(b"accept:")] == [b"accept: */*"]
    assert not [line for line in lines if b"caller" in line]


@pure
def test_nothing_that_a_caller_sends_can_name_the_host_or_the_credential_twice() -> None:
    own = [(b"host", b"evil"), (b"authorization", b"evil"), (b"accept", b"evil")]
    assert b"evil" not in b"".join(head(compiled(), *own))
    with_key = compiled(auth="x-api-key", headers={"X-Api-Key": "operator"})
    assert b"operator" not in b"".join(head(with_key))


@pure
def test_without_a_key_no_header_is_sent_where_none_is_needed() -> None:
    upstream = compiled(kind="openai_compatible", base_url="http://h/v1", credentials=())
    assert [c.secret for c in upstream.credentials] == [""]
    assert not upstream.needs_credential
    assert not [line for line in head(upstream) if b"authorization" in line]


@pure
def test_a_provider_that_needs_a_key_and_has_none_has_no_credential() -> None:
    upstream = compiled(credentials=())
    assert upstream.needs_credential
    assert upstream.credentials == ()
    authorized = compiled(credentials=(), headers={"Authorization": "Basic abc"})
    assert not authorized.needs_credential
    assert b"authorization: Basic abc" in head(authorized)


@pure
def test_an_empty_key_is_no_credential() -> None:
    spec = ProviderSpec(
        name="p", kind="openai", credentials=(CredentialSpec(label="m", secret="t"),)
    )
    assert Upstream.compile(spec, lambda token: "", {}).credentials == ()


@pure
@pytest.mark.parametrize(
    ("environ", "settings", "proxy"),
    [
        ({}, {}, ""),
        ({"HTTPS_PROXY": "http://p:3128"}, {}, "http://p:3128"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, {}, "http://low:1"),
        ({"HTTPS_PROXY": "p:3128"}, {}, "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, {}, ""),
        ({"HTTP_PROXY": "http://p:1"}, {"base_url": "http://h/v1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, {"base_url": "http://h"}, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "openai.com"}, {}, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, {}, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, {}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "h:8001"}, {"base_url": "http://h:8001"}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, {"trust_env_proxy": False}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, {"proxy": "http://own:2"}, "http://own:2"),
        ({"NO_PROXY": "*"}, {"proxy": "http://own:2", "trust_env_proxy": False}, "http://own:2"),
    ],
)
def test_proxies_come_from_the_provider_else_from_the_environment(
    environ: dict[str, str], settings: dict[str, Any], proxy: str
) -> None:
    endpoint = compiled(environ, **settings).endpoint
    assert endpoint is not None
    assert endpoint.proxy == proxy


@pure
def test_the_registry_is_consistent() -> None:
    assert set(ADAPTERS) < KNOWN_KINDS
    assert set(ADAPTERS) >= {"openai", "openai_compatible", "simulator"}
    assert KNOWN_KINDS - set(ADAPTERS) == {"azure_openai", "bedrock"}
    for kind, adapter in ADAPTERS.items():
        assert adapter.kind == kind
        assert adapter.protocols & set(PROTOCOLS) <= set(adapter.paths)
        assert adapter.protocols <= set(PROTOCOL_NAMES)
        assert set(adapter.paths) <= set(PROTOCOLS)
        assert not adapter.default_base_url.endswith("/")


@pure
def test_every_kind_and_what_it_speaks_is_told_to_operators() -> None:
    kinds = Path("docs/configuration.md").read_text().partition("#### Kinds")[2]
    rows = {
        kind: row
        for row in kinds.partition("### `timeouts`")[0].splitlines()
        if row.startswith("| `")
        for kind in re.findall(r"`(\w+)`", row.partition(" | ")[0])
    }
    assert set(rows) == KNOWN_KINDS
    words = {"openai_responses": "Responses", "anthropic_messages": "Messages"}
    for kind, adapter in ADAPTERS.items():
        for protocol, word in words.items():
            is_told = word in rows[kind] or "everything" in rows[kind]
            assert is_told == (protocol in adapter.protocols), (kind, word)


@pure
@pytest.mark.parametrize(
    "kind", sorted(set(ADAPTERS) - {"simulator", "openai_compatible", "anthropic", "gemini"})
)
def test_every_preset_works_with_nothing_but_a_key(kind: str) -> None:
    upstream = compiled(kind=kind)
    assert "openai_chat" in upstream.protocols
    assert head(upstream)[0].endswith(b"/chat/completions HTTP/1.1")


@pytest.mark.parametrize(
    ("base_url", "host", "path"),
    [
        ("", b"api.anthropic.com", b"/v1/messages"),
        ("https://api.anthropic.com", b"api.anthropic.com", b"/v1/messages"),
        ("https://api.anthropic.com/", b"api.anthropic.com", b"/v1/messages"),
        ("https://api.anthropic.com/v1", b"api.anthropic.com", b"/v1/messages"),
        ("https://api.anthropic.com/v1/", b"api.anthropic.com", b"/v1/messages"),
        ("https://api.deepseek.com/anthropic", b"api.deepseek.com", b"/anthropic/v1/messages"),
        ("https://api.z.ai/api/anthropic/", b"api.z.ai", b"/api/anthropic/v1/messages"),
        ("http://h:8080/v4", b"h:8080", b"/v4/messages"),
    ],
)
def test_anthropics_address_may_be_typed_with_and_without_its_version(
    base_url: str, host: bytes, path: bytes
) -> None:
    upstream = compiled(kind="anthropic", base_url=base_url)
    lines = head(upstream, protocol="anthropic_messages")
    assert lines[:2] == [b"POST " + path + b" HTTP/1.1", b"host: " + host]


def test_anthropic_gets_its_key_as_the_operator_says_and_a_version_unless_somebody_names_one() -> (
    None
):
    def lines(*headers: tuple[bytes, bytes], **settings: Any) -> list[bytes]:
        upstream = compiled(kind="anthropic", **settings)
        assert {"anthropic_messages", "anthropic_count_tokens"} <= upstream.protocols
        found = head(upstream, *headers, protocol="anthropic_messages")
        return [line for line in found if line.startswith((b"anthropic", b"x-api", b"auth"))]

    version = b"anthropic-version: 2023-06-01"
    assert lines() == [version, b"x-api-key: hidden-key-value"]
    assert lines(auth="bearer") == [version, b"authorization: Bearer hidden-key-value"]
    newer = (b"anthropic-version", b"2026-10-21")
    assert lines(newer)[0] == b"anthropic-version: 2026-10-21"
    own = {"Anthropic-Version": "2027-01-01"}
    assert lines(newer, headers=own)[0] == b"anthropic-version: 2027-01-01"
    assert len(lines(newer, headers=own)) == 2


def test_who_speaks_messages_besides_its_kinds_usual_gets_the_version_too() -> None:
    upstream = compiled(
        kind="openai_compatible", base_url="http://h/v1", protocols=("anthropic_messages",)
    )
    lines = head(upstream, protocol="anthropic_messages")
    assert lines[0] == b"POST /v1/messages HTTP/1.1"
    assert b"anthropic-version: 2023-06-01" in lines
    assert not [line for line in head(upstream) if line.startswith(b"anthropic")]


@pytest.mark.parametrize(
    ("base_url", "base"),
    [
        ("", b"/v1beta"),
        ("https://generativelanguage.googleapis.com/", b"/v1beta"),
        ("https://generativelanguage.googleapis.com/v1beta", b"/v1beta"),
        ("https://generativelanguage.googleapis.com/v1beta/", b"/v1beta"),
        ("https://generativelanguage.googleapis.com/v1", b"/v1"),
        ("https://generativelanguage.googleapis.com/v1alpha", b"/v1alpha"),
        ("http://127.0.0.1:9/gemini", b"/gemini/v1beta"),
    ],
)
def test_geminis_address_may_be_typed_with_and_without_its_version(
    base_url: str, base: bytes
) -> None:
    upstream = compiled(kind="gemini", base_url=base_url)
    assert upstream.protocols == {"gemini_generate", "gemini_count_tokens"}
    raw = upstream.head(
        "gemini_generate",
        upstream.credentials[0],
        (),
        body=b"{}",
        stream=True,
        path="/models/gemini-x:streamGenerateContent?alt=sse",
    )
    lines = raw.split(b"\r\n")
    target = base + b"/models/gemini-x:streamGenerateContent?alt=sse"
    assert lines[0] == b"POST " + target + b" HTTP/1.1"
    assert b"x-goog-api-key: hidden-key-value" in lines


@pure
@pytest.mark.parametrize(
    ("kind", "base_url", "path"),
    [
        ("openai", "https://api.openai.com", b"/v1/chat/completions"),
        ("openai", "https://api.openai.com/", b"/v1/chat/completions"),
        ("groq", "https://api.groq.com", b"/openai/v1/chat/completions"),
        ("openrouter", "https://OpenRouter.ai", b"/api/v1/chat/completions"),
        ("deepseek", "https://api.deepseek.com/", b"/chat/completions"),
        ("deepseek", "https://api.deepseek.com/v1", b"/v1/chat/completions"),
        ("ollama", "http://gpu:11434", b"/v1/chat/completions"),
        ("vllm", "http://gpu:8000/served", b"/served/v1/chat/completions"),
        ("vllm", "http://gpu:8000/v1/", b"/v1/chat/completions"),
        ("openai", "https://h", b"/chat/completions"),
        ("openai_compatible", "http://gpu:11434", b"/chat/completions"),
    ],
)
def test_the_bare_host_of_a_vendor_is_its_usual_address(
    kind: str, base_url: str, path: bytes
) -> None:
    assert head(compiled(kind=kind, base_url=base_url))[0] == b"POST " + path + b" HTTP/1.1"


@pure
def test_what_a_vendor_refuses_or_renames_is_something_that_prompts_are_written_by() -> None:
    refused = set().union(*(adapter.refuses for adapter in ADAPTERS.values()))
    renamed = set().union(*(adapter.renames for adapter in ADAPTERS.values()))
    written = {
        *("custom_tools", "allowed_tools", "tool_choice", "parallel_tool_calls", "json_schema"),
        *("stream_options", "max_completion_tokens", "temperature", "top_p", "top_k", "seed"),
        *("presence_penalty", "frequency_penalty", "reasoning_effort", "verbosity", "user"),
        "prompt_cache_key",
    }
    assert refused | renamed <= written
    assert not ADAPTERS["openai"].refuses
    for kind in set(ADAPTERS) - {"openai", "anthropic", "gemini", "simulator"}:
        assert ADAPTERS[kind].refuses >= {"custom_tools", "allowed_tools"}


@pure
def test_a_provider_speaks_what_its_kind_does_and_what_the_operator_adds() -> None:
    assert "openai_embeddings" not in compiled(kind="groq").protocols
    assert "openai_embeddings" in compiled(kind="groq", protocols=("openai_embeddings",)).protocols
    assert "openai_chat" not in compiled(kind="gemini", protocols=("openai_chat",)).protocols
    assert "rerank" not in compiled(protocols=("rerank",)).protocols


@pure
@pytest.mark.parametrize("kind", sorted(KNOWN_KINDS - set(ADAPTERS)))
def test_a_kind_without_an_adapter_is_legal_and_speaks_nothing(kind: str) -> None:
    upstream = compiled(kind=kind, base_url="https://h", protocols=("openai_chat",))
    assert "openai_chat" not in upstream.protocols


@pure
def test_a_provider_without_an_address_speaks_nothing() -> None:
    assert "openai_chat" not in compiled(kind="openai_compatible").protocols


@pure
def test_an_upstream_takes_its_own_keys_out_of_errors() -> None:
    body = b'{"error":{"message":"bad key hidden-key-value"}}'
    failure = compiled().classify(401, [], body, now=0)
    assert (failure.fault, failure.message) == (Fault.AUTH, "bad key [redacted]")


@pure
def test_an_injected_field_is_blamed_by_message_or_body() -> None:
    def failure(message: str, body: bytes | None = None) -> Failure:
        return Failure(fault=Fault.CALLER, message=message, body=body)

    assert blames(failure("Unknown field stream_options"), "stream_options")
    assert blames(failure("x", b'{"loc":["body","stream_options"]}'), "stream_options")
    assert not blames(failure("x", b"{}"), "stream_options")


async def test_a_call_reaches_a_real_server_as_written() -> None:
    """Over the project's own transport, byte for byte."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = compiled(kind="vllm", base_url=f"http://127.0.0.1:{port}/v1")
    transport = Transport()
    try:
        response = await upstream.send(
            transport,
            protocol="openai_chat",
            credential=upstream.credentials[0],
            headers=[(b"x-stainless-lang", b"python")],
            body=b"{}",
            stream=False,
            connect_s=5,
            deadline=asyncio.get_running_loop().time() + 5,
        )
        assert response.status == 200
        assert await response.read_all(asyncio.get_running_loop().time() + 5) == b"{}"
        response.close()
    finally:
        await transport.aclose()
        server.close()
        await server.wait_closed()
    assert seen[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
    assert seen[0].endswith(
        b"content-length: 2\r\nx-stainless-lang: python\r\n"
        b"authorization: Bearer hidden-key-value\r\n\r\n{}"
    )


class Signing(AuthScheme):
    """Proves who calls by what is sent."""

    headers = frozenset({"authorization", "x-date"})

    def line(self, secret: str) -> bytes:
        return b""

    def lines_for(self, secret: str, sent: Sent) -> bytes:
        seen = b"|".join([secret.encode(), sent.target, sent.lines, sent.body])
        return b"x-date: 1\r\nauthorization: " + sha256(seen).hexdigest().encode() + b"\r\n"


@pure
def test_a_scheme_may_sign_each_call() -> None:
    upstream = compiled(base_url="https://h/v1", auths={**AUTHS, "bearer": Signing()})

    def signature(body: bytes, *headers: tuple[bytes, bytes]) -> bytes:
        lines = upstream.head(
            "openai_chat", upstream.credentials[0], headers, body=body, stream=False
        ).split(b"\r\n")
        assert lines[-2:] == [b"", b""]
        assert sum(line.startswith((b"authorization", b"x-date")) for line in lines) == 2
        return lines[-3]

    first = signature(b"{}")
    assert first == signature(b"{}", (b"x-date", b"9"), (b"authorization", b"theirs"))
    assert first != signature(b"{ }")
    assert first != signature(b"{}", (b"openai-beta", b"x"))


async def test_a_look_goes_with_the_head_of_a_call_and_is_signed_like_one() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    deadline = asyncio.get_running_loop().time() + 5
    transport = Transport()
    try:
        for auths in (AUTHS, {**AUTHS, "bearer": Signing()}):
            upstream = compiled(base_url=f"{address}/v1?k=1", auths=auths)
            key = upstream.credentials[0]
            reply = await upstream.look(
                transport, "/models", credential=key, connect_s=5, deadline=deadline
            )
            assert await reply.read_all(deadline) == b"[]"
    finally:
        await transport.aclose()
        server.close()
        await server.wait_closed()

    plain, signed = ([*each[:-4].split(b"\r\n")] for each in seen)
    assert plain[0] == signed[0] == b"GET /v1/models?k=1 HTTP/1.1"
    assert plain[-1] == b"authorization: Bearer hidden-key-value"
    assert plain[1:-1] == signed[1:-2]
    assert (signed[-2], signed[-1][:15]) == (b"x-date: 1", b"authorization: ")


@pure
@pytest.mark.parametrize(
    ("base_url", "path", "target"),
    [
        (
            "https://h/v1beta",
            "/models/a%2Fb:generateContent",
            "/v1beta/models/a%2Fb:generateContent",
        ),
        ("https://h/b?k=1", "/models/a:x?alt=sse", "/b/models/a:x?k=1&alt=sse"),
        ("https://h/v1", "/messages?beta=true", "/v1/messages?beta=true"),
    ],
)
def test_a_request_may_have_a_path_of_its_own(base_url: str, path: str, target: str) -> None:
    upstream = compiled(base_url=base_url)
    credential = upstream.credentials[0]

    head = upstream.head("openai_chat", credential, (), body=b"{}", stream=False, path=path)

    lines = head.split(b"\r\n")
    assert lines[0] == f"POST {target} HTTP/1.1".encode()
    usual = upstream.head("openai_chat", credential, (), body=b"{}", stream=False)
    assert lines[1:] == usual.split(b"\r\n")[1:]

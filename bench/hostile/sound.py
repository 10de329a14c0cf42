"""Requests as they should be, of all protocols and of the admin side: what mutations begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from bench.hostile.world import HOSTILE, MASTER, SIMULATED, TOLD
from tests.support.hostile import PATHS

SESSION: Final = b"SESSION-OF-THE-RUN"  # it stands where the session's id goes when it is sent
TOKEN: Final = "a" * 32  # a CSRF token is whatever cookie and form agree on
SCHEMA: Final = {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}
PNG: Final = "iVBORw0KGgoAAAANSUhEUg=="

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """`weight` is how often it is taken; `fields` are its head without the body's length."""

    weight: int
    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""


SAMPLING: Final = {"temperature": 0.5, "top_p": 0.9, "stream": True}
PARTS: Final = [
    {"type": "text", "text": "Look \\u263a 😀"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=",
                              "filename": "a.pdf"}},
]  # fmt: skip
CALL: Final = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":"1"}'}}
RICH: Final[dict[str, dict[str, Any]]] = {
    "openai_chat": {
        **SAMPLING, "max_completion_tokens": 100, "stop": ["END"], "n": 1, "seed": 1,
        "stream_options": {"include_usage": True}, "user": "me", "metadata": {"a": "b"},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": PARTS},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "user", "content": "Go on"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    },
    "openai_completions": {**SAMPLING, "prompt": ["One", "Two"], "max_tokens": 9, "echo": True,
                           "logprobs": 2},
    "openai_embeddings": {"input": ["One", "Two", "Three"], "dimensions": 8,
                          "encoding_format": "float"},
    "openai_responses": {
        **SAMPLING, "max_output_tokens": 100, "instructions": "Be brief.", "store": False,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Look"},
             {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gw1.W10="},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}],
        "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
        "reasoning": {"effort": "low"},
    },
    "anthropic_messages": {
        **SAMPLING, "max_tokens": 100, "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image",
             "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "gw1.W10="},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": "1"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"}]},
        ],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "f"}, "metadata": {"user_id": "me"},
    },
    "gemini_generate": {
        "contents": [
            {"role": "user", "parts": [{"text": "Look"},
             {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": "1"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"result": 1}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}],
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 9, "stopSequences": ["E"],
                             "responseMimeType": "application/json", "responseSchema": SCHEMA},
    },
}  # fmt: skip
RICH["anthropic_count_tokens"] = {
    name: RICH["anthropic_messages"][name] for name in ("system", "messages", "tools")
}
RICH["gemini_count_tokens"] = {"contents": RICH["gemini_generate"]["contents"]}

SPARE: Final = {"name": "spare", "candidates": [{"provider_name": "sim", "model": "spare"}]}
SWITCH: Final = {"kind": "pool_candidate", "provider_name": "sim", "canonical_model": "spare",
                 "model": "spare"}  # fmt: skip
# Of the API: none names what the ordinary caller uses.
API: Final[tuple[tuple[str, str, Any], ...]] = (
    ("GET", "/api/failover", None),
    ("PUT", "/api/failover", {"primary_model": "spare", "fallback_models": ["told", "m"]}),
    ("DELETE", "/api/failover", {"primary_model": "spare"}),
    ("GET", "/api/routing-state", None),
    ("PUT", "/api/routing-state", {**SWITCH, "enabled": False, "reason": "r"}),
    ("DELETE", "/api/routing-state", SWITCH),
    ("GET", "/api/routing/model-pools", None),
    ("GET", "/api/benches", None),
    ("POST", "/api/benches", {"model": "sim/spare", "for_s": 60, "reason": "r"}),
    ("DELETE", "/api/benches", {"model": "sim/spare"}),
    ("GET", "/api/health", None),
    ("GET", "/api/jobs", None),
    ("GET", "/api/alerts", None),
    ("GET", "/api/suggestions?state=open&limit=5", None),
    ("POST", "/api/explain", {"model": "m", "body": {"messages": []}, "session": "s"}),
    ("GET", "/api/providers?limit=5&offset=0", None),
    ("POST", "/api/providers", {"name": "spare", "kind": "simulator", "enabled": False}),
    ("PATCH", "/api/providers/spare", {"timeouts": {"connect_s": 3}}),
    ("POST", "/api/pools", SPARE),
    ("PUT", "/api/pools/spare", {**SPARE, "strategy": "round_robin"}),
    ("POST", "/api/aliases", {"name": "spared", "target": "spare"}),
    ("POST", "/api/keys", {"name": "spare", "models": ["spare"], "rpm": 5}),
    ("DELETE", "/api/keys/spare", None),
    ("GET", "/api/requests?limit=5&status=200&model=m&ordering=-started_at", None),
    ("GET", "/api/catalog/facts?provider=sim&model=sim", None),
    ("GET", "/api/revisions?limit=2", None),
    ("POST", "/api/config/preview", {"yaml": "routing: {defaults: {session_affinity: true}}"}),
)
PAGES: Final = (
    "/admin/", "/admin/providers/provider/?q=sim&o=1.-2&p=0", "/admin/routing/canonicalmodel/",
    "/admin/controlplane/requestrecord/?status__exact=200&q=m&p=1",
    "/admin/controlplane/apikey/add/",
    "/admin/autocomplete/?term=s&app_label=routing&model_name=candidate&field_name=provider",
    "/admin/providers/provider/sim/change/",
)  # fmt: skip
FORM: Final = {"csrfmiddlewaretoken": TOKEN, "name": "spare", "target": "m", "enabled": "on",
               "reason": "r", "_save": "Save"}  # fmt: skip


def _all() -> tuple[Sound, ...]:
    found = [_asked(name, members, SIMULATED, 20) for name, members in RICH.items()]
    found += [_asked(name, members, TOLD, 8) for name, members in RICH.items()]
    found += [_of_api(*each) for each in API]
    found += [_page(target) for target in PAGES]
    found.append(_page("/admin/routing/alias/add/", urlencode(FORM).encode()))
    read = ((b"host", b"localhost"), (b"authorization", b"Bearer %b" % HOSTILE.encode()))
    for target in (b"/v1/models", b"/v1/models/m", b"/readyz", b"/healthz", b"/metrics"):
        found.append(Sound(weight=2, method=b"GET", target=target, fields=read))
    return tuple(found)


def _asked(protocol: str, members: dict[str, Any], model: str, weight: int) -> Sound:
    named: dict[str, Any] = {} if protocol.startswith("gemini") else {"model": model}
    secret = HOSTILE.encode()
    shown = {
        "anthropic": (b"x-api-key", secret), "gemini": (b"x-goog-api-key", secret),
    }.get(protocol.partition("_")[0], (b"authorization", b"Bearer %b" % secret))  # fmt: skip
    fields = (
        (b"host", b"localhost"), shown, (b"content-type", b"application/json"),
        (b"user-agent", b"hostile/1"), (b"anthropic-version", b"2023-06-01"),
        (b"x-switchyard-timeout", b"5"), (b"accept-encoding", b"gzip"),
    )  # fmt: skip
    target = PATHS[protocol].replace("/m:", f"/{model}:").encode()
    body = json.dumps({**named, **members}, ensure_ascii=False).encode()
    return Sound(weight=weight, method=b"POST", target=target, fields=fields, body=body)


def _of_api(method: str, target: str, body: Any) -> Sound:
    fields = (
        (b"host", b"localhost"), (b"authorization", b"Bearer %b" % MASTER.encode()),
        (b"content-type", b"application/json"), (b"accept", b"application/json"),
    )  # fmt: skip
    raw = b"" if body is None else json.dumps(body).encode()
    return Sound(weight=1, method=method.encode(), target=target.encode(), fields=fields, body=raw)


def _page(target: str, form: bytes = b"") -> Sound:
    cookie = b"csrftoken=%b; sessionid=%b" % (TOKEN.encode(), SESSION)
    fields = (
        (b"host", b"localhost"), (b"cookie", cookie), (b"accept", b"text/html"),
        (b"content-type", b"application/x-www-form-urlencoded"), (b"accept-language", b"en"),
    )  # fmt: skip
    method = b"POST" if form else b"GET"
    return Sound(weight=1, method=method, target=target.encode(), fields=fields, body=form)


SOUND: Final = _all()

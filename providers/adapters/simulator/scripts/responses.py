"""OpenAI's Responses."""

from __future__ import annotations

import time
from typing import Any

from providers.adapters.simulator.scripts.script import (
    Ask,
    Called,
    Events,
    Script,
    error_words,
    last_of,
    named,
    objects,
    ordered,
    texts_in,
    tokens,
    told,
    words,
)

_Step = tuple[str, dict[str, Any]]  # an event's type and members, but for its number


class ResponsesScript(Script):
    def reply(self, ask: Ask) -> dict[str, Any]:
        text, call = _answer(ask)
        return _response(ask, "completed", [_item(ask, text, call)], _usage(ask, text))

    def events(self, ask: Ask) -> Events:
        text, call = _answer(ask)
        whole, begun = _item(ask, text, call), _item(ask, "", call, is_whole=False)
        at = {"item_id": whole["id"], "output_index": 0}
        item: list[_Step]
        opening: list[_Step] = [
            ("response.created", {"response": _response(ask, "in_progress", [], None)}),
            ("response.in_progress", {"response": _response(ask, "in_progress", [], None)}),
        ]
        added: _Step = ("response.output_item.added", {"output_index": 0, "item": begun})
        if call is None:
            part = {"content_index": 0}
            opening += [
                added,
                ("response.content_part.added", {**at, **part, "part": _part("")}),
            ]
            delta = "response.output_text.delta"
            item = [(delta, {**at, **part, "delta": w, "logprobs": []}) for w in words(text)]
            closing: list[_Step] = [
                ("response.output_text.done", {**at, **part, "text": text, "logprobs": []}),
                ("response.content_part.done", {**at, **part, "part": _part(text)}),
            ]
        else:
            kind = "custom_tool_call_input" if call.is_custom else "function_call_arguments"
            item = [added]
            item += [(f"response.{kind}.delta", {**at, "delta": piece}) for piece in call.pieces]
            ended = "input" if call.is_custom else "arguments"
            closing = [(f"response.{kind}.done", {**at, ended: call.arguments})]
        closing += [
            ("response.output_item.done", {"output_index": 0, "item": whole}),
            ("response.completed", {"response": self.reply(ask)}),
        ]
        steps = [*opening, *item, *closing]
        lines = [named({"type": t, **s, "sequence_number": n}) for n, (t, s) in enumerate(steps)]
        first, last = len(opening), len(opening) + len(item)
        return Events(lines[:first], lines[first:last], lines[last:])

    def error_event(self, name: str, sent: int) -> bytes:
        """The error event of this protocol is flat."""
        return named(
            {
                "type": "error",
                "code": "server_error",
                "message": error_words(name),
                "param": None,
                "sequence_number": sent,
            }
        )


def _answer(ask: Ask) -> tuple[str, Called | None]:
    given = ask.request.get("input")
    last = {"role": "user", "content": given} if isinstance(given, str) else last_of(given)
    last = last if isinstance(last, dict) else {}
    said = texts_in(last.get("content", last.get("output")))
    call = ordered(said, _offered(ask)) if last.get("role") == "user" else None
    return told(ask, ask.model, said), call


def _offered(ask: Ask) -> dict[str, bool]:
    return {
        tool["name"]: tool["type"] == "custom"
        for tool in objects(ask.request.get("tools"))
        if tool.get("type") in ("function", "custom") and isinstance(tool.get("name"), str)
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _item(ask: Ask, text: str, call: Called | None, *, is_whole: bool = True) -> dict[str, Any]:
    status = "completed" if is_whole else "in_progress"
    if call is None:
        return {
            "id": ask.id("msg_"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(text)] if is_whole else [],
        }
    said = call.arguments if is_whole else ""
    links = {"status": status, "call_id": ask.id("call_"), "name": call.name}
    if call.is_custom:
        return {"id": ask.id("ctc_"), "type": "custom_tool_call", **links, "input": said}
    return {"id": ask.id("fc_"), "type": "function_call", **links, "arguments": said}


def _response(
    ask: Ask, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    request = ask.request
    return {
        "id": ask.id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "metadata": request.get("metadata") or {},
        "model": request.get("model"),
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "store": request.get("store", True),
        "temperature": request.get("temperature", 1.0),
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools") or [],
        "top_p": request.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": usage,
    }


def _usage(ask: Ask, text: str) -> dict[str, Any]:
    given, output = tokens(ask.request.get("input")), len(text.split())
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + output,
    }

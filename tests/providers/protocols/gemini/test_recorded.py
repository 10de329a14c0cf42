"""Every recorded stream of Gemini is told in chat's words, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.protocols import Problem
from providers.protocols.translating import Translated
from tests.support import validator
from tests.support.gemini import ARRAY, through, to_chat, to_gemini
from tests.support.gemini_stream import read_array, read_stream
from tests.support.wire import JUDGE

pytestmark = pytest.mark.pure

CASES = sorted(Path("tests/wire/gemini_generate").glob("*/facts.json"))
CHAT_CASES = sorted(Path("tests/wire/openai_chat").glob("*/facts.json"))


@pytest.mark.parametrize("case", CASES, ids=[case.parent.name for case in CASES])
def test_every_recorded_stream_is_a_strict_one_of_chat(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    told, failure = through(chat_caller(), [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        said = validator.read_stream(told, wants_usage=True)
        assert said.usage is not None
        assert said.finish
        if "target" not in facts:
            native = (case.parent / "caller.sse").read_bytes()
            assert said.text == text_in(native)
    for cut in range(1, len(upstream), 7):
        pieces, problem = through(chat_caller(), [upstream[:cut], upstream[cut:]])
        assert without_ids(pieces) == without_ids(told)
        assert (problem is None) == (failure is None)


def chat_caller() -> Translated:
    return to_gemini(stream=True, stream_options={"include_usage": True})


def without_ids(stream: bytes) -> list[Any]:
    """The chunks but for the time and the ids that were made up."""
    found = []
    for line in stream.split(b"\n\n"):
        payload = line.removeprefix(b"data: ")
        if not payload or payload == b"[DONE]":
            continue
        document = json.loads(payload)
        document["created"] = 0
        for choice in document["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                call["id"] = ""
            for detail in choice["delta"].get("reasoning_details") or ():
                detail.pop("call_id", None)
        found.append(document)
    return found


def text_in(stream: bytes) -> str:
    found = ""
    for line in stream.split(b"\n\n"):
        if line:
            for candidate in json.loads(line.removeprefix(b"data: ")).get("candidates", ()):
                for part in candidate.get("content", {}).get("parts", ()):
                    found += part.get("text", "") if not part.get("thought") else ""
    return found


@pytest.mark.parametrize("case", CHAT_CASES, ids=[case.parent.name for case in CHAT_CASES])
@pytest.mark.parametrize("target", ["", ARRAY])
def test_every_recorded_stream_of_chat_is_a_strict_one_of_gemini(case: Path, target: str) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()
    request = to_chat(target, stream=True)
    scanner = request.scanner(JUDGE)
    told = scanner.feed(upstream)
    last, failure = scanner.end()
    told += last
    reader = read_array if target else read_stream
    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        assert reader(told).finish
    else:
        problem = Problem(status=502, message="why", type="t", code="stream_interrupted")
        assert reader(told + scanner.error_event(problem)).error is not None

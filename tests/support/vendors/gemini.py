"""Google's generateContent, as its API reference has it."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.support.vendors.asked import (
    Asked,
    Call,
    RefusedError,
    Result,
    Turn,
    dump,
    image,
    need,
    only,
    pieces,
    signature,
)

FIELDS = {
    "contents", "tools", "toolConfig", "safetySettings", "systemInstruction", "generationConfig",
    "cachedContent", "serviceTier", "store",
}  # fmt: skip
CONFIG = {
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences",
    "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig", "seed",
    "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "mediaResolution",
    "responseModalities", "speechConfig", "imageConfig", "enableEnhancedCivicAnswers",
}  # fmt: skip
PART = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", "thought", "thoughtSignature", "videoMetadata", "mediaResolution",
}  # fmt: skip
# The subset of OpenAPI that `parameters` and `responseSchema` take.
SCHEMA = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems",
    "properties", "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern",
    "example", "anyOf", "propertyOrdering", "default", "items", "minimum", "maximum",
}  # fmt: skip
# What is a caller's own JSON, or a schema.
OTHERS = {
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema",
    "responseJsonSchema",
}  # fmt: skip
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
UNKNOWN = "Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
BYPASS = {
    base64.b64encode(text).decode().rstrip("=")
    for text in (b"skip_thought_signature_validator", b"context_engineering_is_the_way_to_go")
}
FINISH = {
    "stop": "STOP", "stop_string": "STOP", "length": "MAX_TOKENS", "tools": "STOP",
    "refusal": "SAFETY",
}  # fmt: skip
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
            404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE"}  # fmt: skip


def error(refused: RefusedError) -> bytes:
    status = STATUSES[refused.status]
    return dump({"error": {
        "code": refused.status, "message": refused.message, "status": status
    }})  # fmt: skip


def read(body: dict[str, Any], headers: dict[str, str], path: str) -> Asked:
    path, _, query = path.partition("?")
    body = _camel(body)
    if not headers.get("x-goog-api-key") and "key=" not in query:
        raise RefusedError("Method doesn't allow unregistered callers.", status=403)
    model, _, verb = path.partition("/models/")[2].partition(":")
    if verb == "countTokens" and "generateContentRequest" in body:
        body = {k: v for k, v in body["generateContentRequest"].items() if k != "model"}
    only(body, FIELDS, "", UNKNOWN)
    config = body.get("generationConfig") or {}
    only(config, CONFIG, "generation_config", UNKNOWN)
    if len(config.get("stopSequences") or []) > 5:
        raise RefusedError("stop_sequences: at most 5")
    offered = _tools(body)
    texts, images, results, own = _read_contents(body)
    return Asked(
        vendor="gemini", model=model, stream=verb == "streamGenerateContent",
        system=tuple(_system(body)), texts=tuple(texts), images=tuple(images), offered=offered,
        forced=_forced(body, offered), schema=_schema(config),
        stop=tuple(config.get("stopSequences") or ()), max_tokens=config.get("maxOutputTokens"),
        effort=_effort(config), results=tuple(results), own_thoughts=own, body=body,
    )  # fmt: skip


def _camel(value: Any) -> Any:
    """Google's JSON takes field names in both spellings, and its SDK sends both."""
    if isinstance(value, list):
        return [_camel(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        spelled = re.sub(r"_([a-z])", lambda hit: hit[1].upper(), name)
        found[spelled] = inner if spelled in OTHERS else _camel(inner)
    return found


def _system(body: dict[str, Any]) -> list[str]:
    stated = body.get("systemInstruction") or {"parts": []}
    only(stated, {"parts", "role"}, "system_instruction", UNKNOWN)
    return [need(part.get("text"), str, "system_instruction.parts") for part in stated["parts"]]


def _effort(config: dict[str, Any]) -> str | None:
    thinking = config.get("thinkingConfig") or {}
    only(thinking, {"includeThoughts", "thinkingBudget", "thinkingLevel"}, "thinking_config",
         UNKNOWN)  # fmt: skip
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        raise RefusedError("You can only set one of thinking budget and thinking level.")
    level = str(thinking.get("thinkingLevel", "")).upper()
    if level not in {"", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH", "THINKING_LEVEL_UNSPECIFIED"}:
        raise RefusedError(f"Invalid value at 'thinking_level': {level}")
    asked = level or thinking.get("thinkingBudget") or thinking.get("includeThoughts")
    return str(asked) if asked else None


def _schema(config: dict[str, Any]) -> dict[str, Any] | None:
    given = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if len(given) > 1:
        raise RefusedError("Only one of response_schema and response_json_schema may be set")
    if given and config.get("responseMimeType") != "application/json":
        raise RefusedError("responseMimeType must be application/json with a response schema")
    if "responseSchema" in config:
        _check_schema(config["responseSchema"], "generation_config.response_schema")
    return config[given[0]] if given else None


def _check_schema(schema: dict[str, Any], where: str) -> None:
    waiting = [(schema, where)]
    while waiting:
        found, place = waiting.pop()
        only(found, SCHEMA, place, UNKNOWN)
        waiting += [(v, f"{place}.{k}") for k, v in (found.get("properties") or {}).items()]
        if "items" in found:
            waiting.append((found["items"], f"{place}.items"))


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {"name", "description", "parameters", "parametersJsonSchema", "response",
             "responseJsonSchema", "behavior"}  # fmt: skip
    for tool in body.get("tools") or []:
        for declared in tool.get("functionDeclarations") or []:
            only(declared, known, "function_declarations", UNKNOWN)
            if not NAME.fullmatch(declared.get("name", "")):
                raise RefusedError(
                    "Invalid function name. Must start with a letter or an underscore."
                )
            if "parameters" in declared and "parametersJsonSchema" in declared:
                raise RefusedError("parameters and parameters_json_schema are mutually exclusive")
            if "parameters" in declared:
                _check_schema(declared["parameters"], "function_declarations.parameters")
            found[declared["name"]] = declared.get(
                "parameters", declared.get("parametersJsonSchema")
            )
    return found


def _forced(body: dict[str, Any], offered: dict[str, Any]) -> str | None:
    stated = (body.get("toolConfig") or {}).get("functionCallingConfig")
    if stated is None:
        return None
    only(stated, {"mode", "allowedFunctionNames", "streamFunctionCallArguments"},
         "function_calling_config", UNKNOWN)  # fmt: skip
    mode = stated.get("mode", "AUTO").upper()
    names = stated.get("allowedFunctionNames") or []
    if names and mode not in {"ANY", "VALIDATED"}:
        raise RefusedError("allowed_function_names may only be set in mode ANY or VALIDATED")
    if set(names) - set(offered):
        raise RefusedError(f"allowed_function_names: {names} are not declared")
    if mode == "ANY":
        return names[0] if len(names) == 1 else "*"
    return "" if mode == "NONE" else None


def _read_contents(
    body: dict[str, Any],
) -> tuple[list[str], list[str], list[Result], int]:
    contents = need(body.get("contents"), list, "contents")
    if not contents:
        raise RefusedError("contents is not specified")
    last_text = max(
        (i for i, c in enumerate(contents)
         if c.get("role", "user") == "user" and any("text" in p for p in c.get("parts") or [])),
        default=0,
    )  # fmt: skip
    waiting: list[dict[str, Any]] = []
    texts: list[str] = []
    images: list[str] = []
    results: list[Result] = []
    own = 0
    before = ""
    for i, content in enumerate(contents):
        only(content, {"role", "parts"}, f"contents[{i}]", UNKNOWN)
        role = content.get("role", "user")
        if role not in {"user", "model", "function"}:
            raise RefusedError("Please use a valid role: user, model.")
        parts = content.get("parts")
        if not parts:
            raise RefusedError(f"contents[{i}].parts must not be empty")
        for part in parts:
            only(part, PART, f"contents[{i}].parts", UNKNOWN)
        if role == "model":
            calls = [part["functionCall"] for part in parts if "functionCall" in part]
            if calls and before not in {"user", "function"}:
                raise RefusedError(
                    "Please ensure that function call turn comes immediately after a user turn or"
                    " after a function response turn."
                )
            own += _check_signatures(parts, i, strict=i > last_text)
            waiting = calls
        else:
            if before not in {"user", "function"}:
                texts, images, results = [], [], []
            answers = [p["functionResponse"] for p in parts if "functionResponse" in p]
            _check_answers(answers, waiting)
            results += [_result(answer) for answer in answers]
            waiting = []
            texts += [p["text"] for p in parts if "text" in p]
            images += [
                image(_standard(p["inlineData"]["data"]), p["inlineData"]["mimeType"])
                for p in parts if "inlineData" in p
            ]  # fmt: skip
        before = role
    if waiting:
        raise RefusedError("Please ensure that the last turn answers every function call.")
    return texts, images, results, own


def _check_answers(answers: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> None:
    if len(answers) != len(waiting):
        raise RefusedError(
            "Please ensure that the number of function response parts is equal to the number of"
            " function call parts of the function call turn."
        )
    for answer in answers:
        only(answer, {"id", "name", "response", "parts", "willContinue", "scheduling"},
             "function_response", UNKNOWN)  # fmt: skip
        if answer.get("name") not in {call["name"] for call in waiting}:
            raise RefusedError("GenerateContentRequest.contents: function_response.name is wrong")
        need(answer.get("response"), dict, "function_response.response")


def _result(answer: dict[str, Any]) -> Result:
    response = answer["response"]
    said = response.get("output", response.get("error", response))
    text = said if isinstance(said, str) else dump(said).decode()
    return Result(name=answer["name"], text=text, is_error="error" in response)


def _check_signatures(parts: list[dict[str, Any]], i: int, *, strict: bool) -> int:
    """How many are this vendor's own. Gemini 3 demands them on the first call of a current step."""
    own = 0
    calls = [part for part in parts if "functionCall" in part]
    for part in parts:
        given = part.get("thoughtSignature")
        if given is None:
            continue
        given = _standard(given).rstrip("=")
        if given == _signature_of(part).rstrip("="):
            own += 1
        elif given not in BYPASS:
            raise RefusedError(f"Corrupted thought signature. contents[{i}]")
    if strict and calls and "thoughtSignature" not in calls[0]:
        raise RefusedError(
            "Function call is missing a thought_signature in functionCall parts. This is required"
            f" for tools to work correctly. contents[{i}]: {calls[0]['functionCall']['name']}"
        )
    return own


def _standard(given: str) -> str:
    """Bytes in JSON are taken in both alphabets of base64, and the SDK sends the one of URLs."""
    return given.replace("-", "+").replace("_", "/")


def _signature_of(part: dict[str, Any]) -> str:
    if "functionCall" in part:
        call = part["functionCall"]
        return signature("gemini", call["name"], dump(call.get("args") or {}).decode())
    return signature("gemini", "text")


def usage(turn: Turn) -> dict[str, Any]:
    counts = turn.counts
    found = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": counts.output - counts.reasoning,
        "totalTokenCount": counts.input + counts.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.input}],
    }
    if counts.cached:
        found["cachedContentTokenCount"] = counts.cached
    if counts.reasoning:
        found["thoughtsTokenCount"] = counts.reasoning
    return found


def _call(call: Call, *, first: bool) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.arguments}}
    if first:  # of parallel calls only the first is signed
        part["thoughtSignature"] = _signature_of(part)
    return part


def _response(
    turn: Turn, asked: Asked, parts: list[dict[str, Any]], *, finish: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if parts or turn.finish != "refusal":
        candidate["content"] = {"parts": parts or [{"text": ""}], "role": "model"}
    if finish:
        candidate["finishReason"] = FINISH[turn.finish]
    if finish and turn.finish == "refusal":
        candidate["safetyRatings"] = [
            {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
        ]
    return {
        "candidates": [candidate], "usageMetadata": usage(turn), "modelVersion": asked.model,
        "responseId": "Vendor1a2b3c",
    }  # fmt: skip


def _thoughts(turn: Turn, asked: Asked) -> str:
    """Only told to who asks for them."""
    config = (asked.body.get("generationConfig") or {}).get("thinkingConfig") or {}
    return turn.thought if config.get("includeThoughts") else ""


def whole(turn: Turn, asked: Asked) -> bytes:
    parts: list[dict[str, Any]] = []
    thought = _thoughts(turn, asked)
    if thought:
        parts.append({"text": thought, "thought": True})
    if turn.text and turn.finish != "refusal":
        text: dict[str, Any] = {"text": turn.text}
        if turn.thought and not turn.calls:
            text["thoughtSignature"] = signature("gemini", "text")
        parts.append(text)
    parts += [_call(call, first=i == 0) for i, call in enumerate(turn.calls)]
    return dump(_response(turn, asked, parts, finish=True))


def count(asked: Asked) -> bytes:
    total = 7 + len(asked.texts)
    details = [{"modality": "TEXT", "tokenCount": total}]
    return dump({"totalTokens": total, "promptTokensDetails": details})


def events(turn: Turn, asked: Asked) -> list[bytes]:
    """With alt=sse; without it the server makes an array of them."""
    steps: list[list[dict[str, Any]]] = [
        [{"text": piece, "thought": True}] for piece in pieces(_thoughts(turn, asked), 20)
    ]
    if turn.finish != "refusal":
        steps += [[{"text": piece}] for piece in pieces(turn.text, 8)]
    # Parallel calls come in one chunk.
    if turn.calls:
        steps.append([_call(call, first=i == 0) for i, call in enumerate(turn.calls)])
    elif turn.thought:
        steps.append([{"text": "", "thoughtSignature": signature("gemini", "text")}])
    if not steps:
        steps = [[]]
    return [
        b"data: " + dump(_response(turn, asked, parts, finish=i == len(steps) - 1)) + b"\r\n\r\n"
        for i, parts in enumerate(steps)
    ]

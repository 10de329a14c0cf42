"""What a provider may read in a body that is not what we have read there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.asking import Asked, key
from tests.support.builders import content, pool, provider
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": HELLO},
    "/v1/completions": {"model": "m", "prompt": "Hello"},
    "/v1/embeddings": {"model": "m", "input": "Hello"},
    "/v1/responses": {"model": "m", "input": "Hello"},
    "/v1/messages": {"model": "m", "messages": HELLO, "max_tokens": 9},
    "/v1/messages/count_tokens": {"model": "m", "messages": HELLO},
    "/v1beta/models/m:generateContent": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "/v1beta/models/m:countTokens": {"contents": [{"parts": [{"text": "Hello"}]}]},
}
OTHERS = ["Model", "MODEL", "modeL", "\u017ftream", "Stream"]


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    started = Upstream()
    yield started
    started.stop()


@pytest.fixture
def asked(server: Upstream) -> tuple[Asked, Upstream]:
    server.clear()
    made = content(
        pool("m", "up/x"),
        providers=(provider("up", base_url=server.base_url),),
        keys=(key("narrow", "m", "up/cheap*"), key("wide")),
    )
    return Asked(made), server


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", OTHERS)
async def test_a_name_that_differs_from_ours_in_case_alone_is_a_400_that_says_why(
    asked: tuple[Asked, Upstream], path: str, name: str
) -> None:
    gateway, server = asked
    async with gateway:
        beside = await gateway.post(path, {**BODIES[path], name: "expensive"})
        rest = {n: v for n, v in BODIES[path].items() if n != name.lower()}
        instead = await gateway.post(path, {**rest, name: "expensive"})

    assert (beside.status, instead.status) == (400, 400)
    for told in (beside, instead):
        assert f"'{name}' differs from" in json.dumps(told.json(), ensure_ascii=False)
    assert server.requests == []


@pytest.mark.parametrize("path", [p for p in BODIES if "v1beta" in p])
@pytest.mark.parametrize("name", ["GenerationConfig", "generationconfig", "Generation_Config"])
async def test_googles_two_spellings_are_taken_and_no_third(
    asked: tuple[Asked, Upstream], path: str, name: str
) -> None:
    async with asked[0] as gateway:
        told = await gateway.post(path, {**BODIES[path], name: {}})
    assert told.status == 400


async def test_names_that_decide_nothing_here_are_the_providers_to_judge(
    asked: tuple[Asked, Upstream],
) -> None:
    gateway, server = asked
    async with gateway:
        assert (await gateway.chat(Temperature=1, temperature=0, ERRORS="x")).status == 200
    assert json.loads(server.requests[0]["body"])["Temperature"] == 1


ALTERNATIVES = [
    ("models", ["expensive"]),
    ("models", "expensive"),
    ("models", ["cheap-1", "expensive"]),
    ("fallbacks", [{"model": "expensive"}]),
    ("fallbacks", [{"m": ["expensive"]}]),
    ("context_window_fallbacks", {"m": ["expensive"]}),
    ("preset", "expensive"),
    ("providerOptions", {"gateway": {"models": ["expensive"]}}),
]


@pytest.mark.parametrize(("member", "value"), ALTERNATIVES)
async def test_models_that_a_provider_may_turn_to_are_held_against_the_key(
    asked: tuple[Asked, Upstream], member: str, value: Any
) -> None:
    gateway, server = asked
    async with gateway:
        told = await gateway.chat(key="narrow", **{member: value})
        assert told.status == 403
        error = told.json()["error"]
        assert (error["code"], error["param"]) == ("key_not_allowed", member)
        assert "expensive" in error["message"]
        assert server.requests == []
        assert (await gateway.chat(key="wide", **{member: value})).status == 200


async def test_an_alternative_that_the_key_may_use_goes_on(asked: tuple[Asked, Upstream]) -> None:
    gateway, server = asked
    async with gateway:
        assert (await gateway.chat(key="narrow", models=["cheap-1", "m"])).status == 200
    assert json.loads(server.requests[0]["body"])["models"] == ["cheap-1", "m"]


@pytest.mark.parametrize("verb", ["generateContent", "countTokens"])
async def test_a_model_in_geminis_body_beside_that_of_its_path_is_held_against_the_key(
    asked: tuple[Asked, Upstream], verb: str
) -> None:
    path = f"/v1beta/models/m:{verb}"
    async with asked[0] as gateway:
        for named, status in (("models/m", 200), ("models/expensive", 403)):
            told = await gateway.post(path, {**BODIES[path], "model": named}, key="narrow")
            assert told.status == status

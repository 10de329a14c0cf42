"""What SDKs call beside inference, by which addresses; what they raise for our own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gateways import GatewayProcess

HELLO: Any = [{"role": "user", "content": "Hello"}]
SAID = "Hello to you, who said Hello."


@pytest.fixture
def by_openai(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client:
        yield client


@pytest.fixture
def by_anthropic(gateway: GatewayProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/anthropic"])
def test_the_anthropic_sdk_works_at_every_address_that_people_write(
    gateway: GatewayProcess, end: str
) -> None:
    with Anthropic(base_url=gateway.url + end, api_key=gateway.key, max_retries=0) as client:
        answer = client.messages.create(model="chat.text", max_tokens=9, messages=HELLO)

    assert answer.content[0].to_dict()["text"] == SAID


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_openai_sdk_works_at_every_address_that_people_write(
    gateway: GatewayProcess, end: str
) -> None:
    with OpenAI(base_url=gateway.url + end, api_key=gateway.key, max_retries=0) as client:
        answer = client.chat.completions.create(model="messages.text", messages=HELLO)

    assert answer.choices[0].message.content == SAID


def test_each_sdk_lists_the_models_and_finds_one(
    by_openai: OpenAI, by_anthropic: Anthropic
) -> None:
    listed = {model.id for model in by_openai.models.list()}

    assert {"chat.text", "gemini.text", "sonnet"} <= listed
    assert {model.id for model in by_anthropic.models.list(limit=1000)} == listed
    assert by_openai.models.retrieve("sonnet").id == "sonnet"
    assert by_anthropic.models.retrieve("sonnet").display_name == "sonnet"


def test_tokens_are_counted_by_the_vendor_or_estimated_and_marked(
    by_anthropic: Anthropic,
) -> None:
    count = by_anthropic.messages.with_raw_response.count_tokens

    counted = count(model="messages.text", messages=HELLO)
    estimated = count(model="chat.text", messages=HELLO)

    assert counted.parse().input_tokens == 8
    assert "x-switchyard-estimated" not in counted.headers
    assert estimated.parse().input_tokens > 0
    assert estimated.headers["x-switchyard-estimated"] == "true"


def test_what_the_gateway_refuses_is_each_sdks_own_exception(gateway: GatewayProcess) -> None:
    strangers = OpenAI(base_url=gateway.base_url, api_key="sy_unknown", max_retries=0)
    others = Anthropic(base_url=gateway.url, api_key="sy_unknown", max_retries=0)
    with strangers, others:
        with pytest.raises(openai.AuthenticationError):
            strangers.responses.create(model="sonnet", input="Hello")
        with pytest.raises(anthropic.AuthenticationError):
            others.messages.create(model="sonnet", max_tokens=9, messages=HELLO)


def test_a_name_that_nobody_knows_is_each_sdks_own_exception(
    by_openai: OpenAI, by_anthropic: Anthropic
) -> None:
    with pytest.raises(openai.NotFoundError) as of_openai:
        by_openai.responses.create(model="nobody", input="Hello")
    with pytest.raises(anthropic.NotFoundError) as of_anthropic:
        by_anthropic.messages.create(model="nobody", max_tokens=9, messages=HELLO)

    assert of_openai.value.code == "model_not_found"
    assert of_anthropic.value.type == "not_found_error"
    assert of_anthropic.value.request_id

"""What every gateway is asked."""

from __future__ import annotations

import json

import pytest

from bench import scene


@pytest.mark.pure
@pytest.mark.parametrize("model", [scene.CHAT, scene.FAILING, scene.PACED, "m"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_body_is_a_chat_request_of_the_same_size(model, stream):
    body = scene.body(model, stream=stream)

    assert len(body) == scene.BODY_BYTES
    assert json.loads(body)["model"] == model
    assert json.loads(body).get("stream", False) is stream


@pytest.mark.pure
def test_a_paced_request_says_so_whatever_a_gateway_makes_of_its_model():
    assert b'"paced"' in scene.body(scene.PACED)
    assert b'"paced"' not in scene.body(scene.CHAT)

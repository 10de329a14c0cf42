"""The provider behind every gateway that is measured."""

from __future__ import annotations

import json

import pytest

from bench import scene
from tests.bench.asking import ask, chat_url


def test_the_upstream_answers_a_chat_with_one_whole_reply(ports):
    status, body = ask(chat_url(ports), scene.body(scene.CHAT))

    assert status == 200
    assert json.loads(body)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("model", ["fixed", "paced"])
def test_the_upstream_streams_sixty_chunks_and_the_terminator(ports, model):
    status, body = ask(chat_url(ports), scene.body(model, stream=True))

    *events, done, rest = body.split(b"\n\n")
    assert (status, len(events), done, rest) == (200, scene.CHUNKS, b"data: [DONE]", b"")
    assert json.loads(events[-1].removeprefix(b"data: "))["choices"][0]["finish_reason"] == "stop"


def test_the_upstream_refuses_below_refuse(ports):
    assert ask(chat_url(ports, "/refuse"), scene.body(scene.CHAT))[0] == 503

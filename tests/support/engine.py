"""An engine whose upstreams go by a script, and the answers that they give."""

from random import Random

from failover.engine.attempts import Call, Engine
from failover.engine.plan import Fitting
from failover.engine.policy import FailoverPolicy
from tests.support.builders import (
    FakeClock,
    FakeResponse,
    FakeUpstream,
    benches,
    candidate,
    planned,
)
from tests.support.wire import parse

OK = (
    b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
)
EVENT = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n'
ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
SSE = [(b"content-type", b"text/event-stream")]


def ok():
    return FakeResponse(pieces=[OK])


def status(code, body=b"{}", *headers):
    return FakeResponse(code, [body], [(b"content-type", b"application/json"), *headers])


def events(*pieces):
    return FakeResponse(pieces=pieces, headers=SSE)


class World:
    """One engine, its clock and benches, and candidates by script."""

    def __init__(self, *scripts, labels=("main",), policy=None, last_standing=False, **changes):
        self.clock = FakeClock()
        self.benches = benches(self.clock)
        self.engine = Engine(
            transport=None,
            benches=self.benches,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.clock.sleep,
            rng=Random(7),
        )
        self.upstreams = [FakeUpstream(f"p{i}", script, labels) for i, script in enumerate(scripts)]
        self.candidates = [candidate(f"{u.name}/m", upstream=u, **changes) for u in self.upstreams]
        self.plan = planned(
            *self.candidates, policy=policy or FailoverPolicy(), last_standing=last_standing
        )

    async def run(self, *, stream=False, deadline_s=600.0, body=None, session=None, **more):
        body = body or (
            b'{"model":"m","messages":[{"role":"user","content":"x"}]'
            + (b',"stream":true}' if stream else b"}")
        )
        request = parse("openai_chat", body)
        call = Call(
            request=request,
            fitting=Fitting(request),
            plan=self.plan,
            deadline=self.clock() + deadline_s,
            request_id="req_1",
            session=session,
            **more,
        )
        return await self.engine.run(call)

    @property
    def calls(self):
        return [len(u.calls) for u in self.upstreams]

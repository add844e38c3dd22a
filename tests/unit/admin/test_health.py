"""The answers to those who ask whether we live."""

from __future__ import annotations

import pytest

from gateway.admin.health import Healthz, Readiness, Readyz
from gateway.errors import MethodNotAllowed
from gateway.exchange import Exchange, Reply


def asked(policy: Healthz | Readyz, method: bytes = b"GET") -> Reply:
    reply = policy.admit(Exchange(method, b"/-/healthz", None, []))
    assert reply is not None
    return reply


def test_a_process_that_answers_is_alive():
    reply = asked(Healthz())
    assert (reply.status, reply.body) == (200, b"ok\n")


def test_readiness_follows_the_life_cycle():
    readiness = Readiness()
    policy = Readyz(readiness)
    assert (asked(policy).status, asked(policy).body) == (503, b"starting\n")
    readiness.ready()
    assert (asked(policy).status, asked(policy).body) == (200, b"ready\n")
    readiness.draining()
    assert (asked(policy).status, asked(policy).body) == (503, b"draining\n")
    assert asked(Healthz()).status == 200


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_the_answer_is_never_stored(method):
    assert (b"cache-control", b"no-store") in asked(Healthz(), method).headers


@pytest.mark.parametrize("policy", [Healthz(), Readyz(Readiness())])
def test_other_methods_are_refused(policy):
    reply = asked(policy, b"POST")
    assert reply.status == 405
    assert isinstance(reply.error, MethodNotAllowed)
    assert str(reply.error) == "GET, HEAD"


def test_answers_do_not_share_their_headers():
    asked(Healthz()).headers.append((b"x", b"y"))
    assert (b"x", b"y") not in asked(Healthz()).headers

"""Questions to a real name server: addresses, services, TTLs, aliases, truncation, and every way not to be answered."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING

import dns.rcode
import pytest
import uvloop

from gateway.config import Discover
from gateway.upstream.discovery import DISCOVERIES
from gateway.upstream.discovery import dns as module
from gateway.upstream.discovery.dns import DnsAddresses, DnsServices, Resolver
from gateway.upstream.discovery.found import DiscoveryError, Found, Spec
from support.nameserver import NameServer, nameserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.upstream.discovery import Discovery


@pytest.fixture
def server() -> Iterator[NameServer]:
    with nameserver() as running:
        yield running


def look(discovery: Discovery) -> Found:
    return uvloop.run(discovery.look_up())


def addresses(server: NameServer, family: str = "any", lifetime: float = 5.0) -> Discovery:
    return DnsAddresses("search.test", 9200, "http", family, Resolver([server.address], lifetime))


def services(server: NameServer) -> Discovery:
    return DnsServices("_search._tcp.test", "http", "any", Resolver([server.address]))


def urls(found: Found) -> list[str]:
    return [spec.url for spec in found.specs]


# ---------------------------------------------------------------- addresses


def test_all_addresses_of_both_families_are_found_with_the_shortest_ttl(server: NameServer):
    server.put("search.test", "A", "192.0.2.2", "192.0.2.1", ttl=60)
    server.put("search.test", "AAAA", "2001:db8::1", ttl=30)
    found = look(addresses(server))
    assert urls(found) == ["http://192.0.2.1:9200", "http://192.0.2.2:9200", "http://[2001:db8::1]:9200"]
    assert found.fresh_for == 30
    assert {spec.known_as for spec in found.specs} == {"search.test"}


@pytest.mark.parametrize(("family", "url"), [("ipv4", "http://192.0.2.1:9200"), ("ipv6", "http://[2001:db8::1]:9200")])
def test_one_family_is_asked_for_alone(server: NameServer, family: str, url: str):
    server.put("search.test", "A", "192.0.2.1")
    server.put("search.test", "AAAA", "2001:db8::1")
    assert urls(look(addresses(server, family))) == [url]
    assert len(server.questions) == 1


def test_an_alias_is_followed_and_its_ttl_counts(server: NameServer):
    server.put("search.test", "CNAME", "real.test.", ttl=5)
    server.put("real.test", "A", "192.0.2.1", ttl=600)
    found = look(addresses(server))
    assert urls(found) == ["http://192.0.2.1:9200"]
    assert found.specs[0].known_as == "search.test"
    assert found.fresh_for == 5


def test_an_answer_that_is_too_long_for_udp_comes_by_tcp(server: NameServer):
    many = [f"10.0.{index // 250}.{index % 250 + 1}" for index in range(400)]
    server.put("search.test", "A", *many)
    assert len(look(addresses(server, "ipv4")).specs) == 400
    assert server.over_tcp == 1


def test_a_name_server_that_fails_for_one_family_is_good_for_the_other(server: NameServer):
    server.put("search.test", "A", "192.0.2.1", ttl=9)
    server.failing.add("AAAA")
    assert look(addresses(server)) == Found((Spec("http://192.0.2.1:9200", known_as="search.test"),), 9)


def refused(server: NameServer) -> None:
    server.rcode = dns.rcode.REFUSED


def failing(server: NameServer) -> None:
    server.rcode = dns.rcode.SERVFAIL


def nameless(server: NameServer) -> None:
    server.drop("search.test")


def empty(server: NameServer) -> None:
    server.put("search.test", "A")


def mute(server: NameServer) -> None:
    server.silent = True


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refused, "no name server could answer"),
        (failing, "no name server could answer"),
        (nameless, "there is no such name"),
        (empty, "the name has no such records"),
        (mute, "no name server answered in time"),
    ],
)
def test_every_way_not_to_be_answered_has_the_same_words_each_time(
    server: NameServer, fault: Callable[[NameServer], None], reason: str
):
    server.put("search.test", "A", "192.0.2.1")
    fault(server)
    for _ in range(2):
        with pytest.raises(DiscoveryError, match=f"^search.test: {reason}$"):
            look(addresses(server, lifetime=0.2))


def test_a_name_server_that_is_not_there_is_not_waited_for_beyond_the_lifetime():
    with pytest.raises(DiscoveryError, match=r"in time|could answer"):
        look(DnsAddresses("search.test", 80, "http", "any", Resolver(["127.0.0.1:1"], lifetime=0.3)))


def test_the_second_name_server_is_asked_where_the_first_fails(server: NameServer):
    server.put("search.test", "A", "192.0.2.1")
    with nameserver() as broken:
        broken.rcode = dns.rcode.SERVFAIL
        resolver = Resolver([broken.address, server.address])
        assert uvloop.run(resolver.addresses("search.test", "ipv4")).values == ("192.0.2.1",)
        assert broken.questions


def test_the_systems_name_servers_are_asked_where_none_are_given(monkeypatch: pytest.MonkeyPatch):
    class Unconfigured(module.dns.asyncresolver.Resolver):
        def read_resolv_conf(self, _file: object) -> None:
            super().read_resolv_conf(os.devnull)

    monkeypatch.setattr(module.dns.asyncresolver, "Resolver", Unconfigured)
    with pytest.raises(DiscoveryError, match="the system has no name servers"):
        uvloop.run(Resolver().addresses("search.test", "any"))


def test_a_look_up_that_is_cancelled_leaves_nothing_behind(server: NameServer):
    server.silent = True

    async def work() -> None:
        before = asyncio.all_tasks()
        looking = asyncio.create_task(addresses(server).look_up())
        await asyncio.to_thread(server.asked)
        looking.cancel()
        await asyncio.wait((looking,))
        assert asyncio.all_tasks() == before

    uvloop.run(work())


def test_a_look_up_may_be_cancelled_at_any_moment(server: NameServer):
    server.put("search.test", "A", "192.0.2.1")
    discovery = addresses(server)

    async def work() -> None:
        for turns in range(60):
            looking = asyncio.create_task(discovery.look_up())
            for _ in range(turns):
                await asyncio.sleep(0)
            looking.cancel()
            await asyncio.wait((looking,))
        gc.collect()  # a socket that was forgotten warns

    uvloop.run(work())  # its loop closes


# ---------------------------------------------------------------- services


def test_services_have_ports_priorities_and_weights_and_all_their_addresses(server: NameServer):
    server.put("_search._tcp.test", "SRV", "10 60 9201 one.test.", "10 40 9202 two.test.", "20 0 9203 spare.test.", ttl=60)
    server.put("one.test", "A", "192.0.2.1", ttl=300)
    server.put("two.test", "A", "192.0.2.2", "192.0.2.3", ttl=20)
    server.put("spare.test", "AAAA", "2001:db8::1", ttl=300)
    found = look(services(server))
    assert found.fresh_for == 20
    assert [(spec.url, spec.weight, spec.priority, spec.known_as) for spec in found.specs] == [
        ("http://192.0.2.2:9202", 20, 10, "two.test"),
        ("http://192.0.2.3:9202", 20, 10, "two.test"),
        ("http://192.0.2.1:9201", 60, 10, "one.test"),
        ("http://[2001:db8::1]:9203", 1, 20, "spare.test"),
    ]


def test_a_service_without_an_address_is_passed_over(server: NameServer):
    server.put("_search._tcp.test", "SRV", "0 1 80 one.test.", "0 1 80 gone.test.")
    server.put("one.test", "A", "192.0.2.1")
    assert urls(look(services(server))) == ["http://192.0.2.1:80"]


def test_a_service_whose_address_cannot_be_told_now_keeps_the_last_one(server: NameServer):
    server.put("_search._tcp.test", "SRV", "0 1 80 one.test.", "0 1 80 two.test.")
    server.put("one.test", "A", "192.0.2.1")
    server.put("two.test", "A", "192.0.2.2")

    async def work() -> list[list[str]]:
        discovery = services(server)
        first = await discovery.look_up()
        server.drop("two.test")
        second = await discovery.look_up()
        server.put("_search._tcp.test", "SRV", "0 1 80 one.test.")
        return [urls(first), urls(second), urls(await discovery.look_up())]

    both = ["http://192.0.2.1:80", "http://192.0.2.2:80"]
    assert uvloop.run(work()) == [both, both, both[:1]]


def test_a_service_that_is_not_offered_has_no_targets(server: NameServer):
    server.put("_search._tcp.test", "SRV", "0 0 0 .")
    with pytest.raises(DiscoveryError, match="no service of it has an address"):
        look(services(server))


def test_a_name_without_services_is_a_fault(server: NameServer):
    with pytest.raises(DiscoveryError, match="there is no such name"):
        look(services(server))


# ---------------------------------------------------------------- by configuration


def test_the_port_is_that_of_the_scheme_where_none_is_given(server: NameServer):
    server.put("search.test", "A", "192.0.2.1")
    server.put("_s._tcp.test", "SRV", "0 1 8443 search.test.")
    for options, url in (
        ({"dns": "search.test"}, "http://192.0.2.1:80"),
        ({"dns": "search.test", "scheme": "https"}, "https://192.0.2.1:443"),
        ({"dns": "search.test.", "port": 81}, "http://192.0.2.1:81"),
        ({"srv": "_s._tcp.test", "scheme": "https"}, "https://192.0.2.1:8443"),
    ):
        discover = Discover.model_validate({**options, "nameservers": server.address})
        found = look(DISCOVERIES[discover.kind](discover))
        assert urls(found) == [url]
        assert found.specs[0].known_as == "search.test"

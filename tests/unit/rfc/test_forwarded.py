"""Who the client is, and what the target is told about it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc import forwarded
from gateway.rfc.forwarded import (
    FORWARDING,
    FORWARDING_TWINS,
    Networks,
    asked_as,
    client_address,
    forwarded_fields,
    forwarded_for,
    unmapped,
)

# ---------------------------------------------------------------- networks

_CLOSE = st.integers(0, 0xFFFF)  # few enough that networks and addresses meet
IPV4 = st.builds(lambda low: IPv4Address(0x0A000000 + low), _CLOSE) | st.ip_addresses(v=4)
IPV6 = st.builds(lambda low: IPv6Address((0x20010DB8 << 96) + low), _CLOSE) | st.ip_addresses(v=6)
MAPPED = IPV4.map(lambda address: IPv6Address(f"::ffff:{address}"))
NETWORKS = st.builds(
    lambda address, length: ip_network((int(address), min(length, address.max_prefixlen)), strict=False)
    if address.version == 4
    else IPv6Network((int(address), length), strict=False),
    IPV4 | IPV6,
    st.integers(0, 128),
)


def in_any(address: IPv4Address | IPv6Address, networks: list[IPv4Network | IPv6Network]) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in as_ipv4(network) for network in networks)


def as_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - 96))


@given(st.lists(NETWORKS, max_size=8), IPV4 | IPV6 | MAPPED, st.sampled_from(["", "%eth0", "%1"]))
def test_a_set_of_networks_says_what_ipaddress_says(
    networks: list[IPv4Network | IPv6Network], address: IPv4Address | IPv6Address, zone: str
):
    text = str(address) + (zone if address.version == 6 else "")
    assert Networks(str(network) for network in networks).contains(text) == in_any(address, networks)


@given(st.lists(NETWORKS, min_size=1, max_size=6))
def test_every_edge_of_a_network_is_in_it_and_its_neighbours_only_if_another_has_them(
    networks: list[IPv4Network | IPv6Network],
):
    known = Networks(str(network) for network in networks)
    for network in networks:
        for edge in (network.network_address, network.broadcast_address):
            assert known.contains(str(edge)) == in_any(edge, networks)
            for number in (int(edge) - 1, int(edge) + 1):
                if 0 <= number < 1 << edge.max_prefixlen:
                    neighbour = type(edge)(number)
                    assert known.contains(str(neighbour)) == in_any(neighbour, networks)


def test_a_mapped_network_is_the_ipv4_network():
    known = Networks(["::ffff:10.0.0.0/104"])
    assert known.contains("10.1.2.3")
    assert known.contains("::ffff:10.1.2.3")
    assert not known.contains("11.0.0.1")


@pytest.mark.parametrize(
    ("address", "plain"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("::ffff:1", "::ffff:1"), ("::1", "::1"), ("", "")],
)
def test_a_client_of_a_socket_for_both_families_has_its_ipv4_address(address, plain):
    assert unmapped(address) == plain


def test_all_of_ipv6_is_not_all_of_ipv4():
    assert Networks(["::/0"]).contains("::1")
    assert not Networks(["::/0"]).contains("192.0.2.1")
    assert not Networks(["::/0"]).contains("::ffff:192.0.2.1")
    assert not Networks(["0.0.0.0/0"]).contains("::")


@pytest.mark.parametrize("text", ["", "unknown", "testclient", "1.2.3", "1.2.3.4:80", "[::1]", "1", "\xb2.2.3.4", "::1::"])
def test_what_is_no_address_is_in_no_network(text: str):
    assert not Networks(["0.0.0.0/0", "::/0"]).contains(text)


def test_no_networks_hold_nothing():
    assert not Networks([])
    assert not Networks([]).contains("192.0.2.1")
    assert Networks(["192.0.2.1"])


def test_verdicts_are_remembered_within_bounds():
    known = Networks(["10.0.0.0/8"])
    for number in range(3 * forwarded._MEMO):
        address = str(IPv4Address(0x09FFFF00 + number))
        assert known.contains(address) == known.contains(address) == address.startswith("10.")
    assert len(known._verdicts) <= forwarded._MEMO


@pytest.mark.parametrize(
    ("text", "reason"),
    [("10.0.0.1/8", r"the network is \"10.0.0.0/8\""), ("example.com", "not an IP address"), ("10.0.0.0/33", "not an IP")],
)
def test_a_wrong_network_is_named_with_its_reason(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        Networks(["10.0.0.0/8", text])


def test_blanks_around_a_network_do_not_matter():
    assert Networks([" 192.0.2.0/24 "]).contains("192.0.2.9")


# ---------------------------------------------------------------- the client's address

TRUSTED = Networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("192.0.2.1", [b"198.51.100.7"], "192.0.2.1"),  # nobody asked it
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # the left entry is the client's word
        ("10.0.0.1", [b"127.0.0.1, 10.9.9.9, 198.51.100.7, 10.0.0.2,10.0.0.3"], "198.51.100.7"),
        ("10.0.0.1", [b"203.0.113.9", b"198.51.100.7", b"10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.7, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"198.51.100.7, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", [b"[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", [b"[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", [b"2001:DB8:0::7"], "2001:db8::7"),
        ("10.0.0.1", [b"fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", [b'2001:db8::1%a";b="c'], "2001:db8::1"),
        ("10.0.0.1", [b"198.51.100.7, fd00::1"], "198.51.100.7"),
        ("10.0.0.1", [b"\t198.51.100.7 "], "198.51.100.7"),
        ("10.0.0.1", [b"198.51.100.7\xa0"], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"198.51.100.7"], "198.51.100.7"),
        ("fd00::1%eth0", [b"198.51.100.7"], "198.51.100.7"),
        ("", [b"198.51.100.7"], ""),
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_not_trusted(peer: str, lines: list[bytes], client: str):
    assert client_address(peer, lines, TRUSTED) == client


@given(st.lists(st.sampled_from([b"10.0.0.5", b"fd00::5"]), max_size=5), st.binary(max_size=30))
def test_what_a_client_writes_left_of_its_own_address_changes_nothing(hops: list[bytes], spoofed: bytes):
    chain = b", ".join([spoofed, b"198.51.100.7", *hops])
    assert client_address("10.0.0.1", [chain], TRUSTED) == "198.51.100.7"


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_a_client_is_always_the_peer_or_an_address(lines: list[bytes]):
    assert ip_address(client_address("10.0.0.1", lines, TRUSTED))


def test_a_chain_is_followed_only_so_far():
    assert client_address("10.0.0.1", [b"192.0.2.1" + b",10.0.0.2" * 63], TRUSTED) == "192.0.2.1"
    assert client_address("10.0.0.1", [b"192.0.2.1" + b",10.0.0.2" * 64], TRUSTED) == "10.0.0.2"


# ---------------------------------------------------------------- Forwarded, read


@pytest.mark.parametrize(
    ("lines", "nodes"),
    [
        ([], []),
        ([b""], []),
        ([b" , ,"], []),
        ([b"for=192.0.2.1"], [b"192.0.2.1"]),
        ([b"For=192.0.2.1;proto=http;by=203.0.113.43"], [b"192.0.2.1"]),
        ([b"proto=http; FOR=192.0.2.1"], [b"192.0.2.1"]),
        ([b'for="[2001:db8::1]:80"'], [b"[2001:db8::1]:80"]),
        ([b"for=a, for=b", b"for=c"], [b"a", b"b", b"c"]),
        ([b"for=_hidden, for=unknown"], [b"_hidden", b"unknown"]),
        ([b"proto=https"], [b"unknown"]),
        ([b"for=a;for=b"], [b"unknown"]),
        ([b"for=a;;proto=b;"], [b"a"]),
        ([b'for="10.0.0.1, 10.0.0.2"'], [b"unknown"]),
        ([b'for="10.0.0.1\\""'], [b"unknown"]),
        ([b'for=192.0.2.1;host="x;for=10.0.0.1"'], [b"192.0.2.1"]),
        ([b'for=192.0.2.1;host="x,for=10.0.0.1"'], [b"192.0.2.1"]),
        ([b'for=192.0.2.1;host="x, for=10.0.0.1;a=\\"b"'], [b"192.0.2.1"]),
        ([b'host="for=10.0.0.1, for=10.0.0.2", for=192.0.2.1'], [b"unknown", b"192.0.2.1"]),
        ([b'for=", for=192.0.2.1'], [b"unknown", b"192.0.2.1"]),  # an open quote of the client's
        ([b"for=10.0.0.9, nonsense, for=192.0.2.1"], [b"unknown", b"192.0.2.1"]),
        ([b"xfor=10.0.0.1"], [b"unknown"]),
        ([b"for=a b"], [b"unknown"]),
    ],
)
def test_forwarded_is_read_element_by_element_from_the_right(lines: list[bytes], nodes: list[bytes]):
    assert forwarded_for(lines) == nodes


HOSTS = st.sampled_from([b"a", b'x;for="10.0.0.1"', b"x,for=10.0.0.1", b"x;for=10.0.0.1", b'"', b"\\", b", for=10.0.0.1;a=", b'",for="'])


@given(st.binary(max_size=40), HOSTS, HOSTS)
def test_neither_a_host_nor_what_stands_left_forges_the_last_element(spoofed: bytes, host: bytes, other: bytes):
    quoted = [b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"' for value in (host, other)]
    line = spoofed + b", for=198.51.100.7;host=" + quoted[0] + b", for=10.0.0.2;proto=http;host=" + quoted[1]
    assert client_address("10.0.0.1", forwarded_for([line]), TRUSTED) == "198.51.100.7"


def test_forwarded_elements_are_followed_only_so_far():
    assert len(forwarded_for([b"for=a," * 1000])) <= 64


# ---------------------------------------------------------------- written


def written(peer: str = "192.0.2.1", host: bytes = b"example.com", scheme: bytes = b"https") -> dict[bytes, bytes]:
    return dict(forwarded_fields(peer, peer, scheme, host, None))


def test_a_target_is_told_the_peer_and_nothing_that_it_said():
    assert written() == {
        b"x-forwarded-for": b"192.0.2.1",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"example.com",
        b"x-forwarded-port": b"443",
        b"x-real-ip": b"192.0.2.1",
        b"forwarded": b"for=192.0.2.1;host=example.com;proto=https",
    }


@pytest.mark.parametrize(
    ("peer", "host", "element"),
    [
        ("2001:db8::1", b"a", b'for="[2001:db8::1]";host=a;proto=https'),
        ("192.0.2.1", b"a:8443", b'for=192.0.2.1;host="a:8443";proto=https'),
        ("192.0.2.1", b"[::1]:8443", b'for=192.0.2.1;host="[::1]:8443";proto=https'),
        ("192.0.2.1", b"", b"for=192.0.2.1;proto=https"),
        ("", b"a", b"for=unknown;host=a;proto=https"),
        ("fe80::1%eth0", b"a", b'for="[fe80::1]";host=a;proto=https'),
    ],
)
def test_ipv6_addresses_and_ports_are_quoted(peer: str, host: bytes, element: bytes):
    fields = written(peer, host)
    assert fields[b"forwarded"] == element
    assert forwarded_for([element]) == [element.partition(b"=")[2].partition(b";")[0].strip(b'"')]


@pytest.mark.parametrize(
    ("host", "scheme", "port"),
    [
        (b"a:8443", b"https", b"8443"),
        (b"a", b"http", b"80"),
        (b"a:", b"http", b"80"),
        (b"[::1]", b"https", b"443"),
        (b"[::1]:81", b"https", b"81"),
        (b"a", b"gopher", None),
    ],
)
def test_the_port_is_the_hosts_or_the_schemes(host: bytes, scheme: bytes, port: bytes | None):
    assert written(host=host, scheme=scheme).get(b"x-forwarded-port") == port


def test_without_a_host_none_is_told():
    assert b"x-forwarded-host" not in written(host=b"")


def test_a_trusted_peers_word_is_kept_and_extended():
    prior = [
        (b"x-forwarded-for", b"198.51.100.7"),
        (b"x-forwarded-for", b"10.0.0.9"),
        (b"x-forwarded-proto", b"https, http"),
        (b"x-forwarded-host", b"shop.example:8443"),
        (b"x-forwarded-prefix", b"/shop"),
        (b"forwarded", b"for=198.51.100.7"),
    ]
    fields = dict(forwarded_fields("10.0.0.1", "198.51.100.7", b"http", b"inner", prior))
    assert fields == {
        b"x-forwarded-for": b"198.51.100.7, 10.0.0.9, 10.0.0.1",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"shop.example:8443",
        b"x-forwarded-port": b"8443",
        b"x-forwarded-prefix": b"/shop",
        b"x-real-ip": b"198.51.100.7",
        b"forwarded": b"for=198.51.100.7, for=10.0.0.1;host=inner;proto=http",
    }


def test_a_trusted_peer_that_says_nothing_is_the_first_hop():
    fields = forwarded_fields("10.0.0.1", "10.0.0.1", b"http", b"a", [])
    assert fields == forwarded_fields("10.0.0.1", "10.0.0.1", b"http", b"a", None)


def test_a_trusted_peers_port_is_kept():
    prior = [(b"x-forwarded-port", b"8443"), (b"x-forwarded-proto", b"")]
    fields = dict(forwarded_fields("10.0.0.1", "10.0.0.1", b"http", b"a", prior))
    assert (fields[b"x-forwarded-port"], fields[b"x-forwarded-proto"]) == (b"8443", b"http")


def test_how_a_request_was_asked_says_nothing_of_who_asked():
    prior = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"forwarded", b'For="[::1]:4";host=a;by=b, proto=http;for=c')]
    assert asked_as(prior) == b"x-forwarded-proto=https,;host=a;, proto=http;"
    assert asked_as([]) == b""


@given(st.lists(st.sampled_from([b'for=a', b"for=b", b'by="c"', b"host=x", b";", b",", b" "])))
def test_no_client_in_forwarded_hides_a_host(pieces: list[bytes]):
    value = b"".join(pieces) + b";host=evil"
    assert asked_as([(b"forwarded", value)]).endswith(b";host=evil")


def test_what_was_written_for_one_client_is_not_told_about_another():
    forwarded_fields("192.0.2.1", "192.0.2.1", b"http", b"a", None)
    assert dict(forwarded_fields("192.0.2.1", "192.0.2.2", b"http", b"a", None))[b"x-real-ip"] == b"192.0.2.2"


def test_the_memo_of_written_fields_is_bounded_and_used():
    assert forwarded_fields("192.0.2.1", "192.0.2.1", b"http", b"memo", None) is forwarded_fields(
        "192.0.2.1", "192.0.2.1", b"http", b"memo", None
    )
    for number in range(3 * forwarded._MEMO):
        forwarded_fields("192.0.2.1", "192.0.2.1", b"http", b"h%d" % number, None)
    assert len(forwarded._written) <= forwarded._MEMO


@pytest.mark.parametrize("name", sorted(FORWARDING))
def test_underscores_make_a_twin(name: bytes):
    twin = name.replace(b"-", b"_")
    assert twin == name or twin in FORWARDING_TWINS


def test_one_underscore_is_enough():
    assert b"x_forwarded-for" in FORWARDING_TWINS
    assert b"x-forwarded_for" in FORWARDING_TWINS


def test_other_fields_with_underscores_are_no_twins():
    assert FORWARDING_TWINS.isdisjoint({b"x_forwarded_fort", b"user_agent", *FORWARDING})

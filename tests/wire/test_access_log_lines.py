"""What the access log says of an exchange, over real sockets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from support.client import connected, get
from support.origin import nobody, origin, raw, respond
from support.serving import forwarding, gateway, on_both

if TYPE_CHECKING:
    from pathlib import Path

    from support.serving import Entrance


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@on_both
def test_a_success_has_a_line(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with origin(respond(201, b"hello")) as server, gateway(
        forwarding(server.url, access_log={"path": str(path)}), entrance
    ) as front, connected(front.port) as client:
        for _ in range(20):
            answer = client.get('/a%20b?q="x"', "User-Agent: te\"st", "Referer: http://r/", method="POST", body=b"abc")
    first, *others = logged(path)
    assert len(others) == 19
    for line in (first, *others):
        assert 0 < line["first_byte"] <= line["duration"] < 20
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    expected = {
        "client": "127.0.0.1", "path": '/a%20b?q="x"', "method": "POST", "host": "test", "route": "all", "status": 201,
        "http": "1.1", "entrance": entrance, "upstream": "origin", "target": f"127.0.0.1:{server.port}", "attempts": 1,
        "reused": False, "bytes_in": 3, "bytes_out": 5, "user_agent": 'te"st', "referer": "http://r/",
    }  # fmt: skip
    assert {key: first[key] for key in expected} == expected
    assert set(first) == {*expected, "request_id", "duration", "first_byte"}
    assert others[-1]["reused"] is True
    assert others[-1]["request_id"].encode() == answer.get("x-request-id")


@on_both
def test_a_line_says_what_the_cache_did(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    step = respond(200, b"hello", "Cache-Control: max-age=60")
    with origin(step) as server, gateway(forwarding(server.url, cache=True, access_log={"path": str(path)}), entrance) as front:
        with connected(front.port) as client:
            for method in ("GET", "GET", "PUT"):
                client.get("/x", method=method)
    assert [line["cache"] for line in logged(path)] == ["miss", "hit", "bypass"]


@on_both
def test_an_error_has_a_line_with_its_reason(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with nobody() as url, gateway(forwarding(url, access_log={"path": str(path)}), entrance) as front:
        answer = get(front.port, "/down")
    (line,) = logged(path)
    assert (line["status"], line["error"], line["attempts"]) == (502, "connection_refused", 1)
    assert url[7:] in line["reason"]
    assert url[7:].encode() not in answer.body
    assert line["bytes_out"] == len(answer.body)


@on_both
def test_an_answer_that_was_cut_off_has_its_status_and_its_error(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    cut = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", close=True)
    with origin(cut) as server, gateway(forwarding(server.url, access_log={"path": str(path)}), entrance) as front:
        assert get(front.port).complete is False
    (line,) = logged(path)
    assert (line["status"], line["error"], line["bytes_out"]) == (200, "http_response_incomplete", 5)


@on_both
def test_what_no_route_takes_has_a_line_without_a_target(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    options = {"access_log": {"path": str(path)}, "routes": [{"path": "/x", "respond": {"body": "x"}}]}
    with gateway(options, entrance) as front:
        get(front.port, "/y", method="HEAD")
        get(front.port, "/x")
    missing, found = logged(path)
    assert (missing["status"], missing["route"], missing["error"]) == (404, None, "destination_not_found")
    assert "target" not in missing
    assert "upstream" not in missing
    assert (found["status"], found["route"], found["bytes_out"]) == (200, "route-1", 1)


@on_both
def test_a_client_cannot_write_lines_of_its_own(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with gateway({"access_log": {"path": str(path)}, "routes": []}, entrance) as front:
        get(front.port, "/%0a%0d%22", "User-Agent: \xff\x80\t}\"{")
    (line,) = logged(path)
    assert line["path"] == "/%0a%0d%22"
    assert line["user_agent"] == "\xff\x80\t}\"{"
    assert path.read_bytes().isascii()


@on_both
def test_the_combined_format_is_that_of_web_servers(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with gateway({"access_log": {"path": str(path), "format": "combined"}, "routes": []}, entrance) as front:
        get(front.port, "/x?y", 'User-Agent: a"b')
    expected = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /x\?y HTTP/1\.1" 404 \d+ "-" "a\\x22b"\n'
    assert re.fullmatch(expected, path.read_text())

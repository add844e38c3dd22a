from typing import Any

from gateway.admin.table import status_lines


def process(pid: int, *states: str, digest: str = "d", state: str = "ready") -> dict[str, Any]:
    targets = [
        {"name": f"t{index}", "state": word, "in_flight": 1, "requests": 10, "failures": 0, **({"reason": "refused"} if word == "down" else {})}
        for index, word in enumerate(states)
    ]
    return {"pid": pid, "state": state, "config": {"digest": digest}, "upstreams": {"api": {"targets": targets}}}


def test_one_process_is_a_line_for_itself_and_one_for_each_target():
    assert status_lines([process(7, "ready", "down")]) == [
        "process 7  ready  d",
        "",
        "UPSTREAM  TARGET  STATE           IN FLIGHT  REQUESTS  FAILURES",
        "api       t0      ready           1          10        0",
        "api       t1      down (refused)  1          10        0",
    ]


def test_counters_are_added_up_and_states_that_differ_say_where():
    lines = status_lines([process(7, "ready"), process(8, "down"), process(9, "ready")])
    assert lines[-1].split()[-3:] == ["3", "30", "0"]
    assert "ready in 2, down in 1 (refused)" in lines[-1]


def test_processes_that_serve_different_files_are_noticed():
    lines = status_lines([process(7, "ready"), process(8, "ready", digest="e")])
    assert lines[2] == "the processes do not serve the same configuration: reload"

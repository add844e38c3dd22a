"""The command line: arguments in, exit code out.

0 is well, 1 a configuration, file or address that cannot be used, 2 a wrong call, 3 a server that did not start.

What a verb needs is imported by it alone: checking a file loads no server, and a gateway that takes over from another
one has its sockets before it has loaded anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Fault
    from gateway.server.opening import Found

DEFAULT_CONFIG: Final = "routes.toml"
OK, BAD_CONFIG, WRONG_CALL = 0, 1, 2
INTERRUPTED: Final = 130  # as shells say it

_EXAMPLES: Final = """\
examples:
  gateway proxy :9000                        forward everything from :8080 to port 9000
  gateway proxy --from :8443 --to :9000 --to :9001 --tls dev
  gateway check -c routes.toml               all faults of a configuration, each with its line
  gateway run -c routes.toml                 serve it
  gateway reload -c routes.toml              let it read the file again; says what has changed
  gateway drain api/api-1:9000               send a target no new requests
  gateway cache https://example.com/a        what is stored for a URL, and whether it would be used
"""


_OPTIONS: Final = {
    "server.listen": "--from",
    "server.tls": "--tls",
    "upstreams.proxy.balance": "--balance",
    "upstreams.proxy.targets": "--to",
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.found = _look_for_sockets(options.config) if options.run is _run else None
    from gateway.config import ConfigError

    try:
        code: int = options.run(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        if len(error.faults) > 1:
            print(f"{len(error.faults)} faults: the configuration cannot be used", file=sys.stderr)
        return BAD_CONFIG
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (OSError, ValueError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return BAD_CONFIG
    return code


class Version(argparse.Action):
    """As argparse's own, but the version is looked up when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"gateway {version('gateway')}")
        parser.exit(OK)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="A reverse proxy and API gateway.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, help="show the version and exit")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = verbs.add_parser("run", help="serve the routes of a configuration, in the foreground")
    _add_config(run)
    run.set_defaults(run=_run)

    proxy = verbs.add_parser("proxy", help="forward everything to some targets, without a configuration")
    proxy.add_argument("target", nargs="?", metavar="TARGET", help="where to forward, as with --to")
    proxy.add_argument("--to", action="append", default=[], metavar="TARGET",
                       help=":9000, host:9000, a URL, unix:/path or asgi://module:app; repeat it to balance over several")  # fmt: skip
    proxy.add_argument("--from", dest="listen", default="127.0.0.1:8080", metavar="ADDRESS",
                       help="where to listen: :8080, host:port or unix:/path (default: %(default)s)")  # fmt: skip
    proxy.add_argument("--balance", default="round_robin", metavar="ALGORITHM",
                       help="how to choose among several targets (default: %(default)s)")  # fmt: skip
    proxy.add_argument("--tls", metavar="dev|CERT,KEY",
                       help="speak HTTPS: 'dev' makes a certificate for this machine, CERT,KEY are two PEM files")  # fmt: skip
    proxy.set_defaults(run=_proxy)

    check = verbs.add_parser("check", aliases=["validate"], help="report every fault of a configuration")
    _add_config(check)
    check.set_defaults(run=_check)

    status = verbs.add_parser("status", help="show the upstreams and targets of the gateway that serves a configuration")
    _add_config(status)
    status.add_argument("--json", action="store_true", help="print what each process says, as JSON")
    status.set_defaults(run=_status)

    reload = verbs.add_parser("reload", help="let the gateway that serves a configuration read it again")
    _add_config(reload)
    reload.set_defaults(run=_reload)

    for verb, text in (("drain", "send no new requests to a target"), ("enable", "send requests to a drained target again")):
        parser_of = verbs.add_parser(verb, help=text)
        parser_of.add_argument("target", metavar="UPSTREAM/TARGET", help="such as api/api-1:9000, or api/api-1")
        _add_config(parser_of)
        parser_of.set_defaults(run=_drain, verb=verb)
    cache = verbs.add_parser("cache", help="what the cache of a gateway that runs holds, and what it was asked for")
    _add_config(cache)
    cache.add_argument("url", nargs="?", metavar="URL", help="all about this one: https://host/path?query")
    cache.add_argument("-H", "--header", action="append", default=[], metavar="LINE",
                       help="with URL: a request that has this field, such as 'Accept-Language: de'")  # fmt: skip
    cache.add_argument("--json", action="store_true", help="what every process said, as JSON")
    cache.set_defaults(run=_cache)

    purge = verbs.add_parser("purge", help="take responses out of the cache of a gateway that runs, everywhere")
    _add_config(purge)
    purge.add_argument("--url", action="append", default=[], metavar="URL",
                       help="https://host/path?query, or /path for every host; repeat it for several")  # fmt: skip
    purge.add_argument("--prefix", action="append", default=[], metavar="URL", help="all URLs that begin so")
    purge.add_argument("--tag", action="append", default=[], metavar="TAG", help="all responses with this tag")
    purge.add_argument("--all", action="store_true", help="everything")
    purge.add_argument("--soft", action="store_true",
                       help="keep them as stale: the target is asked whether they are still right")  # fmt: skip
    purge.set_defaults(run=_purge)

    schema = verbs.add_parser("schema", help="print the JSON Schema of routes.toml, for editors")
    schema.set_defaults(run=_schema)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("GATEWAY_CONFIG", DEFAULT_CONFIG)
    parser.add_argument("-c", "--config", type=Path, default=Path(default), metavar="FILE",
                        help="the configuration (default: $GATEWAY_CONFIG, or routes.toml)")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    from gateway.config import load
    from gateway.server.run import run

    return run(load(options.config), options.config, options.found)


def _look_for_sockets(file: Path) -> Found:
    """First of all: the gateway before us may be about to stop."""
    from gateway.server.opening import look_for_sockets

    return look_for_sockets(file)


def _check(options: argparse.Namespace) -> int:
    from gateway.config import lint, load

    config = load(options.config)
    for warning in lint(config):
        print(f"warning: {warning}", file=sys.stderr)
    routes = len(config.routes)
    upstreams = len(config.all_upstreams())
    print(f"{options.config}: ok ({routes} route{'s'[: routes != 1]}, {upstreams} upstream{'s'[: upstreams != 1]})")
    return OK


def _cache(options: argparse.Namespace) -> int:
    from gateway.admin.cache_report import overview, verdict  # no event loop is needed to check a file

    asked = [("url", options.url), *(("header", line) for line in options.header)]
    target = "/cache" if options.url is None else f"/cache?{urlencode(asked)}"
    said = _ordered(options, "cache", "GET", target)
    if options.json:
        print(json.dumps(said, indent=2))
    elif well := [process for process in said if process["ok"]]:
        print(overview(well) if options.url is None else "\n".join(map(verdict, well)))
    return OK if all(process["ok"] for process in said) else BAD_CONFIG


def _purge(options: argparse.Namespace) -> int:
    body = {name: given for name in ("url", "prefix", "tag", "all") if (given := getattr(options, name))}
    if not body:
        print("gateway purge: name what is to be purged: --url, --prefix, --tag or --all", file=sys.stderr)
        return WRONG_CALL
    said = _ordered(options, "purge", "POST", "/cache/purge", {**body, "soft": options.soft})
    done = [process for process in said if process["ok"]]
    if done:
        count = sum(process["purged"] for process in done)
        print(f"purged by {len(done)} process{'es'[: 2 * (len(done) != 1)]}; {count} of their entries in memory were taken")
    return OK if all(process["ok"] for process in said) else BAD_CONFIG


def _ordered(
    options: argparse.Namespace, verb: str, method: str, target: str, body: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """What the processes that serve the file say to an order; what failed is told. Raises ValueError where there is none."""
    said = _ask(options, method, target, body)
    for process in said:
        if not process["ok"]:
            print(f"gateway {verb}: process {process['pid']}: {process['error']}", file=sys.stderr)
    return said


def _schema(_options: argparse.Namespace) -> int:
    from gateway.config import json_schema

    print(json.dumps(json_schema(), indent=2), flush=True)
    return OK


def _ask(
    options: argparse.Namespace, method: str, target: str, body: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """What each process that serves the file says. Raises ValueError where there is none."""
    from gateway.admin.api import Order
    from gateway.admin.client import give
    from gateway.admin.guard import Refused

    try:
        said: list[dict[str, Any]] = give(options.config, Order(method, target, body or {})).body["processes"]
    except Refused:
        raise ValueError(f"no gateway runs with {options.config}") from None
    return said


def _all_well(said: list[dict[str, Any]]) -> bool:
    """Whether all did it; else what kept them from it is told, once for all that say the same."""
    for text in dict.fromkeys("\n".join([one["error"], *one.get("faults", [])]) for one in said if not one["ok"]):
        print(f"gateway: {text}", file=sys.stderr)
    return all(one["ok"] for one in said)


def _status(options: argparse.Namespace) -> int:
    said = _ask(options, "GET", "/status")
    if options.json:
        print(json.dumps(said, indent=2))
    elif _all_well(said):
        from gateway.admin.table import status_lines

        print("\n".join(status_lines(said)))
    return OK if all(one["ok"] for one in said) else BAD_CONFIG


def _reload(options: argparse.Namespace) -> int:
    said = _ask(options, "POST", "/reload")
    if not _all_well(said):
        return BAD_CONFIG
    for warning in said[0]["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print("\n".join(said[0]["lines"] or ["nothing has changed"]))
    pending = [key for key in said[0]["restart"] if f"! {key} needs a restart" not in said[0]["lines"]]
    for key in pending:
        print(f"! {key} needs a restart still")
    if len({one["digest"] for one in said}) > 1:
        print("gateway: the file was written meanwhile; reload again", file=sys.stderr)
        return BAD_CONFIG
    return OK


def _drain(options: argparse.Namespace) -> int:
    said = _ask(options, "POST", f"/{options.verb}", {"target": options.target})
    if not _all_well(said):
        return BAD_CONFIG
    under_way = sum(one["in_flight"] for one in said)
    state = "drained" if said[0]["drained"] else "enabled"
    print(f"{said[0]['target']} is {state}; {under_way} request{'s'[: under_way != 1]} under way")
    return OK


def _proxy(options: argparse.Namespace) -> int:
    from gateway.config import ConfigError, build
    from gateway.server.run import run

    targets = [*([options.target] if options.target else []), *options.to]
    if not targets:
        print("gateway proxy: name a target, such as :9000", file=sys.stderr)
        return WRONG_CALL
    server: dict[str, object] = {"listen": [options.listen]}
    if options.tls is not None:
        server["tls"] = _tls(options.tls)
    upstream = {"targets": [target_url(target) for target in targets], "balance": options.balance}
    try:
        config = build(
            {
                "server": server,
                "upstreams": {"proxy": upstream},
                "routes": [{"name": "proxy", "path": "/*", "upstream": "proxy"}],
            }
        )
    except ConfigError as error:
        for fault in error.faults:
            print(f"gateway proxy: {_option_of(fault)}: {fault.message}{'; ' * bool(fault.hint)}{fault.hint}", file=sys.stderr)
        return WRONG_CALL
    return run(config, None)


def _option_of(fault: Fault) -> str:
    """The option that gave a value of the configuration."""
    return next((option for key, option in _OPTIONS.items() if fault.key.startswith(key)), fault.key)


def _tls(text: str) -> dict[str, str]:
    if text == "dev":
        from gateway.server.dev_certificate import ensure_dev_certificate, trust_message

        made = ensure_dev_certificate()
        print(trust_message(made), file=sys.stderr, flush=True)
        return {"cert": str(made.cert), "key": str(made.key)}
    cert, comma, key = text.partition(",")
    if not comma:
        msg = f"--tls is 'dev' or CERT,KEY, not {text!r}"
        raise ValueError(msg)
    return {"cert": cert, "key": key}


def target_url(text: str) -> str:
    """A target as people type it: `:9000` and `9000` are a port of this machine, `host:9000` is plain HTTP."""
    if text.isdigit():
        return f"http://127.0.0.1:{text}"
    if text.startswith(":"):
        return f"http://127.0.0.1{text}"
    if "://" in text or text.startswith("unix:"):
        return text
    return f"http://{text}"

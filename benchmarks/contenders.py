"""The programs that are compared, and what each is told to do the same work.

Everything that is not written here is a program's default. Access logs are off for all but the gateway, which writes its
own as always. All tell the target who asked (X-Forwarded-For and -Proto, in nginx also Host and X-Real-IP, as usual).
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.processes import LOOPBACK, ROOT
from benchmarks.scenarios import Scenario

BIN: Final = Path(sys.executable).parent
CACHED: Final = ("hit", "miss")  # kinds of scenarios


@dataclass(frozen=True)
class Setting:
    """Where one run takes place. targets: their ports. `folder` is the contender's own."""

    scenario: Scenario
    port: int
    targets: list[int]
    folder: Path

    @property
    def body(self) -> str:
        return articles(self.scenario.size) if self.scenario.gzipped else "x" * self.scenario.size

    @property
    def body_type(self) -> str:
        return "application/json" if self.scenario.gzipped else "application/octet-stream"

    @property
    def authorities(self) -> list[str]:
        return [f"{LOOPBACK}:{port}" for port in self.targets]

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Start:
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def nginx(setting: Setting) -> Start:
    scenario = setting.scenario
    forward = """
            proxy_pass http://targets%s;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;"""
    if scenario.kind == "fixed":
        locations = f'location /api/ {{ return 200 "{setting.body}"; }}'
    elif scenario.kind == "policies":
        locations = f"""
        location /api/ {{{forward % "/"}
            allow 127.0.0.0/8;
            deny all;
            proxy_set_header X-Env prod;
            proxy_set_header X-Debug "";
            proxy_hide_header X-Powered-By;
            add_header X-Frame-Options DENY always;
        }}"""
    elif scenario.kind in CACHED:
        key = "$host$uri" + ("$is_args$args" if scenario.kind == "miss" else "")
        store = f'proxy_cache store; proxy_cache_key "{key}"; proxy_cache_valid 200 10m;'
        if scenario.gzipped:
            store += " gzip on; gzip_types application/json;"
        locations = f"location / {{{forward % ''}\n            {store}\n        }}"
    elif scenario.routes > 1:
        locations = "".join(f"\n        location /r{at}/ {{{forward % ''}\n        }}" for at in range(scenario.routes))
    else:
        locations = f"location / {{{forward % ''}\n        }}"
    servers = "\n        ".join(f"server {authority};" for authority in setting.authorities)
    store = f"proxy_cache_path {setting.folder}/store keys_zone=store:64m;" if scenario.kind in CACHED else ""
    text = f"""{nginx_frame(setting, scenario.workers)}
    {store}
    upstream targets {{
        {servers}
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {LOOPBACK}:{setting.port} backlog=4096;
        {locations}
    }}
}}
"""
    return nginx_start(setting, text)


def nginx_frame(setting: Setting, workers: int) -> str:
    """The beginning of a configuration, up to within its `http` block; used for the origin too."""
    folder = setting.folder
    temporary = "\n    ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {setting.scenario.connections}; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    {temporary}"""


def nginx_start(setting: Setting, text: str) -> Start:
    path = setting.write("nginx.conf", text)
    return Start(["nginx", "-p", str(setting.folder), "-e", f"{setting.folder}/error.log", "-c", path])


def haproxy(setting: Setting) -> Start:
    if setting.scenario.kind == "fixed":
        setting.write("body", setting.body)
        work = f"    http-request return status 200 content-type text/plain file {setting.folder}/body"
        backend = ""
    else:
        work = "    default_backend targets"
        servers = "\n".join(f"    server s{at} {name}" for at, name in enumerate(setting.authorities))
        backend = f"backend targets\n    balance roundrobin\n{servers}\n"
    text = f"""global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 30s
    option forwardfor
frontend main
    bind {LOOPBACK}:{setting.port} backlog 4096
    http-request set-header X-Forwarded-Proto http
{work}
{backend}"""
    return Start(["haproxy", "-db", "-f", setting.write("haproxy.cfg", text)])


def caddy(setting: Setting) -> Start:
    """GOMAXPROCS follows the cores that it is pinned to."""
    if setting.scenario.kind == "fixed":
        work = f'    respond "{setting.body}" 200'
    else:
        work = f"    reverse_proxy {' '.join(setting.authorities)} {{\n        lb_policy round_robin\n    }}"
    text = f"""{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
}}
http://:{setting.port} {{
    bind {LOOPBACK}
{work}
}}
"""
    path = setting.write("Caddyfile", text)
    return Start(["caddy", "run", "--adapter", "caddyfile", "--config", path], {"HOME": str(setting.folder)})


def gateway(setting: Setting) -> Start:
    return Start([str(BIN / "gateway"), "run", "-c", setting.write("routes.toml", routes(setting))])


def gateway_asgi(setting: Setting) -> Start:
    """The same app under uvicorn's own protocol class."""
    folder = setting.folder  # else it is the source in the working directory, which is not compiled
    return Start(uvicorn("gateway.app:app", folder, setting), {"GATEWAY_CONFIG": setting.write("routes.toml", routes(setting))})


def bare_uvloop(setting: Setting) -> Start:
    """Bytes copied from connection to connection."""
    return Start([sys.executable, "-m", "benchmarks.bare", str(setting.port), str(setting.targets[0])], {"PYTHONPATH": str(ROOT)})


def bare_asgi(setting: Setting) -> Start:
    """An ASGI app that forwards, and nothing else, as `gateway_asgi` is started."""
    argv = [*uvicorn("benchmarks.bare:app", ROOT, setting), "--lifespan", "off"]
    return Start(argv, {"BARE_TARGET": str(setting.targets[0])})


def uvicorn(app: str, folder: Path, setting: Setting) -> list[str]:
    """uvicorn's own protocol class, and nothing of its that adds to a request. folder: where the app is looked for first."""
    return [
        str(BIN / "uvicorn"), app, "--host", LOOPBACK, "--port", str(setting.port), "--no-proxy-headers", "--no-access-log",
        "--no-server-header", "--log-level", "warning", "--timeout-keep-alive", "75", "--app-dir", str(folder),
    ]  # fmt: skip


def routes(setting: Setting) -> str:
    """The `routes.toml` of a scenario."""
    scenario = setting.scenario
    targets = ", ".join(f'"http://{authority}"' for authority in setting.authorities)
    head = f"""[server]
listen = "{LOOPBACK}:{setting.port}"
workers = {scenario.workers}
limits = {{ max_connections = {scenario.connections} }}

[upstreams.targets]
targets = [{targets}]
"""
    if scenario.kind == "fixed":
        return f'{head}\n[[routes]]\npath = "/api/*"\nrespond = {{ status = 200, body = "{setting.body}" }}\n'
    if scenario.kind == "policies":
        return f"""{head}
[[routes]]
path = "/api/*"
upstream = "targets"
strip_prefix = "/api"
access = {{ allow = ["127.0.0.0/8"] }}
request_headers = {{ set = {{ "X-Env" = "prod" }}, remove = ["X-Debug"] }}
response_headers = {{ set = {{ "X-Frame-Options" = "DENY" }}, remove = ["X-Powered-By"] }}
"""
    if scenario.kind in CACHED:
        key = ["host", "path"] + (["query"] if scenario.kind == "miss" else [])
        cache = f'cache = {{ ttl = "10m", key = {json.dumps(key)} }}'
        coded = "compression = true\n" if scenario.gzipped else ""
        return f'{head}\n[[routes]]\npath = "/*"\nupstream = "targets"\n{cache}\n{coded}'
    paths = [f"/r{at}/*" for at in range(scenario.routes)] if scenario.routes > 1 else ["/*"]
    return head + "".join(f'\n[[routes]]\npath = "{path}"\nupstream = "targets"\n' for path in paths)


def origin(setting: Setting) -> Start:
    """nginx with one file for each size, under any path that ends with the size; it listens on all targets' ports."""
    size = setting.scenario.size
    setting.write(f"{size}.bin", setting.body)
    listens = "\n        ".join(f"listen {authority} backlog=4096;" for authority in setting.authorities)
    text = f"""{nginx_frame(setting, 1)}
    open_file_cache max=100 inactive=600s;
    server {{
        {listens}
        root {setting.folder};
        location ~ "/items/{size}$" {{ default_type {setting.body_type}; try_files /{size}.bin =404; }}
    }}
}}
"""
    return nginx_start(setting, text)


def articles(size: int) -> str:
    """So many bytes of JSON as an API lists things, the same at each call; gzip makes a quarter of it."""
    chance = random.Random(size)
    listed: list[str] = []
    left = size - 2  # for the brackets
    while True:
        one = {
            "id": chance.randrange(10**8), "name": " ".join(chance.choices(_WORDS, k=8)), "price": chance.randrange(10**5) / 100,
            "tags": chance.sample(_WORDS, 3), "in_stock": chance.random() < 0.7,
        }  # fmt: skip
        line = json.dumps(one)
        left -= len(line) + 2
        if left < 0:
            return f"[{', '.join(listed)}]".ljust(size)  # with spaces, which may follow
        listed.append(line)


_WORDS: Final = (
    "red", "green", "blue", "small", "large", "old", "new", "wool", "cotton", "linen", "shirt", "coat", "scarf", "shoe", "summer",
    "winter", "soft", "warm", "light", "sale", "organic", "classic", "striped", "plain",
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """program: its path, None where it is not installed."""

    start: Callable[[Setting], Start]
    program: str | None
    version: tuple[str, ...]


def _ours(name: str) -> str | None:
    return str(BIN / name) if (BIN / name).exists() else None


CONTENDERS: Final = {
    "nginx": Contender(nginx, shutil.which("nginx"), ("-v",)),
    "haproxy": Contender(haproxy, shutil.which("haproxy"), ("-v",)),
    "caddy": Contender(caddy, shutil.which("caddy"), ("version",)),
    "gateway": Contender(gateway, _ours("gateway"), ("--version",)),
    "gateway-asgi": Contender(gateway_asgi, _ours("uvicorn"), ("--version",)),
    "bare-uvloop": Contender(bare_uvloop, sys.executable, ("--version",)),
    "bare-asgi": Contender(bare_asgi, _ours("uvicorn"), ("--version",)),
}

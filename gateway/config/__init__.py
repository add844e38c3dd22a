"""`routes.toml` as types: read, filled in from the environment, and checked as a whole.

`load` and `parse` raise `ConfigError` with everything that is wrong at once. A `Config` built in code is checked alike.
"""

from gateway.config.access import Access
from gateway.config.addresses import Listen, split_listen
from gateway.config.balance import StickyOptions
from gateway.config.caching import CacheOptions, QueryOptions, RouteCacheOptions
from gateway.config.discover import Discover
from gateway.config.edits import HeaderEdits, RequestHeaderEdits, ResponseHeaderEdits
from gateway.config.faults import ConfigError, Fault
from gateway.config.guard import AdaptiveOptions, BreakerOptions
from gateway.config.health import HealthCheckOptions, PassiveOptions
from gateway.config.inherited import Compression, Defaults, Hsts, Timeouts
from gateway.config.lint import lint
from gateway.config.model import Config, inline_upstream
from gateway.config.observe import AccessLogOptions, AdminOptions
from gateway.config.reading import build, load, parse
from gateway.config.redis import RedisOptions
from gateway.config.retry import RetryOptions
from gateway.config.routes import MirrorOptions, RedirectOptions, RespondOptions, RouteOptions, Share
from gateway.config.schema import json_schema
from gateway.config.server import Certificate, Server, ServerLimits, ServerTimeouts, ServerTls
from gateway.config.source import Source
from gateway.config.targets import TargetOptions, TargetsFile, read_targets
from gateway.config.texts import statuses
from gateway.config.upstreams import Keepalive, UpstreamOptions, UpstreamTls

__all__ = [
    "Access",
    "AccessLogOptions",
    "AdaptiveOptions",
    "AdminOptions",
    "BreakerOptions",
    "CacheOptions",
    "Certificate",
    "Compression",
    "Config",
    "ConfigError",
    "Defaults",
    "Discover",
    "Fault",
    "HeaderEdits",
    "HealthCheckOptions",
    "Hsts",
    "Keepalive",
    "Listen",
    "MirrorOptions",
    "PassiveOptions",
    "QueryOptions",
    "RedirectOptions",
    "RedisOptions",
    "RequestHeaderEdits",
    "RespondOptions",
    "ResponseHeaderEdits",
    "RetryOptions",
    "RouteCacheOptions",
    "RouteOptions",
    "Server",
    "ServerLimits",
    "ServerTimeouts",
    "ServerTls",
    "Share",
    "Source",
    "StickyOptions",
    "TargetOptions",
    "TargetsFile",
    "Timeouts",
    "UpstreamOptions",
    "UpstreamTls",
    "build",
    "inline_upstream",
    "json_schema",
    "lint",
    "load",
    "parse",
    "read_targets",
    "split_listen",
    "statuses",
]

"""From the words of other proxies, and from misspelt ones, to ours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

_SIMILAR: Final = 0.7  # difflib's ratio
_BEGINNING: Final = 4  # characters that are enough to tell a word by: max_conn

# What nginx, HAProxy, Caddy, Traefik, Apache and Envoy call it -> our keys, the likeliest first. A key that lies
# elsewhere is written with its table.
FOREIGN_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    # routes
    "location": ("path", "[[routes]]"),
    "locations": ("[[routes]]",),
    "route": ("[[routes]]",),
    "router": ("[[routes]]",),
    "routers": ("[[routes]]",),
    "frontend": ("[[routes]]",),
    "handle": ("path", "[[routes]]"),
    "rule": ("path", "[[routes]]"),
    "rules": ("[[routes]]",),
    "uri": ("path",),
    "path_prefix": ("path",),
    "prefix": ("path",),
    "pattern": ("path",),
    "paths": ("path",),
    "regex": ("path_regex",),
    "path_regexp": ("path_regex",),
    "server_name": ("host", "host in [[routes]]"),
    "hosts": ("host",),
    "hostname": ("host",),
    "hostnames": ("host",),
    "domain": ("host",),
    "domains": ("host",),
    "method": ("methods",),
    "header": ("headers",),
    "headers_regexp": ("headers",),
    "proxy_pass": ("upstream", "upstream in [[routes]]"),
    "reverse_proxy": ("upstream", "upstream in [[routes]]"),
    "use_backend": ("upstream", "upstream in [[routes]]"),
    "default_backend": ("upstream", "upstream in [[routes]]"),
    "forward": ("upstream",),
    "proxy": ("upstream",),
    "to": ("upstream", "targets"),
    "service": ("upstream", "[upstreams.NAME]"),
    "services": ("upstreams", "[upstreams.NAME]"),
    "backend": ("upstream", "[upstreams.NAME]"),
    "backends": ("upstreams", "targets", "[upstreams.NAME]"),
    "cluster": ("upstream", "[upstreams.NAME]"),
    "clusters": ("upstreams", "[upstreams.NAME]"),
    "weighted": ("split",),
    "split_clients": ("split", "split in [[routes]]"),
    "weighted_clusters": ("split",),
    "return": ("respond", "redirect"),
    "respond_with": ("respond",),
    "static_response": ("respond",),
    "redir": ("redirect",),
    "http_request_redirect": ("redirect",),
    "redirect_regex": ("redirect",),
    "handle_path": ("strip_prefix",),
    "replace_path": ("rewrite",),
    "uri_strip_prefix": ("strip_prefix",),
    "replace_path_regex": ("rewrite",),
    "proxy_set_header": ("request_headers",),
    "header_up": ("request_headers",),
    "custom_request_headers": ("request_headers",),
    "request_header": ("request_headers",),
    "add_header": ("response_headers",),
    "header_down": ("response_headers",),
    "custom_response_headers": ("response_headers",),
    "response_header": ("response_headers", "first_byte"),
    "proxy_hide_header": ("response_headers",),
    "delete": ("remove",),
    "del": ("remove",),
    "append": ("add",),
    "replace": ("set",),
    "pass_host_header": ("host_header",),
    "preserve_host": ("host_header",),
    "proxy_preserve_host": ("host_header",),
    "ip_allow_list": ("access",),
    "ip_white_list": ("access",),
    "allowlist": ("allow", "access"),
    "whitelist": ("allow", "access"),
    "source_range": ("allow",),
    "remote_ip": ("access",),
    "blocklist": ("deny", "access"),
    "denylist": ("deny", "access"),
    "blacklist": ("deny", "access"),
    "client_max_body_size": ("max_body", "max_body in [server.limits]"),
    "max_request_body_bytes": ("max_body",),
    "request_body": ("max_body",),
    "limit_request_body": ("max_body",),
    "gzip": ("compression", "compression in [defaults]"),
    "encode": ("compression", "compression in [defaults]"),
    "compress": ("compression", "compression in [defaults]"),
    "gzip_types": ("types", "compression", "types in compression"),
    "gzip_min_length": ("min_size", "compression", "min_size in compression"),
    "minimum_length": ("min_size",),
    "min_response_body_bytes": ("min_size",),
    "gzip_comp_level": ("levels", "levels in compression"),
    "level": ("levels",),
    "excluded_content_types": ("exclude",),
    "included_content_types": ("types",),
    "content_types": ("types",),
    "strict_transport_security": ("hsts",),
    "sts_seconds": ("max_age", "hsts"),
    "sts_preload": ("preload",),
    "sts_include_subdomains": ("include_subdomains",),
    # the cache
    "proxy_cache": ("cache",),
    "caching": ("cache",),
    "http_cache": ("cache",),
    "proxy_cache_valid": ("ttl", "cache", "ttl in cache"),
    "default_ttl": ("ttl", "cache"),
    "cache_ttl": ("ttl", "cache"),
    "proxy_cache_key": ("key", "cache", "key in cache"),
    "cache_key": ("key", "cache"),
    "proxy_cache_bypass": ("bypass", "cache", "bypass in cache"),
    "proxy_no_cache": ("bypass", "cache"),
    "proxy_cache_methods": ("methods", "cache"),
    "proxy_cache_lock": ("coalesce", "cache", "coalesce in cache"),
    "collapse": ("coalesce",),
    "proxy_cache_use_stale": ("stale_if_error", "cache", "stale_if_error in cache"),
    "proxy_cache_background_update": ("stale_while_revalidate", "cache"),
    "grace": ("stale_while_revalidate",),
    "swr": ("stale_while_revalidate",),
    "proxy_cache_path": ("cache", "store in [cache]"),
    "keys_zone": ("memory", "memory in [cache]"),
    "max_size": ("memory",),
    "backend_store": ("store",),
    "max_object_size": ("max_object",),
    "ignore_cache_control": ("request_directives",),
    # upstreams
    "server": ("targets",),
    "servers": ("targets",),
    "node": ("targets",),
    "nodes": ("targets",),
    "endpoints": ("targets",),
    "address": ("url",),
    "addr": ("url",),
    "lb_policy": ("balance",),
    "load_balancing": ("balance",),
    "load_balancer": ("balance",),
    "algorithm": ("balance",),
    "strategy": ("balance",),
    "policy": ("balance",),
    "hash_key": ("hash_on",),
    "hash_policy": ("hash_on",),
    "upstream_hash_by": ("hash_on",),
    "hash_balance_factor": ("hash_slack",),
    "affinity": ("sticky",),
    "sticky_cookie": ("sticky",),
    "session_affinity": ("sticky",),
    "stickysession": ("sticky",),
    "secret": ("keys",),
    "cookie_name": ("cookie",),
    "max_conns": ("max_connections",),
    "maxconn": ("max_connections",),
    "maxqueue": ("max_pending",),
    "max_pending_requests": ("max_pending",),
    "queue": ("max_pending",),
    "max_idle_conns_per_host": ("connections", "keepalive"),
    "keepalive_timeout": ("keepalive", "timeout", "keepalive in [server.timeouts]"),
    "keepalive_requests": ("keepalive",),
    "tls_insecure_skip_verify": ("verify", "tls"),
    "insecure_skip_verify": ("verify", "tls"),
    "proxy_ssl_verify": ("verify", "tls"),
    "tls_server_name": ("server_name", "tls"),
    "sni": ("server_name",),
    "proxy_ssl_name": ("server_name", "tls"),
    "root_cas": ("ca",),
    "root_ca": ("ca",),
    "ca_file": ("ca", "client_ca"),
    "trusted_ca": ("ca", "client_ca"),
    "proxy_ssl_trusted_certificate": ("ca", "tls"),
    "proxy_ssl_certificate": ("client_cert", "tls"),
    "proxy_ssl_certificate_key": ("client_key", "tls"),
    "health_uri": ("path", "health_check"),
    "health_path": ("path", "health_check"),
    "health_interval": ("interval", "health_check"),
    "health_timeout": ("timeout", "health_check"),
    "health_status": ("status", "health_check"),
    "health_body": ("body", "health_check"),
    "health_headers": ("headers", "health_check"),
    "health_passes": ("passes", "health_check"),
    "health_fails": ("fails", "health_check"),
    "healthcheck": ("health_check",),
    "health_checks": ("health_check",),
    "httpchk": ("health_check",),
    "check": ("health_check",),
    "inter": ("interval", "health_check"),
    "rise": ("passes", "health_check"),
    "fall": ("fails", "health_check"),
    "healthy_threshold": ("passes",),
    "unhealthy_threshold": ("fails",),
    "init_state": ("start",),
    "expect": ("status",),
    "outlier_detection": ("passive",),
    "passive_health_check": ("passive",),
    "max_failed_attempts": ("max_fails", "passive"),
    "failure_window": ("fail_timeout", "passive"),
    "fail_duration": ("fail_timeout", "passive"),
    "unhealthy_status": ("status", "passive"),
    "consecutive_5xx": ("max_fails", "passive"),
    "base_ejection_time": ("fail_timeout", "passive"),
    "max_ejection_percent": ("max_ejected", "passive"),
    "observe": ("passive",),
    "error_limit": ("max_fails", "passive"),
    "slowstart": ("slow_start",),
    # timeouts
    "timeout": ("timeouts",),
    "proxy_connect_timeout": ("connect", "timeouts"),
    "connect_timeout": ("connect", "timeouts"),
    "timeout_connect": ("connect", "timeouts"),
    "dial_timeout": ("connect", "timeouts"),
    "dial": ("connect",),
    "timeout_queue": ("pool", "timeouts"),
    "response_header_timeout": ("first_byte", "timeouts"),
    "timeout_server": ("read", "timeouts"),
    "proxy_read_timeout": ("read", "timeouts"),
    "read_timeout": ("read", "timeouts"),
    "proxy_send_timeout": ("write", "timeouts"),
    "write_timeout": ("write", "timeouts"),
    "send": ("write",),
    "request": ("total",),
    "request_timeout": ("total", "timeouts"),
    "timeout_tunnel": ("stream_idle", "timeouts"),
    # server
    "bind": ("listen", "listen in [server]"),
    "port": ("listen", "listen in [server]"),
    "entry_points": ("listen", "listen in [server]"),
    "worker_processes": ("workers", "workers in [server]"),
    "nbthread": ("workers", "workers in [server]"),
    "processes": ("workers",),
    "worker_connections": ("max_connections", "max_connections in [server.limits]"),
    "set_real_ip_from": ("trusted_proxies", "trusted_proxies in [server]"),
    "real_ip_header": ("trusted_proxies", "trusted_proxies in [server]"),
    "trusted_ips": ("trusted_proxies", "trusted_proxies in [server]"),
    "forwarded_headers": ("trusted_proxies", "trusted_proxies in [server]"),
    "forwarded_allow_ips": ("trusted_proxies", "trusted_proxies in [server]"),
    "request_id_header": ("request_id",),
    "worker_shutdown_timeout": ("drain_timeout", "drain_timeout in [server]"),
    "hard_stop_after": ("drain_timeout", "drain_timeout in [server]"),
    "grace_period": ("drain_timeout", "drain_timeout in [server]"),
    "timeout_graceful_shutdown": ("drain_timeout", "drain_timeout in [server]"),
    "client_header_timeout": ("header", "header in [server.timeouts]"),
    "read_header": ("header",),
    "read_header_timeout": ("header",),
    "timeout_http_request": ("header", "header in [server.timeouts]"),
    "client_body_timeout": ("body_idle", "body_idle in [server.timeouts]"),
    "read_body": ("body_idle",),
    "send_timeout": ("write_idle", "write_idle in [server.timeouts]"),
    "idle": ("keepalive",),
    "idle_timeout": ("keepalive", "timeout"),
    "timeout_keep_alive": ("keepalive",),
    "timeout_http_keep_alive": ("keepalive", "keepalive in [server.timeouts]"),
    "large_client_header_buffers": ("max_header_size", "max_header_size in [server.limits]"),
    "max_header_bytes": ("max_header_size",),
    "limit_request_fields": ("max_headers",),
    "limit_request_line": ("max_target_size",),
    "ssl": ("tls",),
    "ssl_certificate": ("cert", "tls", "tls in [server]"),
    "ssl_certificate_key": ("key", "tls", "tls in [server]"),
    "ssl_certfile": ("cert", "tls"),
    "ssl_keyfile": ("key", "tls"),
    "cert_file": ("cert",),
    "certificate": ("cert",),
    "crt": ("cert",),
    "key_file": ("key",),
    "private_key": ("key",),
    "ssl_protocols": ("min_version", "tls"),
    "protocols": ("min_version",),
    "ssl_min_ver": ("min_version",),
    "ssl_ciphers": ("ciphers", "tls"),
    "cipher_suites": ("ciphers",),
    "ssl_client_certificate": ("client_ca", "tls"),
    "ssl_verify_client": ("client_auth", "tls"),
    "client_authentication": ("client_auth",),
    "auto_https": ("redirect_http", "redirect_http in tls of [server]"),
    "log": ("access_log",),
    "logging": ("access_log",),
    "log_format": ("format", "access_log"),
    "accesslog": ("access_log",),
    "output": ("path",),
    "file": ("path",),
    "file_path": ("path",),
}

FOREIGN_VALUES: Final[Mapping[str, str]] = {
    "leastconn": "least_conn",
    "least_connections": "least_conn",
    "least_request": "least_conn",
    "least_requests": "least_conn",
    "random_choose": "p2c",
    "power_of_two_choices": "p2c",
    "random_two": "p2c",
    "leasttime": "least_time",
    "peak_ewma": "least_time",
    "ewma": "least_time",
    "ip_hash": "hash",
    "uri_hash": "hash",
    "source": "hash",
    "ring_hash": "hash",
    "maglev": "hash",
    "hrw": "hash",
    "chash": "hash",
    "consistent_hashing": "hash",
    "remote_ip": "client_ip",
    "remote_addr": "client_ip",
    "src": "client_ip",
    "uri": "path",
    "roundrobin": "round_robin",
    "rr": "round_robin",
    "wrr": "round_robin",
    "weighted_round_robin": "round_robin",
    "static_rr": "round_robin",
    "tlsv1.2": "1.2",
    "tls1.2": "1.2",
    "tls12": "1.2",
    "tls_1.2": "1.2",
    "versiontls12": "1.2",
    "tlsv1.3": "1.3",
    "tls1.3": "1.3",
    "tls13": "1.3",
    "tls_1.3": "1.3",
    "versiontls13": "1.3",
    "on": "required",
    "require": "required",
    "requireandverifyclientcert": "required",
    "verifyclientcertifgiven": "optional",
    "none": "off",
    "false": "off",
    "common": "combined",
    "clf": "combined",
    "apache": "combined",
    "main": "combined",
}


def our_key(key: str, ours: Iterable[str]) -> str:
    """Which of our keys an unknown one stands for; empty where that is not clear. ours: those that may be there."""
    choices = tuple(ours)
    word = _our_spelling(key)
    for candidate in (word, *FOREIGN_KEYS.get(word, ())):
        if candidate in choices:
            return candidate
    begun = [choice for choice in choices if choice.startswith(word) and len(word) >= _BEGINNING]
    near = begun or difflib.get_close_matches(word, choices, n=1, cutoff=_SIMILAR)
    return near[0] if near else ""


def hint_for_key(key: str, ours: Iterable[str]) -> str:
    """What was meant by an unknown key, here or in another table."""
    choices = tuple(ours)
    if meant := our_key(key, choices):
        return _did_you_mean(meant)
    for candidate in FOREIGN_KEYS.get(_our_spelling(key), ()):
        name, is_placed, table = candidate.partition(" in ")
        if is_placed:
            return f'did you mean "{name}" in {table}?'
        if candidate.startswith("["):
            return f"did you mean {candidate}?"
    return "the keys here are " + ", ".join(choices)


def hint_for_value(value: str, ours: Iterable[str]) -> str:
    """What was meant by a value that is none of the choices."""
    choices = tuple(ours)
    word = _our_spelling(value)
    for candidate in (word, FOREIGN_VALUES.get(word)):
        if candidate in choices:
            return _did_you_mean(str(candidate))
    if near := difflib.get_close_matches(word, choices, n=1, cutoff=_SIMILAR):
        return _did_you_mean(near[0])
    return "choose from " + ", ".join(f'"{choice}"' for choice in choices)


def hint_for_name(name: str, declared: Iterable[str]) -> str:
    """What was meant by a name that nothing bears."""
    names = tuple(declared)
    if near := difflib.get_close_matches(name, names, n=1, cutoff=_SIMILAR):
        return _did_you_mean(near[0])
    return "there are " + ", ".join(f'"{known}"' for known in names) if names else ""


def _did_you_mean(word: str) -> str:
    return f'did you mean "{word}"?'


def _our_spelling(word: str) -> str:
    """`stripPrefix` and `strip-prefix` as `strip_prefix`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[- ]", "_", word).lower()

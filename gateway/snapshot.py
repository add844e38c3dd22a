"""One compiled configuration: built once from `Config`, never changed, swapped whole.

Here the words of `routes.toml` become objects, and the policies of a route its pipeline. The order of `_policies` is
the order of the phases (and its reverse for `amend`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.balance import BALANCERS
from gateway.errors import MethodNotAllowed, NoRoute, NoTarget
from gateway.observe.access_log import AccessLog
from gateway.observe.counters import Counters
from gateway.observe.request_id import RequestIds
from gateway.observe.trace import check as check_trace
from gateway.pipeline import Pipeline
from gateway.policies.access import Access
from gateway.policies.compression import Compression
from gateway.policies.headers import RequestHeaders, ResponseHeaders, StrictTransportSecurity
from gateway.policies.respond import FixedAnswer, Redirect
from gateway.policies.standard import NoConnect, ResponseId, TraceContext
from gateway.rfc.forwarded import Networks, client_address
from gateway.rfc.uri import match_path
from gateway.router import Found, Match, Rejected, Route, Router
from gateway.server.settings import ServerSettings
from gateway.upstream.address import Address
from gateway.upstream.local import LocalTarget
from gateway.upstream.target import Target, TargetLimits
from gateway.upstream.tls import client_context
from gateway.upstream.upstream import Upstream

if TYPE_CHECKING:
    import ssl

    from gateway import config as c
    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange
    from gateway.policy import Policy
    from gateway.upstream.upstream import AnyTarget

log = logging.getLogger("gateway")

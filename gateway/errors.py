"""Every way in which a request can fail, by RFC 9209 type, status and how far it got.

`reach` alone decides whether an attempt may be repeated; `status` and `proxy_error` are what the client learns.
Messages are for our own log: they never reach a client (an origin's address must not leak).
"""

from __future__ import annotations

from enum import Enum


class Reach(Enum):
    """How far a request got at the target before it failed."""

    UNSENT = "unsent"  # not a byte of it was written
    MAYBE_PROCESSED = "maybe_processed"  # some bytes were written, no answer came
    ANSWERED = "answered"  # an answer had begun


class GatewayError(Exception):
    """A failure with its answer. `detail` is the client's sentence, `args` are the log's. retry_after: seconds that a
    client who gets a 503 is asked to wait."""

    status = 500
    retry_after = 5  # by then the ready set has been looked at again
    proxy_error = "proxy_internal_error"  # RFC 9209 section 2.3
    reach = Reach.UNSENT
    detail = "The gateway could not handle this request."

    def __init__(self, message: str = "", *, reach: Reach | None = None) -> None:
        super().__init__(message or self.detail)
        if reach is not None:
            self.reach = reach


# ---------------------------------------------------------------- what the client did


class BadRequest(GatewayError):
    """The request is malformed (RFC 9112) or asks for something a reverse proxy must not do."""

    status = 400
    proxy_error = "http_request_error"
    detail = "The request is malformed."


class Denied(GatewayError):
    status = 403
    proxy_error = "http_request_denied"
    detail = "Access to this resource is not allowed."


class NoRoute(GatewayError):
    status = 404
    proxy_error = "destination_not_found"
    detail = "Nothing is served at this address."


class MethodNotAllowed(GatewayError):
    status = 405
    proxy_error = "http_request_error"
    detail = "This method is not allowed here."


class RequestTimeout(GatewayError):
    """The client was too slow with its head or its body."""

    status = 408
    proxy_error = "http_request_error"
    detail = "The request took too long to arrive."


class BodyTooLarge(GatewayError):
    status = 413
    proxy_error = "http_request_error"
    detail = "The request body is larger than allowed."


class TargetTooLong(GatewayError):
    status = 414
    proxy_error = "http_request_error"
    detail = "The request target is longer than allowed."


class HeaderTooLarge(GatewayError):
    status = 431
    proxy_error = "http_request_error"
    detail = "The request header section is larger than allowed."


class UnsupportedCoding(GatewayError):
    status = 501
    proxy_error = "http_request_error"
    detail = "This transfer coding or method is not supported."


class VersionNotSupported(GatewayError):
    status = 505
    proxy_error = "http_request_error"
    detail = "This HTTP version is not supported."


class ClientGone(GatewayError):
    """The client closed before its answer was complete. 499 is for the log only; nobody reads it."""

    status = 499
    proxy_error = "connection_terminated"
    detail = "The client closed the connection."


# ---------------------------------------------------------------- what the target did


class TargetError(GatewayError):
    """A target or the way to it failed."""

    status = 502
    proxy_error = "destination_unavailable"
    detail = "The service behind this gateway is not available."


class NoTarget(TargetError):
    """No target of the upstream may be picked."""

    status = 503
    detail = "No server is available to answer this request."


class ConnectionLimitReached(TargetError):
    """Every connection is busy, and the queue for one was full or too slow; or no more requests are taken on."""

    status = 503
    retry_after = 1
    proxy_error = "connection_limit_reached"
    detail = "The service behind this gateway is busy."


class CircuitOpen(TargetError):
    """Most attempts on the upstream failed, and it is left alone for a while."""

    status = 503

    def __init__(self, message: str = "", *, reach: Reach | None = None, retry_after: int = 5) -> None:
        super().__init__(message, reach=reach)
        self.retry_after = retry_after


class ConnectionRefused(TargetError):
    proxy_error = "connection_refused"


class ConnectTimeout(TargetError):
    """No connection within `connect` seconds."""

    status = 504
    proxy_error = "connection_timeout"
    detail = "The service behind this gateway did not accept a connection in time."


class DnsError(TargetError):
    proxy_error = "dns_error"


class TlsError(TargetError):
    """The TLS handshake with the target failed."""

    proxy_error = "tls_protocol_error"


class TlsCertificateError(TlsError):
    """The target's certificate is not valid for its name, or not trusted."""

    proxy_error = "tls_certificate_error"


class ConnectionTerminated(TargetError):
    """The target closed before it answered."""

    proxy_error = "connection_terminated"
    reach = Reach.MAYBE_PROCESSED
    detail = "The service behind this gateway closed the connection without an answer."


class WriteTimeout(TargetError):
    """The target took no byte of the request for `write` seconds."""

    status = 504
    proxy_error = "connection_write_timeout"
    reach = Reach.MAYBE_PROCESSED
    detail = "The service behind this gateway did not take the request in time."


class FirstByteTimeout(TargetError):
    """The target took the request and sent no response head within `first_byte` seconds."""

    status = 504
    proxy_error = "http_response_timeout"
    reach = Reach.MAYBE_PROCESSED
    detail = "The service behind this gateway did not answer in time."


class ReadTimeout(TargetError):
    """The target's answer stalled for `read` seconds."""

    status = 504
    proxy_error = "connection_read_timeout"
    reach = Reach.ANSWERED
    detail = "The answer of the service behind this gateway stalled."


class TotalTimeout(FirstByteTimeout):
    """The exchange took longer than the route's `total`."""


class BadResponse(TargetError):
    """What the target sent is not HTTP/1.1, or not an answer to what was asked."""

    proxy_error = "http_protocol_error"
    reach = Reach.ANSWERED
    detail = "The service behind this gateway sent an invalid answer."


class ResponseHeaderTooLarge(BadResponse):
    proxy_error = "http_response_header_section_size"


class BadTransferCoding(BadResponse):
    proxy_error = "http_response_transfer_coding"


class IncompleteResponse(BadResponse):
    """The target closed, or broke the framing, inside its answer."""

    proxy_error = "http_response_incomplete"


class AnswerDeclined(TargetError):
    """An answer that another target is to give in place of this one. Clients see it only where none does after all."""

    reach = Reach.ANSWERED

    def __init__(self, message: str = "", *, reach: Reach | None = None, status: int = 502) -> None:
        super().__init__(message, reach=reach)
        self.status = status


class UpgradeFailed(TargetError):
    """A WebSocket handshake that the target answered wrongly."""

    proxy_error = "http_upgrade_failed"
    reach = Reach.ANSWERED

"""Answers and the error shapes of the three providers."""
import itertools
import json

GOOGLE_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
                 404: "NOT_FOUND", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
                 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
CLAUDE_TYPE = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
               404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
               500: "api_error", 503: "api_error", 529: "overloaded_error"}
SMALL = 65536
_ids = itertools.count(1)


class Answer:
    """status, headers and either a body or pieces.  length is None when the answer is chunked."""

    __slots__ = ("status", "headers", "body", "pieces", "length", "gap", "small")

    def __init__(self, status, content_type, body, more=()):
        self.status = status
        self.headers = (("Content-Type", content_type),) + tuple(more)
        self.body = body
        self.pieces = None
        self.length = len(body) if body is not None else None
        self.gap = 0.0
        self.small = False

    @classmethod
    def sized(cls, content_type, length, pieces):
        """A body of known length; a small one becomes plain bytes."""
        if length <= SMALL:
            return cls(200, content_type, b"".join(pieces))
        answer = cls(200, content_type, None)
        answer.length, answer.pieces = length, pieces
        return answer

    @classmethod
    def stream(cls, content_type, pieces, gap, size):
        answer = cls(200, content_type, None)
        answer.pieces, answer.gap, answer.small = pieces, gap, size <= SMALL
        return answer

    def framed(self):
        if self.length is None:
            return self.headers + (("Transfer-Encoding", "chunked"),)
        return self.headers + (("Content-Length", str(self.length)),)


def wire(piece):
    """PIECE as one chunk."""
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""


def json_answer(status, body, more=()):
    return Answer(status, "application/json; charset=UTF-8", body, more)


def google_error(code, message, reason=None, service=None, retry_after=None, retry_delay=None):
    error = {"code": code, "message": message, "status": GOOGLE_STATUS.get(code, "UNKNOWN")}
    details = []
    if reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
                        "domain": "googleapis.com", "metadata": {"service": service}})
    if retry_delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay})
    if details:
        error["details"] = details
    more = (("Retry-After", str(retry_after)),) if retry_after is not None else ()
    return json_answer(code, json.dumps({"error": error}, indent=2).encode() + b"\n", more)


def claude_error(code, message, retry_after=None):
    request_id = f"req_fake{next(_ids):08d}"
    body = {"type": "error", "error": {"type": CLAUDE_TYPE.get(code, "api_error"), "message": message},
            "request_id": request_id}
    more = [("request-id", request_id)]
    if retry_after is not None:
        more.append(("retry-after", str(retry_after)))
    return Answer(code, "application/json", json.dumps(body).encode(), more)

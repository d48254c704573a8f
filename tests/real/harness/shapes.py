"""Bodies of health endpoints as they are found in the wild, by framework: healthy, bad and malformed.

Each row: name, what the worker answers, and what must come of it. Written for this project after the formats' documents."""

import json

HEALTHY, WARNING, BAD, MALFORMED = "healthy", "warning", "bad", "malformed"
DRAFT = "application/health+json"
SPRING = "application/vnd.spring-boot.actuator.v3+json"


def _row(name, meaning, body, status=200, kind="application/json"):
    return name, meaning, {"body": body if isinstance(body, str) else json.dumps(body), "status": status, "type": kind}


ROWS = [
    _row("draft-pass", HEALTHY, {"status": "pass", "checks": {"queue:lag": [{"status": "pass", "observedValue": 3}]}}, kind=DRAFT),
    _row("draft-warn", WARNING, {"status": "warn", "output": "disk is filling"}, kind=DRAFT),
    _row("draft-fail", BAD, {"status": "fail", "output": "no database"}, 503, DRAFT),
    _row("spring-up", HEALTHY, {"status": "UP", "components": {"db": {"status": "UP", "details": {}}}}, kind=SPRING),
    _row("spring-down", BAD, {"status": "DOWN", "components": {"broker": {"status": "DOWN"}}}, 503, SPRING),
    _row("spring-out-of-service", BAD, {"status": "OUT_OF_SERVICE"}, 503, SPRING),
    _row("microprofile-up", HEALTHY, {"status": "UP", "checks": []}),
    _row("microprofile-down", BAD, {"status": "DOWN", "checks": [{"name": "first", "status": "DOWN"}]}, 503),
    _row("aspnet-healthy", HEALTHY, "Healthy", kind="text/plain"),
    _row("aspnet-degraded", WARNING, "Degraded", kind="text/plain"),
    _row("aspnet-unhealthy", BAD, "Unhealthy", 503, "text/plain"),
    _row("terminus-ok", HEALTHY, {"status": "ok", "info": {"db": {"status": "up"}}, "details": {"db": {"status": "up"}}}),
    _row("terminus-error", BAD, {"status": "error", "error": {"db": {"status": "down"}}}, 503),
    _row("hand-made-healthy", HEALTHY, {"status": "healthy", "worker": "running", "task_queue": "orders"}),
    _row("hand-made-ready", HEALTHY, {"status": "ready"}),
    _row("hand-made-is-alive", HEALTHY, {"is_alive": True}),
    _row("hand-made-no-workers", BAD, {"status": "no_workers", "components": {"workers": {"status": "no_workers", "count": 0}}}, 503),
    _row("hatchet-healthy", HEALTHY, {"status": "HEALTHY", "name": "w", "slots": 100, "actions": []}),
    _row("hatchet-unhealthy-under-200", BAD, {"status": "UNHEALTHY", "name": "w", "slots": 100, "actions": []}),
    _row("health-go-ok", HEALTHY, {"status": "OK", "failures": {}}),
    _row("health-go-partial", WARNING, {"status": "Partially Available", "failures": {"mongodb": "timeout"}}),
    _row("plain-ok", HEALTHY, "OK", kind="text/plain"),
    _row("plain-empty", HEALTHY, "", kind="text/plain"),
    _row("plain-503", BAD, "", 503, "text/plain"),
    _row("dropwizard-deadlocks", BAD, {"deadlocks": {"healthy": False, "message": "two threads"}}, 500),
    _row("broken-json", MALFORMED, '{"status": "heal'),
    _row("json-of-another-kind", MALFORMED, [1, 2, 3]),
    _row("status-of-another-type", MALFORMED, {"status": {"nested": ["x"]}}),
    _row("binary", MALFORMED, "\u0000\u0001\ufffd", kind="application/octet-stream"),
]

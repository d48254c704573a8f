"""Configurations of the exporter, as mappings. docs/config.md is the reference."""

import yaml


def config(*sources, fleets=(), **rest):
    """A whole configuration. Every fleet that a source or a target names is listed."""
    listed = {fleet["name"]: fleet for fleet in fleets}
    for source in sources:
        for holder in (source, *source.get("targets", ()), *source.get("workers", ())):
            if "fleet" in holder:
                listed.setdefault(holder["fleet"], {"name": holder["fleet"]})
    written = {"sources": list(sources), **rest}
    if listed:
        written["fleets"] = list(listed.values())
    return yaml.safe_dump(written, sort_keys=False)


def temporal(server, name="temporal", **keys):
    return {"name": name, "kind": "temporal", "address": server.address, "namespace": server.namespaces[0], **keys}


def redis(server, name="redis", fleet="beats", every="2s", timeout="1s", **keys):
    """Heartbeat keys. No record says how often its worker beats: it is learned, never faster than one looks."""
    return {"name": name, "kind": "redis", "address": server.url, "fleet": fleet, "timeout": timeout, "maximum_interval": every, **keys}


def celery(broker, name="celery", fleet="celery", **keys):
    """Celery workers on a broker. They say themselves how often they beat."""
    return {"name": name, "kind": "celery", "address": broker.url, "fleet": fleet, **keys}


def http(*workers, name="http", fleet="web", every="2s", timeout="1s", **keys):
    """Workers by address. Looked at every two seconds, so that a test need not wait for three misses of thirty."""
    targets = [{"id": worker.worker, "url": worker.url} for worker in workers]
    written = {"name": name, "kind": "http", "fleet": fleet, "timeout": timeout, "maximum_interval": every, **keys}
    if targets:
        written["targets"] = targets
    return written


def process(*workers, name="host", fleet="here", every="2s", timeout="1s", **keys):
    """Processes of this host: `process({"id": "mail-1", "pid": 7})`."""
    return {"name": name, "kind": "process", "fleet": fleet, "timeout": timeout, "maximum_interval": every, "workers": list(workers), **keys}

"""A worker that shows itself by a heartbeat key in Redis, and nothing else."""

import argparse
import datetime
import json
import signal
import sys
import time

import redis


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--ttl", type=float, default=10.0, help="seconds; 0 sets none")
    parser.add_argument("--stamp", choices=["epoch", "iso", "json"], default="epoch")
    parser.add_argument("--password", default="")
    parser.add_argument("--through", choices=["server", "cluster", "sentinel"], default="server", help="what listens on the port")
    parser.add_argument("--master", help="the name by which a Sentinel knows it")
    return parser.parse_args()


def connect(options):
    if options.through == "cluster":
        return redis.RedisCluster(host="127.0.0.1", port=options.port, socket_timeout=2)
    if options.through == "sentinel":
        return redis.Sentinel([("127.0.0.1", options.port)], socket_timeout=2).master_for(options.master, socket_timeout=2)
    return redis.Redis(port=options.port, socket_timeout=2, password=options.password or None)


def value(kind):
    if kind == "epoch":
        return f"{time.time():.3f}"
    iso = datetime.datetime.now(datetime.UTC).isoformat()
    return iso if kind == "iso" else json.dumps({"status": "healthy", "timestamp": iso})


def main():
    options = arguments()
    key = f"worker:{options.worker}:heartbeat"
    store = connect(options)

    def leave(*_):
        # A clean goodbye: the key goes before its time to live ran out.
        store.delete(key)
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    said = False
    while True:
        try:
            store.set(key, value(options.stamp), px=int(options.ttl * 1000) or None)
            if not said:
                print("beating")
                said = True
        except redis.RedisError as error:
            print(f"no beat: {error}")
        time.sleep(options.every)


main()

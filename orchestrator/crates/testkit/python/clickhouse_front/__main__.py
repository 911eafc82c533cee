"""python -m clickhouse_front --data DIR [--port 0] [--config-file FILE] [--log]

Prints one line `ready 127.0.0.1:PORT version=… pid=…` on standard output when it answers. Users and passwords come from
the variable CLICKHOUSE_FRONT_USERS, one `NAME:PASSWORD` a line; without it there is `default` without a password.
SIGTERM and SIGINT: finishes, closes the engine, exit code 0. kill -9: what was acknowledged is there at the next start.
"""

import argparse
import os
import signal
import threading

from .engine import Engine
from .handler import Server


def arguments():
    parser = argparse.ArgumentParser(prog="clickhouse_front", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the data; one process at a time")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--config-file", help="ClickHouse server settings (XML or YAML)")
    parser.add_argument("--log", action="store_true", help="one line per request on standard error")
    return parser.parse_args()


def users() -> dict[str, str]:
    lines = os.environ.pop("CLICKHOUSE_FRONT_USERS", "").splitlines()
    return dict(line.partition(":")[::2] for line in lines if line) or {"default": ""}


def main():
    given = arguments()
    os.makedirs(given.data, exist_ok=True)
    engine = Engine(os.path.abspath(given.data), given.config_file)
    server = Server((given.host, given.port), engine, users(), given.log)

    def stop(*_):
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"ready {given.host}:{server.server_address[1]} version={engine.version} pid={os.getpid()}", flush=True)
    server.serve_forever(poll_interval=0.1)
    engine.close()
    # The engine's own threads would be waited for.
    os._exit(0)


main()

"""The engine: one per process, many connections, some of them kept as sessions."""

import threading
import time

import chdb

from .errors import NAME_OF, ClickHouseError


class Engine:
    def __init__(self, path: str, config_file: str | None):
        self._where = path + (f"?config-file={config_file}" if config_file else "")
        self._first = chdb.connect(self._where)  # keeps the engine open
        self.version = self._ask("SELECT version()")
        self.timezone = self._ask("SELECT timezone()")
        names = self._ask(
            "SELECT number, errorCodeToName(number) FROM numbers(2000) WHERE errorCodeToName(number) != ''"
        )
        NAME_OF.update((int(code), name) for code, name in (line.split("\t") for line in names.splitlines()))
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], _Session] = {}
        threading.Thread(target=self._reap, daemon=True).start()

    def _ask(self, sql: str) -> str:
        return self._first.query(sql, "TabSeparated").bytes().decode().strip()

    def connect(self):
        """A connection of its own: a millisecond to open and close, truly parallel with others."""
        connection = chdb.connect(self._where)
        connection.query("SET implicit_select = 0", "Null")  # the server's default; the library's is 1
        return connection

    def take_session(self, user: str, name: str, timeout: int, must_exist: bool):
        with self._lock:
            session = self._sessions.get((user, name))
            if session is None:
                if must_exist:
                    raise ClickHouseError(372, "SESSION_NOT_FOUND", f"Session {name} not found")
                session = self._sessions[(user, name)] = _Session(self.connect())
            if not session.lock.acquire(blocking=False):
                raise ClickHouseError(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
            session.timeout = timeout
            return session

    def give_session(self, user: str, name: str, session, close: bool):
        session.deadline = time.monotonic() + session.timeout
        session.lock.release()
        if close:
            with self._lock:
                self._sessions.pop((user, name), None)
            session.connection.close()

    def _reap(self):
        """Closes sessions that nobody has used for their time."""
        while True:
            time.sleep(1)
            now = time.monotonic()
            with self._lock:
                idle = [key for key, session in self._sessions.items() if session.is_over(now)]
                dead = [self._sessions.pop(key) for key in idle]
            for session in dead:
                session.connection.close()

    def close(self):
        self._first.close()


class _Session:
    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()
        self.timeout = 60
        self.deadline: float | None = None

    def is_over(self, now: float) -> bool:
        return self.deadline is not None and self.deadline < now and self.lock.acquire(blocking=False)

"""HTTP: requests taken apart, statements run, answers and errors as the server gives them."""

import base64
import hmac
import json
import lzma
import re
import socket
import sys
import time
import urllib.parse
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zstandard

from . import codec, sql
from .errors import ClickHouseError, from_engine, not_implemented, readonly, syntax

_MAX_INSERT_TEXT = 1 << 20  # an INSERT's text before its data
_CHUNK = 1 << 20
_DRAIN = 64 << 20  # what is read of a refused body, so that the connection can be used again

_RESERVED = set(
    """query database default_format compress decompress user password quota_key query_id session_id session_timeout
    session_check close_session role stacktrace buffer_size wait_end_of_query client_protocol_version
    http_response_headers""".split()
)
# Settings that the server's HTTP interface carries out, and not its engine.
_HTTP_SETTINGS = set(
    """enable_http_compression http_zlib_compression_level send_progress_in_http_headers
    http_headers_progress_interval_ms cancel_http_readonly_queries_on_client_close
    http_native_compression_disable_checksumming_on_decompress http_write_exception_in_output_format
    http_wait_end_of_query http_response_buffer_size add_http_cors_header network_compression_method""".split()
)
_READING = set("SELECT WITH SHOW DESCRIBE DESC EXPLAIN EXISTS USE SET CHECK".split())
_MIME = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Parquet": "application/octet-stream",
}
# What a body that is not what its headers say makes the decoders raise.
_BROKEN_BODY = (zlib.error, zstandard.ZstdError, lzma.LZMAError, RuntimeError, EOFError, ValueError, OSError)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address, engine, users: dict[str, str], log: bool):
        super().__init__(address, Handler)
        self.engine, self.users, self.log = engine, users, log


def _on(parameters: dict[str, str], name: str) -> bool:
    return parameters.get(name, "0") not in ("0", "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouseFront"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300
    server: Server

    def log_message(self, *_):
        pass

    def version_string(self):
        return self.server_version

    def _log(self, *what):
        if self.server.log:
            print(*what, file=sys.stderr, flush=True)

    # ------------------------------------------------------------------ the request's body

    def _body(self):
        """Yields the body as it comes; `whole` says whether it was read to its end."""
        self.whole = False
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            yield from self._chunked()
        else:
            yield from self._exactly(int(self.headers.get("Content-Length") or 0))
        self.whole = True

    def _exactly(self, left: int):
        while left:
            part = self.rfile.read(min(left, _CHUNK))
            if not part:
                raise ConnectionError("the client went away")
            left -= len(part)
            yield part

    def _chunked(self):
        while True:
            line = self.rfile.readline(1024)
            if not line:
                raise ConnectionError("the client went away")
            size = int(line.split(b";")[0].strip(), 16)
            if size == 0:
                while self.rfile.readline(65536).strip():  # trailers
                    pass
                return
            yield from self._exactly(size)
            self.rfile.readline(16)

    def _drain(self) -> bool:
        left = _DRAIN
        try:
            for part in self.raw:
                left -= len(part)
                if left < 0:
                    break
        except (ConnectionError, OSError, ValueError):
            return False
        return self.whole

    # ------------------------------------------------------------------ answers

    def _answer(self, status: int, body: bytes = b"", headers=None):
        all_headers = {
            "X-ClickHouse-Server-Display-Name": "updraft-test",
            "X-ClickHouse-Timezone": self.server.engine.timezone,
            "Content-Type": "text/plain; charset=UTF-8",
            **(headers or {}),
        }
        if not self.whole and not self._drain():
            self.close_connection = True
            all_headers["Connection"] = "Close"
        self.send_response(status)
        for name, value in all_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        self._log(self.command, status, repr(self.path[:200]), len(body))

    def _fail(self, error: ClickHouseError, query_id: str):
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        self._log("error", error.code, error.text[:300])
        try:
            self._answer(error.status, error.body(self.server.engine.version), headers)
        except OSError:
            self.close_connection = True

    # ------------------------------------------------------------------ requests

    def do_GET(self):
        self.raw = self._body()
        self.whole = self.headers.get("Content-Length") in (None, "0") and not self.headers.get("Transfer-Encoding")
        url = urllib.parse.urlsplit(self.path)
        query_id = ""
        try:
            asks_nothing = url.path == "/" and self.command in ("GET", "HEAD") and not url.query
            if url.path in ("/ping", "/replicas_status") or asks_nothing:
                return self._answer(200, b"Ok.\n")
            if url.path not in ("/", ""):
                text = f"There is no handle {url.path}\n\nUse / or /ping for health checks.\n"
                return self._answer(404, text.encode())
            parameters = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            header = self.headers.get("X-ClickHouse-Query-Id")
            query_id = parameters.get("query_id") or header or str(uuid.uuid4())
            self._execute(parameters, query_id)
        except ClickHouseError as error:
            self._fail(error, query_id)
        except (ConnectionError, socket.timeout):
            self.close_connection = True
        except _BROKEN_BODY as error:
            if "Code:" in str(error):
                self._fail(from_engine(error), query_id)
            else:
                text = f"{type(error).__name__}: {error}"
                self._fail(ClickHouseError(271, "CANNOT_DECOMPRESS", text, 400), query_id)

    do_POST = do_HEAD = do_GET

    def do_OPTIONS(self):
        self.raw, self.whole = self._body(), self.headers.get("Content-Length") in (None, "0")
        self._answer(204)

    def _authenticate(self, parameters) -> str:
        def refused(text: str) -> ClickHouseError:
            return ClickHouseError(516, "AUTHENTICATION_FAILED", text)

        headers = self.headers
        basic = headers.get("Authorization", "")
        if headers.get("X-ClickHouse-User") is not None or headers.get("X-ClickHouse-Key") is not None:
            if basic:
                raise refused(
                    "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers"
                    " and other authentication methods simultaneously"
                )
            user, password = headers.get("X-ClickHouse-User") or "default", headers.get("X-ClickHouse-Key") or ""
        elif basic:
            kind, _, value = basic.partition(" ")
            if kind.lower() != "basic":
                raise refused(f"Invalid authentication: '{kind}' HTTP Authorization scheme is not supported")
            try:
                user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except ValueError:
                raise refused("Invalid authentication: bad Basic credentials") from None
        else:
            user, password = parameters.get("user", "default"), parameters.get("password", "")
        wanted = self.server.users.get(user)
        if wanted is None or not hmac.compare_digest(wanted.encode(), password.encode()):
            raise refused(
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            )
        return user

    def _execute(self, parameters, query_id: str):
        user = self._authenticate(parameters)
        chunks = self.raw
        decode = codec.content_decoder(self.headers.get("Content-Encoding"))
        if decode:
            chunks = decode(chunks)
        if _on(parameters, "decompress"):
            check = not _on(parameters, "http_native_compression_disable_checksumming_on_decompress")
            chunks = codec.frame_decode(chunks, check)
        content_type = self.headers.get("Content-Type", "")
        if content_type.lower().startswith("multipart/form-data"):
            parameters.update(_form_fields(content_type, b"".join(chunks)))
            chunks = iter(())
        engine, name = self.server.engine, parameters.get("session_id")
        if name:
            timeout = int(parameters.get("session_timeout", "60"))
            session = engine.take_session(user, name, timeout, _on(parameters, "session_check"))
            try:
                answer = self._run(session.connection, parameters, query_id, chunks, True)
            finally:
                engine.give_session(user, name, session, _on(parameters, "close_session"))
        else:
            connection = engine.connect()
            try:
                answer = self._run(connection, parameters, query_id, chunks, False)
            finally:
                connection.close()
        # Only now: the client's next request must find the session free.
        self._answer(*answer)

    def _run(self, connection, parameters, query_id: str, chunks, is_session: bool):
        """Sets what the request says, runs its statement, and in a session sets everything back."""

        def query(text: str, output: str = "TabSeparated"):
            try:
                return connection.query(text, output)
            except Exception as error:
                raise from_engine(error) from None

        if "role" in parameters:
            raise not_implemented("role= is not supported by this front")
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _RESERVED and name not in _HTTP_SETTINGS and not name.startswith("param_")
        }
        for name in settings:
            if not re.fullmatch(r"\w+", name):
                raise ClickHouseError(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
        restore = _restoring(query, [*settings, "log_comment"]) if is_session else []
        try:
            for name, value in settings.items():
                query(f"SET {name} = {sql.literal(value)}")
            if "log_comment" not in settings:
                query(f"SET log_comment = {sql.literal(query_id)}")
            for name, value in parameters.items():
                if name.startswith("param_"):
                    if not re.fullmatch(r"\w+", name):
                        raise ClickHouseError(36, "BAD_ARGUMENTS", f"Bad parameter name {name!r}")
                    query(f"SET {name} = {sql.literal(value)}")
            database = parameters.get("database") or self.headers.get("X-ClickHouse-Database")
            if database:
                query(f"USE {sql.identifier(database)}")
            return self._statement(connection, parameters, query_id, chunks, query)
        finally:
            for statement in restore:
                try:
                    connection.query(statement, "Null")
                except Exception:  # the session goes on with the setting that it has
                    pass

    def _statement(self, connection, parameters, query_id: str, chunks, query):
        started = time.monotonic()
        given = parameters.get("query", "").encode()
        text = head = given + b"\n" if given else b""
        # Enough of the text to know what it is: an insert's data are not read into memory.
        while True:
            try:
                insert = sql.split_insert(text)
            except UnicodeDecodeError:
                raise syntax("Query text is not UTF-8") from None
            if insert and insert[1] is not None and (given or insert[2] < len(text)):
                break
            if insert and len(text) > _MAX_INSERT_TEXT:
                raise syntax("INSERT text too long")
            more = next(chunks, None)
            if more is None:
                break
            text += more
        if not text.strip():
            raise syntax("Empty query")
        named = parameters.get("default_format") or self.headers.get("X-ClickHouse-Format")
        if insert and (insert[1] is not None or text[len(head) :].strip()):
            statement, input_format, at = insert
            if input_format is None:
                if not named:
                    raise syntax("INSERT with data but no FORMAT")
                statement, input_format, at = head.decode(), named, len(head)
            if self.command == "GET":
                raise readonly()
            return _insert(connection, statement, input_format, text[at:], chunks, query_id, started)
        try:
            statement = sql.single((text + b"".join(chunks)).decode()).strip()
        except UnicodeDecodeError:
            raise syntax("Query text is not UTF-8") from None
        word = sql.first_word(statement)
        if self.command != "POST" and word not in _READING:
            raise readonly()
        if word == "KILL":
            statement = sql.kill_by_comment(statement)
        output = sql.output_format(statement, named or "TabSeparated")
        result = query(statement, output)
        body = result.bytes() or b""
        read = (result.storage_rows_read(), result.storage_bytes_read())
        written = (result.rows_written(), result.bytes_written())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Format": output,
            "X-ClickHouse-Summary": _summary(read, written, (result.rows_read(), len(body)), started),
            "Content-Type": _MIME.get(output, "text/plain; charset=UTF-8"),
        }
        if _on(parameters, "compress"):
            body = codec.frame_encode(body)
        elif _on(parameters, "enable_http_compression"):
            encoding, body = codec.content_encode(self.headers.get("Accept-Encoding"), body)
            if encoding:
                headers["Content-Encoding"] = encoding
        return 200, body, headers


def _restoring(query, names):
    """Statements that set a session's settings back."""
    wanted = ",".join(sql.literal(name) for name in names)
    rows = query(
        f"SELECT name, value, changed FROM system.settings WHERE name IN ({wanted}) FORMAT JSONCompactEachRow"
    ).bytes()
    statements = []
    for line in (rows or b"").decode().splitlines():
        name, value, changed = json.loads(line)
        statements.append(f"SET {name} = {sql.literal(value) if changed else 'DEFAULT'}")
    return statements


def _insert(connection, statement, input_format, first: bytes, chunks, query_id, started):
    insert = None
    try:
        insert = connection.send_insert(statement, input_format)
        if first:
            insert.append(first)
        for chunk in chunks:
            if chunk:
                insert.append(chunk)
        result = insert.finish()
    except BaseException as error:
        # Reading or decoding failed, or the engine refuses: nothing of the block that is open lands.
        try:
            if insert is not None:
                insert.cancel()
        except Exception:  # it is cancelled already
            pass
        if isinstance(error, Exception) and "Code:" in str(error) and not isinstance(error, ClickHouseError):
            raise from_engine(error) from None
        raise
    written = (result.rows_written, result.bytes_written)
    return 200, b"", {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Format": input_format,
        "X-ClickHouse-Summary": _summary((0, 0), written, (result.rows_written, 0), started),
    }


def _summary(read, written, result, started) -> str:
    """Rows and bytes of each, as text, as the server does."""
    values = {
        "read_rows": read[0] or written[0],
        "read_bytes": read[1] or written[1],
        "written_rows": written[0],
        "written_bytes": written[1],
        "total_rows_to_read": 0,
        "result_rows": result[0],
        "result_bytes": result[1],
        "elapsed_ns": int((time.monotonic() - started) * 1e9),
    }
    return json.dumps({name: str(value) for name, value in values.items()}, separators=(",", ":"))


def _form_fields(content_type: str, data: bytes) -> dict[str, str]:
    """The fields of a form; external tables are refused."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if not boundary:
        raise ClickHouseError(36, "BAD_ARGUMENTS", "multipart/form-data without boundary")
    fields = {}
    for part in data.split(b"--" + boundary.group(1).encode())[1:-1]:
        head, _, value = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if not name:
            continue
        if re.search(rb"filename=", head, re.I):
            raise not_implemented("External data tables are not supported by this front")
        fields[name.group(1).decode()] = value[:-2].decode()
    return fields

"""Checks clickhouse_front against the engine: python clickhouse_front_check.py DATA_FOLDER (with PYTHONPATH set).

What a client of a ClickHouse server relies on: storage engines, inserts, encodings, errors, sessions, concurrency, and
what is left after kill -9. Ends with the line `all checks passed`.
"""

import atexit
import base64
import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import lz4.frame
import zstandard


class Front:
    """The program under check, on one data folder."""

    def __init__(self, data: str):
        self.data = data
        self.start()
        atexit.register(lambda: self.process.poll() is None and self.process.kill())

    @staticmethod
    def command(data: str) -> list[str]:
        return [sys.executable, "-m", "clickhouse_front", "--data", data]

    def start(self):
        began = time.time()
        environment = os.environ | {"CLICKHOUSE_FRONT_USERS": "default:\nu:p"}
        self.process = subprocess.Popen(
            self.command(self.data), stdout=subprocess.PIPE, text=True, env=environment
        )
        line = self.process.stdout.readline().split()
        assert line and line[0] == "ready", line
        self.base = "http://" + line[1]
        print(f"ready after {time.time() - began:.2f} s")

    def request(self, sql: str, body=None, method="POST", headers={}, **parameters):
        """With a body, `sql` goes into the address."""
        if body is not None:
            parameters["query"] = sql
        data = (sql.encode() if body is None else body) if method == "POST" else None
        url = f"{self.base}/?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def ok(self, sql: str, body=None, **more) -> str:
        status, answer, _ = self.request(sql, body, **more)
        assert status == 200, (status, sql[:200], answer[:500])
        return answer.decode("utf-8", "replace").strip()

    def error(self, sql: str, status: int, code: int, body=None, **more):
        found, answer, headers = self.request(sql, body, **more)
        expected = (status, str(code))
        assert (found, headers.get("X-ClickHouse-Exception-Code")) == expected, (sql, found, expected, answer[:300])


def equal(found, expected):
    assert found == expected, (found, expected)


def storage(ch: Front):
    ch.ok("create database t1")
    ch.ok(
        "create table t1.ev (d Date, ts DateTime, id UInt64, v Float64) engine=MergeTree partition by toYYYYMM(d)"
        " order by (id, ts) ttl d + interval 30 day settings merge_with_ttl_timeout=1"
    )
    ch.ok("insert into t1.ev select today() - number % 90, now(), number, number from numbers(9000)")
    # A merge of its own may have dropped rows before this one.
    ch.ok("optimize table t1.ev final")
    assert int(ch.ok("select count() from t1.ev")) < 9000, "the time to live has dropped nothing"
    ch.ok(
        "create table t1.agg (d Date, n AggregateFunction(count), u AggregateFunction(uniq, UInt64),"
        " s AggregateFunction(sum, Float64)) engine=AggregatingMergeTree order by d"
    )
    ch.ok(
        "create materialized view t1.mv to t1.agg as"
        " select d, countState() n, uniqState(id) u, sumState(v) s from t1.ev group by d"
    )
    day = time.strftime("%Y-%m-%d")
    rows = " ".join(json.dumps({"d": day, "ts": "2024-01-01 00:00:00", "id": i, "v": 1.5}) for i in range(100))
    for _ in range(3):
        ch.ok("insert into t1.ev format JSONEachRow " + rows)
    equal(ch.ok("select countMerge(n), uniqMerge(u), sumMerge(s) from t1.agg"), "300\t100\t450")
    ch.ok("create table t1.rep (k UInt32, ver UInt32, v String) engine=ReplacingMergeTree(ver) order by k")
    ch.ok("insert into t1.rep values (1,1,'a'),(2,1,'b')")
    ch.ok("insert into t1.rep values (1,2,'c')")
    equal(ch.ok("select k, v from t1.rep final order by k"), "1\tc\n2\tb")


def inserts(ch: Front):
    # Without the window on the table a token is silently without effect.
    ch.ok("create table t1.dd0 (a UInt64) engine=MergeTree order by a")
    ch.ok("create table t1.dd (a UInt64) engine=MergeTree order by a settings non_replicated_deduplication_window=100")
    for token in ("x", "x", "y"):
        for table in ("dd0", "dd"):
            ch.ok(f"insert into t1.{table} format CSV", b"1\n2\n", insert_deduplication_token=token)
    equal((ch.ok("select count() from t1.dd0"), ch.ok("select count() from t1.dd")), ("6", "4"))
    ch.ok("create table t1.en (a UInt64, s String) engine=MergeTree order by a")
    csv = "insert into t1.en format CSV"
    encoders = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress}
    encoders["zstd"] = zstandard.ZstdCompressor().compress
    ch.ok(csv, b"1,async\n", async_insert="1", wait_for_async_insert="1")
    for i, (name, encode) in enumerate(encoders.items(), 2):
        ch.ok(csv, encode(b"%d,%s\n" % (i, name.encode())), headers={"Content-Encoding": name})
        # Two members in one stream.
        both = encode(b"%d,a\n" % (i + 10)) + encode(b"%d,b\n" % (i + 20))
        ch.ok(csv, both, headers={"Content-Encoding": name})
    ch.ok("", b"insert into t1.en format RowBinary\n" + struct.pack("<Q", 6) + b"\x02rb")
    ch.ok("insert into t1.en (s, a) format JSONCompactEachRow", b'["js", 7]\n')
    found = ch.ok("select a, s from t1.en where a < 10 order by a")
    equal(found, "1\tasync\n2\tgzip\n3\tdeflate\n4\tlz4\n5\tzstd\n6\trb\n7\tjs")
    equal(ch.ok("select count() from t1.en"), "15")
    # Cut short or broken: refused, and nothing of it lands.
    many = b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(1000, 3000))
    codes = {"gzip": 354, "deflate": 354, "lz4": 546, "zstd": 562}
    for name, encode in encoders.items():
        ch.error(csv, 500, codes[name], encode(many)[:-9], headers={"Content-Encoding": name})
    ch.error(csv, 501, 48, b"x", headers={"Content-Encoding": "br"})
    ch.error(csv, 500, 271, b"x" * 60, decompress="1")
    ch.error(csv, 400, 27, b"1,a\nnonsense\n")
    equal(ch.ok("select count() from t1.en"), "15")
    _, body, headers = ch.request(
        "select number from numbers(3)", headers={"Accept-Encoding": "gzip"}, enable_http_compression="1"
    )
    equal((headers["Content-Encoding"], gzip.decompress(body)), ("gzip", b"0\n1\n2\n"))


def errors(ch: Front):
    ch.error("select * from nope", 404, 60)
    ch.error("selec", 400, 62)
    ch.error("select nofun(1)", 404, 46)
    ch.error("select 1; select 2", 400, 62)
    ch.error("select toUInt8('x')", 400, 6)
    ch.error("insert into t1.nope values (1)", 404, 60)
    ch.error("select 1", 404, 115, nosuch="1")
    ch.error("select 1", 404, 81, database="nodb")
    ch.ok("create table t1.ar (a Array(UInt8)) engine=MergeTree order by a")
    ch.error("insert into t1.ar values (1)", 400, 53)
    ch.error("create table t1.ar (a UInt8) engine=MergeTree order by a", 500, 57)
    ch.error("select throwIf(1)", 500, 395)
    ch.error("select sleep(3)", 408, 159, max_execution_time="1")
    ch.error("", 500, 164, method="GET", query="drop table t1.ar")
    equal(ch.request("", method="GET", query="select 7")[1], b"7\n")


def users(ch: Front):
    def basic(pair: bytes):
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}

    ch.error("select 1", 403, 516, headers={"X-ClickHouse-User": "u", "X-ClickHouse-Key": "bad"})
    ch.error("select 1", 403, 516, headers=basic(b"u:bad"))
    ch.error("select 1", 403, 516, user="nobody")
    equal(ch.ok("select 1", headers=basic(b"u:p")), "1")
    with open(f"/proc/{ch.process.pid}/cmdline", "rb") as file:
        assert b"u:p" not in file.read(), "a password is seen by everybody"


def parameters_and_sessions(ch: Front):
    found = ch.ok(
        "select {a:String}, {b:Array(UInt8)}, {c:Nullable(String)}",
        param_a="it's\\t\\\\",
        param_b="[1,2]",
        param_c="\\N",
    )
    equal(found, "it\\'s\\t\\\\\t[1,2]\t\\N")
    equal(ch.ok("select getSetting('max_threads')", max_threads="1"), "1")
    ch.ok("create temporary table tmp (a UInt8)", session_id="s1")
    ch.ok("insert into tmp values (1)", session_id="s1")
    equal(ch.ok("select count() from tmp", session_id="s1"), "1")
    ch.error("select * from tmp", 404, 60)
    ch.error("select 1", 500, 372, session_id="never", session_check="1")
    ch.ok("select 1", session_id="s1", max_threads="1")
    assert ch.ok("select getSetting('max_threads')", session_id="s1") != "1", "a setting of one request stays"
    sleeper = threading.Thread(target=lambda: ch.request("select sleep(2)", session_id="s2"))
    sleeper.start()
    time.sleep(0.5)
    ch.error("select 1", 500, 373, session_id="s2")
    sleeper.join()
    equal(ch.request("select 1", query_id="my-id")[2]["X-ClickHouse-Query-Id"], "my-id")
    _, _, headers = ch.request("insert into t1.en select number, toString(number) from numbers(1000)")
    equal(json.loads(headers["X-ClickHouse-Summary"])["written_rows"], "1000")


def kill(ch: Front):
    for parameters, condition in (
        ({"query_id": "kill-me"}, "query_id = 'kill-me'"),
        ({"log_comment": "attempt-7"}, "Settings['log_comment'] = 'attempt-7'"),
    ):
        found = []
        endless = "select count() from numbers(1000000000000) where cityHash64(number)=1"
        runner = threading.Thread(target=lambda: found.append(ch.request(endless, **parameters)))
        runner.start()
        while ch.ok("select count() from system.processes where query like '%1000000000000%'") == "1":
            time.sleep(0.05)  # only the question itself is there
        ch.ok(f"kill query where {condition} sync")
        runner.join(20)
        equal((found[0][0], found[0][2]["X-ClickHouse-Exception-Code"]), (500, "394"))


def load(ch: Front):
    ch.ok("create table t1.c (c UInt8, i UInt64, s String) engine=MergeTree order by (c, i)")
    began = time.time()

    def write(k: int):
        for j in range(25):
            rows = b"".join(b"%d,%d,%s\n" % (k, j * 1000 + i, b"x" * 20) for i in range(1000))
            ch.ok("insert into t1.c format CSV", rows)

    writers = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    equal(ch.ok("select count(), uniqExact(c, i) from t1.c"), "100000\t100000")
    print(f"4 writers, 100 inserts of 1,000 rows: {time.time() - began:.2f} s")
    began = time.time()
    rows = b"".join(b"9,%d,%s\n" % (i, b"y" * 30) for i in range(1_000_000))
    ch.ok("insert into t1.c format CSV", rows)
    print(f"one insert of 1,000,000 rows (CSV): {time.time() - began:.2f} s")
    with open(f"/proc/{ch.process.pid}/status") as file:
        print("memory", [line.split()[1] for line in file if line.startswith(("VmRSS", "VmHWM"))], "kB")


def crash(ch: Front):
    """A second process on the same data is refused; after kill -9 what was acknowledged is there, once."""
    second = subprocess.run(Front.command(ch.data), capture_output=True, text=True, timeout=60)
    assert second.returncode != 0 and "Cannot lock file" in second.stderr, second
    ch.ok("create table t1.k (i UInt64) engine=MergeTree order by i settings non_replicated_deduplication_window=1000")
    acknowledged = []

    def batch(i: int):
        rows = b"".join(b"%d\n" % (i * 10 + j) for j in range(10))
        return ch.request("insert into t1.k format CSV", rows, insert_deduplication_token=f"b{i}")[0]

    def write():
        i = 0
        try:
            while batch(i) == 200:
                acknowledged.append(i)
                i += 1
        except OSError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 20:
        time.sleep(0.01)
    os.kill(ch.process.pid, signal.SIGKILL)
    ch.process.wait()
    writer.join()
    ch.start()
    rows, last = int(ch.ok("select count() from t1.k")), len(acknowledged)
    assert last * 10 <= rows <= last * 10 + 10, (rows, last)
    equal(batch(last), 200)  # the open batch again: no double
    equal(ch.ok("select count(), uniqExact(i) from t1.k"), f"{(last + 1) * 10}\t{(last + 1) * 10}")
    equal(ch.ok("select countMerge(n) from t1.agg"), "300")


def main():
    ch = Front(sys.argv[1])
    for check in (storage, inserts, errors, users, parameters_and_sessions, kill, load, crash):
        began = time.time()
        check(ch)
        print(f"{check.__name__}: ok, {time.time() - began:.1f} s", flush=True)
    ch.process.send_signal(signal.SIGTERM)
    equal(ch.process.wait(20), 0)
    print("all checks passed")


main()

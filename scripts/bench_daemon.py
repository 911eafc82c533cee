"""Measures `updraft dev` as it stands about: cold start, idling, how soon an edited file is live, and a folder of 10,000 files.

    python3 scripts/bench_daemon.py target/release/updraft

Prints a table for docs/benchmarks.md. Works in a folder of its own under TMPDIR, listens on loopback, needs only Python.
"""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

WORKFLOWS = 1_000
MANY = 10_000
STARTS = 5
EDITS = 20
IDLE_S = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Fires once a year: nothing runs while it is measured.
FILE = """id: w{number:05}
description: {text}
schedule: "0 0 1 1 *"
tags: [bench]
tasks:
  - {{ id: first, type: command, with: {{ argv: [echo, "{number}"] }} }}
  - {{ id: second, type: command, depends_on: first, with: {{ argv: [echo, done] }} }}
"""


class Daemon:
    """A running `updraft dev`; `started` is how long it took to serve."""

    def __init__(self, updraft, folder):
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [updraft, "-C", folder, "dev", "--json", "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        first = self.process.stdout.readline()
        self.started = time.monotonic() - begun
        if not first:
            sys.exit("updraft dev did not start: run it by hand to see why")
        self.url = json.loads(first)["url"]
        made = subprocess.run(
            [updraft, "-C", folder, "--json", "tokens", "create", "--name", "bench", "--role", "viewer"],
            check=True,
            capture_output=True,
            text=True,
        )
        self.token = json.loads(made.stdout)["token"]

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def commits(self):
        lines = self.get("/metrics").decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("updraft_store_commits_total{"))

    def cpu_s(self):
        # Behind the name in brackets: utime and stime are fields 14 and 15.
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def anonymous_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon:"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            sys.exit("updraft dev did not end well")


def write(folder, number, text):
    """As careful editors do: whole or not at all."""
    path = folder / f"w{number:05}.yaml"
    part = path.with_suffix(".part")
    part.write_text(FILE.format(number=number, text=text))
    part.rename(path)


def project_of(top, name, workflows):
    """A project with so many workflow files, and the folder that they are in."""
    project = pathlib.Path(top, name)
    folder = project / "workflows"
    folder.mkdir(parents=True)
    for number in range(workflows):
        write(folder, number, "first")
    return project, folder


def started(updraft, project):
    """How long a daemon takes to serve; it is ended again."""
    daemon = Daemon(updraft, project)
    daemon.stop()
    return daemon.started


def edit_until_live(daemon, folder, number, text):
    """From the rename until the API answers with the new content."""
    path = f"/api/v1/workflows/w{number:05}"
    write(folder, number, text)
    begun = time.monotonic()
    while json.loads(daemon.get(path))["description"] != text:
        if time.monotonic() - begun > 30:
            sys.exit("an edited file is not live after 30 s")
        time.sleep(0.001)
    return time.monotonic() - begun


def ms(seconds):
    return f"{seconds * 1000:.0f} ms"


def main():
    updraft = os.path.abspath(sys.argv[1])
    rows = []
    with tempfile.TemporaryDirectory(prefix="updraft-bench-") as top:
        project, folder = project_of(top, "thousand", WORKFLOWS)
        anew = ms(started(updraft, project))
        rows.append((f"{WORKFLOWS:,} workflows, start to serving, all published anew", anew, ""))
        starts = [started(updraft, project) for _ in range(STARTS)]
        middle, worst = ms(statistics.median(starts)), ms(max(starts))
        rows.append((f"the same, unchanged: median and worst of {STARTS} starts", f"{middle}, {worst}", "≤ 200 ms"))

        daemon = Daemon(updraft, project)
        time.sleep(10)
        commits, cpu = daemon.commits(), daemon.cpu_s()
        time.sleep(IDLE_S)
        share = (daemon.cpu_s() - cpu) / IDLE_S * 100
        commits = daemon.commits() - commits
        rows.append((f"idle with {WORKFLOWS:,} workflows: RssAnon", f"{daemon.anonymous_mb():.1f} MB", "≤ 40 MB"))
        rows.append((f"the same, over {IDLE_S} s: processor", f"{share:.2f} % of a core", "≤ 0.2 %"))
        rows.append((f"the same: commits in {IDLE_S} s", f"{commits:.0f}", ""))

        edits = [edit_until_live(daemon, folder, number, f"edit {number}") for number in range(EDITS)]
        middle, worst = ms(statistics.median(edits)), ms(max(edits))
        rows.append((f"an edited file is live: median and worst of {EDITS}", f"{middle}, {worst}", "≤ 100 ms"))
        daemon.stop()

        project, _ = project_of(top, "many", MANY)
        anew = ms(started(updraft, project))
        rows.append((f"{MANY:,} workflows, start to serving, all published anew", anew, "≤ 2 s"))
        rows.append(("the same, unchanged", ms(started(updraft, project)), ""))

    print("| what | figure | budget |")
    print("|---|--:|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


main()

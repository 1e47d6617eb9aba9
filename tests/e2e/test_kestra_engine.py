"""Expressions beside Kestra's own engine, where one is installed (KESTRA_TOOLS: the folder of kestra-engine)."""

import json
import os
import pathlib
import re
import subprocess
import time
import unittest
import urllib.request

from sluice import Case

ROOT = pathlib.Path(__file__).resolve().parents[2]
STARTER = pathlib.Path(os.environ.get("KESTRA_TOOLS", ROOT.parent / "shared" / "tools")) / "kestra-engine"
INSTALLED = pathlib.Path(os.environ.get("K", "/var/tmp/kestra-engine"), "classes", "local", "Engine.class")
API = "http://127.0.0.1:18090/api/v1/main"


def flow(expressions):
    tasks = [{"id": f"t{i}", "type": "io.kestra.plugin.core.debug.Return", "format": e, "allowFailure": True} for i, e in expressions.items()]
    return "id: expressions\nnamespace: t\nvariables: {t: '{{ 2 + 3 }}'}\ntasks: " + json.dumps(tasks) + "\n"


def call(method, path, body=None):
    request = urllib.request.Request(API + path, method=method, data=body, headers={"Content-Type": "application/x-yaml"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@unittest.skipUnless(STARTER.exists() and INSTALLED.exists(), "SKIPPED: no Kestra engine is installed here (KESTRA_TOOLS: the folder of kestra-engine)")
class Engine(Case):
    def theirs(self, expressions):
        env = {**os.environ, "PORT": "18090"}
        subprocess.run([STARTER, "start"], env=env, check=True)
        self.addCleanup(subprocess.run, [STARTER, "stop"], env=env, check=True)
        subprocess.run([STARTER, "ready"], env=env, check=True, stdout=subprocess.DEVNULL)
        call("POST", "/flows", flow(expressions).encode())
        id, end = call("POST", "/executions/t/expressions", b"")["id"], time.monotonic() + 300
        while (x := call("GET", f"/executions/{id}"))["state"]["current"] in ("CREATED", "RUNNING") and time.monotonic() < end:
            time.sleep(0.5)
        return {int(r["taskId"][1:]): (r.get("outputs") or {}).get("value") for r in x["taskRunList"] if r["state"]["current"] == "SUCCESS"}

    def ours(self, expressions):
        """Without those that are refused, which is how they fail here."""
        left = dict(expressions)
        while True:
            done = self.flow(flow(left), "--output", "json")
            refused = {int(i) for i in re.findall(r"task 't(\d+)'", done.err)} if not done.out else set()
            if not refused:
                return {int(r["id"][1:]): r["outputs"]["value"] for r in json.loads(done.out.splitlines()[-1])["taskRuns"] if r["state"] == "SUCCESS"}
            left = {i: e for i, e in left.items() if i not in refused}

    def test_expressions(self):
        lines = [line for line in (ROOT / "tests" / "data" / "engine" / "expressions.list").read_text().splitlines() if line and not line.startswith("#")]
        expressions = {i: line.removeprefix("~ ") for i, line in enumerate(lines)}
        theirs, ours = self.theirs(expressions), self.ours(expressions)
        self.assertGreater(len(theirs), 200)
        wrong = [f"{line}\n  Kestra: {theirs.get(i)!r}\n  Sluice: {ours.get(i)!r}" for i, line in enumerate(lines) if (theirs.get(i) == ours.get(i)) == line.startswith("~ ")]
        self.assertEqual(wrong, [], "\n".join(wrong))

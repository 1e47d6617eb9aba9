"""Expressions and flows beside Kestra's own engine, where one is installed (KESTRA_TOOLS: the folder of kestra-engine)."""

import json
import os
import pathlib
import random
import re
import subprocess
import time
import unittest
import urllib.request

import generated
from server import Server
from sluice import Case

ROOT = pathlib.Path(__file__).resolve().parents[2]
STARTER = pathlib.Path(os.environ.get("KESTRA_TOOLS", ROOT.parent / "shared" / "tools")) / "kestra-engine"
INSTALLED = pathlib.Path(os.environ.get("K", "/var/tmp/kestra-engine"), "classes", "local", "Engine.class")
RECORD = ROOT / "tests" / "data" / "engine" / "flows.json" # what the engine (1.3.31) made of flows.yaml
MADE = ROOT / "tests" / "data" / "engine" / "generated.json" # and of the first of the flows of generated.py
API = "http://127.0.0.1:18090/api/v1/main"


def flow(expressions):
    tasks = [{"id": f"t{i}", "type": "io.kestra.plugin.core.debug.Return", "format": e, "allowFailure": True} for i, e in expressions.items()]
    return "id: expressions\nnamespace: t\nvariables: {t: '{{ 2 + 3 }}'}\ntasks: " + json.dumps(tasks) + "\n"


def call(method, path, body=None):
    request = urllib.request.Request(API + path, method=method, data=body, headers={"Content-Type": "application/x-yaml"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def flows_of():
    texts = (ROOT / "tests" / "data" / "engine" / "flows.yaml").read_text().split("\n---\n")
    return {re.search(r"^id: (\w+)$", t, re.M).group(1): t for t in texts}


def differs(text):
    return "\ndescription: \"~" in text


def plain(v):
    """Without what differs from run to run, and what is nothing; the key under which state is kept has another form."""
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items() if x is not None and k not in ("executionId", "on", "key")}
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, str):
        v = re.sub(r"/[^/ ]*$", "/FILE", v) if v.startswith("kestra:") else v
        return re.sub(r"[0-9A-Za-z]{20,23}", "ID", v)
    return v


def write(path, shapes):
    path.write_text("{\n" + ",\n".join(f"{json.dumps(str(k))}: {json.dumps(v, ensure_ascii=False, sort_keys=True)}" for k, v in shapes.items()) + "\n}\n")


def shape(x):
    """State, task runs and outputs: of several rounds the last, of a loop's values (which may run at once) the greatest; values as they belong to the loop's own tasks."""
    by_id = {r["id"]: r for r in x.get("taskRunList") or []}
    runs = {}
    for r in sorted(by_id.values(), key=lambda r: by_id.get(r.get("parentTaskRunId"), {}).get("value") or ""):
        parent = by_id.get(r.get("parentTaskRunId"), {})
        value = r.get("value") if r.get("value") != parent.get("value") else None
        runs[" ".join(filter(None, (r["taskId"], value, parent.get("taskId") and f"in {parent['taskId']}")))] = [r["state"]["current"], plain(r.get("outputs") or {})]
    labels = sorted([e["key"], e["value"]] for e in x.get("labels") or [] if not e["key"].startswith("system."))
    return {"state": x["state"]["current"], "runs": runs, "inputs": plain(x.get("inputs") or {}), "outputs": plain(x.get("outputs") or {}), "labels": labels}


def differences(theirs, ours):
    said = [f"  {k}: Kestra {theirs[k]!r}, Sluice {ours[k]!r}" for k in theirs if k != "runs" and theirs[k] != ours[k]]
    for k in sorted({*theirs["runs"], *ours["runs"]}):
        a, b = theirs["runs"].get(k), ours["runs"].get(k)
        if a != b:
            said.append(f"  {k}: Kestra {a}, Sluice {b}")
    return said


def settled(get, id, pause=0.7, seconds=60):
    """afterExecution comes after the end: it has come when nothing changes any more."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        x = get(f"/executions/{id}")
        over = x["state"]["current"] in ("SUCCESS", "FAILED", "WARNING", "KILLED", "CANCELLED")
        if over and all(r["state"]["current"] not in ("CREATED", "RUNNING", "SUBMITTED") for r in x.get("taskRunList") or []) and shape(x) == last:
            return x
        last = shape(x) if over else None
        time.sleep(pause)
    return x


@unittest.skipUnless(STARTER.exists() and INSTALLED.exists(), "SKIPPED: no Kestra engine is installed here (KESTRA_TOOLS: the folder of kestra-engine)")
class Engine(Case):
    @classmethod
    def setUpClass(cls):
        env = {**os.environ, "PORT": "18090"}
        subprocess.run([STARTER, "start"], env=env, check=True)
        cls.addClassCleanup(subprocess.run, [STARTER, "stop"], env=env, check=True)
        subprocess.run([STARTER, "ready"], env=env, check=True, stdout=subprocess.DEVNULL)

    def theirs(self, expressions):
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

    def test_flows(self):
        flows = flows_of()
        for t in flows.values():
            call("POST", "/flows", t.encode())
        ids = {name: call("POST", f"/executions/t/{name}", b"")["id"] for name in flows}
        shapes = {name: shape(settled(lambda path: call("GET", path), id)) for name, id in ids.items()}
        if os.environ.get("SLUICE_RECORD"):
            write(RECORD, shapes)
        recorded = json.loads(RECORD.read_text())
        wrong = {name: found for name in flows if not differs(flows[name]) and (found := differences(shapes[name], recorded[name]))}
        self.assertEqual(wrong, {}, "the engine is not what was recorded (SLUICE_RECORD=1 records it anew)")

    def test_generated_flows(self):
        """Those that are recorded; others each time, beside ours."""
        recorded = json.loads(MADE.read_text())
        first = random.randrange(1000, 1 << 30)
        print(f"flows {first} to {first + 39}", flush=True)
        with Server(self) as s:
            for numbers in (range(len(recorded)), range(first, first + 40)):
                ids = {}
                for i in numbers:
                    call("POST", "/flows", generated.flow(i).encode())
                    s.flow(generated.flow(i))
                    ids[i] = call("POST", f"/executions/t/made{i}", b"")["id"], s.run("t", f"made{i}", wait=False)["id"]
                theirs = {i: shape(settled(lambda path: call("GET", path), id)) for i, (id, _) in ids.items()}
                ours = {i: shape(settled(lambda path: s.get(path).json, id, 0.1)) for i, (_, id) in ids.items()}
                if numbers.start == 0 and os.environ.get("SLUICE_RECORD"):
                    write(MADE, theirs)
                wrong = {i: found for i in numbers if (found := differences(theirs[i], ours[i]))}
                self.assertEqual(wrong, {})


class Flows(Case):
    """The same flows here, beside what the engine was recorded to make of them: in every run."""

    def test_flows(self):
        flows, recorded = flows_of(), json.loads(RECORD.read_text())
        self.assertGreater(len(flows), 60)
        with Server(self) as s:
            for t in flows.values():
                s.flow(t)
            ids = {name: s.run("t", name, wait=False)["id"] for name in flows}
            wrong = []
            for name, id in ids.items():
                found = differences(recorded[name], shape(settled(lambda path: s.get(path).json, id, 0.1)))
                if differs(flows[name]) == (found == []):
                    wrong.append("\n".join([name, *(found or ["  is said to differ, and does not"])]))
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_generated_flows(self):
        recorded = {int(k): v for k, v in json.loads(MADE.read_text()).items()}
        self.assertGreater(len(recorded), 50)
        with Server(self) as s:
            for i in recorded:
                s.flow(generated.flow(i))
            ids = {i: s.run("t", f"made{i}", wait=False)["id"] for i in recorded}
            wrong = {i: found for i, id in ids.items() if (found := differences(recorded[i], shape(settled(lambda path: s.get(path).json, id, 0.05))))}
        self.assertEqual(wrong, {})

"""The server: executions over the API, what can be done to them, triggers, and what a stop or a kill leaves behind."""

import http.client
import io
import json
import os
import pathlib
import re
import subprocess
import time
import unittest
import urllib.parse
import zipfile

from server import PASSWORD, Server, events, form
from sluice import PROGRAM, Case

CORE = "io.kestra.plugin.core."


def flow(id, tasks, rest="", ns="t"):
    return f"id: {id}\nnamespace: {ns}\n{rest}tasks:\n" + "".join(f"  - {json.dumps(t)}\n" for t in tasks)


def log(id="log", message="hello"):
    return {"id": id, "type": CORE + "log.Log", "message": message}


def sleep(id="sleep", duration="PT30S"):
    return {"id": id, "type": CORE + "flow.Sleep", "duration": duration}


def back(id, text):
    return {"id": id, "type": CORE + "debug.Return", "format": text}


class Executions(Case):
    def test_an_execution_from_its_inputs_to_its_outputs(self):
        with Server(self) as s:
            s.flow(flow("f", [log(message="{{ inputs.name }}"), back("r", "{{ inputs.n + 1 }} {{ read(inputs.file) }}")],
                        "labels: {team: data}\ninputs:\n  - {id: name, type: STRING, defaults: World}\n  - {id: n, type: INT}\n  - {id: file, type: FILE}\noutputs:\n  - {id: o, type: STRING, value: '{{ outputs.r.value }}'}\n"))
            x = s.run("t", "f", {"n": 3}, [("file", "in.csv", b"content")], labels=["a:b"])
            self.assertEqual(x["state"]["current"], "SUCCESS", x)
            self.assertEqual(x["outputs"], {"o": "4 content"})
            self.assertEqual(x["inputs"]["name"], "World")
            labels = {l["key"]: l["value"] for l in x["labels"]}
            self.assertEqual(labels, {"team": "data", "a": "b", "system.correlationId": x["id"]})
            self.assertEqual([h["state"] for h in x["state"]["histories"]], ["CREATED", "RUNNING", "SUCCESS"])
            entries = s.get(f"/logs/{x['id']}").json
            self.assertEqual([e["message"] for e in entries], ["World"])
            self.assertRegex(s.get(f"/logs/{x['id']}/download").body.decode(), r"^\S+ INFO World\n$")
            uri = x["inputs"]["file"]
            self.assertEqual(s.get(f"/executions/{x['id']}/file?path={uri}").body, b"content")
            self.assertEqual(s.get(f"/executions/{x['id']}/file/metas?path={uri}").json, {"size": 7})
            for bad in ("kestra:///../../kv.db", "kestra:///t/f/executions/../../../kv.db", "/etc/passwd", uri.replace(x["id"], "other")):
                self.assertEqual(s.get(f"/executions/{x['id']}/file?path={bad}").status, 404)
            a = s.call("POST", "/executions/t/f", form({"n": "x"})[1], form({})[0])
            self.assertEqual(a.status, 422, a)
            self.assertIn("Invalid entity", a.json["message"])
            self.assertEqual(s.call("POST", "/executions/t/none").status, 404)
            self.assertEqual(s.call("POST", "/executions/t/f", "{}", "application/json").status, 415)

    def test_search_finds_by_state_label_and_text(self):
        with Server(self) as s:
            s.flow(flow("good", [log()]))
            s.flow(flow("bad", [{"id": "x", "type": CORE + "execution.Fail"}]))
            for i in range(3):
                s.run("t", "good", labels=[f"i:{i}"])
            s.run("t", "bad")
            self.assertEqual(s.search()["total"], 4)
            self.assertEqual(s.search(state=["FAILED"])["total"], 1)
            self.assertEqual(s.search(state=["FAILED", "SUCCESS"])["total"], 4)
            self.assertEqual(s.search(labels="i:1")["total"], 1)
            self.assertEqual(s.search(flowId="good", q="goo")["total"], 3)
            self.assertEqual(len(s.search(size=2)["results"]), 2)
            self.assertEqual(s.search(namespace="t' OR 1=1 --")["total"], 0)
            self.assertEqual(s.get("/executions/search?sort=nope").status, 422)
            self.assertEqual(s.get("/executions/search?size=0").status, 400)

    def test_kill_pause_resume(self):
        with Server(self) as s:
            s.flow(flow("long", [sleep(), log()]))
            x = s.run("t", "long", wait=False)
            s.until(x["id"], "RUNNING")
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}/kill").status, 202)
            x = s.until(x["id"], "KILLED")
            self.assertEqual([r["taskId"] for r in x["taskRunList"]], ["sleep"])
            self.assertEqual(s.call("DELETE", f"/executions/{x['id']}/kill").status, 202)
            self.assertEqual(s.state(x["id"]), "KILLED")
            s.flow(flow("pause", [{"id": "p", "type": CORE + "flow.Pause", "onResume": [{"id": "why", "type": "STRING"}]}, back("r", "{{ outputs.p.onResume.why }}")]))
            x = s.run("t", "pause", wait=False)
            x = s.until(x["id"], "PAUSED")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/resume").status, 422)
            type, body = form({"why": "because"})
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/resume", body, type).status, 204)
            x = s.until(x["id"], "SUCCESS")
            self.assertEqual([h["state"] for h in x["state"]["histories"]], ["CREATED", "RUNNING", "PAUSED", "RESTARTED", "RUNNING", "SUCCESS"])
            self.assertEqual(x["taskRunList"][1]["outputs"]["value"], "because")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/resume").status, 409)
            s.flow(flow("held", [sleep("a", "PT0.3S"), log("b")]))
            x = s.run("t", "held", wait=False)
            s.until(x["id"], "RUNNING")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/pause").status, 204)
            time.sleep(0.5)
            self.assertEqual([r["taskId"] for r in s.execution(x["id"])["taskRunList"]], ["a"])
            self.assertEqual(s.state(x["id"]), "PAUSED")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/resume").status, 204)
            s.until(x["id"], "SUCCESS")

    def test_a_file_is_given_when_it_goes_on(self):
        def pause(id):
            return {"id": id, "type": CORE + "flow.Pause", "onResume": [{"id": "file", "type": "FILE"}, {"id": "why", "type": "STRING", "defaults": "because"}]}

        def read(id, of):
            return {"id": id, "type": CORE + "debug.Return", "format": "{{ read(outputs." + of + ".onResume.file) }} {{ outputs." + of + ".onResume.why }}"}

        with Server(self) as s:
            s.flow(flow("f", [pause("a"), pause("b"), read("r", "a"), read("q", "b")], "inputs: [{id: file, type: FILE}]\n"))
            x = s.run("t", "f", files=[("file", "same.txt", b"given")], wait=False)["id"]
            s.until(x, "PAUSED")
            type, body = form({}, [("file", "same.txt", b"first")])
            self.assertEqual(s.call("POST", f"/executions/{x}/resume", body, type).status, 204)
            while sum(r["state"]["current"] == "PAUSED" and r["taskId"] == "b" for r in s.execution(x)["taskRunList"]) == 0:
                time.sleep(0.01)
            (self.tmp / "same.txt").write_text("second")
            self.ok(self.sluice("execution", "resume", x, "--file", f"file={self.tmp / 'same.txt'}", "-i", "why=so"))
            done = s.until(x, "SUCCESS", "FAILED")
            run = {r["taskId"]: r["outputs"] for r in done["taskRunList"]}
            self.assertEqual((run["r"]["value"], run["q"]["value"]), ("first because", "second so"))
            self.assertEqual(s.get(f"/executions/{x}/file?path={urllib.parse.quote(done['inputs']['file'])}").body, b"given")

    def test_restart_and_replay(self):
        with Server(self) as s:
            gate = self.tmp / "gate"
            command = {"id": "c", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [f"test -e {gate}"]}
            s.flow(flow("f", [back("a", "{{ now() }}"), command, back("z", "{{ outputs.a.value }}")], "errors:\n  - " + json.dumps(log("e")) + "\n"))
            x = s.run("t", "f")
            self.assertEqual(x["state"]["current"], "FAILED", x)
            self.assertEqual([r["taskId"] for r in x["taskRunList"]], ["a", "c", "e"])
            first = x["taskRunList"][0]["outputs"]["value"]
            gate.touch()
            a = s.call("POST", f"/executions/{x['id']}/restart")
            self.assertEqual(a.status, 200, a)
            x = s.until(x["id"], "SUCCESS")
            self.assertEqual([(r["taskId"], len(r["attempts"])) for r in x["taskRunList"]], [("a", 1), ("c", 2), ("z", 1)])
            self.assertEqual(x["taskRunList"][2]["outputs"]["value"], first)
            self.assertEqual(x["metadata"]["attemptNumber"], 2)
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/restart").status, 422)
            a = s.call("POST", f"/executions/{x['id']}/replay?taskRunId={x['taskRunList'][1]['id']}")
            self.assertEqual(a.status, 200, a)
            y = s.until(a.json["id"], "SUCCESS")
            self.assertNotEqual(y["id"], x["id"])
            self.assertEqual((y["originalId"], y["parentId"]), (x["id"], x["id"]))
            self.assertEqual(y["taskRunList"][0]["outputs"]["value"], first)
            self.assertEqual([len(r["attempts"]) for r in y["taskRunList"]], [1, 3, 1])
            z = s.until(s.call("POST", f"/executions/{x['id']}/replay").json["id"], "SUCCESS")
            self.assertNotEqual(z["taskRunList"][0]["outputs"]["value"], first)
            self.assertEqual(s.call("POST", f"/executions/{z['id']}/labels", [{"key": "k", "value": "v"}]).status, 200)
            self.assertIn({"key": "k", "value": "v"}, s.execution(z["id"])["labels"])
            self.assertEqual(s.call("POST", f"/executions/{z['id']}/labels", [{"key": "system.x", "value": "v"}]).status, 422)
            self.assertEqual(s.call("DELETE", f"/executions/{z['id']}").status, 204)
            self.assertEqual(s.get(f"/executions/{z['id']}").status, 404)
            self.assertEqual(s.call("POST", "/executions/replay/by-ids", [x["id"], "nope"]).status, 400)
            while s.search(state="RUNNING")["total"]:
                time.sleep(0.01)
            a = s.call("DELETE", "/executions/by-query?flowId=f")
            self.assertEqual(a.status, 200, a)

    def test_the_limit_of_concurrency_counts_what_runs(self):
        with Server(self) as s:
            def limited(behavior):
                s.flow(flow("limited" + behavior, [sleep("a", "PT0.4S")], f"concurrency: {{limit: 2, behavior: {behavior}}}\n"))
                return [s.run("t", "limited" + behavior, wait=False)["id"] for _ in range(5)]
            ids = limited("QUEUE")
            states = [s.state(i) for i in ids]
            self.assertEqual(sorted(states), ["QUEUED"] * 3 + ["RUNNING"] * 2)
            most = 0
            while s.search(flowId="limitedQUEUE", state="SUCCESS")["total"] < 5:
                most = max(most, s.search(flowId="limitedQUEUE", state="RUNNING")["total"])
            self.assertEqual(most, 2)
            self.assertEqual(sorted(s.state(i) for i in limited("CANCEL"))[:3], ["CANCELLED"] * 3)
            self.assertEqual(sorted(s.state(i) for i in limited("FAIL"))[:3], ["FAILED"] * 3)
            # A killed one frees its slot; a queued one can be killed, or forced to run.
            s.flow(flow("one", [sleep()], "concurrency: {limit: 1}\n"))
            a, b, c, d = [s.run("t", "one", wait=False)["id"] for _ in range(4)]
            self.assertEqual(s.call("DELETE", f"/executions/{c}/kill").status, 202)
            self.assertEqual(s.state(c), "KILLED")
            self.assertEqual(s.call("POST", f"/executions/{d}/actions/force-run").status, 200)
            self.assertEqual(s.state(d), "RUNNING")
            s.call("DELETE", f"/executions/{a}/kill")
            s.call("DELETE", f"/executions/{d}/kill")
            s.until(b, "RUNNING")
            s.kill()
            s.start()
            s.until(b, "RUNNING")

    def test_following_gives_history_then_what_comes(self):
        with Server(self) as s:
            s.flow(flow("f", [log("a", "first"), sleep("w", "PT0.3S"), log("b", "second")]))
            x = s.run("t", "f", wait=False)
            seen = list(events(s, f"/logs/{x['id']}/follow"))
            self.assertEqual([d["message"] for _, e, d in seen if e == "progress"], ["first", "second"])
            self.assertEqual(seen[-1][1], "end")
            again = list(events(s, f"/logs/{x['id']}/follow", {"Last-Event-ID": seen[0][0]}))
            self.assertEqual([d["message"] for _, e, d in again if e == "progress"], ["second"])
            y = s.run("t", "f", wait=False)
            states = [(i, d["state"]["current"]) for i, _, d in events(s, f"/executions/{y['id']}/follow")]
            self.assertEqual(states[-1], ("end", "SUCCESS"))
            self.assertGreater(len(states), 1)

    def test_sla_and_checks(self):
        with Server(self) as s:
            s.flow(flow("slow", [sleep()], "sla:\n  - {id: quick, type: MAX_DURATION, duration: PT0.3S, behavior: FAIL, labels: {late: yes}}\n"))
            x = s.run("t", "slow")
            self.assertEqual(x["state"]["current"], "FAILED", x)
            self.assertIn({"key": "late", "value": "true"}, x["labels"])
            s.flow(flow("asserted", [back("a", "{{ inputs.n }}"), sleep()], "inputs: [{id: n, type: INT}]\nsla:\n  - {id: small, type: EXECUTION_ASSERTION, assert: \"{{ (outputs.a.value | number) < 5 }}\", behavior: CANCEL}\n"))
            self.assertEqual(s.run("t", "asserted", {"n": 7})["state"]["current"], "CANCELLED")
            s.flow(flow("at_once", [back("a", "{{ inputs.n }}"), back("b", "never")], "inputs: [{id: n, type: INT}]\nsla:\n  - {id: small, type: EXECUTION_ASSERTION, assert: \"{{ (outputs.a.value | number) < 5 }}\", behavior: CANCEL}\n"))
            x = s.run("t", "at_once", {"n": 7})
            self.assertEqual((x["state"]["current"], [r["taskId"] for r in x["taskRunList"]][:1]), ("CANCELLED", ["a"]), x)
            x = s.run("t", "asserted", {"n": 4}, wait=False)
            time.sleep(0.2)
            self.assertEqual(s.state(x["id"]), "RUNNING")
            s.flow(flow("checked", [log()], "inputs: [{id: n, type: INT}]\nchecks:\n  - {condition: '{{ inputs.n > 3 }}', message: too small}\n"))
            type, body = form({"n": 2})
            a = s.call("POST", "/executions/t/checked", body, type)
            self.assertEqual((a.status, "too small" in a.json["message"]), (422, True), a)
            self.assertEqual(s.run("t", "checked", {"n": 4})["state"]["current"], "SUCCESS")


class Language(Case):
    """What only makes sense with other flows around: subflows, batches; and the flowables end to end."""

    def value(self, x, task, value=None):
        return next(r["outputs"]["value"] for r in x["taskRunList"] if r["taskId"] == task and (value is None or r.get("value") == value))

    def test_subflows(self):
        with Server(self) as s:
            s.flow(flow("child", [sleep("w", "PT0.1S"), back("r", "{{ inputs.n * 2 }} {{ trigger.flowId }}")], "inputs: [{id: n, type: INT}]\noutputs: [{id: o, type: STRING, value: '{{ outputs.r.value }}'}]\n"))
            s.flow(flow("parent", [{"id": "sub", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "child", "inputs": {"n": "{{ inputs.n }}"}, "inheritLabels": True}, back("z", "{{ outputs.sub.outputs.o }} {{ outputs.sub.state }}")],
                        "inputs: [{id: n, type: INT}]\nlabels: {a: b}\n"))
            began = time.monotonic()
            x = s.run("t", "parent", {"n": 4})
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(self.value(x, "z"), "8 parent SUCCESS")
            child = s.execution(x["taskRunList"][0]["outputs"]["executionId"])
            labels = {l["key"]: l["value"] for l in child["labels"]}
            self.assertEqual((labels["a"], labels["system.correlationId"]), ("b", x["id"]))
            self.assertEqual(child["trigger"]["variables"]["executionId"], x["id"])
            s.flow(flow("child", [sleep()], "inputs: [{id: n, type: INT}]\n"))
            x = s.run("t", "parent", {"n": 4}, wait=False)
            while s.search(flowId="child", state="RUNNING")["total"] < 1:
                time.sleep(0.01)
            s.kill()
            s.start()  # the same child goes on
            self.assertEqual(s.search(flowId="child")["total"], 2)
            s.call("DELETE", f"/executions/{x['id']}/kill")
            s.until(x["id"], "KILLED")
            self.assertEqual(s.search(flowId="child", state="KILLED")["total"], 1)
            s.flow(flow("child", [{"id": "f", "type": CORE + "execution.Fail"}], "inputs: [{id: n, type: INT}]\n"))
            self.assertEqual(s.run("t", "parent", {"n": 4})["state"]["current"], "FAILED")
            s.flow(flow("lost", [{"id": "sub", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "none"}]))
            x = s.run("t", "lost")
            self.assertIn("Unable to find flow", s.get(f"/logs/{x['id']}").json[0]["message"])

    def test_batches_of_a_file(self):
        with Server(self) as s:
            s.flow(flow("one", [back("r", "{{ read(inputs.part) }}")], "inputs: [{id: part, type: STRING}, {id: i, type: INT}]\noutputs: [{id: o, type: STRING, value: '{{ inputs.i }}:{{ outputs.r.value | length }}'}]\n"))
            s.flow(flow("all", [{"id": "each", "type": CORE + "flow.ForEachItem", "items": "{{ inputs.file }}", "batch": {"rows": 4}, "namespace": "t", "flowId": "one",
                                 "inputs": {"part": "{{ taskrun.items }}", "i": "{{ taskrun.iteration }}"}}, back("z", "{{ read(outputs.each_merge.subflowOutputs) }}")], "inputs: [{id: file, type: FILE}]\n"))
            x = s.run("t", "all", files=[("file", "in.txt", b"".join(b"%03d\n" % i for i in range(10)))])
            self.assertEqual(x["state"]["current"], "SUCCESS", [r for r in x["taskRunList"]])
            self.assertEqual(self.value(x, "z"), '{o:"0:16"}\n{o:"1:16"}\n{o:"2:8"}\n')
            items = next(r for r in x["taskRunList"] if r["taskId"] == "each_items")["outputs"]
            self.assertEqual((items["numberOfBatches"], items["iterations"]), (3, {"CREATED": 0, "RUNNING": 0, "SUCCESS": 3}))

    def test_batches_are_cut_as_files_are(self):
        rows = b"a [Z] 1\nb [Y] 2\nnone\nc [Z] 3\n"
        with Server(self) as s:
            s.flow(flow("one", [back("r", "{{ read(inputs.part) }}")], "inputs: [{id: part, type: STRING}]\noutputs: [{id: o, type: STRING, value: '{{ outputs.r.value }}'}]\n"))
            for i, (batch, batches) in enumerate([
                ({"regexPattern": r"\[(\w+)\]"}, ["a [Z] 1\nc [Z] 3\n", "b [Y] 2\n"]), ({"partitions": 3}, ["a [Z] 1\nc [Z] 3\n", "b [Y] 2\n", "none\n"]), ({"bytes": "16B"}, ["a [Z] 1\nb [Y] 2\n", "none\nc [Z] 3\n"]),
                ({"separator": "e\n"}, ["a [Z] 1\nb [Y] 2\nnone\n", "c [Z] 3\ne\n"]), ({"rows": "{{ 1 + 2 }}"}, ["a [Z] 1\nb [Y] 2\nnone\n", "c [Z] 3\n"]),
            ]):
                s.flow(flow(f"all{i}", [{"id": "each", "type": CORE + "flow.ForEachItem", "items": "{{ inputs.file }}", "batch": batch, "namespace": "t", "flowId": "one", "inputs": {"part": "{{ taskrun.items }}"}},
                                        back("z", "{% for l in fromIon(read(outputs.each_merge.subflowOutputs), allRows=true) %}({{ l.o }}){% endfor %}")], "inputs: [{id: file, type: FILE}]\n"))
                x = s.run("t", f"all{i}", files=[("file", "in.txt", rows)])
                self.assertEqual(self.value(x, "z"), "".join(f"({b})" for b in batches), batch)

    def test_loops_graphs_and_exits(self):
        with Server(self) as s:
            s.flow(flow("f", [
                {"id": "outer", "type": CORE + "flow.ForEach", "values": ["a", "b"], "tasks": [
                    {"id": "inner", "type": CORE + "flow.ForEach", "values": "[1, 2, {\"k\": 3}]", "concurrencyLimit": 0, "tasks": [back("r", "{{ parent.taskrun.value }}{{ taskrun.value }}")]},
                    {"id": "if", "type": CORE + "flow.If", "condition": "{{ taskrun.value == 'a' }}", "then": [back("only", "{{ parent.taskrun.value }}")]}]},
                {"id": "dag", "type": CORE + "flow.Dag", "tasks": [{"task": back("d2", "{{ outputs.d1.value }}+"), "dependsOn": ["d1"]}, {"task": back("d1", "x")}]},
                {"id": "set", "type": CORE + "execution.SetVariables", "variables": {"n": 0, "deep": {"b": 2}}},
                {"id": "until", "type": CORE + "flow.LoopUntil", "condition": "{{ vars.n >= 3 }}", "checkFrequency": {"interval": "PT0.01S"},
                 "tasks": [{"id": "up", "type": CORE + "execution.SetVariables", "variables": {"n": "{{ vars.n + 1 }}"}},
                           {"id": "round", "type": CORE + "execution.Assert", "conditions": ["{{ outputs.until.iterationCount == vars.n }}"]}]},
                back("end", "{{ outputs.r['a']['2'].value }} {{ outputs.r['b']['{\"k\":3}'].value }} {{ outputs.only['a'].value }} {{ outputs.d2.value }} {{ vars.n }} {{ vars.deep }} {{ outputs.until.iterationCount }}"),
                {"id": "check", "type": CORE + "execution.Assert", "conditions": ["{{ vars.n == 3 }}"]},
                {"id": "exit", "type": CORE + "execution.Exit", "state": "WARNING"}, log("never")], "variables: {deep: {a: 1}}\n"))
            x = s.run("t", "f")
            self.assertEqual(x["state"]["current"], "WARNING", [(r["taskId"], r["state"]["current"]) for r in x["taskRunList"]])
            self.assertEqual(self.value(x, "end"), 'a2 b{"k":3} a x+ 3 {"a":1,"b":2} 3')
            self.assertNotIn("never", [r["taskId"] for r in x["taskRunList"]])

    def test_a_wide_loop_takes_no_more_than_its_values(self):
        with Server(self) as s:
            s.flow(flow("wide", [{"id": "each", "type": CORE + "flow.ForEach", "values": "{{ range(1, inputs.n) }}", "concurrencyLimit": 0, "tasks": [back("r", "{{ taskrun.value }}")]}, back("z", "{{ outputs.r | length }}")], "inputs: [{id: n, type: INT}]\n"))
            for n in (10, 3000):
                x = s.run("t", "wide", {"n": n})
                self.assertEqual((x["state"]["current"], self.value(x, "z"), len(x["taskRunList"])), ("SUCCESS", str(n), n + 2))


class Flows(Case):
    def test_revisions_validation_and_etags(self):
        with Server(self) as s:
            text = flow("f", [log()])
            self.assertEqual(s.flow(text)["revision"], 1)
            self.assertEqual(s.call("POST", "/flows", text, "application/x-yaml").status, 422)
            self.assertEqual(s.call("PUT", "/flows/t/f", text, "application/x-yaml").json["revision"], 1)
            a = s.get("/flows/t/f?source=true")
            self.assertEqual(a.json["source"], text)
            changed = text.replace("hello", "bye")
            self.assertEqual(s.call("PUT", "/flows/t/f", changed, "application/x-yaml", headers={"If-Match": a.headers["ETag"]}).json["revision"], 2)
            self.assertEqual(s.call("PUT", "/flows/t/f", text, "application/x-yaml", headers={"If-Match": a.headers["ETag"]}).status, 409)
            self.assertEqual([r["revision"] for r in s.get("/flows/t/f/revisions").json], [1, 2])
            self.assertEqual(s.call("PUT", "/flows/t/g", text, "application/x-yaml").status, 422)
            bad = s.call("POST", "/flows/validate", "id: f\nnamespace: t\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, mesage: x}\n", "application/x-yaml").json
            path = self.tmp / "bad.yaml"
            path.write_text("id: f\nnamespace: t\ntasks:\n  - {id: a, type: io.kestra.plugin.core.log.Log, mesage: x}\n")
            said = self.sluice("flow", "validate", path).err.strip().splitlines()
            self.assertEqual(bad[0]["constraints"].splitlines(), [line.removeprefix(str(path) + ":") for line in said])
            self.assertNotIn("constraints", s.call("POST", "/flows/validate", text, "application/x-yaml").json[0])
            # All or nothing.
            self.assertEqual(s.call("POST", "/flows/bulk", flow("one", [log()]) + "---\nid: two\n", "application/x-yaml").status, 422)
            self.assertEqual(s.get("/flows/t/one").status, 404)
            self.assertEqual(s.call("POST", "/flows/t", flow("one", [log()]) + "---\n" + flow("two", [log()]), "application/x-yaml").status, 200)
            self.assertEqual([f["id"] for f in s.get("/flows/t").json], ["one", "two"])
            self.assertEqual(s.get("/flows/t/f").status, 404)
            self.assertTrue(s.get("/flows/t/f?allowDeleted=true").json["deleted"])
            self.assertEqual(s.call("DELETE", "/flows/t/one").status, 204)
            self.assertEqual(s.call("DELETE", "/flows/t/one").status, 404)


class Triggers(Case):
    def test_webhooks(self):
        with Server(self) as s:
            s.flow(flow("f", [back("r", "{{ trigger.body.n }} {{ trigger.parameters.a[0] }}")],
                        "triggers:\n  - {id: w, type: " + CORE + "trigger.Webhook, key: k3y, conditions: [{type: " + CORE + "condition.Expression, expression: '{{ trigger.body.n > 1 }}'}]}\n"
                        "  - {id: now, type: " + CORE + "trigger.Webhook, key: wait, wait: true, returnOutputs: true}\n"
                        "  - {id: coded, type: " + CORE + "trigger.Webhook, key: coded, wait: true, returnOutputs: true, responseCode: 202, responseContentType: text/plain}\noutputs: [{id: o, type: STRING, value: done}]\n"))
            a = s.call("POST", "/executions/webhook/t/f/k3y?a=b", {"n": 2}, auth=None)
            self.assertEqual(a.status, 200, a)
            x = s.until(a.json["id"], "SUCCESS")
            self.assertEqual(x["taskRunList"][0]["outputs"]["value"], "2 b")
            self.assertEqual(x["trigger"]["id"], "w")
            self.assertEqual(s.call("POST", "/executions/webhook/t/f/k3y", {"n": 1}, auth=None).status, 204)
            self.assertEqual(s.call("POST", "/executions/webhook/t/f/wrong", {"n": 2}, auth=None).status, 404)
            self.assertEqual(s.call("POST", "/executions/webhook/t/f/wait?a=b", {"n": 2}, auth=None).json, {"o": "done"})
            a = s.call("POST", "/executions/webhook/t/f/coded?a=b", {"n": 2}, auth=None)
            self.assertEqual((a.status, a.headers["content-type"]), (202, "text/plain"))
            bad = s.call("POST", "/flows", flow("g", [log()], "triggers: [{id: w, type: " + CORE + "trigger.Webhook, key: k, responseCode: 99}]\n"), "application/x-yaml")
            self.assertIn("must be a status from 200 to 599", str(bad.json))

    def test_flow_triggers_and_preconditions(self):
        with Server(self) as s:
            both = "preconditions: {id: p, flows: [{namespace: t, flowId: a}, {namespace: t, flowId: b}]}"
            s.flow(flow("both", [log()], "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, " + both + "}\n"))
            s.flow(flow("each", [back("r", "{{ inputs.of }} {{ trigger.executionLabels.my.team ?? '' }}")], "inputs: [{id: of, type: STRING}]\ntriggers:\n  - id: f\n    type: " + CORE + "trigger.Flow\n    inputs: {of: '{{ trigger.flowId }}'}\n"
                        "    conditions:\n      - {type: " + CORE + "condition.ExecutionNamespace, namespace: t}\n      - {type: " + CORE + "condition.ExecutionStatus, in: [SUCCESS]}\n"
                        "      - {type: " + CORE + "condition.FlowCondition, namespace: t, flowId: each}\n      - {type: " + CORE + "condition.FlowNamespaceCondition, namespace: t, prefix: true}\n"
                        "      - {type: " + CORE + "condition.Not, conditions: [{type: " + CORE + "condition.FlowCondition, namespace: t, flowId: other}, {type: " + CORE + "condition.FlowNamespaceCondition, namespace: tt}]}\n"
                        "      - {type: " + CORE + "condition.Not, conditions: [{type: " + CORE + "condition.ExecutionFlow, namespace: t, flowId: both}]}\n"))
            seen = "{field: EXPRESSION, type: IS_TRUE, value: \"{{ labels.team == 'x' and flow.id == 'filtered' and execution.state == 'SUCCESS' and inputs.q == 'qq' and outputs.l.value == 'v' }}\"}"
            s.flow(flow("filtered", [back("r", "{{ trigger.outputs }}")], "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, preconditions: {id: p, where: [{id: w, filters: [" + seen + "]}]}}\n", ns="u"))
            s.flow(flow("told", [back("r", "{{ trigger.outputs | json }}")], "triggers:\n  - id: f\n    type: " + CORE + "trigger.Flow\n    " + both + "\n", ns="u"))
            given = "labels: {team: x, my.team: y}\ninputs: [{id: q, type: STRING, defaults: qq}]\noutputs: [{id: o, type: STRING, value: '{{ outputs.l.value }}'}, {id: same, type: STRING, value: first}]\n"
            s.flow(flow("a", [back("l", "v")], given))
            s.flow(flow("b", [log()], "outputs: [{id: p, type: STRING, value: w}, {id: same, type: STRING, value: second}]\n"))
            s.flow(flow("c", [{"id": "x", "type": CORE + "execution.Fail"}]))
            a = s.run("t", "a")
            s.run("t", "c")
            self.assertEqual(s.search(flowId="both")["total"], 0)
            s.run("t", "b")
            while s.search(state="SUCCESS")["total"] < 7:
                time.sleep(0.01)
            self.assertEqual(s.search(flowId="both")["total"], 1)
            self.assertEqual([x["taskRunList"][0]["outputs"]["value"] for x in s.search(flowId="filtered")["results"]], ['{"o":"v","same":"first"}'])
            self.assertEqual([json.loads(x["taskRunList"][0]["outputs"]["value"]) for x in s.search(flowId="told")["results"]], [{"o": "v", "p": "w", "same": "first"}])
            each = s.search(flowId="each")["results"]
            self.assertEqual(sorted(x["taskRunList"][0]["outputs"]["value"] for x in each), ["a y", "b "])
            first = next(x for x in each if x["inputs"]["of"] == "a")
            self.assertIn({"key": "system.correlationId", "value": a["id"]}, first["labels"])

    def test_multiple_condition(self):
        """The older form of preconditions, over a restart, with a filter for each execution beside it."""
        old = "io.kestra.core.models.conditions.types."
        named = (
            "      - type: " + old + "MultipleCondition\n        id: all\n        window: PT12H\n        windowAdvance: PT0S\n        conditions:\n"
            "          a: {type: " + old + "ExecutionFlowCondition, namespace: t, flowId: a}\n          b: {type: " + old + "ExecutionFlowCondition, namespace: t, flowId: b}\n"
        )
        trigger = "triggers:\n  - id: f\n    type: io.kestra.core.models.triggers.types.Flow\n    conditions:\n" + named
        status = "      - {type: " + old + "ExecutionStatusCondition, in: [SUCCESS]}\n"
        with Server(self) as s:
            s.flow(flow("m", [log()], trigger + status))
            s.flow(flow("a", [log()]))
            s.flow(flow("b", [{"id": "x", "type": CORE + "execution.Fail", "condition": "{{ inputs.bad }}"}], "inputs: [{id: bad, type: BOOLEAN, defaults: false}]\n"))
            s.run("t", "a")
            s.run("t", "a")
            s.run("t", "b", {"bad": "true"})
            self.assertEqual(s.search(flowId="m")["total"], 0, "it failed")
            s.kill()
            s.start()
            s.run("t", "b")
            while s.search(flowId="m", state="SUCCESS")["total"] < 1:
                time.sleep(0.01)
            s.run("t", "b")
            s.run("t", "a")
            while s.search(flowId="m", state="SUCCESS")["total"] < 2:
                time.sleep(0.01)
            s.run("t", "a")
            self.assertEqual(s.search(flowId="m")["total"], 2)
            for bad, said in (
                (trigger + named, "there may be one, or 'preconditions'"), (trigger + "    preconditions: {id: p, flows: [{flowId: a}]}\n", "there may be one, or 'preconditions'"),
                ("triggers:\n  - id: f\n    type: " + CORE + "trigger.Webhook\n    key: k\n    conditions:\n" + named, "is for triggers of type Flow"), (trigger.replace("ExecutionFlowCondition", "NoCondition"), "is not supported"),
            ):
                (self.tmp / "bad.yaml").write_text(flow("bad", [log()], bad))
                done = self.sluice("flow", "validate", self.tmp / "bad.yaml")
                self.assertNotEqual(done.rc, 0)
                self.assertIn(said, done.out + done.err)

    def test_attempts_that_are_executions(self):
        """Each failure ends an execution as RETRIED; the next one begins anew, over a kill too; who called the flow waits for the last."""
        count = self.tmp / "count"
        work = {"id": "w", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [f"echo x >> {count}", f"test $(wc -l < {count}) -ge {{{{ inputs.good }}}}"]}
        retry = "inputs: [{id: good, type: INT}]\nretry: {type: constant, interval: PT0.5S, maxAttempts: 3, behavior: CREATE_NEW_EXECUTION}\n"
        around = {"id": "s", "type": CORE + "flow.Sequential", "tasks": [work, log("never", "behind it")]}
        with Server(self) as s:
            s.flow(flow("again", [around], retry + "errors:\n  - {id: e, type: " + CORE + "log.Log, message: error task}\n"))
            s.flow(flow("caller", [{"id": "c", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "again", "inputs": {"good": 3}, "wait": True}]))
            first = s.run("t", "again", {"good": "2"}, wait=False)["id"]
            s.until(first, "RETRIED")
            s.kill()
            s.start()
            while s.search(flowId="again", state="SUCCESS")["total"] < 1:
                time.sleep(0.02)
            runs = sorted(s.search(flowId="again")["results"], key=lambda x: x["metadata"]["attemptNumber"])
            self.assertEqual([(x["state"]["current"], x["metadata"]["attemptNumber"], x["originalId"]) for x in runs], [("RETRIED", 1, first), ("SUCCESS", 2, first)])
            self.assertEqual({r["taskId"]: r["state"]["current"] for r in s.execution(first)["taskRunList"]}, {"s": "RETRIED", "w": "RETRIED"})
            self.assertEqual(len(count.read_text().split()), 2)
            self.assertNotIn(b"error task", s.get(f"/logs/{first}").body)
            count.unlink()
            self.assertEqual(s.run("t", "caller")["state"]["current"], "SUCCESS")
            self.assertEqual(len(count.read_text().split()), 3)
            count.unlink()
            s.run("t", "again", {"good": "9"}, wait=False)
            while s.search(flowId="again", state="FAILED")["total"] < 1:
                time.sleep(0.02)
            self.assertEqual(len(count.read_text().split()), 3, "not more than maxAttempts")
            last = s.search(flowId="again", state="FAILED")["results"][0]
            self.assertEqual(last["metadata"]["attemptNumber"], 3)
            self.assertIn(b"error task", s.get(f"/logs/{last['id']}").body)
        count.unlink()
        done = self.flow(flow("here", [work], retry), "-i", "good=3", "--output", "json")
        self.assertEqual((done.rc, json.loads(done.out.splitlines()[0])["state"]), (0, "SUCCESS"), done)

    def test_attempts_that_are_executions_end_in_time_and_warn(self):
        """maxDuration counts from the first attempt's start, over a kill too; a success that is not the first attempt's is a warning."""
        count = self.tmp / "count"
        work = {"id": "w", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [f"echo x >> {count}", f"test $(wc -l < {count}) -ge {{{{ inputs.good }}}}"]}
        retry = "inputs: [{id: good, type: INT}]\nretry: {type: constant, interval: PT1S, maxDuration: PT2.5S, warningOnRetry: true, behavior: CREATE_NEW_EXECUTION}\n"
        with Server(self) as s:
            s.flow(flow("timed", [work], retry))
            first = s.run("t", "timed", {"good": "99"}, wait=False)["id"]
            s.until(first, "RETRIED")
            s.kill()
            s.start()
            while s.search(flowId="timed", state="FAILED")["total"] < 1:
                time.sleep(0.02)
            runs = sorted(s.search(flowId="timed")["results"], key=lambda x: x["metadata"]["attemptNumber"])
            self.assertEqual([x["state"]["current"] for x in runs], ["RETRIED"] * (len(runs) - 1) + ["FAILED"])
            self.assertIn(len(runs), (2, 3), "attempts at 0, 1 and 2 s; one at 3 s would be too late")
            self.assertEqual({x["metadata"]["originalCreatedDate"] for x in runs}, {runs[0]["state"]["histories"][0]["date"]})
            for good, state in (("1", "SUCCESS"), ("2", "WARNING")):
                count.unlink()
                s.run("t", "timed", {"good": good}, wait=False)
                while s.search(flowId="timed", state=state)["total"] < 1:
                    time.sleep(0.02)

    def test_flow_triggers_on_pauses_and_attempts(self):
        """A pause is told once, over a kill too; a condition asks what attempts there were."""
        with Server(self) as s:
            s.flow(flow("paused", [back("r", "{{ trigger.executionId }}")], "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, states: [PAUSED]}\n"))
            s.flow(flow("ended", [back("r", "{{ trigger.state }}")], "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, conditions: [{type: " + CORE + "condition.ExecutionFlow, namespace: t, flowId: up}]}\n"))
            for id, how in (("tried", "in"), ("untried", "notIn")):
                s.flow(flow(id, [log()], "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, conditions: [{type: " + CORE + "condition.HasRetryAttempt, " + how + ": [FAILED]}, {type: " + CORE + "condition.ExecutionFlow, namespace: t, flowId: work}]}\n"))
            s.flow(flow("up", [{"id": "p", "type": CORE + "flow.Pause"}, {"id": "q", "type": CORE + "flow.Pause"}]))
            up = s.run("t", "up", wait=False)["id"]
            s.until(up, "PAUSED")
            while s.search(flowId="paused", state="SUCCESS")["total"] < 1:
                time.sleep(0.01)
            s.kill()
            s.start()
            s.until(up, "PAUSED")
            s.call("POST", f"/executions/{up}/resume")
            while s.search(flowId="paused", state="SUCCESS")["total"] < 2:
                time.sleep(0.01)
            s.until(up, "PAUSED")
            s.call("POST", f"/executions/{up}/resume")
            s.until(up, "SUCCESS")
            while s.search(flowId="ended", state="SUCCESS")["total"] < 1:
                time.sleep(0.01)
            time.sleep(0.3)
            self.assertEqual((s.search(flowId="paused")["total"], s.search(flowId="ended")["total"]), (2, 1), "a pause is not told again, and fires only what asks for it")
            self.assertEqual({x["taskRunList"][0]["outputs"]["value"] for x in s.search(flowId="paused")["results"]}, {up})
            process = {"type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}}
            s.flow(flow("work", [{"id": "w", **process, "commands": ["test $SLUICE_ATTEMPT -gt {{ labels.fails }}"], "retry": {"type": "constant", "interval": "PT0.1S", "maxAttempts": 3}}]))
            for fails in ("0", "1"):
                done = s.run("t", "work", labels=[f"fails:{fails}"])
                self.assertEqual(done["state"]["current"], "SUCCESS", done)
            while s.search(flowId="tried")["total"] + s.search(flowId="untried")["total"] < 2:
                time.sleep(0.01)
            time.sleep(0.2)
            self.assertEqual((s.search(flowId="tried")["total"], s.search(flowId="untried")["total"]), (1, 1))

    def test_a_schedule_fires_each_second_once_and_can_be_stopped(self):
        with Server(self) as s:
            s.flow(flow("tick", [back("r", "{{ trigger.date }}")], "triggers:\n  - {id: every, type: " + CORE + "trigger.Schedule, cron: '* * * * * *', withSeconds: true, timezone: Europe/Paris}\n"))
            while s.search(flowId="tick")["total"] < 3:
                time.sleep(0.05)
            s.kill()
            time.sleep(2.2)
            s.start()
            while s.search(flowId="tick")["total"] < 8:
                time.sleep(0.05)
            record = {"namespace": "t", "flowId": "tick", "triggerId": "every", "disabled": True}
            self.assertTrue(s.call("PUT", "/triggers", record).json["disabled"])
            n = s.search(flowId="tick")["total"]
            rows = s.search(flowId="tick")["results"]
            dates = sorted(x["trigger"]["variables"]["date"] for x in rows)
            self.assertEqual(len(set(dates)), len(dates))
            from datetime import datetime
            stamps = [datetime.fromisoformat(d).timestamp() for d in dates]
            self.assertEqual([b - a for a, b in zip(stamps, stamps[1:])], [1.0] * (len(stamps) - 1))  # those missed too
            time.sleep(1.5)
            self.assertEqual(s.search(flowId="tick")["total"], n)
            self.assertIn("disabled", s.get("/triggers/t/tick/every/why").json["why"])

    def test_backfills(self):
        schedule = "triggers:\n  - {id: daily, type: " + CORE + "trigger.Schedule, cron: '0 5 * * *', inputs: {n: 1}}\n"
        with Server(self) as s:
            s.flow(flow("f", [back("r", "{{ trigger.date | date('yyyy-MM-dd') }} {{ inputs.n }}"), sleep("w", "PT0.05S"),
                              {"id": "x", "type": CORE + "execution.Fail", "condition": "{{ inputs.n == 7 and (trigger.date | date('dd')) == '03' }}"}],
                        "inputs: [{id: n, type: INT, defaults: 0}]\n" + schedule))
            record = {"namespace": "t", "flowId": "f", "triggerId": "daily"}
            fill = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-06T00:00:00Z", "inputs": {"n": 7}, "labels": [{"key": "backfill", "value": "true"}], "parallel": 2}
            plan = s.call("POST", "/triggers/backfill/plan", {**record, "backfill": fill}).json
            self.assertEqual([(d["date"][:10], d["state"], d["runs"]) for d in plan], [(f"2024-01-0{i}", "", True) for i in range(1, 6)])
            a = s.call("PUT", "/triggers", {**record, "backfill": fill})
            self.assertEqual(a.status, 200, a)
            self.assertEqual(s.call("PUT", "/triggers", {**record, "backfill": fill}).status, 409)
            most = 0
            while "backfill" in s.get("/triggers/t/f").json["results"][0]:
                most = max(most, s.search(flowId="f", state="RUNNING")["total"])
            self.assertEqual(most, 2)
            rows = s.search(flowId="f", labels="backfill:true")["results"]
            self.assertEqual(sorted(x["taskRunList"][0]["outputs"]["value"] for x in rows), [f"2024-01-0{i} 7" for i in range(1, 6)])
            self.assertEqual([x["taskRunList"][0]["outputs"]["value"][:10] for x in rows if x["state"]["current"] == "FAILED"], ["2024-01-03"])
            for only, days in (("failed", ["03"]), ("missing", [])):
                plan = s.call("POST", "/triggers/backfill/plan", {**record, "backfill": {**fill, "only": only}}).json
                self.assertEqual([d["date"][8:10] for d in plan if d["runs"]], days)
            done = self.ok(self.sluice("trigger", "backfill", "t", "f", "daily", "--start", "2024-01-01", "--end", "2024-01-10", "--only", "missing", "-i", "n=8", "--wait"))
            self.assertIn("backfill", done.out)
            self.assertEqual(len([x for x in s.search(flowId="f")["results"] if x["inputs"]["n"] == 8]), 4)
            # Paused: nothing new; cancelled: what runs goes on.
            s.call("PUT", "/triggers", {**record, "backfill": {**fill, "end": "2024-12-31T00:00:00Z", "parallel": 1}})
            self.assertTrue(s.call("PUT", "/triggers/backfill/pause", record).json["backfill"]["paused"])
            time.sleep(0.3)
            n = s.search(flowId="f")["total"]
            time.sleep(0.3)
            self.assertEqual(s.search(flowId="f")["total"], n)
            self.assertFalse(s.call("PUT", "/triggers/backfill/unpause", record).json["backfill"]["paused"])
            while s.search(flowId="f")["total"] == n:
                time.sleep(0.01)
            self.assertNotIn("backfill", s.call("POST", "/triggers/backfill/delete", record).json)
            self.assertEqual(s.call("PUT", "/triggers", {**record, "backfill": {"end": "2024-01-01T00:00:00Z"}}).status, 422)


class Process(Case):
    def test_a_stop_right_after_the_start(self):
        """Whoever knows its port can stop it as it should be stopped."""
        with Server(self, env={"SLUICE_FAULT": "server.after_port:1:sleep500"}) as s:
            self.assertEqual(s.stop(), 0)

    def test_a_second_start_is_refused_and_a_stop_is_graceful(self):
        with Server(self) as s:
            second = subprocess.run([PROGRAM, "server", "--port", "0"], env=self.env(), capture_output=True, text=True, timeout=10)
            self.assertEqual(second.returncode, 1)
            self.assertIn("lock", second.stderr)
            s.flow(flow("long", [sleep("a", "PT1S"), log()]))
            x = s.run("t", "long", wait=False)
            s.until(x["id"], "RUNNING")
            self.assertEqual(s.stop(), 0)
            s.start()
            self.assertEqual(s.until(x["id"], "SUCCESS")["id"], x["id"])

    def test_no_child_outlives_a_kill(self):
        """Children that ignore TERM, and one that has left its session: gone before the next start does anything, and after a kill of the execution."""
        mark = f"31{os.getpid()}.5"
        command = {"id": "c", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [f"trap '' TERM; (setsid sh -c \"trap '' TERM; sleep {mark}\" &) ; sleep {mark}"]}

        def alive():
            found = 0
            for pid in os.listdir("/proc"):
                try:
                    found += pid.isdigit() and pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:2] == ["sleep", mark]
                except OSError:
                    pass
            return found

        with Server(self) as s:
            s.flow(flow("f", [command]))
            x = s.run("t", "f", wait=False)
            while alive() < 2:
                time.sleep(0.01)
            s.kill()
            s.start()
            self.assertEqual(alive() > 2, False)  # the old ones are gone; the task began anew
            while alive() < 2:
                time.sleep(0.01)
            s.call("DELETE", f"/executions/{x['id']}/kill")
            s.until(x["id"], "KILLED", seconds=20)
            self.assertEqual(alive(), 0)

    def test_a_full_disk_refuses_and_recovers(self):
        disk = self.tmp / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", disk], capture_output=True).returncode != 0:
            print("not run: a file system cannot be mounted here", flush=True)
            return
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.data = disk / "data"
        with Server(self) as s:
            s.flow(flow("f", [log()]))
            s.flow(flow("slow", [sleep("a", "PT0.5S"), log()]))
            running = s.run("t", "slow", wait=False)["id"]
            balloon = disk / "balloon"
            with open(balloon, "wb") as f:
                while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > 20 << 20:
                    f.write(bytes(1 << 20))
                    f.flush()
            time.sleep(0.6)
            a = s.call("POST", "/executions/t/f")
            self.assertEqual((a.status, "free some space" in a.json["message"]), (507, True), a)
            self.assertEqual(s.call("POST", "/flows", flow("g", [log()]), "application/x-yaml").status, 507)
            s.until(running, "SUCCESS")  # what runs comes to its end
            balloon.unlink()
            time.sleep(0.6)
            self.assertEqual(s.run("t", "f")["state"]["current"], "SUCCESS")
            self.ok(self.sluice("verify"))

    def test_no_password_that_is_known_and_no_network_without_a_user(self):
        env = self.env()
        out = subprocess.run([PROGRAM, "server", "--host", "0.0.0.0", "--port", "0"], env=env, capture_output=True, text=True, timeout=10)
        self.assertEqual(out.returncode, 1)
        self.assertIn("no user exists yet", out.stderr)
        p = subprocess.Popen([PROGRAM, "server", "--port", "0"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first = p.stderr.readline()
        p.stdout.readline()
        p.terminate()
        p.communicate(timeout=20)
        self.assertRegex(first, r"admin with the password \w{22}$")
        p = subprocess.Popen([PROGRAM, "server", "--port", "0"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdout.readline()
        p.terminate()
        self.assertNotIn("password", p.communicate(timeout=20)[1])

    def test_the_configuration_is_checked(self):
        path = self.tmp / "sluice.yaml"
        for text, said in (("port: 70000\n", "1:7: configuration: 'port' must be from 0 to 65535"), ("prot: 1\n", "did you mean 'port'"), ("retention: {maxAgee: P1D}\n", "maxAge"), ("- 1\n", "must be a map")):
            path.write_text(text)
            r = self.sluice("server", "--config", path, "--check")
            self.assertEqual(r.rc, 2, r)
            self.assertIn(said, r.err)
        path.write_text("port: 0\nworkers: 4\npluginDefaults:\n  - {type: io.kestra.plugin.core.log.Log, values: {level: ERROR}}\nglobals: {x: y}\nurl: https://here\nenvironment: test\nretention: {maxAge: PT1S}\n")
        self.ok(self.sluice("server", "--config", path, "--check"))
        with Server(self, "--config", str(path)) as s:
            s.flow(flow("f", [log(message="{{ globals.x }} {{ kestra.url }} {{ kestra.environment }}")]))
            x = s.run("t", "f")
            self.assertEqual([(e["level"], e["message"]) for e in s.get(f"/logs/{x['id']}").json], [("ERROR", "y https://here test")])
            s.stop()
            time.sleep(1.2)
            s.start()
            end = time.monotonic() + 10
            while s.get(f"/executions/{x['id']}").status == 200 and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(s.get(f"/executions/{x['id']}").status, 404)
            self.assertFalse((self.data / "logs" / (x["id"] + ".jsonl")).exists())

    def test_bad_input_has_its_status_and_the_server_goes_on(self):
        with Server(self) as s:
            s.flow(flow("f", [log()], "inputs: [{id: a, type: STRING, required: false}]\n"))
            cases = [
                ("POST", "/flows", "x" * 70_000_000, "application/x-yaml", 413),
                ("POST", "/flows", "id: [", "application/x-yaml", 422),
                ("POST", "/flows", "{}", "text/html", 415),
                ("PUT", "/triggers", "{", "application/json", 400),
                ("POST", "/executions/t/f", "--x\r\nbroken", "multipart/form-data; boundary=x", 400),
                ("POST", "/executions/t/f", "x", "multipart/form-data", 400),
                ("GET", "/nope", None, None, 404),
                ("DELETE", "/flows/search", None, None, 405),
                ("GET", "/namespaces/t/files?path=/../../kv.db", None, None, 422),
                ("GET", "/namespaces/t/files?path=%2e%2e/x", None, None, 422),
            ]
            for method, path, body, type, status in cases:
                with self.subTest(path=path, status=status):
                    try:
                        self.assertEqual(s.call(method, path, body, type).status, status)
                    except (BrokenPipeError, ConnectionResetError):
                        self.assertEqual(status, 413)
            idle = []
            for _ in range(1000):
                c = http.client.HTTPConnection("127.0.0.1", s.port)
                c.connect()
                idle.append(c)
            began = time.monotonic()
            self.assertEqual(s.run("t", "f")["state"]["current"], "SUCCESS")
            self.assertLess(time.monotonic() - began, 5)
            for c in idle:
                c.close()

    def test_values_and_files(self):
        with Server(self) as s:
            for body, type, value in (('"v"', "application/json", ("STRING", "v")), ("plain text", "text/plain", ("STRING", "plain text")), ("12", "application/json", ("NUMBER", 12)),
                                      ('{"a": [1]}', "application/json", ("JSON", {"a": [1]})), ("true", "text/plain", ("BOOLEAN", True)), ("PT1H", "text/plain", ("DURATION", "PT1H"))):
                self.assertEqual(s.call("PUT", "/namespaces/t/kv/k", body, type).status, 200)
                got = s.get("/namespaces/t/kv/k").json
                self.assertEqual((got["type"], got["value"]), value)
            self.assertEqual([e["key"] for e in s.get("/namespaces/t/kv").json], ["k"])
            self.assertEqual([(e["namespace"], e["key"]) for e in s.get("/namespaces/t.u.v/kv/inheritance").json], [("t", "k")])
            self.assertEqual(s.get("/namespaces/t/kv/inheritance").json, [])
            self.assertEqual(s.call("DELETE", "/namespaces/t/kv/k").json, True)
            self.assertEqual(s.get("/namespaces/t/kv/k").status, 404)
            type, body = form({}, [("fileContent", "a.txt", b"hello file")])
            self.assertEqual(s.call("POST", "/namespaces/t/files?path=/dir/a.txt", body, type).status, 200)
            self.assertEqual(s.get("/namespaces/t/files?path=/dir/a.txt").body, b"hello file")
            self.assertEqual([e["fileName"] for e in s.get("/namespaces/t/files/directory?path=/").json], ["dir"])
            self.assertEqual(s.get("/namespaces/t/files/search?q=a.t").json, ["/dir/a.txt"])
            self.assertEqual(s.call("PUT", "/namespaces/t/files?from=/dir/a.txt&to=/b/c.txt").status, 200)
            self.assertEqual(s.get("/namespaces/t/files/stats?path=/b/c.txt").json["size"], 10)
            self.assertEqual(s.call("DELETE", "/namespaces/t/files?path=/b/c.txt").status, 200)
            self.assertEqual(s.get("/namespaces/t/files?path=/b/c.txt").status, 404)
            self.assertIn("sluice_executions_live 0", s.get("/metrics", prefix="").body.decode())
            self.assertEqual(s.get("/health", prefix="", auth=None).json, {"status": "UP"})

    def test_archives(self):
        def packed(entries):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
                for name, text in entries.items():
                    z.writestr(name, text)
            return out.getvalue()

        def unpacked(answer):
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/zip"), answer)
            with zipfile.ZipFile(io.BytesIO(answer.body)) as z:
                self.assertIsNone(z.testzip())
                return {n: z.read(n).decode() for n in z.namelist()}

        def upload(path, name, data, part="fileContent"):
            type, body = form({}, [(part, name, data)])
            return s.call("POST", path, body, type)

        log = f"tasks: [{{id: a, type: {CORE}log.Log, message: x}}]\n"
        with Server(self) as s:
            self.assertEqual(unpacked(s.get("/namespaces/t/files/export")), {})
            files = {"dir/a.txt": "hello", "b/ä.sql": "SELECT 1", "_flows/one.yaml": f"# kept\nid: one\nnamespace: elsewhere\n{log}"}
            self.assertEqual(upload("/namespaces/t/files?path=/all.zip", "all.zip", packed(files)).status, 200)
            self.assertEqual(unpacked(s.get("/namespaces/t/files/export")), {"dir/a.txt": "hello", "b/ä.sql": "SELECT 1"})
            self.assertEqual(s.get("/flows/t/one?source=true").json["source"], f"# kept\nid: one\nnamespace: t\n{log}")
            for bad in ("../x", "a/../../x", "/../x", "a/./../../x"):
                answer = upload("/namespaces/t/files?path=/all.zip", "all.zip", packed({"ok.txt": "1", bad: "2"}))
                self.assertEqual(answer.status, 422, bad)
                self.assertIn("would lead out", answer.json["message"])
            self.assertEqual(upload("/namespaces/t/files?path=/all.zip", "all.zip", packed({"ok.txt": "1", "_flows/x.yaml": "id: x\nnamespace: t\n"})).status, 422)
            self.assertEqual(upload("/namespaces/t/files?path=/all.zip", "all.zip", b"PK none").status, 422)
            bomb = upload("/namespaces/t/files?path=/all.zip", "all.zip", packed({f"{i}": b"\0" * (130 << 20) for i in range(2)}))
            self.assertEqual((bomb.status, "larger than" in bomb.json["message"]), (422, True), bomb)
            self.assertEqual(s.get("/namespaces/t/files/search?q=ok.txt").json, [], "all or nothing")

            self.assertEqual(upload("/flows/import", "flows.yaml", f"id: two\nnamespace: t\n{log}---\nid: three\nnamespace: t.u\n{log}".encode(), "fileUpload").json, [])
            exported = s.get("/flows/export/by-query?namespace=t")
            flows = unpacked(exported)
            self.assertEqual(sorted(flows), ["t.one.yml", "t.two.yml", "t.u.three.yml"])
            self.assertEqual(list(unpacked(s.call("POST", "/flows/export/by-ids", json.dumps([{"namespace": "t.u", "id": "three"}]), "application/json"))), ["t.u.three.yml"])
            self.assertEqual(s.call("DELETE", "/flows/delete/by-query?namespace=t").json, {"count": 3})
            self.assertEqual(upload("/flows/import", "flows.zip", exported.body, "fileUpload").status, 200)
            self.assertEqual(unpacked(s.get("/flows/export/by-query?namespace=t")), flows)
            self.assertEqual(upload("/flows/import", "x.yaml", b"id: bad\n", "fileUpload").status, 422)
            self.assertEqual(upload("/flows/import", "x.zip", packed({"readme.md": "no flow"}), "fileUpload").status, 422)

            self.assertEqual(s.call("POST", "/flows/disable/by-ids", json.dumps([{"namespace": "t", "id": "one"}]), "application/json").json, {"count": 1})
            self.assertEqual(s.call("POST", "/flows/disable/by-query?namespace=t").json, {"count": 2})
            self.assertEqual((s.get("/flows/t/two").json["disabled"], s.get("/flows/t/two").json["revision"]), (True, 4))
            self.assertEqual(s.call("POST", "/executions/t/two").status, 409)
            self.assertEqual(s.call("POST", "/flows/enable/by-query?q=two").json, {"count": 1})
            self.assertEqual(s.run("t", "two")["state"]["current"], "SUCCESS")
            self.assertEqual(s.call("POST", "/flows/enable/by-ids", json.dumps([{"namespace": "t", "id": "none"}]), "application/json").status, 404)


COUNT_ROWS = "echo '::{\"metrics\":[{\"name\":\"rows\",\"type\":\"counter\",\"value\":42}]}::'"


def shell(id, command):
    return {"id": id, "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [command]}


class Housekeeping(Case):
    """Tasks that look at, and clear away, other executions."""

    def test_namespace_files_of_tasks(self):
        """namespaceFiles of scripts and WorkingDirectory; whose, which, and what is in the way."""
        with Server(self) as s:
            for ns, path, text in (("company", "lib/common.txt", "above"), ("company.team", "main.txt", "own"), ("company.team", "lib/common.txt", "own common"), ("company.team", "x/skip.log", "log"),
                                   ("company.team.sub", "deep.txt", "below"), ("other", "secret.txt", "foreign")):
                type, body = form({}, [("fileContent", path.rsplit("/")[-1], text.encode())])
                self.assertEqual(s.call("POST", f"/namespaces/{ns}/files?path=/{path}", body, type).status, 200)

            def seen(properties, task="io.kestra.plugin.scripts.shell.Commands", state="SUCCESS"):
                shell = {"id": "sh", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": "io.kestra.plugin.core.runner.Process"}, "commands": ["find . -type f | sort | xargs -r grep -H ''"]}
                top = {**shell, **properties} if task == shell["type"] else {"id": "wd", "type": task, "tasks": [shell], **properties}
                s.flow(f"id: ns\nnamespace: company.team\ntasks:\n  - {json.dumps(top)}\n")
                x = s.run("company.team", "ns")
                log = s.get(f"/logs/{x['id']}/download").body.decode()
                self.assertEqual(x["state"]["current"], state, log)
                return re.findall(r"\./(\S+:.*)", log) if state == "SUCCESS" else log

            own = ["lib/common.txt:own common", "main.txt:own", "x/skip.log:log"]
            self.assertEqual(seen({}), [])
            self.assertEqual(seen({"namespaceFiles": {"enabled": False}}), [])
            self.assertEqual(seen({"namespaceFiles": {"enabled": True}}), own)
            self.assertEqual(seen({"namespaceFiles": {"enabled": True}}, "io.kestra.plugin.core.flow.WorkingDirectory"), own)
            self.assertEqual(seen({"namespaceFiles": {"include": ["**.txt"], "exclude": ["/lib/**"]}}), ["main.txt:own"])
            both = {"namespaces": ["company", "company.team", "company.team.sub"]}
            self.assertEqual(seen({"namespaceFiles": both}), ["deep.txt:below", *own])
            self.assertEqual(seen({"namespaceFiles": {**both, "ifExists": "IGNORE"}}), ["deep.txt:below", "lib/common.txt:above", *own[1:]])
            self.assertEqual(seen({"namespaceFiles": {"namespaces": ["company"], "folderPerNamespace": True}}), ["company/lib/common.txt:above"])
            self.assertIn("has a file 'lib/common.txt' already", seen({"namespaceFiles": {**both, "ifExists": "FAIL"}}, state="FAILED"))
            self.assertEqual(seen({"namespaceFiles": {"namespaces": ["other"]}}), ["secret.txt:foreign"])
            self.assertIn("is not", seen({"namespaceFiles": {"namespaces": ["company.team.."]}}, state="FAILED"))
            self.assertEqual(seen({"namespaceFiles": {}, "inputFiles": {"main.txt": "of the task"}}), [own[0], "main.txt:of the task", own[2]])

    def task(self, s, type, ns="system", **rest):
        s.flow(flow("h", [{"id": "h", "type": CORE + type, **rest}]).replace("namespace: t", f"namespace: {ns}"))
        x = s.run(ns, "h")
        return x["state"]["current"], x["taskRunList"][0].get("outputs"), x

    def test_purge_count_logs(self):
        with Server(self) as s:
            s.flow(flow("good", [log(), shell("s", COUNT_ROWS)], "inputs:\n  - {id: f, type: FILE}\n"))
            s.flow(flow("bad", [{"id": "x", "type": CORE + "execution.Fail"}]))
            s.flow(flow("other", [log()]).replace("namespace: t", "namespace: t2"))
            s.flow(flow("sleeps", [sleep()]))
            for i in range(5):
                x = s.run("t", "good", files=[("f", "in.csv", b"content")])
            s.run("t", "bad")
            s.run("t2", "other")
            lives = s.run("t", "sleeps", wait=False)
            state, out, _ = self.task(s, "execution.Count", expression="{{ count > 1 }}", namespaces=["t"])
            self.assertEqual((state, out), ("SUCCESS", {"results": [{"namespace": "t", "flowId": "good", "count": 5}], "total": 5}))
            state, out, _ = self.task(s, "execution.Count", expression="{{ count == 0 }}", flows=[{"namespace": "t", "flowId": "good"}, {"namespace": "t", "flowId": "bad"}], states=["SUCCESS"])
            self.assertEqual(out["results"], [{"namespace": "t", "flowId": "bad", "count": 0}])
            state, out, run = self.task(s, "log.Fetch", executionId=x["id"])
            self.assertEqual(out["size"], 1)
            self.assertIn(b"hello", s.get(f"/executions/{run['id']}/file?path={out['uri']}").body)
            metric = s.get(f"/logs/{x['id']}").json[1]["level"]
            self.assertNotEqual(metric, "INFO")
            state, out, run = self.task(s, "log.PurgeLogs", executionId=x["id"], logLevels=[metric, "ERROR"], endDate="{{ now() }}")
            self.assertEqual((state, out["count"]), ("SUCCESS", 1))
            self.assertEqual([e["level"] for e in s.get(f"/logs/{x['id']}").json], ["INFO"])
            self.assertEqual(self.task(s, "log.PurgeLogs", logLevels=["LOUD"], endDate="{{ now() }}")[0], "FAILED")
            state, out, run = self.task(s, "log.PurgeLogs", namespace="t", flowId="good", endDate="{{ now() }}")
            self.assertEqual((state, out["count"]), ("SUCCESS", 9))  # hello, and the metric, of five, but one
            self.assertEqual(s.get(f"/logs/{x['id']}").json, [])
            # A flow elsewhere may not clear away what is not its own.
            state, out, run = self.task(s, "execution.PurgeExecutions", ns="t2", namespace="t", endDate="{{ now() }}")
            self.assertEqual(state, "FAILED")
            self.assertIn("reaches executions of it and those below", s.get(f"/logs/{run['id']}").json[-1]["message"])
            state, out, _ = self.task(s, "execution.PurgeExecutions", namespace="t", endDate="{{ now() }}", states=["SUCCESS"], batchSize=2)
            self.assertEqual((state, out["executionsCount"], out["storagesCount"]), ("SUCCESS", 5, 5), out)
            self.assertEqual(out["metricsCount"], 5)
            self.assertEqual({f["flowId"] for f in s.search(namespace="t")["results"]}, {"bad", "sleeps"})
            self.assertEqual([p for p in (self.data / "storage" / "t").rglob("*") if p.is_file()], [])
            state, out, _ = self.task(s, "execution.PurgeExecutions", namespace="t", endDate="2000-01-01T00:00:00Z")
            self.assertEqual(out["executionsCount"], 0)
            self.task(s, "execution.PurgeExecutions", endDate="{{ now() }}")
            self.assertEqual({f["id"] for f in s.search(namespace="t")["results"]}, {lives["id"]})
            s.call("DELETE", f"/executions/{lives['id']}/kill")
            s.until(lives["id"], "KILLED")
            self.assertEqual(s.stop(), 0)
            self.ok(self.sluice("verify"))

    def test_resume_and_toggle(self):
        with Server(self) as s:
            s.flow(flow("p", [{"id": "p", "type": CORE + "flow.Pause", "onResume": [{"id": "why", "type": "STRING"}]}, back("r", "{{ outputs.p.onResume.why }}")],
                        "triggers:\n  - {id: s, type: io.kestra.plugin.core.trigger.Schedule, cron: '0 0 1 1 *'}\n"))
            x = s.run("t", "p", wait=False)
            s.until(x["id"], "PAUSED")
            state, _, run = self.task(s, "execution.Resume", executionId=x["id"], inputs={"why": "because"})
            self.assertEqual(state, "SUCCESS", s.get(f"/logs/{run['id']}").json)
            self.assertEqual(s.until(x["id"], "SUCCESS")["taskRunList"][1]["outputs"]["value"], "because")
            self.assertEqual(self.task(s, "execution.Resume", executionId=x["id"])[0], "FAILED")
            self.assertEqual(self.task(s, "execution.Resume", executionId="nope")[0], "FAILED")
            for enabled in (False, True):
                self.assertEqual(self.task(s, "trigger.Toggle", namespace="t", flowId="p", trigger="s", enabled=enabled)[0], "SUCCESS")
                self.assertEqual(s.get("/triggers/t/p").json["results"][0]["disabled"], not enabled)
            self.assertEqual(self.task(s, "trigger.Toggle", namespace="t", flowId="p", trigger="none")[0], "FAILED")

    def test_metrics_of_tasks(self):
        with Server(self) as s:
            s.flow(flow("m", [back("r", "four"), shell("s", COUNT_ROWS)]))
            x = s.run("t", "m")
            rows = s.get(f"/metrics/{x['id']}").json["results"]
            self.assertEqual([(m["taskId"], m["name"], m["type"], m["value"]) for m in rows], [("s", "rows", "counter", 42.0)])
            self.assertEqual(rows[0]["taskRunId"], x["taskRunList"][1]["id"])
            self.assertEqual([s.get(f"/metrics/{x['id']}?taskId={t}").json["total"] for t in "sr"], [1, 0])
            y = s.run("t", "m")
            self.assertEqual((s.get("/metrics/names/t/m").json, s.get("/metrics/names/t/m?taskId=r").json, s.get("/metrics/names/t/none").json), (["rows"], [], []))
            for how, value in (("", 84.0), ("?aggregation=sum", 84.0), ("?aggregation=avg", 42.0), ("?aggregation=MAX", 42.0), ("?aggregation=min&startDate=2000-01-01T00:00:00Z", 42.0)):
                got = s.get("/metrics/aggregates/t/m/rows" + how).json
                self.assertEqual((got["groupBy"], sum(a["value"] for a in got["aggregations"])), ("month" if "2000" in how else "day", value), how)
                self.assertRegex(got["aggregations"][0]["date"], r"^\d{4}-\d\d-\d\dT00:00:00Z$")
            self.assertEqual(s.get("/metrics/aggregates/t/m/rows?startDate=2000-01-01T00:00:00Z&endDate=2000-01-01T00:30:00Z").json, {"groupBy": "minute", "aggregations": []})
            self.assertEqual(s.get("/metrics/aggregates/t/m/rows?aggregation=median").status, 422)
            s.flow(flow("l", [{"id": "log", "type": CORE + "log.Log", "message": "hello"}]))
            z = s.run("t", "l")
            self.assertEqual([e["message"] for e in s.get(f"/logs/{z['id']}").json], ["hello"])
            self.assertEqual(s.call("DELETE", "/logs/t/l").status, 204)
            self.assertEqual((s.get(f"/logs/{z['id']}").json, s.get(f"/executions/{y['id']}").status), ([], 200))


if __name__ == "__main__":
    unittest.main()

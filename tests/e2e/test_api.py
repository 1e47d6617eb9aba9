"""The API where it does more than to store and to run: questions about flows and executions, drawings, states by hand, many at once."""

import json
import time
import unittest

from server import Server, form
from sluice import Case

CORE = "io.kestra.plugin.core."


def flow(id, tasks, rest="", ns="t"):
    return f"id: {id}\nnamespace: {ns}\n{rest}tasks: {json.dumps(tasks)}\n"


def log(id="l", message="hi"):
    return {"id": id, "type": CORE + "log.Log", "message": message}


def back(id, format):
    return {"id": id, "type": CORE + "debug.Return", "format": format}


def fail(id="bad", condition=None):
    return {"id": id, "type": CORE + "execution.Fail", **({"condition": condition} if condition else {})}


class Questions(Case):
    def test_flow_parts(self):
        """A task or a trigger by itself, with the lines and columns of what was sent."""
        with Server(self) as s:
            def ask(what, body, type="application/x-yaml"):
                a = s.call("POST", "/flows/validate/" + what, body, type)
                self.assertEqual(a.status, 200, a)
                return a.json.get("constraints")

            good = "id: a\ntype: io.kestra.plugin.core.log.Log\nmessage: |\n  one\n    two\n"
            self.assertIsNone(ask("task?section=TASKS", good))
            self.assertIsNone(ask("task?section=ERRORS", json.dumps(log()), "application/json"))
            self.assertRegex(ask("task?section=TASKS", good + "nope: 1\n"), r"^6:1: task 'a': .*nope")
            self.assertRegex(ask("task?section=FINALLY", "id: a\ntype: no.such.Type\n"), r"^2:7: .*no.such.Type")
            self.assertRegex(ask("task", "id: [\n"), r"^\d+:\d+: ")
            self.assertEqual(s.call("POST", "/flows/validate/task?section=NONE", good, "application/x-yaml").status, 422)
            self.assertIsNone(ask("trigger", "id: s\ntype: " + CORE + "trigger.Schedule\ncron: '@daily'\n"))
            self.assertRegex(ask("trigger", {"id": "s", "type": CORE + "trigger.Schedule", "cron": "61 * * * *"}, None), "61")

    def test_inputs(self):
        """What becomes of each input, before there is an execution; the checks; what a pause asks for."""
        text = """id: f
namespace: t
inputs:
  - {id: n, type: INT, min: 3}
  - {id: cloud, type: SELECT, values: [AWS, GCP], defaults: AWS}
  - {id: region, type: STRING, dependsOn: {inputs: [cloud], condition: "{{ inputs.cloud == 'GCP' }}"}}
  - {id: key, type: SECRET}
checks:
  - {condition: "{{ inputs.n < 10 }}", message: "{{ inputs.n }} is much", style: WARNING, behavior: FAIL_EXECUTION}
tasks:
  - {id: l, type: io.kestra.plugin.core.log.Log, message: x}
"""
        with Server(self) as s:
            s.flow(text)
            def ask(**inputs):
                type, body = form(inputs)
                a = s.call("POST", "/executions/t/f/validate", body, type)
                self.assertEqual(a.status, 200, a)
                return a.json
            a = ask(n="12", key="hush hush")
            self.assertEqual((a["id"], a["namespace"]), ("f", "t"))
            by = {i["input"]["id"]: i for i in a["inputs"]}
            self.assertEqual({k: (v["enabled"], v["isDefault"], v.get("value"), v["errors"]) for k, v in by.items()},
                             {"n": (True, False, 12, []), "cloud": (True, True, "AWS", []), "region": (False, False, None, []), "key": (True, False, None, [])})
            self.assertEqual(a["checks"], [{"message": "12 is much", "style": "WARNING", "behavior": "FAIL_EXECUTION"}])
            a = ask(n="2", cloud="GCP")
            errors = {i["input"]["id"]: [e["message"] for e in i["errors"]] for i in a["inputs"]}
            self.assertRegex(errors["n"][0], "more than `3`")
            self.assertEqual(errors["region"], ["region: Invalid input for `region`, missing required input, but received `null`"])
            self.assertEqual(len(errors["key"]), 1)
            self.assertEqual(s.search()["total"], 0, "nothing was made")
            self.assertEqual(s.call("POST", "/executions/t/none/validate").status, 404)
            s.flow(flow("p", [{"id": "p", "type": CORE + "flow.Pause", "onResume": [{"id": "why", "type": "STRING"}, {"id": "n", "type": "INT"}]}]))
            x = s.run("t", "p", wait=False)["id"]
            s.until(x, "PAUSED")
            type, body = form({"n": "many"})
            for path in ("/resume/validate", "/actions/resume/validate"):
                a = s.call("POST", f"/executions/{x}{path}", body, type)
                self.assertEqual([len(i["errors"]) for i in a.json["inputs"]], [1, 1], a)
            self.assertEqual(s.state(x), "PAUSED")
            s.flow(flow("form", [{"id": "p", "type": CORE + "flow.Pause", "onResume": [{"id": "f", "type": "FORM", "inputs": [{"id": "n", "type": "INT"}]}]}, back("r", "{{ inputs.g.a }} {{ outputs.p.onResume.f.n }}")],
                        "inputs: [{id: g, type: FORM, inputs: [{id: a, type: INT}]}]\n"))
            x = s.run("t", "form", wait=False, inputs={"g.a": "5"})["id"]
            s.until(x, "PAUSED")
            type, body = form({"f.n": "6"})
            self.assertEqual(s.call("POST", f"/executions/{x}/resume", body, type).status, 204)
            self.assertEqual(s.until(x, "SUCCESS")["taskRunList"][1]["outputs"]["value"], "5 6")
            s.flow(flow("resume", [log()], "inputs: [{id: a, type: INT}]\n"))
            self.assertEqual(s.call("POST", "/executions/t/resume/validate").json["id"], "resume")

    def test_expressions(self):
        """As the execution, or a task run in a loop, sees them; for authors, and without secrets in the answer."""
        tasks = [back("r", "one"), {"id": "e", "type": CORE + "flow.ForEach", "values": ["a", "b"], "tasks": [back("in", "{{ taskrun.value }}!")]}, {"id": "p", "type": CORE + "flow.Pause"}]
        with Server(self) as s:
            self.assertEqual(self.sluice("secret", "set", "-n", "t", "S", "-", stdin="not to be seen").rc, 0)
            s.flow(flow("f", tasks, "inputs: [{id: day, type: DATE, defaults: 2024-02-03}]\nvariables: {v: '{{ inputs.day }}'}\n"))
            x = s.run("t", "f", wait=False)["id"]
            s.until(x, "PAUSED")
            def ask(expression, path="", auth=None):
                return s.call("POST", f"/executions/{x}/{path or 'eval'}", expression, "text/plain", **({"auth": auth} if auth else {}))
            run = next(r["id"] for r in s.execution(x)["taskRunList"] if r.get("value") == "b")
            for expression, result in (("{{ outputs.r.value }}", "one"), ("{{ render(vars.v) | date('yyyy-MM') }}", "2024-02"), ("{{ outputs['in'].b.value }}", "b!"), ("plain", "plain")):
                self.assertEqual(ask(expression).json, {"result": result})
                self.assertEqual(ask(expression, "actions/eval").json, {"result": result})
            self.assertEqual(ask("{{ taskrun.value }} {{ currentEachOutput(outputs['in']).value }}", f"eval/{run}").json, {"result": "b b!"})
            self.assertRegex(ask("{{ outputs.none.value }}").json["error"], "Unable to find `none`")
            self.assertNotIn(b"not to be seen", ask("{{ secret('S') }}").body)
            self.assertEqual(ask("{{ 1 }}", "eval/nobody").status, 404)
            self.assertEqual(s.call("POST", "/executions/nobody/eval/r", "x", "text/plain").status, 404)
            token = s.call("POST", "/me/api-tokens", {"name": "o", "role": "operator"}).json["fullToken"]
            self.assertEqual(ask("{{ 1 }}", auth="Bearer " + token).status, 403)
            s.call("POST", f"/executions/{x}/resume")
            s.until(x, "SUCCESS")
            self.assertEqual(ask("{{ outputs.r.value }} {{ execution.state }}").json, {"result": "one SUCCESS"})

    def test_drawings(self):
        """Every node is reached, every edge has its ends, every box its start and end; what ran is there."""
        inner = [log("x"), {"id": "par", "type": CORE + "flow.Parallel", "tasks": [log("p1"), log("p2")]}]
        tasks = [log("first"), {"id": "choice", "type": CORE + "flow.If", "condition": "{{ true }}", "then": inner, "else": [log("no")], "errors": [log("mend")]},
                 {"id": "each", "type": CORE + "flow.ForEach", "values": [1, 2], "tasks": [back("v", "{{ taskrun.value }}")]},
                 {"id": "dag", "type": CORE + "flow.Dag", "tasks": [{"task": log("d1")}, {"task": log("d2"), "dependsOn": ["d1"]}]},
                 {"id": "sub", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "leaf"}]
        rest = "triggers: [{id: s, type: " + CORE + "trigger.Schedule, cron: '@daily'}]\nerrors: " + json.dumps([log("e1")]) + "\nfinally: " + json.dumps([log("f1")]) + "\nafterExecution: " + json.dumps([log("a1")]) + "\n"
        with Server(self) as s:
            s.flow(flow("leaf", [log()]))
            text = flow("f", tasks, rest)
            s.flow(text)
            x = s.run("t", "f")
            self.assertEqual(x["state"]["current"], "SUCCESS")
            graph = s.get("/flows/t/f/graph").json
            self.assertEqual(s.call("POST", "/flows/graph", text, "application/x-yaml").json, graph)
            nodes = {n["uid"]: n for n in graph["nodes"]}
            self.assertEqual(len(nodes), len(graph["nodes"]))
            after = {}
            for e in graph["edges"]:
                self.assertIn(e["source"], nodes)
                self.assertIn(e["target"], nodes)
                after.setdefault(e["source"], []).append(e["target"])
            reached, todo = set(), ["root.Triggers.$start"]
            while todo:
                at = todo.pop()
                if at not in reached:
                    reached.add(at)
                    todo += after.get(at, [])
            self.assertEqual(set(nodes) - reached, set())
            kind = {e["target"]: e["relation"] for e in graph["edges"]}
            self.assertEqual(kind["root.choice.no"], {"relationType": "CHOICE", "value": "else"})
            self.assertEqual(kind["root.dag.d2"], {"relationType": "PARALLEL"})
            self.assertEqual(nodes["root.e1"]["branchType"], "ERROR")
            self.assertTrue(nodes["root.choice.mend"]["error"])
            self.assertTrue(nodes["root.sub"]["type"].endswith("SubflowGraphTask"))
            self.assertEqual(graph["flowables"], ["choice", "par", "each", "dag"])
            boxes = {b["cluster"]["uid"]: b for b in graph["clusters"]}
            self.assertEqual(boxes["cluster_root.choice.par"]["parents"], ["cluster_root.choice"])
            for b in boxes.values():
                self.assertTrue({b["start"], b["end"]} <= set(b["nodes"]))
            ran = {n["uid"]: n for n in s.get(f"/executions/{x['id']}/graph").json["nodes"]}
            self.assertEqual(ran["root.first"]["taskRun"]["state"]["current"], "SUCCESS")
            self.assertEqual((ran["root.each.v"]["values"], ran["root.each.v"]["taskRun"]["outputs"]), (["1", "2"], {"value": "2"}))
            self.assertNotIn("taskRun", ran["root.choice.no"])
            self.assertEqual(ran["root.Triggers.s"]["trigger"]["triggerId"], "s")
            self.assertEqual(s.get("/flows/t/f/tasks/first").json, log("first"))
            self.assertEqual((s.get("/flows/t/f/tasks/none").status, s.get("/flows/t/none/graph").status, s.get("/executions/none/graph").status), (404, 404, 404))

    def test_dependencies(self):
        after = "triggers:\n  - {id: f, type: " + CORE + "trigger.Flow, preconditions: {id: p, flows: [{namespace: t, flowId: top}]}}\n"
        call = {"id": "c", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "leaf"}
        with Server(self) as s:
            for text in (flow("leaf", [log()]), flow("top", [{"id": "s", "type": CORE + "flow.Sequential", "tasks": [call]}]), flow("then", [log()], after), flow("far", [dict(call, flowId="top")]), flow("alone", [log()])):
                s.flow(text)
            def links(path):
                a = s.get(path).json
                self.assertLessEqual({u for e in a["edges"] for u in (e["source"], e["target"])}, {n["uid"] for n in a["nodes"]})
                name = {n["uid"]: n["id"] for n in a["nodes"]}
                return sorted(name.values()), sorted((name[e["source"]], name[e["target"]], e["relation"]) for e in a["edges"])
            self.assertEqual(links("/flows/t/leaf/dependencies"), (["leaf", "top"], [("top", "leaf", "FLOW_TASK")]))
            self.assertEqual(links("/flows/t/leaf/dependencies?expandAll=true")[0], ["far", "leaf", "then", "top"])
            self.assertEqual(links("/flows/t/top/dependencies?destinationOnly=true"), (["leaf", "then", "top"], [("top", "leaf", "FLOW_TASK"), ("top", "then", "FLOW_TRIGGER")]))
            self.assertEqual(len(links("/namespaces/t/dependencies")[1]), 3)
            self.assertEqual(s.get("/flows/t/none/dependencies").status, 404)

    def test_types(self):
        with Server(self) as s:
            groups = {g["name"]: g for g in s.get("/plugins", prefix="/api/v1").json}
            self.assertIn("io.kestra.plugin.gcp.gcs.Upload", [t["cls"] for t in groups["io.kestra.plugin.gcp"]["tasks"]])
            self.assertIn(CORE + "trigger.Schedule", [t["cls"] for t in groups["io.kestra.plugin.core"]["triggers"]])
            one = s.get("/plugins/io.kestra.plugin.gcp.gcs.Upload").json
            self.assertIn("from", one["schema"]["properties"]["properties"])
            self.assertIn("uri", one["schema"]["outputs"]["properties"])
            self.assertIn("* `from`", one["markdown"])
            self.assertEqual(s.get("/plugins/io.kestra.plugin.core.flow.WaitFor").json["schema"]["properties"]["title"], CORE + "flow.LoopUntil")
            self.assertIn("$defs", s.get("/plugins/schemas/flow").json)
            self.assertEqual(s.get("/plugins/none").status, 404)

    def test_searching_flows(self):
        with Server(self) as s:
            for id, ns, team in (("b", "t", "x"), ("a", "t.u", "y"), ("c", "s", "x")):
                s.flow(flow(id, [log()], f"labels: {{team: {team}}}\n", ns))
            def ids(query):
                return [f["id"] for f in s.get("/flows/search?" + query).json["results"]]
            self.assertEqual(ids(""), ["c", "b", "a"])
            self.assertEqual((ids("sort=id:asc"), ids("sort=id:desc"), ids("sort=namespace:desc")), (["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]))
            self.assertEqual((ids("labels=team:x"), ids("labels=team:y"), ids("labels=team:x&labels=team:y")), (["c", "b"], ["a"], []))
            self.assertEqual((ids("filters[namespace][EQUALS]=t"), ids("filters[query][EQUALS]=c")), (["b", "a"], ["c"]))
            self.assertEqual(s.get("/flows/search?sort=nope").status, 422)
            self.assertEqual(s.call("POST", "/flows/bulk?delete=true", flow("a", [log()]), "application/x-yaml").status, 422)


class ByHand(Case):
    def test_state_of_a_task_run(self):
        """What has failed is said to have succeeded: the execution goes on behind it, in a loop too, and over a kill."""
        with Server(self) as s:
            each = {"id": "each", "type": CORE + "flow.ForEach", "values": ["a", "b"], "concurrencyLimit": 0, "tasks": [fail("odd", "{{ taskrun.value == 'a' }}"), back("on", "{{ taskrun.value }}")]}
            s.flow(flow("f", [log("one"), each, back("last", "{{ outputs.on | keys }}")], "errors: " + json.dumps([log("e")]) + "\n"))
            x = s.run("t", "f")
            self.assertEqual(x["state"]["current"], "FAILED")
            run = next(r for r in x["taskRunList"] if r["taskId"] == "odd" and r["value"] == "a")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/state", {"taskRunId": run["id"], "state": "RUNNING"}).status, 422)
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/state", {"taskRunId": "none", "state": "SUCCESS"}).status, 404)
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/state", {"state": "SUCCESS"}).status, 422)
            error = next(r for r in x["taskRunList"] if r["taskId"] == "e")
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/state", {"taskRunId": error["id"], "state": "FAILED"}).status, 422)
            self.assertEqual(s.call("POST", f"/executions/{x['id']}/actions/state", {"taskRunId": run["id"], "state": "SUCCESS"}).status, 200)
            s.kill()
            s.start()
            done = s.until(x["id"], "SUCCESS")
            states = {(r["taskId"], r.get("value")): r["state"]["current"] for r in done["taskRunList"]}
            self.assertEqual(states, {("one", None): "SUCCESS", ("each", None): "SUCCESS", ("odd", "a"): "SUCCESS", ("odd", "b"): "SUCCESS", ("on", "a"): "SUCCESS", ("on", "b"): "SUCCESS", ("last", None): "SUCCESS"})
            self.assertEqual(json.loads(next(r for r in done["taskRunList"] if r["taskId"] == "last")["outputs"]["value"]), ["b", "a"])
        self.assertEqual(self.sluice("verify").rc, 0)

    def test_restart_and_replay_on_another_revision(self):
        """The flow is mended, and what had been done before stays done: as a new execution, the old one is as it was."""
        count = self.tmp / "count"
        once = {"id": "once", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "commands": [f"echo x >> {count}", "echo '::{\"outputs\":{\"n\":7}}::'"]}
        with Server(self) as s:
            box = {"id": "box", "type": CORE + "flow.Sequential", "tasks": [once, fail("bad")]}
            s.flow(flow("f", [box, log("end")], "errors: " + json.dumps([log("e")]) + "\n"))
            x = s.run("t", "f")["id"]
            s.flow(flow("f", [dict(box, tasks=[once, {"id": "bad", "type": CORE + "debug.Return", "format": "{{ outputs.once.vars.n }}"}]), log("end")]))
            self.assertEqual(s.call("POST", f"/executions/{x}/restart?revision=9").status, 404)
            self.assertEqual(s.call("POST", f"/executions/{x}/restart?revision=no").status, 400)
            fresh = s.call("POST", f"/executions/{x}/restart?revision=2").json
            self.assertNotEqual(fresh["id"], x)
            s.kill()
            s.start()
            done = s.until(fresh["id"], "SUCCESS")
            self.assertEqual((done["flowRevision"], done["parentId"], done["originalId"]), (2, x, x))
            self.assertEqual({r["taskId"]: r["outputs"].get("value") for r in done["taskRunList"]}, {"box": None, "once": None, "bad": "7", "end": None})
            self.assertEqual(len(count.read_text().split()), 1)
            old = s.execution(x)
            self.assertEqual((old["state"]["current"], sorted(r["taskId"] for r in old["taskRunList"])), ("FAILED", ["bad", "box", "e", "once"]))
            at = next(r["id"] for r in old["taskRunList"] if r["taskId"] == "bad")
            again = s.call("POST", f"/executions/{x}/replay?taskRunId={at}&revision=2").json["id"]
            self.assertEqual(s.until(again, "SUCCESS")["flowRevision"], 2)
            self.assertEqual(len(count.read_text().split()), 1)
            s.flow(flow("f", [fail("other"), once]))
            a = s.call("POST", f"/executions/{x}/replay?taskRunId={at}&revision=3")
            self.assertEqual(a.status, 422, a)
            self.assertIn(b"not in revision 3", a.body)
            self.assertEqual(s.call("POST", f"/executions/{x}/restart?revision=3").status, 422)
            whole = s.call("POST", f"/executions/{x}/replay?revision=3").json["id"]
            self.assertEqual(s.until(whole, "FAILED")["flowRevision"], 3)
        self.assertEqual(self.sluice("verify").rc, 0)

    def test_a_kill_reaches_what_was_called(self):
        """Subflows that nobody waits for too, those in a queue, and those of an execution that has ended; unless it is to be alone."""
        with Server(self) as s:
            sleep = {"id": "z", "type": CORE + "flow.Sleep", "duration": "PT1H"}
            s.flow(flow("leaf", [sleep], "concurrency: {limit: 1}\n"))
            s.flow(flow("mid", [{"id": "c", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "leaf", "wait": False}, sleep]))
            calls = [{"id": f"c{i}", "type": CORE + "flow.Subflow", "namespace": "t", "flowId": "mid", "wait": False} for i in range(2)]
            s.flow(flow("top", calls))
            for alone in (False, True):
                x = s.run("t", "top")["id"]
                while s.search(flowId="leaf", state="RUNNING")["total"] < 1 or s.search(flowId="leaf", state="QUEUED")["total"] < 1:
                    time.sleep(0.01)
                if alone:
                    self.assertEqual(s.call("DELETE", f"/executions/{x}/kill?isOnKillCascade=false").status, 409)
                    self.assertEqual(s.search(flowId="mid", state="RUNNING")["total"], 2)
                self.assertEqual(s.call("DELETE", f"/executions/{x}/kill").status, 202)
                while s.search(state="KILLED")["total"] < (8 if alone else 4):
                    time.sleep(0.01)
                self.assertEqual(s.state(x), "SUCCESS")


class Many(Case):
    def test_triggers(self):
        schedule = "triggers: [{id: s, type: " + CORE + "trigger.Schedule, cron: '0 0 1 * *'}]\n"
        sleep = {"id": "z", "type": CORE + "flow.Sleep", "duration": "PT1H"}
        with Server(self) as s:
            for id in ("a", "b", "c"):
                s.flow(flow(id, [sleep], schedule, "t" if id != "c" else "u"))
            def trigger(id, ns="t"):
                return {"namespace": ns, "flowId": id, "triggerId": "s"}
            def off():
                return sorted(t["triggerContext"]["flowId"] for t in s.get("/triggers/search?size=100").json["results"] if t["triggerContext"]["disabled"])
            def post(path, body=None):
                a = s.call("POST", "/triggers/" + path, body)
                self.assertEqual(a.status, 200, a)
                return a.json["count"]
            self.assertEqual(post("set-disabled/by-triggers", {"triggers": [trigger("a"), trigger("c", "u")], "disabled": True}), 2)
            self.assertEqual(off(), ["a", "c"])
            self.assertEqual(post("set-disabled/by-query?namespace=t&disabled=true"), 2)
            self.assertEqual(off(), ["a", "b", "c"])
            self.assertEqual(post("set-disabled/by-query?disabled=false"), 3)
            self.assertEqual(s.call("PUT", "/triggers/set-disabled", dict(trigger("b"), disabled=True)).json["disabled"], True)
            self.assertEqual((off(), post("unlock/by-query"), post("unlock/by-triggers", [trigger("a")])), (["b"], 3, 1))
            a = s.call("POST", "/triggers/set-disabled/by-triggers", {"triggers": [trigger("none"), trigger("b")], "disabled": False})
            self.assertEqual((a.status, len(a.json["invalids"]), a.json["count"], off()), (400, 1, 1, []))
            self.assertEqual(s.call("POST", "/triggers/set-disabled/by-triggers", {"disabled": True}).status, 422)
            for id in ("a", "b"):
                a = s.call("PUT", "/triggers/backfill/create", dict(trigger(id), backfill={"start": "2020-01-01T00:00:00Z", "end": "2020-03-02T00:00:00Z"}))
                self.assertEqual(a.status, 200, a)
            def paused():
                return {t["triggerContext"]["flowId"]: t["triggerContext"]["backfill"]["paused"] for t in s.get("/triggers/search?size=100").json["results"] if "backfill" in t["triggerContext"]}
            self.assertEqual(post("backfill/pause/by-triggers", [trigger("a")]), 1)
            self.assertEqual(paused(), {"a": True, "b": False})
            self.assertEqual(post("backfill/pause/by-query?namespace=t"), 2)
            self.assertEqual(post("backfill/unpause/by-query"), 2)
            self.assertEqual(paused(), {"a": False, "b": False})
            self.assertEqual(s.call("POST", "/triggers/backfill/delete/by-triggers", [trigger("c", "u")]).status, 400)
            self.assertEqual(post("backfill/delete/by-query"), 2)
            self.assertEqual(paused(), {})
            order = [t["triggerContext"]["flowId"] for t in s.get("/triggers/search?sort=flowId:desc").json["results"]]
            self.assertEqual((order, s.get("/triggers/search?sort=nope").status), (["c", "b", "a"], 422))

    def test_retention_by_size(self):
        """The oldest go until logs and files fit; what runs and what is of the namespace stays."""
        path = self.tmp / "sluice.yaml"
        path.write_text("retention: {maxSize: 1XB}\n")
        r = self.sluice("server", "--config", path, "--check")
        self.assertEqual(r.rc, 2)
        self.assertIn("1:22: configuration: 'maxSize' must be a size such as 50GB, not '1XB'", r.err)
        path.write_text("retention: {maxSize: 1.1MB}\n")
        shell = {"id": "s", "type": "io.kestra.plugin.scripts.shell.Commands", "taskRunner": {"type": CORE + "runner.Process"}, "outputFiles": ["*.bin"], "commands": ["head -c 300000 /dev/urandom > a.bin"]}
        with Server(self) as s:
            s.flow(flow("f", [shell]))
            s.flow(flow("z", [{"id": "z", "type": CORE + "flow.Sleep", "duration": "PT1H"}]))
            lives = s.run("t", "z", wait=False)["id"]
            type, body = form({}, [("fileContent", "big.bin", b"x" * 900000)])
            self.assertEqual(s.call("POST", "/namespaces/t/files?path=/big.bin", body, type).status, 200)
            ids = [s.run("t", "f")["id"] for _ in range(6)]
            s.stop()
            s.args = ("--config", str(path))
            s.start()
            end = time.monotonic() + 20
            while s.search(flowId="f")["total"] > 3 and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(0.5)
            left = [x["id"] for x in s.search(flowId="f", sort="startDate:asc")["results"]]
            self.assertEqual(left, ids[3:], "three of 300 kB fit")
            self.assertEqual(s.state(lives), "RUNNING")
            self.assertEqual(len(s.get("/namespaces/t/files?path=/big.bin").body), 900000)
            self.assertEqual(s.call("DELETE", f"/executions/{lives}/kill").status, 202)

    def test_labels_by_query(self):
        with Server(self) as s:
            s.flow(flow("f", [log()]))
            ids = [s.run("t", "f")["id"] for _ in range(3)]
            a = s.call("POST", "/executions/labels/by-query?flowId=f", [{"key": "k", "value": "v"}])
            self.assertEqual(a.json, {"count": 3}, a)
            self.assertEqual(s.search(labels="k:v")["total"], len(ids))


if __name__ == "__main__":
    unittest.main()

"""Flows as a whole: flowables, common properties, inputs, outputs, errors and finally, working folders."""

import json
import unittest

from scripted import Scripted
from sluice import Case

SHELL = "type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}"
RETURN = "type: io.kestra.plugin.core.debug.Return"
LOG = "type: io.kestra.plugin.core.log.Log"
FAIL = "type: io.kestra.plugin.core.execution.Fail"
FLOW = "io.kestra.plugin.core.flow."


class Language(Case):
    def run_flow(self, body, *args, rc=0):
        done = self.flow("id: f\nnamespace: n\n" + body, "--output", "json", *args)
        self.assertEqual(done.rc, rc, done)
        doc = json.loads(done.out)
        doc["err"] = done.err
        doc["states"] = {t["id"]: t["state"] for t in doc["taskRuns"]}
        return doc

    def value(self, doc, task):
        return [t for t in doc["taskRuns"] if t["id"] == task][-1]["outputs"]["value"]

    def test_if_and_switch(self):
        doc = self.run_flow(
            f"""
inputs:
  - {{id: kind, type: STRING, defaults: b}}
tasks:
  - id: if
    type: {FLOW}If
    condition: "{{{{ inputs.kind == 'b' }}}}"
    then: [{{id: yes, {RETURN}, format: taken}}]
    else: [{{id: no, {RETURN}, format: not}}]
  - id: switch
    type: {FLOW}Switch
    value: "{{{{ inputs.kind }}}}"
    cases:
      a: [{{id: ca, {RETURN}, format: a}}]
      b: [{{id: cb, {RETURN}, format: "b {{{{ outputs.yes.value }}}}"}}]
    defaults: [{{id: cd, {RETURN}, format: d}}]
"""
        )
        self.assertEqual(set(doc["states"]), {"if", "yes", "switch", "cb"})
        self.assertEqual(self.value(doc, "cb"), "b taken")

    def test_parallel_runs_at_once_and_stops_after_a_failure(self):
        doc = self.run_flow(
            f"""
tasks:
  - id: par
    type: {FLOW}Parallel
    concurrent: 2
    tasks:
      - {{id: a, {SHELL}, commands: ["touch ../../a-runs; for i in $(seq 100); do [ -e ../../b-runs ] && exit 0; sleep 0.05; done; exit 1"]}}
      - {{id: b, {SHELL}, commands: ["touch ../../b-runs; for i in $(seq 100); do [ -e ../../a-runs ] && exit 0; sleep 0.05; done; exit 1"]}}
  - id: seq
    type: {FLOW}Sequential
    tasks:
      - {{id: bad, {FAIL}, errorMessage: on purpose}}
      - {{id: never, {RETURN}, format: x}}
""",
            rc=1,
        )
        self.assertEqual({k: doc["states"][k] for k in ("a", "b", "par", "bad", "seq")}, {"a": "SUCCESS", "b": "SUCCESS", "par": "SUCCESS", "bad": "FAILED", "seq": "FAILED"})
        self.assertNotIn("never", doc["states"])

    def test_an_endless_program_in_the_outputs(self):
        """The loop evaluates them for all executions: it waits a second, where a task's jq has ten."""
        doc = self.run_flow(f"""tasks: [{{id: t, {LOG}, message: x}}]\noutputs: [{{id: o, type: STRING, value: "{{{{ 1 | jq('def f: f; f') }}}}"}}]""", rc=1)
        self.assertIn("o: the jq program `def f: f; f` ran for more than 1 s and was ended", doc["err"])

    def test_errors_and_finally(self):
        doc = self.run_flow(
            f"""
tasks:
  - {{id: good, {RETURN}, format: fine}}
  - {{id: bad, {FAIL}, errorMessage: on purpose}}
errors:
  - {{id: said, {RETURN}, format: "{{{{ tasksWithState('FAILED') | jq('map(.taskId)') | first }}}} {{{{ errorLogs()[0].message }}}} {{{{ tasks.good.state }}}}"}}
finally:
  - {{id: last, {RETURN}, format: "{{{{ outputs.good.value }}}}"}}
""",
            rc=1,
        )
        self.assertEqual(doc["state"], "FAILED")
        self.assertEqual(self.value(doc, "said"), '["bad"] on purpose SUCCESS')
        self.assertEqual(self.value(doc, "last"), "fine")

    def test_allow_failure_run_if_disabled(self):
        doc = self.run_flow(
            f"""
tasks:
  - {{id: soft, {FAIL}, allowFailure: true}}
  - {{id: block, type: {FLOW}AllowFailure, tasks: [{{id: inner, {FAIL}}}]}}
  - {{id: skipped, {RETURN}, format: x, runIf: "{{{{ false }}}}"}}
  - {{id: off, {RETURN}, format: x, disabled: true}}
  - {{id: end, {RETURN}, format: reached}}
"""
        )
        self.assertEqual(doc["state"], "WARNING")
        self.assertEqual({k: v for k, v in doc["states"].items()}, {"soft": "WARNING", "block": "WARNING", "inner": "FAILED", "skipped": "SKIPPED", "end": "SUCCESS"})

    def test_retry_and_timeout(self):
        answers = [500, 503, 200]
        with Scripted(lambda r: (answers.pop(0), {}, b"body")) as s:
            doc = self.run_flow(f"tasks:\n  - {{id: h, type: io.kestra.plugin.core.http.Request, uri: '{s.url}', method: POST, retry: {{type: constant, interval: PT0.1S, maxAttempts: 5}}}}\n")
            self.assertEqual((len(s.requests), doc["taskRuns"][0]["attempts"]), (3, 3))
        doc = self.run_flow(f"tasks:\n  - {{id: slow, {SHELL}, commands: [sleep 30], timeout: PT0.5S}}\n", rc=1)
        self.assertIn("Timeout after PT0.5S", doc["err"])
        self.assertLess(doc["durationMs"], 10000)

    def test_states_of_tasks_and_all_variables(self):
        doc = self.run_flow(f"""
variables: {{v: 1}}
tasks:
  - id: outer
    type: {FLOW}ForEach
    values: [p, q]
    tasks:
      - {{id: l, {RETURN}, format: x}}
      - {{id: seq, type: {FLOW}Sequential, tasks: [{{id: d, {RETURN}, format: x}}]}}
  - {{id: fail, type: io.kestra.plugin.core.execution.Fail, allowFailure: true}}
  - {{id: r, {RETURN}, format: "{{{{ tasks.l.p.state }}}} {{{{ tasks.seq.q.state }}}} {{{{ tasks.d.state }}}} {{{{ tasks.outer.state }}}} {{{{ tasks.fail.state }}}} {{{{ tasks | keys | length }}}}"}}
  - {{id: c, {RETURN}, format: "{{{{ fetchContext().vars.v }}}} {{{{ fetchContext().tasks.fail.state }}}} {{{{ fromJson(printContext()).flow.id }}}} {{{{ printContext() is json }}}}"}}
""")
        self.assertEqual((self.value(doc, "r"), self.value(doc, "c")), ("SUCCESS SUCCESS SUCCESS SUCCESS WARNING 6", "1 WARNING f true"))

    def test_forms(self):
        body = """
inputs:
  - id: where
    type: FORM
    displayName: A section
    inputs:
      - {id: region, type: SELECT, values: [eu, us], defaults: eu}
      - {id: zone, type: INT, dependsOn: {inputs: [where.region], condition: "{{ inputs.where.region == 'us' }}"}, defaults: 1}
  - {id: name, type: STRING, dependsOn: {inputs: [where.region]}, defaults: "{{ inputs.where.region }}-1"}
tasks:
  - {id: r, RETURN, format: "{{ inputs }} {{ inputs.where.zone }}"}
""".replace("RETURN", RETURN)
        self.assertEqual(self.value(self.run_flow(body), "r"), '{"where":{"region":"eu","zone":1},"name":"eu-1"} 1')
        self.assertEqual(self.value(self.run_flow(body, "-i", "where.region=us", "-i", "where.zone=7"), "r"), '{"where":{"region":"us","zone":7},"name":"us-1"} 7')
        self.assertIn("where.region", self.flow("id: f\nnamespace: n\n" + body, "-i", "where.region=asia").err)
        for bad, message in (
            ("{id: f, type: FORM}", "a FORM needs 'inputs'"), ("{id: f, type: FORM, inputs: [{id: g, type: FORM, inputs: [{id: x, type: INT}]}]}", "a FORM cannot be in another one"), ("{id: f, type: STRING, inputs: [{id: g, type: INT}]}", "only a FORM has 'inputs'"),
            ("{id: f, type: FORM, inputs: [{id: x, type: INT}, {id: x, type: INT}]}", "Duplicate input 'f.x'"), ("{id: f, type: FORM, defaults: {x: 1}, inputs: [{id: x, type: INT}]}", "has no 'defaults'"), ("{type: FORM, inputs: [{id: x, type: INT}]}", "an input needs an 'id'"),
            ("{id: f, type: FORM, inputs: [{id: x, type: INT, dependsOn: {inputs: [y]}}]}", "depends on a non-existent input 'y'"),
        ):
            with self.subTest(bad):
                self.assertIn(message, self.flow(f"id: f\nnamespace: n\ninputs:\n  - {bad}\ntasks:\n  - {{id: r, {RETURN}}}\n").err)

    def test_inputs_of_all_types(self):
        (self.tmp / "in.txt").write_text("content")
        body = """
inputs:
  - {id: s, type: STRING, validator: "[a-z]+"}
  - {id: i, type: INT, min: 1, max: 10}
  - {id: f, type: FLOAT}
  - {id: b, type: BOOLEAN}
  - {id: e, type: SELECT, values: [one, two]}
  - {id: m, type: MULTISELECT, values: [x, y, z]}
  - {id: dt, type: DATETIME}
  - {id: d, type: DATE}
  - {id: t, type: TIME}
  - {id: du, type: DURATION}
  - {id: j, type: JSON}
  - {id: y, type: YAML}
  - {id: u, type: URI}
  - {id: a, type: ARRAY, itemType: INT}
  - {id: mail, type: EMAIL}
  - {id: file, type: FILE}
  - {id: opt, type: STRING, required: false}
  - {id: nested.part, type: INT, defaults: 7}
tasks:
  - id: r
    type: io.kestra.plugin.core.debug.Return
    format: >-
      {{ inputs.s }} {{ inputs.i + 1 }} {{ inputs.f * 2 }} {{ inputs.b ? 'yes' : 'no' }} {{ inputs.e }} {{ inputs.m | join('+') }}
      {{ inputs.dt | dateAdd(1, 'DAYS') | date('yyyy-MM-dd') }} {{ inputs.d }} {{ inputs.t }} {{ inputs.du }} {{ inputs.j.k[1] }} {{ inputs.y.k }}
      {{ inputs.u }} {{ inputs.a[0] + 1 }} {{ inputs.mail }} {{ read(inputs.file) }} {{ inputs.opt ?? 'none' }} {{ inputs.nested.part }}
"""
        args = {"s": "abc", "i": "4", "f": "1.5", "b": "true", "e": "two", "m": '["x","z"]', "dt": "2024-02-28T10:00:00Z", "d": "2024-01-31", "t": "10:11:12", "du": "PT1H", "j": '{"k": [1, "two"]}',
                "y": "k: v", "u": "https://example.com/x", "a": "[41]", "mail": "a@example.com", "file": "@" + str(self.tmp / "in.txt")}
        doc = self.run_flow(body, *[x for k, v in args.items() for x in ("-i", f"{k}={v}")])
        self.assertEqual(self.value(doc, "r").split(), "abc 5 3.0 yes two x+z 2024-02-29 2024-01-31 10:11:12 3600.0 two v https://example.com/x 42 a@example.com content none 7".split())
        for wrong in ("s=ABC", "i=11", "f=x", "e=three", "m=[\"w\"]", "dt=yesterday", "d=2024-02-30", "t=25:00", "du=1 hour", "j={", "u=not a uri", "a=[\"x\"]", "mail=nobody"):
            with self.subTest(wrong):
                name = wrong.split("=")[0]
                given = {**args, name: wrong.split("=", 1)[1]}
                done = self.flow("id: f\nnamespace: n\n" + body, "-q", *[x for k, v in given.items() for x in ("-i", f"{k}={v}")])
                self.assertEqual(done.rc, 2, done)
                self.assertIn(name, done.err)

    def test_outputs_variables_labels_defaults(self):
        doc = self.run_flow(
            f"""
labels: {{team: data}}
variables: {{greeting: "hello {{{{ flow.id }}}}", list: [1, 2]}}
pluginDefaults:
  - {{type: io.kestra.plugin.core.debug, values: {{format: "by default"}}}}
  - {{type: io.kestra.plugin.core.log.Log, forced: true, values: {{level: WARN}}}}
tasks:
  - {{id: r, {RETURN}}}
  - {{id: own, {RETURN}, format: "{{{{ render(vars.greeting) }}}} {{{{ vars.list | length }}}} {{{{ labels.team }}}}"}}
  - {{id: log, {LOG}, message: loud, level: DEBUG}}
  - {{id: label, type: io.kestra.plugin.core.execution.Labels, labels: {{stage: "{{{{ outputs.r.value }}}}"}}}}
outputs:
  - {{id: sum, type: INT, value: "{{{{ vars.list[0] + vars.list[1] }}}}"}}
""",
            "--label",
            "run=by-hand",
        )
        self.assertEqual((self.value(doc, "r"), self.value(doc, "own")), ("by default", "hello f 2 data"))
        self.assertRegex(doc["err"], "WARN +log: loud")
        self.assertEqual(doc["outputs"], {"sum": 3})
        self.assertEqual({k: v for k, v in doc["labels"].items() if not k.startswith("system.")}, {"team": "data", "run": "by-hand", "stage": "by default"})

    def test_key_values(self):
        doc = self.run_flow(
            f"""
tasks:
  - {{id: set, type: io.kestra.plugin.core.kv.Set, key: k, value: '{{"a": 1}}', kvType: JSON}}
  - {{id: get, type: io.kestra.plugin.core.kv.Get, key: k}}
  - {{id: keys, type: io.kestra.plugin.core.kv.GetKeys, prefix: k}}
  - {{id: r, {RETURN}, format: "{{{{ kv('k').a }}}} {{{{ outputs.get.value.a }}}} {{{{ outputs.keys.keys | join(',') }}}}"}}
  - {{id: del, type: io.kestra.plugin.core.kv.Delete, key: k}}
  - {{id: gone, {RETURN}, format: "{{{{ kv('k', errorOnMissing=false) ?? 'gone' }}}} {{{{ outputs.del.deleted }}}}"}}
"""
        )
        self.assertEqual((self.value(doc, "r"), self.value(doc, "gone")), ("1 1 k", "gone true"))

    def test_changed_key_values(self):
        put = "io.kestra.plugin.core.kv.Put"
        steps = [
            ("x", "x"), ({"a": 1, "n": {"x": 1}}, {"a": 1, "n": {"x": 1}}), ({"n": {"y": 2}, "z": [1]}, {"a": 1, "n": {"x": 1, "y": 2}, "z": [1]}),
            ([{"key": "a", "value": 7}, {"key": "n.x", "value": "{{ 1 + 1 }}"}, {"key": "q.w", "value": {"k": None}}], {"a": 7, "n": {"x": 2, "y": 2}, "z": [1], "q": {"w": {"k": None}}}),
            ([{"value": "only"}], "only"), ([1, 2], [1, 2]), ([{"foo": 1}], [{"foo": 1}]), ("{{ {'r': 1} }}", {"r": 1}), (True, True),
        ]
        tasks = [t for i, (value, _) in enumerate(steps) for t in ({"id": f"p{i}", "type": put, "key": "k", "value": value}, {"id": f"g{i}", "type": "io.kestra.plugin.core.kv.Get", "key": "k"})]
        doc = self.run_flow("tasks: " + json.dumps(tasks) + "\n")
        self.assertEqual([self.value(doc, f"g{i}") for i in range(len(steps))], [kept for _, kept in steps])
        for value, more, message in [
            ([{"key": "a", "value": 1}], {}, "what is stored is no map"), ([{"key": "a", "value": 1}, {"value": 2}], {"key": "new"}, "with and without a key cannot be mixed"),
            ([{"value": 1}, {"value": 2}], {}, "must be the only one"), ([{"key": " ", "value": 1}], {"key": "new"}, "must be a text that is not empty"),
            ([{"key": "a." * 200 + "b", "value": 1}], {"key": "new"}, "has too many parts"), ("x", {"key": "new", "errorOnMissing": True}, "there is no value for the key 'new'"),
        ]:
            with self.subTest(message):
                self.assertIn(message, self.run_flow("tasks: " + json.dumps([{"id": "p", "type": put, "key": "k", "value": value, **more}]) + "\n", rc=1)["err"])
        # What is said of a value stays: its end, its description. Changes at the same time are all there.
        many = [{"id": f"m{i}", "type": put, "key": "k2", "value": {f"v{i}": i}} for i in range(20)]
        doc = self.run_flow("tasks: " + json.dumps([
            {"id": "s", "type": "io.kestra.plugin.core.kv.Set", "key": "k2", "value": "{{ {} }}", "kvType": "JSON", "ttl": "PT1H", "kvDescription": "mine"},
            {"id": "all", "type": FLOW + "Parallel", "tasks": many}, {"id": "g", "type": "io.kestra.plugin.core.kv.Get", "key": "k2"},
        ]) + "\n")
        self.assertEqual(self.value(doc, "g"), {f"v{i}": i for i in range(20)})
        entry = next(e for e in json.loads(self.ok(self.sluice("kv", "list", "--output", "json", "--namespace", "n")).out) if e["key"] == "k2")
        self.assertEqual(entry["description"], "mine")
        self.assertTrue(entry["expirationDate"])

    def test_templated_tasks(self):
        kind = "io.kestra.plugin.core.templating.TemplatedTask"

        def made(spec, **kw):
            doc = self.run_flow("variables: {f: format}\ntasks: " + json.dumps([{"id": "t", "type": kind, "spec": spec}]) + "\n", **kw)
            return doc["err"] if kw else next(t for t in doc["taskRuns"] if t["id"] == "t")["outputs"]

        self.assertEqual(made("id: inner\n" + RETURN + "\n{{ vars.f }}: \"{{ 1 + 1 }} {{ task.id }} {{ '{{' }} 3 + 4 }}\"\n"), {"value": "2 t 7"})
        self.assertIn("written", made("type: io.kestra.plugin.core.storage.Write\ncontent: hello\n")["uri"])
        self.assertEqual(made("type: io.kestra.core.tasks.flows.Pause\ndelay: PT0S\n", rc=1).count("holds other tasks"), 1)
        for spec, message in [
            ("type: " + kind + "\nspec: x", "itself"), ("[1]", "has no 'type'"), ("", "has no 'type'"), ("a: [", "property 'spec'"), ("type: io.kestra.plugin.core.debug.Nope", "does not exist"),
            (RETURN + "\nnope: 1", "unknown property 'nope'"), ("type: io.kestra.plugin.core.execution.Fail\nerrorMessage: from inside", "from inside"), ("type: io.kestra.plugin.core.kv.Get", "the property 'key' is missing"),
        ]:
            with self.subTest(spec):
                self.assertIn(message, made(spec, rc=1))

    FOLDER = f"""
tasks:
  - id: dir
    type: {FLOW}WorkingDirectory
    inputFiles: {{"in.txt": "given"}}
    outputFiles: ["*.out"]
    cache: {{patterns: ["kept/**"], ttl: TTL}}
    tasks:
      - {{id: one, {SHELL}, commands: ["cat in.txt > a.out; mkdir -p kept; echo x >> kept/count; chmod +x kept/count"]}}
      - {{id: two, {SHELL}, commands: ["cat kept/count | wc -l; test -x kept/count; cat a.out >> b.out; echo '::{{\\"outputs\\": {{\\"count\\": '$(cat kept/count | wc -l)'}}}}::'"]}}
  - {{id: r, {RETURN}, format: "{{{{ outputs.two.vars.count }}}} {{{{ read(outputs.dir.outputFiles['b.out']) }}}}"}}
"""

    def test_working_directory_and_its_cache(self):
        body = self.FOLDER.replace("TTL", "PT1H")
        self.assertEqual(self.value(self.run_flow(body), "r"), "1 given")
        # The set that the first execution left is found by the others, and counts from the first.
        self.assertEqual([self.value(self.run_flow(body), "r") for _ in range(2)], ["2 given", "2 given"])
        self.assertEqual(self.value(self.run_flow(self.FOLDER.replace("TTL", "PT0S")), "r"), "1 given")
        self.assertEqual([p for p in (self.data / "work").iterdir()], [])

    def test_a_script_has_only_its_environment(self):
        doc = self.run_flow(f"tasks:\n  - {{id: e, {SHELL}, env: {{MINE: here}}, commands: ['env | cut -d= -f1 | sort | tr \"\\n\" \" \" > e.txt'], outputFiles: [e.txt]}}\n  - {{id: r, {RETURN}, format: \"{{{{ read(outputs.e.outputFiles['e.txt']) }}}}\"}}\n")
        self.assertNotIn("SLUICE_DATA_DIR", self.value(doc, "r"))
        self.assertIn("MINE", self.value(doc, "r"))

    def test_next_dates(self):
        path = self.tmp / "scheduled.yaml"
        path.write_text(f"id: f\nnamespace: n\ntasks: [{{id: l, {LOG}, message: x}}]\ntriggers:\n  - {{id: night, type: io.kestra.plugin.core.trigger.Schedule, cron: '30 2 * * *', timezone: Europe/Paris}}\n")
        done = self.ok(self.sluice("trigger", "next", path, "--count", "2", "--from", "2024-03-29T12:00:00Z"))
        self.assertEqual(
            done.out,
            "night: 30 2 * * *\n  2024-03-30T01:30:00.000Z  Sat 2024-03-30 02:30:00 +01:00\n  2024-04-01T00:30:00.000Z  Mon 2024-04-01 02:30:00 +02:00  the clocks have changed\n",
        )
        done = self.ok(self.sluice("trigger", "next", path, "--output", "json", "--count", "1", "--from", "2024-05-01"))
        self.assertEqual(json.loads(done.out)[0]["dates"][0]["date"], "2024-05-01T00:30:00.000Z")
        self.assertEqual(self.sluice("trigger", "next", path, "--from", "soon").rc, 2)

    def test_sleep_and_purge(self):
        doc = self.run_flow(
            f"""
tasks:
  - {{id: sh, {SHELL}, outputFiles: [x], commands: ["echo x > x"]}}
  - {{id: sleep, type: io.kestra.plugin.core.flow.Sleep, duration: PT0.3S}}
  - {{id: purge, type: io.kestra.plugin.core.storage.PurgeCurrentExecutionFiles}}
"""
        )
        self.assertGreater(doc["durationMs"], 300)
        self.assertEqual([p for p in (self.data / "storage").rglob("*") if p.is_file()], [])


class Loop(Case):
    """2.0's Loop: items, and nothing but the declared outputs comes out."""

    run_flow = Language.run_flow

    def outputs(self, doc, task="loop"):
        return [t for t in doc["taskRuns"] if t["id"] == task][-1]["outputs"]

    def loop(self, values, tasks, more="", after="", **kw):
        return self.run_flow(f"tasks:\n  - id: loop\n    type: {FLOW}Loop\n    values: {values}\n{more}    tasks:\n{tasks}{after}", **kw)

    def test_items(self):
        body = f"      - {{id: r, {RETURN}, format: \"{{{{ item.index }}}}:{{{{ item.value }}}}{{{{ item.key is defined ? '/' ~ item.key : '' }}}}\"}}\n      - {{id: s, {RETURN}, format: \"<{{{{ outputs.r.value }}}}>\"}}\n"
        more = "    outputs: [{id: o, type: STRING, value: '{{ outputs.s.value }}'}, {id: n, type: INT, value: '{{ item.index * 2 }}'}]\n"
        for values, said in (
            ("[a, a, {x: 1}, 2.5]", ["<0:a>", "<1:a>", '<2:{"x":1}>', "<3:2.5>"]),
            ("{k1: v1, k2: [1, 2]}", ["<0:v1/k1>", "<1:[1,2]/k2>"]),
            ("'[\"p\", 7]'", ["<0:p>", "<1:7>"]), ("'{\"k\": true}'", ["<0:true/k>"]), ("[]", []),
        ):
            for limit in ("", "    concurrencyLimit: 0\n", "    concurrencyLimit: 2\n"):
                out = self.outputs(self.loop(values, body, more + limit))
                self.assertEqual([o["outputs"]["o"] for o in out["outputs"]], said)
                self.assertEqual([o["outputs"]["n"] for o in out["outputs"]], [2 * i for i in range(len(said))])
                self.assertEqual((out["iterationCount"], out["runningIterations"], out["terminatedIterations"]), (len(said), 0, {"SUCCESS": len(said)} if said else {}))
        self.assertEqual([o["item"] for o in self.outputs(self.loop("{k: v}", body, more))["outputs"]], [{"value": "v", "iteration": 0, "key": "k"}])

    def test_what_is_inside_stays_inside(self):
        body = f"      - {{id: r, {RETURN}, format: 'in'}}\n"
        doc = self.loop("[1]", body, after=f"  - {{id: out, {RETURN}, format: \"{{{{ outputs.r.value }}}}\"}}\n", rc=1)
        self.assertRegex(doc["err"], "Unable to find `r`")
        self.assertNotIn("outputs", self.outputs(doc))
        nested = f"""      - {{id: first, {RETURN}, format: "{{{{ item.value }}}}"}}
      - id: inner
        type: {FLOW}Loop
        values: [x, y]
        outputs: [{{id: o, type: STRING, value: "{{{{ outputs.deep.value }}}}"}}]
        tasks:
          - id: if
            type: {FLOW}If
            condition: "{{{{ item.value == 'y' }}}}"
            then: [{{id: deep, {RETURN}, format: "{{{{ outputs.first.value }}}}{{{{ item.parent.value }}}}{{{{ item.parents[0].index }}}}{{{{ item.value }}}}{{{{ outputs.before.value }}}}"}}]
            else: [{{id: deep2, {LOG}, message: x}}, {{id: each, type: {FLOW}ForEach, values: [p, q], tasks: [{{id: v, {RETURN}, format: "{{{{ taskrun.value }}}}{{{{ item.value }}}}"}}]}}, {{id: sum, {RETURN}, format: "{{{{ outputs.v.p.value }}}}{{{{ outputs.v.q.value }}}}"}}]
"""
        flow = f"tasks:\n  - {{id: before, {RETURN}, format: B}}\n  - id: loop\n    type: {FLOW}Loop\n    values: [a, b]\n    concurrencyLimit: 0\n    outputs: [{{id: o, type: JSON, value: \"{{{{ outputs.inner.outputs }}}}\"}}]\n    tasks:\n" + nested.replace('value: "{{ outputs.deep.value }}"', 'value: "{{ outputs.deep.value ?? outputs.sum.value }}"')
        out = self.outputs(self.run_flow(flow))
        self.assertEqual([[i["outputs"]["o"] for i in o["outputs"]["o"]] for o in out["outputs"]], [["pxqx", "aa0yB"], ["pxqx", "bb1yB"]])

    def test_files(self):
        write = f"tasks:\n  - {{id: w, {SHELL}, outputFiles: [a.ion], commands: [\"printf '%s' \\\"$TEXT\\\" > a.ion\"], env: {{TEXT: \"{{{{ inputs.text }}}}\"}}}}\n"
        loop = f"  - id: loop\n    type: {FLOW}Loop\n    values: \"{{{{ outputs.w.outputFiles['a.ion'] }}}}\"\n    outputs: [{{id: o, type: STRING, value: \"{{{{ outputs.r.value }}}}\"}}]\n%s    tasks: [{{id: r, {RETURN}, format: \"{{{{ item.value }}}}!\"}}]\n"
        text = '{a:1}\nplain words\n\n"quoted"\n'
        for more, files in (("", True), ("    fetchType: FETCH\n", False), ("    fetchType: STORE\n", True)):
            doc = self.run_flow("inputs: [{id: text, type: STRING}]\n" + write + loop % more, "-i", "text=" + text)
            got = [o["outputs"] for o in self.outputs(doc)["outputs"]]
            if files:
                got = [{"o": (self.data / "storage" / g["uri"].removeprefix("kestra:///")).read_text()} for g in got]
                self.assertEqual([g["o"] for g in got], ['{o:"{\\"a\\":1}!"}\n', '{o:"plain words!"}\n', '{o:"quoted!"}\n'])
            else:
                self.assertEqual([g["o"] for g in got], ['{"a":1}!', "plain words!", "quoted!"])

    def test_failures(self):
        body = f"      - {{id: bad, {FAIL}, condition: \"{{{{ item.value == 'b' }}}}\"}}\n      - {{id: r, {RETURN}, format: ok}}\n"
        more = "    outputs: [{id: o, type: STRING, value: '{{ outputs.r.value }}'}]\n"
        doc = self.loop("[a, b, c]", body, more, rc=1)
        self.assertEqual(self.outputs(doc)["terminatedIterations"], {"SUCCESS": 1, "FAILED": 1})
        doc = self.loop("[a, b, c]", body, more + "    transmitFailed: false\n", f"  - {{id: z, {LOG}, message: on}}\n")
        out = self.outputs(doc)
        self.assertEqual((doc["states"]["loop"], doc["states"]["z"], out["terminatedIterations"]), ("SUCCESS", "SUCCESS", {"SUCCESS": 2, "FAILED": 1}))
        self.assertEqual([o.get("outputs") for o in out["outputs"]], [{"o": "ok"}, None, {"o": "ok"}])
        for values, said in (("[a, null]", "index 1 is null"), ("'words'", "must be a list, a map"), ("kestra:///none", "safe|none|another")):
            self.assertRegex(self.loop(values, body, rc=1)["err"], said)
        self.assertRegex(self.loop("[1]", body, "    outputs: [{id: o, type: INT, value: '{{ outputs.none.value }}'}]\n", rc=1)["err"], "output 'o' of the iteration with index 0")
        done = self.flow("id: f\nnamespace: n\ntasks:\n  - {id: l, type: io.kestra.plugin.core.flow.Loop, values: [1], outputs: [{id: o, value: x}], tasks: [{id: a, " + LOG + ", message: x}]}\n")
        self.assertRegex(done.err, r"task 'l': outputs\[0\]: .*'type'")


if __name__ == "__main__":
    unittest.main()

"""taskCache: what an earlier run of the same task has left, in place of another run."""

import json
import shutil
import time
import unittest

from sluice import Case

FLOW = """
id: f
namespace: n
inputs: [{{id: a, type: STRING, defaults: x}}]
tasks:
  - id: work
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {{type: io.kestra.plugin.core.runner.Process}}
    taskCache: {{enabled: true{ttl}}}
    outputFiles: ["*.txt", "sub/*"]
    commands:
      - "echo run >> {count}"
      - "mkdir sub; echo content-{{{{ inputs.a }}}} > one.txt; echo {{{{ workingDir }}}} > sub/two; {more}"
      - "echo '::{{\\"outputs\\":{{\\"a\\":\\"{{{{ inputs.a }}}}\\"}}}}::'"
  - id: read
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ read(outputs.work.outputFiles['one.txt']) }}}}{{{{ outputs.work.vars.a }}}}"
"""


class TaskCache(Case):
    def setUp(self):
        super().setUp()
        self.count = self.tmp / "count"

    def go(self, *args, ttl="", more="true", rc=0):
        done = self.flow(FLOW.format(count=self.count, ttl=ttl, more=more), "--output", "json", *args)
        self.assertEqual(done.rc, rc, done)
        doc = json.loads(done.out.splitlines()[-1])
        doc["err"] = done.err
        doc["value"] = next((t["outputs"]["value"] for t in doc["taskRuns"] if t["id"] == "read"), None)
        return doc

    def runs(self):
        return len(self.count.read_text().split())

    def test_the_same_again(self):
        first = self.go()
        second = self.go()
        self.assertEqual((first["value"], second["value"], self.runs()), ("content-x\nx", "content-x\nx", 1))
        self.assertIn("taskCache: these are the outputs of an earlier run", second["err"])
        files = [next(t for t in d["taskRuns"] if t["id"] == "work")["outputs"]["outputFiles"] for d in (first, second)]
        self.assertEqual([sorted(f) for f in files], [["one.txt", "sub/two"]] * 2)
        self.assertIn(second["executionId"], files[1]["one.txt"], "a file of this execution, not of the earlier one")
        for path in self.data.glob("storage/**/executions/" + first["executionId"]):
            shutil.rmtree(path)
        self.assertEqual((self.go()["value"], self.runs()), ("content-x\nx", 1), "the earlier execution's files are not needed")
        self.assertEqual((self.go("-i", "a=y")["value"], self.runs()), ("content-y\ny", 2))
        self.assertEqual((self.go(more="echo more")["value"], self.runs()), ("content-x\nx", 3), "other properties are another run")

    def test_age(self):
        self.go(ttl=", ttl: PT1H")
        self.go(ttl=", ttl: PT1H")
        self.assertEqual(self.runs(), 1)
        time.sleep(0.2)
        self.go(ttl=", ttl: PT0.1S")
        self.assertEqual(self.runs(), 2)

    def test_failures_are_not_kept(self):
        self.go(more="false; exit 3", rc=1)
        self.go(more="false; exit 3", rc=1)
        self.assertEqual(self.runs(), 2)

    def test_a_damaged_entry_is_no_harm(self):
        self.go()
        for path in self.data.glob("cache/tasks/*/*/outputs"):
            path.write_bytes(path.read_bytes()[:-3] + b"xyz")
        doc = self.go()
        self.assertEqual((doc["value"], self.runs()), ("content-x\nx", 2))
        self.assertRegex(doc["err"], "taskCache: .*reading the cached outputs")
        self.assertEqual((self.go()["value"], self.runs()), ("content-x\nx", 2))

    def test_values_of_a_loop_and_secrets(self):
        flow = """
id: f
namespace: n
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [a, b]
    tasks:
      - id: work
        type: io.kestra.plugin.core.debug.Return
        taskCache: {enabled: true}
        format: "{{ secret('S') }} {{ uuid() is empty }}"
  - {id: out, type: io.kestra.plugin.core.debug.Return, format: "{{ outputs.work | keys }} {{ outputs.work.a.value | length }}"}
"""
        self.ok(self.sluice("secret", "set", "-n", "n", "S", "-", stdin="a-canary-that-must-not-lie-around"))
        for i in range(2):
            doc = json.loads(self.ok(self.flow(flow, "--output", "json")).out.splitlines()[-1])
            self.assertEqual(next(t for t in doc["taskRuns"] if t["id"] == "out")["outputs"]["value"], '["a","b"] 39')
        kept = list(self.data.glob("cache/tasks/*/*/outputs"))
        self.assertEqual(len(kept), 2)
        for path in self.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"a-canary-that", path.read_bytes(), path)

    def test_what_it_is_not_for(self):
        done = self.flow("id: f\nnamespace: n\ntasks:\n  - {id: s, type: io.kestra.plugin.core.flow.Sequential, taskCache: {enabled: true}, tasks: [{id: l, type: io.kestra.plugin.core.log.Log, message: x}]}\n")
        self.assertEqual(done.rc, 2)
        self.assertRegex(done.err, r":4:\d+: task 's': a taskCache is only supported on runnable tasks")


if __name__ == "__main__":
    unittest.main()

"""Scripts in Python and Node.js with the Process runner."""

import json
import pathlib
import shutil
import subprocess
import sys
import unittest
import zipfile

from sluice import Case

PROCESS = "taskRunner: {type: io.kestra.plugin.core.runner.Process}"
PYTHON = "io.kestra.plugin.scripts.python."


def indented(text, n):
    return "".join(" " * n + line + "\n" for line in text.strip("\n").splitlines())


class Scripts(Case):
    def script(self, text, extra="", rc=0, type=PYTHON + "Script", property="script", **kw):
        flow = f"id: s\nnamespace: tests\ntasks:\n  - id: s\n    type: {type}\n    {PROCESS}\n{indented(extra, 4)}    {property}: |\n{indented(text, 6)}"
        done = self.flow(flow, "--output", "json", **kw)
        self.assertEqual(done.rc, rc, done)
        return done, json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]

    def log(self, done):
        return self.ok(self.sluice("execution", "logs", done.id)).out

    def test_a_data_folder_named_from_here(self):
        script = {"id": "s", "type": PYTHON + "Script", "taskRunner": {"type": "io.kestra.plugin.core.runner.Process"}, "script": "open('made.txt', 'w').write('made')", "outputFiles": ["made.txt"]}
        read = {"id": "r", "type": "io.kestra.plugin.core.debug.Return", "format": "{{ read(outputs.s.outputFiles['made.txt']) }} {{ workingDir ?? '' }}"}
        (self.tmp / "f.yaml").write_text(f"id: f\nnamespace: t\ntasks: {json.dumps([script, read])}\n")
        for how in (("--data-dir", "near"), ("--data-dir", "./a/b")):
            done = self.ok(self.sluice("run", "f.yaml", "--output", "json", *how))
            self.assertEqual(json.loads(done.out.splitlines()[-1])["taskRuns"][1]["outputs"]["value"], "made ")
        self.assertTrue((self.tmp / "near" / "state.db").exists() and (self.tmp / "a" / "b" / "state.db").exists())

    def test_kestra(self):
        done, out = self.script(
            """
from kestra import Kestra
import os, pathlib
from helper import twice
assert (true, false, null) == (True, False, None)
Kestra.outputs({"n": twice(21), "text": "ä \\"q\\"", "list": [1, None]})
Kestra.counter("rows", 7, {"kind": "x"})
Kestra.timer("took", 1.5)
Kestra.timer("called", lambda: None)
Kestra.logger().warning("from the logger")
print("plain line")
pathlib.Path("out/deep").mkdir(parents=True)
pathlib.Path("out/deep/a.txt").write_text(open("in.txt").read().upper())
assert os.environ["PYTHONUNBUFFERED"] == "true"
""",
            'inputFiles:\n  helper.py: "def twice(n): return 2 * n"\n  in.txt: hello\noutputFiles: ["**"]',
        )
        self.assertEqual(out["vars"], {"n": 42, "text": 'ä "q"', "list": [1, None]})
        self.assertEqual(sorted(k for k in out["outputFiles"] if "__pycache__" not in k), ["helper.py", "in.txt", "out/deep/a.txt"], "nothing of ours")
        self.assertEqual((self.data / "storage" / out["outputFiles"]["out/deep/a.txt"].removeprefix("kestra:///")).read_text(), "HELLO")
        self.assertRegex(done.err, r"WARN +s: from the logger")
        self.assertRegex(done.err, r"INFO +s: plain line")

    def test_folders(self):
        """{{ workingDir }} and {{ outputDir }} are known to every property; what is put into the latter is kept under its name there."""
        shell = dict(type="io.kestra.plugin.scripts.shell.Script")
        text = """
test "{{ workingDir }}" = "$PWD" && test "{{ workingDir }}" = "$WORKING_DIR" && test "$FROM_ENV" = "$PWD/x"
{% if outputDir is defined %}
test "{{ outputDir }}" = "$OUTPUT_DIR"
mkdir "{{ outputDir }}/deep"; echo kept > "$OUTPUT_DIR/deep/a b.txt"; echo top > {{ outputDir }}/t
{% else %}
test -z "${OUTPUT_DIR:-}"
{% endif %}
echo own > own.txt"""
        more = 'env: {FROM_ENV: "{{ workingDir }}/x"}\noutputFiles: ["**"]\n'
        for extra, names in ((more, ["own.txt"]), (more + "outputDirectory: true", ["deep/a b.txt", "own.txt", "t"])):
            _, out = self.script(text, extra, **shell)
            self.assertEqual(sorted(out["outputFiles"]), names)
        self.assertEqual((self.data / "storage" / out["outputFiles"]["deep/a b.txt"].removeprefix("kestra:///").replace("%20", " ")).read_text(), "kept\n")
        done = self.flow('id: s\nnamespace: tests\ntasks:\n  - {id: s, type: io.kestra.plugin.scripts.shell.Commands, runner: PROCESS, commands: ["echo x > {{ outputDir }}/o"]}\n', "--output", "json")
        self.assertEqual(list(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["outputFiles"]), ["o"], done)

    def test_failure(self):
        done, out = self.script("print('before')\nraise ValueError('wrong')", rc=1)
        self.assertRegex(done.err, r'script.py", line 5, in <module>')
        self.assertRegex(done.err, r"ValueError: wrong")
        self.assertEqual(out["exitCode"], 1)
        done, out = self.script("import sys; sys.exit(7)", rc=1)
        self.assertEqual(out["exitCode"], 7)

    def test_secrets_do_not_show(self):
        """The text is in a file of 0600, not on a command line, and gone afterwards."""
        self.script("import subprocess\nassert 'canary-4711' not in subprocess.run(['ps', 'axww'], capture_output=True, text=True).stdout\n# canary-4711")
        left = [p for p in (self.data / "work").rglob("*") if p.is_file()] if (self.data / "work").exists() else []
        self.assertEqual(left, [])

    def wheel(self, name="demo_dependency", version="1.0"):
        path = self.tmp / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as z:
            z.writestr(f"{name}.py", "ANSWER = 42\n")
            info = f"{name}-{version}.dist-info"
            z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
            z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            z.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        return path

    @unittest.skipUnless(subprocess.run(["python3", "-m", "pip", "--version"], capture_output=True).returncode == 0, "SKIPPED: this machine's python3 has no pip")
    def test_dependencies(self):
        wheel = self.wheel()
        text = "import demo_dependency, kestra\nprint('::{\"outputs\": {\"answer\": %d}}::' % demo_dependency.ANSWER)"
        extra = f"dependencies: ['{wheel}']\npackageManager: PIP"
        env = {"SLUICE_X": "1"}
        self.assertEqual(self.script(text, extra, env=env)[1]["vars"], {"answer": 42})
        wheel.unlink()
        self.assertEqual(self.script(text, extra, env=env)[1]["vars"], {"answer": 42}, "from the cache")
        done, _ = self.script(text, extra.replace("1.0", "2.0"), rc=1)
        self.assertRegex(done.err, r"the dependencies could not be installed")
        kept = list((self.data / "cache" / "python").iterdir())
        self.assertEqual(len(kept), 1, "nothing half-done")

    def test_virtual_environment(self):
        _, out = self.script("import sys\nprint('::{\"outputs\": {\"prefix\": \"' + sys.prefix + '\"}}::')", "beforeCommands: ['python3 -m venv --without-pip env', '. env/bin/activate']")
        self.assertTrue(out["vars"]["prefix"].endswith("/env"), out)

    def test_commands(self):
        _, out = self.script('["python3 main.py one"]', 'inputFiles:\n  main.py: |\n    import sys\n    from kestra import Kestra\n    Kestra.outputs({"args": sys.argv[1:]})', type=PYTHON + "Commands", property="commands")
        self.assertEqual(out["vars"], {"args": ["one"]})

    def test_stored_files(self):
        """kestra:/// URIs in a script are paths when it runs."""
        flow = f"""
id: s
namespace: tests
inputs: [{{id: file, type: FILE}}]
tasks:
  - id: s
    type: {PYTHON}Script
    {PROCESS}
    script: |
      from kestra import Kestra
      Kestra.outputs({{"lines": len(open("{{{{ inputs.file }}}}").readlines())}})
"""
        path = self.tmp / "in.csv"
        path.write_text("a\nb\nc\n")
        done = self.ok(self.flow(flow, "-i", f"file=@{path}", "--output", "json"))
        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["vars"], {"lines": 3})

    @unittest.skipUnless(shutil.which("node"), "SKIPPED: node is not installed")
    def test_node(self):
        _, out = self.script("const fs = require('fs');\nfs.writeFileSync('out.txt', 'x');\nconsole.log('::' + JSON.stringify({outputs: {n: 6 * 7}}) + '::');", "outputFiles: [out.txt]", type="io.kestra.plugin.scripts.node.Script")
        self.assertEqual((out["vars"], list(out["outputFiles"])), ({"n": 42}, ["out.txt"]))


if __name__ == "__main__":
    unittest.main()

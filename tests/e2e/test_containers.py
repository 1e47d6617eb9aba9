"""Scripts in containers: against Podman's service, and against a scripted engine for what none does on demand."""

import json
import os
import signal
import subprocess
import time
import unittest

from containers import Podman
from scripted import Scripted
from server import Server
from sluice import PROGRAM, Case

SHELL = "io.kestra.plugin.scripts.shell.Commands"


def flow(task, id="c"):
    whole = {"id": "c", "type": SHELL, "containerImage": "busybox:test", **task}
    return f"id: {id}\nnamespace: tests\ntasks:\n  - " + json.dumps({k: v for k, v in whole.items() if v is not None}) + "\n"


class WithPodman(Case):
    @classmethod
    def setUpClass(cls):
        cls.podman = Podman()
        if cls.podman.reason:
            raise unittest.SkipTest("SKIPPED: " + cls.podman.reason)
        cls.addClassCleanup(cls.podman.close)

    def env(self, extra=None):
        return super().env({"DOCKER_HOST": self.podman.host, **(extra or {})})

    def tearDown(self):
        self.assertEqual(self.podman.containers(), [], "nothing is left behind")

    def script(self, rc=0, **task):
        done = self.flow(flow(task), "--output", "json")
        self.assertEqual(done.rc, rc, done)
        return done, json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes()

    def test_files_and_output(self):
        long = "d" * 90 + "/" + "f" * 120 + ".txt"
        done, out = self.script(
            inputFiles={"in.txt": "hello", long: "deep", "run.sh": "echo started; mkdir -p out/sub; cat in.txt */f* > out/sub/o.txt"},
            outputFiles=["out/**", "*.log", "d*/*"],
            env={"WHO": "me"},
            commands=["echo $WHO in $WORKING_DIR; echo oops >&2", "sh run.sh", "echo '::{\"outputs\": {\"n\": 42}}::'", "seq 30000", "test $(pwd) = $WORKING_DIR", "echo x > my.log; chmod 600 my.log"],
        )
        self.assertEqual((out["vars"], out["exitCode"], out["stdErrLineCount"], out["stdOutLineCount"]), ({"n": 42}, 0, 1, 30003))
        self.assertEqual(sorted(out["outputFiles"]), [long, "my.log", "out/sub/o.txt"])
        self.assertEqual(self.stored(out["outputFiles"]["out/sub/o.txt"]), b"hellodeep")
        self.assertRegex(done.err, r"INFO +c: me in /")
        self.assertRegex(done.err, r"ERROR +c: oops")
        self.assertEqual(sorted(int(l.split()[-1]) for l in done.err.splitlines() if l.split()[-1].isdigit()), list(range(1, 30001)))

    def test_output_folder(self):
        """What is put into {{ outputDir }} comes out of the container, by its name there."""
        _, out = self.script(outputDirectory=True, commands=["test {{ outputDir }} = $OUTPUT_DIR && test {{ workingDir }} = $PWD", "mkdir $OUTPUT_DIR/d; echo kept > $OUTPUT_DIR/d/a.txt"])
        self.assertEqual(list(out["outputFiles"]), ["d/a.txt"])
        self.assertEqual(self.stored(out["outputFiles"]["d/a.txt"]), b"kept\n")

    def test_exit_code(self):
        done, out = self.script(rc=1, commands=["echo before", "false_command || exit 7", "echo after"], outputFiles=["**"])
        self.assertEqual((out["exitCode"], out["outputFiles"]), (7, {}))
        self.assertRegex(done.err, "exit code 7")
        self.assertNotRegex(done.err, "after")

    def test_options(self):
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "user": "1000:1000", "networkMode": "none", "extraHosts": ["one:10.0.0.1"], "cpu": {"cpus": 0.5}, "memory": {"memory": "64MB"}, "pullPolicy": "NEVER"}
        _, out = self.script(taskRunner=runner, commands=["echo $(id -u) > user.txt"], outputFiles=["*.txt"])
        self.assertEqual(self.stored(out["outputFiles"]["user.txt"]), b"1000\n")
        _, out = self.script(taskRunner={**runner, "user": "0", "fileHandlingStrategy": "MOUNT"}, commands=["cat in.txt in.txt > twice.txt"], inputFiles={"in.txt": "ab"}, outputFiles=["twice.txt"])
        self.assertEqual(self.stored(out["outputFiles"]["twice.txt"]), b"abab")
        _, out = self.script(docker={"image": "busybox:test"}, runner="DOCKER", containerImage=None, commands=["exit 0"])
        self.assertEqual(out["exitCode"], 0)

    def test_images_that_cannot_be_had(self):
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "pullPolicy": "NEVER"}
        done, _ = self.script(rc=1, containerImage="nowhere/none:1", taskRunner=runner, commands=["true"])
        self.assertRegex(done.err, "the image 'nowhere/none:1' is not on this machine, and 'pullPolicy' is NEVER")
        done, _ = self.script(rc=1, containerImage="localhost:1/none:1", commands=["true"])
        self.assertRegex(done.err, "none:1")

    def test_stored_files_and_shared_folders(self):
        path = self.tmp / "in.csv"
        path.write_text("a\nb\nc\n")
        text = """
id: w
namespace: tests
inputs: [{id: file, type: FILE}]
tasks:
  - id: w
    type: io.kestra.plugin.core.flow.WorkingDirectory
    tasks:
      - {id: one, type: TYPE, containerImage: "busybox:test", commands: ["wc -l < {{ inputs.file }} > n.txt"]}
      - {id: two, type: TYPE, containerImage: "busybox:test", commands: ["cat n.txt n.txt > nn.txt"], outputFiles: ["*.txt"]}
""".replace("TYPE", SHELL)
        done = self.ok(self.flow(text, "-i", f"file=@{path}", "--output", "json"))
        out = json.loads(done.out.splitlines()[0])["taskRuns"][2]["outputs"]
        self.assertEqual(self.stored(out["outputFiles"]["nn.txt"]), b"3\n3\n")

    def test_python(self):
        """Kestra's beginner's pipeline: a script in Python's image, its file queried by the next task."""
        self.podman.load("python:test", self.podman.python())
        _, out = self.script(
            type="io.kestra.plugin.scripts.python.Script",
            commands=None,
            containerImage="python:test",
            script="from kestra import Kestra\nimport json, ssl\nKestra.outputs({'n': len(json.load(open('data.json'))), 'true': true})\nopen('out.json', 'w').write('[]')",
            inputFiles={"data.json": "[1, 2, 3]"},
            outputFiles=["*.json"],
        )
        self.assertEqual((out["vars"], sorted(out["outputFiles"])), ({"n": 3, "true": True}, ["data.json", "out.json"]))

    def killed_at_first(self, path):
        """Runs the flow until its script prints "first"; the execution."""
        process = subprocess.Popen([PROGRAM, "run", str(path)], env=self.env(), cwd=self.tmp, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "execution" in line:
                id = line.split()[1].rstrip(":")
            if "first" in line:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return id

    def test_taken_up_after_a_crash(self):
        """The container outlives us; the script runs once, and all that it printed is there."""
        path = self.tmp / "flow.yaml"
        path.write_text(flow({"commands": ["echo first", "for i in $(seq 40); do test -e go && break; sleep 0.1; done", "sleep 1", "echo '::{\"outputs\": {\"end\": true}}::'"]}))
        id = self.killed_at_first(path)
        names = [line.split()[0] for line in self.podman.containers()]
        self.assertEqual(len(names), 1)
        done = self.ok(self.sluice("run", "--continue", id, "--output", "json"))
        self.assertRegex(done.err, "is taken up again")
        self.assertEqual(json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]["vars"], {"end": True})

    def test_not_taken_up_after_a_crash(self):
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "resume": False}
        path = self.tmp / "flow.yaml"
        path.write_text(flow({"taskRunner": runner, "inputFiles": {"wait": "yes"}, "commands": ["echo first", "sleep 2"]}))
        id = self.killed_at_first(path)
        before = [line.split()[0] for line in self.podman.containers()]
        done = self.ok(self.sluice("run", "--continue", id))
        self.assertNotIn("is taken up again", done.err)
        self.assertIn("first", done.err)
        self.assertEqual((len(before), self.podman.containers()), (1, []))

    def test_killed(self):
        with Server(self, env={"DOCKER_HOST": self.podman.host}) as server:
            server.flow(flow({"commands": ["echo up", "sleep 100"]}, id="killed"))
            id = server.run("tests", "killed", wait=False)["id"]
            for _ in range(200):
                if b"up" in server.get(f"/logs/{id}").body:
                    break
                time.sleep(0.05)
            self.assertEqual(len(self.podman.containers()), 1)
            server.call("DELETE", f"/executions/{id}/kill")
            server.until(id, "KILLED")
            for _ in range(200):
                if not self.podman.containers():
                    break
                time.sleep(0.05)
            self.assertEqual(self.podman.containers(), [])

    def test_host_access(self):
        """A server gives containers its machine's files only when it is told to; who runs a flow by hand may."""
        (self.tmp / "secret.txt").write_text("mine")
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "volumes": [f"{self.tmp}:/host:ro"]}
        _, out = self.script(taskRunner=runner, commands=["cat /host/secret.txt > o.txt"], outputFiles=["o.txt"])
        self.assertEqual(self.stored(out["outputFiles"]["o.txt"]), b"mine")
        with Server(self, env={"DOCKER_HOST": self.podman.host}) as server:
            server.flow(flow({"taskRunner": runner, "commands": ["true"]}, id="v"))
            done = server.run("tests", "v")
            self.assertEqual(done["state"]["current"], "FAILED")
            log = server.get(f"/logs/{done['id']}").body
            self.assertIn(b"containerHostAccess", log)


def frame(stream, data):
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


class ScriptedEngine(Case):
    def engine(self, **answers):
        """An engine whose container prints and ends well, save for what is said otherwise."""
        state = {}
        output = frame(1, b"zero\none\ntw") + frame(2, b"bad\n") + frame(1, b"o\nthree")

        def answer(r):
            parts = r.path.split("/")
            name = "create" if r.path.endswith("/create") else "images" if parts[1] == "images" else parts[3] if len(parts) > 3 else "remove"
            if name in answers:
                return answers[name](r, state, output)
            if name == "json":
                return (200, {}, {"State": {"Status": "exited", "ExitCode": 0}}) if state.get("started") else (404, {}, {"message": "none"})
            if name == "attach":
                return 200, {"Content-Type": "application/vnd.docker.raw-stream"}, output
            if name == "logs":
                return 200, {"Content-Type": "application/vnd.docker.multiplexed-stream"}, output
            if name == "start":
                state["started"] = True
            return 201 if name == "create" else 204 if name in ("start", "remove") else 200, {}, {"Id": "x"} if name == "create" else b""

        return Scripted(answer)

    def run_it(self, engine, rc=0, **task):
        done = self.flow(flow({"commands": ["true"], **task}), "--output", "json", env={"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}"})
        self.assertEqual(done.rc, rc, done)
        return done

    def lines(self, done):
        return [line.split("c: ", 1)[1] for line in done.err.splitlines() if " c: " in line]

    def test_output_that_is_cut(self):
        """It is read again from its beginning; nothing is lost or told twice."""

        def attach(r, state, output):
            return 200, {"Content-Length": str(len(output)), "Connection": "close"}, output[:20]

        def logs(r, state, output):
            state["reads"] = state.get("reads", 0) + 1
            cut = {1: 3, 2: 17, 3: 30}.get(state["reads"], len(output))
            return 200, {"Content-Length": str(len(output)), "Connection": "close"}, output[:cut]

        with self.engine(attach=attach, logs=logs) as engine:
            done = self.run_it(engine)
            lines = [line for line in self.lines(done) if "was cut off, and comes when it has ended" not in line]
            self.assertEqual((sorted(lines), len(self.lines(done))), (["bad", "one", "three", "two", "zero"], 6))
            create = engine.of("POST", "/containers/create")[0].json()
            self.assertEqual(create["Labels"]["kestra.io/flow-id"], "c")
            self.assertEqual(create["Image"], "busybox:test")
            self.assertEqual([r.method for r in engine.requests][-1], "DELETE")

    def test_pull(self):
        calls = []

        def create(r, state, output):
            if r.path == "/images/create":
                calls.append((r.query, r.headers.get("x-registry-auth")))
                return 200, {}, b'{"status":"Pulling","id":"a"}\n{"errorDetail":{"message":"denied"},"error":"denied by the registry"}\n'
            return 201, {}, {"Id": "x"}

        with self.engine(create=create, images=lambda r, s, o: (404, {}, {"message": "no such image"})) as engine:
            runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "credentials": {"username": "u", "password": "p"}}
            done = self.run_it(engine, rc=1, containerImage="r.example:5000/team/tool:1.2", taskRunner=runner)
            self.assertRegex(done.err, "the image 'r.example:5000/team/tool:1.2' could not be pulled: denied by the registry")
            self.assertEqual(calls[0][0], {"fromImage": "r.example:5000/team/tool", "tag": "1.2"})
            import base64

            self.assertEqual(json.loads(base64.urlsafe_b64decode(calls[0][1] + "==")), {"serveraddress": "r.example:5000", "username": "u", "password": "p"})

    def test_refusals(self):
        with self.engine(start=lambda r, s, o: (500, {}, {"message": "no cgroup for you"})) as engine:
            done = self.run_it(engine, rc=1)
            self.assertRegex(done.err, r"could not start the container: no cgroup for you \(HTTP 500\)")
        done = self.flow(flow({"commands": ["true"]}), env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
        self.assertEqual(done.rc, 1)
        self.assertRegex(done.err, r"the container engine at unix:///nowhere/docker.sock could not .*DOCKER_HOST.*core.runner.Process")
        done = self.flow(flow({"commands": ["true"]}), env={"DOCKER_HOST": "ssh://me@there"})
        self.assertRegex(done.err, "is no address of a Docker Engine")

    def test_archives_that_lead_out(self):
        import io
        import tarfile

        def archive(r, state, output):
            if r.method == "PUT":
                state["in"] = tarfile.open(fileobj=io.BytesIO(r.body)).getnames()
                return 200, {}, b""
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as t:
                info = tarfile.TarInfo("folder/../../../evil.txt")
                info.size = 1
                t.addfile(info, io.BytesIO(b"x"))
            return 200, {}, out.getvalue()

        with self.engine(archive=archive) as engine:
            done = self.run_it(engine, rc=1, outputFiles=["**"])
            self.assertRegex(done.err, "leads out of the working folder")
        self.assertEqual(list(self.tmp.rglob("evil.txt")), [])

    def test_checks(self):
        for runner, said in (
            ({"type": "io.kestra.plugin.ee.kubernetes.runner.Kubernetes"}, "is not supported"),
            ({"type": "io.kestra.plugin.scripts.runner.docker.Docker", "wait": False}, "wait: false is not supported"),
            ({"type": "io.kestra.plugin.scripts.runner.docker.Docker", "pulPolicy": "NEVER"}, "pullPolicy"),
        ):
            path = self.tmp / "f.yaml"
            path.write_text(flow({"commands": ["true"], "taskRunner": runner}))
            done = self.sluice("flow", "validate", path)
            self.assertNotEqual(done.rc, 0)
            self.assertRegex(done.out + done.err, said)


if __name__ == "__main__":
    unittest.main()

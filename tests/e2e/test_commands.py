"""Every command as people use it: on a data folder, against a server of this machine, against one that SLUICE_URL names."""

import json
import os
import re
import subprocess
import time
import unittest

from server import PASSWORD, Server
from sluice import PROGRAM, Case

CORE = "io.kestra.plugin.core."


def flow(id, tasks, rest="", ns="t"):
    return f"id: {id}\nnamespace: {ns}\n{rest}tasks:\n" + "".join(f"  - {json.dumps(t)}\n" for t in tasks)


def log(id="log", message="hello"):
    return {"id": id, "type": CORE + "log.Log", "message": message}


class Commands(Case):
    def says(self, pattern, *args, rc=1, **kw):
        """It fails, with one sentence."""
        done = self.sluice(*args, **kw)
        self.assertEqual(done.rc, rc, done)
        self.assertRegex(done.err, pattern)
        self.assertEqual(done.err.count("\n"), 1, done)

    def out(self, *args, **kw):
        return self.ok(self.sluice(*args, **kw)).out

    def elsewhere(self, s):
        """The server as somebody on another machine sees it."""
        if not hasattr(self, "token"):
            self.token = s.call("POST", "/me/api-tokens", {"name": "far", "role": "admin"}).json["fullToken"]
        return {"SLUICE_URL": f"http://127.0.0.1:{s.port}/", "SLUICE_TOKEN": self.token, "SLUICE_DATA_DIR": str(self.tmp / "elsewhere")}


class Values(Commands):
    def check_values(self, env, where):
        run = lambda *args, **kw: self.out(*args, env=env, **kw)
        run("kv", "set", "A", "1", "--type", "number", "--description", "how many")
        run("kv", "set", "B", "hello", "-n", "team.x", "--ttl", "P1D")
        (self.tmp / "text").write_text('{"a": [1, 2.50]}')
        run("kv", "set", "C", "@text", "--type", "JSON")
        run("kv", "set", "D", "-", "--type", "DATE", stdin="2024-02-29")
        run("kv", "set", "E", "PT1H30M", "--type", "DURATION")
        run("kv", "set", "F", "2024-02-29T10:11:12Z", "--type", "DATETIME")
        run("kv", "set", "T", "true", "--type", "BOOLEAN")
        run("kv", "set", "EMPTY", "")
        run("kv", "set", "TEXT", '"quoted", 1')
        expected = {"A": "1", "C": '{"a":[1,2.5]}', "D": "2024-02-29", "E": "PT1H30M", "F": "2024-02-29T10:11:12Z", "T": "true", "EMPTY": "", "TEXT": '"quoted", 1'}
        for key, value in expected.items():
            self.assertEqual(run("kv", "get", key), value + "\n", key)
        self.assertEqual(json.loads(run("kv", "get", "C", "--output", "json")), {"a": [1, 2.5]})
        self.assertEqual(run("kv", "get", "B", "-n", "team.x"), "hello\n")
        self.assertEqual(run("kv", "get", "B", "-n", "team.x.y.z"), "hello\n")
        self.says("The key 'B' does not exist in the namespace 'team'", "kv", "get", "B", "-n", "team", env=env)
        self.says("there is no 'B' in the namespace 'team'", "kv", "delete", "B", "-n", "team", env=env)
        listed = {e["key"]: e for e in json.loads(run("kv", "list", "--output", "json"))}
        self.assertEqual({k: e["type"] for k, e in listed.items()}, {"A": "NUMBER", "B": "STRING", "C": "JSON", "D": "DATE", "E": "DURATION", "F": "DATETIME", "T": "BOOLEAN", "EMPTY": "STRING", "TEXT": "STRING"})
        self.assertEqual((listed["A"]["description"], listed["A"]["version"], listed["B"]["namespace"]), ("how many", 1, "team.x"))
        self.assertIn("expirationDate", listed["B"])
        self.assertRegex(run("kv", "list"), r"(?m)^default +A +NUMBER +v1 +20\S+Z  [0-9a-f]{16}$")
        self.assertEqual([line.split()[1] for line in run("kv", "list", "-n", "team.x").splitlines()], ["B"])
        self.says("the value 'nope' is not a NUMBER", "kv", "set", "N", "nope", "--type", "NUMBER", rc=2, env=env)
        self.says("the type must be one of|THING", "kv", "set", "N", "nope", "--type", "THING", rc=2, env=env)
        self.says("the key 'a/b' is not allowed", "kv", "set", "a/b", "x", rc=where, env=env)
        self.says("the namespace 'bad ns' is not allowed", "kv", "set", "a", "x", "-n", "bad ns", rc=where, env=env)
        self.says("--ttl must be a duration", "kv", "set", "a", "x", "--ttl", "tomorrow", rc=2, env=env)
        self.says("there is no `sluice kv rotate`; there are set, get", "kv", "rotate", rc=2, env=env)
        return run

    def check_export(self, run, env):
        """What was exported and imported again is the same, with what is left of its life."""
        document = run("kv", "export")
        values = json.loads(document)
        self.assertEqual(len(values), 9)
        for e in values:
            run("kv", "delete", e["key"], "-n", e["namespace"])
        self.assertEqual(json.loads(run("kv", "list", "--output", "json")), [])
        past = {"namespace": "x", "key": "past", "type": "STRING", "value": "v", "expirationDate": "2020-01-01T00:00:00Z"}
        (self.tmp / "export.json").write_text(json.dumps([past] + values))
        self.assertEqual(run("kv", "import", "export.json"), "9 values (the others have expired)\n")
        self.assertEqual(json.loads(run("kv", "export")), [{**e, **({"expirationDate": v["expirationDate"]} if "expirationDate" in e else {})} for e, v in zip(values, json.loads(run("kv", "export")))])
        for e in json.loads(run("kv", "list", "--output", "json")):
            if "expirationDate" in e:
                before = next(v["expirationDate"] for v in values if v["key"] == e["key"])
                self.assertEqual(e["expirationDate"][:16], before[:16])
        self.assertEqual(run("kv", "import", "-", stdin=json.dumps(values[:2])), "2 values\n")
        self.says("cannot open 'nofile'", "kv", "import", "nofile", env=env)
        self.says("is not what `sluice kv export` writes", "kv", "import", "-", stdin="{}", rc=2, env=env)
        self.says("is not what `sluice kv export` writes: ", "kv", "import", "-", stdin="[", rc=2, env=env)
        self.says("entry 2: the value 'x' is not a NUMBER", "kv", "import", "-", stdin=json.dumps([values[0], {"namespace": "a", "key": "b", "type": "NUMBER", "value": "x"}]), rc=2, env=env)

    def test_on_a_folder(self):
        run = self.check_values(None, 1)
        self.check_export(run, None)

    def test_on_a_server_far_away(self):
        with Server(self) as s:
            env = self.elsewhere(s)
            run = self.check_values(env, 1)
            self.check_export(run, env)
            self.assertFalse((self.tmp / "elsewhere").exists(), "something was written into a folder of this machine")
            self.assertEqual(self.out("kv", "get", "B", "-n", "team.x"), "hello\n")  # the folder's own view
            s.flow(flow("f", [{"id": "r", "type": CORE + "debug.Return", "format": "{{ kv('TEXT', 'default') }}|{{ secret('S') }}"}]))
            self.out("secret", "set", "S", "-", "-n", "t", stdin="hidden-value-1", env=env)
            x = s.run("t", "f")
            self.assertEqual(x["taskRunList"][0]["outputs"]["value"], '"quoted", 1|******')
            self.says("the server at .* does not answer", "kv", "list", env={**env, "SLUICE_URL": "http://127.0.0.1:9"})
            self.says("Forbidden|Unauthorized|token", "kv", "list", env={**env, "SLUICE_TOKEN": "sl_wrong"})

    def test_secrets_on_a_folder_and_far_away(self):
        with Server(self) as s:
            for env in (None, self.elsewhere(s)):
                (self.tmp / "s").write_text("s3cret-value")
                self.out("secret", "set", "K", "@s", "-n", "a.b", "--description", "of the bank", env=env)
                self.out("secret", "set", "L", "-", stdin="other-value", env=env)
                shown = self.out("secret", "list", "--output", "json", env=env)
                self.assertNotIn("value", shown.replace("of the bank", ""))
                self.assertEqual([(e["namespace"], e["key"], e.get("description")) for e in json.loads(shown)], [("a.b", "K", "of the bank"), ("default", "L", None)])
                self.assertEqual([e["key"] for e in json.loads(self.out("secret", "list", "-n", "a.b", "--output", "json", env=env))], ["K"])
                self.says("stay in the shell's history", "secret", "set", "K", "x", rc=2, env=env)
                self.says("there is no `sluice secret get`.*never printed", "secret", "get", "K", rc=2, env=env)
                self.says("there is no 'Z' in the namespace 'default'", "secret", "delete", "Z", env=env)
                self.out("secret", "delete", "K", "-n", "a.b", env=env)
                self.out("secret", "delete", "L", env=env)
                self.assertEqual(json.loads(self.out("secret", "list", "--output", "json", env=env)), [])
            self.says("keys are rotated on the machine", "secret", "rotate", rc=2, env=self.elsewhere(s))
            a = s.call("PUT", "/namespaces/a/secrets", {"key": "k", "value": ""})
            self.assertEqual(a.status, 422)
            a = s.call("PUT", "/namespaces/a/secrets", {"key": "k", "value": "v" * 20, "tags": [{"key": "x", "value": "y"}]})
            self.assertIn("tags", a.json["message"])
            a = s.call("PUT", "/namespaces/a/secrets", {"key": "k", "value": "canary-of-the-api"})
            self.assertEqual((a.status, a.json[0]["key"]), (200, "k"))
            self.assertEqual(s.call("DELETE", "/namespaces/a/secrets/none").status, 404)
            limited = "Bearer " + s.call("POST", "/me/api-tokens", {"name": "x", "role": "author", "namespace": "b"}).json["fullToken"]
            self.assertEqual(s.get("/secrets", auth=limited).json["total"], 0)
            self.assertEqual(s.get("/kv", auth=limited).json["total"], 0)
            self.assertEqual(s.get("/secrets").json["total"], 1)
        for path in self.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"canary-of-the-api", path.read_bytes(), path)

    def test_keys(self):
        """Data keys are changed, then the key that wraps them: what was stored opens with the new one alone."""
        self.out("secret", "set", "S", "-", stdin="long-kept-value")
        self.out("kv", "set", "A", "1")
        self.assertEqual(self.out("secret", "rotate"), "2 records are encrypted with a new data key\n")
        self.out("secret", "keygen", "new.key")
        self.assertEqual(os.stat(self.tmp / "new.key").st_mode & 0o777, 0o600)
        self.says("new.key.*exists", "secret", "keygen", "new.key")
        self.says("cannot look at .*no.key", "secret", "rotate", "--kek", "no.key")
        (self.tmp / "short.key").write_text("c2hvcnQ=\n")
        os.chmod(self.tmp / "short.key", 0o600)
        self.says("short.key", "secret", "rotate", "--kek", "short.key")
        told = self.out("secret", "rotate", "--kek", "new.key")
        named = re.search(r"SLUICE_KEK_FILE=(\S+)", told).group(1)
        self.assertTrue(os.path.isabs(named))
        self.says("encrypted with another key", "kv", "get", "A")
        env = {"SLUICE_KEK_FILE": named}
        self.assertEqual(self.out("kv", "get", "A", env=env), "1\n")
        done = self.ok(self.sluice("verify", env=env))
        self.assertNotIn("BAD", done.out)
        path = self.tmp / "flow.yaml"
        path.write_text(flow("f", [{"id": "r", "type": CORE + "debug.Return", "format": "{{ secret('S') | length }}"}], ns="default"))
        self.assertEqual(json.loads(self.out("run", path, "--output", "json", env=env).splitlines()[-1])["taskRuns"][0]["outputs"]["value"], "15")
        key = (self.tmp / "new.key").read_text().strip()
        done = self.ok(self.sluice("kv", "get", "A", env={"SLUICE_KEK": key}))
        self.assertEqual(done.out, "1\n")
        self.assertIn("the key comes from the environment", done.err)


class People(Commands):
    def password(self, text="long enough password"):
        (self.tmp / "pw").write_text(text + "\n")
        return "@pw"

    def check_people(self, env):
        self.out("user", "add", "eve", "--password", self.password(), "--role", "operator", "-n", "a.b", env=env)
        self.out("user", "add", "bob", "--password", "-", stdin="another good password", env=env)
        users = {u["name"]: u for u in json.loads(self.out("user", "list", "--output", "json", env=env))["results"]}
        self.assertEqual({n: (u["role"], u.get("namespace", "")) for n, u in users.items()}, {"admin": ("admin", ""), "eve": ("operator", "a.b"), "bob": ("viewer", "")})
        self.assertRegex(self.out("user", "list", env=env), r"(?m)^eve +operator +a\.b +20")
        self.out("user", "delete", "bob", env=env)
        self.says("there is no user 'bob'", "user", "delete", "bob", env=env)
        self.says("password is given as --password @FILE", "user", "add", "x", "--password", "secret word", rc=2, env=env)
        self.says("password", "user", "add", "x", "--password", self.password("short"), rc=2, env=env)
        self.says("viewer, operator, author or admin, not 'king'", "user", "add", "x", "--password", self.password(), "--role", "king", rc=2, env=env)
        made = json.loads(self.out("token", "create", "ci", "--role", "author", "-n", "a.b", "--expires", "P1D", "--output", "json", env=env))
        plain = self.out("token", "create", "plain", env=env).strip()
        self.assertRegex(plain, r"^sl_[\w-]{20,}")
        self.says("duration such as P30D", "token", "create", "x", "--expires", "soon", rc=2, env=env)
        listed = {t["name"]: t for t in json.loads(self.out("token", "list", "--output", "json", env=env))["results"]}
        self.assertEqual((listed["ci"]["role"], listed["plain"]["role"]), ("author", "viewer"))
        self.assertNotIn(plain, self.out("token", "list", env=env))
        self.out("token", "revoke", listed["plain"]["id"], env=env)
        self.says("there is no token|Not Found", "token", "revoke", listed["plain"]["id"], env=env)
        return made["fullToken"], plain

    def test_on_a_folder_without_a_server(self):
        self.says("the first one has to be an admin of all namespaces", "user", "add", "eve", "--password", self.password(), rc=2)
        self.says("the first one has to be an admin", "user", "add", "eve", "--password", self.password(), "--role", "admin", "-n", "a", rc=2)
        self.out("user", "add", "admin", "--password", self.password(PASSWORD), "--role", "admin")
        token, revoked = self.check_people(None)
        with Server(self) as s:
            self.assertNotIn("The first user is", (self.tmp / "server.log").read_text())
            self.assertEqual(s.get("/users").json["total"], 2)
            self.assertEqual(s.get("/flows/search", auth="Bearer " + token).status, 200)
            self.assertEqual(s.get("/users", auth="Bearer " + token).status, 403)
            self.assertEqual(s.get("/flows/search", auth="Bearer " + revoked).status, 401)
            self.assertEqual(s.get("/flows/search", auth=("eve", "long enough password")).status, 200)

    def test_against_servers(self):
        with Server(self) as s:
            s.flow(flow("f", [log()], ns="a.b"))
            token, revoked = self.check_people(None)
            self.assertEqual(s.get("/flows/search", auth="Bearer " + token).status, 200)
            self.assertEqual(s.get("/flows/search", auth="Bearer " + revoked).status, 401)
            self.out("user", "delete", "eve")
            for t in s.get("/me/api-tokens").json["results"]:
                self.out("token", "revoke", t["id"])
            self.check_people(self.elsewhere(s))

    def test_a_password_that_was_lost(self):
        with Server(self):
            pass
        self.out("user", "add", "admin", "--password", self.password("one that I remember"), "--role", "admin")
        with Server(self) as s:
            self.assertEqual(s.get("/users").status, 401)
            self.assertEqual(s.get("/users", auth=("admin", "one that I remember")).status, 200)


class Remote(Commands):
    def test_the_commands(self):
        with Server(self):
            folder = self.tmp / "flows"
            folder.mkdir()
            (folder / "a.yaml").write_text(flow("a", [log("l", "{{ inputs.who }}")], "inputs: [{id: who, type: STRING, defaults: me}]\n"))
            (folder / "b.yaml").write_text(flow("b", [log()]))
            self.assertIn("+ t.a", self.ok(self.sluice("flow", "apply", folder)).out)
            self.assertIn("0 of 2", self.ok(self.sluice("flow", "apply", folder)).out)
            (folder / "b.yaml").unlink()
            (folder / "a.yaml").write_text((folder / "a.yaml").read_text().replace("me}", "you}"))
            shown = self.sluice("flow", "diff", folder)
            self.assertEqual(shown.rc, 1)
            self.assertIn("-inputs", shown.out)
            self.assertIn("- t.b (stays", self.ok(self.sluice("flow", "sync", folder)).out)
            self.ok(self.sluice("flow", "sync", folder, "--delete"))
            self.assertEqual([line.split()[0] for line in self.ok(self.sluice("flow", "list")).out.splitlines()], ["t.a"])
            self.assertEqual(self.ok(self.sluice("flow", "get", "t", "a")).out, (folder / "a.yaml").read_text())
            done = self.ok(self.sluice("execution", "create", "t", "a", "-i", "who=we", "--follow"))
            self.assertIn("INFO  l: we", done.out)
            id = json.loads(self.ok(self.sluice("execution", "create", "t", "a", "--wait", "--output", "json")).out)["id"]
            self.assertIn("SUCCESS", self.ok(self.sluice("execution", "get", id)).out)
            self.assertIn("l: you", self.ok(self.sluice("execution", "logs", id)).out)
            self.assertIn("2 of 2", self.ok(self.sluice("execution", "list")).out)
            self.assertEqual(json.loads(self.ok(self.sluice("execution", "replay", id, "--revision", "1", "--output", "json")).out)["flowRevision"], 1)
            self.assertIn("revision 9", self.sluice("execution", "replay", id, "--revision", "9").err)
            (self.tmp / "pw").write_text("long enough password")
            self.ok(self.sluice("user", "add", "bob", "--password", f"@{self.tmp / 'pw'}", "--role", "viewer"))
            token = self.ok(self.sluice("token", "create", "ci", "--role", "viewer")).out.strip()
            port = (self.data / "port").read_text().strip()
            far = {"SLUICE_URL": f"http://127.0.0.1:{port}", "SLUICE_TOKEN": token, "SLUICE_DATA_DIR": str(self.tmp / "elsewhere")}
            self.ok(self.sluice("flow", "list", env=far))
            self.assertEqual(self.sluice("flow", "delete", "t", "a", env=far).rc, 1)
            self.ok(self.sluice("flow", "delete", "t", "a"))
        self.assertIn("does not answer", self.sluice("flow", "list").err)

    def test_what_is_done_to_executions(self):
        with Server(self) as s:
            s.flow(flow("long", [{"id": "s", "type": CORE + "flow.Sleep", "duration": "PT1M"}, log("after")]))
            s.flow(flow("pause", [{"id": "p", "type": CORE + "flow.Pause", "onResume": [{"id": "why", "type": "STRING"}]}, log("after", "{{ outputs.p.onResume.why }}")]))
            s.flow(flow("bad", [{"id": "f", "type": CORE + "execution.Fail"}]))
            id = json.loads(self.out("execution", "create", "t", "long", "--label", "team=x", "--output", "json"))["id"]
            self.assertEqual(s.execution(id)["labels"][0], {"key": "team", "value": "x"})
            s.until(id, "RUNNING")
            self.out("execution", "pause", id)
            s.until(id, "PAUSED")
            self.out("execution", "kill", id)
            s.until(id, "KILLED")
            self.assertRegex(self.out("execution", "list", "--state", "KILLED"), rf"(?m)^{id}  KILLED .*t\.long$")
            self.assertIn("0 of 0", self.out("execution", "list", "--state", "FAILED", "--flow", "long"))
            self.out("execution", "delete", id)
            self.says("Not Found", "execution", "get", id)
            id = json.loads(self.out("execution", "create", "t", "pause", "--output", "json"))["id"]
            s.until(id, "PAUSED")
            self.assertIn("PAUSED", self.out("execution", "get", id))
            self.out("execution", "resume", id, "-i", "why=because")
            s.until(id, "SUCCESS")
            logs = json.loads(self.out("execution", "logs", id, "--output", "json"))
            self.assertIn("because", [e["message"] for e in logs])
            done = self.sluice("execution", "create", "t", "bad", "--wait")
            self.assertEqual(done.rc, 1, done)
            id = done.out.split()[0]
            self.out("execution", "restart", id)
            x = s.until(id, "FAILED")
            self.assertEqual(x["metadata"]["attemptNumber"], 2)
            self.assertEqual(json.loads(self.out("execution", "get", id, "--output", "json"))["id"], id)
            self.says("Not Found", "execution", "create", "t", "none", rc=2)

    def test_triggers(self):
        with Server(self) as s:
            s.flow(flow("f", [log("l", "{{ trigger.date }} {{ inputs.n ?? '-' }}")], "inputs: [{id: n, type: INT, required: false}]\ntriggers: [{id: daily, type: " + CORE + "trigger.Schedule, cron: '0 6 * * *', timezone: UTC}]\n"))
            self.assertRegex(self.out("trigger", "list"), r"(?m)^t\.f daily: 20\d\d-\S+$")
            self.assertEqual(json.loads(self.out("trigger", "list", "-n", "t", "--output", "json"))["total"], 1)
            self.assertEqual(self.out("trigger", "list", "-n", "other"), "")
            self.assertRegex(self.out("trigger", "why", "t", "f", "daily"), "20\\d\\d-")
            self.assertIn("disabled", self.out("trigger", "disable", "t", "f", "daily"))
            self.assertIn("disabled", self.out("trigger", "why", "t", "f", "daily"))
            self.assertIn("why", json.loads(self.out("trigger", "why", "t", "f", "daily", "--output", "json")))
            self.assertNotIn("disabled", self.out("trigger", "enable", "t", "f", "daily"))
            range = ["t", "f", "daily", "--start", "2024-01-01T00:00:00Z", "--end", "2024-01-04T23:00:00Z"]
            planned = self.out("trigger", "backfill", *range, "--dry-run")
            self.assertEqual(len(re.findall(r"(?m)^2024-01-0\dT06:00:00\S* +- +runs$", planned)), 4, planned)
            self.assertIn("4 of 4 dates run (nothing was started)", planned)
            self.assertEqual(s.search(flowId="f")["total"], 0)
            self.out("trigger", "backfill", "t", "f", "daily", "--start", "2024-01-02T00:00:00Z", "--end", "2024-01-02T23:00:00Z", "-i", "n=7", "--label", "why=once", "--wait", "-q")
            x = s.search(flowId="f")["results"]
            self.assertEqual([(e["inputs"]["n"], e["trigger"]["variables"]["date"][:10]) for e in x], [(7, "2024-01-02")])
            self.assertIn({"key": "why", "value": "once"}, x[0]["labels"])
            planned = json.loads(self.out("trigger", "backfill", *range, "--only", "missing", "--dry-run", "--output", "json"))
            self.assertEqual([d["runs"] for d in planned], [True, False, True, True])
            self.out("trigger", "backfill", *range, "--only", "missing", "--parallel", "2", "--wait")
            self.assertEqual(sorted(e["trigger"]["variables"]["date"][:10] for e in s.search(flowId="f")["results"]), ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"])
            self.says("a backfill needs --start DATE", "trigger", "backfill", "t", "f", "daily", rc=2)
            self.says("--parallel must be a number from 1", "trigger", "backfill", *range, "--parallel", "0", rc=2)
            self.says("Not Found", "trigger", "why", "t", "f", "none")

    def test_a_backfill_that_is_held_and_ended(self):
        with Server(self) as s:
            s.flow(flow("f", [{"id": "s", "type": CORE + "flow.Sleep", "duration": "PT0.2S"}], "triggers: [{id: daily, type: " + CORE + "trigger.Schedule, cron: '0 6 * * *'}]\n"))
            name = ["t", "f", "daily"]
            self.out("trigger", "backfill", *name, "--start", "2023-01-01T00:00:00Z", "--end", "2023-12-31T00:00:00Z")
            self.assertRegex(self.out("trigger", "backfill", *name, "--pause"), "backfill 2023-01-01.*paused")
            self.assertRegex(self.out("trigger", "list"), "backfill .*paused")
            time.sleep(0.5)
            before = s.search(flowId="f")["total"]
            time.sleep(0.7)
            self.assertEqual(s.search(flowId="f")["total"], before)
            self.assertNotIn("paused", self.out("trigger", "backfill", *name, "--resume"))
            end = time.monotonic() + 20
            while s.search(flowId="f")["total"] <= before and time.monotonic() < end:
                time.sleep(0.05)
            self.assertGreater(s.search(flowId="f")["total"], before)
            self.assertNotIn("backfill", self.out("trigger", "backfill", *name, "--cancel"))
            self.assertLess(s.search(flowId="f")["total"], 200)


class Descriptions(Commands):
    def test_types(self):
        types = json.loads(self.out("plugins", "--output", "json"))
        kinds = {t["kind"] for t in types}
        self.assertTrue({"task", "trigger", "flowable"} <= kinds, kinds)
        self.assertEqual(len(self.out("plugins").splitlines()), len(types))
        for t in types:
            schema = json.loads(self.out("schema", t["type"]))
            self.assertEqual((schema["title"], schema["properties"]["type"]), (t["type"], {"const": t["type"]}))
            self.assertEqual(schema["description"], t["description"])
        whole = json.loads(self.out("schema"))
        self.assertIn("tasks", whole["properties"])
        self.says("there is no type 'nope'; `sluice plugins` lists them", "schema", "nope", rc=2)

    def test_what_came_of_each_task(self):
        """The last column of `run` knows rows from bytes and objects."""
        (self.tmp / "a.csv").write_text("n\n1\n2\n3\n")
        tasks = [
            {"id": "copy", "type": "io.sluice.transfer.Copy", "from": f"file://{self.tmp}/a.csv", "to": "a.csv"},
            {"id": "rows", "type": "io.kestra.plugin.jdbc.sqlite.Queries", "sql": "SELECT 1 UNION SELECT 2", "fetchType": "FETCH"},
            {"id": "query", "type": "io.kestra.plugin.jdbc.duckdb.Query", "sql": "SELECT 1 UNION SELECT 2", "fetchType": "FETCH"},
            {"id": "state", "type": CORE + "log.Log", "message": "nothing"},
        ]
        (self.tmp / "f.yaml").write_text(flow("f", tasks))
        table = {line.split()[0]: line.split()[4:] for line in self.out("run", self.tmp / "f.yaml").splitlines() if " SUCCESS " in line and line[:2] != "t."}
        self.assertEqual(table, {"copy": ["8", "bytes"], "rows": [], "query": ["2", "rows"], "state": []})

    def test_render(self):
        path = self.tmp / "f.yaml"
        path.write_text(flow("f", [log()], "inputs: [{id: who, type: STRING, defaults: you}, {id: n, type: INT, defaults: 2}]\nvariables: {a: '{{ inputs.who }}!'}\n"))
        self.assertEqual(self.out("render", path, "{{ inputs.who }} {{ inputs.n * 2 }} {{ render(vars.a) }} {{ flow.namespace }}"), "you 4 you! t\n")
        self.assertEqual(self.out("render", path, "{{ inputs.who }}", "-i", "who=me"), "me\n")
        self.out("kv", "set", "K", "v", "-n", "t")
        self.assertEqual(self.out("render", path, "{{ kv('K') }}"), "v\n")
        self.says("nothing", "render", path, "{{ nothing }}")
        for command in (["render", path, "x"], ["run", path, "-q"]):
            done = self.ok(self.sluice(*command, "-i", "whom=me", "-i", "n=3", "-i", "other=1"))
            self.assertIn("warning: the flow has no input 'whom', its value is not used; did you mean 'who'?\n", done.err)
            self.assertIn("warning: the flow has no input 'other', its value is not used\n", done.err)
            self.assertEqual(done.err.count("warning"), 2)

    def test_version_and_doctor(self):
        self.assertRegex(self.out("version"), r"^sluice \d+\.\d+\.\d+\n$")
        self.assertEqual(self.out("--version"), self.out("version"))
        seen = self.out("doctor")
        self.assertEqual({line.split()[0] for line in seen.splitlines()}, {"ok"}, seen)
        self.assertIn(str(self.data), seen)
        self.out("kv", "set", "A", "1")
        self.out("secret", "keygen", "other.key")
        done = self.sluice("doctor", env={"SLUICE_KEK_FILE": str(self.tmp / "other.key")})
        self.assertEqual(done.rc, 1)
        self.assertRegex(done.out, "(?m)^BAD +key-value store +.*encrypted with another key")

    def test_readers_that_have_seen_enough(self):
        """`sluice plugins | head -1` is no failure to be told of."""
        p = subprocess.Popen([PROGRAM, "schema"], env=self.env(), cwd=self.tmp, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.read(1)
        p.stdout.close()
        self.assertEqual(p.stderr.read(), b"")
        p.stderr.close()
        p.wait(20)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "schema"], env=self.env(), cwd=self.tmp, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write to 'the standard output': No space left", done.stderr)

    def test_what_is_wrong_with_a_command(self):
        self.says("there is no command 'flwo'", "flwo", rc=2)
        self.says("--parallel", "trigger", "backfill", "a", "b", "c", "--paralel", "2", rc=2)
        self.says("needs a value", "kv", "set", "A", "1", "--type", rc=2)
        self.says("usage: sluice execution get ID", "execution", "get", rc=2)
        self.says("too many arguments|usage", "version", "x", rc=2)
        self.says("--output must be json or text", "version", "--output", "xml", rc=2)
        self.assertIn("--start DATE", self.out("trigger", "backfill", "--help"))
        self.assertEqual(self.sluice().rc, 2)


class CommandLine(Case):
    def test_completion_and_manual_come_from_the_table(self):
        listed = [line[2:20].strip() for line in self.ok(self.sluice("--help")).out.splitlines() if line.startswith("  ")]
        self.assertGreater(len(listed), 30)
        script = self.tmp / "complete.bash"
        script.write_text(self.ok(self.sluice("completion", "bash")).out)

        def complete(*words):
            text = f"source {script}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _sluice; echo ${{COMPREPLY[@]}}"
            return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True, cwd=self.tmp).stdout.split()

        self.assertEqual(complete("sluice", "exec"), ["execution"])
        self.assertEqual(set(complete("sluice", "execution", "re")), {"resume", "restart", "replay"})
        self.assertIn("--parallel", complete("sluice", "trigger", "backfill", "--par"))
        for shell in ("zsh", "fish"):
            text = self.ok(self.sluice("completion", shell)).out
            for name in listed:
                self.assertIn(name.split()[-1], text)
        page = self.ok(self.sluice("man")).out
        for name in listed:
            self.assertIn(".SS sluice " + name.replace("-", "\\-"), page)
        self.assertEqual(self.sluice("completion", "tcsh").rc, 2)


if __name__ == "__main__":
    unittest.main()

"""Who may do what: every route of the API's own description x every kind of caller x variants of its path."""

import json
import sqlite3
import time
import unittest

from server import PASSWORD, Server
from sluice import Case

ROLES = ["viewer", "operator", "author", "admin"]
FLOW = "id: f\nnamespace: a.b\ntasks:\n  - {id: l, type: io.kestra.plugin.core.log.Log, message: x}\n"
ARGS = {"namespace": "a.b", "id": "f", "executionId": "doesnotexist", "key": "k", "flowId": "f", "triggerId": "t", "name": "nobody", "tokenId": "none"}
BODIES = {"application/json": "[]", "application/x-yaml": "id: x", "multipart/form-data": None, "*/*": "x"}


class Access(Case):
    def token(self, s, role, ns=""):
        a = s.call("POST", "/me/api-tokens", {"name": role, "role": role, "namespace": ns})
        self.assertEqual(a.status, 201, a)
        return "Bearer " + a.json["fullToken"]

    def routes(self, s):
        for path, methods in s.get("/openapi.json").json["paths"].items():
            for method, op in methods.items():
                yield method.upper(), path, op

    def ask(self, s, method, path, op, auth):
        type = next(iter(op.get("requestBody", {}).get("content", {})), None)
        body = BODIES.get(type)
        for name, value in ARGS.items():
            path = path.replace("{" + name + "}", value)
        return s.call(method, path, body, "text/plain" if type == "*/*" else type if body else None, auth=auth, prefix="").status

    def test_every_route_with_every_caller(self):
        with Server(self) as s:
            s.flow(FLOW)
            tokens = {role: self.token(s, role) for role in ROLES}
            elsewhere = {role: self.token(s, role, "other") for role in ROLES}
            asked = public = 0
            for method, path, op in self.routes(s):
                role = op["x-role"]
                with self.subTest(method=method, path=path):
                    for bad in (None, "Bearer sl_wrong", "Bearer ", "Basic !!!", "Basic YWRtaW46", "Digest x", "bearer" + tokens["admin"][6:-1]):
                        status = self.ask(s, method, path, op, bad)
                        asked += 1
                        if role == "none":
                            self.assertNotIn(status, (401, 403))
                        else:
                            self.assertIn(status, (401, 429))
                    public += role == "none"
                    if role == "none" or path.endswith("/follow"):
                        continue
                    for have in ROLES:
                        status = self.ask(s, method, path, op, tokens[have])
                        asked += 1
                        if ROLES.index(have) < ROLES.index(role):
                            self.assertEqual(status, 403, have)
                        else:
                            self.assertNotIn(status, (401, 403, 500), have)
                        if "{namespace}" in path:
                            self.assertEqual(self.ask(s, method, path, op, elsewhere[have]), 403, have)
                            asked += 1
            self.assertLessEqual(public, 8)
            print(f"{asked} requests, {public} public routes", flush=True)

    def test_variants_of_a_path_open_nothing(self):
        with Server(self) as s:
            s.flow(FLOW)
            open_ones = [p for _, p, op in self.routes(s) if op["x-role"] == "none"]
            tails = [p.rsplit("/", 1)[-1] for p in open_ones if "{" not in p]
            for target in ("/api/v1/main/flows/a.b/f", "/api/v1/flows/search", "/metrics", "/api/v1/main/users"):
                variants = [target + "/", "/" + target, target.replace("/v1", "/./v1"), target.replace("/", "//"), target.replace("/flows", "/%66lows"), target + ";x", target + "%00", target + ".",
                            target.upper(), target + "/..", "/x/.." + target, target.replace("/main", "/%6dain"), target + "%2f", target + "?x=/configs", target + "#/configs"]
                variants += [f"{target}/{t}" for t in tails] + [f"/{t}/..{target}" for t in tails] + [f"/{t}{target}" for t in tails]
                for v in variants:
                    for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT"):
                        with self.subTest(path=v, method=method):
                            status = s.call(method, v, auth=None, prefix="", headers={"X-Original-URL": "/ping", "X-HTTP-Method-Override": "GET"}).status
                            self.assertIn(status, (400, 401, 404, 405, 429), v)

    def test_namespaces_are_walls(self):
        with Server(self) as s:
            s.flow(FLOW)
            s.flow(FLOW.replace("a.b", "a.bc"))
            s.flow(FLOW.replace("a.b", "a.b.c"))
            own, x = self.token(s, "author", "a.b"), s.run("a.bc", "f")
            self.assertEqual([f["namespace"] for f in s.get("/flows/search", auth=own).json["results"]], ["a.b", "a.b.c"])
            self.assertEqual(s.get("/flows/distinct-namespaces", auth=own).json, ["a.b", "a.b.c"])
            self.assertEqual(s.get("/executions/search", auth=own).json["total"], 0)
            for method, path in (("GET", f"/executions/{x['id']}"), ("GET", f"/logs/{x['id']}"), ("DELETE", f"/executions/{x['id']}"), ("GET", f"/executions/{x['id']}/follow"), ("POST", "/executions/a.bc/f")):
                self.assertEqual(s.call(method, path, auth=own).status, 403, path)
            self.assertEqual(s.call("POST", "/flows", FLOW.replace("a.b", "a"), "application/x-yaml", auth=own).status, 403)
            self.assertEqual(s.call("POST", "/flows/bulk", FLOW + "---\n" + FLOW.replace("a.b", "other"), "application/x-yaml", auth=own).status, 403)
            self.assertEqual(s.call("POST", "/executions/replay/by-ids", [x["id"]], auth=own).status, 400)
            self.assertEqual(s.call("PUT", "/triggers", {"namespace": "a.bc", "flowId": "f", "triggerId": "t"}, auth=own).status, 403)
            self.assertEqual(s.call("POST", "/me/api-tokens", {"name": "x", "role": "admin"}, auth=own).status, 403)
            self.assertEqual(s.call("POST", "/me/api-tokens", {"name": "x", "role": "viewer", "namespace": "a"}, auth=own).status, 403)

    def test_flows_reach_other_namespaces_or_not(self):
        CORE = "io.kestra.plugin.core."
        path = self.tmp / "sluice.yaml"
        reach = {  # task -> what is there in a namespace above, below, beside
            "get": {"type": CORE + "kv.Get", "key": "k", "errorOnMissing": True}, "keys": {"type": CORE + "kv.GetKeys"}, "files": {"type": CORE + "namespace.DownloadFiles", "files": "**"},
            "set": {"type": CORE + "kv.Set", "key": "n", "value": "x"}, "put": {"type": CORE + "kv.Put", "key": "n", "value": "x"}, "delete": {"type": CORE + "kv.Delete", "key": "n"},
            "upload": {"type": CORE + "namespace.UploadFiles", "filesMap": {"u.txt": "{{ outputs.w.uri }}"}}, "call": {"type": CORE + "flow.Subflow", "flowId": "callee"},
            "remove": {"type": CORE + "namespace.DeleteFiles", "files": "u.txt"},
        }
        changes = {"set", "put", "delete", "upload", "remove"}
        for isolated in (False, True):
            path.write_text(f"namespaceIsolation: {str(isolated).lower()}\n")
            with self.subTest(isolated), Server(self, "--config", str(path)) as s:
                for ns in ("a", "a.b.c", "a.x"):
                    s.flow(FLOW.replace("id: f", "id: callee").replace("a.b", ns))
                    s.call("PUT", f"/namespaces/{ns}/kv/k", '"v"', "text/plain")
                for ns, near in (("a", "above"), ("a.b.c", "below"), ("a.x", "beside")):
                    tasks = [{"id": name, "namespace": ns, "allowFailure": True, **task} for name, task in reach.items()]
                    tasks.append({"id": "expression", "type": CORE + "debug.Return", "format": "{{ kv('k', '" + ns + "') }}", "allowFailure": True})
                    write = {"id": "w", "type": CORE + "storage.Write", "content": "x"}
                    s.flow("id: caller\nnamespace: a.b\ntasks:\n" + "".join(f"  - {json.dumps(t)}\n" for t in [write, *tasks]))
                    x = s.run("a.b", "caller")
                    refused = {r["taskId"] for r in x["taskRunList"] if r["state"]["current"] == "WARNING"}
                    wanted = set() if not isolated or near == "below" else changes if near == "above" else {*reach, "expression"}
                    self.assertEqual(refused, wanted, (near, s.get(f"/logs/{x['id']}/download").body))
                    if refused:
                        self.assertIn(f"may not change anything in '{ns}' (namespaceIsolation in sluice.yaml)".encode(), s.get(f"/logs/{x['id']}/download").body)
                # Ends of executions: what fires is what may.
                for ns in ("a.b", "a.y"):
                    s.flow(f"id: after\nnamespace: {ns}\ntasks:\n  - {{id: l, type: {CORE}log.Log, message: x}}\ntriggers:\n  - {{id: t, type: {CORE}trigger.Flow, conditions: [{{type: {CORE}condition.ExecutionFlow, namespace: a.b.c, flowId: callee}}]}}\n")
                before = {ns: s.search(namespace=ns, flowId="after")["total"] for ns in ("a.b", "a.y")}
                s.run("a.b.c", "callee")
                s.run("a.b.c", "callee")
                wanted = {"a.b": 2, "a.y": 0 if isolated else 2}
                end = time.monotonic() + 20
                while (now := {ns: s.search(namespace=ns, flowId="after")["total"] - n for ns, n in before.items()}) != wanted and time.monotonic() < end:
                    time.sleep(0.05)
                self.assertEqual(now, wanted)
                self.assertEqual(s.stop(), 0)

    def test_sessions_of_browsers(self):
        with Server(self) as s:
            s.flow(FLOW)
            self.assertEqual(s.call("POST", "/login", {"name": "admin", "password": "wrong"}, auth=None).status, 401)
            a = s.call("POST", "/login", {"name": "admin", "password": PASSWORD}, auth=None)
            self.assertEqual(a.status, 200, a)
            cookie = a.headers["Set-Cookie"]
            self.assertRegex(cookie, r"^sluice_session=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$")
            self.assertIn("; Secure", s.call("POST", "/login", {"name": "admin", "password": PASSWORD}, auth=None, headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"])
            have, csrf = {"Cookie": "a=b; " + cookie.split(";")[0] + "; c=d"}, {"X-CSRF-Token": a.json["csrfToken"]}
            me = s.get("/me", auth=None, headers=have)
            self.assertEqual((me.status, me.json["name"], me.json["csrfToken"]), (200, "admin", a.json["csrfToken"]))
            run = ("POST", "/executions/a.b/f")
            self.assertEqual(s.call(*run, auth=None, headers=have).status, 403)
            self.assertEqual(s.call(*run, auth=None, headers={**have, "X-CSRF-Token": "0" * 64}).status, 403)
            self.assertEqual(s.call(*run, auth=None, headers={**have, **csrf}).status, 200)
            self.assertEqual(s.call(*run, auth=None, headers={**have, **csrf, "Sec-Fetch-Site": "cross-site"}).status, 403)
            self.assertEqual(s.call(*run, headers={"Sec-Fetch-Site": "cross-site"}).status, 403, "a password that a browser has stored")
            self.assertEqual(s.call(*run, headers={"Sec-Fetch-Site": "same-origin"}).status, 200)
            self.assertEqual(s.call(*run, auth=self.token(s, "operator"), headers={"Sec-Fetch-Site": "cross-site"}).status, 200, "a browser does not bring tokens of itself")
            self.assertEqual(s.get("/me", auth="Bearer " + cookie.split(";")[0].split("=")[1]).status, 401, "a session is no token")
            self.assertEqual(s.get("/me/api-tokens").json["total"], 1)
            s.kill()
            self.assertNotIn(cookie[15:58].encode(), b"".join(p.read_bytes() for p in self.data.glob("state.db*")))
            s.start()
            self.assertEqual(s.get("/me", auth=None, headers=have).status, 200)
            s.call("POST", "/users", {"name": "bob", "password": "long enough", "role": "author"})
            b = s.call("POST", "/login", {"name": "bob", "password": "long enough"}, auth=None)
            bob = {"Cookie": b.headers["Set-Cookie"].split(";")[0], "X-CSRF-Token": b.json["csrfToken"]}
            s.call("POST", "/users", {"name": "bob", "password": "long enough", "role": "viewer"})
            self.assertEqual(s.call(*run, auth=None, headers=bob).status, 403, "rights are those of now")
            self.assertEqual(s.call("DELETE", "/users/bob").status, 204)
            self.assertEqual(s.get("/me", auth=None, headers=bob).status, 401)
            self.assertEqual(s.call("POST", "/logout", auth=None, headers={**have, **csrf}).status, 204)
            self.assertEqual(s.get("/me", auth=None, headers=have).status, 401)

    def test_tokens_expire_and_are_revoked_and_passwords_are_not_guessed(self):
        with Server(self) as s:
            a = s.call("POST", "/me/api-tokens", {"name": "short", "role": "viewer", "maxAge": "PT0.5S"})
            auth = "Bearer " + a.json["fullToken"]
            self.assertEqual(s.get("/me", auth=auth).status, 200)
            time.sleep(0.6)
            self.assertEqual(s.get("/me", auth=auth).status, 401)
            b = s.call("POST", "/me/api-tokens", {"name": "long", "role": "viewer"})
            auth = "Bearer " + b.json["fullToken"]
            self.assertEqual(s.get("/me", auth=auth).status, 200)
            self.assertEqual(s.call("DELETE", f"/me/api-tokens/{b.json['id']}").status, 204)
            self.assertEqual(s.get("/me", auth=auth).status, 401)
            for name in ("bob", "nobody"):
                if name == "bob":
                    self.assertEqual(s.call("POST", "/users", {"name": "bob", "password": "long enough", "role": "viewer"}).status, 201)
                statuses = [s.get("/me", auth=(name, f"wrong{i}")).status for i in range(8)]
                self.assertEqual(statuses, [401] * 5 + [429] * 3)
            self.assertEqual(s.get("/me", auth=("bob", "long enough")).status, 429)
            self.assertEqual(s.get("/me", auth=("admin", PASSWORD)).status, 200)
            on_disk = b"".join(p.read_bytes() for p in self.data.glob("state.db*"))
            for secret in (PASSWORD, "long enough", b.json["fullToken"][3:], a.json["fullToken"][3:]):
                self.assertNotIn(secret.encode(), on_disk)


class Audit(Case):
    def change(self, sql):
        db = sqlite3.connect(self.data / "state.db")
        db.execute(sql)
        db.commit()
        db.close()

    def test_every_change_is_recorded_and_no_record_can_be_changed(self):
        with Server(self) as s:
            s.flow(FLOW)
            token = self.sluice("token", "create", "x").out.strip()
            for i in range(5):
                s.run("a.b", "f")
            s.call("PUT", "/namespaces/a.b/kv/k", "value", "text/plain")
            s.call("DELETE", "/flows/a.b/f", auth="Bearer " + token)  # refused: not a change
            s.get("/flows/search")
            s.kill()
            s.start()
            rows = s.get("/auditlogs/search?size=100").json["results"]
            said = [(r["seq"], r["user"], r["method"], r["path"].replace("/api/v1/main", "")) for r in reversed(rows)]
            self.assertEqual(said, [(1, "admin", "POST", "/flows"), (2, "local", "POST", "/me/api-tokens")] + [(i, "admin", "POST", "/executions/a.b/f") for i in range(3, 8)] + [(8, "admin", "PUT", "/namespaces/a.b/kv/k")])
        self.ok(self.sluice("verify"))
        saved = (self.data / "state.db").read_bytes()
        for sql in ("UPDATE audit SET who='eve' WHERE seq=3", "UPDATE audit SET path=path||'x' WHERE seq=8", "DELETE FROM audit WHERE seq=8", "DELETE FROM audit WHERE seq=4", "DELETE FROM audit",
                    "UPDATE audit SET at_ms=at_ms+1 WHERE seq=1", "UPDATE audit SET mac=(SELECT mac FROM audit WHERE seq=2) WHERE seq=1", "DELETE FROM meta WHERE name='audit_key'", "DELETE FROM meta WHERE name='audit_head'"):
            with self.subTest(sql=sql):
                (self.data / "state.db").write_bytes(saved)
                self.change(sql)
                r = self.sluice("verify")
                self.assertEqual(r.rc, 1, r)
                self.assertIn("BAD  the audit log", r.out)
        (self.data / "state.db").write_bytes(saved)
        for sql, name in (("UPDATE executions SET state='RUNNING'", "final state"), ("UPDATE taskruns SET state='RUNNING' WHERE rowid IS NOT NULL" .replace(" WHERE rowid IS NOT NULL", ""), "no task run goes on"),
                          ("DELETE FROM revisions", "newest revision"), ("UPDATE taskruns SET execution='x'", "belongs to an execution")):
            with self.subTest(sql=sql):
                (self.data / "state.db").write_bytes(saved)
                self.change(sql)
                r = self.sluice("verify")
                self.assertEqual((r.rc, any(line.startswith("BAD") and name in line for line in r.out.splitlines())), (1, True), r)


if __name__ == "__main__":
    unittest.main()

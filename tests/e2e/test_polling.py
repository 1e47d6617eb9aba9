"""Triggers that look whether something is there: over HTTP, in Cloud Storage, in BigQuery; and what a kill in the middle leaves."""

import http.client
import http.server
import json
import random
import subprocess
import threading
import time
import unittest

from peers import POSTGRES, VERSITYGW, Postgres, missing, versitygw
from server import Server
from sluice import Case, LocalCloud
from test_server import CORE, back, flow, log, sleep

GCP = "io.kestra.plugin.gcp."


class Page(threading.Thread):
    """A page whose status and body a test sets; counts who asks."""

    def __init__(self):
        super().__init__(daemon=True)
        page = self
        self.status, self.body, self.asked, self.delay = 200, b"no", 0, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                page.asked += 1
                time.sleep(page.delay)
                self.send_response(page.status)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.start()

    def run(self):
        self.server.serve_forever(0.05)


def trigger(id, type, **rest):
    return "triggers:\n  - " + json.dumps({"id": id, "type": type, "interval": "PT0.2S", **rest}) + "\n"


def wait(until, seconds=30):
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise AssertionError("it did not come to that in time")
        time.sleep(0.02)


class Http(Case):
    def test_fires_when_the_answer_meets_the_condition(self):
        page = Page()
        with Server(self) as s:
            s.flow(flow("f", [back("r", "{{ trigger.body }} {{ trigger.code }} {{ inputs.more }}")],
                        "inputs:\n  - {id: more, type: STRING}\n" + trigger("t", CORE + "http.Trigger", uri=page.url, responseCondition="{{ response.statusCode == 200 and response.body contains 'yes' }}", inputs={"more": "{{ trigger.code + 1 }}"}, labels={"a": "b"}, stopAfter=["SUCCESS"])))
            wait(lambda: page.asked >= 3)
            self.assertEqual(s.search()["total"], 0)
            page.status, page.body = 500, b"yes"
            asked = page.asked
            wait(lambda: page.asked > asked + 1)
            self.assertEqual(s.search()["total"], 0)
            page.delay = 0.5  # a look that takes longer than the interval
            page.status = 200
            wait(lambda: s.search(state=["SUCCESS"])["total"] == 1)
            x = s.search()["results"][0]
            self.assertEqual(x["taskRunList"][0]["outputs"]["value"], "yes 200 201")
            self.assertEqual(x["trigger"]["id"], "t")
            self.assertIn({"key": "a", "value": "b"}, x["labels"])
            asked = page.asked
            time.sleep(0.7)
            self.assertEqual(page.asked, asked, "stopAfter disables it")
            self.assertEqual(s.stop(), 0)
            self.ok(self.sluice("verify"))

    def test_one_execution_at_a_time_and_an_error_is_told(self):
        page = Page()
        with Server(self) as s:
            s.flow(flow("f", [sleep("s", "PT1S")], "concurrency: {limit: 1, behavior: FAIL}\n" + trigger("t", CORE + "http.Trigger", uri=page.url)))
            wait(lambda: s.search()["total"] == 1)
            asked = page.asked
            time.sleep(0.6)
            self.assertEqual((page.asked, s.search()["total"]), (asked, 1))
            wait(lambda: s.search()["total"] == 2)
            s.flow(flow("f", [log()], trigger("t", CORE + "http.Trigger", uri="http://127.0.0.1:1/")))
            wait(lambda: "its last look failed" in s.get("/triggers/t/f/t/why").json["why"])
            s.flow(flow("f", [log()], trigger("t", CORE + "http.Trigger", uri=page.url, responseCondition="{{ false }}")))
            wait(lambda: "It looks whether" in s.get("/triggers/t/f/t/why").json["why"])
            a = s.call("PUT", "/flows/t/f", flow("f", [log()], trigger("t", CORE + "http.Trigger", url=page.url)), "application/x-yaml")
            self.assertEqual(a.status, 422)
            self.assertIn("uri", a.json["message"])
            a = s.call("PUT", "/flows/t/f", flow("f", [log()], trigger("t", CORE + "http.Trigger", uri=page.url, interval="PT0S")), "application/x-yaml")
            self.assertIn("must be at least", a.json["message"])
            states = {x["state"]["current"] for x in s.search()["results"]}
            self.assertLessEqual(states, {"SUCCESS", "RUNNING"})

    def test_several_executions_at_a_time_and_an_error_that_fails_one(self):
        page = Page()
        page.body = b"yes"
        with Server(self) as s:
            s.flow(flow("f", [sleep()], trigger("t", CORE + "http.Trigger", uri=page.url, allowConcurrent=True)))
            wait(lambda: s.search(flowId="f")["total"] >= 3)
            s.flow(flow("f", [sleep()]))
            page.status = 404
            s.flow(flow("g", [log()], trigger("t", CORE + "http.Trigger", uri=page.url, responseCondition="{{ nothing.there }}", failOnTriggerError=True)))
            wait(lambda: s.search(flowId="g", state="FAILED")["total"] >= 2)
            x = s.search(flowId="g")["results"][0]
            self.assertIn(b"the trigger: its last look failed: ", s.get(f"/logs/{x['id']}/download").body)
            self.assertEqual(len({x["id"] for x in s.search(flowId="g")["results"]}), len(s.search(flowId="g")["results"]))
            self.assertEqual(s.stop(), 0)

    def test_a_condition_holds_it_back(self):
        page = Page()
        with Server(self) as s:
            s.flow(flow("f", [log()], trigger("t", CORE + "http.Trigger", uri=page.url, conditions=[{"type": CORE + "condition.Expression", "expression": "{{ false }}"}])))
            time.sleep(0.7)
            self.assertEqual((page.asked, s.search()["total"]), (0, 0))


class Cloud(Case):
    def bucket(self, cloud):
        self.request(cloud, "POST", "/storage/v1/b?project=local-project", b'{"name": "inbox"}', "application/json")

    def request(self, cloud, method, path, body=None, type="text/csv"):
        c = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=30)
        c.request(method, path, body=body, headers={"Content-Type": type})
        r = c.getresponse()
        data = r.read()
        c.close()
        self.assertIn(r.status, (200, 204), data)
        return data

    def put(self, cloud, name, body):
        self.request(cloud, "POST", f"/upload/storage/v1/b/inbox/o?uploadType=media&name={name}", body)

    def names(self, cloud):
        return sorted(o["name"] for o in json.loads(self.request(cloud, "GET", "/storage/v1/b/inbox/o"))["items"])

    def reading(self, **rest):
        read = {"id": "r", "type": CORE + "debug.Return", "format": "{% for b in trigger.blobs %}{{ b.name }}={{ read(b.uri) }}={{ b.changeType }};{% endfor %}"}
        return flow("f", [read], trigger("t", GCP + "gcs.Trigger", **{"from": "gs://inbox/", "listingType": "RECURSIVE", **rest}))

    def seen(self, s):
        """What the executions read, once all of them are over."""
        results, out = [], []

        def over():
            results[:] = s.search(size=500)["results"]
            return not any(x["state"]["current"] in ("CREATED", "RUNNING") for x in results)

        wait(over)
        for x in results:
            self.assertEqual(x["state"]["current"], "SUCCESS", x)
            out += x["taskRunList"][0]["outputs"]["value"].strip(";").split(";")
        return sorted(out)

    def test_objects_that_come_and_change(self):
        with LocalCloud(self, "--anonymous") as cloud, Server(self, "--local") as s:
            self.bucket(cloud)
            self.put(cloud, "a", b"1")
            s.flow(self.reading())
            wait(lambda: self.seen(s) == ["a=1=CREATE"])
            self.put(cloud, "a", b"2")
            wait(lambda: self.seen(s) == ["a=1=CREATE", "a=2=UPDATE"])
            time.sleep(0.6)
            self.assertEqual(len(self.seen(s)), 2)
            s.flow(self.reading(on="CREATE"))
            self.put(cloud, "a", b"3")
            self.put(cloud, "b", b"1")
            wait(lambda: "b=1=CREATE" in self.seen(s))
            time.sleep(0.6)
            self.assertEqual(len(self.seen(s)), 3)
            self.assertEqual(self.names(cloud), ["a", "b"])
            s.flow(self.reading(on="CREATE", stateKey="anew", maxFiles=1))
            wait(lambda: len(self.seen(s)) == 5)
            self.assertEqual(s.stop(), 0)
            self.ok(self.sluice("verify"))

    def test_every_object_fires_once_though_the_server_is_killed(self):
        rand = random.Random()
        with LocalCloud(self, "--anonymous") as cloud, Server(self, "--local") as s:
            self.bucket(cloud)
            s.flow(self.reading(**{"from": "gs://inbox/new/", "action": "MOVE", "moveDirectory": "gs://inbox/done", "maxFiles": 3}))
            for i in range(40):
                self.put(cloud, f"new/{i:02d}", b"%d" % i)
            kills = 0
            while any(n.startswith("new/") for n in self.names(cloud)) or kills < 15:
                time.sleep(rand.uniform(0.02, 0.3))
                s.kill()
                kills += 1
                self.assertLess(kills, 400, "nothing moves any more")
                s.start()
                if kills == 10:
                    self.put(cloud, "new/late", b"late")
            expected = sorted([f"new/{i:02d}={i}=CREATE" for i in range(40)] + ["new/late=late=CREATE"])
            self.assertEqual(self.seen(s), expected, f"{kills} kills")
            self.assertEqual(self.names(cloud), sorted([f"done/{i:02d}" for i in range(40)] + ["done/late"]))
            print(f"{kills} kills", flush=True)
            self.assertEqual(s.stop(), 0)
            self.ok(self.sluice("verify"))

    def test_delete(self):
        with LocalCloud(self, "--anonymous") as cloud, Server(self, "--local") as s:
            self.bucket(cloud)
            s.flow(self.reading(action="DELETE"))
            self.put(cloud, "a", b"1")
            wait(lambda: "items" not in json.loads(self.request(cloud, "GET", "/storage/v1/b/inbox/o")))
            self.put(cloud, "a", b"2")
            wait(lambda: len(self.seen(s)) == 2)
            self.assertEqual(self.seen(s), ["a=1=CREATE", "a=2=CREATE"])

    def test_rows_of_a_query(self):
        with LocalCloud(self, "--anonymous"), Server(self, "--local") as s:
            self.sql("CREATE SCHEMA d")
            self.sql("CREATE TABLE d.t (n INT64)")
            s.flow(flow("f", [back("r", "{{ trigger.size }} {{ trigger.rows }}"), {"id": "e", "type": GCP + "bigquery.Query", "sql": "TRUNCATE TABLE d.t"}],
                        trigger("t", GCP + "bigquery.Trigger", sql="SELECT n FROM d.t ORDER BY n", fetchType="FETCH")))
            time.sleep(1)
            self.assertEqual(s.search()["total"], 0)
            self.sql("INSERT INTO d.t VALUES (1), (2)")
            wait(lambda: s.search(state=["SUCCESS"])["total"] == 1)
            self.assertEqual(s.search()["results"][0]["taskRunList"][0]["outputs"]["value"], '2 [{"n":1},{"n":2}]')
            time.sleep(1)
            self.assertEqual(s.search()["total"], 1)
            s.flow(flow("g", [back("r", "{{ trigger.size }}"), {"id": "e", "type": GCP + "bigquery.Query", "sql": "TRUNCATE TABLE d.t"}], trigger("t", GCP + "bigquery.Trigger", sql="SELECT n FROM d.t", disabled=False)))
            s.flow(flow("f", [log()]))
            self.sql("INSERT INTO d.t VALUES (1), (2), (3)")
            wait(lambda: s.search(flowId="g", state=["SUCCESS"])["total"] == 1)
            self.assertEqual(s.search(flowId="g")["results"][0]["taskRunList"][0]["outputs"]["value"], "3")


@unittest.skipUnless(VERSITYGW.exists(), missing(VERSITYGW))
class S3(Case):
    def curl(self, url, *args, **kw):
        command = ["curl", "-sSf", "--user", "peer-key:peer-secret", "--aws-sigv4", "aws:amz:us-east-1:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *args, url]
        subprocess.run(command, check=True, capture_output=True, timeout=30, **kw)

    def put(self, url, name, body):
        self.curl(f"{url}/inbox/{name}", "-T", "-", "-H", f"Content-Length: {len(body)}", "-H", "Transfer-Encoding:", input=body)

    def reading(self, url, **rest):
        read = {"id": "r", "type": CORE + "debug.Return", "format": "{% for o in trigger.objects %}{{ o.key }}={{ read(o.uri) }}={{ o.changeType }};{% endfor %}"}
        access = {"accessKeyId": "peer-key", "secretKeyId": "peer-secret", "region": "us-east-1", "endpointOverride": url}
        return flow("f", [read], trigger("t", "io.kestra.plugin.aws.s3.Trigger", bucket="inbox", **access, **rest))

    seen = Cloud.seen

    def keys(self):
        folder = self.tmp / "objects" / "inbox"
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and ".sgwtmp" not in p.parts)

    def test_objects_that_come_and_change(self):
        with versitygw(self.tmp) as url, Server(self) as s:
            self.curl(url + "/inbox", "-X", "PUT")
            self.put(url, "a", b"1")
            s.flow(self.reading(url, action="NONE"))
            wait(lambda: self.seen(s) == ["a=1=CREATE"])
            self.put(url, "a", b"2")
            wait(lambda: self.seen(s) == ["a=1=CREATE", "a=2=UPDATE"])
            time.sleep(0.6)
            self.assertEqual(len(self.seen(s)), 2)

    def test_every_object_fires_once_though_the_server_is_killed(self):
        with versitygw(self.tmp) as url, Server(self) as s:
            self.curl(url + "/inbox", "-X", "PUT")
            s.flow(self.reading(url, prefix="new/", action="MOVE", moveTo={"bucket": "inbox", "key": "done"}, maxFiles=3))
            for i in range(20):
                self.put(url, f"new/{i:02d}", b"%d" % i)
            kills = 0
            while any(k.startswith("new/") for k in self.keys()) or kills < 6:
                time.sleep(random.uniform(0.02, 0.3))
                s.kill()
                kills += 1
                self.assertLess(kills, 400, "nothing moves any more")
                s.start()
            self.assertEqual(self.seen(s), sorted(f"new/{i:02d}={i}=CREATE" for i in range(20)), f"{kills} kills")
            self.assertEqual(self.keys(), [f"done/{i:02d}" for i in range(20)])


@unittest.skipUnless(POSTGRES.exists(), missing(POSTGRES))
class Sql(Case):
    def test_rows_of_a_query(self):
        pg = Postgres("a-password")
        self.addCleanup(pg.stop)
        pg.psql("CREATE TABLE t (n int)")
        access = {"url": pg.url, "username": "root", "password": "a-password"}
        with Server(self) as s:
            delete = {"id": "e", "type": "io.kestra.plugin.jdbc.postgresql.Query", "sql": "TRUNCATE t", **access}
            s.flow(flow("f", [back("r", "{{ trigger.size }} {{ trigger.rows }}"), delete], trigger("t", "io.kestra.plugin.jdbc.postgresql.Trigger", sql="SELECT n FROM t ORDER BY n", **access)))
            time.sleep(0.6)
            self.assertEqual(s.search()["total"], 0)
            pg.psql("INSERT INTO t VALUES (1), (2)")
            wait(lambda: s.search(state=["SUCCESS"])["total"] == 1)
            self.assertEqual(s.search()["results"][0]["taskRunList"][0]["outputs"]["value"], '2 [{"n":1},{"n":2}]')
            time.sleep(0.6)
            self.assertEqual(s.search()["total"], 1)


class Embedded(Case):
    """Triggers that look into DuckDB and SQLite, whose rows the flow removes."""

    def test_rows_of_a_query(self):
        (self.tmp / "sluice.yaml").write_text(f"localFiles: ['{self.tmp}/']\n")
        for name in ("sqlite", "duckdb"):
            path = self.tmp / f"{name}.db"
            db = {"url": f"jdbc:{name}:{path}"}
            kind = f"io.kestra.plugin.jdbc.{name}."

            def sql(text):
                self.ok(self.flow(f"id: sql\nnamespace: t\ntasks: [{{id: q, type: {kind}Query, url: '{db['url']}', sql: '{text}'}}]\n", env={"SLUICE_DATA_DIR": str(self.tmp / "other")}))

            with self.subTest(name), Server(self, "--config", str(self.tmp / "sluice.yaml")) as s:
                sql("CREATE TABLE t (n int)")
                delete = {"id": "e", "type": kind + "Query", "sql": "DELETE FROM t", **db}
                s.flow(flow(name, [back("r", "{{ trigger.size }} {{ trigger.rows }}"), delete], trigger("t", kind + "Trigger", sql="SELECT n FROM t ORDER BY n", **db)))
                time.sleep(0.6)
                self.assertEqual(s.search(flowId=name)["total"], 0)
                sql("INSERT INTO t VALUES (1), (2)")
                wait(lambda: s.search(flowId=name, state=["SUCCESS"])["total"] == 1)
                self.assertEqual(s.search(flowId=name)["results"][0]["taskRunList"][0]["outputs"]["value"], '2 [{"n":1},{"n":2}]')
                time.sleep(0.6)
                self.assertEqual(s.search(flowId=name)["total"], 1)
                a = s.call("POST", "/flows", flow("none", [back("r", "x")], trigger("t", kind + "Trigger", sql="SELECT 1", fetchType="NONE", **db)), "application/x-yaml")
                if a.status == 200:
                    wait(lambda: "may not be NONE" in self.sluice("trigger", "why", "t", "none", "t").out)


if __name__ == "__main__":
    unittest.main()

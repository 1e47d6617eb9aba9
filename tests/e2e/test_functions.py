"""Functions of expressions that look outside or give something new each time, and what flows are written with: anchors, defaults, limits of dates."""

import base64
import json
import re
import unittest

from scripted import Scripted
from server import Server
from sluice import Case

CORE = "io.kestra.plugin.core."
RETURN = CORE + "debug.Return"


class Functions(Case):
    def values(self, *formats, before="", rc=0, **kw):
        tasks = "".join(f"  - {json.dumps({'id': f'r{i}', 'type': RETURN, 'format': f})}\n" for i, f in enumerate(formats))
        done = self.flow(f"id: f\nnamespace: a.b\ntasks:\n{before}{tasks}", "--output", "json", **kw)
        self.assertEqual(done.rc, rc, done)
        runs = json.loads(done.out.splitlines()[-1])["taskRuns"]
        return [r["outputs"]["value"] for r in runs if r["id"].startswith("r")] if rc == 0 else done.err

    def test_http(self):
        def answer(r):
            if r.path == "/text":
                return 200, {"Content-Type": "text/plain"}, b"plain"
            if r.path == "/moved":
                return 302, {"Location": "/text"}, b"there"
            if r.path == "/missing":
                return 404, {}, {"message": "no"}
            return 200, {}, {"method": r.method, "query": r.query, "body": r.body.decode(), "type": r.headers.get("content-type"), "accept": r.headers.get("accept"), "x": r.headers.get("x-a"), "auth": r.headers.get("authorization")}

        with Scripted(answer) as s:
            u = s.url
            got = self.values(
                f"{{{{ http('{u}/json').method }}}}",
                f"{{{{ http(uri='{u}/json', query={{'a': 'b c', 'n': 1}}).query | toJson }}}}",
                f"{{{{ http(uri='{u}/json', method='POST', body={{'k': [1]}}, headers={{'X-A': 'y'}}, accept='text/csv') | toJson }}}}",
                f"{{{{ http(uri='{u}/json', method='PUT', body='<a/>', contentType='text/xml').type }}}}",
                f"{{{{ http('{u}/text') }}}}",
                f"{{{{ http('{u}/moved') }}}} {{{{ http(uri='{u}/moved', options={{'followRedirects': false}}) }}}}",
                f"{{{{ http(uri='{u}/json', options={{'auth': {{'type': 'BASIC', 'username': 'me', 'password': 'canary-pw'}}}}).method }}}}",
                f"{{{{ http(uri='{u}/missing', options={{'allowFailed': true}}).message }}}}{{{{ http(uri='{u}/missing', options={{'allowedResponseCodes': [404]}}).message }}}}",
            )
            self.assertEqual(got[0], "GET")
            self.assertEqual(json.loads(got[1]), {"a": "b c", "n": "1"})
            sent = json.loads(got[2])
            self.assertEqual((sent["method"], json.loads(sent["body"]), sent["type"], sent["accept"], sent["x"]), ("POST", {"k": [1]}, "application/json", "text/csv", "y"))
            self.assertEqual(got[3:6], ["text/xml", "plain", "plain there"])
            self.assertEqual(s.requests[-3].headers["authorization"], "Basic " + base64.b64encode(b"me:canary-pw").decode())
            self.assertEqual(got[7], "nono")
            self.assertIn("/missing answered with HTTP 404", self.values(f"{{{{ http('{u}/missing') }}}}", rc=1))
        self.assertRegex(self.values(f"{{{{ http('{u}/json') }}}}", rc=1), "connect|refused")
        self.assertIn("a uri", self.values("{{ http(method='GET') }}", rc=1))

    def test_files_of_namespaces(self):
        write = f"  - {{id: w, type: {CORE}storage.Write, content: 'select 1'}}\n  - {{id: up, type: {CORE}namespace.UploadFiles, namespace: a.b, filesMap: {{q/a.sql: \"{{{{ outputs.w.uri }}}}\"}}}}\n"
        self.assertEqual(self.values("{{ fileURI('q/a.sql') }}", "{{ read(fileURI('q/a.sql')) }}", "{{ read('q/a.sql') }}", before=write), ["kestra:///a/b/_files/q/a.sql", "select 1", "select 1"])
        self.assertIn("Path must not contain", self.values("{{ fileURI('../x') }}", rc=1))

    def test_what_is_new_each_time(self):
        got = self.values("{{ ksuid() }} {{ ksuid() }}", "{{ id() }} {{ id() }}", "{{ uuid() }} {{ uuid() }}", "{{ randomPort() }}", "{{ randomInt(lower=3, upper=5) }}", "{{ nanoId(length=7) }} {{ nanoId() }}")
        a, b = got[0].split()
        self.assertRegex(got[0], r"^[0-9A-Za-z]{27} [0-9A-Za-z]{27}$")
        self.assertNotEqual(a, b)
        self.assertEqual(a[:4], b[:4])  # of the same second, or the next
        for value, shape in ((got[1], r"[0-9A-Za-z]{20,22}"), (got[2], r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9A-Za-z]{20,22}")):
            a, b = value.split()
            self.assertRegex(a, f"^({shape})$")
            self.assertNotEqual(a, b)
        self.assertTrue(1024 < int(got[3]) < 65536, got[3])
        self.assertIn(int(got[4]), (3, 4, 5))
        self.assertRegex(got[5], r"^\S{7} \S{21}$")

    def test_names_of_classes(self):
        self.assertEqual(self.values("{{ 'x' | className }} {{ 1 | className }} {{ 1.5 | className }} {{ true | className }} {{ [1] | className }}"), ["java.lang.String java.lang.Integer java.lang.Double java.lang.Boolean java.util.ArrayList"])


class Written(Case):
    def test_anchors_and_merges(self):
        done = self.flow(f"""id: f
namespace: t
variables:
  base: &base {{a: 1, b: 2}}
  more: {{<<: *base, b: 3, c: 4}}
  many: {{<<: [*base, {{d: 5, a: 9}}], e: 6}}
  word: {{"<<": text}}
tasks:
  - &first
    id: one
    type: {RETURN}
    format: "{{{{ [vars.more.a, vars.more.b, vars.more.c] }}}}"
  - {{<<: *first, id: two, format: "{{{{ vars.many | keys | sort }}}}{{{{ vars.many.a }}}}"}}
  - {{<<: *first, id: three}}
""", "--output", "json")
        self.assertEqual(done.rc, 0, done)
        got = {r["id"]: r["outputs"]["value"] for r in json.loads(done.out.splitlines()[-1])["taskRuns"]}
        self.assertEqual(got, {"one": "[1,3,4]", "two": '["a","b","d","e"]1', "three": "[1,3,4]"})
        done = self.flow(f"id: f\nnamespace: t\nvariables: {{a: {{<<: 3}}}}\ntasks: [{{id: a, type: {RETURN}}}]\n")
        self.assertEqual(done.rc, 2)
        self.assertRegex(done.err, r"flow.yaml:3:17: .*merge key << needs a map")

    def test_defaults_with_lists(self):
        """Lists of defaults come before the task's own, those of forced defaults behind."""
        shell = CORE.replace("core.", "scripts.shell.") + "Commands"
        text = f"""id: f
namespace: t
tasks:
  - {{id: a, type: {shell}, taskRunner: {{type: io.kestra.plugin.core.runner.Process}}, commands: ["echo '::{{\\"outputs\\":{{\\"x\\":\\"'$WORD'\\"}}}}::'"], beforeCommands: [WORD="$WORD"own]}}
pluginDefaults:
  - {{type: io.kestra.plugin.scripts.shell, values: {{beforeCommands: [WORD=default-], env: {{A: b}}}}}}
"""
        for forced, said in (("", "default-own"), (", forced: true", "default-")):
            done = self.flow(text.replace("shell, values", f"shell{forced}, values"), "--output", "json")
            self.assertEqual(done.rc, 0, done)
            self.assertEqual(json.loads(done.out.splitlines()[-1])["taskRuns"][0]["outputs"]["vars"]["x"], said)

    def test_bounds_of_dates(self):
        inputs = "id: f\nnamespace: t\ninputs:\n  - {id: d, type: DATE, after: '2024-01-01', before: '2024-02-01', required: false}\n  - {id: t, type: TIME, after: '08:00:00', before: '17:00:00', required: false}\n  - {id: m, type: DATETIME, after: '2024-01-01T00:00:00Z', required: false}\n"
        flow = inputs + f"tasks: [{{id: r, type: {RETURN}, format: '{{{{ inputs.d ?? inputs.t ?? inputs.m }}}}'}}]\n"
        for given, ok in (("d=2024-01-02", True), ("d=2024-01-01", False), ("d=2024-02-01", False), ("t=08:00:01", True), ("t=17:00:00", False), ("t=07:59:59", False), ("m=2024-01-01T00:30:00+01:00", False), ("m=2024-01-01T00:30:00Z", True)):
            done = self.flow(flow, "-i", given)
            self.assertEqual(done.rc, 0 if ok else 2, (given, done))
            if not ok:
                self.assertRegex(done.err, "it must be (after|before) `")

    def test_dates_with_offsets(self):
        formats = ["{{ '01/02/2024 10:11 +0530' | date(existingFormat='dd/MM/yyyy HH:mm XX', format='yyyy-MM-dd HH:mm', timeZone='UTC') }}", "{{ '2024-02-01 10:11:12Z' | date(existingFormat='yyyy-MM-dd HH:mm:ssX', format='HH:mm', timeZone='Asia/Tokyo') }}",
                   "{{ '2024-02-01 10:11 -08' | date(existingFormat='yyyy-MM-dd HH:mm x', format='HH:mm', timeZone='UTC') }}", "{{ '2024-02-01 10:11 +02:30' | date(existingFormat='yyyy-MM-dd HH:mm xxx', format='HH:mm', timeZone='UTC') }}"]
        self.assertEqual(Functions.values(self, *formats), ["2024-02-01 04:41", "19:11", "18:11", "07:41"])


class Dates(Case):
    def test_a_schedule_on_dates(self):
        spec = "triggers: [{id: d, type: " + CORE + "trigger.ScheduleOnDates, timezone: Europe/Paris, dates: ['2024-06-01T08:00:00', '2024-01-01T08:00:00', '2024-03-31T00:00:00Z', '2030-01-01T00:00:00+02:00'], inputs: {n: 7}}]\n"
        flow = "id: f\nnamespace: t\ninputs: [{id: n, type: INT, required: false}]\ntasks: [{id: r, type: " + RETURN + ", format: \"{{ trigger.previous ?? '-' }} {{ trigger.date }} {{ trigger.next ?? '-' }} {{ inputs.n }}\"}]\n" + spec
        with Server(self) as s:
            s.flow(flow)
            self.assertEqual(s.search(flowId="f")["total"], 0)
            self.assertEqual(s.get("/triggers/t/f").json["results"][0]["nextExecutionDate"][:19], "2029-12-31T22:00:00")
            self.ok(self.sluice("trigger", "backfill", "t", "f", "d", "--start", "2024-01-15T00:00:00Z", "--end", "2024-12-31T00:00:00Z", "--wait", "-q"))
            values = sorted(s.execution(x["id"])["taskRunList"][0]["outputs"]["value"] for x in s.search(flowId="f")["results"])
            self.assertEqual(values, ["2024-01-01T08:00:00.000+01:00 2024-03-31T01:00:00.000+01:00 2024-06-01T08:00:00.000+02:00 7", "2024-03-31T01:00:00.000+01:00 2024-06-01T08:00:00.000+02:00 2029-12-31T23:00:00.000+01:00 7"])
            self.assertEqual(self.ok(self.sluice("trigger", "why", "t", "f", "d")).out, "It fires next on 2029-12-31T22:00:00.000Z (2029-12-31T23:00:00.000+01:00).\n")
        path = self.tmp / "bad.yaml"
        path.write_text(flow.replace("2024-06-01T08:00:00'", "June'"))
        self.assertRegex(self.sluice("flow", "validate", path).err, r"bad.yaml:\d+:\d+: .*'June' is not a date-time")


if __name__ == "__main__":
    unittest.main()

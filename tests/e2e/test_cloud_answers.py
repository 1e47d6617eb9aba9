"""What the clouds may answer and no emulator does, from the pages of their APIs: each case with a scripted server."""

import base64
import hashlib
import json
import random
import re
import ssl
import subprocess
import time
import unittest
import urllib.parse

from scripted import Cut, Scripted, error, service_account, token_answer
from sluice import Case

SIZE = 70_000_000  # two chunks
SESSION = "/upload/session/1"
CRC32C = "aBvBdw=="  # of SIZE letters x; computed by google-crc32c


class Answers(Case):
    def cloud(self, text, url, *args, env=None):
        return self.flow("id: f\nnamespace: n\ntasks:\n" + text, *args, env={"STORAGE_EMULATOR_HOST": url, "BIGQUERY_EMULATOR_HOST": url, "NO_GCE_CHECK": "true", **(env or {})})

    # ---- resumable uploads ----

    def upload(self, server, rc=0, key="", size=SIZE):
        task = f"""
  - {{id: make, type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {{type: io.kestra.plugin.core.runner.Process}}, outputFiles: [x], commands: ["head -c {size} /dev/zero | tr '\\\\0' x > x"]}}
  - {{id: up, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.make.outputFiles.x }}}}", to: "gs://bucket/x"{key}}}
"""
        done = self.cloud(task, server.url, "-q")
        self.assertEqual(done.rc, rc, done)
        return done

    def session(self, *answers, finished=None):
        """A session that answers its PUTs one after the other; then the object."""
        left = list(answers)
        finished = finished or {"name": "x", "bucket": "bucket", "size": str(SIZE), "crc32c": CRC32C}

        def answer(r):
            if r.method == "POST":
                return 200, {"Location": f"http://{r.headers['host']}{SESSION}"}, b""
            reply = left.pop(0) if left else (200, {}, finished)
            if reply is Cut:
                raise Cut
            return reply

        return Scripted(answer)

    def ranges(self, server):
        return [(r.headers["content-range"], len(r.body)) for r in server.of("PUT", SESSION)]

    CHUNK = 64 << 20
    FIRST = (f"bytes 0-{CHUNK - 1}/{SIZE}", CHUNK)
    LAST = (f"bytes {CHUNK}-{SIZE - 1}/{SIZE}", SIZE - CHUNK)
    ASK = (f"bytes */{SIZE}", 0)

    def incomplete(self, last=None, form="bytes=0-%d"):
        return 308, {} if last is None else {"Range": form % last}, b""

    def test_chunks_go_on_where_the_session_stands(self):
        with self.session(self.incomplete(self.CHUNK - 1)) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, self.LAST])

    def test_a_session_that_kept_less_gets_the_rest_again(self):
        with self.session(self.incomplete(999_999)) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, (f"bytes 1000000-{1000000 + self.CHUNK - 1}/{SIZE}", self.CHUNK), (f"bytes {1000000 + self.CHUNK}-{SIZE - 1}/{SIZE}", SIZE - self.CHUNK - 1000000)][: len(self.ranges(s))])
            self.assertEqual(self.ranges(s)[1][0], f"bytes 1000000-{1000000 + self.CHUNK - 1}/{SIZE}")

    def test_a_session_without_a_range_has_nothing(self):
        with self.session(self.incomplete(), self.incomplete(self.CHUNK - 1)) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, self.FIRST, self.LAST])

    def test_a_range_without_its_unit(self):
        with self.session(self.incomplete(self.CHUNK - 1, "0-%d")) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, self.LAST])

    def test_a_range_beyond_the_file_is_an_error(self):
        with self.session(*[self.incomplete(SIZE + 5)] * 50) as s:
            self.assertIn("strange range 'bytes=0-70000005'", self.upload(s, rc=1).err)

    def test_a_cut_connection_asks_first(self):
        with self.session(Cut, self.incomplete(9_999_999)) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s)[:3], [self.FIRST, self.ASK, (f"bytes 10000000-{SIZE - 1}/{SIZE}", SIZE - 10_000_000)])

    def test_a_lost_last_answer_finds_the_object(self):
        with self.session(self.incomplete(self.CHUNK - 1), Cut, (200, {}, {"name": "x", "bucket": "bucket", "size": str(SIZE), "crc32c": CRC32C})) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, self.LAST, self.ASK])

    def test_trouble_of_the_server_is_waited_out(self):
        with self.session((503, {"Retry-After": "1"}, b""), self.incomplete(self.CHUNK - 1)) as s:
            begin = time.monotonic()
            self.upload(s)
            self.assertGreater(time.monotonic() - begin, 1.0, "Retry-After was not kept")
            self.assertEqual(self.ranges(s), [self.FIRST, self.ASK, self.LAST])

    def test_a_lost_session_begins_anew(self):
        with self.session(self.incomplete(self.CHUNK - 1), error(404, "notFound"), self.incomplete(self.CHUNK - 1)) as s:
            self.upload(s)
            self.assertEqual(self.ranges(s), [self.FIRST, self.LAST, self.FIRST, self.LAST])
            self.assertEqual(len([r for r in s.requests if r.method == "POST"]), 2)

    def test_sessions_that_are_always_lost_end(self):
        with self.session(*[error(410, "gone")] * 50) as s:
            self.assertIn("has lost the upload session of gs://bucket/x 3 times", self.upload(s, rc=1).err)

    def test_a_wrong_checksum_is_an_error(self):
        with self.session(self.incomplete(self.CHUNK - 1), finished={"name": "x", "size": str(SIZE), "crc32c": "AAAAAA=="}) as s:
            self.assertIn("has the CRC32C AAAAAA==, but " + CRC32C + " was sent", self.upload(s, rc=1).err)

    def test_a_token_that_ends_midway_is_renewed(self):
        state = {"token": 0, "puts": 0}

        def answer(r):
            if r.path == "/token":
                state["token"] += 1
                return token_answer(f"token-{state['token']}")
            if r.headers.get("authorization") != f"Bearer token-{state['token']}":
                return error(401, "authError")
            if r.method == "POST":
                return 200, {"Location": s.url + SESSION}, b""
            state["puts"] += 1
            if state["puts"] == 1:
                return self.incomplete(self.CHUNK - 1)
            if state["puts"] == 2:
                return error(401, "authError", "Invalid Credentials")
            return 200, {}, {"name": "x", "size": str(SIZE), "crc32c": CRC32C}

        with Scripted(answer) as s:
            self.upload(s, key=", serviceAccount: " + json.dumps(service_account(self.tmp, s.url + "/token").read_text()))
            self.assertEqual(state["token"], 2)

    # ---- refusals ----

    def refused(self, answer, *words, token=None):
        def everything(r):
            return (token or token_answer()) if r.path == "/token" else answer

        with Scripted(everything) as s:
            key = json.dumps(service_account(self.tmp, s.url + "/token").read_text())
            done = self.cloud(f"  - {{id: l, type: io.kestra.plugin.gcp.gcs.List, from: 'gs://bucket/', serviceAccount: {key}}}\n", s.url, "-q")
            self.assertEqual(done.rc, 1, done)
            for word in words:
                self.assertIn(word, done.err)
            said = [line for line in done.err.splitlines() if line.strip()]
            self.assertEqual(len(said), 1, "more than one sentence: " + done.err)
            return s

    def test_forbidden(self):
        s = self.refused(error(403, "forbidden", "no storage.objects.list access"), "403 (forbidden): no storage.objects.list access", "robot@p1.iam.gserviceaccount.com lacks the permission")
        self.assertEqual(len(s.of("GET", "/storage/v1/b/bucket/o")), 1, "asked again although it is forbidden")

    def test_a_token_that_is_never_accepted(self):
        s = self.refused(error(401, "authError", "Invalid Credentials"), "401 (authError): Invalid Credentials", "the token was refused")
        self.assertEqual(len(s.of("POST", "/token")), 2, "a fresh token was not tried once")

    def test_a_revoked_key(self):
        s = self.refused((200, {}, {}), "invalid_grant: Token has been revoked", "the key may be revoked", token=(400, {}, {"error": "invalid_grant", "error_description": "Token has been revoked"}))
        self.assertEqual(len(s.requests), 1)

    # ---- preconditions ----

    def test_a_download_stays_with_one_generation(self):
        data = bytes(range(256)) * 4000
        crc = base64.b64encode(b"xxxx").decode()

        def answer(r):
            if r.query.get("alt") != "media":
                return 200, {}, {"name": "o", "size": str(len(data)), "generation": "7", "crc32c": crc}
            self.assertEqual(r.query["generation"], "7")
            return error(404, "notFound", "No such object: bucket/o#7")

        with Scripted(answer) as s:
            done = self.cloud("  - {id: d, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://bucket/o'}\n", s.url, "-q")
            self.assertEqual(done.rc, 1, done)
            self.assertIn("gs://bucket/o", done.err)

    def downloads(self, spoil=None):
        """Thirty small objects of a listing; spoil(name, data) may change what comes. What was asked for, and how it ended."""
        content = {f"d/{i:02}": random.Random(i).randbytes(i * 1009) for i in range(30)}
        now = {name: "7" for name in content}
        now["d/09"] = "8"  # replaced since the listing
        asked = []

        def meta(name, generation):
            return {"name": name, "bucket": "bucket", "size": str(len(content[name])), "generation": generation, "md5Hash": base64.b64encode(hashlib.md5(content[name]).digest()).decode()}

        def answer(r):
            if r.path.endswith("/o"):
                return 200, {}, {"items": [meta(name, "7") for name in sorted(content)]}
            name = urllib.parse.unquote(r.path.split("/o/")[1])
            asked.append((name, r.query.get("generation", "look")))
            if r.query.get("alt") != "media":
                return 200, {}, meta(name, now[name])
            if r.query["generation"] != now[name]:
                return error(404, "notFound", f"No such object: bucket/{name}#7")
            return 200, {}, spoil(name, content[name]) if spoil else content[name]

        with Scripted(answer) as s:
            done = self.cloud("  - {id: d, type: io.kestra.plugin.gcp.gcs.Downloads, from: 'gs://bucket/d/', action: NONE, maxFiles: 100}\noutputs:\n  - {id: n, type: JSON, value: '{{ outputs.d.outputFiles | json }}'}\n", s.url, "--output", "json")
        return content, sorted(asked), done

    def test_many_small_objects(self):
        """One request each (none for one without bytes), for the generation that the listing told of; what is not there any more is looked for anew."""
        content, asked, done = self.downloads()
        self.ok(done)
        self.assertEqual(asked, sorted([(name, "7") for name in content if content[name]] + [("d/09", "look"), ("d/09", "8")]))

    def test_many_small_objects_of_which_one_is_wrong(self):
        _, _, done = self.downloads(lambda name, data: data[:-1] + b"x" if name == "d/20" else data)
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"gs://bucket/d/20 has the MD5 .*, but what came has .*; try again")

    def test_a_download_goes_on_by_range(self):
        """Pieces of a large object are asked for at once; each request is cut once, and the rest asked for, of the same generation."""
        data = random.Random(7).randbytes(26_000_000)
        seen = []

        def answer(r):
            meta = {"name": "o", "size": str(len(data)), "generation": "7", "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode()}
            if r.query.get("alt") != "media":
                return 200, {}, meta
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", r.headers["range"])
            begin, end = int(found.group(1)), int(found.group(2) or len(data) - 1) + 1
            seen.append((begin, r.query["generation"]))
            part = data[begin:end]
            head = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}", "X-Goog-Generation": "7", "Content-Length": str(len(part)), "Connection": "close"}
            return 206, head, part[:100_000] if begin % (8 << 20) == 0 else part

        with Scripted(answer) as s:
            done = self.cloud("  - {id: d, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://bucket/o'}\noutputs:\n  - {id: n, type: STRING, value: '{{ fileSize(outputs.d.uri) }}'}\n", s.url, "--output", "json")
            self.assertEqual(json.loads(self.ok(done).out)["outputs"]["n"], str(len(data)))
        begins = [n << 23 for n in range(4)]
        self.assertEqual(sorted(seen), sorted([(b, "7") for b in begins] + [(b + 100_000, "7") for b in begins]))

    def test_a_server_that_ignores_ranges_is_found_out(self):
        data = bytes(9_000_000)

        def answer(r):
            return (200, {}, data) if r.query.get("alt") == "media" else (200, {}, {"name": "o", "size": str(len(data)), "generation": "7"})

        with Scripted(answer) as s:
            done = self.cloud("  - {id: d, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://bucket/o'}\n", s.url, "-q")
            self.assertEqual(done.rc, 1, done)
            self.assertIn("more bytes came than were asked for", done.err)

    def test_a_versioned_deletion_names_its_generation(self):
        def answer(r):
            if r.method == "GET":
                return 200, {}, {"items": [{"name": "a", "bucket": "bucket", "size": "1", "generation": "11"}, {"name": "a", "bucket": "bucket", "size": "1", "generation": "12"}]}
            return 204, {}, b""

        with Scripted(answer) as s:
            self.ok(self.cloud("  - {id: d, type: io.kestra.plugin.gcp.gcs.DeleteList, from: 'gs://bucket/', allVersions: true}\n", s.url, "-q"))
            self.assertEqual(sorted(r.query["generation"] for r in s.requests if r.method == "DELETE"), ["11", "12"])

    # ---- BigQuery ----

    QUERY = "  - {id: q, type: io.kestra.plugin.gcp.bigquery.Query, projectId: p1, location: EU, sql: SELECT 1%s}\n"

    def job(self, job_id, state="DONE", error_result=None):
        status = {"state": state}
        if error_result:
            status.update(errorResult=error_result, errors=[error_result])
        return {"jobReference": {"projectId": "p1", "jobId": job_id, "location": "EU"}, "status": status, "statistics": {"creationTime": "1"}, "configuration": {"query": {}}}

    def test_a_job_whose_answer_was_lost_is_followed(self):
        jobs = {}

        def answer(r):
            if r.method == "POST":
                job_id = r.json()["jobReference"]["jobId"]
                if job_id in jobs:
                    return error(409, "duplicate", f"Already Exists: Job p1:EU.{job_id}")
                jobs[job_id] = self.job(job_id)
                raise Cut
            job_id = r.path.split("/")[-1]
            return 200, {}, jobs[job_id]

        with Scripted(answer) as s:
            done = self.ok(self.cloud(self.QUERY % "", s.url, "--output", "json"))
            self.assertEqual([t["outputs"]["jobId"] for t in json.loads(done.out)["taskRuns"]], list(jobs))
            self.assertEqual(len(jobs), 1)
            self.assertEqual([r.query.get("location") for r in s.requests if r.method == "GET"][0], "EU")

    def test_a_taken_id_that_nobody_shows_is_said(self):
        with Scripted(lambda r: error(409, "duplicate", "Already Exists") if r.method == "POST" else error(404, "notFound")) as s:
            done = self.cloud(self.QUERY % "", s.url, "-q")
            self.assertEqual(done.rc, 1)
            self.assertIn("exists, but does not show it; is 'location' right?", done.err)

    def test_a_job_is_followed_until_it_is_done(self):
        state = {"polls": 0}

        def answer(r):
            job_id = r.json()["jobReference"]["jobId"] if r.method == "POST" else r.path.split("/")[-1]
            state["polls"] += r.method == "GET"
            return 200, {}, self.job(job_id, "DONE" if state["polls"] >= 2 else "RUNNING")

        with Scripted(answer) as s:
            self.ok(self.cloud(self.QUERY % "", s.url, "-q"))
            self.assertEqual(state["polls"], 2)

    def test_a_job_that_failed_for_a_passing_reason_is_followed_by_another(self):
        ids = []

        def answer(r):
            if r.method == "POST":
                ids.append(r.json()["jobReference"]["jobId"])
                return 200, {}, self.job(ids[-1], error_result={"reason": "rateLimitExceeded", "message": "too fast"} if len(ids) == 1 else None)
            return (200, {}, self.job(ids[-1])) if r.path.split("/")[-1] in ids else error(404, "notFound")

        with Scripted(answer) as s:
            done = self.ok(self.cloud(self.QUERY % ", retryAuto: {type: CONSTANT, interval: PT0.1S}", s.url))
            self.assertEqual((len(ids), len(set(ids))), (2, 2))
            self.assertIn("too fast", done.err)

    def test_a_job_that_failed_for_good_fails_once(self):
        bad = {"reason": "invalidQuery", "location": "query", "message": "Syntax error at [1:8]"}
        with Scripted(lambda r: (200, {}, self.job(r.json()["jobReference"]["jobId"], error_result=bad))) as s:
            done = self.cloud(self.QUERY % "", s.url, "-q")
            self.assertEqual((done.rc, len(s.requests)), (1, 1))
            self.assertIn("Bigquery Errors: Syntax error at [1:8] (invalidQuery at query); job ", done.err)

    def test_busy_answers_are_asked_again(self):
        answers = [error(403, "rateLimitExceeded"), (503, {"Retry-After": "1"}, b"")]

        def answer(r):
            return answers.pop(0) if answers else (200, {}, self.job(r.json()["jobReference"]["jobId"]))

        with Scripted(answer) as s:
            self.ok(self.cloud(self.QUERY % "", s.url, "-q"))
            self.assertEqual(len(s.requests), 3)
            self.assertEqual(len({r.json()["jobReference"]["jobId"] for r in s.requests}), 1)

    def test_a_killed_task_cancels_its_job(self):
        with Scripted(lambda r: (200, {}, self.job(r.json()["jobReference"]["jobId"] if r.body else r.path.split("/")[-1], "RUNNING"))) as s:
            done = self.cloud(self.QUERY % ", timeout: PT2S", s.url, "-q")
            self.assertEqual(done.rc, 1)
            cancels = [r for r in s.requests if r.path.endswith("/cancel")]
            self.assertEqual((len(cancels), cancels[0].query), (1, {"location": "EU"}))

    def test_the_limit_of_bytes_is_passed_on(self):
        with Scripted(lambda r: (200, {}, self.job(r.json()["jobReference"]["jobId"]))) as s:
            self.ok(self.cloud(self.QUERY % ", maximumBytesBilled: 1000000, priority: BATCH, labels: {team: data}, jobTimeout: PT30S", s.url, "-q"))
            conf = s.requests[0].json()["configuration"]
            self.assertEqual((conf["query"]["maximumBytesBilled"], conf["query"]["priority"], conf["jobTimeoutMs"], conf["query"]["useLegacySql"]), ("1000000", "BATCH", "30000", False))
            self.assertEqual((conf["labels"]["team"], conf["labels"]["kestra_flow_id"], conf["labels"]["kestra_task_id"]), ("data", "f", "q"))

    # ---- the client itself ----

    def test_redirects(self):
        with Scripted() as other, Scripted() as s:
            s.answer = lambda r: (302, {"Location": other.url + "/there"}, b"") if r.path == "/here" else (200, {}, b"same")
            other.answer = lambda r: (200, {}, b"there")
            task = "  - {id: h, type: io.kestra.plugin.core.http.Request, uri: '%s/here', headers: {Authorization: 'Bearer mine', X-Key: 'mine, too'}}\n"
            self.ok(self.cloud(task % s.url, s.url, "-q"))
            self.assertEqual(s.requests[0].headers["authorization"], "Bearer mine")
            self.assertNotIn("authorization", other.requests[0].headers)
            self.assertNotIn("x-key", other.requests[0].headers, "any header of the flow may be a credential")
            s.answer = lambda r: (302, {"Location": "/there"}, b"") if r.path == "/here" else (200, {}, b"same")
            self.ok(self.cloud(task % s.url, s.url, "-q"))
            self.assertEqual((s.requests[-1].path, s.requests[-1].headers["x-key"]), ("/there", "mine, too"))

    def test_certificates(self):
        cert, key = self.tmp / "cert.pem", self.tmp / "tls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        with Scripted(lambda r: (200, {}, b"over TLS")) as s:
            s.server.socket = context.wrap_socket(s.server.socket, server_side=True)
            task = "  - {id: h, type: io.kestra.plugin.core.http.Request, uri: 'https://%s:%d/'}\n"
            for env, host, words in (({}, "localhost", ("certificate",)), ({"SSL_CERT_FILE": str(cert)}, "127.0.0.1", ("127.0.0.1",)), ({"SSL_CERT_FILE": str(self.tmp / "tls.pem")}, "localhost", ("tls.pem",))):
                with self.subTest(host=host, **env):
                    done = self.cloud(task % (host, s.port), "", "-q", env=env)
                    self.assertEqual((done.rc, s.requests), (1, []), done)
                    for word in words:
                        self.assertIn(word, done.err)
            for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
                self.assertIn("over TLS", self.ok(self.cloud(task % ("localhost", s.port), "", "--output", "json", env={name: str(cert)})).out)

    def test_proxy(self):
        with Scripted(lambda r: (200, {}, b"through the proxy")) as proxy:
            done = self.cloud("  - {id: h, type: io.kestra.plugin.core.http.Request, uri: 'http://example.invalid/x'}\n", "", "--output", "json", env={"http_proxy": proxy.url})
            self.assertIn("through the proxy", self.ok(done).out)
            self.assertEqual(proxy.requests[0].headers["host"], "example.invalid")


if __name__ == "__main__":
    unittest.main()

"""Our tasks against servers that nobody here wrote, and gsutil against the local cloud. tools/get-peers installs them."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
import unittest

from peers import AUTHLIB, BQEMULATOR, FAKE_GCS, GCS_EMULATOR, GSUTIL, bqemulator, fake_gcs, free_port, gcs_emulator, missing, running
from scripted import service_account
from sluice import Case, LocalCloud

SHELL = "type: io.kestra.plugin.scripts.shell.Commands, taskRunner: {type: io.kestra.plugin.core.runner.Process}"


AUTHLIB_SERVER = r'''
import os, sys, time
port, key_file, email, ahead = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
real = time.time
time.time = lambda: real() + ahead
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc7523 import JWTBearerGrant
from flask import Flask

class Client:
    def get_client_id(self): return email
    def check_grant_type(self, grant): return grant == JWTBearerGrant.GRANT_TYPE
    def get_allowed_scope(self, scope): return scope
    def check_endpoint_auth_method(self, method, endpoint): return True

class Grant(JWTBearerGrant):
    CLAIMS_OPTIONS = {"iss": {"essential": True, "value": email}, "aud": {"essential": True, "value": f"http://127.0.0.1:{port}/token"}, "exp": {"essential": True}}
    def resolve_issuer_client(self, issuer): return Client() if issuer == email else None
    def resolve_client_key(self, client, headers, payload): return open(key_file).read()
    def authenticate_user(self, subject): return None
    def has_granted_permission(self, client, user): return True

app = Flask("token-endpoint")
server = AuthorizationServer(app, query_client=lambda i: None, save_token=lambda token, request: None)
server.register_grant(Grant)
app.add_url_rule("/token", "token", lambda: server.create_token_response(), methods=["POST"])
app.add_url_rule("/ready", "ready", lambda: "yes")
app.run("127.0.0.1", port)
'''


class Forward:
    """Passes connections on. Cuts them after `limit` bytes from the client, `cuts` times; ends TLS where it has a `context`."""

    def __init__(self, url, limit=None, cuts=0, context=None):
        self.target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.limit, self.cuts, self.context = limit, cuts, context
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        if self.context:
            try:
                client = self.context.wrap_socket(client, server_side=True)
            except OSError:
                client.close()
                return
        with client, socket.create_connection(self.target) as server:
            threading.Thread(target=self.copy, args=(server, client, None), daemon=True).start()
            self.copy(client, server, self.limit)

    def copy(self, source, sink, limit):
        count = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                count += len(data)
                if limit and count > limit and self.cuts > 0:
                    self.cuts -= 1
                    break
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


class Peers(Case):
    def tasks(self, tasks, env, outputs="", rc=0):
        text = "id: f\nnamespace: n\ntasks:\n" + tasks + ("outputs:\n" + outputs if outputs else "")
        done = self.flow(text, "--output", "json", env={"NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "p1", **env})
        self.assertEqual(done.rc, rc, done)
        return json.loads(done.out).get("outputs", {}) if rc == 0 else done

    @unittest.skipUnless(FAKE_GCS.exists(), missing(FAKE_GCS))
    def test_fake_gcs_server(self):
        with fake_gcs(self.tmp) as url:
            env = {"STORAGE_EMULATOR_HOST": url}
            out = self.tasks(
                f"""
  - {{id: bucket, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: peer-bucket}}
  - {{id: again, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: peer-bucket, ifExists: SKIP}}
  - {{id: files, {SHELL}, outputFiles: ["*.txt", "*.bin"], commands: ["printf one > one.txt", "printf two > 'two words.txt'", "head -c 150000000 /dev/zero | tr '\\\\0' y > big.bin"]}}
  - {{id: up1, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['one.txt'] }}}}", to: "gs://peer-bucket/dir/one.txt", contentType: text/plain}}
  - {{id: up2, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['two words.txt'] }}}}", to: "gs://peer-bucket/dir/two words.txt"}}
  - {{id: big, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['big.bin'] }}}}", to: "gs://peer-bucket/big.bin"}}
  - {{id: list, type: io.kestra.plugin.gcp.gcs.List, from: "gs://peer-bucket/dir/"}}
  - {{id: top, type: io.kestra.plugin.gcp.gcs.List, from: "gs://peer-bucket/", filter: DIRECTORY}}
  - {{id: compose, type: io.kestra.plugin.gcp.gcs.Compose, list: {{from: "gs://peer-bucket/dir/"}}, to: "gs://peer-bucket/both.txt"}}
  - {{id: down, type: io.kestra.plugin.gcp.gcs.Download, from: "gs://peer-bucket/both.txt"}}
  - {{id: downbig, type: io.kestra.plugin.gcp.gcs.Download, from: "gs://peer-bucket/big.bin"}}
  - {{id: copy, type: io.kestra.plugin.gcp.gcs.Copy, from: "gs://peer-bucket/both.txt", to: "gs://peer-bucket/moved/both.txt", delete: true}}
  - {{id: downs, type: io.kestra.plugin.gcp.gcs.Downloads, from: "gs://peer-bucket/dir/", action: MOVE, moveDirectory: "gs://peer-bucket/done/"}}
  - {{id: left, type: io.kestra.plugin.gcp.gcs.List, from: "gs://peer-bucket/dir/"}}
  - {{id: wipe, type: io.kestra.plugin.gcp.gcs.DeleteList, from: "gs://peer-bucket/done/", concurrent: 4}}
  - {{id: gone, type: io.kestra.plugin.gcp.gcs.Delete, uri: "gs://peer-bucket/none"}}
""",
                env,
                """
  - {id: listed, type: STRING, value: "{{ outputs.list.blobs | jq('[.[].name]') | first }}"}
  - {id: top, type: STRING, value: "{{ outputs.top.blobs | jq('[.[].name]') | first }}"}
  - {id: text, type: STRING, value: "{{ read(outputs.down.uri) }}"}
  - {id: big, type: STRING, value: "{{ outputs.big.crc32c }} {{ fileSize(outputs.downbig.uri) }}"}
  - {id: moved, type: STRING, value: "{{ read(outputs.downs.outputFiles['dir/two words.txt']) }}"}
  - {id: left, type: STRING, value: "{{ outputs.left.blobs | length }} {{ outputs.wipe.count }} {{ outputs.gone.deleted }}"}
""",
            )
            self.assertEqual(json.loads(out["listed"]), ["dir/one.txt", "dir/two words.txt"])
            self.assertEqual(json.loads(out["top"]), ["dir/"])
            self.assertEqual(out["text"], "onetwo")
            self.assertEqual(out["big"].split()[1], "150000000")
            self.assertEqual(out["moved"], "two")
            self.assertEqual(out["left"], "0 2 false")
            done = self.tasks(
                f"""
  - {{id: files, {SHELL}, outputFiles: ["*.txt"], commands: ["printf other > one.txt"]}}
  - {{id: new, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['one.txt'] }}}}", to: "gs://peer-bucket/once.txt", ifGenerationMatch: "0"}}
  - {{id: taken, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['one.txt'] }}}}", to: "gs://peer-bucket/once.txt", ifGenerationMatch: "0"}}
""",
                env,
                rc=1,
            )
            states = {t["id"]: t["state"] for t in json.loads(done.out)["taskRuns"]}
            self.assertEqual((states["new"], states["taken"]), ("SUCCESS", "FAILED"))
            self.assertIn("412", done.err)

    BIG = f"""
  - {{id: files, {SHELL}, outputFiles: ["*.bin"], commands: ["head -c 30000000 /dev/zero | tr '\\\\0' z > big.bin"]}}
  - {{id: bucket, type: io.kestra.plugin.gcp.gcs.CreateBucket, name: peer-bucket}}
  - {{id: big, type: io.kestra.plugin.gcp.gcs.Upload, from: "{{{{ outputs.files.outputFiles['big.bin'] }}}}", to: "gs://peer-bucket/big.bin"%s}}
"""

    @unittest.skipUnless(GCS_EMULATOR.exists(), missing(GCS_EMULATOR))
    def test_gcp_storage_emulator_after_a_cut(self):
        with gcs_emulator(self.tmp) as url, Forward(url, 10_000_000, 2) as proxy:
            out = self.tasks(self.BIG % "" + "  - {id: down, type: io.kestra.plugin.gcp.gcs.Download, from: 'gs://peer-bucket/big.bin'}\n", {"STORAGE_EMULATOR_HOST": proxy.url},
                             '  - {id: size, type: STRING, value: "{{ fileSize(outputs.down.uri) }} {{ outputs.big.crc32c }}"}\n')
            self.assertEqual(out["size"].split()[0], "30000000")
            self.assertEqual(proxy.cuts, 0, "nothing was cut: the test shows nothing")

    @unittest.skipUnless(GCS_EMULATOR.exists(), missing(GCS_EMULATOR))
    def test_gcp_storage_emulator_after_a_kill(self):
        with gcs_emulator(self.tmp) as url:
            env = {"STORAGE_EMULATOR_HOST": url, "NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "p1"}
            for label in ("upload.after_session", "upload.before_chunk", "upload.after_chunk"):
                with self.subTest(label):
                    killed = self.flow("id: f\nnamespace: n\ntasks:\n" + (self.BIG % "").replace("name: peer-bucket", "name: peer-bucket, ifExists: SKIP"), env={**env, "SLUICE_FAULT": f"{label}:1:kill"})
                    self.assertIn(killed.rc, (-9, 137))
                    done = self.ok(self.sluice("run", "--continue", killed.id, env=env))
                    self.assertIn("30000000 bytes are at gs://peer-bucket/big.bin", done.err)

    @unittest.skipUnless(GCS_EMULATOR.exists(), missing(GCS_EMULATOR))
    def test_gcp_storage_emulator_refuses_a_wrong_checksum(self):
        with gcs_emulator(self.tmp) as url:
            done = self.tasks(self.BIG % ", expectedCrc32c: AAAAAA==", {"STORAGE_EMULATOR_HOST": url}, rc=1)
            self.assertRegex(done.err, "(?i)crc32c|checksum")

    @unittest.skipUnless(BQEMULATOR.exists(), missing(BQEMULATOR))
    def test_bqemulator(self):
        query = "type: io.kestra.plugin.gcp.bigquery.Query"
        with bqemulator(self.tmp) as url:
            env = {"BIGQUERY_EMULATOR_HOST": url}
            out = self.tasks(
                f"""
  - {{id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d}}
  - {{id: again, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: d, ifExists: SKIP}}
  - {{id: make, type: io.kestra.plugin.gcp.bigquery.CreateTable, dataset: d, table: t, tableDefinition: {{type: TABLE, schema: {{fields: [{{name: n, type: INT64}}, {{name: s, type: STRING}}, {{name: at, type: TIMESTAMP}}]}}}}}}
  - {{id: fill, {query}, sql: "INSERT INTO d.t (n, s) VALUES (1, 'a'), (2, 'b, c')"}}
  - {{id: other, {query}, sql: "CREATE TABLE d.u AS SELECT 2 AS n, 'new' AS s UNION ALL SELECT 3, 'three'"}}
  - {{id: merge, {query}, sql: "MERGE INTO d.t T USING d.u S ON T.n = S.n WHEN MATCHED THEN UPDATE SET s = S.s WHEN NOT MATCHED THEN INSERT (n, s) VALUES (S.n, S.s)"}}
  - {{id: rows, {query}, fetchType: FETCH, sql: "SELECT n, s FROM d.t ORDER BY n"}}
  - {{id: stored, {query}, fetchType: STORE, sql: "SELECT x FROM UNNEST(GENERATE_ARRAY(1, 25000)) AS x"}}
  - {{id: about, type: io.kestra.plugin.gcp.bigquery.TableMetadata, dataset: d, table: t}}
  - {{id: nothing, type: io.kestra.plugin.gcp.bigquery.TableMetadata, dataset: d, table: nowhere, ifNotExists: SKIP}}
  - {{id: drop, type: io.kestra.plugin.gcp.bigquery.DeleteTable, dataset: d, table: t}}
  - {{id: all, type: io.kestra.plugin.gcp.bigquery.DeleteDataset, name: d, deleteContents: true}}
""",
                env,
                """
  - {id: rows, type: STRING, value: "{{ outputs.rows.rows | jq('map([.n, .s])') | first }}"}
  - {id: stored, type: STRING, value: "{{ outputs.stored.size }}"}
  - {id: about, type: STRING, value: "{{ outputs.about.table }} {{ outputs.about.definition.schema.fields | length }} {{ outputs.nothing.table ?? 'none' }}"}
""",
            )
            self.assertEqual(json.loads(out["rows"]), [[1, "a"], [2, "new"], [3, "three"]])
            self.assertEqual(out["stored"], "25000")
            self.assertEqual(out["about"], "t 3 none")
            for sql, word in [("SELEC 1", "Bigquery Errors|400"), ("SELECT * FROM nowhere.t", "(?i)not ?found|does not exist")]:
                with self.subTest(sql):
                    self.assertRegex(self.tasks(f'  - {{id: q, {query}, sql: "{sql}"}}\n', env, rc=1).err, word)
            done = self.tasks("  - {id: ds, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: e}\n  - {id: ds2, type: io.kestra.plugin.gcp.bigquery.CreateDataset, name: e}\n", env, rc=1)
            self.assertIn("409", done.err)

    @unittest.skipUnless(AUTHLIB.exists(), "SKIPPED: authlib is not installed; tools/get-peers installs it")
    def test_authlib(self):
        @contextlib.contextmanager
        def server(key, email="robot@p1.iam.gserviceaccount.com", ahead=0):
            port = free_port()
            script = self.tmp / "server.py"
            script.write_text(AUTHLIB_SERVER)
            public = self.tmp / "public.pem"
            subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
            command = [AUTHLIB, script, str(port), public, email, str(ahead)]
            with running(command, f"http://127.0.0.1:{port}/ready", self.tmp / "authlib.log", {"AUTHLIB_INSECURE_TRANSPORT": "1"}):
                yield f"http://127.0.0.1:{port}/token"

        ours = self.tmp / "key.pem"
        service_account(self.tmp, "x")  # makes the key
        def refused(key, word):
            done = self.sluice("auth", "explain", "google", "--key", key)
            self.assertEqual(done.rc, 1, done)
            self.assertIn(word, done.err)

        with server(ours) as url:
            self.ok(self.sluice("auth", "explain", "google", "--key", service_account(self.tmp, url)))
            refused(service_account(self.tmp, url.replace("127.0.0.1", "localhost")), "Invalid claim 'aud'")
            refused(service_account(self.tmp, url, client_email="stranger@p1"), "Invalid claim 'iss'")
        with server(ours, ahead=7200) as url:  # there it is two hours later
            refused(service_account(self.tmp, url), "expired")
        other = self.tmp / "other"
        other.mkdir()
        service_account(other, "x")
        with server(other / "key.pem") as url:  # the server knows another key
            refused(service_account(self.tmp, url), "invalid_grant")

    @unittest.skipUnless(GSUTIL.exists(), missing(GSUTIL))
    def test_gsutil(self):
        """gsutil speaks TLS only: a forwarder with a certificate of its own stands before the local cloud."""
        cert, key = self.tmp / "cert.pem", self.tmp / "tls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        with LocalCloud(self) as cloud, Forward(cloud.url, context=context) as forward:
            boto = self.tmp / "boto"
            boto.write_text(
                f"[Credentials]\ngs_service_key_file = {self.data}/local/service-account.json\ngs_json_host = localhost\ngs_json_port = {forward.port}\n"
                f"[Boto]\nhttps_validate_certificates = True\nca_certificates_file = {cert}\n[GSUtil]\ndefault_project_id = local-project\nresumable_threshold = 8388608\nstate_dir = {self.tmp}/state\n"
                f"check_hashes = always\n[OAuth2]\nprovider_token_uri = {cloud.key['token_uri']}\n"
            )
            data = os.urandom(20_000_000)
            (self.tmp / "big.bin").write_bytes(data)
            (self.tmp / "a b.txt").write_bytes(b"small")

            def gsutil(*args):
                done = subprocess.run([GSUTIL, *args], env={**self.env(), "BOTO_CONFIG": str(boto), "GSUTIL_ENCODING": "utf-8"}, cwd=self.tmp, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr[-3000:])
                return done.stdout

            gsutil("mb", "-l", "europe-west2", "gs://from-gsutil")
            gsutil("cp", "a b.txt", "gs://from-gsutil/dir/")
            gsutil("cp", "big.bin", "gs://from-gsutil/dir/")
            self.assertIn("gs://from-gsutil/dir/a b.txt", gsutil("ls", "-l", "gs://from-gsutil/dir/"))
            gsutil("cp", "gs://from-gsutil/dir/big.bin", "back.bin")
            self.assertEqual((self.tmp / "back.bin").read_bytes(), data)
            gsutil("rm", "-r", "gs://from-gsutil")


if __name__ == "__main__":
    unittest.main()

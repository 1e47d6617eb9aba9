"""The local cloud's AWS services: Amazon's client, and our own tasks, against them."""

import base64
import os
import subprocess
import unittest

from peers import AWS, BOTO3, S5CMD, missing
from sluice import ROOT, Case, LocalCloud
from test_dynamodb import ROUND as DYNAMO
from test_dynamodb import check as check_dynamo, run_boto
from test_s3 import HEAD, MAKE, ROUND, UPLOAD, LARGE, S3Case, keys

CONNECTOR = '''
import datetime, decimal, os, redshift_connector
c = redshift_connector.connect(host=os.environ["REDSHIFT_HOST"], port=int(os.environ["REDSHIFT_PORT"]), database="dev", user="local", password=os.environ["REDSHIFT_PASSWORD"], ssl=False)
cur = c.cursor()
cur.execute("create table t (a int, b varchar(10), c float, d date, e timestamp, f bigint, g boolean, h real, k numeric(38, 9))")
rows = [[1, "x", 1.5, datetime.date(2024, 2, 29), datetime.datetime(1999, 12, 31, 23, 59, 59, 500000), -9007199254740993, True, 0.25, decimal.Decimal("-12345678901234567890.000100000")], [2, "\u00e4 '", None, None, None, None, False, None, decimal.Decimal("0E-9")]]
cur.execute("insert into t values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", tuple(rows[0]))
cur.executemany("insert into t values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", [tuple(rows[1])])
c.commit()
cur.execute("select * from t order by a")
got = [list(r) for r in cur.fetchall()]
assert got == rows, got
cur.execute("select count(*) from t where b = %s", ("x",))
assert list(cur.fetchone()) == [1]
try:
    cur.execute("select nope from t")
    raise SystemExit("no error came")
except redshift_connector.error.ProgrammingError as e:
    assert "42703" in str(e), e
c.rollback()
cur.execute("select 1")
assert list(cur.fetchone()) == [1]
'''
ONE_KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
CLOSED = f"""
  - {{id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one}}
  - {{id: small, type: io.kestra.plugin.aws.s3.Upload, from: "{{{{ outputs.make.outputFiles['small.txt'] }}}}", bucket: b-one, key: in/small.txt, sseCustomerKey: "{ONE_KEY}"}}
  - {{id: large, type: io.kestra.plugin.aws.s3.Upload, from: "{{{{ outputs.make.outputFiles['large.bin'] }}}}", bucket: b-one, key: in/large.bin, sseCustomerKey: "{ONE_KEY}"}}
  - {{id: back, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: in/large.bin, sseCustomerKey: "{ONE_KEY}"}}
  - {{id: other, type: io.kestra.plugin.aws.s3.Copy, from: {{bucket: b-one, key: in/small.txt, sseCustomerKey: "{ONE_KEY}"}}, to: {{sseCustomerKey: "{OTHER_KEY}"}}}}
  - {{id: open, type: io.kestra.plugin.aws.s3.Copy, from: {{bucket: b-one, key: in/small.txt, sseCustomerKey: "{OTHER_KEY}"}}, to: {{key: open.txt}}, delete: true}}
  - {{id: opened, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: open.txt}}
  - {{id: moved, type: io.kestra.plugin.aws.s3.Downloads, bucket: b-one, prefix: in/, sseCustomerKey: "{ONE_KEY}", action: MOVE, moveTo: {{key: out}}}}
  - {{id: stream, type: io.sluice.transfer.Copy, from: s3://b-one/out/large.bin, to: s3://b-one/streamed.bin, fromSseCustomerKey: "{ONE_KEY}", toSseCustomerKey: "{OTHER_KEY}"}}
  - {{id: streamed, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: streamed.bin, sseCustomerKey: "{OTHER_KEY}"}}
"""
VERSIONS = """
  - {id: bucket, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one, objectLockEnabledForBucket: true}
  - {id: one, type: io.kestra.plugin.aws.s3.Upload, from: "{{ outputs.make.outputFiles['small.txt'] }}", bucket: b-one, key: k}
  - {id: two, type: io.kestra.plugin.aws.s3.Upload, from: "{{ outputs.make.outputFiles['second.txt'] }}", bucket: b-one, key: k}
  - {id: first, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k, versionId: "{{ outputs.one.versionId }}"}
  - {id: newest, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k}
  - {id: gone, type: io.kestra.plugin.aws.s3.Delete, bucket: b-one, key: k}
  - {id: none, type: io.kestra.plugin.aws.s3.List, bucket: b-one}
  - {id: again, type: io.kestra.plugin.aws.s3.Copy, from: {bucket: b-one, key: k, versionId: "{{ outputs.one.versionId }}"}}
  - {id: restored, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: k}
"""
BOTO_TESTS = ROOT / "tests" / "e2e" / "boto.py"


class LocalCase(S3Case):
    def settings(self):
        lines = [line.removeprefix("export ").split("=", 1) for line in self.ok(self.sluice("local", "env")).out.splitlines()]
        return dict(lines)


class Boto3(LocalCase):
    @unittest.skipUnless(BOTO3.exists(), missing(BOTO3))
    def test_boto3(self):
        with LocalCloud(self):
            env = {**self.env(), **self.settings(), "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run([BOTO3, "-W", "ignore", BOTO_TESTS, "-v"], env=env, cwd=self.tmp, capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stderr[-6000:])
        self.assertNotIn("skipped", done.stderr)


    @unittest.skipUnless(BOTO3.exists(), missing(BOTO3))
    def test_dynamodb(self):
        """Expressions and indexes: the same that Amazon's DynamoDB Local is asked."""
        with LocalCloud(self):
            run_boto(self, self.settings())


class Clients(LocalCase):
    """Amazon's own clients beside boto3: the command line, and Redshift's driver."""

    @unittest.skipUnless(AWS.exists(), missing(AWS))
    def test_aws_cli(self):
        big = self.tmp / "big.bin"
        big.write_bytes(os.urandom(20_000_000))
        folder = self.tmp / "dir"
        folder.mkdir()
        for i in range(12):
            (folder / f"f {i}.txt").write_text("x" * i)
        with LocalCloud(self):
            env = {**self.env(), **self.settings()}

            def aws(*args):
                done = subprocess.run([AWS, *map(str, args)], env=env, cwd=self.tmp, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, f"{args}: {done.stdout[-500:]}{done.stderr[-1000:]}")
                return done.stdout

            aws("s3", "mb", "s3://cli-bucket")
            aws("s3", "cp", big, "s3://cli-bucket/big.bin")
            aws("s3", "sync", folder, "s3://cli-bucket/dir")
            self.assertEqual(aws("s3", "sync", folder, "s3://cli-bucket/dir"), "", "nothing has changed")
            self.assertEqual(len(aws("s3", "ls", "s3://cli-bucket/dir/").splitlines()), 12)
            aws("s3", "mv", "s3://cli-bucket/dir/f 1.txt", "s3://cli-bucket/moved.txt")
            aws("s3", "cp", "s3://cli-bucket/big.bin", "back.bin")
            self.assertEqual((self.tmp / "back.bin").read_bytes(), big.read_bytes())
            aws("s3", "rm", "--recursive", "s3://cli-bucket/dir")
            self.assertEqual(len(aws("s3", "ls", "--recursive", "s3://cli-bucket").splitlines()), 2)
            aws("s3", "rb", "--force", "s3://cli-bucket")
            self.assertIn("000000000000", aws("sts", "get-caller-identity"))

    @unittest.skipUnless(AWS.exists(), missing(AWS))
    def test_redshift_connector(self):
        """It asks for numbers and times in binary form."""
        with LocalCloud(self):
            env = {**self.env(), **self.settings()}
            done = subprocess.run([AWS.parent / "python", "-W", "ignore", "-c", CONNECTOR], env=env, cwd=self.tmp, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])


class S5cmd(LocalCase):
    @unittest.skipUnless(S5CMD.exists(), missing(S5CMD))
    def test_s5cmd(self):
        """Many files at once, parts, wildcards, a sync that finds nothing new."""
        big = self.tmp / "big.bin"
        big.write_bytes(os.urandom(70_000_000))
        folder = self.tmp / "dir"
        (folder / "sub").mkdir(parents=True)
        for i in range(60):
            (folder / f"f {i}+\u00e4.txt").write_text("x" * i)
        (folder / "sub" / "deep.txt").write_text("deep")
        with LocalCloud(self):
            env = {**self.env(), **self.settings()}

            def s5(*args):
                done = subprocess.run([S5CMD, "--endpoint-url", env["AWS_ENDPOINT_URL"], *map(str, args)], env=env, cwd=self.tmp, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, f"{args}: {done.stdout[-500:]}{done.stderr[-1000:]}")
                return done.stdout

            s5("mb", "s3://s5-bucket")
            s5("cp", "--part-size", "10", big, "s3://s5-bucket/big.bin")
            s5("cp", f"{folder}/", "s3://s5-bucket/dir/")
            self.assertEqual(s5("sync", f"{folder}/", "s3://s5-bucket/dir/"), "", "nothing has changed")
            self.assertEqual(len(s5("ls", "s3://s5-bucket/dir/*").splitlines()), 61)
            s5("cp", "s3://s5-bucket/dir/*", "s3://s5-bucket/copied/")
            s5("mv", "s3://s5-bucket/copied/sub/deep.txt", "s3://s5-bucket/moved.txt")
            s5("cp", "s3://s5-bucket/big.bin", "back.bin")
            self.assertEqual((self.tmp / "back.bin").read_bytes(), big.read_bytes())
            self.assertIn("70000000", s5("du", "s3://s5-bucket/big.bin"))
            s5("rm", "s3://s5-bucket/copied/*")
            self.assertEqual(len(s5("ls", "s3://s5-bucket/*").splitlines()), 63)
            self.assertEqual(s5("cat", "s3://s5-bucket/moved.txt"), "deep")


class Local(LocalCase):
    def local(self, tasks):
        return self.run_flow((HEAD + MAKE + tasks).replace('      endpointOverride: "{{ inputs.endpoint }}"\n', ""), "unused", "--local")

    def test_customer_key(self):
        """What is written with a key opens for that key alone, in one piece and in parts, copied, moved and streamed."""
        out = self.outputs(self.ok(self.local(CLOSED)))
        large = self.stored(out["make"]["outputFiles"]["large.bin"]).read_bytes()
        self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), large)
        self.assertEqual(self.stored(out["opened"]["uri"]).read_bytes(), b"small one")
        self.assertEqual(sorted(out["moved"]["outputFiles"]), ["in/large.bin"])
        self.assertEqual(self.stored(out["streamed"]["uri"]).read_bytes(), large)
        down = "  - {id: d, type: io.kestra.plugin.aws.s3.Download, bucket: b-one, key: out/large.bin%s}\n"
        up = "  - {id: u, type: io.kestra.plugin.aws.s3.Upload, from: \"{{ outputs.make.outputFiles['small.txt'] }}\", bucket: b-one, key: k, sseCustomerKey: %s}\n"
        cases = {
            "no key": (down % "", "Then 'sseCustomerKey' is needed"),
            "another key": (down % f", sseCustomerKey: '{OTHER_KEY}'", "is 'sseCustomerKey' the key of this object"),
            "short": (up % "c2hvcnQ=", "'sseCustomerKey' must be 32 bytes in base64"),
            "in the clear": (up % f"'{ONE_KEY}', endpointOverride: 'http://s3.example.com'", "is not sent to http://s3.example.com: that needs https://"),
            "not S3": (f"  - {{id: c, type: io.sluice.transfer.Copy, from: s3://b-one/out/large.bin, to: x.bin, fromSseCustomerKey: '{ONE_KEY}', toSseCustomerKey: '{ONE_KEY}'}}\n", "'toSseCustomerKey' is for s3://"),
        }
        for name, (task, expected) in cases.items():
            with self.subTest(name):
                done = self.local(task)
                self.assertEqual(done.rc, 1, done)
                self.assertIn(expected, done.err)
                self.assertNotIn(ONE_KEY, done.err + done.out)

    def test_versions(self):
        """An earlier version is read, and copied onto its own key, where it is the newest then."""
        out = self.outputs(self.ok(self.local(VERSIONS)))
        self.assertEqual(self.stored(out["first"]["uri"]).read_bytes(), b"small one")
        self.assertEqual((self.stored(out["newest"]["uri"]).read_bytes(), out["newest"]["versionId"]), (b"second", out["two"]["versionId"]))
        self.assertTrue(out["gone"]["deleteMarker"])
        self.assertEqual(out["none"], {"objects": []})
        self.assertEqual(self.stored(out["restored"]["uri"]).read_bytes(), b"small one")
        self.assertEqual(len({out["one"]["versionId"], out["two"]["versionId"], out["gone"]["versionId"], out["restored"]["versionId"]}), 4)

    def test_settings(self):
        with LocalCloud(self):
            env = self.settings()
        self.assertEqual(sorted(k for k in env if k.startswith("AWS_")), ["AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"])
        self.assertEqual((self.data / "local" / "aws-key.json").stat().st_mode & 0o777, 0o600)

    def test_tasks(self):
        """The same flow as against versitygw, with keys that are not the local cloud's, and no endpoint."""
        flow = ROUND.replace('      endpointOverride: "{{ inputs.endpoint }}"\n', "").replace("      region: us-east-1\n", "")
        out = self.outputs(self.ok(self.run_flow(flow, "unused", "--local")))
        large = self.stored(out["make"]["outputFiles"]["large.bin"]).read_bytes()
        self.assertEqual(self.stored(out["back"]["uri"]).read_bytes(), large)
        self.assertEqual(keys(out["moved_to"]["objects"]), ["done/x.txt", "done/y.txt", "done/z.bin"])
        self.assertEqual(out["rest"]["count"], 3)

    def test_secrets(self):
        """The names under which flows keep AWS keys are the local cloud's own."""
        flow = """
id: f
namespace: tests
tasks:
  - {id: b, type: io.kestra.plugin.aws.s3.CreateBucket, bucket: b-one, region: eu-central-1, accessKeyId: "{{ secret('AWS_ACCESS_KEY_ID') }}", secretKeyId: "{{ secret('AWS_SECRET_KEY_ID') }}"}
  - {id: l, type: io.kestra.plugin.aws.s3.List, bucket: b-one, region: eu-central-1, stsRoleArn: "arn:aws:iam::1:role/x"}
"""
        done = self.ok(self.flow(flow, "--local", "--output", "json"))
        self.assertEqual(self.outputs(done)["l"], {"objects": []})

    def test_dynamodb(self):
        """The same flow as against Amazon's DynamoDB Local."""
        done = self.flow(DYNAMO.replace('      endpointOverride: "{{ inputs.endpoint }}"\n', ""), "--input", "endpoint=unused", "--output", "json", "--local")
        check_dynamo(self, self.outputs(self.ok(done)), lambda uri: self.stored(uri).read_text())

    def test_survives_a_kill(self):
        """A multipart upload goes on after both the cloud and the client were killed."""
        flow = UPLOAD.replace('      endpointOverride: "{{ inputs.endpoint }}"\n', "") + LARGE
        killed = self.run_flow(flow, "unused", "--local", env={"SLUICE_FAULT": "upload.before_complete:1:kill"})
        self.assertIn(killed.rc, (-9, 137), killed)
        before = len([r for r in self.ledger() if r["method"] == "PUT"])
        self.ok(self.sluice("run", "--continue", killed.id, "--local", "-q"))
        after = [r for r in self.ledger() if r["method"] == "PUT"]
        self.assertEqual(len(after), before, "all parts were there")


if __name__ == "__main__":
    unittest.main()

"""The local cloud's AWS services: Amazon's client, and our own tasks, against them."""

import json
import subprocess
import unittest

from peers import BOTO3, missing
from sluice import ROOT, Case, LocalCloud
from test_dynamodb import ROUND as DYNAMO
from test_dynamodb import check as check_dynamo
from test_s3 import ROUND, UPLOAD, LARGE, S3Case, keys

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


class Local(LocalCase):
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

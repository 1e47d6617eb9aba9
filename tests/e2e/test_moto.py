"""The Data API of Redshift against moto: what we send has the shape and the signature that it wants. Its statements never end, so the task's timeout ends them."""

import json
import os
import re
import subprocess
import unittest

from peers import MOTO, missing, moto
from sluice import Case

USER = """
import boto3, json, sys
iam = boto3.client("iam", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
iam.create_user(UserName="loader")
iam.put_user_policy(UserName="loader", PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
key = iam.create_access_key(UserName="loader")["AccessKey"]
print(key["AccessKeyId"], key["SecretAccessKey"])
"""
LOOK = """
import boto3, json, sys
c = boto3.client("redshift-data", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3])
d = c.describe_statement(Id=sys.argv[4])
print(json.dumps({k: d.get(k) for k in ("Status", "QueryString", "ClusterIdentifier", "Database", "SecretArn", "QueryParameters")}))
"""


@unittest.skipUnless(MOTO.exists(), missing(MOTO))
class DataApi(Case):
    def python(self, script, *args):
        done = subprocess.run([MOTO.parent / "python", "-W", "ignore", "-c", script, *args], env={**self.env(), "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout

    def test_statement(self):
        task = {"id": "q", "type": "io.kestra.plugin.jdbc.redshift.Query", "clusterIdentifier": "c-1", "database": "dev", "username": "loader", "region": "us-east-1", "timeout": "PT4S", "sql": "SELECT :a::int AS n", "parameters": {"a": 7}}
        with moto(self.tmp, 3) as url:
            key, secret = self.python(USER, url).split()

            def run(secret):
                env = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
                return self.flow("id: f\nnamespace: tests\ntasks:\n  - " + json.dumps(task) + "\n", "--trace", "--output", "json", env=env)

            done = run(secret)
            self.assertEqual(done.rc, 1, done)
            ids = set(re.findall(r"statement ([0-9a-f-]{36})", done.err))
            self.assertEqual(len(ids), 1, done.err[-3000:])
            seen = json.loads(self.python(LOOK, url, key, secret, ids.pop()))
            self.assertEqual(seen, {"Status": "ABORTED", "QueryString": "SELECT :a::int AS n", "ClusterIdentifier": "c-1", "Database": "dev", "SecretArn": None, "QueryParameters": [{"name": "a", "value": "7"}]})
            done = run("wrong" + secret)
            self.assertEqual(done.rc, 1, done)
            self.assertIn("signature", done.err.lower())


if __name__ == "__main__":
    unittest.main()

"""AWS credentials of every kind, against scripted STS, SSO, container and instance endpoints."""

import datetime
import hashlib
import json
import re
import unittest

from scripted import Scripted
from sluice import Case

FUTURE = "2999-01-01T00:00:00Z"


def keys(name="asked", token="Token", expires=FUTURE):
    return {"AccessKeyId": name, "SecretAccessKey": name + "-secret", token: name + "-token", "Expiration": expires}


def assumed(action, name="assumed"):
    k = keys(name, "SessionToken")
    inner = "".join(f"<{n}>{v}</{n}>" for n, v in k.items())
    return 200, {"Content-Type": "text/xml"}, f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>{inner}</Credentials></{action}Result></{action}Response>'.encode()


def refused(code, message):
    return 403, {"Content-Type": "text/xml"}, f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()


class AwsAuth(Case):
    def explain(self, *args, env=None):
        return self.sluice("auth", "explain", "aws", "--output", "json", *args, env={"AWS_EC2_METADATA_DISABLED": "true", **(env or {})})

    def doc(self, *args, env=None):
        done = self.ok(self.explain(*args, env=env))
        self.assertNotIn("-secret", done.out + done.err)
        self.assertNotIn("-token", done.out + done.err)
        return json.loads(done.out)

    def files(self, config="", credentials=""):
        folder = self.tmp / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(config)
        (folder / "credentials").write_text(credentials)

    def assertKey(self, doc, key, temporary=True):
        self.assertEqual((doc["accessKeyId"], doc["temporary"]), (key, temporary))

    def test_environment(self):
        self.files(credentials="[default]\naws_access_key_id = other\naws_secret_access_key = other-secret\n")
        self.assertKey(self.doc(env={"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret"}), "env", False)
        self.assertKey(self.doc(env={"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-token"}), "env", True)

    def test_profile(self):
        self.files("[default]\nregion = eu-north-1\n[profile work]\nregion = sa-east-1\n", "[default]\naws_access_key_id=one\naws_secret_access_key=one-secret\n[work]\naws_access_key_id = two\naws_secret_access_key = two-secret\n")
        doc = self.doc()
        self.assertKey(doc, "one", False)
        self.assertEqual(doc["region"], "eu-north-1")
        doc = self.doc(env={"AWS_PROFILE": "work"})
        self.assertKey(doc, "two", False)
        self.assertEqual(doc["region"], "sa-east-1")
        self.assertEqual(self.doc(env={"AWS_PROFILE": "work", "AWS_REGION": "us-gov-west-1"})["region"], "us-gov-west-1")
        elsewhere = self.tmp / "elsewhere"
        elsewhere.write_text("[default]\naws_access_key_id = three\naws_secret_access_key = three-secret\n")
        self.assertKey(self.doc(env={"AWS_SHARED_CREDENTIALS_FILE": str(elsewhere)}), "three", False)

    def test_role_of_profile(self):
        """source_profile chains: each role is asked for with the keys of the one before."""
        self.files(
            "[profile top]\nrole_arn = arn:aws:iam::2:role/top\nsource_profile = middle\nexternal_id = ext 1\nrole_session_name = me\nduration_seconds = 1800\n"
            "[profile middle]\nrole_arn = arn:aws:iam::1:role/middle\nsource_profile = base\n",
            "[base]\naws_access_key_id = base\naws_secret_access_key = base-secret\n",
        )
        with Scripted(lambda r: assumed("AssumeRole", r.form()["RoleArn"].rsplit("/", 1)[1])) as s:
            doc = self.doc(env={"AWS_PROFILE": "top", "AWS_ENDPOINT_URL_STS": s.url, "AWS_REGION": "eu-west-1"})
        self.assertKey(doc, "top")
        self.assertTrue(doc["expires"].startswith("2999"))
        first, second = s.requests
        self.assertEqual({k: v for k, v in first.form().items() if k != "RoleSessionName"}, {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::1:role/middle", "DurationSeconds": "3600"})
        self.assertEqual({k: second.form()[k] for k in ("ExternalId", "RoleSessionName", "DurationSeconds")}, {"ExternalId": "ext 1", "RoleSessionName": "me", "DurationSeconds": "1800"})
        self.assertRegex(first.headers["authorization"], r"^AWS4-HMAC-SHA256 Credential=base/\d{8}/eu-west-1/sts/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$")
        self.assertIn("Credential=middle/", second.headers["authorization"])
        self.assertEqual(second.headers["x-amz-security-token"], "middle-token")

    def test_role_by_option(self):
        env = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret"}
        with Scripted(lambda r: assumed("AssumeRole")) as s:
            doc = self.doc("--role", "arn:aws:iam::1:role/x", "--external-id", "e", env={**env, "AWS_ENDPOINT_URL_STS": s.url, "AWS_REGION": "us-east-1"})
        self.assertKey(doc, "assumed")
        self.assertEqual(s.requests[0].form()["ExternalId"], "e")

    def test_role_refused(self):
        env = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_REGION": "us-east-1"}
        with Scripted(lambda r: refused("AccessDenied", "User is not authorized to perform: sts:AssumeRole")) as s:
            done = self.explain("--role", "arn:aws:iam::1:role/x", env={**env, "AWS_ENDPOINT_URL_STS": s.url})
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"arn:aws:iam::1:role/x.*AccessDenied.*not authorized to perform: sts:AssumeRole")
        self.assertEqual(len(s.requests), 1)

    def test_web_identity(self):
        token = self.tmp / "token"
        token.write_text("jwt.of.pod\n")
        with Scripted(lambda r: assumed("AssumeRoleWithWebIdentity", "pod")) as s:
            doc = self.doc(env={"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/pod", "AWS_ENDPOINT_URL_STS": s.url, "AWS_REGION": "us-east-1"})
        self.assertKey(doc, "pod")
        self.assertEqual((s.requests[0].form()["WebIdentityToken"], s.requests[0].form()["Action"]), ("jwt.of.pod", "AssumeRoleWithWebIdentity"))
        self.assertNotIn("authorization", s.requests[0].headers)

    def test_process(self):
        script = self.tmp / "keys.sh"
        script.write_text("#!/bin/sh\necho '" + json.dumps({"Version": 1, **keys("process", "SessionToken")}) + "'\n")
        script.chmod(0o700)
        self.files(f"[default]\ncredential_process = {script} --some 'argument with blanks'\n")
        self.assertKey(self.doc(), "process")
        for body, said in (("echo '{\"Version\": 2}'", r"credential_process"), ("echo oops >&2; exit 3", r"credential_process.*oops"), ("echo '{'", r"credential_process")):
            with self.subTest(body):
                script.write_text("#!/bin/sh\n" + body + "\n")
                done = self.explain()
                self.assertEqual(done.rc, 1, done)
                self.assertRegex(done.err, said)

    def test_sso(self):
        self.files("[default]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Reader\n[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-central-1\n")
        cache = self.tmp / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True)
        cached = cache / (hashlib.sha1(b"corp").hexdigest() + ".json")
        cached.write_text(json.dumps({"accessToken": "sso-access", "expiresAt": FUTURE}))
        answer = {"roleCredentials": {"accessKeyId": "sso", "secretAccessKey": "sso-secret", "sessionToken": "sso-token", "expiration": 32472144000000}}
        with Scripted(lambda r: (200, {}, answer)) as s:
            doc = self.doc(env={"AWS_ENDPOINT_URL_SSO": s.url})
            self.assertKey(doc, "sso")
            self.assertEqual((s.requests[0].path, s.requests[0].query), ("/federation/credentials", {"role_name": "Reader", "account_id": "111122223333"}))
            self.assertEqual(s.requests[0].headers["x-amz-sso_bearer_token"], "sso-access")
            cached.write_text(json.dumps({"accessToken": "sso-access", "expiresAt": "2020-01-01T00:00:00Z"}))
            done = self.explain(env={"AWS_ENDPOINT_URL_SSO": s.url})
        self.assertEqual(done.rc, 1, done)
        self.assertIn("run `aws sso login`", done.err)

    def test_container(self):
        """EKS and ECS: a token from a file, read anew; hosts that are not the machine's own are refused."""
        token = self.tmp / "container-token"
        token.write_text("Bearer of container\n")
        with Scripted(lambda r: (200, {}, keys("container"))) as s:
            doc = self.doc(env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)})
        self.assertKey(doc, "container")
        self.assertEqual(s.requests[0].headers["authorization"], "Bearer of container")
        done = self.explain(env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/creds"})
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"names the host 'example.com', which may not be asked for keys without TLS")

    def instance(self, r):
        if r.method == "PUT" and r.path == "/latest/api/token":
            self.assertEqual(r.headers["x-aws-ec2-metadata-token-ttl-seconds"], "21600")
            return 200, {}, b"imds-session"
        if r.headers.get("x-aws-ec2-metadata-token") != "imds-session":
            return 401, {}, b""
        if r.path.endswith("/security-credentials/"):
            return 200, {}, b"machine role"
        return 200, {}, {"Code": "Success", **keys("machine")}

    def test_instance(self):
        with Scripted(self.instance) as s:
            doc = self.doc(env={"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.url})
        self.assertKey(doc, "machine")
        self.assertEqual([r.path for r in s.requests], ["/latest/api/token", "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/iam/security-credentials/machine%20role"])

    def test_renewal(self):
        """Keys that expire within five minutes are renewed for the next request; those that live on are not asked for again."""
        soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=120)).strftime("%Y-%m-%dT%H:%M:%SZ")
        counts = {}
        for name, expires in (("soon", soon), ("later", FUTURE)):
            flow = (
                "id: f\nnamespace: tests\ntasks:\n"
                + "".join(f"  - {{id: l{i}, type: io.kestra.plugin.aws.s3.List, bucket: bucket, endpointOverride: 'ENDPOINT', region: us-east-1}}\n" for i in range(3))
            )
            with Scripted(lambda r: (200, {}, b"<ListBucketResult/>")) as s3, Scripted(lambda r: (200, {}, keys(name, expires=expires))) as c:
                self.ok(self.flow(flow.replace("ENDPOINT", s3.url), env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": c.url + "/creds"}))
                counts[name] = len(c.requests)
                self.assertTrue(all(f"Credential={name}/" in r.headers["authorization"] and r.headers["x-amz-security-token"] == name + "-token" for r in s3.requests))
        self.assertEqual(counts["later"], 1)
        self.assertGreater(counts["soon"], 1)

    def test_nothing(self):
        done = self.explain()
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.err, r"no AWS credentials were found.*AWS_ACCESS_KEY_ID")
        done = self.explain(env={"AWS_PROFILE": "absent"})
        self.assertRegex(done.err, r"no AWS profile 'absent'|there is no AWS profile")
        self.files("[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n")
        done = self.explain(env={"AWS_PROFILE": "a"})
        self.assertRegex(done.err, r"refer to each other")
        done = self.explain(env={"AWS_PROFILE": "a", "AWS_ACCESS_KEY_ID": "x"})
        self.assertEqual(done.rc, 1, done)

    def test_a_file_that_cannot_be_read(self):
        """It is passed over, which is said, and said once."""
        (self.tmp / ".aws" / "config").mkdir(parents=True)
        done = self.explain(env={"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret"})
        self.assertKey(json.loads(self.ok(done).out), "env", False)
        self.assertEqual(len(re.findall(r"\.aws/config.*; it is passed over", done.err)), 1, done)

    def test_words(self):
        self.assertEqual(self.sluice("auth", "explain", "azure").rc, 2)
        text = self.sluice("auth", "explain", "aws", env={"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_REGION": "eu-west-1"})
        self.assertRegex(self.ok(text).out, r"-> +environment .*\n?(?s:.*)access key env, region eu-west-1, does not expire")


if __name__ == "__main__":
    unittest.main()

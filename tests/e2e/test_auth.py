"""Google credentials of every kind, against scripted token endpoints and, where it can be had, Authlib's JWT-bearer grant."""

import json
import time
import unittest

from scripted import Scripted, error, jwt_parts, service_account, token_answer
from sluice import Case


class Auth(Case):
    def explain(self, *args, env=None):
        return self.sluice("auth", "explain", "google", "--output", "json", *args, env={"NO_GCE_CHECK": "true", **(env or {})})

    def adc(self, document):
        path = self.tmp / "adc.json"
        path.write_text(json.dumps(document))
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}

    def test_service_account(self):
        with Scripted(lambda r: token_answer()) as s:
            key = service_account(self.tmp, s.url + "/token")
            doc = json.loads(self.ok(self.explain("--key", key)).out)
            self.assertEqual((doc["identity"], doc["project"]), ("robot@p1.iam.gserviceaccount.com", "p1"))
            form = s.requests[0].form()
            self.assertEqual(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer")
            header, claims = jwt_parts(form["assertion"])
            self.assertEqual((header["alg"], header["typ"], header["kid"]), ("RS256", "JWT", "k1"))
            self.assertEqual((claims["iss"], claims["aud"], claims["scope"]), ("robot@p1.iam.gserviceaccount.com", s.url + "/token", "https://www.googleapis.com/auth/cloud-platform"))
            self.assertEqual(claims["exp"] - claims["iat"], 3600)
            self.assertLess(abs(claims["iat"] - time.time()), 10)

    def test_authorized_user(self):
        with Scripted(lambda r: token_answer()) as s:
            env = self.adc({"type": "authorized_user", "client_id": "c-1", "client_secret": "s e&cret", "refresh_token": "r/1", "token_uri": s.url + "/token", "quota_project_id": "billed"})
            self.ok(self.explain(env=env))
            self.assertEqual(s.requests[0].form(), {"grant_type": "refresh_token", "client_id": "c-1", "client_secret": "s e&cret", "refresh_token": "r/1"})

    def impersonation(self, r, delegates):
        self.assertEqual(r.headers["authorization"], "Bearer source-token")
        self.assertEqual(r.json(), {"delegates": delegates, "scope": ["https://www.googleapis.com/auth/cloud-platform"], "lifetime": "3600s"})
        return 200, {}, {"accessToken": "target-token", "expireTime": "2999-01-01T00:00:00Z"}

    def test_impersonated_service_account(self):
        path = "/v1/projects/-/serviceAccounts/target@p2.iam.gserviceaccount.com:generateAccessToken"
        with Scripted(lambda r: token_answer("source-token") if r.path == "/token" else self.impersonation(r, ["between@p1"])) as s:
            source = json.loads(service_account(self.tmp, s.url + "/token").read_text())
            env = self.adc({"type": "impersonated_service_account", "service_account_impersonation_url": s.url + path, "delegates": ["between@p1"], "source_credentials": source})
            doc = json.loads(self.ok(self.explain(env=env)).out)
            self.assertEqual((doc["identity"], doc["expires"]), ("target@p2.iam.gserviceaccount.com", "2999-01-01T00:00:00.000Z"))
            self.assertEqual([r.path for r in s.requests], ["/token", path])

    def test_impersonation_by_property(self):
        path = "/v1/projects/-/serviceAccounts/other@p3.iam.gserviceaccount.com:generateAccessToken"
        with Scripted(lambda r: token_answer("source-token") if r.path == "/token" else self.impersonation(r, [])) as s:
            key = service_account(self.tmp, s.url + "/token")
            doc = json.loads(self.ok(self.explain("--key", key, "--impersonate", "other@p3.iam.gserviceaccount.com", env={"SLUICE_GOOGLE_IAM_ENDPOINT": s.url})).out)
            self.assertEqual(doc["identity"], "other@p3.iam.gserviceaccount.com")
            self.assertEqual([r.path for r in s.requests], ["/token", path])

    def test_external_account_from_a_file(self):
        (self.tmp / "subject").write_text('{"id_token": "subject-1"}')
        with Scripted(lambda r: token_answer("federated")) as s:
            env = self.adc(
                {
                    "type": "external_account",
                    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                    "token_url": s.url + "/sts",
                    "credential_source": {"file": str(self.tmp / "subject"), "format": {"type": "json", "subject_token_field_name": "id_token"}},
                }
            )
            self.ok(self.explain(env=env))
            form = s.requests[0].form()
            self.assertEqual(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange")
            self.assertEqual((form["subject_token"], form["subject_token_type"]), ("subject-1", "urn:ietf:params:oauth:token-type:id_token"))
            self.assertEqual(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token")
            self.assertEqual(form["audience"], "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b")

    def test_external_account_from_a_url_with_impersonation(self):
        path = "/v1/projects/-/serviceAccounts/t@p.iam.gserviceaccount.com:generateAccessToken"

        def answer(r):
            if r.path == "/subject":
                self.assertEqual(r.headers["metadata"], "True")
                return 200, {}, b"subject-2\n"
            return token_answer("source-token") if r.path == "/sts" else self.impersonation(r, [])

        with Scripted(answer) as s:
            env = self.adc(
                {
                    "type": "external_account",
                    "audience": "//iam.googleapis.com/x",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": s.url + "/sts",
                    "service_account_impersonation_url": s.url + path,
                    "credential_source": {"url": s.url + "/subject", "headers": {"Metadata": "True"}},
                }
            )
            doc = json.loads(self.ok(self.explain(env=env)).out)
            self.assertEqual(doc["identity"], "t@p.iam.gserviceaccount.com")
            self.assertEqual([r.path for r in s.requests], ["/subject", "/sts", path])
            self.assertEqual(s.requests[1].form()["subject_token"], "subject-2")

    def test_metadata_server(self):
        def answer(r):
            self.assertEqual(r.headers["metadata-flavor"], "Google")
            flavor = {"Metadata-Flavor": "Google", "Content-Type": "application/text"}
            if r.path.endswith("/token"):
                return 200, flavor, {"access_token": "m", "expires_in": 3000, "token_type": "Bearer"}
            return 200, flavor, b"vm@p9.iam.gserviceaccount.com" if r.path.endswith("/email") else b"p9"

        with Scripted(answer) as s:
            done = self.sluice("auth", "explain", "google", "--output", "json", env={"GCE_METADATA_HOST": f"127.0.0.1:{s.port}"})
            doc = json.loads(self.ok(done).out)
            self.assertEqual((doc["identity"], doc["project"]), ("vm@p9.iam.gserviceaccount.com", "p9"))
            self.assertEqual([step["found"] for step in doc["steps"]], [False, False, True])
        with Scripted(lambda r: (200, {}, b"a captive portal")) as s:
            done = self.sluice("auth", "explain", "google", env={"GCE_METADATA_HOST": f"127.0.0.1:{s.port}"})
            self.assertIn("no Google credentials were found", done.err)

    def test_order_of_the_search(self):
        gcloud = self.tmp / ".config" / "gcloud" / "application_default_credentials.json"
        gcloud.parent.mkdir(parents=True)
        with Scripted(lambda r: token_answer(r.form().get("refresh_token", "none"))) as s:
            user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "token_uri": s.url + "/token"}
            gcloud.write_text(json.dumps({**user, "refresh_token": "of-gcloud"}))
            self.ok(self.explain())
            self.assertEqual(s.requests[-1].form()["refresh_token"], "of-gcloud")
            self.ok(self.explain(env=self.adc({**user, "refresh_token": "of-the-variable"})))
            self.assertEqual(s.requests[-1].form()["refresh_token"], "of-the-variable")
            # A file that is named and broken is an error, not a reason to take the next one.
            n = len(s.requests)
            done = self.explain(env=self.adc({"type": "authorized_user"}))
            self.assertEqual((done.rc, len(s.requests)), (1, n), done)
            self.assertIn("client_id", done.err)

    def test_refusals(self):
        cases = [
            ((400, {}, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), 1, ("invalid_grant: Invalid JWT Signature.", "the key may be revoked")),
            ((403, {}, {"error": {"status": "PERMISSION_DENIED", "message": "no"}}), 1, ("PERMISSION_DENIED: no", "lacks the permission")),
            ((200, {}, {"expires_in": 1}), 1, ("has no access_token",)),
            ((200, {}, {"access_token": "x", "expires_in": 999999999}), 1, ("wrong expires_in",)),
            ((200, {}, b"<html>"), 1, ("reading the token answer",)),
        ]
        for answer, requests, words in cases:
            with self.subTest(answer), Scripted(lambda r: answer) as s:
                done = self.explain("--key", service_account(self.tmp, s.url + "/token"))
                self.assertEqual((done.rc, len(s.requests)), (1, requests), done)
                for word in words:
                    self.assertIn(word, done.err)
                self.assertNotIn("PRIVATE KEY", done.err)

    def test_passing_trouble_is_waited_out(self):
        answers = [error(503, "backendError"), token_answer()]
        with Scripted(lambda r: answers.pop(0)) as s:
            self.ok(self.explain("--key", service_account(self.tmp, s.url + "/token")))
            self.assertEqual(len(s.requests), 2)

    def test_one_caller_fetches_for_all(self):
        def answer(r):
            if r.path == "/token":
                time.sleep(0.3)
                return token_answer("the-token")
            self.assertEqual(r.headers["authorization"], "Bearer the-token")
            return 200, {}, {"items": []}

        with Scripted(answer) as s:
            key = json.dumps(service_account(self.tmp, s.url + "/token").read_text())
            tasks = "".join(f"      - {{id: t{i}, type: io.kestra.plugin.gcp.gcs.List, from: 'gs://bucket/', serviceAccount: {key}}}\n" for i in range(8))
            self.ok(self.flow("id: f\nnamespace: n\ntasks:\n  - id: all\n    type: io.kestra.plugin.core.flow.Parallel\n    tasks:\n" + tasks, env={"STORAGE_EMULATOR_HOST": s.url}))
            self.assertEqual((len(s.of("POST", "/token")), len(s.of("GET", "/storage/v1/b/bucket/o"))), (1, 8))


if __name__ == "__main__":
    unittest.main()

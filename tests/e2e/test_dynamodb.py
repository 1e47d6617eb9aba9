"""The DynamoDB tasks against Amazon's DynamoDB Local, and what that never does from a script."""

import collections
import json
import pathlib
import subprocess
import unittest
import zlib

from peers import BOTO3, DYNAMODB_LOCAL, dynamodb_local, missing
from scripted import Scripted
from sluice import Case

HEAD = """
id: dynamo
namespace: tests
inputs:
  - {id: endpoint, type: STRING}
pluginDefaults:
  - type: io.sluice.aws
    values: &aws
      accessKeyId: peerkey
      secretKeyId: peer-secret
      region: us-east-1
      endpointOverride: "{{ inputs.endpoint }}"
  - {type: io.kestra.plugin.aws, values: *aws}
tasks:
"""

ROUND = (
    HEAD
    + """
  - {id: table, type: io.sluice.aws.dynamodb.CreateTable, tableName: ttt, partitionKey: {name: id, type: S}, sortKey: {name: n, type: N}}
  - {id: again, type: io.sluice.aws.dynamodb.CreateTable, tableName: ttt, partitionKey: {name: id}}
  - id: put
    type: io.kestra.plugin.aws.dynamodb.PutItem
    tableName: ttt
    item: {id: a, n: "{{ 1 + 1 }}", text: "ä \\"q\\"", flag: true, no: false, nothing: null, tags: [x, y, x], price: 12.5, deep: {k: v, list: [l]}}
  - id: put_json
    type: io.kestra.plugin.aws.dynamodb.PutItem
    tableName: ttt
    nativeTypes: true
    item: '{"id": "a", "n": 3, "price": 12.5, "list": [1, "two", null, {"x": false}]}'
  - {id: get, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: ttt, key: {id: a, n: 2}}
  - {id: get_json, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: ttt, key: {id: a, n: 3}}
  - {id: none, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: ttt, key: {id: b, n: 1}}
  - id: records
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: [rows.jsonl]
    commands:
      - awk 'BEGIN { for (i = 0; i < 1013; i++) printf "{\\"id\\":\\"many\\",\\"n\\":%d,\\"pad\\":\\"%03000d\\"}\\n", i % 1000, i }' > rows.jsonl
  - {id: batch, type: io.sluice.aws.dynamodb.BatchPutItem, tableName: ttt, from: "{{ outputs.records.outputFiles['rows.jsonl'] }}", nativeTypes: true}
  - {id: list, type: io.sluice.aws.dynamodb.BatchPutItem, tableName: ttt, from: "{{ [{'id': 'list', 'n': 1}, {'id': 'list', 'n': 2}, {'id': 'list', 'n': 1, 'v': 'last'}] | toJson }}"}
  - {id: query, type: io.kestra.plugin.aws.dynamodb.Query, tableName: ttt, keyConditionExpression: "id = :id AND n >= :from", expressionAttributeValues: {":id": many, ":from": 10}}
  - {id: some, type: io.kestra.plugin.aws.dynamodb.Query, tableName: ttt, keyConditionExpression: "id = :id", expressionAttributeValues: {":id": list}, fetchType: FETCH}
  - {id: last, type: io.kestra.plugin.aws.dynamodb.Query, tableName: ttt, keyConditionExpression: "id = :id", expressionAttributeValues: {":id": list}, fetchType: FETCH_ONE, scanIndexForward: false}
  - {id: limited, type: io.kestra.plugin.aws.dynamodb.Scan, tableName: ttt, limit: 700, fetchType: STORE}
  - {id: filtered, type: io.kestra.plugin.aws.dynamodb.Scan, tableName: ttt, filterExpression: "#v = :v", expressionAttributeNames: {"#v": v}, expressionAttributeValues: {":v": last}, fetchType: FETCH}
  - {id: delete, type: io.kestra.plugin.aws.dynamodb.DeleteItem, tableName: ttt, key: {id: a, n: 2}}
  - {id: gone, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: ttt, key: {id: a, n: 2}}
"""
)


def check(case, out, stored):
    """What ROUND has to give."""
    case.assertEqual((out["table"]["created"], out["again"]["created"]), (True, False))
    row = out["get"]["row"]
    case.assertEqual({k: row[k] for k in ("id", "n", "text", "flag", "no", "nothing", "price", "deep")}, {"id": "a", "n": 2, "text": 'ä "q"', "flag": True, "no": False, "nothing": None, "price": "12.5", "deep": {"k": "v", "list": ["l"]}})
    case.assertEqual(sorted(row["tags"]), ["x", "y"])
    case.assertEqual(out["get_json"]["row"], {"id": "a", "n": 3, "price": 12.5, "list": [1, "two", None, {"x": False}]})
    case.assertEqual(out["none"], {})
    case.assertEqual(out["batch"], {"size": 1013})
    case.assertEqual(out["query"]["size"], 990, "all pages: 3 MB in pages of 1 MB")
    case.assertEqual(len(stored(out["query"]["uri"]).splitlines()), 990)
    case.assertEqual([(r["n"], r.get("v")) for r in out["some"]["rows"]], [(1, "last"), (2, None)])
    case.assertEqual(out["last"]["row"], {"id": "list", "n": 2})
    case.assertEqual((out["limited"]["size"], len(stored(out["limited"]["uri"]).splitlines())), (700, 700))
    case.assertEqual([r["n"] for r in out["filtered"]["rows"]], [1])
    case.assertEqual(out["gone"], {})


class DynamoCase(Case):
    def run_flow(self, flow, url):
        return self.flow(flow, "--input", f"endpoint={url}", "--output", "json")

    def outputs(self, done):
        return {r["id"]: r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]}

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_text()


def run_boto(case, env):
    """boto_dynamo.py, where env says."""
    script = pathlib.Path(__file__).with_name("boto_dynamo.py")
    done = subprocess.run([BOTO3, "-W", "ignore", script, "-v"], env={**case.env(), "PYTHONDONTWRITEBYTECODE": "1", **env}, cwd=case.tmp, capture_output=True, text=True, timeout=200)
    case.assertEqual(done.returncode, 0, done.stderr[-6000:])
    case.assertNotIn("skipped", done.stderr)


@unittest.skipUnless(DYNAMODB_LOCAL.exists(), missing(DYNAMODB_LOCAL))
class DynamodbLocal(DynamoCase):
    def test_round(self):
        with dynamodb_local(self.tmp) as url:
            out = self.outputs(self.ok(self.run_flow(ROUND, url)))
        check(self, out, self.stored)

    @unittest.skipUnless(BOTO3.exists(), missing(BOTO3))
    def test_expectations(self):
        """What the local cloud is held to is what Amazon's server does."""
        with dynamodb_local(self.tmp) as url:
            run_boto(self, {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"})

    def test_refused(self):
        table = "  - {id: table, type: io.sluice.aws.dynamodb.CreateTable, tableName: ttt, partitionKey: {name: id, type: N}}\n"
        cases = {
            "table": ("  - {id: x, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: none, key: {id: 1}}\n", r"looking at the table 'none': DynamoDB answered 400 \(ResourceNotFoundException\)"),
            "number": (table + "  - {id: x, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: ttt, item: {id: abc}}\n", r"key attribute 'id' of the table 'ttt' is a number, which 'abc' is not"),
            "key": (table + "  - {id: x, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: ttt, item: {other: 1}}\n", r"putting an item into the table 'ttt': DynamoDB answered 400 \(ValidationException\)"),
            "large": (table + "  - {id: x, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: ttt, item: {id: 1, v: '" + "y" * 420_000 + "'}}\n", r"putting an item into the table 'ttt': DynamoDB answered 400 \(ValidationException\): Item size has exceeded the maximum allowed size"),
            "json": (table + "  - {id: x, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: ttt, item: '[1]'}\n", r"'item' must be a map, or a JSON object"),
            "values": (table + "  - {id: x, type: io.kestra.plugin.aws.dynamodb.Scan, tableName: ttt, filterExpression: 'a = :a'}\n", r"'expressionAttributeValues' does not say them"),
            "exists": (table + table.replace("id: table", "id: x").replace("tableName", "ifExists: ERROR, tableName"), r"ResourceInUseException"),
        }
        with dynamodb_local(self.tmp) as url:
            for name, (flow, said) in cases.items():
                with self.subTest(name):
                    done = self.run_flow(HEAD + flow, url)
                    self.assertEqual(done.rc, 1, done)
                    self.assertRegex(done.err, said)


class Scripts(DynamoCase):
    """What DynamoDB Local never does: unprocessed items, throttling, damaged answers, empty pages that have a successor."""

    def play(self, flow, answer, rc=0):
        counts = collections.Counter()

        def reply(r):
            operation = r.headers["x-amz-target"].split(".")[1]
            counts[operation] += 1
            if operation == "DescribeTable":
                return 200, {}, {"Table": {"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "TableStatus": "ACTIVE"}}
            return answer(operation, counts[operation], r)

        with Scripted(reply) as server:
            done = self.run_flow(HEAD + flow, server.url)
            self.requests = [r for r in server.requests if not r.headers["x-amz-target"].endswith("DescribeTable")]
        self.assertEqual(done.rc, rc, done)
        return done

    def test_unprocessed(self):
        items = "[" + ", ".join(f"{{id: '{i}'}}" for i in range(30)) + "]"

        def answer(operation, n, r):
            sent = r.json()["RequestItems"]["ttt"]
            return 200, {}, {"UnprocessedItems": {"ttt": sent[-3:]} if n <= 2 else {}}

        self.play(f"  - {{id: b, type: io.sluice.aws.dynamodb.BatchPutItem, tableName: ttt, from: {items}}}\n", answer)
        self.assertEqual([len(r.json()["RequestItems"]["ttt"]) for r in self.requests], [25, 3, 3, 5])

    def test_throttled(self):
        error = {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow"}
        self.play("  - {id: p, type: io.kestra.plugin.aws.dynamodb.PutItem, tableName: ttt, item: {id: x}}\n", lambda o, n, r: (400, {}, error) if n < 4 else (200, {}, {}))
        self.assertEqual(len(self.requests), 4)

    def test_damaged(self):
        good = json.dumps({"Item": {"id": {"S": "x"}}}).encode()
        done = self.play("  - {id: g, type: io.kestra.plugin.aws.dynamodb.GetItem, tableName: ttt, key: {id: x}}\n", lambda o, n, r: (200, {"x-amz-crc32": str(zlib.crc32(good))}, good if n > 1 else good.replace(b"x", b"y")))
        self.assertEqual(self.outputs(done)["g"]["row"], {"id": "x"})
        self.assertEqual(len(self.requests), 2)

    def test_pages(self):
        """Every type there is, and an empty page in the middle."""
        item = {"s": {"S": ""}, "n": {"N": "1E2"}, "big": {"N": "12345678901234567890123"}, "b": {"B": "AAE="}, "ss": {"SS": ["a"]}, "ns": {"NS": ["1", "2.5"]}, "bs": {"BS": ["AA=="]}, "m": {"M": {"x": {"NULL": True}}}, "l": {"L": [{"BOOL": False}]}}
        pages = [{"Items": [item], "LastEvaluatedKey": {"id": {"S": "1"}}}, {"Items": [], "LastEvaluatedKey": {"id": {"S": "2"}}}, {"Items": [item]}]
        for kind in ("FETCH", "STORE"):
            with self.subTest(kind):
                done = self.play(f"  - {{id: s, type: io.kestra.plugin.aws.dynamodb.Scan, tableName: ttt, fetchType: {kind}}}\n", lambda o, n, r: (200, {}, pages[n - 1]))
                out = self.outputs(done)["s"]
                self.assertEqual(out["size"], 2)
                if kind == "FETCH":
                    self.assertEqual(out["rows"][1], {"s": "", "n": 100.0, "big": "12345678901234567890123", "b": "AAE=", "ss": ["a"], "ns": [1, 2.5], "bs": ["AA=="], "m": {"x": None}, "l": [False]})
                self.assertEqual([r.json().get("ExclusiveStartKey") for r in self.requests], [None, {"id": {"S": "1"}}, {"id": {"S": "2"}}])

    def test_strange_answers(self):
        for body in (b"", b"<html>", b"[1]", b'{"Items": 3}', b'{"Items": [{"a": 1}, {"b": {"S": "x", "N": "1"}}]}', b"{" * 100000):
            with self.subTest(body[:20]):
                with Scripted(lambda r, body=body: (200, {}, body)) as server:
                    done = self.run_flow(HEAD + "  - {id: s, type: io.kestra.plugin.aws.dynamodb.Scan, tableName: ttt, fetchType: FETCH}\n", server.url)
                self.assertEqual(done.rc, 1, done)


if __name__ == "__main__":
    unittest.main()

"""Expressions and secondary indexes of DynamoDB, through Amazon's client: the same against the local cloud and Amazon's DynamoDB Local (AWS_ENDPOINT_URL says which)."""

import unittest

import boto3
import botocore.exceptions
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from decimal import Decimal

TABLE = "updates"
ITEM = {"id": "a", "n": 1, "text": "t", "m": {"x": 1, "deep": {"y": [1, 2]}}, "l": ["p", "q", "r", "s"], "set": {"u", "v"}, "nums": {1, 2}, "big": Decimal("12345678901234567890123456789012345678")}

# expression, values, what has become of it: {attribute: value or None (it is gone)}, or the error's code
UPDATES = [
    ("SET n = n + :i", {":i": 2}, {"n": 3}),
    ("SET n = :i - n", {":i": Decimal("0.1")}, {"n": Decimal("-0.9")}),
    ("SET big = big + :i", {":i": 1}, {"big": Decimal("12345678901234567890123456789012345679")}),
    ("SET n = n + :i", {":i": Decimal("1E-20")}, {"n": Decimal("1.00000000000000000001")}),
    ("set text = :t, n = :i remove l", {":t": "new", ":i": 5}, {"text": "new", "n": 5, "l": None}),
    ("SET m.x = :i, m.#new = :t", {":i": 7, ":t": "z"}, {"m": {"x": 7, "deep": {"y": [1, 2]}, "name": "z"}}),
    ("SET m.deep.y[1] = :i", {":i": 9}, {"m": {"x": 1, "deep": {"y": [1, 9]}}}),
    ("SET l[1] = :t, l[9] = :i", {":t": "Q", ":i": "end"}, {"l": ["p", "Q", "r", "s", "end"]}),
    ("REMOVE l[2], l[0]", None, {"l": ["q", "s"]}),
    ("REMOVE l[0], l[2] SET l[3] = :t", {":t": "S"}, {"l": ["q", "S"]}),
    ("REMOVE l[9], absent", None, {}),
    ("SET l = list_append(l, :l)", {":l": ["t"]}, {"l": ["p", "q", "r", "s", "t"]}),
    ("SET l = list_append(:l, if_not_exists(another, :none))", {":l": ["t"], ":none": []}, {"l": ["t"]}),
    ("SET another = if_not_exists(n, :i)", {":i": 0}, {"another": 1}),
    ("SET another = if_not_exists(absent, :i) + :i", {":i": 4}, {"another": 8}),
    ("SET another = text", None, {"another": "t"}),
    ("SET n = :i, text = n", {":i": "swapped"}, {"n": "swapped", "text": 1}),
    ("ADD n :i", {":i": -3}, {"n": -2}),
    ("ADD fresh :i", {":i": 4}, {"fresh": 4}),
    ("ADD #set :s", {":s": {"v", "w"}}, {"set": {"u", "v", "w"}}),
    ("ADD nums :s", {":s": {2, 3}}, {"nums": {1, 2, 3}}),
    ("DELETE #set :s", {":s": {"v", "nothing"}}, {"set": {"u"}}),
    ("DELETE #set :s", {":s": {"u", "v"}}, {"set": None}),
    ("DELETE absent :s", {":s": {"u"}}, {}),
    ("ADD m.x :i", {":i": 1}, {"m": {"x": 2, "deep": {"y": [1, 2]}}}),
    ("SET id = :t", {":t": "b"}, "ValidationException"),
    ("SET n = :i, n = :i", {":i": 1}, "ValidationException"),
    ("SET m = :i, m.x = :i", {":i": 1}, "ValidationException"),
    ("SET absent.x = :i", {":i": 1}, "ValidationException"),
    ("SET m.absent.x = :i", {":i": 1}, "ValidationException"),
    ("SET text.x = :i", {":i": 1}, "ValidationException"),
    ("SET n = absent", None, "ValidationException"),
    ("SET n = text + :i", {":i": 1}, "ValidationException"),
    ("SET n = list_append(n, :i)", {":i": 1}, "ValidationException"),
    ("ADD text :i", {":i": 1}, "ValidationException"),
    ("ADD n :t", {":t": "x"}, "ValidationException"),
    ("ADD l :l", {":l": ["x"]}, "ValidationException"),
    ("DELETE n :i", {":i": 1}, "ValidationException"),
    ("DELETE #set :s", {":s": {1}}, "ValidationException"),
    ("SET n = :i SET text = :i", {":i": 1}, "ValidationException"),
    ("n = :i", {":i": 1}, "ValidationException"),
    ("SET n", None, "ValidationException"),
    ("SET n = ", None, "ValidationException"),
    ("SET n = :i,", {":i": 1}, "ValidationException"),
    ("SET n = :none", None, "ValidationException"),
    ("SET #none = :i", {":i": 1}, "ValidationException"),
    ("SET Year = :i", {":i": 1}, "ValidationException"),
    ("REMOVE m.value", None, "ValidationException"),
    ("SET status = :i", {":i": "REMOVE"}, {"status": "REMOVE"}),
]
RESERVED = {"text": "#text", "status": "#status"}
PROJECTIONS = [
    ("n, l[1]", {"n": 1, "l": ["q"]}),
    ("l[3], l[0]", {"l": ["p", "s"]}),
    ("m.deep.y[0], m.x", {"m": {"x": 1, "deep": {"y": [1]}}}),
    ("m.absent, l[9], absent", {}),
    ("m.deep.y[1], id", {"id": "a", "m": {"deep": {"y": [2]}}}),
]
PEOPLE = [
    {"id": f"p{i}", "team": team, "score": score, "city": city, "note": "x"}
    for i, (team, score, city) in enumerate([("red", 5, "rom"), ("blue", 7, "oslo"), ("red", -1, "oslo"), ("red", 5, "bern"), ("blue", Decimal("0.5"), "rom"), ("red", 50, "oslo")])
] + [{"id": "none", "city": "rom"}, {"id": "half", "team": "red"}]


def low(value):
    return {k: TypeSerializer().serialize(v) for k, v in value.items()}


def high(value):
    return {k: TypeDeserializer().deserialize(v) for k, v in value.items()}


def outcome(call, *args, **kw):
    try:
        return call(*args, **kw)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]


class Expressions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.db = boto3.client("dynamodb")
        cls.db.create_table(TableName=TABLE, KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")

    @classmethod
    def tearDownClass(cls):
        cls.db.delete_table(TableName=TABLE)

    def update(self, expression, values, key="a", **kw):
        names = {"#set": "set", "#new": "name", "#text": "text", "#status": "status"}
        for word, name in RESERVED.items():
            expression = expression.replace(word, name)
        used = {k: v for k, v in names.items() if k in expression}
        if used:
            kw["ExpressionAttributeNames"] = used
        if values:
            kw["ExpressionAttributeValues"] = low(values)
        return outcome(self.db.update_item, TableName=TABLE, Key=low({"id": key}), UpdateExpression=expression, **kw)

    def test_updates(self):
        for expression, values, expected in UPDATES:
            with self.subTest(expression):
                self.db.put_item(TableName=TABLE, Item=low(ITEM))
                got = self.update(expression, values, ReturnValues="ALL_NEW")
                now = high(self.db.get_item(TableName=TABLE, Key=low({"id": "a"}))["Item"])
                if isinstance(expected, str):
                    self.assertEqual(got, expected)
                    self.assertEqual(now, ITEM, "nothing has changed")
                    continue
                self.assertIsInstance(got, dict, got)
                self.assertEqual(now, {k: v for k, v in {**ITEM, **expected}.items() if v is not None})
                self.assertEqual(high(got["Attributes"]), now)

    def test_new_item(self):
        self.assertNotIn("Attributes", self.update("SET n = :i", {":i": 1}, key="fresh", ReturnValues="ALL_OLD"))
        self.assertEqual(high(self.db.get_item(TableName=TABLE, Key=low({"id": "fresh"}))["Item"]), {"id": "fresh", "n": 1})
        self.db.update_item(TableName=TABLE, Key=low({"id": "empty"}))
        self.assertEqual(high(self.db.get_item(TableName=TABLE, Key=low({"id": "empty"}))["Item"]), {"id": "empty"})
        self.assertEqual(self.update("SET n = :i", {":i": 1}, key="none", ConditionExpression="attribute_exists(id)"), "ConditionalCheckFailedException")
        self.assertNotIn("Item", self.db.get_item(TableName=TABLE, Key=low({"id": "none"})))

    def test_returned(self):
        self.db.put_item(TableName=TABLE, Item=low(ITEM))
        self.assertEqual(high(self.update("SET n = :i, another = :i", {":i": 2}, ReturnValues="UPDATED_OLD")["Attributes"]), {"n": 1})
        self.assertEqual(high(self.update("SET n = :i, another = :i REMOVE l", {":i": 3}, ReturnValues="UPDATED_NEW")["Attributes"]), {"n": 3, "another": 3})
        self.assertNotIn("Attributes", self.update("SET n = :i", {":i": 4}))
        self.assertEqual(self.update("SET n = :i", {":i": 4}, ReturnValues="SOME"), "ValidationException")

    def test_projections(self):
        self.db.put_item(TableName=TABLE, Item=low(ITEM))
        for expression, expected in PROJECTIONS:
            with self.subTest(expression):
                self.assertEqual(high(self.db.get_item(TableName=TABLE, Key=low({"id": "a"}), ProjectionExpression=expression)["Item"]), expected)

    def test_conditions(self):
        big = Decimal("12345678901234567890123456789012345677")
        self.db.put_item(TableName=TABLE, Item=low(ITEM))
        for expression, values, holds in [
            ("big > :v", {":v": big}, True),
            ("big = :v", {":v": big}, False),
            ("m.deep.y[1] = :v", {":v": 2}, True),
            ("size(l) > :v AND NOT contains(l, :p)", {":v": 3, ":p": "z"}, True),
            ("contains(nums, :v) OR attribute_exists(absent)", {":v": 2}, True),
            ("begins_with(id, :v)", {":v": "b"}, False),
            ("attribute_type(l, :v)", {":v": "L"}, True),
            ("l = :v", {":v": ["p", "q", "r", "s"]}, True),
            ("absent <> :v", {":v": 1}, True),
            ("n IN (:v, :w)", {":v": 4, ":w": 1}, True),
            ("(n < :v OR n > :w) AND id = :a", {":v": 2, ":w": 5, ":a": "a"}, True),
        ]:
            with self.subTest(expression):
                got = self.update("SET seen = :seen", {**values, ":seen": True}, ConditionExpression=expression)
                self.assertEqual(got == "ConditionalCheckFailedException", not holds, got)
                self.assertIn(type(got) is dict or got, (True, "ConditionalCheckFailedException"))

    def test_batch_get(self):
        for i in range(3):
            self.db.put_item(TableName=TABLE, Item=low({"id": f"b{i}", "v": i, "w": 0}))
        keys = [low({"id": f"b{i}"}) for i in (2, 0, 7)]
        got = self.db.batch_get_item(RequestItems={TABLE: {"Keys": keys, "ProjectionExpression": "id, v"}})
        self.assertEqual(sorted((high(i)["id"], high(i)["v"]) for i in got["Responses"][TABLE]), [("b0", 0), ("b2", 2)])
        self.assertEqual(got["UnprocessedKeys"], {})
        self.assertEqual(outcome(self.db.batch_get_item, RequestItems={TABLE: {"Keys": keys[:1] * 2}}), "ValidationException")
        self.assertEqual(outcome(self.db.batch_get_item, RequestItems={"nothing": {"Keys": keys}}), "ResourceNotFoundException")
        wrong = [{"PutRequest": {"Item": low({"id": "whole"})}}, {"PutRequest": {"Item": low({"no": "key"})}}]
        self.assertEqual(outcome(self.db.batch_write_item, RequestItems={TABLE: wrong}), "ValidationException")
        self.assertNotIn("Item", self.db.get_item(TableName=TABLE, Key=low({"id": "whole"})), "all or nothing is looked at first")


class Indexes(unittest.TestCase):
    KEYS = [{"AttributeName": "id", "KeyType": "HASH"}]
    TYPES = [{"AttributeName": n, "AttributeType": t} for n, t in (("id", "S"), ("team", "S"), ("score", "N"), ("city", "S"))]
    GLOBAL = [
        {"IndexName": "by_team", "KeySchema": [{"AttributeName": "team", "KeyType": "HASH"}, {"AttributeName": "score", "KeyType": "RANGE"}], "Projection": {"ProjectionType": "ALL"}},
        {"IndexName": "by_city", "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}], "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["team"]}},
        {"IndexName": "by_score", "KeySchema": [{"AttributeName": "score", "KeyType": "HASH"}], "Projection": {"ProjectionType": "KEYS_ONLY"}},
    ]

    @classmethod
    def setUpClass(cls):
        cls.db = boto3.client("dynamodb")
        made = cls.db.create_table(TableName="people", KeySchema=cls.KEYS, AttributeDefinitions=cls.TYPES, GlobalSecondaryIndexes=cls.GLOBAL, BillingMode="PAY_PER_REQUEST")["TableDescription"]
        assert sorted(i["IndexName"] for i in made["GlobalSecondaryIndexes"]) == ["by_city", "by_score", "by_team"], made
        for p in PEOPLE:
            cls.db.put_item(TableName="people", Item=low(p))

    @classmethod
    def tearDownClass(cls):
        cls.db.delete_table(TableName="people")

    def query(self, index, condition, values, table="people", operation="query", **kw):
        if condition:
            kw.update(KeyConditionExpression=condition, ExpressionAttributeValues=low(values))
        pages = list(self.db.get_paginator(operation).paginate(TableName=table, IndexName=index, **kw))
        return [high(i) for p in pages for i in p["Items"]]

    def test_global(self):
        red = self.query("by_team", "team = :t", {":t": "red"})
        self.assertEqual([p["score"] for p in red], [-1, 5, 5, 50])
        self.assertEqual({p["id"] for p in red}, {"p0", "p2", "p3", "p5"})
        self.assertIn("note", red[0])
        self.assertEqual([p["score"] for p in self.query("by_team", "team = :t", {":t": "red"}, ScanIndexForward=False)], [50, 5, 5, -1])
        self.assertEqual([p["id"] for p in self.query("by_team", "team = :t AND score > :s", {":t": "red", ":s": 5})], ["p5"])
        self.assertEqual({p["id"] for p in self.query("by_team", "team = :t AND score BETWEEN :a AND :b", {":t": "red", ":a": 5, ":b": 6})}, {"p0", "p3"})
        self.assertEqual(sorted(self.query("by_score", "score = :s", {":s": 5}), key=str), [{"id": "p0", "score": 5}, {"id": "p3", "score": 5}])
        rom = self.query("by_city", "city = :c", {":c": "rom"})
        self.assertEqual(sorted(sorted(p) for p in rom), [["city", "id"], ["city", "id", "team"], ["city", "id", "team"]])
        self.assertEqual({p["id"] for p in self.query("by_team", None, None, operation="scan")}, {f"p{i}" for i in range(6)}, "what lacks a key is not in it")

    def test_pages(self):
        """One item a page, many with the same key, one of them gone meanwhile."""
        for backwards in (False, True):
            found = self.query("by_team", "team = :t", {":t": "red"}, ScanIndexForward=not backwards, PaginationConfig={"PageSize": 1})
            self.assertEqual([p["score"] for p in found], [50, 5, 5, -1] if backwards else [-1, 5, 5, 50])
            self.assertEqual(len({p["id"] for p in found}), 4)
        first = self.db.query(TableName="people", IndexName="by_team", Limit=1, KeyConditionExpression="team = :t", ExpressionAttributeValues=low({":t": "red"}))
        self.assertEqual(set(first["LastEvaluatedKey"]), {"id", "team", "score"})
        gone = first["Items"][0]
        self.db.delete_item(TableName="people", Key={"id": gone["id"]})
        rest = self.db.query(TableName="people", IndexName="by_team", KeyConditionExpression="team = :t", ExpressionAttributeValues=low({":t": "red"}), ExclusiveStartKey=first["LastEvaluatedKey"])
        self.db.put_item(TableName="people", Item=gone)
        self.assertEqual(rest["Count"], 3)

    def test_segments(self):
        """A parallel scan: every item in one of the segments, the same one page by page."""
        for index in ({}, {"IndexName": "by_team"}):
            whole = sorted(i["id"]["S"] for i in self.db.scan(TableName="people", **index)["Items"])
            for total in (1, 3, 50):
                parts = [[high(i)["id"] for page in self.db.get_paginator("scan").paginate(TableName="people", Segment=n, TotalSegments=total, PaginationConfig={"PageSize": 1}, **index) for i in page["Items"]] for n in range(total)]
                self.assertEqual(sorted(sum(parts, [])), whole)
        for kw in ({"Segment": 3, "TotalSegments": 3}, {"TotalSegments": 3}, {"Segment": 0}):
            self.assertEqual(outcome(self.db.scan, TableName="people", **kw), "ValidationException")

    def test_follow_changes(self):
        self.db.update_item(TableName="people", Key=low({"id": "p1"}), UpdateExpression="SET team = :t, score = :s", ExpressionAttributeValues=low({":t": "green", ":s": 3}))
        self.assertEqual([p["id"] for p in self.query("by_team", "team = :t", {":t": "green"})], ["p1"])
        self.assertEqual([p["id"] for p in self.query("by_team", "team = :t", {":t": "blue"})], ["p4"])
        self.db.put_item(TableName="people", Item=low(PEOPLE[1]))

    def test_local(self):
        keys = self.KEYS + [{"AttributeName": "n", "KeyType": "RANGE"}]
        types = [{"AttributeName": n, "AttributeType": t} for n, t in (("id", "S"), ("n", "N"), ("at", "S"))]
        index = [{"IndexName": "by_time", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}], "Projection": {"ProjectionType": "KEYS_ONLY"}}]
        self.db.create_table(TableName="events", KeySchema=keys, AttributeDefinitions=types, LocalSecondaryIndexes=index, BillingMode="PAY_PER_REQUEST")
        for n, at in ((1, "c"), (2, "a"), (3, "b"), (4, None)):
            self.db.put_item(TableName="events", Item=low({"id": "x", "n": n, "v": n * 10, **({"at": at} if at else {})}))
        found = self.query("by_time", "id = :i", {":i": "x"}, table="events", ConsistentRead=True)
        self.assertEqual(found, [{"id": "x", "n": n, "at": at} for n, at in ((2, "a"), (3, "b"), (1, "c"))])
        found = self.query("by_time", "id = :i AND #at >= :a", {":i": "x", ":a": "b"}, table="events", ProjectionExpression="v", ExpressionAttributeNames={"#at": "at"})
        self.assertEqual(found, [{"v": 30}, {"v": 10}], "read from the table")
        self.db.delete_table(TableName="events")

    def test_refused(self):
        query = lambda **kw: outcome(self.db.query, TableName="people", **{"KeyConditionExpression": "team = :t", "ExpressionAttributeValues": low({":t": "red"}), **kw})
        self.assertEqual(query(IndexName="nothing"), "ValidationException")
        self.assertEqual(query(), "ValidationException", "team is no key of the table")
        self.assertEqual(query(IndexName="by_team", ConsistentRead=True), "ValidationException")
        self.assertEqual(query(IndexName="by_team", KeyConditionExpression="score > :t", ExpressionAttributeValues=low({":t": 1})), "ValidationException")
        self.assertEqual(outcome(self.db.put_item, TableName="people", Item=low({"id": "wrong", "score": "text"})), "ValidationException")
        create = lambda **kw: outcome(self.db.create_table, **{"TableName": "wrong", "KeySchema": self.KEYS, "AttributeDefinitions": self.TYPES, "GlobalSecondaryIndexes": self.GLOBAL, "BillingMode": "PAY_PER_REQUEST", **kw})
        self.assertEqual(create(GlobalSecondaryIndexes=self.GLOBAL[:1]), "ValidationException", "city is no key")
        self.assertEqual(create(AttributeDefinitions=self.TYPES[:3]), "ValidationException", "city is not defined")
        self.assertEqual(create(GlobalSecondaryIndexes=self.GLOBAL + self.GLOBAL[:1]), "ValidationException")
        self.assertEqual(create(GlobalSecondaryIndexes=[{**self.GLOBAL[0], "Projection": {"ProjectionType": "INCLUDE"}}]), "ValidationException")


if __name__ == "__main__":
    unittest.main()

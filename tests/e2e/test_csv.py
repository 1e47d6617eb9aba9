"""csv.Inspect and csv.Clean: a corpus of what is found in the wild, with the expected verdicts; against Python's csv on generated files."""

import csv
import gzip
import io
import json
import random
import unittest

from sluice import Case

TYPE = "io.sluice.csv."
# name: (bytes, rows, bad rows, names, types, dialect that is checked)
CORPUS = {
    "plain": (b"a,b\n1,x\n2,y\n", 2, 0, "a b", "INTEGER TEXT", {"separator": ",", "header": True, "lineEnd": "\n", "encoding": "UTF-8", "bom": False}),
    "semicolons": (b"a;b\n1;x,y\n2;z\n", 2, 0, "a b", "INTEGER TEXT", {"separator": ";"}),
    "tabs": (b"a\tb\n1\tx\n2\ty\n", 2, 0, "a b", "INTEGER TEXT", {"separator": "\t"}),
    "pipes": (b"a|b\n1|x\n2|y\n", 2, 0, "a b", "INTEGER TEXT", {"separator": "|"}),
    "single quotes": (b"a,b\n1,'x,y'\n2,'z,w'\n3,'q,r'\n", 3, 0, "a b", "INTEGER TEXT", {"quote": "'"}),
    "crlf": (b"a,b\r\n1,x\r\n2,y\r\n", 2, 0, "a b", "INTEGER TEXT", {"lineEnd": "\r\n"}),
    "cr": (b"a,b\r1,x\r2,y\r", 2, 0, "a b", "INTEGER TEXT", {"lineEnd": "\r"}),
    "no end": (b"a,b\n1,x", 1, 0, "a b", "INTEGER TEXT", {}),
    "mixed ends": (b"a,b\r\n1,x\n2,y\r\n", 2, 0, "a b", "INTEGER TEXT", {}),
    "no header": (b"1,x\n2,y\n3,z\n", 3, 0, "column_1 column_2", "INTEGER TEXT", {"header": False}),
    "only a header": (b"a,b\n", 0, 0, "a b", "NULL NULL", {"header": True}),
    "one column": (b"a\n1\n2\n", 2, 0, "a", "INTEGER", {}),
    "one column, a blank line is a null": (b"a\n1\n\n2\n", 3, 0, "a", "INTEGER", {}),
    "blank lines": (b"a,b\n\n1,x\n\n\n2,y\n\n", 2, 0, "a b", "INTEGER TEXT", {}),
    "utf-8 mark": (b"\xef\xbb\xbfa,b\n1,x\n", 1, 0, "a b", "INTEGER TEXT", {"encoding": "UTF-8", "bom": True}),
    "utf-16le mark": ("\ufeffa,b\n1,ä\n".encode("utf-16-le"), 1, 0, "a b", "INTEGER TEXT", {"encoding": "UTF-16LE", "bom": True}),
    "utf-16be mark": ("\ufeffa,b\n1,ä\n".encode("utf-16-be"), 1, 0, "a b", "INTEGER TEXT", {"encoding": "UTF-16BE", "bom": True}),
    "utf-16le": ("a,b\n1,x\n2,y\n".encode("utf-16-le"), 2, 0, "a b", "INTEGER TEXT", {"encoding": "UTF-16LE", "bom": False}),
    "latin": ("a,b\n1,Käse\n2,Brot\n".encode("cp1252"), 2, 0, "a b", "INTEGER TEXT", {"encoding": "windows-1252"}),
    "utf-8": ("ä,b\n1,Käse\n2,😀\n".encode(), 2, 0, "ä b", "INTEGER TEXT", {"encoding": "UTF-8"}),
    "late bad utf-8": (b"a,b\n" + b"1,x\n" * 70000 + b"2,\xff\n", 70000, 1, "a b", "INTEGER TEXT", {}),
    "nul": (b"a,b\n1,x\n2,\x00\n3,y\n", 2, 1, "a b", "INTEGER TEXT", {}),
    "gzip": (gzip.compress(b"a,b\n1,x\n2,y\n"), 2, 0, "a b", "INTEGER TEXT", {"compression": "GZIP"}),
    "gzip of several members": (gzip.compress(b"a,b\n1,x\n") + gzip.compress(b"2,y\n"), 2, 0, "a b", "INTEGER TEXT", {"compression": "GZIP"}),
    "quoted line ends": (b'a,b\n1,"x\ny\r\nz"\n2,w\n', 2, 0, "a b", "INTEGER TEXT", {}),
    "doubled quotes": (b'a,b\n1,"say ""hi"""\n2,""\n', 2, 0, "a b", "INTEGER TEXT", {}),
    "quotes inside": (b'a,b\n1,5" pipe\n2,x"y"\n', 2, 0, "a b", "INTEGER TEXT", {}),
    "quoted numbers": (b'a,b\n"1","2.5"\n"3","4"\n', 2, 0, "a b", "INTEGER DECIMAL", {}),
    "quoted header": (b'"a","b c"\n1,x\n', 1, 0, "a|b c", "INTEGER TEXT", {}),
    "short rows": (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", 2, 1, "a b c", "INTEGER INTEGER INTEGER", {}),
    "long rows": (b"a,b\n1,2\n3,4,5\n6,7\n", 2, 1, "a b", "INTEGER INTEGER", {}),
    "behind a quote": (b'a,b\n1,"x"y\n2,z\n', 1, 1, "a b", "INTEGER TEXT", {}),
    "never closed": (b'a,b\n1,x\n2,"y\n3,z\n', 1, 1, "a b", "INTEGER TEXT", {}),
    "separator at the end": (b"a,b,\n1,x,\n2,y,\n", 2, 0, "a b column_3", "INTEGER TEXT NULL", {}),
    "nulls": (b"a,b,c\n1,,\n,x,\n", 2, 0, "a b c", "INTEGER TEXT NULL", {}),
    "kinds": (
        b"b,i,d,f,day,t,ts,tz,s\ntrue,1,1.50,1e5,2024-02-29,10:11:12,2024-01-02 03:04:05.5,2024-01-02T03:04:05Z,x\nFALSE,-9223372036854775808,-100,2,2023-12-31,00:00:00,2024-01-02T03:04,2024-01-02 03:04:05+02,007\n",
        2, 0, "b i d f day t ts tz s", "BOOLEAN INTEGER DECIMAL FLOAT DATE TIME TIMESTAMP TIMESTAMPTZ TEXT", {},
    ),
    "postcodes": (b"zip,n\n01067,1\n12345,2\n", 2, 0, "zip n", "TEXT INTEGER", {}),
    "no dates": (b"a,b\n2024-02-30,1\n2024-13-01,2\n", 2, 0, "a b", "TEXT INTEGER", {}),
    "large whole numbers": (b"a,b\n9223372036854775808,1\n1,2\n", 2, 0, "a b", "DECIMAL INTEGER", {}),
    "dates and times": (b"a,b\n2024-01-01,1\n2024-01-01 10:00:00,2\n", 2, 0, "a b", "TIMESTAMP INTEGER", {}),
    "zones and none": (b"a,b\n2024-01-01 10:00:00,1\n2024-01-01 10:00:00Z,2\n", 2, 0, "a b", "TEXT INTEGER", {}),
    "late text": (b"a,b\n" + b"1,x\n" * 5000 + b"n/a,y\n", 5001, 0, "a b", "TEXT TEXT", {}),
    "16 MiB fields": (b"a,b\n1," + b"x" * (16 << 20) + b"\n2," + b"y" * ((16 << 20) + 1) + b"\n3,z\n", 2, 1, "a b", "INTEGER TEXT", {}),
    "many columns": (b",".join(b"c%d" % i for i in range(5000)) + b"\n" + b",".join(b"%d" % i for i in range(5000)) + b"\n", 1, 0, " ".join(f"c{i}" for i in range(5000)), " ".join(["INTEGER"] * 5000), {}),
}


class Csv(Case):
    def run_on(self, what, data, rc=0, **properties):
        path = self.tmp / "in.csv"
        path.write_bytes(data)
        task = {"id": "c", "type": TYPE + what, "from": "{{ inputs.file }}", **properties}
        done = self.flow("id: f\nnamespace: tests\ninputs:\n  - {id: file, type: FILE}\ntasks:\n  - " + json.dumps(task) + "\n", "-i", f"file=@{path}", "--output", "json")
        self.assertEqual(done.rc, rc, done)
        return done if rc else json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes()

    def test_corpus(self):
        for name, (data, rows, bad, names, types, dialect) in CORPUS.items():
            with self.subTest(name):
                out = self.run_on("Inspect", data)
                self.assertEqual((out["rows"], out["badRows"]), (rows, bad), out["problems"])
                self.assertEqual([c["name"] for c in out["columns"]], names.split("|") if "|" in names else names.split())
                self.assertEqual([c["type"] for c in out["columns"]], types.split())
                for key, value in dialect.items():
                    self.assertEqual(out["dialect"][key], value, key)
                plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
                self.assertEqual(out["bytes"], len(plain))

    def test_facts(self):
        out = self.run_on("Inspect", "n,d,t,s\n5,1.25,2024-01-02,b\n-7,100.5,2023-05-06,äé\n,,,\n".encode(), table="trips")
        self.assertEqual(out["columns"][0], {"name": "n", "type": "INTEGER", "nulls": 1, "minBytes": 1, "maxBytes": 2, "min": -7, "max": 5})
        self.assertEqual(out["columns"][1], {"name": "d", "type": "DECIMAL", "nulls": 1, "minBytes": 4, "maxBytes": 5, "min": 1.25, "max": 100.5, "precision": 5, "scale": 2})
        self.assertEqual((out["columns"][2]["min"], out["columns"][2]["max"]), ("2023-05-06", "2024-01-02"))
        self.assertEqual((out["columns"][3]["max"], out["columns"][3]["maxBytes"]), ("äé", 4))
        self.assertEqual(out["schemas"]["redshift"]["create"], 'CREATE TABLE trips (\n  "n" integer,\n  "d" decimal(5,2),\n  "t" date,\n  "s" varchar(16)\n)')
        self.assertEqual(out["schemas"]["postgresql"]["create"], 'CREATE TABLE trips (\n  "n" integer,\n  "d" numeric,\n  "t" date,\n  "s" text\n)')
        self.assertEqual([f["type"] for f in out["schemas"]["bigquery"]["schema"]["fields"]], ["INT64", "NUMERIC", "DATE", "STRING"])
        self.assertEqual(out["schemas"]["bigquery"]["load"]["csvOptions"]["skipLeadingRows"], 1)
        self.assertEqual(out["schemas"]["redshift"]["copy"], "COPY trips FROM 's3://…' IAM_ROLE default CSV DELIMITER ',' QUOTE '\"' IGNOREHEADER 1")

    def test_given(self):
        out = self.run_on("Inspect", b"1;2|3\n4;5|6\n", fieldSeparator="|", header="FALSE")
        self.assertEqual([c["name"] for c in out["columns"]], ["column_1", "column_2"])
        out = self.run_on("Inspect", b"1,2\n3,4\n", header="TRUE")
        self.assertEqual(([c["name"] for c in out["columns"]], out["rows"]), (["1", "2"], 1))
        out = self.run_on("Inspect", "a,b\n1,Ж\n".encode("koi8-r"), charset="KOI8-R")
        self.assertEqual(out["columns"][1]["max"], "Ж")
        for properties, said in (({"fieldSeparator": "ab"}, "must be one character"), ({"charset": "klingon"}, "the encoding 'klingon' is not known"), ({"maxBadRows": 0}, r"1 bad rows, and 'maxBadRows' is 0; the first is at line 3: it has 1 fields in place of 2")):
            self.assertRegex(self.run_on("Inspect", b"a,b\n1,2\n3\n", rc=1, **properties).err, said)
        self.assertRegex(self.run_on("Inspect", b"", rc=1).err, "the file holds no record")
        self.assertRegex(self.run_on("Inspect", gzip.compress(b"a,b\n1,2\n")[:-5], rc=1).err, "gzip|ended")

    def test_clean(self):
        data = '\ufeffid;name;day\r\n1; Käse ;2024-01-01\r\n2;"a;b ""c""";N/A\r\nx;bad id;2024-01-01\r\n4;bad day;01.02.2024\r\n5;short\r\n6;"open" quote;2024-01-01\r\n;no id;\r\n8;"two\nlines, yes";\r\n'.encode("utf-16-le")
        out = self.run_on("Clean", data, types={"id": "INTEGER", "day": "DATE"}, required=["id"], nullStrings=["N/A"], trim=True)
        self.assertEqual(self.stored(out["uri"]).decode(), 'id,name,day\n1,Käse,2024-01-01\n2,"a;b ""c""",\n8,"two\nlines, yes",\n')
        self.assertEqual((out["size"], out["badRows"]), (3, 5))
        bad = list(csv.DictReader(io.StringIO(self.stored(out["quarantineUri"]).decode(), newline="")))
        self.assertEqual([(r["line"], r["record"]) for r in bad], [("4", "x,bad id,2024-01-01"), ("5", "4,bad day,01.02.2024"), ("6", "5,short"), ("7", '6;"open" quote;2024-01-01'), ("8", ",no id,")])
        self.assertEqual([r["reason"] for r in bad][:3], ["column 'id' should be INTEGER, not 'x'", "column 'day' should be DATE, not '01.02.2024'", "it has 2 fields in place of 3"])
        self.assertRegex(bad[3]["reason"], "closing quote is followed by")
        self.assertEqual(bad[4]["reason"], "column 'id' is empty")
        out = self.run_on("Clean", b"a,b\n1,2\n", writeHeader=False)
        self.assertEqual((self.stored(out["uri"]), out["badRows"], "quarantineUri" in out), (b"1,2\n", 0, False))
        for properties, said in (({"types": {"no": "TEXT"}}, "names the column 'no', which the file does not have"), ({"types": {"a": "WORD"}}, "'WORD' is no type"), ({"maxBadRows": 0, "types": {"a": "DATE"}}, "1 rows are bad, and 'maxBadRows' is 0")):
            self.assertRegex(self.run_on("Clean", b"a,b\n1,2\n", rc=1, **properties).err, said)

    def test_as_python_reads_it(self):
        """Generated files: the same records, the same counts, whatever the dialect."""
        seed = random.randrange(1 << 30)
        rng = random.Random(seed)
        letters = ["a", "b", "1", "2", ".", "-", '"', "\n", "\r\n", " ", "ä", "😀", ",", ";", "'", ""]
        for n in range(40):
            separator = rng.choice(",;\t|")
            columns = rng.randint(2, 9)
            rows = [["".join(rng.choice(letters) for _ in range(rng.randint(0, 8))) for _ in range(columns)] for _ in range(rng.randint(1, 80))]
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=separator, lineterminator=rng.choice(["\n", "\r\n"]), quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows([[f"column {i}" for i in range(columns)], *rows])
            with self.subTest(seed=seed, n=n):
                data = text.getvalue().encode()
                out = self.run_on("Clean", data, fieldSeparator=separator, textDelimiter='"', header="TRUE")
                got = list(csv.reader(io.StringIO(self.stored(out["uri"]).decode(), newline="")))
                want = [r for r in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator)]
                self.assertEqual(got, want)
                facts = self.run_on("Inspect", data, fieldSeparator=separator, textDelimiter='"', header="TRUE")
                self.assertEqual((facts["rows"], facts["badRows"]), (len(want) - 1, 0))
                for i, column in enumerate(facts["columns"]):
                    values = [r[i].encode() for r in want[1:]]
                    self.assertEqual((column["nulls"], column.get("maxBytes")), (values.count(b""), max((len(v) for v in values if v), default=None)))


if __name__ == "__main__":
    unittest.main()

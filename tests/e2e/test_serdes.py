"""CSV, JSON and Ion into one another: against Python's readers, and what is found in the wild."""

import csv
import io
import json
import random
import unittest
import xml.etree.ElementTree

from sluice import Case

CSV = "io.kestra.plugin.serdes.csv."
JSON = "io.kestra.plugin.serdes.json."


class SerdesCase(Case):
    def convert(self, type, data, rc=0, name="in.txt", **properties):
        """The converted file and the result."""
        path = self.tmp / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        task = {"id": "c", "type": type, "from": "{{ inputs.file }}", **properties}
        flow = "id: f\nnamespace: tests\ninputs:\n  - {id: file, type: FILE}\ntasks:\n  - " + json.dumps(task) + "\n"
        done = self.flow(flow, "-i", f"file=@{path}", "--output", "json")
        self.assertEqual(done.rc, rc, done)
        if rc:
            return done
        out = json.loads(done.out.splitlines()[0])["taskRuns"][0]["outputs"]
        return (self.data / "storage" / out["uri"].removeprefix("kestra:///")).read_bytes().decode(properties.get("charset", "utf-8") if "IonTo" in type else "utf-8"), out["size"]

    def rows(self, type, data, **properties):
        text, size = self.convert(type, data, **properties)
        lines = text.splitlines()
        self.assertEqual(len(lines), size)
        return [self.ion(line) for line in lines]

    def ion(self, line):
        """Ion of the kind written here as Python values: through the converter to JSON would prove less."""
        return json.loads(self.unquoted_keys(line))

    def unquoted_keys(self, line):
        out, i, in_text = [], 0, False
        while i < len(line):
            ch = line[i]
            if in_text:
                if ch == "\\" and line[i + 1] == "x":
                    out.append("\\u00" + line[i + 2 : i + 4])
                    i += 4
                    continue
                if ch == "\\":
                    out.append(line[i : i + 2])
                    i += 2
                    continue
                in_text = ch != '"'
                out.append(ch)
            elif ch == '"':
                in_text = True
                out.append(ch)
            elif ch == "'":
                end = i + 1
                while line[end] != "'":
                    end += 2 if line[end] == "\\" else 1
                out.append(json.dumps(line[i + 1 : end].replace("\\'", "'")))
                i = end
            elif ch.isdigit() or ch == "-":
                end = i
                while end < len(line) and line[end] in "0123456789+-.eE":
                    end += 1
                out.append(line[i:end])
                i = end - 1
            elif ch.isalpha() or ch == "_":
                end = i
                while end < len(line) and (line[end].isalnum() or line[end] in "_$"):
                    end += 1
                word = line[i:end]
                out.append(word if word in ("null", "true", "false") and line[end : end + 1] != ":" else json.dumps(word))
                i = end - 1
            else:
                out.append(ch)
            i += 1
        return "".join(out)


class Serdes(SerdesCase):
    def test_csv(self):
        data = 'id,"full name",note\r\n1,"Doe, ""J""","two\r\nlines"\r\n2,é \\N,\\N\r\n'
        self.assertEqual(self.rows(CSV + "CsvToIon", data), [{"id": "1", "full name": 'Doe, "J"', "note": "two\r\nlines"}, {"id": "2", "full name": "é \\N", "note": None}])

    def test_generated(self):
        """What Python writes is read as Python reads it; larger than any buffer."""
        rng = random.Random(7)
        alphabet = ["a", "Z", ",", '"', "\n", "\r\n", "é", "\t", " ", "\\", "'", "0"]
        for n, longest in ((2000, 12), (8, 300_000)):
            rows = [["".join(rng.choice(alphabet) for _ in range(rng.randrange(longest))) for _ in range(7)] for _ in range(n)]
            out = io.StringIO(newline="")
            writer = csv.writer(out, lineterminator="\n")
            writer.writerows([[f"c{i}" for i in range(7)], *rows])
            with self.subTest(n):
                got = self.rows(CSV + "CsvToIon", out.getvalue())
                self.assertEqual([list(r.values()) for r in got], [[None if v == "\\N" else v for v in r] for r in rows])

    def test_what_needs_escapes_between_what_does_not(self):
        rng = random.Random(11)
        calm = [["".join(rng.choice("ab 1-é:'") for _ in range(rng.choice([0, 1, 7, 8, 9, 23, 24, 25, 60]))) for _ in range(5)] for _ in range(4000)]
        for special, properties in (
            ("\t", {}), ("a\\b", {}), ("\x01", {}), ("\\N", {}), ("x\ny", {}), ("x\r\ny", {}), ("é\x7f", {}), ('a"b', {"textDelimiter": "|"}), ("a\tb", {"fieldSeparator": "\t"}), ("a,b", {}), ("\x1f", {"header": False}), ("", {"header": False}),
        ):
            rows = [["c1", "a longer name, with a comma and more than thirty-two bytes", "c 3", "c4", "c5"], *calm, ["1", special, "3", "4", "5"], *calm[:2000]]
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n", delimiter=properties.get("fieldSeparator", ","), quotechar=properties.get("textDelimiter", '"')).writerows(rows)
            with self.subTest(special=special, **properties):
                got = self.rows(CSV + "CsvToIon", out.getvalue(), **properties)
                want = [[None if v == "\\N" else v for v in r] for r in rows]
                self.assertTrue(got == want if properties.get("header") is False else got == [dict(zip(rows[0], r)) for r in want[1:]])

    def test_dialects(self):
        read = lambda data, **p: self.rows(CSV + "CsvToIon", data, **p)
        self.assertEqual(read("a;b\n1;'x;''y'\n", fieldSeparator=";", textDelimiter="'"), [{"a": "1", "b": "x;'y"}])
        self.assertEqual(read("a\tb\n1\t2\n", fieldSeparator="\t"), [{"a": "1", "b": "2"}])
        self.assertEqual(read("a\tb\n1\t2\n", fieldSeparator="\\t"), [{"a": "1", "b": "2"}])
        self.assertEqual(read("1,2\n3,4\n", header=False), [["1", "2"], ["3", "4"]])
        self.assertEqual(read("a,b\n1,2\n3,4\n5,6\n", skipRows=2), [{"a": "5", "b": "6"}])
        self.assertEqual(read("a\n1\n\n2\n", skipEmptyRows=True), [{"a": "1"}, {"a": "2"}])
        self.assertEqual(read("a\n1\n\n2\n"), [{"a": "1"}, {"a": ""}, {"a": "2"}])
        self.assertEqual(read("a,b,,\n1,2,,\n"), [{"a": "1", "b": "2"}])
        self.assertEqual(read("a,,b\n1,2,3\n", onEmptyHeader="RENAME"), [{"a": "1", "col_1": "2", "b": "3"}])
        self.assertEqual(read("a,b\r1,2\r3,4"), [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
        self.assertEqual(read('a,b\n"x"y,2\n', allowExtraCharsAfterClosingQuote=True), [{"a": "xy", "b": "2"}])
        self.assertEqual(read('a\nx"y"\n'), [{"a": 'x"y"'}])
        self.assertEqual(read(""), [])
        self.assertEqual(read("a,b"), [])
        self.assertEqual(read("a,b\n1,2"), [{"a": "1", "b": "2"}])

    def test_block_ends_in_a_line_end(self):
        """A CR at the end of what has been read: whether an LF follows is not known yet, and nothing may be lost."""
        tail = '"x"y\r'
        room = (1 << 20) - len("a\n") - len(tail)
        data = "a\n" + "p\n" * (room // 2 - 1) + "p" * (1 + room % 2) + "\n" + tail
        self.assertEqual(data[(1 << 20) - 1], "\r")
        rows = self.rows(CSV + "CsvToIon", data + "\nz\n", allowExtraCharsAfterClosingQuote=True, onBadLines="ERROR")
        self.assertEqual([r["a"] for r in rows[-2:]], ["xy", "z"])

    def test_encodings(self):
        for charset, data in (("UTF-8", "\ufeffnaïve\n1€\n".encode()), ("ISO-8859-15", "naïve\n1€\n".encode("iso-8859-15")), ("UTF-16", "naïve\n1€\n".encode("utf-16")), ("UTF-16LE", "\ufeffnaïve\n1€\n".encode("utf-16-le")), ("windows-1252", "naïve\n1€\n".encode("cp1252"))):
            with self.subTest(charset):
                self.assertEqual(self.rows(CSV + "CsvToIon", data, charset=charset), [{"naïve": "1€"}])
        text, _ = self.convert(CSV + "IonToCsv", "{'naïve':\"1€\"}\n", charset="ISO-8859-15")
        self.assertEqual(text, "naïve\n1€\n")

    def test_bad_lines(self):
        data = 'a,b\n1,2\n3\n4,5,6\n"x"y,7\n8,9\n'
        for mode in ("SKIP", "WARN"):
            self.assertEqual(self.rows(CSV + "CsvToIon", data, onBadLines=mode), [{"a": "1", "b": "2"}, {"a": "8", "b": "9"}])
        cases = {
            data: r"the record at line 3 has 1 fields, 2 were expected",
            'a,b\n1,"x\ny"z\n': r"a closing quote is followed by 'z' at line 3",
            'a,b\n1,2\n3,"open\n4,5\n': r"the quote that is opened in the record at line 3 is never closed",
        }
        for text, expected in cases.items():
            with self.subTest(expected):
                self.assertRegex(self.convert(CSV + "CsvToIon", text, rc=1).err, expected)
        self.assertRegex(self.convert(CSV + "CsvToIon", "a\n" + "x" * 2000 + "\n", rc=1, maxFieldSize=1000).err, r"longer than 1000 bytes")
        self.assertRegex(self.convert(CSV + "CsvToIon", "a\n1\n", rc=1, fieldSeparator="ab").err, r"'fieldSeparator' must be one character")
        self.assertRegex(self.convert(CSV + "CsvToIon", "a\n1\n", rc=1, charset="nonsense").err, r"the encoding 'nonsense' is not known here")
        self.assertRegex(self.convert(CSV + "CsvToIon", b"a\n\xff\xfe\xfa", rc=1, charset="UTF-16").err, r"the file ends in the middle of a character of UTF-16")

    ION = (
        '{id:1,text:"a,b",flag:true,none:null,half:1.5e0,day:2024-02-29,at:2024-02-29T01:02:03.000Z,local:LocalDateTime::"2024-02-29T01:02:03",zoned:ZonedDateTime::"2024-02-29T01:02:03+01:00[Europe/Paris]",'
        'time:LocalTime::"01:02:03",list:[1,"x"],map:{k:null}}\n'
    )

    def test_ion_to_csv(self):
        text, size = self.convert(CSV + "IonToCsv", self.ION + '{id:2,text:"q\\"x"}\n', timeZoneId="UTC")
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(size, 2)
        self.assertEqual(dict(zip(rows[0], rows[1])), {
            "id": "1", "text": "a,b", "flag": "true", "none": "", "half": "1.5", "day": "2024-02-29", "at": "2024-02-29T01:02:03.000Z", "local": "2024-02-29T01:02:03.000", "zoned": "2024-02-29T00:02:03.000Z",
            "time": "01:02:03", "list": '[1,"x"]', "map": '{"k":null}'})
        self.assertEqual(rows[2], ["2", 'q"x'])
        write = lambda data, **p: self.convert(CSV + "IonToCsv", data, **p)[0]
        self.assertEqual(write('{a:1,b:"x"}\n', quoteMode="ALWAYS"), '"a","b"\n"1","x"\n')
        self.assertEqual(write('{a:1,b:"x"}\n', quoteMode="NON_NUMERIC"), '"a","b"\n1,"x"\n')
        self.assertEqual(write('{a:1,b:"x;"}\n', fieldSeparator=";", textDelimiter="'", lineDelimiter="\r\n", header=False), "1;'x;'\r\n")
        self.assertEqual(write('["a",2]\n', header=False), "a,2\n")
        self.assertEqual(write("{d:2024-02-29}\n", dateFormat="dd/MM/yyyy"), "d\n29/02/2024\n")
        self.assertRegex(self.convert(CSV + "IonToCsv", '["a"]\n', rc=1).err, r"lists, which have no names for a header; set 'header: false'")
        self.assertRegex(self.convert(CSV + "IonToCsv", "{a:1\n", rc=1).err, r"record 1 of kestra://")

    def test_ion_to_json(self):
        text, size = self.convert(JSON + "IonToJson", self.ION, timeZoneId="UTC")
        self.assertEqual(json.loads(text), {"id": 1, "text": "a,b", "flag": True, "none": None, "half": 1.5, "day": "2024-02-29", "at": "2024-02-29T01:02:03Z", "local": "2024-02-29T01:02:03", "zoned": "2024-02-29T00:02:03Z", "time": "01:02:03", "list": [1, "x"], "map": {"k": None}})
        self.assertEqual(size, 1)
        for data, expected in (("{a:1}\n{a:2}\n", [{"a": 1}, {"a": 2}]), ("{a:1}\n", {"a": 1}), ("", [])):
            self.assertEqual(json.loads(self.convert(JSON + "IonToJson", data, newLine=False)[0]), expected)
        many, _ = self.convert(JSON + "IonToJson", "".join(f"{{n:{i}}}\n" for i in range(100_000)), newLine=False)
        self.assertEqual([v["n"] for v in json.loads(many)], list(range(100_000)))

    def test_json_to_ion(self):
        value = {"a": 1, "b c": [1.5, None, "x\n\u0001"], "d": {"e": True}}
        self.assertEqual(self.rows(JSON + "JsonToIon", json.dumps(value) + "\n\n" + json.dumps([1]) + "\n"), [{**value, "b c": [1.5, None, "x\n\x01"]}, [1]])
        self.assertEqual(self.rows(JSON + "JsonToIon", json.dumps([value, 2], indent=1), newLine=False)[1], 2)
        self.assertEqual(self.convert(JSON + "JsonToJsonl", '[{"a": 1}, 2]')[0], '{"a":1}\n2\n')
        self.assertRegex(self.convert(JSON + "JsonToIon", '{"a": 1}\n{"a": }\n', rc=1).err, r"line 2 of the file")

    def test_there_and_back(self):
        data = "id,name\n" + "".join(f'{i},"n, {i}"\n' for i in range(5000))
        ion, _ = self.convert(CSV + "CsvReader", data)
        self.assertEqual(self.convert(CSV + "CsvWriter", ion)[0], data)


class Xml(SerdesCase):
    READ, WRITE = "io.kestra.plugin.serdes.xml.XmlToIon", "io.kestra.plugin.serdes.xml.IonToXml"

    def test_values(self):
        """As org.json has them: what looks like a number is one, several of a name are a list, attributes are members."""
        cases = {
            "<a>5</a>": [{"a": 5}], "<a>-1.50</a>": [{"a": -1.5}], "<a>007</a>": [{"a": "007"}], "<a>true</a>": [{"a": True}], "<a>null</a>": [{"a": None}], "<a/>": [{"a": ""}], "<a> x &lt;y&gt; </a>": [{"a": "x <y>"}],
            "<a>1e5</a>": [{"a": "1e5"}], "<a>12345678901234567890</a>": [{"a": "12345678901234567890"}], "<a>1.2.3</a>": [{"a": "1.2.3"}],
            '<a x="1" y="z">t</a>': [{"a": {"x": 1, "y": "z", "content": "t"}}], "<a><b>1</b><c/></a>": [{"a": {"b": 1, "c": ""}}], "<a>x<b/>y</a>": [{"a": {"content": ["x", "y"], "b": ""}}],
            "<a><b>1</b><b>2</b><b><c>3</c></b></a>": [1, 2, {"c": 3}], "<a n='0'><b>1</b><b>2</b></a>": [{"a": {"n": 0, "b": [1, 2]}}], "<n:a xmlns:n='u'><n:b>\u00e4</n:b></n:a>": [{"n:a": {"xmlns:n": "u", "n:b": "\u00e4"}}],
            "<!DOCTYPE a><a><![CDATA[<&>]]></a>": [{"a": "<&>"}],
        }  # fmt: skip
        for text, wanted in cases.items():
            with self.subTest(text):
                self.assertEqual(self.rows(self.READ, text), wanted)
        self.assertEqual(self.rows(self.READ, "<a><b>1</b></a>", parserConfiguration={"forceList": ["b"]}), [1])
        self.assertEqual(self.rows(self.READ, '<?xml version="1.0" encoding="ISO-8859-1"?><a>\u00e4</a>'.encode("latin-1")), [{"a": "\u00e4"}])
        self.assertEqual(self.rows(self.READ, '<?xml version="1.0" encoding="UTF-8"?><a>\u20ac</a>'.encode("cp1252"), charset="windows-1252"), [{"a": "\u20ac"}])
        self.assertEqual(self.rows(self.READ, "<a>\u20ac</a>".encode("utf-16")), [{"a": "\u20ac"}])

    def test_query(self):
        text = "<shop><meta><book>no</book></meta><books><book id='1'><t>A</t></book><other/><book id='2'><t>B</t><book>inner</book></book></books><books><book>last</book></books></shop>"
        self.assertEqual(self.rows(self.READ, text, query="/shop/books/book"), [{"id": 1, "t": "A"}, {"id": 2, "t": "B", "book": "inner"}, "last"])
        self.assertEqual(self.rows(self.READ, text, query="/shop/nothing"), [])
        self.assertEqual(self.rows(self.READ, text, query="/shop/meta/"), [{"book": "no"}])
        many = "<r>" + "".join(f"<x><n>{i}</n><t>text {i}</t></x>" for i in range(50_000)) + "</r>"
        self.assertEqual(self.rows(self.READ, many, query="/r/x"), [{"n": i, "t": f"text {i}"} for i in range(50_000)])

    def test_refusals(self):
        for text, said, more in (
            ("<a><b></a>", r"line 1, column 9: mismatched tag", {}), ("", "no element found", {}), ("<a>" * 600 + "</a>" * 600, "nested deeper than 512", {}), ("<a/>", "'query' may hold names alone", {"query": "/a/0"}),
            ("<a/>", "'query' must be a path", {"query": "a"}), ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "declares the entity 'x'", {}), ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "declares the entity 'x'", {}),
        ):
            with self.subTest(text[:40]):
                self.assertRegex(self.convert(self.READ, text, rc=1, **more).err, said)

    def test_write(self):
        """Against Python's reader; and back."""
        records = [{"id": 1, "name": "a < b & 'c' \"d\"", "list": [1, {"x": None}], "none": None, "map": {"k": "v", "empty": {}}, "bad name!": "\u00e4", "1st": True}, {"only": "x\ny"}]
        text, size = self.convert(self.WRITE, "".join(json.dumps(r) + "\n" for r in records), rootName="rows")
        self.assertEqual(size, 2)
        root = xml.etree.ElementTree.fromstring(text.encode())
        self.assertEqual((root.tag, [i.tag for i in root]), ("rows", ["item", "item"]))
        first = root[0]
        self.assertEqual([(e.tag, e.text if len(e) == 0 else None) for e in first], [("id", "1"), ("name", "a < b & 'c' \"d\""), ("list", "1"), ("list", None), ("none", None), ("map", None), ("bad_name_", "\u00e4"), ("_1st", "true")])
        self.assertEqual(root[1].find("only").text, "x\ny")
        self.assertEqual(self.rows(self.READ, text, query="/rows/item")[1], {"only": "x\ny"})
        latin = self.convert(self.WRITE, json.dumps({"a": "\u00e4"}) + "\n", charset="ISO-8859-1")[0]
        self.assertEqual(xml.etree.ElementTree.fromstring(latin.encode("latin-1")).find("item/a").text, "\u00e4")
        text = self.convert(self.WRITE, "{t: 2024-01-01T00:00:00-05:00}\n", timeZoneId="Europe/Berlin")[0]
        self.assertIn("<t>2024-01-01T06:00+01:00[Europe/Berlin]</t>", text)


class Parquet(Case):
    """There and back; the files are read and written by DuckDB, in the task and in the check (its own package, where it is there)."""

    RECORDS = '{id:1,name:"a",price:1.5e0,ok:true,tags:["x","y"],day:2024-02-29,at:2024-01-02T03:04:05.678Z,deep:{k:1}}\n{id:2,name:null,price:null,ok:false,tags:[],day:null,at:null,deep:null}\n'

    def tasks(self, file, *tasks, rc=0):
        path = self.tmp / "in.ion"
        path.write_bytes(file if isinstance(file, bytes) else file.encode())
        flow = "id: f\nnamespace: tests\ninputs: [{id: file, type: FILE}]\ntasks:\n" + "".join("  - " + json.dumps(t) + "\n" for t in tasks)
        done = self.flow(flow, "-i", f"file=@{path}", "--output", "json")
        self.assertEqual(done.rc, rc, done)
        return done.err if rc else [r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]]

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes()

    def there_and_back(self, records, **properties):
        out = self.tasks(records, {"id": "w", "type": "io.kestra.plugin.serdes.parquet.IonToParquet", "from": "{{ inputs.file }}", **properties}, {"id": "r", "type": "io.kestra.plugin.serdes.parquet.ParquetReader", "from": "{{ outputs.w.uri }}"},
                         {"id": "d", "type": "io.kestra.plugin.jdbc.duckdb.Query", "inputFiles": {"x.parquet": "{{ outputs.w.uri }}"}, "sql": "SELECT name, type FROM parquet_schema('{{ workingDir }}/x.parquet')", "fetchType": "FETCH"})
        self.assertEqual(self.stored(out[0]["uri"])[:4], b"PAR1")
        self.assertEqual(out[0]["size"], out[1]["size"])
        return self.stored(out[1]["uri"]).decode(), {r["name"]: r["type"] for r in out[2]["rows"]}

    def test_there_and_back(self):
        got, types = self.there_and_back(self.RECORDS)
        self.assertEqual(got, self.RECORDS)
        self.assertEqual((types["id"], types["name"], types["price"], types["ok"], types["day"]), ("INT64", "BYTE_ARRAY", "DOUBLE", "BOOLEAN", "INT32"))

    def test_schema(self):
        schema = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "int"}, {"name": "amount", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}]}, {"name": "day", "type": {"type": "int", "logicalType": "date"}},
                                                            {"name": "tags", "type": {"type": "array", "items": "string"}}]}
        for form in (schema, json.dumps(schema)):
            got, types = self.there_and_back('{id:7,amount:"12.30",day:"2024-02-29",tags:["a"],more:1}\n', schema=form, compressionCodec="ZSTD")
            self.assertEqual(got, '{id:7,amount:12.3e0,day:2024-02-29,tags:["a"]}\n')
            self.assertEqual((types["id"], "more" in types), ("INT32", False))
        self.assertEqual(self.there_and_back("", schema=schema)[0], "")

    def test_many(self):
        n = 200_000
        got, _ = self.there_and_back("".join(f'{{n:{i},t:"value {i}"}}\n' for i in range(n)))
        self.assertEqual(got, "".join(f'{{n:{i},t:"value {i}"}}\n' for i in range(n)), "in the same order")

    def test_refusals(self):
        write = {"id": "w", "type": "io.kestra.plugin.serdes.parquet.IonToParquet", "from": "{{ inputs.file }}"}
        self.assertRegex(self.tasks("", write, rc=1), "holds no records, so no columns are known")
        self.assertRegex(self.tasks("1\n", write, rc=1), "record 1 is no map")
        self.assertRegex(self.tasks("{a:1}\n", {**write, "schema": "{"}, rc=1), "property 'schema'")
        self.assertRegex(self.tasks("{a:1}\n", {**write, "schema": {"fields": [{"name": "a", "type": "thing"}]}}, rc=1), "the field 'a' of 'schema' has a type that is not supported")
        self.assertRegex(self.tasks('{a:"x"}\n', {**write, "schema": {"fields": [{"name": "a", "type": "int"}]}}, rc=1), "Conversion|Invalid|cast")
        self.assertRegex(self.tasks(b"PAR1 this is none", {"id": "r", "type": "io.kestra.plugin.serdes.parquet.ParquetToIon", "from": "{{ inputs.file }}"}, rc=1), "kestra:///")


if __name__ == "__main__":
    unittest.main()

"""Excel workbooks and Avro files: there and back, beside openpyxl and fastavro, and what is neither."""

import io
import json
import subprocess
import unittest
import zipfile

import peers
from sluice import Case

EXCEL = "io.kestra.plugin.serdes.excel."
AVRO = "io.kestra.plugin.serdes.avro."


class TableCase(Case):
    def tasks(self, file, *tasks, rc=0):
        path = self.tmp / "in"
        path.write_bytes(file if isinstance(file, bytes) else file.encode())
        flow = "id: f\nnamespace: tests\ninputs: [{id: file, type: FILE}]\ntasks:\n" + "".join("  - " + json.dumps({"id": f"t{i}", **t}) + "\n" for i, t in enumerate(tasks))
        done = self.flow(flow, "-i", f"file=@{path}", "--output", "json", env={"TZ": "UTC"})
        self.assertEqual(done.rc, rc, done)
        return done.err if rc else [r["outputs"] for r in json.loads(done.out.splitlines()[0])["taskRuns"]]

    def stored(self, uri):
        return (self.data / "storage" / uri.removeprefix("kestra:///")).read_bytes()

    def peer(self, script, *args, data=b""):
        """What a script of the peer's Python prints."""
        if not peers.TABLES.exists():
            self.skipTest(peers.missing(peers.TABLES.parents[1]))
        done = subprocess.run([peers.TABLES, "-c", script, *args], input=data, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout


def workbook(sheet, strings=(), formats=(), workbook_pr="", extra=()):
    """A small workbook by hand: one sheet's XML, shared strings, number formats of the styles 1, 2, …"""
    out = io.BytesIO()
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("xl/workbook.xml", f'<workbook {main} xmlns:r="r">{workbook_pr}<sheets><sheet name="One" sheetId="1" r:id="rId1"/></sheets></workbook>')
        z.writestr("xl/_rels/workbook.xml.rels", '<Relationships><Relationship Id="rId1" Target="worksheets/sheet1.xml"/></Relationships>')
        z.writestr("xl/styles.xml", f'<styleSheet {main}><numFmts>' + "".join(f'<numFmt numFmtId="{200 + i}" formatCode="{f}"/>' for i, f in enumerate(formats)) + '</numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
                   + "".join(f'<xf numFmtId="{200 + i}"/>' for i in range(len(formats))) + "</cellXfs></styleSheet>")
        z.writestr("xl/sharedStrings.xml", f"<sst {main}>" + "".join(f"<si>{s}</si>" for s in strings) + "</sst>")
        z.writestr("xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>")
        for name, text in extra:
            z.writestr(name, text)
    return out.getvalue()


class Excel(TableCase):
    READ = {"type": EXCEL + "ExcelToIon", "from": "{{ inputs.file }}"}
    WRITE = {"type": EXCEL + "IonToExcel", "from": "{{ inputs.file }}"}
    RECORDS = '{id:1,name:"a & <b>",price:1.5e0,ok:true,day:2024-02-29,at:2024-01-02T03:04:05.678-00:00,big:9007199254740993,none:null}\n{id:-2,name:"",price:1e-7,ok:false,day:1900-03-01,at:1999-12-31T23:59:59.999-00:00,big:0,none:null}\n'

    def read(self, book, **properties):
        out = self.tasks(book, {**self.READ, **properties})[0]
        return {title: self.stored(uri).decode() for title, uri in out["uris"].items()}

    def test_there_and_back(self):
        wrote, read = self.tasks(self.RECORDS, self.WRITE, {**self.READ, "from": "{{ outputs.t0.uri }}"})
        self.assertEqual((wrote["size"], read["size"], list(read["uris"])), (2, 2, ["Sheet"]))
        got = self.stored(read["uris"]["Sheet"]).decode()
        self.assertEqual(got, '{id:1,name:"a & <b>",price:1.5e0,ok:true,day:LocalDateTime::"2024-02-29T00:00",at:LocalDateTime::"2024-01-02T03:04:05.678",big:"9007199254740993",none:null}\n'
                              '{id:-2,name:null,price:1e-7,ok:false,day:LocalDateTime::"1900-03-01T00:00",at:LocalDateTime::"1999-12-31T23:59:59.999",big:0,none:null}\n')

    def test_sheets(self):
        out = self.tasks("{a:1}\n{a:2}\n", {**self.WRITE, "from": {"First": "{{ inputs.file }}", "Second": "{{ inputs.file }}"}}, {**self.READ, "from": "{{ outputs.t0.uri }}", "sheetsTitle": ["Second"], "skipRows": 1},
                         {**self.READ, "from": "{{ outputs.t0.uri }}", "header": False})
        self.assertEqual((out[0]["size"], list(out[1]["uris"]), self.stored(out[1]["uris"]["Second"])), (4, ["Second"], b"{a:2}\n"))
        self.assertEqual({t: self.stored(u) for t, u in out[2]["uris"].items()}, {"First": b'["a"]\n[1]\n[2]\n', "Second": b'["a"]\n[1]\n[2]\n'})

    def test_many(self):
        n = 50_000
        out = self.tasks("".join(f'{{n:{i},t:"value {i}"}}\n' for i in range(n)), self.WRITE, {**self.READ, "from": "{{ outputs.t0.uri }}"})
        self.assertEqual(self.stored(out[1]["uris"]["Sheet"]).decode(), "".join(f'{{n:{i},t:"value {i}"}}\n' for i in range(n)))

    def test_cells(self):
        book = workbook('<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r></is></c><c r="D1" t="s"><v>1</v></c></row>'
                        '<row r="2"><c r="A2" s="1"><v>45292.5</v></c><c r="B2" t="e"><v>#DIV/0!</v></c><c r="C2" t="b"><v>1</v></c><c r="D2" t="str"><f>A1&amp;B1</f><v>joined</v></c></row>'
                        '<row r="4"><c r="C4"/></row><row r="9"><c r="A9" s="2"><v>45292.5</v></c><c r="B9"><f>1+1</f><v>2</v></c></row>',
                        strings=["<t>first</t>", "<r><t>la</t></r><r><t>st</t></r><rPh><t>no</t></rPh>"], formats=["dd\\-mm", "[Red]&quot;day&quot; 0.00"])
        self.assertEqual(self.read(book)["One"].splitlines(), ['{first:LocalDateTime::"2024-01-01T12:00",inline:"#DIV/0!",col_3:true,last:"joined"}', "{first:null,inline:null,col_3:null,last:null}", "{first:45292.5e0,inline:2,col_3:null,last:null}"])
        self.assertEqual(self.read(book, skipEmptyRows=True, dateTimeRender="SERIAL_NUMBER", valueRender="FORMULA")["One"].splitlines(), ['{first:45292.5e0,inline:"#DIV/0!",col_3:true,last:"=A1&B1"}', '{first:45292.5e0,inline:"=1+1",col_3:null,last:null}'])
        old = workbook('<row><c s="1"><v>0</v></c><c s="1"><v>59</v></c><c s="1"><v>60</v></c><c s="1"><v>61.25</v></c></row>', formats=["yyyy"])
        self.assertEqual(self.read(old, header=False)["One"], '[LocalDateTime::"1899-12-31T00:00",LocalDateTime::"1900-02-28T00:00",LocalDateTime::"1900-02-28T00:00",LocalDateTime::"1900-03-01T06:00"]\n')
        mac = workbook('<row><c s="1"><v>0</v></c></row>', formats=["yyyy"], workbook_pr='<workbookPr date1904="1"/>')
        self.assertEqual(self.read(mac, header=False)["One"], '[LocalDateTime::"1904-01-01T00:00"]\n')

    def test_values_as_excel_shows_them(self):
        cells = "".join(f'<c s="{i + 1}"><v>{v}</v></c>' for i, v in enumerate(["1234.5", "-0.25", "45351.75", "1234567", "5"])) + '<c t="b"><v>1</v></c><c s="6" t="inlineStr"><is><t>x</t></is></c><c t="e"><v>#N/A</v></c><c><v>0.1</v></c>'
        book = workbook(f"<row>{cells}</row>", formats=["#,##0.00_);(#,##0.00)", "0%", "yyyy-mm-dd h:mm AM/PM", "[$€-407] #,##0", "0;;;@", "0;;;&quot;&lt;&quot;@&quot;&gt;&quot;"])
        read = lambda **how: self.read(book, header=False, **how)["One"]
        self.assertEqual(read(valueRender="FORMATTED_VALUE"), '["1,234.50","-25%",LocalDateTime::"2024-02-29T18:00","€ 1,234,567","5","TRUE","<x>","#N/A","0.1"]\n')
        self.assertEqual(read(dateTimeRender="FORMATTED_STRING"), '[1234.5e0,-0.25e0,"2024-02-29 6:00 PM",1234567,5,true,"x","#N/A",0.1e0]\n')
        styles = workbook('<row><c s="1"><v>45351</v></c></row>', workbook_pr='<workbookPr date1904="1"/>', formats=["d mmm yyyy"])
        self.assertEqual(self.read(styles, header=False, dateTimeRender="FORMATTED_STRING")["One"], '["1 Mar 2028"]\n')

    def test_texts_for_dates(self):
        out = self.tasks(self.RECORDS, {**self.WRITE, "styles": False, "dateFormat": "dd.MM.yyyy"}, {**self.READ, "from": "{{ outputs.t0.uri }}"})
        self.assertIn('day:"29.02.2024"', self.stored(out[1]["uris"]["Sheet"]).decode())

    def test_refusals(self):
        self.assertRegex(self.tasks(b"PK this is none", self.READ, rc=1), "an Excel workbook .* was expected")
        self.assertRegex(self.tasks(workbook(""), {**self.READ, "sheetsTitle": ["Two"]}, rc=1), "no sheet 'Two'; its first is 'One'")
        self.assertRegex(self.tasks(workbook('<row><c t="s"><v>7</v></c></row>'), self.READ, rc=1), "shared string '7', which there is not")
        self.assertRegex(self.tasks(workbook('<row r="1"><c r="B1"/><c r="A1"/></row>'), self.READ, rc=1), "not in order")
        self.assertRegex(self.tasks(workbook('<row><c r="ZZZZ1"/></row>'), self.READ, rc=1), "more than 16384")
        self.assertRegex(self.tasks(workbook('<row r="1"'), self.READ, rc=1), "sheet1.xml.*line 1|line 1")
        self.assertRegex(self.tasks(workbook('<row><c t="str"><v>' + "x" * 2_000_000 + "</v></c></row>"), self.READ, rc=1), "more than 1048576 bytes")
        self.assertRegex(self.tasks(workbook('<row><c><f t="shared" si="0"/><v>1</v></c></row>'), {**self.READ, "valueRender": "FORMULA"}, rc=1), "shared with another cell")
        cut = workbook("".join(f'<row><c><v>{i}</v></c></row>' for i in range(5000)))
        at = cut.index(b"xl/worksheets/sheet1.xml") + 200
        self.assertRegex(self.tasks(cut[:at] + bytes([cut[at] ^ 255]) + cut[at + 1 :], self.READ, rc=1), "sheet1.xml")
        bomb = workbook("", strings=["<t>" + " " * (257 << 20) + "</t>"])
        self.assertLess(len(bomb), 1 << 20)
        self.assertRegex(self.tasks(bomb, self.READ, rc=1), "larger than 268435456 bytes")
        doctype = workbook("<row/>")
        with zipfile.ZipFile(io.BytesIO(doctype)) as z:
            parts = {n: z.read(n) for n in z.namelist()}
        parts["xl/worksheets/sheet1.xml"] = b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet/>'
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            for n, d in parts.items():
                z.writestr(n, d)
        self.assertRegex(self.tasks(out.getvalue(), self.READ, rc=1), "document type")
        self.assertRegex(self.tasks("[1]\n", self.WRITE, rc=1), "set 'header: false'")
        self.assertRegex(self.tasks("{a:1}\n", {**self.WRITE, "sheetsTitle": "a/b"}, rc=1), "a/b")
        self.assertRegex(self.tasks('{a:"' + "x" * 40000 + '"}\n', self.WRITE, rc=1), r"longer than the 32767 characters that a cell may hold \(record 1\) \(sheet 'Sheet'\)")


class ExcelPeer(TableCase):
    """openpyxl reads what we write, and we read what it writes."""

    WRITE = """import datetime, openpyxl, sys
book = openpyxl.Workbook(); sheet = book.active; sheet.title = 'Data'
sheet.append(['n', 'x', 'text', 'ok', 'day', 'at', 'time', 'sum'])
for i in range(1000):
    sheet.append([i, i / 8, 'text %d \\u00e4' % i, i % 2 == 0, datetime.date(2024, 1, 1) + datetime.timedelta(i), datetime.datetime(2024, 1, 1, 12, 30, 15) + datetime.timedelta(seconds=i), datetime.time(1, 2, 3), '=A%d+1' % (i + 2)])
second = book.create_sheet('More & more'); second['C3'] = 'far'
book.save(sys.argv[1])"""
    READ = """import openpyxl, sys
sheet = openpyxl.load_workbook(sys.argv[1])['Sheet']
for row in sheet.iter_rows(values_only=True): print(repr(row))
print(sheet['A1'].font.b, sheet['E2'].number_format, sheet['F2'].number_format)"""

    def test_we_read(self):
        path = self.tmp / "theirs.xlsx"
        self.peer(self.WRITE, str(path))
        out = self.tasks(path.read_bytes(), {"type": EXCEL + "ExcelToIon", "from": "{{ inputs.file }}"})[0]
        lines = self.stored(out["uris"]["Data"]).decode().splitlines()
        self.assertEqual((len(lines), out["size"]), (1000, 1000))
        self.assertEqual(lines[999], '{n:999,x:124.875e0,text:"text 999 ä",ok:false,day:LocalDateTime::"2026-09-26T00:00",at:LocalDateTime::"2024-01-01T12:46:54",time:LocalDateTime::"1899-12-31T01:02:03",sum:null}')
        self.assertEqual(self.stored(out["uris"]["More & more"]), b"", "one row alone is the header")

    def test_we_write(self):
        out = self.tasks(Excel.RECORDS, {"type": EXCEL + "IonToExcel", "from": "{{ inputs.file }}"})[0]
        path = self.tmp / "ours.xlsx"
        path.write_bytes(self.stored(out["uri"]))
        lines = self.peer(self.READ, str(path)).decode().splitlines()
        self.assertEqual(lines[1], "(1, 'a & <b>', 1.5, True, datetime.datetime(2024, 2, 29, 0, 0), datetime.datetime(2024, 1, 2, 3, 4, 5, 678000), '9007199254740993', None)")
        self.assertEqual(lines[3], "True yyyy-mm-dd yyyy-mm-dd\"T\"hh:mm:ss.000")


class Avro(TableCase):
    READ = {"type": AVRO + "AvroToIon", "from": "{{ inputs.file }}"}
    WRITE = {"type": AVRO + "IonToAvro", "from": "{{ inputs.file }}"}
    RECORDS = '{id:1,name:"ä",price:1.5e0,ok:true,day:2024-02-29,big:9007199254740993,tags:["x",null],deep:{k:1,l:null}}\n{id:-2,name:null,price:-1e-7,ok:false,day:1900-03-01,big:0,tags:[],deep:null}\n'

    def there_and_back(self, records, **properties):
        wrote, read = self.tasks(records, {**self.WRITE, **properties}, {**self.READ, "from": "{{ outputs.t0.uri }}"})
        self.assertEqual(wrote["size"], read["size"])
        return self.stored(read["uri"]).decode()

    def schema(self, *fields):
        return {"type": "record", "name": "r", "fields": [{"name": n, "type": t} for n, t in fields]}

    def test_there_and_back(self):
        self.assertEqual(self.there_and_back(self.RECORDS), self.RECORDS)

    def test_schema_that_is_found_out(self):
        out = self.tasks('{a:1,b:null,c:"x",d:2024-01-01}\n{a:2.5e0,b:true,c:7,e:[{z:1}]}\n{a:"late"}\n', {"type": AVRO + "InferAvroSchemaFromIon", "from": "{{ inputs.file }}", "numberOfRowsToScan": 2})[0]
        schema = json.loads(self.stored(out["uri"]))
        self.assertEqual({f["name"]: f["type"] for f in schema["fields"]}, {"a": ["null", "double"], "b": ["null", "boolean"], "c": ["null", "string"], "d": ["null", {"type": "int", "logicalType": "date"}],
                         "e": ["null", {"type": "array", "items": ["null", {"type": "record", "name": "Record_e", "fields": [{"name": "z", "type": ["null", "int"], "default": None}]}]}]})
        self.assertEqual(list(out), ["uri"])

    def test_texts_become_values(self):
        schema = self.schema(("i", "int"), ("d", "double"), ("b", ["null", "boolean"]), ("day", {"type": "int", "logicalType": "date"}), ("at", {"type": "long", "logicalType": "timestamp-millis"}),
                             ("local", {"type": "long", "logicalType": "local-timestamp-micros"}), ("time", {"type": "int", "logicalType": "time-millis"}),
                             ("money", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 3}), ("e", {"type": "enum", "name": "e", "symbols": ["A", "B"]}), ("text", ["null", "string"]), ("n", ["null", "long"]))
        record = '{i:"7",d:"1,5",b:"On",day:"31.12.2023",at:"2024-01-02T03:04",local:"2024-01-02T03:04:05.123456",time:"03:04",money:"-12345678901234567890123456789012345,678",e:"B",text:"NA",n:"n/a",more:1}\n'
        got = self.there_and_back(record, schema=json.dumps(schema), decimalSeparator=",", dateFormat="dd.MM.yyyy", timeZoneId="Europe/Berlin")
        self.assertEqual(got, '{i:7,d:1.5e0,b:true,day:2023-12-31,at:2024-01-02T02:04:00.000Z,local:LocalDateTime::"2024-01-02T03:04:05.123456",time:LocalTime::"03:04",money:"-12345678901234567890123456789012345.678",e:"B",text:"NA",n:null}\n')
        self.assertIn("text:null", self.there_and_back(record, schema=schema, decimalSeparator=",", dateFormat="dd.MM.yyyy", inferAllFields=True))
        refused = self.tasks(record, {**self.WRITE, "schema": schema, "decimalSeparator": ",", "dateFormat": "dd.MM.yyyy", "strictSchema": True}, rc=1)
        self.assertRegex(refused, "1 fields that the schema has not")

    def test_bad_records(self):
        schema = self.schema(("i", "int"))
        self.assertRegex(self.tasks('{i:1}\n{i:"x"}\n', {**self.WRITE, "schema": schema}, rc=1), r"'x' is no int \(field 'i'\) \(record 2\)")
        for how in ("WARN", "SKIP"):
            self.assertEqual(self.there_and_back('{i:1}\n{i:"x"}\n{i:3}\n', schema=schema, onBadLines=how), "{i:1}\n{i:3}\n")
        for field, value, why in (("int", "2147483648", "no int"), ("long", "1.5e0", "no long"), ({"type": "fixed", "name": "f", "size": 2}, '"abcdef"', "fixed size"), ({"type": "array", "items": "int"}, "1", "no list"),
                                  ({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 1}, "12.34e0", "precision and scale"), ({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 1}, "1234", "precision and scale"),
                                  ("null", "1", "no null"), (["null", "int"], '"x"', "no int"), ("string", "null", "no string")):
            self.assertRegex(self.tasks("{i:%s}\n" % value, {**self.WRITE, "schema": self.schema(("i", field))}, rc=1), why)

    def test_refusals(self):
        for schema, why in (("{", "property 'schema'"), ("thing", "property 'schema'|no type"), (self.schema(("a", "thing")), "'thing' is no type"), (self.schema(("a", {"type": "enum", "name": "e"})), "needs 'symbols'"), (self.schema(("a", [])), "union of nothing"),
                            ({"type": "record", "fields": []}, "needs a 'name'"), (self.schema(("a", {"type": "array"})), "needs 'items'")):
            self.assertRegex(self.tasks("{a:1}\n", {**self.WRITE, "schema": schema}, rc=1), why)
        self.assertRegex(self.tasks("", self.WRITE, rc=1), "no records, so that no fields are known")
        self.assertRegex(self.tasks("1\n", self.WRITE, rc=1), "no maps of fields")
        self.assertRegex(self.tasks("{'a b':1}\n", self.WRITE, rc=1), "'a b' is no name in Avro")
        self.assertRegex(self.tasks(b"Obj\2", self.READ, rc=1), "this is no Avro file")
        out = self.tasks("".join(f'{{n:{i},t:"value {i}"}}\n' for i in range(3000)), self.WRITE)[0]
        good = self.stored(out["uri"])
        for at in range(0, len(good), 97):
            self.assertNotIn("sanitizer", self.tasks(good[:at], self.READ, rc=1).lower())
        for at in range(0, len(good), 1013):
            changed = good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :]
            path = self.tmp / "changed"
            path.write_bytes(changed)
            done = self.flow("id: f\nnamespace: tests\ninputs: [{id: file, type: FILE}]\ntasks:\n  - " + json.dumps({"id": "r", **self.READ}) + "\n", "-i", f"file=@{path}")
            self.assertIn(done.rc, (0, 1), done)


class AvroPeer(TableCase):
    """fastavro reads what we write, and we read what it writes, with each codec."""

    SCHEMA = """{'type': 'record', 'name': 'ns.r', 'fields': [{'name': 'n', 'type': 'long'}, {'name': 'f', 'type': 'float'}, {'name': 'b', 'type': 'bytes'}, {'name': 'fx', 'type': {'type': 'fixed', 'name': 'four', 'size': 4}},
  {'name': 'e', 'type': {'type': 'enum', 'name': 'color', 'symbols': ['RED', 'BLUE']}}, {'name': 'again', 'type': ['null', 'color']}, {'name': 'm', 'type': {'type': 'map', 'values': 'int'}}, {'name': 'list', 'type': {'type': 'array', 'items': ['null', 'string']}},
  {'name': 'd', 'type': {'type': 'bytes', 'logicalType': 'decimal', 'precision': 30, 'scale': 4}}, {'name': 'day', 'type': {'type': 'int', 'logicalType': 'date'}}, {'name': 'at', 'type': {'type': 'long', 'logicalType': 'timestamp-micros'}},
  {'name': 'time', 'type': {'type': 'long', 'logicalType': 'time-micros'}}, {'name': 'id', 'type': {'type': 'string', 'logicalType': 'uuid'}}, {'name': 'self', 'type': ['null', 'ns.r']}]}"""
    WRITE = """import datetime, decimal, fastavro, sys, uuid
def one(i, inner=None):
    return {'n': (-1) ** i * i * 10 ** 12, 'f': 0.1 * i, 'b': bytes([i % 256, 255]), 'fx': b'abcd', 'e': 'BLUE', 'again': None if i % 2 else 'RED', 'm': {'k%d' % i: i}, 'list': [None, 'x' * (i % 50)], 'd': decimal.Decimal(i * (-1) ** i) / 8,
            'day': datetime.date(1969, 12, 30) + datetime.timedelta(i), 'at': datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=i), 'time': datetime.time(1, 2, 3, 4), 'id': uuid.UUID(int=i), 'self': inner}
with open(sys.argv[1], 'wb') as f: fastavro.writer(f, fastavro.parse_schema(SCHEMA), [one(i, one(7) if i % 3 == 0 else None) for i in range(2000)], codec=sys.argv[2])"""

    def test_we_read(self):
        path, seen = self.tmp / "theirs.avro", {}
        for codec in ("null", "deflate", "snappy", "bzip2", "xz", "zstandard"):
            self.peer("SCHEMA = " + self.SCHEMA + "\n" + self.WRITE, str(path), codec)
            out = self.tasks(path.read_bytes(), {"type": AVRO + "AvroToIon", "from": "{{ inputs.file }}"})[0]
            seen[codec] = self.stored(out["uri"])
            self.assertEqual(out["size"], 2000)
            if codec in ("snappy", "bzip2", "xz"): # which have checksums
                spoilt = bytearray(path.read_bytes())
                spoilt[len(spoilt) // 2] ^= 1
                self.assertRegex(self.tasks(bytes(spoilt), {"type": AVRO + "AvroToIon", "from": "{{ inputs.file }}"}, rc=1), f"a block cannot be unpacked \\({codec}\\)")
        self.assertEqual(len(set(seen.values())), 1)
        lines = seen["null"].decode().splitlines()
        self.assertEqual(lines[1], '{n:-1000000000000,f:0.1e0,b:"Af8=",fx:"YWJjZA==",e:"BLUE",again:null,m:{k1:1},list:[null,"x"],d:-0.125e0,day:1969-12-31,at:1970-01-01T00:00:00.999999Z,time:LocalTime::"01:02:03.000004",'
                                   'id:"00000000-0000-0000-0000-000000000001",self:null}')
        self.assertTrue(lines[3].endswith('id:"00000000-0000-0000-0000-000000000007",self:null}}'), lines[3])
        self.peer("SCHEMA = " + self.SCHEMA + "\n" + self.WRITE, str(path), "bzip2")
        self.assertRegex(self.tasks(path.read_bytes().replace(b"bzip2", b"lzma5"), {"type": AVRO + "AvroToIon", "from": "{{ inputs.file }}"}, rc=1), "packed with 'lzma5'")

    def test_we_write(self):
        records = "".join('{n:%d,text:"text %d",x:%s,ok:%s,day:2024-02-29,at:2024-01-02T03:04:05.678Z,tags:["a"],deep:{k:%d}}\n' % (i, i, repr(i / 8) + "e0", "true" if i % 2 else "false", i) for i in range(5000))
        out = self.tasks(records, {"type": AVRO + "IonToAvro", "from": "{{ inputs.file }}"})[0]
        path = self.tmp / "ours.avro"
        path.write_bytes(self.stored(out["uri"]))
        lines = self.peer("import fastavro, sys\nfor r in fastavro.reader(open(sys.argv[1], 'rb')): print(r)", str(path)).decode().splitlines()
        self.assertEqual(len(lines), 5000)
        self.assertEqual(lines[4999], "{'n': 4999, 'text': 'text 4999', 'x': 624.875, 'ok': True, 'day': datetime.date(2024, 2, 29), 'at': datetime.datetime(2024, 1, 2, 3, 4, 5, 678000), 'tags': ['a'], 'deep': {'k': 4999}}")

    def test_decimals(self):
        values = ["0", "1", "-1", "1.27", "1.28", "-1.28", "-1.29", "327.67", "327.68", "-327.68", "99999999999999999999999999999999999.99", "-99999999999999999999999999999999999.99", "0.01", "-0.01"]
        for kind in ({"type": "bytes"}, {"type": "fixed", "name": "f", "size": 20}):
            schema = {"type": "record", "name": "r", "fields": [{"name": "d", "type": {**kind, "logicalType": "decimal", "precision": 38, "scale": 2}}]}
            out = self.tasks("".join(f'{{d:"{v}"}}\n' for v in values), {"type": AVRO + "IonToAvro", "from": "{{ inputs.file }}", "schema": schema})[0]
            path = self.tmp / "ours.avro"
            path.write_bytes(self.stored(out["uri"]))
            got = self.peer("import decimal, fastavro, sys\nprint([str(r['d']) for r in fastavro.reader(open(sys.argv[1], 'rb'))])", str(path)).decode()
            self.assertEqual(got.strip(), str([f"{__import__('decimal').Decimal(v):.2f}" for v in values]))


if __name__ == "__main__":
    unittest.main()

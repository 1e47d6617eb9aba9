"""Excel workbooks: there and back, beside openpyxl, and what is no workbook."""

import io
import json
import subprocess
import unittest
import zipfile

import peers
from sluice import Case

EXCEL = "io.kestra.plugin.serdes.excel."


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

    def test_texts_for_dates(self):
        out = self.tasks(self.RECORDS, {**self.WRITE, "styles": False, "dateFormat": "dd.MM.yyyy"}, {**self.READ, "from": "{{ outputs.t0.uri }}"})
        self.assertIn('day:"29.02.2024"', self.stored(out[1]["uris"]["Sheet"]).decode())

    def test_refusals(self):
        self.assertRegex(self.tasks(b"PK this is none", self.READ, rc=1), "an Excel workbook .* was expected")
        self.assertRegex(self.tasks(workbook(""), {**self.READ, "sheetsTitle": ["Two"]}, rc=1), "no sheet 'Two'; its first is 'One'")
        self.assertRegex(self.tasks(workbook(""), {**self.READ, "valueRender": "FORMATTED_VALUE"}, rc=1), "not supported")
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


if __name__ == "__main__":
    unittest.main()

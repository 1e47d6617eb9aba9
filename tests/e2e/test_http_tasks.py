"""What http.Request and Download send, and what they make of answers: bodies, forms with files, encodings, names."""

import email.parser
import email.policy
import gzip
import json
import unittest
import urllib.parse

from scripted import Scripted
from sluice import Case

REQUEST, DOWNLOAD, EVENTS = (f"io.kestra.plugin.core.http.{t}" for t in ("Request", "Download", "SseRequest"))


def form(request):
    """The parts of a multipart body as Python's mail parser reads them: name -> (file name, bytes)."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    return {p.get_param("name", header="content-disposition"): (p.get_filename(), p.get_payload(decode=True)) for p in message.iter_parts()}


class HttpTasks(Case):
    def task(self, kind, server, path="/", before="", rc=0, **properties):
        one = json.dumps({"id": "h", "type": kind, "uri": server.url + path, **properties})
        done = self.flow(f"id: f\nnamespace: n\ntasks:\n{before}  - {one}\n", "--output", "json")
        self.assertEqual(done.rc, rc, done)
        return json.loads(done.out)["taskRuns"][-1].get("outputs", {}), done.err

    def test_bodies(self):
        with Scripted(lambda r: (200, {}, b"{}")) as s:
            for properties, sent, kind in [
                ({"body": {"a": 1, "b": ["{{ 'x' ~ 'y' }}", None]}}, b'{"a":1,"b":["xy",null]}', "application/json"),
                ({"body": [1, 2]}, b"[1,2]", "application/json"),
                ({"body": "text"}, b"text", "application/json"),
                ({"body": "<a/>", "contentType": "text/xml"}, b"<a/>", "text/xml"),
                ({"body": "\u00e9", "contentType": "text/plain", "options": {"defaultCharset": "ISO-8859-1"}}, b"\xe9", "text/plain; charset=ISO-8859-1"),
                ({"body": "\u00e9", "contentType": "text/plain; charset=latin1", "options": {"defaultCharset": "latin1"}}, b"\xe9", "text/plain; charset=latin1"),
                ({"formData": {"a": "b c", "l": [1, "\u00e9&"]}}, b"a=b%20c&l=1&l=%C3%A9%26", "application/x-www-form-urlencoded"),
                ({}, b"", None),
            ]:
                with self.subTest(properties):
                    self.task(REQUEST, s, method="POST", **properties)
                    self.assertEqual((s.requests[-1].body, s.requests[-1].headers.get("content-type")), (sent, kind))
            out, err = self.task(REQUEST, s, rc=1, method="POST", body="\u20ac", options={"defaultCharset": "ISO-8859-1"})
            self.assertIn("the body in ISO-8859-1", err)
            _, err = self.task(REQUEST, s, rc=1, method="POST", body="x", options={"defaultCharset": "no-such"})
            self.assertIn("'no-such' is not known here", err)

    def test_a_form_with_files(self):
        answers = [503, 200]  # what is sent again is the whole of it
        write = "  - {id: w, type: io.kestra.plugin.core.storage.Write, content: \"a,b\\n1,2\\n\", extension: .csv}\n"
        with Scripted(lambda r: (answers.pop(0), {"Retry-After": "0"}, b"taken")) as s:
            out, _ = self.task(REQUEST, s, before=write, method="PUT", contentType="multipart/form-data", formData={
                "file": "{{ outputs.w.uri }}", "named": {"name": "a \"b\".csv", "content": "{{ outputs.w.uri }}"}, "text": "\u00e9\r\nx", "n": 3, "map": {"k": [1]}, "q\"k": "",
            })
            self.assertEqual(out["body"], "taken")
            self.assertEqual(len(s.requests), 2)
            for request in s.requests:
                parts = form(request)
                name, content = parts.pop("file")
                self.assertTrue(name.endswith(".csv"), name)
                self.assertEqual(content, b"a,b\n1,2\n")
                self.assertEqual(parts, {"named": ("a %22b%22.csv", b"a,b\n1,2\n"), "text": (None, "\u00e9\r\nx".encode()), "n": (None, b"3"), "map": (None, b'{"k":[1]}'), "q%22k": (None, b"")})
        with Scripted(lambda r: (200, {}, b"")) as s:
            _, err = self.task(REQUEST, s, rc=1, method="POST", contentType="multipart/form-data", formData={"f": "kestra:///n/f/none.csv"})
            self.assertIn("the form's field 'f'", err)
            self.assertEqual(s.requests, [])

    def test_addresses(self):
        with Scripted(lambda r: (302, {"Location": "/there"}, b"") if r.path == "/here" else (200, {}, b"ok")) as s:
            out, _ = self.task(REQUEST, s, "/a b/\u00e9%20?x={1}", params={"l": [1, 2], "t": "a&b"})
            self.assertEqual(s.requests[-1].path, "/a%20b/%C3%A9%20")
            self.assertEqual(out["uri"], s.url + "/a%20b/%C3%A9%20?x=%7B1%7D&l=1&l=2&t=a%26b")
            out, _ = self.task(REQUEST, s, "/here")
            self.assertEqual((out["uri"], out["body"], s.requests[-1].path), (s.url + "/here", "ok", "/there"))

    def test_answers_as_text(self):
        for headers, body, options, text, warned in [
            ({"Content-Type": "text/plain; charset=ISO-8859-1"}, b"\xe9", {}, "\u00e9", False),
            ({"Content-Type": 'text/plain; charset="windows-1252"'}, b"\x80", {}, "\u20ac", False),
            ({"Content-Type": "text/plain"}, b"\xe9", {"defaultCharset": "ISO-8859-1"}, "\u00e9", False),
            ({"Content-Type": "text/plain; charset=unheard-of"}, "\u00e9".encode(), {}, "\u00e9", False),
            ({"Content-Type": "application/octet-stream"}, b"a\xff\xc3\xa4\xe2\x82b", {}, "a\ufffd\u00e4\ufffd\ufffdb", True),
            ({"Content-Encoding": "gzip"}, gzip.compress(b"packed"), {}, "packed", False),
        ]:
            with self.subTest(headers), Scripted(lambda r: (200, headers, body)) as s:
                out, err = self.task(REQUEST, s, options=options)
                self.assertEqual(out["body"], text)
                self.assertEqual("is not text" in err, warned, err)
                self.assertNotIn("content-encoding", out["headers"])
        with Scripted(lambda r: (204, {}, b"")) as s:
            self.assertNotIn("body", self.task(REQUEST, s)[0])
            self.assertNotIn("body", self.task(REQUEST, s, method="HEAD")[0])

    def test_downloads_that_come_packed(self):
        plain = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(200000))
        packed = gzip.compress(plain[:1000]) + gzip.compress(plain[1000:])
        with Scripted(lambda r: (200, {"Content-Encoding": "gzip"} if r.path == "/packed" else {}, packed)) as s:
            out, _ = self.task(DOWNLOAD, s, "/packed")
            self.assertEqual((out["length"], self.content(out["uri"])), (len(plain), plain))
            self.assertNotIn("content-encoding", out["headers"])
            out, _ = self.task(DOWNLOAD, s, "/file.csv.gz")  # a packed file is a file
            self.assertEqual((out["length"], self.content(out["uri"])), (len(packed), packed))
        for damaged in [packed[:-5], packed[:500], packed + b"more", b"no gzip"]:
            with self.subTest(len(damaged)), Scripted(lambda r: (200, {"Content-Encoding": "gzip"}, damaged)) as s:
                out, err = self.task(DOWNLOAD, s, rc=1)
                self.assertNotIn("uri", out)
                self.assertIn("gzip", err)

    def test_names_of_downloads(self):
        for header, properties, name in [
            ('attachment; filename="x y.csv"', {}, "x y.csv"), ("attachment; filename=plain.csv", {}, "plain.csv"), ('attachment; filename="../../x"', {}, "download.csv"),
            ('attachment; filename="a/b.csv"', {}, "a_b.csv"), ("attachment", {}, "download.csv"), ('attachment; filename="x.csv"', {"saveAs": "mine.txt"}, "mine.txt"),
        ]:
            with self.subTest(header), Scripted(lambda r: (200, {"Content-Disposition": header}, b"1")) as s:
                out, _ = self.task(DOWNLOAD, s, "/d.csv?x=1", **properties)
                self.assertEqual(self.file(out["uri"]).name, name)
        with Scripted(lambda r: (200, {"Content-Disposition": "attachment; filename=empty.csv"}, b"")) as s:
            out, _ = self.task(DOWNLOAD, s, failOnEmptyResponse=False)
            self.assertEqual((out["length"], self.file(out["uri"]).name, self.content(out["uri"])), (0, "empty.csv", b""))

    def test_events(self):
        sent = b"""\xef\xbb\xbf: hi\n\nevent: m\nid: 7\nretry: 1500\ndata: {"message": "a", "n": 1}\n\ndata: x\r\ndata:  y\r\n\r\ndata:12\rid\r\rid: 9\n\ndata\n\ndata: cut off"""
        with Scripted(lambda r: (200, {"Content-Type": "text/event-stream"}, sent)) as s:
            out, _ = self.task(EVENTS, s)
            self.assertEqual(s.requests[-1].headers["accept"], "text/event-stream")
            self.assertEqual((out["size"], out["events"]), (4, [
                {"data": {"message": "a", "n": 1}, "name": "m", "id": "7", "retry": 1.5}, {"data": "x\n y"}, {"data": 12, "id": ""}, {"data": ""},
            ]))
            out, _ = self.task(EVENTS, s, concatJqExpression=".data.message # of some", failedOnMissingJq=False)
            self.assertEqual((out["size"], out["result"], "events" in out), (4, "a", False))
            _, err = self.task(EVENTS, s, rc=1, concatJqExpression=".data.message?")
            self.assertIn("gives nothing for the event number 2, {\"data\":\"x\\n y\"}, and not a text", err)
            _, err = self.task(EVENTS, s, rc=1, concatJqExpression=".data |")
            self.assertIn("property 'concatJqExpression'", err)
            _, err = self.task(EVENTS, s, rc=1, options={"maxContentLength": 20})
            self.assertIn("the events are more than 20 bytes", err)
        with Scripted(lambda r: (200, {"Content-Type": "text/event-stream"}, b"".join(b"data: %d\n\n" % i for i in range(5000)))) as s:
            out, _ = self.task(EVENTS, s, concatJqExpression=".data")
            self.assertEqual((out["size"], out["result"]), (5000, "".join(map(str, range(5000)))))
        with Scripted(lambda r: (404, {}, b"not here")) as s:
            _, err = self.task(EVENTS, s, rc=1)
            self.assertIn("response code '404'", err)
            out, _ = self.task(EVENTS, s, allowFailed=True)
            self.assertEqual((out["size"], out["events"]), (0, []))
        with Scripted(lambda r: (200, {"Content-Type": "text/html"}, b"<p>")) as s:
            _, err = self.task(EVENTS, s)
            self.assertIn("did not send events, but 'text/html'", err)

    def file(self, uri):
        found = [p for p in self.data.rglob(urllib.parse.unquote(uri.rsplit("/", 1)[1])) if p.is_file() and uri.split("/")[-2] in p.parts]
        self.assertEqual(len(found), 1, (uri, found))
        return found[0]

    def content(self, uri):
        return self.file(uri).read_bytes()


if __name__ == "__main__":
    unittest.main()

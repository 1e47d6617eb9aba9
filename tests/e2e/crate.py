"""CrateDB as its recorded answers show it, over HTTP and the PostgreSQL protocol; SQLite does the SQL. No CrateDB can be had here."""

import csv
import gzip
import json
import pathlib
import re
import socket
import sqlite3
import struct
import threading

from scripted import Scripted

# name: (id over HTTP, OID over the wire)
TYPES = {"INTEGER": (9, 23), "BIGINT": (10, 20), "TEXT": (4, 1043), "DOUBLE PRECISION": (6, 701), "BOOLEAN": (3, 16), "TIMESTAMP WITH TIME ZONE": (11, 1184), "TIMESTAMP": (15, 1114), "OBJECT": (12, 114)}


class Refused(Exception):
    def __init__(self, status, code, state, message):
        super().__init__(message)
        self.status, self.code, self.state = status, code, state


class Crate:
    def __init__(self):
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.execute("ATTACH ':memory:' AS doc")
        self.lock, self.types, self.statements, self.lose = threading.RLock(), {}, [], None
        self.http = Scripted(self.answer)
        self.url = self.http.url
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    # ---- statements ----

    def run(self, text, args=()):
        """(columns [(name, type)], rows, count, verb)"""
        sql = text.strip().rstrip(";")
        verb = re.match(r"\w+", sql).group(0).upper()
        with self.lock:
            self.statements.append(sql)
            if verb in ("BEGIN", "REFRESH", "SET"):
                return [], [], 1, verb
            if verb in ("ROLLBACK", "MERGE") or re.search(r"FROM STDIN", sql, re.I):
                raise Refused(400, 4000, "42601", f"line 1:1: mismatched input '{verb}' expecting {{<EOF>, 'SELECT'}}")
            if verb == "COPY":
                return self.copy(sql)
            if verb == "CREATE":
                for name, kind in re.findall(r"[(,]\s*\"?(\w+)\"?\s+(TIMESTAMP WITH TIME ZONE|DOUBLE PRECISION|\w+)", sql, re.I):
                    self.types[name.lower()] = kind.upper()
            try:
                cursor = self.db.execute(re.sub(r"\$(\d+)", r"?\1", sql), [json.dumps(a) if isinstance(a, (dict, list)) else a for a in args])
            except sqlite3.IntegrityError:
                raise Refused(409, 4091, "23505", "A document with the same primary key exists already") from None
            except sqlite3.OperationalError as e:
                unknown = re.match(r"no such (table|column): (\S+)", str(e))
                if unknown and unknown.group(1) == "table":
                    raise Refused(404, 4041, "42P01", f"Relation '{unknown.group(2)}' unknown") from None
                raise Refused(404 if unknown else 400, 4043 if unknown else 4000, "42703" if unknown else "42601", f"Column {unknown.group(2)} unknown" if unknown else str(e)) from None
            columns = [(c[0], self.types.get(c[0].lower(), "BIGINT" if c[0] in ("n", "count") else "TEXT")) for c in cursor.description or []]
            rows = [[self.shown(v, t) for v, (_, t) in zip(row, columns)] for row in cursor.fetchall()]
            return columns, rows, len(rows) if columns else cursor.rowcount if verb in ("INSERT", "UPDATE", "DELETE") else 1, verb

    def shown(self, value, kind):
        if kind == "OBJECT" and value is not None:
            return json.loads(value)
        return bool(value) if kind == "BOOLEAN" and value is not None else value

    def copy(self, sql):
        """Headers are matched with their case; what does not fit is left out, and only a summary tells."""
        found = re.match(r"COPY\s+(\S+)\s+FROM\s+'file://([^']+)'(.*)", sql, re.I | re.S)
        raw = pathlib.Path(found.group(2)).read_bytes()
        lines = list(csv.reader((gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode().splitlines()))
        known = {r[1] for r in self.db.execute(f"PRAGMA {found.group(1).split('.')[0]}.table_info({found.group(1).split('.')[1]})")}
        wrong = [h for h in lines[0] if h not in known]
        errors = {f"Column {wrong[0]} unknown": {"count": len(lines) - 1, "line_numbers": list(range(2, min(len(lines), 30) + 1))}} if wrong else {}
        for row in [] if wrong else lines[1:]:
            self.db.execute(f"INSERT INTO {found.group(1)} ({', '.join(lines[0])}) VALUES ({', '.join('?' * len(row))})", row)
        good = 0 if wrong else len(lines) - 1
        if not re.search(r"RETURN\s+SUMMARY\s*$", sql, re.I):
            return [], [], good, "COPY"
        columns = [("node", "OBJECT"), ("uri", "TEXT"), ("success_count", "BIGINT"), ("error_count", "BIGINT"), ("errors", "OBJECT")]
        return columns, [[{"name": "one"}, f"file://{found.group(2)}", good, len(lines) - 1 - good, errors]], 1, "COPY"

    # ---- HTTP ----

    def answer(self, r):
        body = r.json()
        try:
            if r.headers.get("authorization") != "Basic Y3JhdGU6c2VjcmV0":  # crate:secret
                raise Refused(401, 4011, "28000", "Invalid authentication")
            if "bulk_args" in body:
                return 200, {}, {"cols": [], "duration": 1.0, "results": [self.one_of_many(body["stmt"], args) for args in body["bulk_args"]]}
            columns, rows, count, _ = self.run(body["stmt"], body.get("args", ()))
        except Refused as e:
            return e.status, {}, {"error": {"message": f"Exception[{e}]", "code": e.code}}
        return 200, {}, {"cols": [c for c, _ in columns], **({"col_types": [TYPES[t][0] for _, t in columns]} if "types" in r.query else {}), "rows": rows if columns else [[]], "rowcount": count, "duration": 1.0}

    def one_of_many(self, statement, args):
        try:
            return {"rowcount": self.run(statement, args)[2]}
        except Refused as e:
            return {"rowcount": -2, "error": {"code": e.code, "message": f"Exception[{e}]"}}

    # ---- the wire ----

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        f = client.makefile("rb")

        def send(kind, data=b""):
            client.sendall(kind + struct.pack(">I", len(data) + 4) + data)

        def text(s):
            return s.encode() + b"\0"

        def describe(columns):
            send(b"T", struct.pack(">H", len(columns)) + b"".join(text(n) + struct.pack(">IHIhih", 0, 0, TYPES[t][1], -1, -1, 0) for n, t in columns)) if columns else send(b"n")

        def rows_of(columns, rows, count, verb):
            for row in rows:
                cells = [None if v is None else (json.dumps(v) if isinstance(v, (dict, list)) else {True: "t", False: "f"}.get(v, str(v)) if isinstance(v, bool) else str(v)).encode() for v in row]
                send(b"D", struct.pack(">H", len(cells)) + b"".join(struct.pack(">i", -1) if c is None else struct.pack(">I", len(c)) + c for c in cells))
            send(b"C", text(f"INSERT 0 {count}" if verb == "INSERT" else f"{verb} {count}"))

        def refuse(e):
            send(b"E", b"SERROR\0VERROR\0C" + text(e.state) + b"M" + text(str(e)) + b"W" + text("(a stack trace of some thirty lines)") + b"\0")

        try:
            while True:
                n = struct.unpack(">I", f.read(4))[0]
                code = struct.unpack(">I", f.read(4))[0]
                f.read(n - 8)
                if code == 196608:
                    break
                client.sendall(b"N")  # neither TLS nor GSS
            send(b"R", struct.pack(">I", 0))
            for name, value in {"server_version": "14.0", "server_encoding": "UTF8", "client_encoding": "UTF8", "TimeZone": "UTC", "integer_datetimes": "on", "standard_conforming_strings": "on", "crate_version": "6.4.3"}.items():
                send(b"S", text(name) + text(value))
            send(b"K", struct.pack(">II", 25, 0))
            send(b"Z", b"I")
            sql, args, result, failed = "", [], None, False
            while kind := f.read(1):
                data = f.read(struct.unpack(">I", f.read(4))[0] - 4)
                try:
                    if kind == b"Q":
                        result = self.run(data[:-1].decode())
                        describe(result[0]) if result[0] else None
                        rows_of(*result)
                        send(b"Z", b"I")
                    elif kind == b"S":
                        failed = False
                        send(b"Z", b"I")
                    elif kind == b"X":
                        return
                    elif failed:
                        continue
                    elif kind == b"P":
                        sql = data.split(b"\0")[1].decode()
                        send(b"1")
                    elif kind == b"B":
                        rest = data.split(b"\0", 2)[2]
                        at = 2 + 2 * struct.unpack(">H", rest[:2])[0]
                        count, at, args = struct.unpack(">H", rest[at : at + 2])[0], at + 2, []
                        for _ in range(count):
                            size = struct.unpack(">i", rest[at : at + 4])[0]
                            at += 4
                            args.append(None if size < 0 else rest[at : at + size].decode())
                            at += max(size, 0)
                        send(b"2")
                    elif kind == b"D":
                        result = self.run(sql, args)
                        describe(result[0])
                    elif kind == b"E":
                        rows_of(*result)
                except Refused as e:
                    refuse(e)
                    failed = kind != b"Q"
                    if kind == b"Q":
                        send(b"Z", b"I")
        except (OSError, struct.error):
            pass
        finally:
            client.close()

    def rows(self, sql):
        with self.lock:
            return self.db.execute(sql).fetchall()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.__exit__()
        self.listener.close()

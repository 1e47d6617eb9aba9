"""Third-party servers and clients: where tools/get-peers has put them, how each is started."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(os.environ.get("PEERS", "/nonexistent"))
AUTHLIB = FOLDER / "authlib" / "bin" / "python"
FAKE_GCS = FOLDER / "fake-gcs-server" / "bin" / "fake-gcs-server"
GCS_EMULATOR = FOLDER / "gcp-storage-emulator" / "bin" / "gcp-storage-emulator"
BQEMULATOR = FOLDER / "bqemulator" / "bin" / "bqemulator"
GSUTIL = FOLDER / "gsutil" / "bin" / "gsutil"
VERSITYGW = FOLDER / "versitygw" / "bin" / "versitygw"
MINIO = FOLDER / "minio" / "bin" / "minio"
S5CMD = FOLDER / "s5cmd" / "bin" / "s5cmd"
MOTO = FOLDER / "moto" / "bin" / "moto_server"
AWS = FOLDER / "aws-clients" / "bin" / "aws"
TABLES = FOLDER / "tables" / "bin" / "python"
BOTO3 = FOLDER / "boto3" / "bin" / "python"
DYNAMODB_LOCAL = FOLDER / "dynamodb-local"


def missing(path):
    return f"SKIPPED: {path.name} is not installed; tools/get-peers installs it"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, seconds=30):
    """Any HTTP answer counts."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as e:
            e.close()
            return
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"{url} does not answer")
            time.sleep(0.05)


@contextlib.contextmanager
def running(command, ready, log, env=None):
    with open(log, "wb") as out:
        p = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
    try:
        try:
            wait_for(ready)
        except RuntimeError as e:
            raise RuntimeError(f"{e}: {pathlib.Path(log).read_text()[-2000:]}") from None
        yield p
    finally:
        p.terminate()
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


@contextlib.contextmanager
def fake_gcs(folder):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [FAKE_GCS, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}", "-external-url", url]
    with running(command, url + "/_internal/healthcheck", folder / "fake-gcs.log"):
        yield url


@contextlib.contextmanager
def gcs_emulator(folder):
    port = free_port()
    with running([GCS_EMULATOR, "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"], f"http://127.0.0.1:{port}/", folder / "gcs-emulator.log"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def bqemulator(folder):
    rest, grpc = free_port(), free_port()
    (folder / "gcs-root").mkdir()
    env = {"BQEMU_GCS_LOCAL_ROOT": str(folder / "gcs-root"), "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false", "HOME": str(FOLDER / "bqemulator")}
    with running([BQEMULATOR, "start", "--rest-port", str(rest), "--grpc-port", str(grpc)], f"http://127.0.0.1:{rest}/bigquery/v2/projects/p1/datasets", folder / "bqemulator.log", env):
        yield f"http://127.0.0.1:{rest}"


@contextlib.contextmanager
def versitygw(folder, key="peer-key", secret="peer-secret"):
    port = free_port()
    for name in ("objects", "sidecar"):
        (folder / name).mkdir(exist_ok=True)
    command = [VERSITYGW, "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", folder / "sidecar", folder / "objects"]
    with running(command, f"http://127.0.0.1:{port}/", folder / "versitygw.log", {"ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret}):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def minio(folder, key="peer-key", secret="peer-secret"):
    port = free_port()
    (folder / "objects").mkdir(exist_ok=True)
    command = [MINIO, "server", "--quiet", "--address", f"127.0.0.1:{port}", folder / "objects"]
    env = {"MINIO_ROOT_USER": key, "MINIO_ROOT_PASSWORD": secret, "MINIO_SITE_REGION": "us-east-1", "MINIO_UPDATE": "off", "MINIO_BROWSER": "off", "HOME": str(folder)}
    with running(command, f"http://127.0.0.1:{port}/minio/health/ready", folder / "minio.log", env):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def moto(folder, free_calls):
    """free_calls: so many calls need no authorization; those that follow are checked as AWS would."""
    port = free_port()
    with running([MOTO, "-H", "127.0.0.1", "-p", str(port)], f"http://127.0.0.1:{port}/moto-api/", folder / "moto.log", {"INITIAL_NO_AUTH_ACTION_COUNT": str(free_calls)}):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def dynamodb_local(folder):
    port = free_port()
    lib = DYNAMODB_LOCAL / "lib"
    command = ["java", f"-Djava.library.path={lib}", "-cp", f"{lib}/*", "com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/", folder / "dynamodb.log"):
        yield f"http://127.0.0.1:{port}"


class Postgres:
    """A server of Debian's PostgreSQL with a folder of its own; TLS with a certificate made here."""

    def __init__(self, password="secret pass'word", within=None):
        self.password = password
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-pg-", dir=within))
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.port = free_port()
        try:
            self.make()
        except BaseException:
            self.stop()
            raise

    def make(self):
        (self.folder / "password").write_text(self.password + "\n")
        certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        self.run([*certificate, "-keyout", str(self.folder / "server.key"), "-out", str(self.folder / "server.crt")])
        self.run([POSTGRES / "initdb", "-D", str(self.folder / "data"), "-U", "root", "-A", "scram-sha-256", "--pwfile", str(self.folder / "password"), "-N", "-E", "UTF8", "--no-locale"])
        with open(self.folder / "data" / "postgresql.conf", "a") as f:
            f.write(f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{self.folder}'\nfsync=off\ntimezone='UTC'\nssl=on\nssl_cert_file='{self.folder}/server.crt'\nssl_key_file='{self.folder}/server.key'\n")
        self.run([POSTGRES / "pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "start"])

    def run(self, command):
        done = subprocess.run([*self.user, *map(str, command)], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")

    @property
    def url(self):
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def psql(self, sql, database="postgres"):
        env = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run([POSTGRES / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "root", "-d", database, "-Atqc", sql], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self):
        subprocess.run([*self.user, str(POSTGRES / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "stop"], cwd="/", capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


# The newest that Debian has installed.
POSTGRES = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), default=FOLDER / "postgresql")

"""Amazon's own client against the local cloud: run with the Python that has boto3, the settings of `sluice local env` in the environment."""

import base64
import datetime
import hashlib
import hmac
import io
import os
import sys
import time
import unittest
import urllib.error
import urllib.request
import zlib

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
from botocore.config import Config
from boto3.s3.transfer import TransferConfig


class Streaming(botocore.auth.S3SigV4Auth):
    """The word that stands for the body's hash is set by the caller."""

    def payload(self, request):
        return request.headers["x-amz-content-sha256"]

    def _modify_request_before_signing(self, request):
        kind = request.headers["x-amz-content-sha256"]
        super()._modify_request_before_signing(request)
        del request.headers["x-amz-content-sha256"]
        request.headers["x-amz-content-sha256"] = kind


def code(call, *args, **kw):
    try:
        call(*args, **kw)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


class S3(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s3 = boto3.client("s3")
        cls.s3.create_bucket(Bucket="boto-bucket")

    def client(self, **config):
        return boto3.client("s3", config=Config(**config))

    def test_objects(self):
        key = "dir/ä b+c&d=é'~(*)!.txt"
        put = self.s3.put_object(Bucket="boto-bucket", Key=key, Body=b"hello", ContentType="text/plain", Metadata={"one": "1"}, CacheControl="no-store")
        self.assertEqual(put["ETag"], '"' + hashlib.md5(b"hello").hexdigest() + '"')
        got = self.s3.get_object(Bucket="boto-bucket", Key=key, ChecksumMode="ENABLED")
        self.assertEqual((got["Body"].read(), got["ContentType"], got["Metadata"], got["CacheControl"]), (b"hello", "text/plain", {"one": "1"}, "no-store"))
        self.assertNotIn("ContentEncoding", got)
        self.assertEqual(got["ChecksumCRC32"], put["ChecksumCRC32"])
        part = self.s3.get_object(Bucket="boto-bucket", Key=key, Range="bytes=1-3")
        self.assertEqual((part["Body"].read(), part["ContentRange"]), (b"ell", "bytes 1-3/5"))
        self.assertEqual(self.s3.get_object(Bucket="boto-bucket", Key=key, Range="bytes=-2")["Body"].read(), b"lo")
        self.assertEqual(code(self.s3.get_object, Bucket="boto-bucket", Key=key, Range="bytes=9-"), ("InvalidRange", 416))
        head = self.s3.head_object(Bucket="boto-bucket", Key=key)
        self.assertEqual(head["ContentLength"], 5)
        self.assertLess(abs(head["LastModified"] - datetime.datetime.now(datetime.timezone.utc)), datetime.timedelta(seconds=60))
        self.assertEqual(code(self.s3.head_object, Bucket="boto-bucket", Key="none"), ("404", 404))
        self.s3.delete_object(Bucket="boto-bucket", Key=key)
        self.assertEqual(code(self.s3.get_object, Bucket="boto-bucket", Key=key), ("NoSuchKey", 404))

    def test_conditions(self):
        key = "conditions"
        etag = self.s3.put_object(Bucket="boto-bucket", Key=key, Body=b"1", IfNoneMatch="*")["ETag"]
        self.assertEqual(code(self.s3.put_object, Bucket="boto-bucket", Key=key, Body=b"2", IfNoneMatch="*"), ("PreconditionFailed", 412))
        self.assertEqual(code(self.s3.put_object, Bucket="boto-bucket", Key=key, Body=b"2", IfMatch='"0"'), ("PreconditionFailed", 412))
        self.s3.put_object(Bucket="boto-bucket", Key=key, Body=b"2", IfMatch=etag)
        self.assertEqual(code(self.s3.get_object, Bucket="boto-bucket", Key=key, IfMatch=etag), ("PreconditionFailed", 412))
        now = self.s3.head_object(Bucket="boto-bucket", Key=key)
        self.assertEqual(code(self.s3.get_object, Bucket="boto-bucket", Key=key, IfNoneMatch=now["ETag"]), ("304", 304))
        self.assertEqual(code(self.s3.get_object, Bucket="boto-bucket", Key=key, IfModifiedSince=now["LastModified"]), ("304", 304))

    def test_multipart(self):
        data = os.urandom(13_000_000)
        self.s3.upload_fileobj(io.BytesIO(data), "boto-bucket", "multi", ExtraArgs={"Metadata": {"kind": "multi"}}, Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
        back = io.BytesIO()
        self.s3.download_fileobj("boto-bucket", "multi", back, Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
        self.assertEqual(back.getvalue(), data)
        head = self.s3.head_object(Bucket="boto-bucket", Key="multi", ChecksumMode="ENABLED")
        self.assertTrue(head["ETag"].endswith('-3"'))
        self.assertEqual(head["Metadata"], {"kind": "multi"})
        upload = self.s3.create_multipart_upload(Bucket="boto-bucket", Key="open", ChecksumAlgorithm="SHA256")["UploadId"]
        one = self.s3.upload_part(Bucket="boto-bucket", Key="open", UploadId=upload, PartNumber=1, Body=data[: 5 << 20], ChecksumAlgorithm="SHA256")
        self.s3.upload_part_copy(Bucket="boto-bucket", Key="open", UploadId=upload, PartNumber=2, CopySource="boto-bucket/multi", CopySourceRange="bytes=0-99")
        listed = self.s3.list_parts(Bucket="boto-bucket", Key="open", UploadId=upload)["Parts"]
        self.assertEqual([(p["PartNumber"], p["Size"]) for p in listed], [(1, 5 << 20), (2, 100)])
        self.assertEqual(listed[0]["ChecksumSHA256"], base64.b64encode(hashlib.sha256(data[: 5 << 20]).digest()).decode())
        self.assertEqual([u["Key"] for u in self.s3.list_multipart_uploads(Bucket="boto-bucket")["Uploads"]], ["open"])
        parts = [{"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": '"0"'}]
        self.assertEqual(code(self.s3.complete_multipart_upload, Bucket="boto-bucket", Key="open", UploadId=upload, MultipartUpload={"Parts": parts}), ("InvalidPart", 400))
        parts[1]["ETag"] = listed[1]["ETag"]
        self.assertEqual(code(self.s3.complete_multipart_upload, Bucket="boto-bucket", Key="open", UploadId=upload, MultipartUpload={"Parts": parts[::-1]}), ("InvalidPartOrder", 400))
        self.s3.complete_multipart_upload(Bucket="boto-bucket", Key="open", UploadId=upload, MultipartUpload={"Parts": parts})
        self.assertEqual(self.s3.get_object(Bucket="boto-bucket", Key="open")["Body"].read(), data[: 5 << 20] + data[:100])
        self.assertEqual(code(self.s3.list_parts, Bucket="boto-bucket", Key="open", UploadId=upload), ("NoSuchUpload", 404))
        upload = self.s3.create_multipart_upload(Bucket="boto-bucket", Key="gone")["UploadId"]
        self.s3.abort_multipart_upload(Bucket="boto-bucket", Key="gone", UploadId=upload)
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket="boto-bucket"))

    def test_listing(self):
        self.s3.create_bucket(Bucket="list-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        names = [f"a/{i:04}" for i in range(25)] + ["b", "c/d/e", "c/f", "z +%&\x7f"]
        for name in names:
            self.s3.put_object(Bucket="list-bucket", Key=name, Body=b"x")
        for operation in ("list_objects_v2", "list_objects"):
            pages = list(self.s3.get_paginator(operation).paginate(Bucket="list-bucket", PaginationConfig={"PageSize": 10}))
            self.assertEqual([len(p["Contents"]) for p in pages], [10, 10, 9])
            self.assertEqual([o["Key"] for p in pages for o in p["Contents"]], names)
            pages = list(self.s3.get_paginator(operation).paginate(Bucket="list-bucket", Delimiter="/", PaginationConfig={"PageSize": 2}))
            self.assertEqual([c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["a/", "c/"])
            self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])], ["b", names[-1]])
        self.assertEqual([o["Key"] for o in self.s3.list_objects_v2(Bucket="list-bucket", Prefix="c/", StartAfter="c/d/e")["Contents"]], ["c/f"])
        self.assertEqual(self.s3.get_bucket_location(Bucket="list-bucket")["LocationConstraint"], "eu-west-1")
        self.assertEqual(code(self.s3.delete_bucket, Bucket="list-bucket"), ("BucketNotEmpty", 409))
        done = self.s3.delete_objects(Bucket="list-bucket", Delete={"Objects": [{"Key": n} for n in names]})
        self.assertEqual(len(done["Deleted"]), len(names))
        self.s3.delete_bucket(Bucket="list-bucket")
        self.assertEqual(code(self.s3.list_objects_v2, Bucket="list-bucket"), ("NoSuchBucket", 404))
        self.assertIn("boto-bucket", [b["Name"] for b in self.s3.list_buckets()["Buckets"]])
        self.assertEqual(code(self.s3.create_bucket, Bucket="Not_A_Name"), ("InvalidBucketName", 400))

    def test_copy(self):
        self.s3.put_object(Bucket="boto-bucket", Key="from here", Body=b"copied", ContentType="text/csv", Metadata={"m": "1"})
        self.s3.copy_object(Bucket="boto-bucket", Key="to here", CopySource={"Bucket": "boto-bucket", "Key": "from here"})
        got = self.s3.get_object(Bucket="boto-bucket", Key="to here")
        self.assertEqual((got["Body"].read(), got["ContentType"], got["Metadata"]), (b"copied", "text/csv", {"m": "1"}))
        self.s3.copy_object(Bucket="boto-bucket", Key="to here", CopySource={"Bucket": "boto-bucket", "Key": "to here"}, MetadataDirective="REPLACE", Metadata={"m": "2"})
        self.assertEqual(self.s3.head_object(Bucket="boto-bucket", Key="to here")["Metadata"], {"m": "2"})
        self.assertEqual(code(self.s3.copy_object, Bucket="boto-bucket", Key="to here", CopySource="boto-bucket/none"), ("NoSuchKey", 404))

    def test_versions(self):
        s3, bucket = self.s3, "versions-bucket"
        s3.create_bucket(Bucket=bucket)
        self.assertNotIn("Status", s3.get_bucket_versioning(Bucket=bucket))
        self.assertNotIn("VersionId", s3.put_object(Bucket=bucket, Key="a", Body=b"zero"))
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self.assertEqual(s3.get_bucket_versioning(Bucket=bucket)["Status"], "Enabled")
        one = s3.put_object(Bucket=bucket, Key="a", Body=b"one")["VersionId"]
        two = s3.put_object(Bucket=bucket, Key="a", Body=b"two")["VersionId"]
        read = lambda **kw: s3.get_object(Bucket=bucket, Key="a", **kw)["Body"].read()
        self.assertEqual((read(), read(VersionId=one), read(VersionId=two), read(VersionId="null")), (b"two", b"one", b"two", b"zero"))
        self.assertEqual(s3.head_object(Bucket=bucket, Key="a")["VersionId"], two)
        self.assertEqual(code(s3.get_object, Bucket=bucket, Key="a", VersionId="none"), ("NoSuchVersion", 404))
        gone = s3.delete_object(Bucket=bucket, Key="a")
        self.assertTrue(gone["DeleteMarker"])
        self.assertEqual(code(s3.get_object, Bucket=bucket, Key="a"), ("NoSuchKey", 404))
        self.assertEqual(code(s3.get_object, Bucket=bucket, Key="a", VersionId=gone["VersionId"]), ("MethodNotAllowed", 405))
        self.assertNotIn("Contents", s3.list_objects_v2(Bucket=bucket))
        s3.put_object(Bucket=bucket, Key="b/c", Body=b"x")
        for size in (1, 2, 1000):
            pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
            found = [(v["VersionId"], v["IsLatest"], v["Size"]) for p in pages for v in p.get("Versions", []) if v["Key"] == "a"]
            self.assertEqual(found, [(two, False, 3), (one, False, 3), ("null", False, 4)], size)
            self.assertEqual([(m["Key"], m["VersionId"], m["IsLatest"]) for p in pages for m in p.get("DeleteMarkers", [])], [("a", gone["VersionId"], True)])
        pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}))
        self.assertEqual([c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["b/"])
        self.assertEqual(code(s3.delete_bucket, Bucket=bucket), ("BucketNotEmpty", 409))
        self.assertTrue(s3.delete_object(Bucket=bucket, Key="a", VersionId=gone["VersionId"])["DeleteMarker"])
        self.assertEqual(read(), b"two", "the marker has gone")
        s3.delete_object(Bucket=bucket, Key="a", VersionId=two)
        self.assertEqual((read(), s3.head_object(Bucket=bucket, Key="a")["VersionId"]), (b"one", one), "the one before is the newest now")
        copied = s3.copy_object(Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "a", "VersionId": "null"})
        self.assertEqual((read(), copied["CopySourceVersionId"]), (b"zero", "null"))
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
        self.assertEqual(s3.put_object(Bucket=bucket, Key="a", Body=b"three")["VersionId"], "null")
        self.assertEqual((read(), read(VersionId=one), read(VersionId=copied["VersionId"])), (b"three", b"one", b"zero"))
        self.assertEqual(s3.delete_object(Bucket=bucket, Key="a")["VersionId"], "null")
        self.assertEqual(code(s3.get_object, Bucket=bucket, Key="a"), ("NoSuchKey", 404))
        found = s3.list_object_versions(Bucket=bucket)
        everything = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in found["Versions"] + found["DeleteMarkers"]]
        self.assertEqual(len(everything), 4)
        done = s3.delete_objects(Bucket=bucket, Delete={"Objects": everything})["Deleted"]
        self.assertEqual(sorted((d["Key"], d["VersionId"], d.get("DeleteMarker", False)) for d in done), sorted((e["Key"], e["VersionId"], e["VersionId"] == "null") for e in everything))
        s3.delete_bucket(Bucket=bucket)

    def test_tags(self):
        s3, at = self.s3, {"Bucket": "boto-bucket", "Key": "tagged"}
        s3.put_object(**at, Body=b"x", Tagging="a=1&b%20c=%C3%A4+%26")
        self.assertEqual(s3.get_object(**at)["TagCount"], 2)
        self.assertEqual(s3.get_object_tagging(**at)["TagSet"], [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "\u00e4 &"}])
        s3.put_object_tagging(**at, Tagging={"TagSet": [{"Key": "<d>", "Value": "'2'"}]})
        self.assertEqual(s3.get_object_tagging(**at)["TagSet"], [{"Key": "<d>", "Value": "'2'"}])
        s3.copy_object(Bucket="boto-bucket", Key="tagged copy", CopySource=at)
        self.assertEqual(s3.get_object_tagging(Bucket="boto-bucket", Key="tagged copy")["TagSet"], [{"Key": "<d>", "Value": "'2'"}])
        s3.copy_object(Bucket="boto-bucket", Key="tagged copy", CopySource=at, Tagging="e=3", TaggingDirective="REPLACE")
        self.assertEqual(s3.get_object_tagging(Bucket="boto-bucket", Key="tagged copy")["TagSet"], [{"Key": "e", "Value": "3"}])
        upload = s3.create_multipart_upload(**at, Tagging="f=4")["UploadId"]
        part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"y")
        s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        self.assertEqual(s3.get_object_tagging(**at)["TagSet"], [{"Key": "f", "Value": "4"}])
        s3.delete_object_tagging(**at)
        self.assertEqual(s3.get_object_tagging(**at)["TagSet"], [])
        self.assertNotIn("TagCount", s3.head_object(**at))
        self.assertEqual(s3.get_object(**at)["Body"].read(), b"y")
        many = [{"Key": str(i), "Value": ""} for i in range(11)]
        self.assertEqual(code(s3.put_object_tagging, **at, Tagging={"TagSet": many}), ("BadRequest", 400))
        self.assertEqual(code(s3.put_object_tagging, **at, Tagging={"TagSet": many[:1] * 2}), ("InvalidTag", 400))
        self.assertEqual(code(s3.put_object_tagging, **at, Tagging={"TagSet": [{"Key": "k" * 129, "Value": ""}]}), ("InvalidTag", 400))
        self.assertEqual(code(s3.put_object, **at, Body=b"", Tagging="a=1&a=2"), ("InvalidTag", 400))
        self.assertEqual(code(s3.get_object_tagging, Bucket="boto-bucket", Key="none"), ("NoSuchKey", 404))

    def test_customer_key(self):
        """boto3 sends such keys over TLS or to a loopback address as it is told; it computes their MD5 itself."""
        s3, at, data = self.s3, {"Bucket": "boto-bucket", "Key": "closed"}, os.urandom(6 << 20)
        key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
        other = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
        put = s3.put_object(**at, Body=b"secret", **key)
        self.assertEqual((put["SSECustomerAlgorithm"], put["SSECustomerKeyMD5"]), ("AES256", base64.b64encode(hashlib.md5(key["SSECustomerKey"]).digest()).decode()))
        self.assertNotEqual(put["ETag"], '"' + hashlib.md5(b"secret").hexdigest() + '"')
        self.assertEqual(s3.get_object(**at, **key)["Body"].read(), b"secret")
        self.assertEqual(code(s3.get_object, **at), ("InvalidRequest", 400))
        self.assertEqual(code(s3.head_object, **at), ("400", 400))
        self.assertEqual(code(s3.get_object, **at, **other), ("AccessDenied", 403))
        self.assertEqual(code(s3.put_object, **at, Body=b"", SSECustomerAlgorithm="AES256", SSECustomerKey=b"short"), ("InvalidArgument", 400))
        self.assertEqual(code(s3.put_object, **at, Body=b"", SSECustomerAlgorithm="DES", SSECustomerKey=os.urandom(32)), ("InvalidEncryptionAlgorithmError", 400))
        source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key["SSECustomerKey"]}
        self.assertEqual(code(s3.copy_object, Bucket="boto-bucket", Key="open", CopySource=at), ("InvalidRequest", 400))
        s3.copy_object(Bucket="boto-bucket", Key="opened", CopySource=at, **source)
        self.assertEqual(s3.get_object(Bucket="boto-bucket", Key="opened")["Body"].read(), b"secret")
        self.assertEqual(code(s3.get_object, Bucket="boto-bucket", Key="opened", **key), ("InvalidRequest", 400))
        s3.copy_object(Bucket="boto-bucket", Key="closed too", CopySource=at, **source, **other)
        self.assertEqual(s3.get_object(Bucket="boto-bucket", Key="closed too", **other)["Body"].read(), b"secret")
        upload = s3.create_multipart_upload(**at, **key)["UploadId"]
        self.assertEqual(code(s3.upload_part, **at, UploadId=upload, PartNumber=1, Body=data), ("InvalidRequest", 400))
        part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=data, **key)
        s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **key)
        self.assertEqual(s3.get_object(**at, **key)["Body"].read(), data)
        self.assertEqual(code(s3.get_object, **at), ("InvalidRequest", 400))

    def test_checksums(self):
        for name in ("CRC32", "CRC32C", "SHA1", "SHA256"):
            try:
                self.s3.put_object(Bucket="boto-bucket", Key="sum", Body=b"data", ChecksumAlgorithm=name)
            except botocore.exceptions.MissingDependencyException:
                continue
            self.assertIn("Checksum" + name, self.s3.get_object(Bucket="boto-bucket", Key="sum", ChecksumMode="ENABLED"))
        once = self.client(retries={"max_attempts": 0})
        self.assertEqual(code(once.put_object, Bucket="boto-bucket", Key="sum", Body=b"data", ChecksumSHA256=base64.b64encode(bytes(32)).decode()), ("BadDigest", 400))
        self.assertEqual(code(once.put_object, Bucket="boto-bucket", Key="sum", Body=b"data", ContentMD5=base64.b64encode(bytes(16)).decode()), ("BadDigest", 400))

    def test_chunks(self):
        """Bodies that are signed piece by piece, and unsigned ones with a trailer."""
        data = os.urandom(300_000)
        for config in ({"s3": {"payload_signing_enabled": True}}, {"s3": {"payload_signing_enabled": False}}, {"request_checksum_calculation": "when_required"}):
            with self.subTest(config):
                s3 = self.client(**config)
                s3.put_object(Bucket="boto-bucket", Key="chunks", Body=io.BytesIO(data))
                self.assertEqual(s3.get_object(Bucket="boto-bucket", Key="chunks")["Body"].read(), data)

    def stream(self, data, trailer=None, damage=lambda body: body):
        """A body signed chunk by chunk, as Amazon's documents describe it; botocore signs the headers."""
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        headers = {"x-amz-content-sha256": kind, "x-amz-decoded-content-length": str(len(data)), "content-encoding": "aws-chunked"}
        if trailer:
            headers["x-amz-trailer"] = trailer[0]
        request = botocore.awsrequest.AWSRequest("PUT", os.environ["AWS_ENDPOINT_URL"] + "/boto-bucket/streamed", headers=headers)
        signer = Streaming(botocore.credentials.Credentials(os.environ["AWS_ACCESS_KEY_ID"], secret), "s3", "us-east-1")
        signer.add_auth(request)
        previous = request.headers["Authorization"].rsplit("=", 1)[1]
        when = request.context["timestamp"]
        key = b"AWS4" + secret.encode()
        for part in (when[:8], "us-east-1", "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")

        def sign(kind, *rest):
            return hmac.new(key, "\n".join([kind, when, f"{when[:8]}/us-east-1/s3/aws4_request", previous, *rest]).encode(), "sha256").hexdigest()

        body, empty = b"", hashlib.sha256(b"").hexdigest()
        for chunk in [data[i : i + 65536] for i in range(0, len(data), 65536)] + [b""]:
            previous = sign("AWS4-HMAC-SHA256-PAYLOAD", empty, hashlib.sha256(chunk).hexdigest())
            body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + (chunk + b"\r\n" if chunk else b"")
        if trailer:
            text = f"{trailer[0]}:{trailer[1]}\n"
            previous = sign("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(text.encode()).hexdigest())
            body += f"{trailer[0]}:{trailer[1]}\r\nx-amz-trailer-signature:{previous}\r\n".encode()
        body += b"\r\n"
        try:
            with urllib.request.urlopen(urllib.request.Request(request.url, data=damage(body), method="PUT", headers={**dict(request.headers), "Content-Type": ""})) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()

    def test_streams(self):
        data = os.urandom(200_000)
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        self.assertEqual(self.stream(data), (200, b""))
        self.assertEqual(self.s3.get_object(Bucket="boto-bucket", Key="streamed")["Body"].read(), data)
        self.assertEqual(self.stream(b""), (200, b""))
        self.assertEqual(self.stream(data, ("x-amz-checksum-crc32", crc)), (200, b""))
        self.assertEqual(self.s3.head_object(Bucket="boto-bucket", Key="streamed", ChecksumMode="ENABLED")["ChecksumCRC32"], crc)
        bad = {
            "content": (400, b"BadDigest", ("x-amz-checksum-crc32", "AAAAAA=="), lambda b: b),
            "byte": (403, b"SignatureDoesNotMatch", None, lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:]),
            "cut": (400, b"IncompleteBody", None, lambda b: b[:100_000]),
            "size": (400, b"IncompleteBody", None, lambda b: b"zz" + b),
            "signature": (403, b"SignatureDoesNotMatch", None, lambda b: b.replace(b"chunk-signature=", b"chunk-signature=0", 1)),
            "trailer": (403, b"SignatureDoesNotMatch", ("x-amz-checksum-crc32", crc), lambda b: b.replace(crc.encode(), b"AAAAAA==")),
        }
        for name, (status, expected, trailer, damage) in bad.items():
            with self.subTest(name):
                got = self.stream(data, trailer, damage)
                self.assertEqual(got[0], status, got)
                self.assertIn(expected, got[1])

    def test_presigned(self):
        put = self.client(signature_version="s3v4").generate_presigned_url("put_object", Params={"Bucket": "boto-bucket", "Key": "pre signed"}, ExpiresIn=60)
        with urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT", headers={"Content-Type": ""})) as r:
            self.assertEqual(r.status, 200)
        get = self.client(signature_version="s3v4").generate_presigned_url("get_object", Params={"Bucket": "boto-bucket", "Key": "pre signed"}, ExpiresIn=60)
        with urllib.request.urlopen(get) as r:
            self.assertEqual(r.read(), b"by url")
        for bad in (get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), get.replace("pre%20signed", "other"), get[:-1] + ("0" if get[-1] != "0" else "1")):
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(bad)
            self.assertEqual(raised.exception.code, 403)
            raised.exception.close()

    def test_presigned_of_version_2(self):
        """What boto3 makes when it is told nothing."""
        s3 = boto3.client("s3")
        s3.put_object(Bucket="boto-bucket", Key="of two & more", Body=b"older", Metadata={"a": "b"})
        get = s3.generate_presigned_url("get_object", Params={"Bucket": "boto-bucket", "Key": "of two & more", "ResponseContentType": "text/x y"}, ExpiresIn=60)
        self.assertIn("AWSAccessKeyId=", get)
        with urllib.request.urlopen(get) as r:
            self.assertEqual((r.read(), r.headers["Content-Type"]), (b"older", "text/x y"))
        put = s3.generate_presigned_url("put_object", Params={"Bucket": "boto-bucket", "Key": "put", "ContentType": "text/plain", "Metadata": {"k": "v"}}, ExpiresIn=60)
        with urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT", headers={"Content-Type": "text/plain", "x-amz-meta-k": "v"})) as r:
            self.assertEqual(r.status, 200)
        self.assertEqual(s3.head_object(Bucket="boto-bucket", Key="put")["Metadata"], {"k": "v"})
        late = s3.generate_presigned_url("get_object", Params={"Bucket": "boto-bucket", "Key": "put"}, ExpiresIn=-5)
        for bad in (late, get.replace("of%20two", "of%20one"), get.replace("text%2Fx", "text%2Fy"), get.replace("AWSAccessKeyId=AKIA", "AWSAccessKeyId=AKIB")):
            self.assertNotEqual(bad, get)
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(bad)
            self.assertEqual(raised.exception.code, 403)
            raised.exception.close()

    def test_keys(self):
        self.assertEqual(code(boto3.client("s3", aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]).list_buckets), ("SignatureDoesNotMatch", 403))
        self.assertEqual(code(boto3.client("s3", aws_secret_access_key="wrong", aws_access_key_id="AKIANOBODY").list_buckets), ("InvalidAccessKeyId", 403))
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/boto-bucket")
        self.assertEqual(raised.exception.code, 403)
        raised.exception.close()


class Dynamo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.db = boto3.client("dynamodb")
        cls.db.create_table(TableName="things", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "n", "AttributeType": "N"}], BillingMode="PAY_PER_REQUEST")
        cls.db.get_waiter("table_exists").wait(TableName="things")

    def item(self, id, n, **more):
        return {"id": {"S": id}, "n": {"N": str(n)}, **more}

    def test_items(self):
        item = self.item("a", 1, b={"B": b"\x00\xff"}, l={"L": [{"NULL": True}, {"M": {"x": {"BOOL": False}}}]}, s={"SS": ["x", "y"]})
        self.db.put_item(TableName="things", Item=item)
        self.assertEqual(self.db.get_item(TableName="things", Key=self.item("a", "1.0"))["Item"], item)
        self.assertEqual(code(self.db.put_item, TableName="things", Item=item, ConditionExpression="attribute_not_exists(id)"), ("ConditionalCheckFailedException", 400))
        self.db.put_item(TableName="things", Item=item, ConditionExpression="#n = :one AND size(s) = :two", ExpressionAttributeNames={"#n": "n"}, ExpressionAttributeValues={":one": {"N": "1.00"}, ":two": {"N": "2"}})
        self.assertEqual(self.db.delete_item(TableName="things", Key=self.item("a", 1), ReturnValues="ALL_OLD")["Attributes"], item)
        self.assertNotIn("Item", self.db.get_item(TableName="things", Key=self.item("a", 1)))
        self.assertEqual(code(self.db.put_item, TableName="things", Item={"id": {"S": "x"}}), ("ValidationException", 400))
        self.assertEqual(code(self.db.put_item, TableName="things", Item={"id": {"N": "1"}, "n": {"N": "1"}}), ("ValidationException", 400))
        self.assertEqual(code(self.db.get_item, TableName="none", Key=self.item("a", 1)), ("ResourceNotFoundException", 400))
        self.assertEqual(code(self.db.create_table, TableName="things", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST"), ("ResourceInUseException", 400))
        self.assertEqual(code(boto3.client("dynamodb", aws_secret_access_key="x", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]).list_tables), ("InvalidSignatureException", 400))

    def test_many(self):
        numbers = [-5, 0.5, 2, 10, 100]
        requests = [{"PutRequest": {"Item": self.item("q", n, even={"BOOL": n % 2 == 0}, padding={"S": "x" * 300_000})}} for n in numbers]
        self.assertEqual(self.db.batch_write_item(RequestItems={"things": requests})["UnprocessedItems"], {})
        self.assertEqual(code(self.db.batch_write_item, RequestItems={"things": [requests[0], requests[0]]}), ("ValidationException", 400))
        get = lambda operation, **kw: [float(i["n"]["N"]) for p in self.db.get_paginator(operation).paginate(TableName="things", **kw) for i in p["Items"]]
        key = {"KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "q"}}}
        self.assertEqual(get("query", **key), numbers)
        self.assertGreater(len(list(self.db.get_paginator("query").paginate(TableName="things", **key))), 1, "pages of 1 MB")
        self.assertEqual(get("query", ScanIndexForward=False, **key), numbers[::-1])
        ranged = {"KeyConditionExpression": "id = :id AND n BETWEEN :a AND :b", "ExpressionAttributeValues": {":id": {"S": "q"}, ":a": {"N": "0"}, ":b": {"N": "10"}}}
        self.assertEqual(get("query", **ranged), [0.5, 2, 10])
        odd = {"FilterExpression": "even = :no OR contains(padding, :y) OR n IN (:m, :m)", "ExpressionAttributeValues": {":no": {"BOOL": False}, ":y": {"S": "y"}, ":m": {"N": "2"}}}
        self.assertEqual([n for n in get("scan", **odd)], [-5, 0.5, 2])
        self.assertEqual(self.db.scan(TableName="things", ProjectionExpression="n", Limit=1)["Items"][0].keys(), {"n"})
        self.assertEqual(self.db.scan(TableName="things", Select="COUNT")["Count"], 4, "a page")
        for bad in ("id =", "id = :id AND", "nope(id)", "id ! :id", "(" * 100, "id = :missing"):
            self.assertEqual(code(self.db.query, TableName="things", KeyConditionExpression=bad, ExpressionAttributeValues={":id": {"S": "q"}}), ("ValidationException", 400), bad)
        self.assertEqual(code(self.db.transact_get_items, TransactItems=[{"Get": {"TableName": "things", "Key": self.item("q", 2)}}]), ("UnknownOperationException", 400))


class RedshiftData(unittest.TestCase):
    def setUp(self):
        self.api = boto3.client("redshift-data")
        self.place = {"WorkgroupName": "work", "Database": "dev"}

    def done(self, id):
        for _ in range(200):
            now = self.api.describe_statement(Id=id)
            if now["Status"] in ("FINISHED", "FAILED", "ABORTED"):
                return now
            time.sleep(0.02)
        self.fail(now)

    def test_statements(self):
        id = self.api.execute_statement(Sql="SELECT range AS n, :t AS t, NULL::int AS e, range > 1 AS b, 1.5::float8 AS f FROM range(2500) ORDER BY 1", Parameters=[{"name": "t", "value": "it's"}], ClientToken="token-1", **self.place)["Id"]
        now = self.done(id)
        self.assertEqual((now["Status"], now["HasResultSet"], now["ResultRows"], now["WorkgroupName"]), ("FINISHED", True, 2500, "work"))
        self.assertEqual(self.api.execute_statement(Sql="SELECT 1", ClientToken="token-1", **self.place)["Id"], id, "the same token, the same statement")
        pages = list(self.api.get_paginator("get_statement_result").paginate(Id=id))
        rows = [r for p in pages for r in p["Records"]]
        self.assertEqual((len(pages), len(rows), pages[0]["TotalNumRows"]), (3, 2500, 2500))
        self.assertEqual(rows[2], [{"longValue": 2}, {"stringValue": "it's"}, {"isNull": True}, {"booleanValue": True}, {"doubleValue": 1.5}])
        self.assertEqual([c["typeName"] for c in pages[0]["ColumnMetadata"]], ["int8", "varchar", "int4", "bool", "float8"])

    def test_batches(self):
        id = self.api.batch_execute_statement(Sqls=["CREATE TABLE b (a int)", "INSERT INTO b VALUES (1), (2)", "SELECT * FROM b ORDER BY a"], **self.place)["Id"]
        parts = self.done(id)["SubStatements"]
        self.assertEqual([(p["Status"], p["HasResultSet"], p["ResultRows"]) for p in parts][1:], [("FINISHED", False, 2), ("FINISHED", True, 2)])
        self.assertEqual(self.api.get_statement_result(Id=parts[2]["Id"])["Records"], [[{"longValue": 1}], [{"longValue": 2}]])
        failed = self.done(self.api.batch_execute_statement(Sqls=["INSERT INTO b VALUES (3)", "SELECT * FROM nowhere"], **self.place)["Id"])
        self.assertEqual((failed["Status"], failed["SubStatements"][1]["Status"]), ("FAILED", "FAILED"))
        id = self.api.execute_statement(Sql="SELECT a FROM b ORDER BY a", **self.place)["Id"]
        self.done(id)
        self.assertEqual([r[0]["longValue"] for r in self.api.get_statement_result(Id=id)["Records"]], [1, 2])

    def test_lists(self):
        sqls = ["CREATE SCHEMA listed", "CREATE TABLE listed.one (id bigint NOT NULL, price decimal(12, 2) DEFAULT 1.5, name varchar(20), at timestamptz)", "CREATE VIEW listed.two_v AS SELECT id FROM listed.one"]
        self.done(self.api.batch_execute_statement(Sqls=sqls, StatementName="lists-make", **self.place)["Id"])
        self.assertEqual(self.api.list_databases(**self.place)["Databases"], ["dev"])
        self.assertLessEqual({"public", "listed"}, set(self.api.list_schemas(**self.place)["Schemas"]))
        self.assertEqual(self.api.list_schemas(SchemaPattern="list%", **self.place)["Schemas"], ["listed"])
        tables = self.api.list_tables(SchemaPattern="listed", **self.place)["Tables"]
        self.assertEqual(tables, [{"name": "one", "schema": "listed", "type": "TABLE"}, {"name": "two_v", "schema": "listed", "type": "VIEW"}])
        self.assertEqual([t["name"] for t in self.api.list_tables(SchemaPattern="listed", TablePattern="%\\_v", **self.place)["Tables"]], ["two_v"])
        pages = list(self.api.get_paginator("list_tables").paginate(SchemaPattern="listed", PaginationConfig={"PageSize": 1}, **self.place))
        self.assertEqual([t["name"] for p in pages for t in p["Tables"]], ["one", "two_v"])
        table = self.api.describe_table(Schema="listed", Table="one", **self.place)
        self.assertEqual([(c["name"], c["typeName"], c["nullable"]) for c in table["ColumnList"]], [("id", "int8", 0), ("price", "numeric", 1), ("name", "varchar", 1), ("at", "timestamptz", 1)])
        self.assertEqual(table["ColumnList"][2]["length"], 20)
        self.assertEqual((table["TableName"], table["ColumnList"][1]["precision"], table["ColumnList"][1]["scale"]), ("one", 12, 2))
        self.assertEqual(self.api.describe_table(Table="no_such", **self.place)["ColumnList"], [])
        made = self.api.list_statements(StatementName="lists-", Status="FINISHED")["Statements"]
        self.assertEqual([(s["StatementName"], s["Status"], s["IsBatchStatement"], s["QueryStrings"]) for s in made], [("lists-make", "FINISHED", True, sqls)])
        self.assertEqual(self.api.list_statements(StatementName="lists-", Status="FAILED")["Statements"], [])
        self.assertGreater(len(self.api.list_statements(MaxResults=1).get("NextToken", "")), 0)

    def test_cancel(self):
        id = self.api.execute_statement(Sql="SELECT count(*) FROM range(1000000000000)", **self.place)["Id"]
        self.assertIn(self.api.describe_statement(Id=id)["Status"], ("SUBMITTED", "STARTED"))
        self.assertTrue(self.api.cancel_statement(Id=id)["Status"])
        self.assertEqual(self.done(id)["Status"], "ABORTED")
        self.assertEqual(code(self.api.cancel_statement, Id=id), ("ValidationException", 400))

    def test_refused(self):
        self.assertEqual(code(self.api.execute_statement, Sql="SELECT 1", Database="dev"), ("ValidationException", 400))
        self.assertEqual(code(self.api.execute_statement, Sql="SELECT 1", ClusterIdentifier="c1", WorkgroupName="work", Database="dev"), ("ValidationException", 400))
        self.assertEqual(code(self.api.describe_statement, Id="none"), ("ResourceNotFoundException", 400))
        self.assertEqual(code(self.api.list_databases, Database="dev"), ("ValidationException", 400))
        self.assertEqual(code(self.api.list_statements, NextToken="x"), ("ValidationException", 400))
        self.assertEqual(code(self.api.get_statement_result_v2, Id="none"), ("UnknownOperationException", 400))
        id = self.api.execute_statement(Sql="CREATE TABLE IF NOT EXISTS quiet (a int)", **self.place)["Id"]
        self.done(id)
        self.assertEqual(code(self.api.get_statement_result, Id=id), ("ResourceNotFoundException", 400))
        self.assertEqual(code(boto3.client("redshift-data", aws_secret_access_key="x", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]).describe_statement, Id=id), ("InvalidSignatureException", 400))


class Sts(unittest.TestCase):
    def test_role(self):
        sts = boto3.client("sts")
        self.assertEqual(sts.get_caller_identity()["Account"], "000000000000")
        keys = sts.assume_role(RoleArn="arn:aws:iam::1:role/r", RoleSessionName="me", DurationSeconds=900)["Credentials"]
        held = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"]}
        self.assertIn("Buckets", boto3.client("s3", aws_session_token=keys["SessionToken"], **held).list_buckets())
        self.assertEqual(code(boto3.client("s3", **held).list_buckets), ("InvalidToken", 400))
        self.assertEqual(code(sts.assume_role, RoleArn="x" * 20, RoleSessionName="me"), ("ValidationError", 400))
        self.assertEqual(code(sts.get_session_token), ("InvalidAction", 400))


if __name__ == "__main__":
    unittest.main(argv=sys.argv)

"""Names of S3 requests, and the right that each one needs in a policy."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

#: The rights of requests that are not called like their right.
_RIGHTS = {
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:GetObject and s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "DeleteObjects": "s3:DeleteObject (s3:DeleteObjectVersion if the bucket keeps versions)",
    "GetBucketCors": "s3:GetBucketCORS",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:GetObject and s3:PutObject",
}
#: The names of requests by HTTP method and query parameter, on a bucket and on an object.
_OF_BUCKET = {
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "versioning"): "GetBucketVersioning",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "lifecycle"): "GetBucketLifecycleConfiguration",
    ("PUT", "lifecycle"): "PutBucketLifecycleConfiguration",
    ("DELETE", "lifecycle"): "DeleteBucketLifecycle",
    ("POST", "delete"): "DeleteObjects",
    ("HEAD", ""): "HeadBucket",
}
_OF_OBJECT = {
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}


def right(action: str) -> str:
    """Return what a policy must allow for the request of that name."""
    return _RIGHTS.get(action, f"s3:{action}")


def action(method: str, url: str, *, of_object: bool) -> str:
    """Return the name of a request; its method and path for one that is not in the tables."""
    parts, names = urlsplit(url), _OF_OBJECT if of_object else _OF_BUCKET
    given = parse_qs(parts.query, keep_blank_values=True)
    known = (names[method, word] for word in (*given, "") if (method, word) in names)
    return next(known, f"{method} {parts.path}")


def resource(bucket: str, key: str, url: str) -> str:
    """Return the bucket and the key of a request, or the prefix that it lists."""
    prefix = parse_qs(urlsplit(url).query).get("prefix", [""])[0]
    return f"{bucket}/{key or prefix}" + ("" if key else "*") if key or prefix else f"bucket {bucket}"

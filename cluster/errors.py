"""Errors of the cluster package, with messages for users.

ClusterError
├── UnreachableError      no cluster answers at the address
├── AuthenticationError   the token is missing or wrong
├── UnknownJobError       the cluster has no such job
└── UploadError           the files to ship are missing or too large
"""


class ClusterError(Exception):
    """Base class of errors whose message is meant for the user and shown without a traceback."""


class UnreachableError(ClusterError):
    """No cluster answers at the address."""


class AuthenticationError(ClusterError):
    """The cluster requires a token, or rejects the one given."""


class UnknownJobError(ClusterError):
    """The cluster has no such job."""


class UploadError(ClusterError):
    """The files to ship are missing or too large."""

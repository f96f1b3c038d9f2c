"""What can be wrong with a cluster, worded for people.

ClusterError
├── UnreachableError      nobody answers at the address
├── AuthenticationError   no token, or a wrong one
├── UnknownJobError       no job of that name
└── UploadError           too much to ship
"""


class ClusterError(Exception):
    """Base of every error that is shown without a traceback."""


class UnreachableError(ClusterError):
    """Nobody answers at the address."""


class AuthenticationError(ClusterError):
    """The cluster lets nobody in without its token."""


class UnknownJobError(ClusterError):
    """The cluster has no such job."""


class UploadError(ClusterError):
    """What is to be shipped is too large, or not there."""

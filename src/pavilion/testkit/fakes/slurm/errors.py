"""Slurm's errors: number and text. A command's return code is often the number's last byte."""

from __future__ import annotations

from typing import NamedTuple


class SlurmError(Exception):
    """What the controller answers in place of a result."""

    def __init__(self, error: Error, *notes: str) -> None:
        super().__init__(error.text)
        self.number = error.number
        self.text = error.text
        self.notes = notes  # further lines that the client prints before the error


class Error(NamedTuple):
    """An error number of Slurm and its text."""

    number: int
    text: str


TIMED_OUT = Error(5004, "Socket timed out on send/recv operation")
UNEXPECTED = Error(1000, "Unexpected message received")
NO_CONTACT = Error(1800, "Unable to contact slurm controller (connect failure)")
TRY_AGAIN = Error(11, "Resource temporarily unavailable")
TOO_MANY_JOBS = Error(11, "MaxJobCount limit reached")
BAD_PARTITION = Error(2000, "Invalid partition name specified")
ACCESS_DENIED = Error(2002, "Access/permission denied")
NODE_CONFIG = Error(2014, "Requested node configuration is not available")
BAD_NODE_COUNT = Error(2006, "Node count specification invalid")
BAD_NODE_STATE = Error(2025, "Invalid node state specified")
BAD_NODE = Error(2009, "Invalid node name specified")
PATH_TOO_LONG = Error(2010, "Pathname of a file, directory or other parameter too long")
TOO_MANY_CPUS = Error(2059, "More processors requested than permitted")
BAD_JOB = Error(2017, "Invalid job id specified")
OVER = Error(2021, "Job/step already completing or completed")
BAD_FEATURE = Error(2029, "Invalid feature specification")
BAD_USER = Error(2044, "Invalid user id")
DISABLED = Error(2052, "Requested operation is presently disabled")
PENDING = Error(2072, "Job is pending execution")
BAD_RESERVATION = Error(2069, "Requested reservation is invalid")
RESERVATION_ACCESS = Error(2073, "Access denied to requested reservation")
RESERVATION_BUSY = Error(2082, "Requested reservation is in use")
RESERVATION_OVERLAP = Error(2081, "Requested reservation overlaps with another reservation")
RESERVATION_NAME = Error(2091, "Duplicate reservation name")
BAD_DEPENDENCY = Error(2024, "Job dependency problem")
BAD_ARRAY = Error(2094, "Invalid job array specification")
BAD_GRES = Error(2072, "Invalid generic resource (gres) specification")
BAD_TRES = Error(2115, "Invalid Trackable RESource (TRES) specification")
FINISHED = Error(2080, "Job has already finished")
NOT_PENDING = Error(2054, "Job is no longer pending execution")
NOT_SUPPORTED = Error(2076, "Requested operation not supported on this system")
HELD = Error(2155, "Job is in held state, pending scheduler release")
NODES_BUSY = Error(2016, "Requested nodes are busy")
NO_ERROR = Error(0, "No error")
BAD_TIME = Error(2057, "Invalid time specified")
BAD_TIME_LIMIT = Error(2051, "Requested time limit is invalid (missing or exceeds some limit)")

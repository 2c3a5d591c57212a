"""The record of a Slurm job: that of the family, with Slurm's ids."""

from __future__ import annotations

from collections.abc import Mapping

from ...batch import record
from ...batch.record import JobRecordError, make_record
from .queries import is_job_id

__all__ = ["JobRecordError", "SlurmRecord", "make_record", "read_record"]

SlurmRecord = record.BatchRecord


def read_record(info: Mapping[str, object]) -> SlurmRecord:
    """What a JobInfo says.

    :raises JobRecordError: When it makes no sense.
    """
    return record.read_record(info, is_job_id, "Slurm")

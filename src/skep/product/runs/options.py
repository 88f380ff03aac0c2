"""What the operator decides about runs, read once."""

from skep.kernel.settings import MIB, Settings
from skep.product.runs.model import RunLimits


def run_limits(settings: Settings) -> RunLimits:
    """Return the part of *settings* that runs need."""
    return RunLimits(
        cpus=settings.default_cpus,
        memory_bytes=settings.default_memory_mb * MIB,
        disk_bytes=settings.default_disk_mb * MIB,
        pids=settings.default_pids,
        timeout_s=settings.default_timeout_s,
        max_timeout_s=settings.max_timeout_s,
        output_bytes=settings.output_limit_mb * MIB,
        artifact_bytes=settings.artifact_limit_mb * MIB,
        max_unfinished=settings.max_queued_per_project,
        ask_timeout_s=settings.ask_timeout_s,
        min_free_bytes=settings.min_free_disk_mb * MIB,
    )

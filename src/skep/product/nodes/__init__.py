"""The machines that this installation runs on; one row even on one box."""

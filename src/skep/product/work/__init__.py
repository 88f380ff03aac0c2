"""Durable work items: claim, lease, heartbeat, fence, retry, dead letter."""

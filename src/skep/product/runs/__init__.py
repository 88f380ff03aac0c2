"""One durable execution of any kind of agent: inputs, attempts, events, log, output."""

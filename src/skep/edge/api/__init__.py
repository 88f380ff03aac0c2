"""The native API: parse a shape, call a service, render a shape. It decides nothing."""

"""The ground floor: ids, errors, clock, settings, log, events, database. It knows no product word."""

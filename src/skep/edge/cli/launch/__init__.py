"""The launcher: a small root process, standard library only, that starts and restarts keeper and server."""

"""The only package that names concrete classes: settings in, a running server out.

`base` is what every noun stands on, `nouns` what is built from what, `retention` what is deleted when it was kept long
enough, `loops` what goes on for as long as the server does, `machine` what is found out about this machine, `database`
the wait for a database that is not there yet; `application` puts them together, `server` serves the whole.
"""

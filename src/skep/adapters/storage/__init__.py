"""Where rows are: SQLAlchemy Core on SQLite and PostgreSQL. No SQL is written anywhere else."""

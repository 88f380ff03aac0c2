"""How a source comes into a sandbox: from repositories, private ones too, from uploads and inline files."""

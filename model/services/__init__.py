"""Ways to be asked other than a command on files: the platform's server, a PACS."""

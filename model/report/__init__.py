"""What is told about a case or a folder: results.json and the pages."""

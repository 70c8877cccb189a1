"""One case, a folder of cases, a server: from the input folder to the output folder."""

"""One case or a folder of cases: from the input folder to the output folder."""

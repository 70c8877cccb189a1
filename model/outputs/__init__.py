"""What is written for a case or a folder of them, and what an earlier run left."""

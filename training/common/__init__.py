"""What every command of training/ shares."""

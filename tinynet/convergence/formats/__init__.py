"""What each program's file looks like, a file a family of programs."""

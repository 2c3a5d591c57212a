"""What reaches outside of the process: commands, child processes, and files that others can write."""

"""The commands of the fake PBS, held to captured output of OpenPBS 23.06.06."""

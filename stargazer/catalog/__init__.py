"""What can be called: tasks and workflows by name, and their arguments."""

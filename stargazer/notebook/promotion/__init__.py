"""From a notebook to a module: a task with what it reaches, and the notebook that imports it then."""

"""What a laboratory adds to Stargazer: one of each kind."""

"""What a fitted cell says about files of the user."""

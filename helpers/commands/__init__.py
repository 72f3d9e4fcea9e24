"""The machinery around the lessons: commands, checks, execution. No lesson imports it."""

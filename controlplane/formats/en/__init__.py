"""As ISO 8601 has them, in UTC."""

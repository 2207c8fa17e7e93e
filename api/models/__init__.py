"""What requests and answers look like: pydantic models, and nothing that acts."""

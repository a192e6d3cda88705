"""From the store to one model, and from the model to JSON and terminal lines."""

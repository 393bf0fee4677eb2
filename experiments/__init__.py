"""What a run is: its spec, data, training, evaluation and metrics, and the store that its numbers go to. No Ray."""

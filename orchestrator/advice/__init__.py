"""What results so far say about runs to come: beside the commands the only part of the orchestrator that sees fits."""

"""Pictures for people and files for other programs, from a run's checkpoint or from published weights.

Samples that are only counted, not kept, are drawn in `evaluation`.
"""

"""From samples to the features that the recogniser reads, a file for each kind of sample."""

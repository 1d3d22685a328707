"""What each stage of training shows the network, and asks of it."""

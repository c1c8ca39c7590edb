"""What an algorithm declares in its class body: hyperparameters, options and buffers."""

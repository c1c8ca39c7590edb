"""Many processes: which of them hold parts of the vectors, what counts where, how numbers meet."""

"""Everything that a GPU is needed for, by one command; it needs neither optkit nor a network.

What imports torch or optkit runs in processes of their own.
"""

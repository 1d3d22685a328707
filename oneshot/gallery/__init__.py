"""The people one knows: what is kept of them, where, and what decides who a face is."""

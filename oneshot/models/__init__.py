"""The network: backbone, detection head, alignment on features, identity head."""

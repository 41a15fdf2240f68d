"""What brings a cluster to what the registry says."""

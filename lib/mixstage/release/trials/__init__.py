"""How a trial beside the live release is watched and decided."""

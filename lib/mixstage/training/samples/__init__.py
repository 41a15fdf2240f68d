"""What is learned from: judged, weak, pseudo-labelled and mined samples."""

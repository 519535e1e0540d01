"""Surface elements, surface distances and the three surface protocols of NSD."""

"""Files from archives (IDC, NBIA, TCIA's web site) and from the user's disk."""

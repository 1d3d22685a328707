"""Who somebody is: from maps to samples of each face, to features, to an embedding; a file for each kind."""

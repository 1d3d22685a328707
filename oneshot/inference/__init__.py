"""From a picture to its faces: the predictors, and what runs their networks."""

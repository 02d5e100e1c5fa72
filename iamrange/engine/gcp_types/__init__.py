"""The Google Cloud resource types of the embedded provider, on Google's REST interfaces."""

"""Train, score and publish segmentation networks on SAROS."""

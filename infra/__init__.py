"""What runs the product: the cloud templates, and the embedded stack for one machine."""

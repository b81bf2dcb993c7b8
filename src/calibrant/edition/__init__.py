"""The book as a site and as notebooks: what Sphinx and Jupyter need beyond the chapters themselves."""

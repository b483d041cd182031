"""Two revisions of one repository, measured in turns: is the newer one worse?"""

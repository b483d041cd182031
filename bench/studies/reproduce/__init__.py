"""Does a stored number come out again?"""

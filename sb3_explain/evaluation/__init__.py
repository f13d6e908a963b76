"""How far attributions can be trusted: metrics with intervals, masked return, parameter
randomization.
"""

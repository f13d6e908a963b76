"""The robot study of Bertoin et al. (2022), appendix D: Reach and Peg in box, from pixels."""

"""The feature level: whether hidden layers still tell apart what the outputs no longer name.

A network whose head alone was changed answers as if it had forgotten, while its features are what
they were: Jeon et al. 2024 (IDI, arXiv 2405.17878) distil only the head and lose nothing inside,
and "An Illusion of Unlearning?" (arXiv 2604.08271) finds the same in many methods. Four readings:

- `cka`: how alike the features of two networks are, layer by layer;
- `linear_probe`: what a new linear head on frozen features recovers from few labelled rows;
- `class_means`: whether rows still lie nearest to the mean of their own class;
- `relearn`: how fast the whole network learns the classes again.

None means anything alone. Features of a network that never saw a class tell it apart to a degree,
so every figure is to be held against one that was retrained without it or freshly initialised.
"""

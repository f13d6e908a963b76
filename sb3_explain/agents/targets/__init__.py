"""Targets: which quantity of an agent's outputs is explained, or searched for.

=====================  =========================================  ==============================
``target=``            explains                                   of which agents
=====================  =========================================  ==============================
``2``, ``"LEFT"``      the score of an action (logit, Q-value),   all
                       or a dimension of a Box action
``"value"``            V(s), max_a Q(s, a), or the least critic   all with values
``"q:LEFT"``           Q(s, a) of an action                       DQN, QR-DQN, Q-value modules
``"advantage:LEFT"``   Q(s, a) less the mean of all Q(s, .)       DQN, QR-DQN, Q-value modules
``"critic1"``          Q_1(s, pi(s)) of one critic                SAC, TD3, DDPG, TQC, CrossQ
``"entropy"``          entropy of the policy, in nats             all whose policy is random
``"LEFT - RIGHT"``     one target less another                    all that have both
``"T-"``, ``"S+"``     minus the energy of a target of `probe`    see :data:`TARGETS`
a function             what it returns for :class:`Outputs`       all that have what it reads
=====================  =========================================  ==============================

An action is an index into ``agent.target_names``, and every kind of method explains it. Any other
target is a scalar function of the agent's outputs, a
:class:`~sb3_explain.agents.targets.scalars.ScalarTarget`. Methods of gradients differentiate it
with respect to the observation, through the action where a critic is given one. Methods that
perturb read its change. What compares probabilities of actions, such as SARFA, learned masks and
the metrics insertion and deletion, says that it takes actions alone.
"""

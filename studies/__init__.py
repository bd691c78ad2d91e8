"""Studies: what the documents say was seen, each made anew by one command.

=====================================  ==================== ============================
question                               file                 runs by
=====================================  ==================== ============================
What does the study expect?            `protocol`           ``-m studies.protocol``
What does its second edition expect,
- of the default?                      `second`             ``-m studies.second``
- of what a setting costs?             `cost_law`           ``-m studies.cost_law``
- of a kubelet under load?             `validity`           ``-m studies.validity``
- of remedies and disturbed pods?      `beside`             ``-m studies.beside``
And of more settings?                  `more_settings`      ``-m studies.more_settings``
Is it so on real kubelets?             `study`, which runs  ``make study``
                                       `eras`, `forced`,
                                       `never`, `closed`,
                                       `disturbed`, `costs`,
                                       `validity_runs`,
                                       `beside_runs` and
                                       `controller_runs`
How do its runs get into ``data/``?    `publish`            ``make publish``
What was found?                        `findings`, from     ``make publish``,
                                       `verdicts`; written  ``make verify-data``
                                       by `findings_page`,
                                       `deviations` and
                                       `headline`
Is it so on a cluster of yours?        `replicate`          ``make replicate``
Does other code find the same?         `recomputation`, of  ``make verify-data``
                                       `recomputed_beside`,
                                       `recomputed_costs`,
                                       `recomputed_loads` and
                                       `recomputed_more`;
                                       all share
                                       `recomputed_delays`
Does the law agree with the model?     `law`                ``make studies``
Does the model agree with kubelets?    `kubelet`            ``make studies``
Is what people say of the delay true?  `hypotheses`         ``make studies``
Do intervals cover, and tests err,     `coverage`, of       ``make coverage``
as often as they say?                  `experiments`
Who sees an update?                    `consumers`          ``make remedies``
What does each remedy take?            `remedies`           ``make remedies``
What do faults do to a measurement?    `faults`, of         ``make faults``
                                       `fault_runs`
Does a container get what the view     `containers`         ``make containers``
of it says?
When do volumes and environments       `environment`        ``-m studies.environment``
change?
=====================================  ==================== ============================

They share `draws` (tables of which the truth is known), `simulated_plans` (hypotheses
judged by simulation), `checks` (intervals and tests that no other code asks for),
`fronts` (clusters and clocks that go wrong) and `pages` (how a result is written).
"""

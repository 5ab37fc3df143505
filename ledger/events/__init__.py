"""Events of the consent log: their form, who may sign them, and the state they lead to."""

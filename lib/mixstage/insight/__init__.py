"""Why the winner wins: where quality is lost, what each exchanged part contributes, and whether the data can tell."""

"""What a plan file says: fields, stages, serving, and what one field says about another."""

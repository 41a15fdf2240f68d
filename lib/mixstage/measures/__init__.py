"""Measures of rankings, equal to trec_eval's, and the formats that rankings and judgements come in."""

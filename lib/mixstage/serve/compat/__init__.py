"""Endpoints in the shapes of other servers, so that their clients find the components without a change."""

"""Trust and enrolment: the authority, requests and unit bundles, the signed unit directory."""
